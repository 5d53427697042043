"""Whether pictures show what their prompts say, part by part, by the exact reader."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from tqdm import tqdm

from t2i_course.contract import Family, RowGenerator, Settings, TextEncoder, require
from t2i_course.data.captions import described
from t2i_course.data.claims import PARTS, Claim, Verdict, verdict
from t2i_course.data.reader import read
from t2i_course.data.shapes import draw, scene
from t2i_course.metrics.alignment import share
from t2i_course.metrics.score import Score

BATCH = 64  # prompts drawn at once
# What is asked for: a name, the split it comes from, the number of things.
KINDS_OF_PROMPTS = {
    "one": ("test", 1),
    "one, held out": ("held-out", 1),
    "two": ("test", 2),
    "two, held out": ("held-out", 2),
    "three": ("test", 3),
    "three, held out": ("held-out", 3),
}


@dataclass(frozen=True)
class Prompts:
    """Captions that say everything of a scene that no training has seen, with what they claim, and
    real drawings of the same scenes, uint8 `[N, 3, side, side]`."""

    captions: tuple[str, ...]
    claims: tuple[Claim, ...]
    drawings: Tensor


def prompts(kind: str, count: int, side: int = 32, seed: int = 0) -> Prompts:
    """The first `count` prompts of a kind, a name in `KINDS_OF_PROMPTS`."""
    split, things = KINDS_OF_PROMPTS[kind]
    captions, claims, drawings = [], [], []
    for index in range(count):
        one = scene(index, seed, split, things)
        caption, claim = described(one, index, seed, count=1)[0]
        captions.append(caption)
        claims.append(claim)
        drawings.append(torch.from_numpy(draw(one, side)))
    return Prompts(tuple(captions), tuple(claims), torch.stack(drawings))


def judged(images: Tensor, claims: Sequence[Claim]) -> list[Verdict]:
    """What the exact reader says of each image `[B, 3, S, S]` in [0, 1] and its claim."""
    require(
        len(images) == len(claims),
        f"There are {len(images)} images and {len(claims)} claims: each image needs its own.",
    )
    pictures = (255 * images.cpu()).round().byte().numpy()  # as a file would hold them
    return [verdict(claim, read(one)) for one, claim in zip(pictures, claims, strict=True)]


@torch.no_grad()
def drawn(
    family: Family,
    encoder: TextEncoder,
    captions: Sequence[str],
    seed: int = 0,
    settings: Settings | None = None,
    progress: bool = False,
) -> Tensor:
    """One image for each caption, `[B, C, H, W]` in [0, 1]; image i depends on (seed, i) and its
    caption."""
    images = []
    starts = range(0, len(captions), BATCH)
    for first in tqdm(starts, desc="draw", disable=not progress):
        part = list(captions[first : first + BATCH])
        generator = RowGenerator(seed, "sample", rows=range(first, first + len(part)))
        images.append(family.sample(encoder(part).to(family.device), generator, settings).cpu())
    return torch.cat(images)


def score(images: Tensor, asked: Prompts, kind: str) -> dict[str, Score]:
    """The share of pictures that are right, by part of what their prompts say, and in "all" parts.

    Each stands beside its ceiling, the reader's score of real drawings of the same prompts.

    Args:
        images: `[N, 3, S, S]` in [0, 1], one for each prompt.
        asked: the prompts.
        kind: their name in `KINDS_OF_PROMPTS`.
    """
    found, real = judged(images, asked.claims), judged(asked.drawings / 255, asked.claims)
    scores = {}
    for part in (*PARTS, "all"):
        right, ceiling = ([getattr(one, part) for one in verdicts] for verdicts in (found, real))
        if any(one is not None for one in right):
            about = f"full captions of drawn scenes, {kind}"
            scores[part] = share(f"{part} right", right, ceiling, reference=about)
    return scores
