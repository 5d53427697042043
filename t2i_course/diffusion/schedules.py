"""Gaussian paths from data to noise, x_t = a_t x_0 + s_t ε, and what follows from them alone.

All paths have t in [0, 1], a_0 = 1 and s_0 = 0 (data), and t = 1 is noise. Beside a and s a path
has a velocity v = da x_0 + ds ε, scaled so that a ds − s da = 1. Then for every path

    x_0 = ds x_t − s v        ε = a v − da x_t

and v is dx_t/dclock with the path's own `clock`: t for the flow, the angle for the others.
"""

import math
from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor

from t2i_course.contract import require, unknown


class Coefficients(NamedTuple):
    """Of x_t = a x_0 + s ε and of its velocity v = da x_0 + ds ε: each `[B]` or a scalar."""

    a: Tensor
    s: Tensor
    da: Tensor
    ds: Tensor

    def like(self, x: Tensor) -> "Coefficients":
        """The same in x's type and on its device, shaped to multiply x `[B, …]` row by row."""
        return Coefficients(*(_like(c, x) for c in self))


def _like(c: Tensor, x: Tensor) -> Tensor:
    c = c.to(device=x.device, dtype=x.dtype)
    return c.view(-1, *[1] * (x.ndim - 1)) if c.ndim else c  # [B] -> [B, 1, 1, 1]


def _time(t: Tensor | float) -> Tensor:
    """t as float64 (float32 on Apple's GPUs, which have no other)."""
    t = t if isinstance(t, Tensor) else torch.tensor(t, dtype=torch.float64)
    if t.device.type == "cpu":  # elsewhere the check would wait for the device
        inside = bool(((t >= 0) & (t <= 1)).all())
        require(inside, "Times are in [0, 1], 1 = noise: divide a step in 1..T by T.")
    return t.to(torch.float32 if t.device.type == "mps" else torch.float64)


class Path(ABC):
    """A Gaussian path from data to noise.

    Attributes:
        name: a key of `PATHS`.
        T: the number of discrete times k / T, or None if every t in [0, 1] is a time.
    """

    name: str
    T: int | None

    @abstractmethod
    def at(self, t: Tensor | float) -> Coefficients:
        """a, s, da, ds in float64, of the shape of t (`[B]` or a scalar in [0, 1]).

        A path of discrete times takes the nearest one. `T2IError` for a t outside [0, 1].
        """

    @abstractmethod
    def clock(self, t: Tensor | float) -> Tensor:
        """The variable in which v is the derivative of x_t, of the shape of t."""

    def snr(self, t: Tensor | float) -> Tensor:
        """The signal-to-noise ratio a² / s², of the shape of t; infinite at t = 0."""
        c = self.at(t)
        return (c.a / c.s) ** 2


class VariancePreserving(Path):
    """x_t = √ᾱ_t x_0 + √(1 − ᾱ_t) ε at the times k / T (Ho et al. 2020, eq. 4).

    v = √ᾱ_t ε − √(1 − ᾱ_t) x_0 (Salimans and Ho 2022, appendix D), the derivative of x_t by the
    angle φ with cos φ = √ᾱ_t and sin φ = √(1 − ᾱ_t).

    Args:
        name: as in `PATHS`.
        betas: β_1 … β_T, `[T]`, each in (0, 1).

    Attributes:
        betas: the same in float64.
        alpha_bar: ᾱ_0 = 1, ᾱ_1, …, ᾱ_T with ᾱ_t = Π_{i ≤ t} (1 − β_i): `[T + 1]` float64.
    """

    T: int

    def __init__(self, name: str, betas: Tensor):
        inside = bool(((betas > 0) & (betas < 1)).all())
        require(
            betas.ndim == 1 and len(betas) > 0 and inside,
            "A schedule needs its β_1 … β_T in (0, 1), in one row.",
        )
        self.name, self.T, self.betas = name, len(betas), betas.double()
        self.alpha_bar = torch.cat([torch.ones(1), torch.cumprod(1 - self.betas, dim=0)])

    def at(self, t: Tensor | float) -> Coefficients:
        t = _time(t)
        alpha_bar = self.alpha_bar.to(t)[(t * self.T).round().long()]
        a, s = alpha_bar.sqrt(), (1 - alpha_bar).sqrt()
        return Coefficients(a, s, -s, a)

    def clock(self, t: Tensor | float) -> Tensor:
        """The angle φ from 0 (data) to nearly π/2."""
        c = self.at(t)
        return torch.atan2(c.s, c.a)


class Flow(Path):
    """x_t = (1 − t) x_0 + t ε and v = dx_t/dt = ε − x_0, for every t in [0, 1].

    Rectified flow (Liu et al. 2023; Lipman et al. 2023, eq. 20 to 23, with t the other way round).
    """

    name = "flow"
    T = None

    def at(self, t: Tensor | float) -> Coefficients:
        t = _time(t)
        one = torch.ones_like(t)
        return Coefficients(1 - t, t, -one, one)

    def clock(self, t: Tensor | float) -> Tensor:
        """t itself."""
        return _time(t)


