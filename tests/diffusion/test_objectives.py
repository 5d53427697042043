"""Predictions and weights: round trips for all times, diffusers, and one loss in three spaces."""

import pytest
import torch
from diffusers import DDPMScheduler
from exact import ALL_PATHS, normal
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch.distributions import Normal

from t2i_course.contract import RowGenerator, T2IError
from t2i_course.diffusion.objectives import (
    DRAWS,
    KINDS,
    draw_times,
    target,
    to_data_and_noise,
    weight,
)
from t2i_course.diffusion.schedules import linear, path, q_sample

paths, kinds = st.sampled_from(ALL_PATHS), st.sampled_from(KINDS)
inside = st.lists(st.integers(1, 999), min_size=1, max_size=4)
close = torch.testing.assert_close


@settings(deadline=None)
@given(paths, kinds, inside)
def test_data_and_noise_come_back_from_every_prediction(path, kind, k):
    t = torch.tensor(k) / 1000
    x_0, eps = normal(len(k), 3, 2, seed=k[0]), normal(len(k), 3, 2, seed=k[0] + 1)
    x_t, out = q_sample(path, x_0, t, eps), target(kind, path, t, x_0, eps)
    got = to_data_and_noise(kind, path, t, x_t, out)
    close(got, (x_0, eps), atol=1e-8, rtol=1e-8)


@pytest.mark.parametrize("path", ALL_PATHS, ids=lambda path: path.name)
@pytest.mark.parametrize("kind", KINDS)
def test_at_the_ends_all_is_finite_and_what_cannot_be_known_is_zero(kind, path):
    t = torch.tensor([0.0, 1.0])
    x_0, eps = normal(2, 5, seed=1), normal(2, 5, seed=2)
    out = target(kind, path, t, x_0, eps).requires_grad_()
    got_x_0, got_eps = to_data_and_noise(kind, path, t, q_sample(path, x_0, t, eps), out)
    data_lost = kind == "noise" and path.name == "flow"
    close(got_x_0, torch.stack([x_0[0], 0 * x_0[1] if data_lost else x_0[1]]))
    close(got_eps, torch.stack([0 * eps[0] if kind == "data" else eps[0], eps[1]]))
    (got_x_0.sum() + got_eps.sum()).backward()
    assert torch.isfinite(out.grad).all()
    assert torch.isfinite(weight("min-snr", kind, path, t)).all()


def test_velocity_is_diffusers():
    x_0, eps, steps = normal(3, 2, 4, seed=0), normal(3, 2, 4, seed=1), torch.tensor([1, 300, 1000])
    theirs = DDPMScheduler().get_velocity(x_0, eps, steps - 1)
    close(target("velocity", linear(), steps / 1000, x_0, eps), theirs, atol=1e-5, rtol=0)


@settings(deadline=None)
@given(paths, kinds, st.integers(1, 999))
def test_min_snr_weighs_the_same_error_in_x_0_whatever_is_predicted(path, kind, k):
    """Oracle: min(SNR, 5) |x_0 − x̂_0|², for a prediction that is off by anything."""
    t = torch.tensor([k / 1000], dtype=torch.float64)
    x_0, eps, off = normal(1, 6, seed=k), normal(1, 6, seed=k + 1), normal(1, 6, seed=k + 2)
    truth = target(kind, path, t, x_0, eps)
    got, _ = to_data_and_noise(kind, path, t, q_sample(path, x_0, t, eps), truth + off)
    oracle = path.snr(t).clamp(max=5) * (got - x_0).square().sum()
    close(weight("min-snr", kind, path, t) * off.square().sum(), oracle, rtol=1e-6, atol=1e-9)
    assert weight("none", kind, path, t) == 1


@settings(deadline=None)
@given(paths, kinds, st.integers(1, 999))
def test_the_velocity_weight_makes_every_error_one_in_v(path, kind, k):
    """Oracle: |v − v̂|² of the (x_0, ε) that a prediction means, where neither a nor s is small."""
    t = torch.tensor([k / 1000], dtype=torch.float64)
    c = path.at(t)
    assume(min(c.a, c.s) > 0.05)
    x_0, eps, off = normal(1, 6, seed=k), normal(1, 6, seed=k + 1), normal(1, 6, seed=k + 2)
    truth = target(kind, path, t, x_0, eps)
    wrong = to_data_and_noise(kind, path, t, q_sample(path, x_0, t, eps), truth + off)
    oracle = (target("velocity", path, t, *wrong) - target("velocity", path, t, x_0, eps)).square()
    got = weight("velocity", kind, path, t) * off.square().sum()
    close(got, oracle.sum()[None], rtol=1e-6, atol=0)


@pytest.mark.parametrize("name", DRAWS)
def test_times_are_drawn_from_the_law_that_is_named(name):
    """Oracle: the law's distribution function makes draws even numbers (Kolmogorov's bound)."""
    n = 20_000
    t = draw_times(name, path("flow"), RowGenerator(0, "t", rows=n)).double()
    assert t.min() > 0 and t.max() <= 1
    even = (Normal(0.0, 1.0).cdf(torch.logit(t)) if name == "logit-normal" else t).sort().values
    assert (even - torch.arange(1, n + 1) / n).abs().max() < 1.95 / n**0.5  # p = 0.001


@pytest.mark.parametrize("name", DRAWS)
def test_times_of_a_discrete_path_are_its_own_and_never_zero(name):
    t = draw_times(name, path("cosine", 25), RowGenerator(1, "t", rows=5_000))
    k = (t * 25).round().long()
    close(k / 25, t)
    counts = k.bincount(minlength=26)
    assert counts[0] == 0 and len(counts) == 26
    if name == "uniform":
        assert (counts[1:] - 200).abs().max() < 5 * 200**0.5


def test_an_unknown_name_is_an_error_that_knows_the_names():
    x, t = torch.zeros(1, 1), torch.ones(1)
    for call in (
        lambda: target("nois", linear(), t, x, x),
        lambda: to_data_and_noise("nois", linear(), t, x, x),
        lambda: weight("none", "nois", linear(), t),
    ):
        with pytest.raises(T2IError, match="Did you mean 'noise'"):
            call()
    with pytest.raises(T2IError, match="min-snr"):
        weight("snr", "data", linear(), t)
    with pytest.raises(T2IError, match="logit-normal"):
        draw_times("lognormal", linear(), RowGenerator(0, rows=1))
