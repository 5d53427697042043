"""Samplers against diffusers' schedulers: the same network, the same noise, whole trajectories."""

from collections.abc import Callable

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler
from diffusers.schedulers import scheduling_ddpm
from exact import ALL_PATHS, mixture, normal, predicting
from torch import Tensor

from t2i_course.contract import RowGenerator, T2IError
from t2i_course.diffusion.objectives import KINDS, denoiser
from t2i_course.diffusion.samplers import SAMPLERS, clipped, ddim, ddpm, dpm_solver_2m, evaluations
from t2i_course.diffusion.schedules import cosine, linear, path, times

close = torch.testing.assert_close
SHAPE = (3, 1, 4, 4)
VP = {"linear": (linear(), "linear"), "cosine": (cosine(), "squaredcos_cap_v2")}
each_vp = pytest.mark.parametrize("vp", list(VP))


def network(x_t: Tensor, t: Tensor) -> Tensor:
    """Any smooth function of x_t and t, with shapes as a network has them."""
    t = t.view(-1, 1, 1, 1)
    return torch.tanh(x_t + 0.3) * (0.4 + 0.5 * t) + 0.1 * x_t.roll(1, dims=3)


def noise() -> RowGenerator:
    return RowGenerator("noise", rows=SHAPE[0])


def start() -> Tensor:
    return RowGenerator("start", rows=SHAPE[0]).normal(*SHAPE[1:]).double()


def scheduler_of(kind: type, vp: str, steps: int, **own: object) -> object:
    """diffusers' scheduler as it comes, with its tables in float32."""
    scheduler = kind(beta_schedule=VP[vp][1], prediction_type="v_prediction", **own)
    scheduler.set_timesteps(steps)
    return scheduler


