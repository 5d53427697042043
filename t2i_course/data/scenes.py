"""Drawn shapes with the scenes that they show: what a trained reader learns from.

A scene travels as a condition's vector: for each of at most `MOST` things its kind and its colour
(as places in their lists), x, y and half-extent in units of 1/256; -1 throughout for no thing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from t2i_course.contract import Condition, RowGenerator, require, tensors_sha256
from t2i_course.data.images import Images
from t2i_course.data.shapes import COLOURS, KINDS, UNITS, Scene, Thing, draw, scene

NAME, SIDE = "scenes", 32
MOST = 3  # things in a drawn scene
PART = 5  # numbers for each
COLOUR_NAMES = tuple(COLOURS)
SEED = 1_000_003  # no picture that anything is scored on has it
# Drawings by split. A reader judges: it must know every pair of kind and colour, so it also sees
# those of `shapes.HELD_OUT`, which a model that draws never does.
MIX = {"train": 40_000, "held-out": 20_000}


@dataclass(frozen=True)
class DrawnScenes(Images):
    """Drawings in memory, each with its scene.

    Args:
        name, split, images: see `Images`.
        vectors: float32 `[N, MOST * PART]`, see `encode`.
        mix: how many of them are of which split of the shapes, in this order.
    """

    vectors: Tensor
    mix: Mapping[str, int]

    @property
    def title(self) -> str:
        """Name and splits, as a figure's title needs them."""
        return f"{self.name} {' and '.join(self.mix)}"

    def batch(self, index: Tensor, generator: RowGenerator) -> tuple[Tensor, Condition]:
        """See `contract.Data`; nothing is drawn."""
        return self.gathered(index), Condition.of(self.vectors.index_select(0, index))

    @cached_property
    def sha256(self) -> str:
        """A fingerprint of the images and their scenes."""
        return tensors_sha256({"images": self.images, "scenes": self.vectors})

    def card(self) -> dict[str, Any]:
        """See `contract.Data`."""
        return super().card() | {"mix": dict(self.mix)}


@cache
def scenes(share: float = 1.0, seed: int = SEED) -> DrawnScenes:
    """Drawings of the splits that `MIX` names, with their scenes (drawn once a process).

    Args:
        share: of the counts in `MIX`, from 0 (one drawing of each split at least) to 1.
        seed: see `data.shapes.scene`.
    """
    require(0 <= share <= 1, f"share must be from 0 to 1, not {share}.")
    mix = {split: max(1, round(share * count)) for split, count in MIX.items()}
    all_of_them = [scene(i, seed, split) for split, count in mix.items() for i in range(count)]
    images = torch.from_numpy(np.stack([draw(one, SIDE) for one in all_of_them]))
    return DrawnScenes(NAME, "train", images, encode(all_of_them), mix)


def encode(scenes: Sequence[Scene]) -> Tensor:
    """Scenes of at most `MOST` things as vectors, float32 `[B, MOST * PART]`.

    Raises:
        T2IError: for a scene of more things.
    """
    rows = []
    for one in scenes:
        count = len(one.things)
        require(count <= MOST, f"A scene of {count} things does not fit: at most {MOST} do.")
        row = [number for thing in one.things for number in _numbers(thing)]
        rows.append(row + [-1.0] * PART * (MOST - count))
    return torch.tensor(rows, dtype=torch.float32).view(len(rows), MOST * PART)


def _numbers(thing: Thing) -> tuple[float, ...]:
    kind, colour = KINDS.index(thing.kind), COLOUR_NAMES.index(thing.colour)
    return kind, colour, thing.x, thing.y, thing.extent


def same(a: Scene | None, b: Scene | None, within: int = 6, extent: int = UNITS) -> bool:
    """Whether two scenes have the same things: as many, and each with one in the other scene of its
    kind, colour and size class whose centre is at most `within` units off, across and down, and
    whose half-extent at most `extent`.

    Relations follow from these. None is the same as None only.
    """
    if a is None or b is None:
        return a is b
    left = list(b.things)
    for one in a.things:
        looks = (one.kind, one.colour, one.size)
        for other in left:
            off = max(abs(one.x - other.x), abs(one.y - other.y))
            near = off <= within and abs(one.extent - other.extent) <= extent
            if near and looks == (other.kind, other.colour, other.size):
                left.remove(other)
                break
        else:
            return False
    return not left
