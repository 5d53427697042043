"""Pictures varied as the first paper does it: random crop, mirror image, colour jitter.

A mirrored picture is not what its caption says where that says left or right; and letters in it can
no longer be read. The first is seen to here (`says_a_side`), the second is not.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from t2i_course.contract import RowGenerator, Settings, T2IError, require, unknown

SIDE = re.compile(r"\b(left|right)", re.IGNORECASE)
DRAWS = 8  # random numbers a picture: what one part takes does not move what the others get


@dataclass(frozen=True)
class Augmentation(Settings):
    """How much training pictures are varied; as it stands, not at all.

    Args:
        flip: probability of the mirror image, in [0, 1].
        crop: the smallest share of the picture's area that is shown, in (0, 1]; the share is drawn
            from [crop, 1], the place too, and the part scaled to the picture's size.
        jitter: brightness, contrast and saturation are multiplied by factors from [1 − jitter,
            1 + jitter], and the hue is turned by up to jitter / 8 of the circle; in [0, 1). "Color
            dithering" in the first paper, read as jitter.
    """

    flip: float = 0.0
    crop: float = 1.0
    jitter: float = 0.0

    def __post_init__(self) -> None:
        require(0 <= self.flip <= 1, f"flip is a probability in [0, 1], not {self.flip}.")
        require(0 < self.crop <= 1, f"crop is a share of the area in (0, 1], not {self.crop}.")
        require(0 <= self.jitter < 1, f"jitter must be in [0, 1), not {self.jitter}.")


USUAL = {"flip": 0.5, "crop": 0.7, "jitter": 0.2}  # of a part that is named without a number


def parse(text: str) -> Augmentation | None:
    """The augmentation that the command line names, such as "flip,crop=0.8"; None for "none".

    Raises:
        T2IError: for an unknown part or a value that is no number in its range.
    """
    if text.strip() == "none":
        return None
    chosen = {}
    for part in text.split(","):
        name, equals, value = part.strip().partition("=")
        if name not in USUAL:
            raise unknown("augmentation", name, ("none", *USUAL))
        try:
            chosen[name] = float(value) if equals else USUAL[name]
        except ValueError as error:
            raise T2IError(
                f"--augment takes parts with numbers, such as {name}={USUAL[name]}, not {part!r}."
            ) from error
    return Augmentation(**chosen)


def says_a_side(caption: str) -> bool:
    """Whether a caption speaks of left or right, so that its picture must not be mirrored."""
    return SIDE.search(caption) is not None


def augment(
    images: Tensor, captions: Sequence[str], how: Augmentation, generator: RowGenerator
) -> Tensor:
    """The pictures varied, `[B, 3, H, W]` in [0, 1] to the same; what is drawn for a row depends on
    the generator's key and the row alone.

    Args:
        images: square or not; left as they are.
        captions: B: a picture whose own says left or right is not mirrored.
        how: how much.
        generator: of B rows; one draw is taken, whatever `how` says.
    """
    u = generator.uniform(DRAWS).tolist()  # [B, DRAWS]
    rows = []
    for image, caption, row in zip(images, captions, u, strict=True):
        rows.append(_varied(image, replace(how, flip=0) if says_a_side(caption) else how, row))
    return torch.stack(rows)


def _varied(image: Tensor, how: Augmentation, u: Sequence[float]) -> Tensor:
    """One picture `[3, H, W]`, varied by the numbers u in [0, 1)."""
    from torchvision.transforms.v2 import functional as v2  # takes a second to import

    if how.crop < 1:
        H, W = image.shape[1:]
        side = (how.crop + (1 - how.crop) * u[0]) ** 0.5
        height, width = max(1, round(side * H)), max(1, round(side * W))
        top, left = int(u[1] * (H - height + 1)), int(u[2] * (W - width + 1))
        image = v2.resized_crop(image, top, left, height, width, [H, W], antialias=True)
    if u[3] < how.flip:
        image = v2.horizontal_flip(image)
    if how.jitter > 0:
        steps: tuple[Any, ...] = (v2.adjust_brightness, v2.adjust_contrast, v2.adjust_saturation)
        for step, each in zip(steps, u[4:7], strict=True):
            image = step(image, 1 + how.jitter * (2 * each - 1))
        image = v2.adjust_hue(image, 0.125 * how.jitter * (2 * u[7] - 1))
    return image.clamp(0, 1)
