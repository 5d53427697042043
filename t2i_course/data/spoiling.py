"""Drawings made worse: as a model might have drawn them, or so that they show no scene any more."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from t2i_course.contract import RowGenerator
from t2i_course.data.scenes import MOST, PART
from t2i_course.data.shapes import GROUND, UNITS

TURN = 30  # degrees, at most
STRETCH = (1.4, 2.0)


def spoiled(images: Tensor, generator: RowGenerator, noise: float, tint: float) -> Tensor:
    """Images `[B, 3, S, S]` as a model might have drawn them: every other one, by the generator,
    is blurred (by up to a binomial kernel of 3x3), tinted (each channel's gain and offset off by up
    to `tint`) and noisy (normal, σ up to `noise`); clipped to [0, 1]."""
    S = images.shape[-1]
    some = (generator.uniform() < 0.5).float().to(images.device)
    amount = some[:, None] * generator.uniform(2).to(images.device)  # [B, 2]
    line = images.new_tensor([0.25, 0.5, 0.25])
    kernel = (line[:, None] * line).expand(3, 1, 3, 3)
    soft = F.conv2d(F.pad(images, (1,) * 4, mode="replicate"), kernel, groups=3)
    seen = torch.lerp(images, soft, amount[:, 0, None, None, None])
    sway = (some[:, None] * (2 * generator.uniform(6).to(images.device) - 1))[..., None, None]
    seen = seen * (1 + tint * sway[:, :3]) + tint * sway[:, 3:]
    grain = generator.normal(3, S, S).to(images.device)
    return (seen + noise * amount[:, 1, None, None, None] * grain).clamp(0, 1)


def damaged(images: Tensor, vectors: Tensor, generator: RowGenerator) -> Tensor:
    """Images `[B, 3, S, S]` of the scenes `[B, MOST * PART]` (`scenes.encode`), each damaged in one
    of four ways by the generator, so that hardly one is a drawing of ours.

    Half of the first thing is painted over (not the lower half: what is left of a triangle would
    be one); the picture is stretched or squeezed one way, and turned; a copy of it is laid on it,
    so near that things overlap; or it is averaged with itself upside down.
    """
    B, device = len(images), images.device
    way = generator.integers(0, 4).to(device)
    dice = generator.uniform(4).to(device)
    ground = images.new_tensor(GROUND).view(3, 1, 1) / 255
    _, _, x, y, extent = vectors.view(-1, MOST, PART)[:, 0].unbind(1)  # each [B]
    erased = torch.where(_half(images, x, y, extent, (3 * dice[:, 0]).long()), ground, images)
    # Affine maps from the picture's places in [-1, 1] to those that it is looked up at.
    angle = math.radians(TURN) * (2 * dice[:, 0] - 1)
    low, high = STRETCH
    factor = low + (high - low) * dice[:, 1]
    factor = torch.where(dice[:, 2] < 0.5, factor, 1 / factor)
    c, s, nothing = angle.cos(), angle.sin(), torch.zeros_like(angle)
    bend = torch.stack([c * factor, -s, nothing, s * factor, c, nothing], dim=1).view(B, 2, 3)
    bent = _looked_up(images, bend)
    direction, far = 2 * math.pi * dice[:, 0], extent * (0.4 + 0.7 * dice[:, 1])
    pixel = UNITS / images.shape[-1]
    move = torch.stack([direction.cos(), direction.sin()], dim=1) * far[:, None]
    move = 2 * (move / pixel).round() * pixel / UNITS  # whole pixels
    one = torch.ones_like(angle)
    shift = torch.stack([one, nothing, move[:, 0], nothing, one, move[:, 1]], dim=1).view(B, 2, 3)
    copy = _looked_up(images, shift)
    doubled = torch.where((copy - ground).abs().amax(1, keepdim=True) > 0.1, copy, images)
    ghost = (images + images.flip(2, 3)) / 2
    each = torch.stack([erased, bent, doubled, ghost])
    return each[way, torch.arange(B, device=device)]


def _half(images: Tensor, x: Tensor, y: Tensor, extent: Tensor, which: Tensor) -> Tensor:
    """The pixels of one half (0 left, 1 right, 2 upper) of a thing's box: bool `[B, 1, S, S]`."""
    S = images.shape[-1]
    middles = (torch.arange(S, device=images.device) + 0.5) * UNITS / S
    reach = extent + UNITS / S  # its soft outline too
    across, down = middles - x[:, None], middles - y[:, None]  # [B, S]
    columns = (across.abs() <= reach[:, None]) & torch.where(
        which[:, None] == 0, across < 0, (across > 0) | (which[:, None] == 2)
    )
    rows = (down.abs() <= reach[:, None]) & ((down < 0) | (which[:, None] < 2))
    return (rows[:, :, None] & columns[:, None, :])[:, None]


def _looked_up(images: Tensor, maps: Tensor) -> Tensor:
    grid = F.affine_grid(maps, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)
