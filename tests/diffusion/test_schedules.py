"""Paths against diffusers' tables, the definition of v, and the conditioning of Gaussians."""

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler
from exact import ALL_PATHS, normal
from hypothesis import given, settings
from hypothesis import strategies as st

from t2i_course.contract import T2IError
from t2i_course.diffusion.schedules import (
    Flow,
    cosine,
    linear,
    path,
    posterior,
    q_sample,
    shifted,
    times,
)

paths = st.sampled_from(ALL_PATHS)
close = torch.testing.assert_close


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (linear(), {"beta_schedule": "linear"}),
        (linear(250), {"beta_schedule": "linear", "beta_start": 4e-4, "beta_end": 0.08}),
        (cosine(), {"beta_schedule": "squaredcos_cap_v2"}),
        (cosine(50), {"beta_schedule": "squaredcos_cap_v2"}),
    ],
)
def test_tables_are_those_of_diffusers(ours, theirs):
    scheduler = DDPMScheduler(num_train_timesteps=ours.T, **theirs)
    close(ours.betas.float(), scheduler.betas, atol=1e-6, rtol=1e-6)
    close(ours.alpha_bar[1:].float(), scheduler.alphas_cumprod, atol=1e-6, rtol=1e-4)
    assert ours.alpha_bar[0] == 1


@pytest.mark.parametrize("path", ALL_PATHS, ids=lambda path: path.name)
def test_a_velocity_is_the_derivative_by_the_clock_and_has_unit_determinant(path):
    """Oracle: differences of a and s between neighbouring times, whose error is O(clock step²)."""
    t = torch.linspace(0, 1, 1001).double()
    c, clock = path.at(t), path.clock(t)
    for x, dx in [(c.a, c.da), (c.s, c.ds)]:
        close(x.diff() / clock.diff(), (dx[1:] + dx[:-1]) / 2, atol=1e-5, rtol=0)
    close(c.a * c.ds - c.s * c.da, torch.ones(1001).double())


@pytest.mark.parametrize("path", ALL_PATHS, ids=lambda path: path.name)
def test_a_path_begins_at_data_loses_signal_steadily_and_ends_in_noise(path):
    c = path.at(torch.linspace(0, 1, 1001))
    assert c.a[0] == 1 and c.s[0] == 0
    assert (c.a.diff() < 0).all() and (c.s.diff() >= 0).all()
    assert c.a[-1] < 0.007 and c.s[-1] > 0.9999
    assert (path.snr(torch.linspace(0, 1, 1001)).diff() < 0).all()


def test_q_sample_is_diffusers_add_noise_row_by_row():
    x_0, eps = normal(3, 2, 4, 4, seed=0), normal(3, 2, 4, 4, seed=1)
    steps = torch.tensor([1, 400, 1000])
    for ours, name in [(linear(), "linear"), (cosine(), "squaredcos_cap_v2")]:
        theirs = DDPMScheduler(beta_schedule=name).add_noise(x_0, eps, steps - 1)
        close(q_sample(ours, x_0, steps / 1000, eps), theirs, atol=1e-5, rtol=0)


@settings(deadline=None)
@given(paths, st.integers(0, 999), st.integers(1, 1000))
def test_the_posterior_is_the_conditional_of_the_joint_gaussian(path, low, gap):
    """Oracle: (x_u, x_t) given x_0 has covariance [[s_u², r s_u²], [r s_u², s_t²]]; conditioning it
    on x_t is a linear solve."""
    u, t = low / 1000, min(low + gap, 1000) / 1000
    now, then, q = path.at(t), path.at(u), posterior(path, t, u)
    close(q.ratio * then.a, now.a)
    close(q.ratio**2 * then.s**2 + q.beta, now.s**2)  # x_u diffused on to t
    covariance = q.ratio * then.s**2
    gain = covariance / now.s**2
    close(q.x_t_coefficient, gain)
    close(q.x_0_coefficient, then.a - gain * now.a, atol=1e-9, rtol=0)
    close(q.variance, then.s**2 - gain * covariance, atol=1e-9, rtol=0)
    assert all(torch.isfinite(part) for part in q)


@pytest.mark.parametrize("steps", [1, 4, 10, 250, 1000])
def test_times_are_diffusers_trailing_timesteps(steps):
    scheduler = DDIMScheduler(timestep_spacing="trailing")
    scheduler.set_timesteps(steps)
    ours = times(linear(), steps)
    assert (ours[:-1] * 1000).round().int().tolist() == (scheduler.timesteps + 1).tolist()
    assert ours[0] == 1 and ours[-1] == 0


@settings(deadline=None)
@given(paths, st.integers(1, 1000))
def test_times_go_down_from_one_to_zero_and_are_times_of_the_path(path, steps):
    t = times(path, steps)
    assert len(t) == steps + 1 and t[0] == 1 and t[-1] == 0 and (t.diff() < 0).all()
    if path.T:
        close(t * path.T, (t * path.T).round(), atol=1e-9, rtol=0)


def test_a_wrong_use_says_what_is_wrong():
    with pytest.raises(T2IError, match="Did you mean 'cosine'"):
        path("cosin")
    with pytest.raises(T2IError, match="divide a step in 1..T by T"):
        q_sample(linear(), torch.zeros(2, 1), torch.tensor([3, 500]), torch.zeros(2, 1))
    with pytest.raises(T2IError, match="from 1 to 100 steps, not 101"):
        times(cosine(100), 101)
    with pytest.raises(T2IError, match="steps, not 0"):
        times(Flow(), 0)
    with pytest.raises(T2IError, match="more than 20"):
        linear(20)


def test_shifted_times_multiply_the_noise_to_signal_ratio_and_keep_the_ends():
    t = torch.linspace(0, 1, 11, dtype=torch.float64)
    moved = shifted(t, 3.0)
    assert moved[0] == 0 and moved[-1] == 1
    inner, own = moved[1:-1], t[1:-1]
    torch.testing.assert_close(inner / (1 - inner), 3 * own / (1 - own))
    torch.testing.assert_close(shifted(t, 1.0), t)
