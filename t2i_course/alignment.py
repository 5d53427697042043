"""Whether pictures show what their prompts say, part by part, by the exact reader; and where the
trained reader, as a second opinion, disagrees."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from t2i_course import runs
from t2i_course.contract import Family, RowGenerator, Settings, TextEncoder, require
from t2i_course.data.captions import described
from t2i_course.data.claims import PARTS, Claim, Verdict, verdict
from t2i_course.data.images import in_8_bits
from t2i_course.data.reader import read
from t2i_course.data.scenes import same
from t2i_course.data.shapes import Scene, draw, scene
from t2i_course.metrics.alignment import share
from t2i_course.metrics.score import Score
from t2i_course.models.scene_reader import SceneReader

BATCH = 64  # prompts drawn at once
SECOND = "reader-shapes"  # the trained reader, in the zoo
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

    @cached_property
    def ceilings(self) -> tuple[list[Verdict], list[Verdict]]:
        """What the exact reader and the trained one say of the drawings."""
        real = self.drawings / 255
        return judged(real, self.claims), second_opinion(real, self.claims)


@cache
def prompts(kind: str, count: int, side: int = 32, seed: int = 0) -> Prompts:
    """The first `count` prompts of a kind, a name in `KINDS_OF_PROMPTS` (made once a process)."""
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
    return _verdicts(claims, _exactly(images))


def second_opinion(images: Tensor, claims: Sequence[Claim]) -> list[Verdict]:
    """What the trained reader that ships says of each image `[B, 3, S, S]` in [0, 1], S 32 or 64,
    and its claim."""
    return _verdicts(claims, trained_reader().read(in_8_bits(images.cpu())))


@cache
def trained_reader() -> SceneReader:
    """The reader that ships; from the package only, never from a folder of its name."""
    reader = runs.load(runs.ZOO / SECOND)
    assert isinstance(reader, SceneReader)
    return reader


def wholly_right(
    reader: SceneReader, split: str, count: int = 10_000, side: int = 32, seed: int = 0
) -> Score:
    """Of how many fresh drawings of a split `reader` reads the very things (`scenes.same`)."""
    right = []
    for first in range(0, count, 1000):
        true = [scene(index, seed, split) for index in range(first, min(first + 1000, count))]
        drawings = np.stack([draw(one, side) for one in true])
        found = reader.read(torch.from_numpy(drawings) / 255)
        right += [same(*both) for both in zip(found, true, strict=True)]
    about = f"fresh drawings, {split}, {side}x{side}"
    return share("scenes wholly right", right, judge="the drawn scenes", reference=about)


def _exactly(images: Tensor) -> list[Scene | None]:
    return [read(one) for one in (255 * images.cpu()).round().byte().numpy()]


def _verdicts(claims: Sequence[Claim], scenes: Sequence[Scene | None]) -> list[Verdict]:
    require(
        len(scenes) == len(claims),
        f"There are {len(scenes)} images and {len(claims)} claims: each image needs its own.",
    )
    return [verdict(claim, one) for claim, one in zip(claims, scenes, strict=True)]


@torch.no_grad()
def drawn(
    family: Family,
    encoder: TextEncoder,
    captions: Sequence[str],
    seed: int = 0,
    settings: Settings | None = None,
) -> Tensor:
    """One image for each caption, `[B, C, H, W]` in [0, 1]; image i depends on (seed, i) and its
    caption."""
    images = []
    for first in range(0, len(captions), BATCH):
        part = list(captions[first : first + BATCH])
        generator = RowGenerator(seed, "sample", rows=range(first, first + len(part)))
        images.append(family.sample(encoder(part).to(family.device), generator, settings).cpu())
    return torch.cat(images)


def score(images: Tensor, asked: Prompts, kind: str) -> dict[str, Score]:
    """The share of pictures that are right, by part of what their prompts say, and in "all" parts.

    Each stands beside its ceiling, the reader's score of real drawings of the same prompts. Two
    more say what the trained reader makes of it: "agreement", the share of pictures that both find
    right in all parts or both do not; and "second only", the share that the exact reader gives no
    answer on and the trained one finds right: so much "all" may be too low.

    Args:
        images: `[N, 3, S, S]` in [0, 1], one for each prompt.
        asked: the prompts.
        kind: their name in `KINDS_OF_PROMPTS`.
    """
    about = f"full captions of drawn scenes, {kind}"
    exact, scores = _exactly(images), {}
    found, (real, _) = _verdicts(asked.claims, exact), asked.ceilings
    for part in (*PARTS, "all"):
        right, ceiling = ([getattr(one, part) for one in verdicts] for verdicts in (found, real))
        if any(one is not None for one in right):
            scores[part] = share(f"{part} right", right, ceiling, reference=about)
    return scores | _of_both(images, asked, exact, found, about)


def _of_both(
    images: Tensor, asked: Prompts, exact: list[Scene | None], found: list[Verdict], about: str
) -> dict[str, Score]:  # fmt: skip
    """The scores "agreement" and "second only"."""
    second = second_opinion(images, asked.claims)
    agreed, ceiling = (
        [a.all == b.all for a, b in zip(first, others, strict=True)]
        for first, others in ((found, second), asked.ceilings)
    )
    alone = [one is None and other.all for one, other in zip(exact, second, strict=True)]
    note = (
        f"the exact reader has no answer on {sum(one is None for one in exact):,} of "
        f"{len(exact):,}; {sum(alone):,} of these the trained one finds right"
    )
    names: dict[str, Any] = {"features": SECOND, "features_sha256": trained_reader().sha256}
    return {
        "agreement": replace(
            share("both readers agree", agreed, ceiling, reference=about), note=note, **names
        ),
        "second only": replace(
            share("right by the trained reader only", alone, reference=about), note=note, **names
        ),
    }
