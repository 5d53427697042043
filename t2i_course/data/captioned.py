"""A set of images with captions, held in memory; a frozen text encoder makes the conditions."""

from collections.abc import Iterator, Sequence
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
from t2i_course.data.augment import Augmentation, augment
from t2i_course.data.images import Images


@dataclass(frozen=True)
class CaptionedImages(Images):
    """Images in memory, each with the same number of captions.

    Args:
        name, split, images: see `Images`.
        captions: N tuples of K captions.
        encoder: from captions to conditions; None for a set that is only looked at.
        augmentation: how training pictures are varied; None for not at all.
        source: by which `runs.load_data` finds the set again; "" for one that goes by its name.
        images_sha256: a fingerprint of `images` that is known already; "" to have it reckoned.
    """

    captions: Sequence[tuple[str, ...]]
    encoder: TextEncoder | None = None
    augmentation: Augmentation | None = None
    source: str = ""
    images_sha256: str = ""

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
        return replace(
            self, images=self.images[rows], captions=self.captions[rows], images_sha256=""
        )

    def weighted(self, first: int) -> "CaptionedImages":
        """The same set with each image's first caption standing `first` times in its list, to be
        drawn as often."""
        return replace(self, captions=[(one[0],) * first + tuple(one[1:]) for one in self.captions])

    def all_captions(self) -> Iterator[str]:
        """Every caption of every image."""
        return (caption for each in self.captions for caption in each)

    def condition(self, captions: Sequence[str], images: Tensor | None = None) -> Condition:
        """The condition of some captions, which need not be the set's own.

        Raises:
            T2IError: if the set has no text encoder.
        """
        return conditions(self.title, self.encoder, captions, images)

    def batch(self, index: Tensor, generator: RowGenerator) -> tuple[Tensor, Condition]:
        """See `contract.Data`; which of an image's captions it comes with is drawn, and so is how
        the picture is varied."""
        captions = one_of_each([self.captions[i] for i in index.tolist()], generator)
        images = self.gathered(index)
        if self.augmentation is not None:
            images = augment(images, captions, self.augmentation, generator)
        return images, self.condition(captions, images)

    @cached_property
    def sha256(self) -> str:
        """A fingerprint of the images, the captions and the encoder's weights."""
        texts = [seed_of(*each) for each in self.captions]
        text = self.encoder.sha256 if self.encoder else ""
        known = torch.empty(0) if self.images_sha256 else self.images
        return tensors_sha256(
            {
                f"images {self.images_sha256}{text}": known,
                "captions": torch.tensor(texts, dtype=torch.int64),
            }
        )

    def card(self) -> dict[str, Any]:
        """See `contract.Data`."""
        return super().card() | described(self.encoder, self.augmentation, self.source)


def one_of_each(captions: Sequence[tuple[str, ...]], generator: RowGenerator) -> list[str]:
    """One caption of each of B images that have the same number, drawn."""
    choice = generator.integers(0, len(captions[0])).tolist()
    return [some[k] for some, k in zip(captions, choice, strict=True)]


def conditions(
    title: str, encoder: TextEncoder | None, captions: Sequence[str], images: Tensor | None = None
) -> Condition:
    """What the encoder of the set `title` makes of captions, or of the training images that come
    with them if it is one that looks at those; `T2IError` if the set has none."""
    require(encoder is not None, f"{title} has no text encoder: give it one.")
    assert encoder is not None
    if images is not None and encoder.of_images is not None:
        return encoder.of_images(images)
    return encoder(list(captions))


def described(
    encoder: TextEncoder | None, augmentation: Augmentation | None, source: str
) -> dict[str, Any]:
    """What a set's card says of its captions' encoder, of its augmentation and its source."""
    card: dict[str, Any] = {"encoder": encoder.name if encoder else None}
    if encoder is not None and encoder.source:
        card |= {"encoder_source": encoder.source, "encoder_sha256": encoder.sha256}
    if augmentation is not None:
        card["augmentation"] = augmentation.to_dict()
    return card | ({"source": source} if source else {})
