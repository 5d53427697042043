"""Samplers on data whose exact score is known: where they end, how fast, and with what variance."""

import math
from itertools import pairwise

import pytest
import torch
from exact import ALL_PATHS, gaussian, mixture, variance_of

from t2i_course.contract import RowGenerator
from t2i_course.diffusion.samplers import SAMPLERS, ddim, ddpm
from t2i_course.diffusion.schedules import linear, path, times

each_path = pytest.mark.parametrize("path", ALL_PATHS, ids=lambda path: path.name)
LINEAR, FLOW = path("linear"), path("flow")


@each_path
@pytest.mark.parametrize("name", list(SAMPLERS))
def test_every_sampler_reaches_the_mixture(name, path):
    """Oracle: the mixture's own shares, means and deviation, within four standard errors (and two
    hundredths for the steps)."""
    n, deviation, steps = 4_000, 0.15, 250 if name == "ddpm" else 50
    means = torch.tensor([[1.0, 0.0], [-0.5, 0.8], [-0.5, -0.8]]).double()
    shares = torch.tensor([0.5, 0.3, 0.2]).double()
    x = RowGenerator("x", rows=n).normal(2).double()
    denoise = mixture(path, means, deviation, shares)
    x = SAMPLERS[name](denoise, x, times(path, steps), path, RowGenerator("z", rows=n))
    nearest = torch.cdist(x, means).argmin(dim=1)
    for k in range(3):
        mine = x[nearest == k]
        share = len(mine) / n
        assert abs(share - shares[k]) < 4 * (shares[k] * (1 - shares[k]) / n) ** 0.5 + 0.02
        assert (mine.mean(0) - means[k]).abs().max() < 4 * deviation / len(mine) ** 0.5 + 0.02
        assert (mine.std(0) - deviation).abs().max() < 4 * deviation / len(mine) ** 0.5 + 0.02


@pytest.mark.parametrize(
    ("name", "path", "order"),
    [
        ("euler", FLOW, 1), ("euler", LINEAR, 1),
        ("ddim", FLOW, 1), ("ddim", LINEAR, 1),
        ("heun", FLOW, 2), ("heun", LINEAR, 2),
        ("dpm-solver-2m", FLOW, 2), ("dpm-solver-2m", LINEAR, 2),
    ],
)  # fmt: skip
def test_order_of_convergence(name, path, order):
    """Oracle: for N(0, c²) the ODE multiplies x by √(a_u² c² + s_u²) / √(a_t² c² + s_t²)."""
    c, errors = 0.5, []
    now, then = path.at(0.896), path.at(0.128)
    exact = ((then.a**2 * c**2 + then.s**2) / (now.a**2 * c**2 + now.s**2)).sqrt()
    x = torch.ones(1, 1).double()
    for steps in (32, 64, 128):  # their times are multiples of 1/1000
        t = torch.linspace(0.896, 0.128, steps + 1).double()
        got = SAMPLERS[name](gaussian(path, c), x, t, path, RowGenerator(0, rows=1))
        errors.append(abs(float(got / exact) - 1))
    measured = [math.log2(a / b) for a, b in pairwise(errors)]
    assert all(abs(m - order) < 0.25 for m in measured), measured


@each_path
def test_ancestral_sampling_reaches_the_datas_variance_as_steps_grow(path):
    """Oracle: c². The error is O(1 / steps) and, with the posterior's variance, always a lack."""
    c = 0.5
    lack = [1 - variance_of(ddpm, c, path, times(path, S)) / c**2 for S in (50, 100, 200, 500)]
    assert all(0 < b < 0.7 * a for a, b in pairwise(lack)), lack
    assert lack[-1] < 0.04, lack


@each_path
@pytest.mark.parametrize("u", [0.6, 0.2])
@pytest.mark.parametrize("steps", [1, 3, 8])
def test_ancestral_sampling_of_one_point_has_the_forward_marginals_in_any_number_of_steps(
    path, u, steps
):
    """Oracle: x_u of the point 0 has variance s_u². Also on the flow, which has no β_t."""
    t = (torch.linspace(1, u, steps + 1).double() * 1000).round() / 1000
    assert variance_of(ddpm, 0.0, path, t) == pytest.approx(float(path.at(u).s ** 2), rel=1e-9)
    assert variance_of(ddim, 0.0, path, t, eta=0.5) == pytest.approx(
        float(path.at(u).s ** 2), rel=1e-9
    )


@pytest.mark.parametrize("steps", [2, 5, 20])
def test_each_reverse_variance_is_exact_for_its_own_data_and_wrong_for_the_others(steps):
    """Ho et al. 2020, section 3.2: β_t is exact for N(0, I), the posterior's for one point.

    Oracle: the marginal variance of x_u, 1 for N(0, I) and s_u² for a point.
    """
    vp, u = linear(), 0.1
    t = (torch.linspace(1, u, steps + 1).double() * 1000).round() / 1000
    point = float(vp.at(u).s ** 2)
    assert variance_of(ddpm, 1.0, vp, t, variance="beta") == pytest.approx(1, rel=1e-9)
    assert variance_of(ddpm, 1.0, vp, t, variance="posterior") < 0.999
    assert variance_of(ddpm, 0.0, vp, t, variance="posterior") == pytest.approx(point, rel=1e-9)
    assert variance_of(ddpm, 0.0, vp, t, variance="beta") > 1.1 * point


@each_path
def test_data_between_the_two_gets_too_little_or_too_much_and_the_gap_closes_as_one_over_steps(
    path,
):
    """Oracle: x_u of N(0, ¼) has variance a_u² / 4 + s_u²."""
    c, gaps = path.at(0.1), []
    marginal = float(c.a**2 / 4 + c.s**2)
    for steps in (10, 30, 90):
        t = torch.linspace(1, 0.1, steps + 1).double()
        less = variance_of(ddpm, 0.5, path, t, variance="posterior")
        more = variance_of(ddpm, 0.5, path, t, variance="beta")
        assert less < marginal < more
        gaps.append(more - less)
    assert all(2 < a / b < 4 for a, b in pairwise(gaps)), gaps


@pytest.mark.parametrize("name", list(SAMPLERS))
def test_one_step_from_pure_noise_gives_the_mean_of_the_data(name):
    """At the flow's t = 1 x_t says nothing, and the best x_0 is the mean, whatever the noise."""
    means = torch.tensor([[0.5, -1.0]]).double()
    denoise = mixture(FLOW, means, 0.3, torch.ones(1).double())
    x = RowGenerator("x", rows=4).normal(2).double()
    got = SAMPLERS[name](denoise, x, times(FLOW, 1), FLOW, RowGenerator(0, rows=4))
    torch.testing.assert_close(got, means.expand(4, 2))
