"""A set of labelled images held as one tensor."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from t2i_course.contract import Condition, RowGenerator, require, tensors_sha256
from t2i_course.data.images import Images


@dataclass(frozen=True)
class LabelledImages(Images):
    """Images in memory, each with a label; the label conditions through a table of vectors.

    Args:
        name, split, images: see `Images`.
        labels: int64 `[N]`.
        classes: the labels' names, K of them.
        vectors: `[K, D]`: row k is the condition's vector of label k; one-hot by default.
        stand_in: True if the images were drawn by the package in place of real ones.
    """

    labels: Tensor
    classes: tuple[str, ...]
    vectors: Tensor
    stand_in: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            self.labels.shape == (len(self.images),),
            f"There are {len(self.images)} images and labels of shape {list(self.labels.shape)}.",
        )
        require(
            len(self.vectors) == len(self.classes),
            f"There are {len(self.classes)} classes and {len(self.vectors)} condition vectors.",
        )

    def __getitem__(self, rows: slice) -> "LabelledImages":
        """The same set with the rows of a slice only."""
        return replace(self, images=self.images[rows], labels=self.labels[rows])

    @property
    def title(self) -> str:
        """Name and split, as a figure's title needs them; says if it is a stand-in."""
        return super().title + (" (drawn stand-in)" if self.stand_in else "")

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
        return self.gathered(index), self.condition(self.labels[index])

    @cached_property
    def sha256(self) -> str:
        """A fingerprint of the images, the labels and the condition vectors."""
        parts = {"images": self.images, "labels": self.labels, "vectors": self.vectors}
        return tensors_sha256(parts)

    def card(self) -> dict[str, Any]:
        """See `contract.Data`."""
        return super().card() | {"stand_in": self.stand_in}