def linear(T: int = 1000) -> VariancePreserving:
    """β_t evenly spaced from 10⁻⁴ to 0.02 (Ho et al. 2020, section 4).

    For T other than 1000 both ends are times 1000 / T, so that the path is nearly the same one
    (Nichol and Dhariwal 2021, their code). `T2IError` for T ≤ 20, where β would reach 1.
    """
    require(T > 20, f"The linear schedule needs more than 20 times, not {T}.")
    scale = 1000 / T
    return VariancePreserving(
        "linear", torch.linspace(scale * 1e-4, scale * 0.02, T, dtype=torch.float64)
    )


def cosine(T: int = 1000) -> VariancePreserving:
    """ᾱ_t = f(t) / f(0) with f(t) = cos²((t/T + 0.008) / 1.008 · π/2) and β_t at most 0.999.

    Nichol and Dhariwal 2021, eq. 17. `T2IError` for T < 1.
    """
    require(T >= 1, f"A schedule needs at least one time, not {T}.")
    t = torch.arange(T + 1, dtype=torch.float64) / T
    f = torch.cos((t + 0.008) / 1.008 * math.pi / 2) ** 2
    return VariancePreserving("cosine", (1 - f[1:] / f[:-1]).clamp(max=0.999))


PATHS = ("linear", "cosine", "flow")


def path(name: str, T: int = 1000) -> Path:
    """The path of that name in `PATHS`; T is the number of times of a discrete one.

    Raises:
        T2IError: for an unknown name, or a T that the schedule does not allow.
    """
    if name == "flow":
        return Flow()
    if name not in PATHS:
        raise unknown("path", name, PATHS)
    return linear(T) if name == "linear" else cosine(T)


def q_sample(path: Path, x_0: Tensor, t: Tensor | float, eps: Tensor) -> Tensor:
    """x_t = a x_0 + s ε, a draw from q(x_t | x_0) for standard normal ε (Ho et al. 2020, eq. 4).

    x_0 and ε `[B, …]`, t `[B]` or a scalar in [0, 1].
    """
    c = path.at(t).like(x_0)
    return c.a * x_0 + c.s * eps


class Posterior(NamedTuple):
    """q(x_u | x_t, x_0) = N(x_0_coefficient x_0 + x_t_coefficient x_t, variance I).

    And of the step back, q(x_t | x_u) = N(ratio x_u, beta I). Each `[B]` or a scalar, float64.
    """

    x_0_coefficient: Tensor
    x_t_coefficient: Tensor
    variance: Tensor
    ratio: Tensor
    beta: Tensor


def posterior(path: Path, t: Tensor | float, u: Tensor | float) -> Posterior:
    """q(x_u | x_t, x_0) for two times u < t of any Gaussian path.

    x_t given x_u is N(r x_u, β I) with r = a_t / a_u and β = s_t² − r² s_u²; with the product of
    that and q(x_u | x_0), completing the square gives the variance s_u² β / s_t² and the mean
    (a_u β / s_t²) x_0 + (r s_u² / s_t²) x_t. For neighbours on a variance-preserving path it is
    Ho et al. 2020, eq. 6 and 7, and β is β_t. Finite at t = 1 where a_t may be 0, and at u = 0,
    where it is x_0.
    """
    (a_t, s_t, _, _), (a_u, s_u, _, _) = path.at(t), path.at(u)
    ratio = a_t / a_u
    beta = s_t**2 - ratio**2 * s_u**2
    return Posterior(
        x_0_coefficient=a_u * beta / s_t**2,
        x_t_coefficient=ratio * s_u**2 / s_t**2,
        variance=s_u**2 * beta / s_t**2,
        ratio=ratio,
        beta=beta,
    )


def times(path: Path, steps: int) -> Tensor:
    """The times of a sampler's steps: from 1 to 0, evenly spaced, `[steps + 1]` float64.

    On a path of T discrete times each is rounded to one of them ("trailing" spacing: Lin et al.
    2024, section 3.3). `T2IError` for fewer than one step, or more than T.
    """
    most = path.T or 1_000_000
    require(1 <= steps <= most, f"Sampling takes from 1 to {most:,} steps, not {steps}.")
    even = torch.linspace(1, 0, steps + 1, dtype=torch.float64)
    return (even * path.T).round() / path.T if path.T else even


def shifted(t: Tensor, shift: float) -> Tensor:
    """Times in [0, 1] moved towards noise, `shift` t / (1 + (`shift` − 1) t); 1 leaves them.

    s / a = t / (1 − t) becomes `shift` times as large (Esser et al. 2024, eq. 23). In a picture of
    large flat areas many pixels tell of one thing, so that what is where shows through much noise
    and is decided early in the walk, where unshifted times are few.
    """
    return shift * t / (1 + (shift - 1) * t)
