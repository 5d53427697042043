"""Drawn shapes as a set of captioned images in memory."""

from functools import cache

import numpy as np
import torch

from t2i_course.contract import require, unknown
from t2i_course.data.captioned import CaptionedImages
from t2i_course.data.captions import captions
from t2i_course.data.shapes import draw, scene

SOURCES = {"shapes": 32, "shapes-64": 64}  # by name, the side of the pictures in pixels
# Pictures of a training set, by `things` of `data.shapes.scene`: how scenes come of themselves, and
# more of those that are hard to draw. Some fifteen seconds to draw and to caption.
MIX: dict[int | None, int] = {None: 18_000, 2: 8_000, 3: 4_000}
COUNT = sum(MIX.values())


@cache
def shapes(
    split: str = "train",
    count: int = COUNT,
    source: str = "shapes",
    seed: int = 0,
    things: int | None = None,
) -> CaptionedImages:
    """The first `count` scenes of a split, drawn and with five captions each, the first of which
    says everything (drawn once a process).

    Args:
        split, seed, things: see `data.shapes.scene`.
        count: how many.
        source: a name in `SOURCES`: how large they are drawn.

    Raises:
        T2IError: for values that `data.shapes` does not take.
    """
    if source not in SOURCES:
        raise unknown("set of drawn shapes", source, SOURCES)
    require(count >= 1, f"A set needs at least one picture, not {count}.")
    scenes = [scene(index, seed, split, things) for index in range(count)]
    images = torch.from_numpy(np.stack([draw(one, SOURCES[source]) for one in scenes]))
    texts = [captions(one, index, seed) for index, one in enumerate(scenes)]
    return CaptionedImages(source, split, images, texts)


@cache
def mixed(split: str = "train", share: float = 1.0, source: str = "shapes") -> CaptionedImages:
    """Drawings of a split as `MIX` has them (drawn once a process).

    Args:
        share: of the counts in `MIX`, from 0 (one of each at least) to 1.
        split, source: see `shapes`.
    """
    require(0 <= share <= 1, f"share must be from 0 to 1, not {share}.")
    parts = [  # a seed each: with one for all, 2 and 3 would repeat pictures of None
        shapes(split, max(1, round(share * count)), source, seed, things)
        for seed, (things, count) in enumerate(MIX.items())
    ]
    images = torch.cat([part.images for part in parts])
    return CaptionedImages(source, split, images, [one for part in parts for one in part.captions])
