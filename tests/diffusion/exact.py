"""Data whose exact denoiser is known, and noise that makes a linear sampler's variance exact."""

from collections.abc import Callable

import torch
from torch import Tensor

from t2i_course.contract import RowGenerator
from t2i_course.diffusion.objectives import Denoise, target
from t2i_course.diffusion.schedules import Path, path

ALL_PATHS = [path("linear"), path("cosine"), path("flow")]


def normal(*shape: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def mixture(path: Path, means: Tensor, deviation: float, shares: Tensor) -> Denoise:
    """E[x_0 | x_t] and E[ε | x_t] of x_0 ~ Σ_k shares_k N(means_k, deviation² I); means `[K, D]`.

    Given the mode k, x_t ~ N(a μ_k, (a² σ² + s²) I), and (x_0, x_t) is a Gaussian pair.
    """

    def denoise(x_t: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        c = path.at(t).like(x_t)
        off = x_t[:, None] - c.a[:, None] * means  # [B, K, D]
        variance = c.a**2 * deviation**2 + c.s**2  # [B, 1]
        weights = torch.softmax(shares.log() - (off**2).sum(dim=2) / (2 * variance), dim=1)
        gain = (c.a * deviation**2 / variance)[:, None]
        x_0 = (weights[:, :, None] * (means + gain * off)).sum(dim=1)
        # E[ε | x_t, k] = (s / variance) off, which is (x_t − a x_0) / s without a division by s
        eps = (weights[:, :, None] * (c.s / variance)[:, None] * off).sum(dim=1)
        return x_0, eps

    return denoise


def gaussian(path: Path, deviation: float) -> Denoise:
    """The same for x_0 ~ N(0, deviation² I)."""
    return mixture(path, torch.zeros(1, 1), deviation, torch.ones(1))


def predicting(kind: str, path: Path, denoise: Denoise) -> Callable[[Tensor, Tensor], Tensor]:
    """A network of that kind that knows what `denoise` knows: its optimum."""
    return lambda x_t, t: target(kind, path, t, *denoise(x_t, t))


class UnitNoise(RowGenerator):
    """The i-th draw is the i-th unit vector: a linear sampler's output then holds its weight on
    each draw, and its squared length is the variance that independent draws would give."""

    def __init__(self, dimensions: int):
        super().__init__("unit", rows=1)
        self.unit = iter(torch.eye(dimensions, dtype=torch.float64)[:, None])

    def normal(self, *shape: int) -> Tensor:
        return next(self.unit)


def variance_of(
    sampler: Callable[..., Tensor], deviation: float, path: Path, times: Tensor, **own: object
) -> float:
    """The exact variance of a sampler's output for the data N(0, deviation² I)."""
    noise = UnitNoise(len(times) + 1)
    x = noise.normal()
    c = path.at(times[0])
    x = x * (c.a**2 * deviation**2 + c.s**2).sqrt()  # x_t as the forward process has it
    return float((sampler(gaussian(path, deviation), x, times, path, noise, **own) ** 2).sum())
