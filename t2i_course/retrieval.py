"""How well a CLIP finds drawn scenes by their captions, and captions by their scenes."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

import numpy as np
import torch
from torch import Tensor

from t2i_course.conditioning.clip import Clip
from t2i_course.contract import T2IError
from t2i_course.data.captions import described
from t2i_course.data.claims import Claim, verdict
from t2i_course.data.shapes import Scene, draw, scene
from t2i_course.metrics.retrieval import top1

POOL = 240  # scenes


@dataclass(frozen=True)
class Pool:
    """N pairwise different scenes, each with its full caption.

    Args:
        images: uint8 `[N, 3, side, side]`.
        captions: N of them, each saying everything.
        right: bool `[N, N]`: whether picture j (column) is as caption i (row) says, by the scene.
    """

    images: Tensor
    captions: list[str]
    right: Tensor


def pool(size: int = POOL, split: str = "test", side: int = 32) -> Pool:
    """The first `size` scenes of a split of the shapes no two of which have captions that say the
    same of the same things."""
    found: dict[object, tuple[Scene, str, Claim]] = {}
    for one, text, claim in _described(split):
        found.setdefault(_said(claim), (one, text, claim))
        if len(found) == size:
            break
    scenes, captions, claims = zip(*found.values(), strict=True)
    images = torch.from_numpy(np.stack([draw(one, side) for one in scenes]))
    right = [[verdict(claim, one).all for one in scenes] for claim in claims]
    return Pool(images, list(captions), torch.tensor(right))


def retrieve(clip: Clip, among: Pool) -> tuple[float, float]:
    """The share of captions whose nearest picture is as they say, and of pictures whose nearest
    caption is true of them.

    Raises:
        T2IError: if the CLIP gives embeddings that are not finite.
    """
    captions = clip.text(among.captions).vector
    assert captions is not None
    similarity = (captions @ clip.images(among.images / 255).T).cpu()
    if not similarity.isfinite().all():
        raise T2IError(f"Some embeddings of {clip.name} are not finite: it cannot be scored.")
    return top1(similarity, among.right), top1(similarity.T, among.right.T)


def scores(clip: Clip) -> dict[str, float]:
    """Retrieval both ways among scenes of the splits "test" and "held-out", as a card has it."""
    found = {}
    for split in ("test", "held-out"):
        to_image, to_text = retrieve(clip, pool(split=split))
        found[f"{split}_caption_to_image"] = to_image
        found[f"{split}_image_to_caption"] = to_text
    return found


def _described(split: str) -> Iterator[tuple[Scene, str, Claim]]:
    for index in count():
        one = scene(index, split=split)
        yield one, *described(one, index, count=1)[0]


def _said(claim: Claim) -> object:
    """What a claim says of its things, in no order; its relations follow from the places."""
    return tuple(sorted(map(repr, claim.things)))
