"""From noise to data: each sampler a plain function of one signature.

    sampler(denoise, x, times, path, generator, …, watch=None) -> x at times[-1]

Args of all of them:
    denoise: x_t `[B, …]` and t `[B]` to (x_0, ε), as `objectives.denoiser` makes it.
    x: `[B, …]` at times[0]; at time 1 standard normal noise.
    times: decreasing, in [0, 1], `[S + 1]`, as `schedules.times` makes them. Any will do.
    path: the Gaussian path on which `denoise` was trained.
    generator: of B rows; samplers without noise draw nothing from it.
    watch: called as watch(t, x_t, x_0) after each step's first evaluation, to see the way there.

Below, t is the time of a step and u < t the next one. Numbers that multiply x are computed in
float64 and applied in x's type.
"""

from collections.abc import Callable, Iterator
from itertools import pairwise

import torch
from torch import Tensor

from t2i_course.contract import RowGenerator, require, unknown
from t2i_course.diffusion.objectives import Denoise
from t2i_course.diffusion.schedules import Path, posterior

Watch = Callable[[float, Tensor, Tensor], None]
VARIANCES = ("posterior", "beta")


@torch.no_grad()
def ddpm(
    denoise: Denoise,
    x: Tensor,
    times: Tensor,
    path: Path,
    generator: RowGenerator,
    variance: str = "posterior",
    watch: Watch | None = None,
) -> Tensor:
    """Ancestral sampling (Ho et al. 2020, algorithm 2), on any times of any Gaussian path.

    `variance` is the reverse step's: "posterior", that of q(x_u | x_t, x_0), exact if the data is
    one point; or "beta", that of q(x_t | x_u), exact if the data is N(0, I) (their section 3.2).
    """
    for t, u in steps(times):
        x_0, _ = evaluate(denoise, x, t, watch)
        x = p_sample(x, x_0, t, u, path, generator, variance)
    return x


def p_sample(
    x: Tensor,
    x_0: Tensor,
    t: Tensor,
    u: Tensor,
    path: Path,
    generator: RowGenerator,
    variance: str = "posterior",
) -> Tensor:
    """x_u ~ N(mean of q(x_u | x_t, x_0), variance), with the network's x_0 for the true one.

    No noise is added in the step to u = 0. `T2IError` for a variance that is not in `VARIANCES`.
    """
    if variance not in VARIANCES:
        raise unknown("variance", variance, VARIANCES)
    q = posterior(path, t, u)
    mean = q.x_0_coefficient * x_0 + q.x_t_coefficient * x
    if u == 0:
        return mean
    sigma = (q.variance if variance == "posterior" else q.beta).sqrt()
    return mean + sigma * noise_like(x, generator)


@torch.no_grad()
def ddim(
    denoise: Denoise,
    x: Tensor,
    times: Tensor,
    path: Path,
    generator: RowGenerator,
    eta: float = 0.0,
    watch: Watch | None = None,
) -> Tensor:
    """x_u = a_u x_0 + √(s_u² − σ²) ε + σ z with σ = η times the posterior's deviation.

    Song et al. 2021, eq. 12 and 16. η = 0 is deterministic, η = 1 is `ddpm`.
    """
    require(0 <= eta <= 1, f"eta must be in [0, 1], not {eta}.")
    for t, u in steps(times):
        x_0, eps = evaluate(denoise, x, t, watch)
        c = path.at(u)
        variance = eta**2 * posterior(path, t, u).variance
        x = c.a * x_0 + (c.s**2 - variance).clamp(min=0).sqrt() * eps
        if variance > 0:
            x = x + variance.sqrt() * noise_like(x, generator)
    return x


@torch.no_grad()
def dpm_solver_2m(
    denoise: Denoise,
    x: Tensor,
    times: Tensor,
    path: Path,
    generator: RowGenerator,
    watch: Watch | None = None,
) -> Tensor:
    """DPM-Solver++(2M): x_u = (s_u / s_t) x_t + (a_u − a_t s_u / s_t) D (Lu et al. 2022b, alg. 2).

    D carries the last two predictions of x_0 forward in λ = log(a / s), the half log-SNR. The first
    step, and a step to u = 0, where λ is infinite, have D = x_0 and are DDIM's.
    """
    x_0_before, lambda_before = x, torch.tensor(torch.nan)
    for i, (t, u) in enumerate(steps(times)):
        x_0, _ = evaluate(denoise, x, t, watch)
        now, then = path.at(t), path.at(u)
        lambda_t, lambda_u = (now.a / now.s).log(), (then.a / then.s).log()
        D = x_0
        if i > 0 and u > 0:
            # 1 / (2 r) with r = (λ_t − λ_before) / (λ_u − λ_t); 0 where λ_before is −∞
            forward = (lambda_u - lambda_t) / (lambda_t - lambda_before) / 2
            D = x_0 + forward * (x_0 - x_0_before)
        ratio = then.s / now.s
        x = ratio * x + (then.a - now.a * ratio) * D
        x_0_before, lambda_before = x_0, lambda_t
    return x