def theirs(scheduler, step: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Tensor:
    x = start()
    for k in scheduler.timesteps:
        x = step(network(x, torch.full((len(x),), (int(k) + 1) / 1000)), k, x)
    return x


def ours(sampler: Callable[..., Tensor], vp: str, at: Tensor, clip: bool = False, **own) -> Tensor:
    path = VP[vp][0]
    denoise = denoiser("velocity", path, network)
    denoise = clipped(denoise, path) if clip else denoise
    return sampler(denoise, start(), at, path, noise(), **own)


def times_of(scheduler) -> Tensor:
    return torch.tensor([*((scheduler.timesteps + 1) / 1000).double(), 0.0]).double()


@each_vp
@pytest.mark.parametrize("clip", [False, True])
@pytest.mark.parametrize("steps", [50, 1000])
@pytest.mark.parametrize(
    ("variance", "theirs_is"), [("posterior", "fixed_small"), ("beta", "fixed_large")]
)
def test_ddpm_is_diffusers(vp, clip, steps, variance, theirs_is, monkeypatch):
    """On their "leading" timesteps, whose last is 1 / T: on others their fixed_large adds noise to
    the final image."""
    scheduler = scheduler_of(
        DDPMScheduler, vp, steps, clip_sample=clip, variance_type=theirs_is
    )  # "leading" is their default
    # β_t = 1 − ᾱ_t / ᾱ_{t−1} loses four digits in their float32: what is compared is the step
    scheduler.alphas_cumprod = VP[vp][0].alpha_bar[1:]
    draws = noise()
    monkeypatch.setattr(
        scheduling_ddpm, "randn_tensor", lambda shape, **_: draws.normal(*shape[1:]).double()
    )
    want = theirs(scheduler, lambda out, k, x: scheduler.step(out, k, x).prev_sample)
    got = ours(ddpm, vp, times_of(scheduler), clip, variance=variance)
    close(got, want, atol=1e-5, rtol=0)


@each_vp
@pytest.mark.parametrize("clip", [False, True])
@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_ddim_is_diffusers(vp, clip, eta):
    scheduler = scheduler_of(DDIMScheduler, vp, 50, clip_sample=clip, timestep_spacing="trailing")
    draws = noise()

    def step(out: Tensor, k: Tensor, x: Tensor) -> Tensor:
        z = draws.normal(*SHAPE[1:]).double()
        return scheduler.step(
            out, k, x, eta=eta, variance_noise=z, use_clipped_model_output=clip
        ).prev_sample

    got = ours(ddim, vp, times(VP[vp][0], 50), clip, eta=eta)
    close(got, theirs(scheduler, step), atol=1e-5, rtol=0)


@each_vp
@pytest.mark.parametrize("steps", [5, 20, 100])
def test_dpm_solver_2m_is_diffusers(vp, steps):
    scheduler = scheduler_of(DPMSolverMultistepScheduler, vp, steps, timestep_spacing="trailing")
    want = theirs(scheduler, lambda out, k, x: scheduler.step(out, k, x).prev_sample)
    close(ours(dpm_solver_2m, vp, times(VP[vp][0], steps)), want, atol=1e-5, rtol=0)


@each_vp
def test_ddim_with_eta_one_on_the_full_schedule_is_ddpm(vp):
    full = times(VP[vp][0], 1000)
    close(ours(ddim, vp, full, eta=1.0), ours(ddpm, vp, full), atol=1e-9, rtol=0)


@pytest.mark.parametrize("eta", [0.0, 0.3])
def test_on_the_flow_euler_is_ddim_without_noise(eta):
    flow = path("flow")
    denoise = denoiser("velocity", flow, network)
    args = (denoise, start(), times(flow, 7), flow)
    euler = SAMPLERS["euler"](*args, noise())
    distance = (euler - ddim(*args, noise(), eta=eta)).abs().max()
    assert distance < 1e-12 if eta == 0 else distance > 0.01


@pytest.mark.parametrize("path", ALL_PATHS, ids=lambda path: path.name)
@pytest.mark.parametrize("name", list(SAMPLERS))
def test_velocity_noise_and_data_made_from_one_optimum_take_the_same_way(name, path):
    """The data has mean 0, which is what noise is taken to say of x_0 at the flow's t = 1."""
    means, shares = torch.tensor([[1.0, 0.5], [-1.0, -0.5]]).double(), torch.full((2,), 0.5)
    optimum = mixture(path, means, 0.2, shares.double())
    ends = []
    for kind in KINDS:
        seen: list[Tensor] = []
        denoise = denoiser(kind, path, predicting(kind, path, optimum))
        SAMPLERS[name](
            denoise, normal(4, 2, seed=0), times(path, 10), path, RowGenerator(5, rows=4),
            watch=lambda t, x_t, x_0, seen=seen: seen.extend([x_t, x_0]),
        )  # fmt: skip
        ends.append(torch.stack(seen))
    assert len(ends[0]) == 20
    close(ends[1], ends[0], atol=1e-6, rtol=0)
    close(ends[2], ends[0], atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", list(SAMPLERS))
def test_a_row_does_not_depend_on_the_batch_it_came_in(name):
    flow, own = path("flow"), {"eta": 0.7} if name == "ddim" else {}
    denoise = denoiser("velocity", flow, network)

    def sample(rows: range) -> Tensor:
        x = RowGenerator("x", rows=rows).normal(1, 4, 4)
        generator = RowGenerator("z", rows=rows)
        return SAMPLERS[name](denoise, x, times(flow, 5), flow, generator, **own)

    whole = sample(range(0, 50))
    assert whole.dtype == torch.float32
    parts = torch.cat([sample(range(0, 17)), sample(range(17, 50))])
    close(parts, whole, atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", list(SAMPLERS))
def test_the_network_is_called_as_often_as_is_said_and_never_at_time_zero(name):
    calls: list[float] = []

    def counting(x_t: Tensor, t: Tensor) -> Tensor:
        assert t.shape == (len(x_t),) and t.dtype == torch.float64
        calls.append(float(t[0]))
        return network(x_t, t)

    flow = path("flow")
    SAMPLERS[name](denoiser("velocity", flow, counting), start(), times(flow, 6), flow, noise())
    assert len(calls) == evaluations(name, 6) == (11 if name == "heun" else 6)
    assert min(calls) > 0


def test_clipped_predictions_are_inside_and_still_add_up_to_x_t():
    flow, x_t, t = path("flow"), 3 * normal(*SHAPE, seed=0), torch.full((3,), 0.6)
    x_0, eps = clipped(denoiser("data", flow, lambda x, t: 2 * x), flow)(x_t, t)
    assert x_0.abs().max() == 1
    close(0.4 * x_0 + 0.6 * eps, x_t, atol=1e-6, rtol=0)


def test_a_wrong_use_says_what_is_wrong():
    flow = path("flow")
    denoise = denoiser("velocity", flow, network)
    for bad in ([0.0, 1.0], [1.0], [1.0, 0.5, 0.5], [1000.0, 0.0]):
        with pytest.raises(T2IError, match="times decrease"):
            ddim(denoise, start(), torch.tensor(bad), flow, noise())
    with pytest.raises(T2IError, match="eta"):
        ddim(denoise, start(), times(flow, 2), flow, noise(), eta=1.5)
    with pytest.raises(T2IError, match="Known: posterior, beta"):
        ddpm(denoise, start(), times(flow, 2), flow, noise(), variance="fixed_small")
    with pytest.raises(T2IError, match="4 rows for 3 images"):
        ddpm(denoise, start(), times(flow, 2), flow, RowGenerator(0, rows=4))
    with pytest.raises(T2IError, match="dpm-solver-2m"):
        evaluations("dpm", 3)
