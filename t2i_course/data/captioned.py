"""A set of images with captions, held in memory; a frozen text encoder makes the conditions."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from t2i_course.contract import (
    Condition,
    RowGenerator,
    TextEncoder,
    require,
    seed_of,
    tensors_sha256,
)
from t2i_course.data.images import Images


@dataclass(frozen=True)
class CaptionedImages(Images):
    """Images in memory, each with the same number of captions.

    Args:
        name, split, images: see `Images`.
        captions: N tuples of K captions.
        encoder: from captions to conditions; None for a set that is only looked at.
    """

    captions: Sequence[tuple[str, ...]]
    encoder: TextEncoder | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            len(self.captions) == len(self.images),
            f"There are {len(self.images)} images and captions for {len(self.captions)}.",
        )
        counts = {len(each) for each in self.captions}
        require(
            len(counts) <= 1 and 0 not in counts,
            f"Every image needs the same number of captions, at least one; here are {counts}.",
        )

    def __getitem__(self, rows: slice) -> "CaptionedImages":
        """The same set with the rows of a slice only."""
        return replace(self, images=self.images[rows], captions=self.captions[rows])

    def condition(self, captions: Sequence[str]) -> Condition:
        """The condition of some captions, which need not be the set's own.

        Raises:
            T2IError: if the set has no text encoder.
        """
        require(self.encoder is not None, f"{self.title} has no text encoder: give it one.")
        assert self.encoder is not None
        return self.encoder(list(captions))

    def batch(self, index: Tensor, generator: RowGenerator) -> tuple[Tensor, Condition]:
        """See `contract.Data`; which of an image's captions it comes with is drawn."""
        choice = generator.integers(0, len(self.captions[0])).tolist()
        captions = [self.captions[i][k] for i, k in zip(index.tolist(), choice, strict=True)]
        return self.gathered(index), self.condition(captions)

    @cached_property
    def sha256(self) -> str:
        """A fingerprint of the images, the captions and the encoder's weights."""
        texts = [seed_of(*each) for each in self.captions]
        text = self.encoder.sha256 if self.encoder else ""
        return tensors_sha256(
            {f"images {text}": self.images, "captions": torch.tensor(texts, dtype=torch.int64)}
        )

    def card(self) -> dict[str, Any]:
        """See `contract.Data`."""
        return super().card() | {"encoder": self.encoder.name if self.encoder else None}
