"""A set of labelled images held as one tensor."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from t2i_course.contract import Condition, RowGenerator, require, tensors_sha256


@dataclass(frozen=True)
class LabelledImages:
    """Images in memory, each with a label; the label conditions through a table of vectors.

    Args:
        name: of the set, such as "fashion".
        split: "train", "valid" or "test".
        images: uint8 `[N, C, H, W]`, grey values or colours from 0 to 255.
        labels: int64 `[N]`.
        classes: the labels' names, K of them.
        vectors: `[K, D]`: row k is the condition's vector of label k; one-hot by default.
        stand_in: True if the images were drawn by the package in place of real ones.
    """

    name: str
    split: str
    images: Tensor
    labels: Tensor
    classes: tuple[str, ...]
    vectors: Tensor
    stand_in: bool = False

    def __post_init__(self) -> None:
        require(
            self.images.dtype == torch.uint8 and self.images.ndim == 4,
            f"images must be uint8 [N, C, H, W], not {self.images.dtype} "
            f"{list(self.images.shape)}.",
        )
        require(
            self.labels.shape == (len(self.images),),
            f"There are {len(self.images)} images and labels of shape {list(self.labels.shape)}.",
        )
        require(
            len(self.vectors) == len(self.classes),
            f"There are {len(self.classes)} classes and {len(self.vectors)} condition vectors.",
        )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, rows: slice) -> "LabelledImages":
        """The same set with the rows of a slice only."""
        return replace(self, images=self.images[rows], labels=self.labels[rows])

    @property
    def title(self) -> str:
        """Name and split, as a figure's title needs them; says if it is a stand-in."""
        return f"{self.name} {self.split}" + (" (drawn stand-in)" if self.stand_in else "")

    def pixels(self, index: Tensor | slice = slice(None)) -> Tensor:
        """The selected images as float32 `[B, C, H, W]` in [0, 1]."""
        return self.images[index] / 255

    def each_class(self, count: int) -> Tensor:
        """Where the first `count` images of each class are: indices `[K, count]`.

        Raises:
            T2IError: if a class has fewer.
        """
        found = [(self.labels == k).nonzero()[:count, 0] for k in range(len(self.classes))]
        fewest = min(map(len, found))
        require(fewest == count, f"{self.title} has only {fewest} images of a class, not {count}.")
        return torch.stack(found)

    def condition(self, labels: Tensor | None = None) -> Condition:
        """The condition for the given labels `[B]`, or for all the set's own."""
        return Condition.of(self.vectors[self.labels if labels is None else labels])

    def batch(self, index: Tensor, generator: RowGenerator) -> tuple[Tensor, Condition]:
        """See `contract.Data`; nothing is drawn."""
        images = self.images.index_select(0, index) / 255  # five times as fast as [index]
        return images, self.condition(self.labels[index])

    @cached_property
    def sha256(self) -> str:
        """A fingerprint of the images, the labels and the condition vectors."""
        parts = {"images": self.images, "labels": self.labels, "vectors": self.vectors}
        return tensors_sha256(parts)

    def card(self) -> dict[str, Any]:
        """See `contract.Data`."""
        return {
            "name": self.name, "split": self.split, "images": len(self), "sha256": self.sha256,
            "shape": list(self.images.shape[1:]), "stand_in": self.stand_in,
        }  # fmt: skip