@torch.no_grad()
def euler(
    denoise: Denoise,
    x: Tensor,
    times: Tensor,
    path: Path,
    generator: RowGenerator,
    watch: Watch | None = None,
) -> Tensor:
    """Euler's steps x_u = x_t + (clock_u − clock_t) v of the ODE dx/dclock = v.

    On the flow it is DDIM with η = 0.
    """
    for t, u in steps(times):
        x = x + (path.clock(u) - path.clock(t)) * _velocity(denoise, x, t, path, watch)
    return x


@torch.no_grad()
def heun(
    denoise: Denoise,
    x: Tensor,
    times: Tensor,
    path: Path,
    generator: RowGenerator,
    watch: Watch | None = None,
) -> Tensor:
    """Heun's steps of the same ODE: the mean of the velocities at both ends of Euler's step.

    Karras et al. 2022, algorithm 1, on the path's own clock. A step to u = 0 is Euler's, since
    there is no noise left to predict there: S steps cost 2S − 1 evaluations.
    """
    for t, u in steps(times):
        h = path.clock(u) - path.clock(t)
        v = _velocity(denoise, x, t, path, watch)
        if u > 0:
            v = (v + _velocity(denoise, x + h * v, u, path, None)) / 2
        x = x + h * v
    return x


SAMPLERS: dict[str, Callable[..., Tensor]] = {
    "ddpm": ddpm,
    "ddim": ddim,
    "dpm-solver-2m": dpm_solver_2m,
    "heun": heun,
    "euler": euler,
}


def evaluations(name: str, steps: int) -> int:
    """How often a sampler of `SAMPLERS` calls the network in that many steps down to t = 0."""
    if name not in SAMPLERS:
        raise unknown("sampler", name, SAMPLERS)
    return 2 * steps - 1 if name == "heun" else steps


def clipped(denoise: Denoise, path: Path) -> Denoise:
    """`denoise` with x_0 clamped to [-1, 1], and ε made to fit: x_t = a x_0 + s ε still holds.

    Where pixels live in [-1, 1] no x_0 is outside; large guidance weights push it there.
    """

    def clipping(x_t: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        x_0 = denoise(x_t, t)[0].clamp(-1, 1)
        c = path.at(t).like(x_t)
        return x_0, (x_t - c.a * x_0) / c.s

    return clipping


def steps(times: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """The pairs (t, u) of a time and the next one, each a float64 scalar on the CPU.

    Raises:
        T2IError: if there are fewer than two times, or they do not decrease within [0, 1].
    """
    times = times.detach().cpu().double()
    decreasing = times.ndim == 1 and len(times) >= 2 and bool((times[1:] < times[:-1]).all())
    require(
        decreasing and float(times[0]) <= 1 and float(times[-1]) >= 0,
        "A sampler's times decrease from at most 1 (noise) to at least 0 (data): see "
        "schedules.times.",
    )
    return pairwise(times)


def noise_like(x: Tensor, generator: RowGenerator) -> Tensor:
    """Standard normal numbers of the shape, type and device of x `[B, …]`."""
    rows = len(generator.rows)
    require(rows == len(x), f"The generator has {rows} rows for {len(x)} images.")
    return generator.normal(*x.shape[1:]).to(x)


def evaluate(denoise: Denoise, x: Tensor, t: Tensor, watch: Watch | None) -> tuple[Tensor, Tensor]:
    """(x_0, ε) of x `[B, …]` at the scalar time t, shown to `watch`."""
    dtype = torch.promote_types(x.dtype, torch.float32)  # bfloat16 has too few digits for t
    x_0, eps = denoise(x, torch.full((len(x),), float(t), dtype=dtype, device=x.device))
    if watch is not None:
        watch(float(t), x, x_0)
    return x_0, eps


def _velocity(denoise: Denoise, x: Tensor, t: Tensor, path: Path, watch: Watch | None) -> Tensor:
    x_0, eps = evaluate(denoise, x, t, watch)
    c = path.at(t)
    return c.da * x_0 + c.ds * eps
