"""What a network learns to say of x_t, how its errors are weighted, and at which times.

Noise, data and velocity are the same knowledge: with x_t each gives the other two. What differs is
how an error in one weighs as an error in another, and which of them is lost at the path's ends.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from t2i_course.contract import RowGenerator, unknown
from t2i_course.diffusion.schedules import Path

KINDS = ("noise", "data", "velocity")
WEIGHTS = ("none", "min-snr", "velocity")
DRAWS = ("uniform", "logit-normal")

Network = Callable[[Tensor, Tensor], Tensor]
"""x_t `[B, …]` and t `[B]` to a prediction of x_t's shape."""

Denoise = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""x_t `[B, …]` and t `[B]` to what is expected of (x_0, ε), with x_t = a x_0 + s ε."""


def target(kind: str, path: Path, t: Tensor | float, x_0: Tensor, eps: Tensor) -> Tensor:
    """What a network of that kind is to say of x_t = a x_0 + s ε: ε, x_0 or v = da x_0 + ds ε.

    x_0 and ε `[B, …]`, t `[B]` or a scalar. `T2IError` for a kind that is not in `KINDS`.
    """
    if kind == "noise":
        return eps
    if kind == "data":
        return x_0
    if kind == "velocity":
        c = path.at(t).like(x_0)
        return c.da * x_0 + c.ds * eps
    raise unknown("prediction", kind, KINDS)


def to_data_and_noise(
    kind: str, path: Path, t: Tensor | float, x_t: Tensor, out: Tensor
) -> tuple[Tensor, Tensor]:
    """(x_0, ε) from a network's prediction `out` of x_t; both of its shape, and x_t = a x_0 + s ε.

    Where a = 0 (t = 1 on the flow) x_t says nothing of x_0 and noise cannot give it: x_0 is then 0,
    the mean of centred data. Where s = 0 (t = 0) data cannot give ε: it is then 0. A velocity gives
    both everywhere. `T2IError` for a kind that is not in `KINDS`.
    """
    c = path.at(t).like(x_t)
    if kind == "noise":
        return _divided(x_t - c.s * out, c.a), out
    if kind == "data":
        return out, _divided(x_t - c.a * out, c.s)
    if kind == "velocity":
        return c.ds * x_t - c.s * out, c.a * out - c.da * x_t
    raise unknown("prediction", kind, KINDS)


def _divided(x: Tensor, by: Tensor) -> Tensor:
    """x / by, and 0 where `by` is 0 (with finite gradients there too)."""
    zero = by == 0
    return torch.where(zero, 0, x) / torch.where(zero, 1, by)


def denoiser(kind: str, path: Path, network: Network) -> Denoise:
    """A network of that kind as the function that samplers take."""
    return lambda x_t, t: to_data_and_noise(kind, path, t, x_t, network(x_t, t))


def weight(name: str, kind: str, path: Path, t: Tensor) -> Tensor:
    """The factor of each row's squared error in the kind's own space: `[B]`, of t's type.

    "none" is 1 (Ho et al. 2020, eq. 14). "min-snr" is min(SNR, γ) with γ = 5 as a weight of the
    error in x_0 (Hang et al. 2023, section 3.4), which as a weight of the error in ε is
    min(1, γ / SNR) and of that in v is s² min(SNR, γ), where s² is 1 / (SNR + 1) on a
    variance-preserving path. "velocity" makes the error count as one in v, whatever is predicted:
    1 / s² in x_0 and 1 / a² in ε (Li and He 2025, section 4.3, whose smallest s and a are 0.05).

    Raises:
        T2IError: for a name that is not in `WEIGHTS`, or a kind not in `KINDS`.
    """
    if kind not in KINDS:
        raise unknown("prediction", kind, KINDS)
    if name == "none":
        return torch.ones_like(t)
    if name == "velocity":
        c = path.at(t)
        error = {"noise": c.a, "data": c.s, "velocity": torch.ones_like(c.a)}[kind]
        return (error.clamp(min=0.05) ** -2).to(t.dtype)
    if name != "min-snr":
        raise unknown("weighting", name, WEIGHTS)
    gamma, snr = 5.0, path.snr(t)
    if kind == "noise":
        weights = (gamma / snr).clamp(max=1)
    elif kind == "data":
        weights = snr.clamp(max=gamma)
    else:
        weights = path.at(t).s ** 2 * snr.clamp(max=gamma)
    return weights.to(t.dtype)


def draw_times(name: str, path: Path, generator: RowGenerator) -> Tensor:
    """Training times, float32 `[B]`: in (0, 1], or among 1/T, 2/T, …, 1 on a discrete path.

    "uniform" (Ho et al. 2020, algorithm 1), or "logit-normal", the sigmoid of a standard normal
    number, which is seldom near the ends (Esser et al. 2024, eq. 19, with m = 0 and s = 1).
    `T2IError` for another name.
    """
    if name == "uniform":
        t = 1 - generator.uniform()
    elif name == "logit-normal":
        t = torch.sigmoid(generator.normal())
    else:
        raise unknown("draw of times", name, DRAWS)
    return (t * path.T).ceil() / path.T if path.T else t
