"""What every set of images in memory has, whatever it is conditioned on."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from t2i_course.contract import require


@dataclass(frozen=True)
class Images:
    """Images in memory.

    Args:
        name: of the set, such as "fashion" or "shapes".
        split: such as "train", "valid", "test" or "held-out".
        images: uint8 `[N, C, H, W]`, grey values or colours from 0 to 255.

    Raises:
        T2IError: for images of another form.
    """

    name: str
    split: str
    images: Tensor

    def __post_init__(self) -> None:
        require(
            self.images.dtype == torch.uint8 and self.images.ndim == 4,
            f"images must be uint8 [N, C, H, W], not {self.images.dtype} "
            f"{list(self.images.shape)}.",
        )

    def __len__(self) -> int:
        return len(self.images)

    @property
    def title(self) -> str:
        """Name and split, as a figure's title needs them."""
        return f"{self.name} {self.split}"

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        C, H, W = self.images.shape[1:]
        return C, H, W

    @property
    def sha256(self) -> str:
        """A fingerprint of the set."""
        raise NotImplementedError

    def pixels(self, index: Tensor | slice = slice(None)) -> Tensor:
        """The selected images as float32 `[B, C, H, W]` in [0, 1]."""
        return self.images[index] / 255

    def gathered(self, index: Tensor) -> Tensor:
        """As `pixels`, for a batch's int64 indices `[B]` from 0 on: five times as fast."""
        return self.images.index_select(0, index) / 255

    def card(self) -> dict[str, Any]:
        """See `contract.Data`."""
        return {
            "name": self.name, "split": self.split, "images": len(self), "sha256": self.sha256,
            "shape": list(self.images.shape[1:]), "stand_in": False,
        }  # fmt: skip


def in_8_bits(images: Tensor) -> Tensor:
    """Images in [0, 1] rounded to 256 values, as a file would hold them and real ones are."""
    return (255 * images).round() / 255
