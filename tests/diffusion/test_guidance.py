"""Both guidances: conventions, the doubled batch, and the closed form of a mixture's modes."""

import pytest
import torch
from exact import ALL_PATHS, mixture, normal
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from t2i_course.contract import Condition, RowGenerator
from t2i_course.diffusion.guidance import (
    autoguided,
    classifier_free,
    classifier_guided,
    guided,
)
from t2i_course.diffusion.objectives import KINDS, target, to_data_and_noise
from t2i_course.diffusion.samplers import SAMPLERS
from t2i_course.diffusion.schedules import Path, q_sample, times

close = torch.testing.assert_close
each_path = pytest.mark.parametrize("path", ALL_PATHS, ids=lambda path: path.name)
weights = st.floats(-2, 8)

MEANS = torch.tensor([[1.0, 0.0], [-0.5, 0.8], [-0.5, -0.8]]).double()
SHARES = torch.tensor([0.5, 0.3, 0.2]).double()
DEVIATION = 0.3


@settings(deadline=None)
@given(weights)
def test_w_is_one_more_than_the_papers(w):
    """Oracle: Ho and Salimans 2022, eq. 6, (1 + w′) ε_c − w′ ε_∅."""
    conditional, unconditional = normal(2, 3, seed=0), normal(2, 3, seed=1)
    theirs = w - 1
    oracle = (1 + theirs) * conditional - theirs * unconditional
    close(guided(conditional, unconditional, w), oracle, atol=1e-9, rtol=0)


def test_w_one_is_plain_conditional_and_zero_unconditional_to_the_bit():
    conditional, unconditional = normal(2, 3, seed=0), normal(2, 3, seed=1)
    assert guided(conditional, unconditional, 1).equal(conditional)
    assert guided(conditional, unconditional, 0).equal(unconditional)


@settings(deadline=None)
@given(st.sampled_from(ALL_PATHS), st.integers(1, 999), weights)
def test_noise_data_and_velocity_are_guided_alike(path, k, w):
    t = torch.tensor([k / 1000], dtype=torch.float64)
    x_0, eps = normal(1, 4, seed=0), normal(1, 4, seed=1)
    x_t, other_x_0 = q_sample(path, x_0, t, eps), normal(1, 4, seed=2)
    c = path.at(t).like(x_t)
    other_eps = (x_t - c.a * other_x_0) / c.s  # another opinion about the same x_t
    got = [
        to_data_and_noise(
            kind, path, t, x_t,
            guided(target(kind, path, t, x_0, eps), target(kind, path, t, other_x_0, other_eps), w),
        )
        for kind in KINDS
    ]  # fmt: skip
    for x_0_guided, eps_guided in got[1:]:
        close(x_0_guided, got[0][0], rtol=1e-6, atol=1e-6)
        close(eps_guided, got[0][1], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("w", [0.0, 1.0, 2.5])
def test_a_guided_network_is_called_once_and_gives_what_two_calls_give(w):
    sizes: list[int] = []

    def network(x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        sizes.append(len(x_t))
        assert condition.vector is not None
        shift = torch.where(condition.present[:, None], condition.vector, -7.0)
        return x_t * t[:, None] + shift

    x_t, t = normal(3, 2, seed=0), torch.tensor([0.2, 0.5, 0.9]).double()
    condition = Condition.of(normal(3, 2, seed=1)).drop(torch.tensor([False, True, False]))
    got = classifier_free(network, condition, w)(x_t, t)
    assert sizes == [6 if w == 2.5 else 3]
    nothing = condition.drop(torch.ones(3, dtype=torch.bool))
    close(got, guided(network(x_t, t, condition), network(x_t, t, nothing), w))
    close(got[1], network(x_t, t, nothing)[1])  # a row without a condition is not guided


def log_probability(path: Path, k: int):
    """The exact log p(mode k | x_t)."""

    def function(x_t: Tensor, t: Tensor) -> Tensor:
        c = path.at(t).like(x_t)
        variance = c.a**2 * DEVIATION**2 + c.s**2
        off = ((x_t[:, None] - c.a[:, None] * MEANS) ** 2).sum(dim=2)
        return torch.log_softmax(SHARES.log() - off / (2 * variance), dim=1)[:, k]

    return function


@each_path
@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_guiding_with_the_exact_classifier_is_guiding_with_the_conditional_model(path, scale):
    """Oracle: Bayes' rule, ∇ log p(y | x_t) = ∇ log p(x_t | y) − ∇ log p(x_t): the scale is w."""
    everything = mixture(path, MEANS, DEVIATION, SHARES)
    one_mode = mixture(path, MEANS[1:2], DEVIATION, torch.ones(1).double())
    x_t, t = normal(5, 2, seed=3), torch.tensor([0.01, 0.2, 0.5, 0.8, 0.95]).double()
    got = classifier_guided(everything, log_probability(path, 1), scale, path)(x_t, t)
    want = [
        guided(conditional, unconditional, scale)
        for conditional, unconditional in zip(one_mode(x_t, t), everything(x_t, t), strict=True)
    ]
    close(got, tuple(want), rtol=1e-9, atol=1e-9)


@each_path
@pytest.mark.parametrize("name", list(SAMPLERS))
def test_a_classifier_steers_every_sampler_to_its_mode(name, path):
    """Oracle: the conditional is the mode's Gaussian; the flow's first step is not guided."""
    n = 500
    denoise = mixture(path, MEANS, DEVIATION, SHARES)
    denoise = classifier_guided(denoise, log_probability(path, 2), 1.0, path)
    x = RowGenerator("x", rows=n).normal(2).double()
    x = SAMPLERS[name](denoise, x, times(path, 100), path, RowGenerator("z", rows=n))
    assert (x.mean(0) - MEANS[2]).abs().max() < 4 * DEVIATION / n**0.5 + 0.02
    assert (x.std(0) - DEVIATION).abs().max() < 4 * DEVIATION / n**0.5 + 0.02


@settings(deadline=None)
@given(st.floats(0, 5), st.floats(0.1, 3))
def test_autoguidance_takes_back_an_error_that_the_weak_network_makes_larger(w, larger):
    """Oracle: with errors e and (1 + larger) e, w = 1 + 1 / larger is without error."""
    truth, error, x_t = normal(4, 3, seed=0), normal(4, 3, seed=1), normal(4, 3, seed=2)
    condition, seen = Condition.none(4), []

    def network(x_t, t, condition):
        seen.append(condition)
        return truth + error

    def weak(x_t, t, condition):
        return truth + (1 + larger) * error

    t = torch.ones(4)
    out = autoguided(network, weak, condition, w)(x_t, t)
    close(out, truth + (1 + larger - w * larger) * error, atol=1e-9, rtol=1e-9)
    close(autoguided(network, weak, condition, 1 + 1 / larger)(x_t, t), truth)
    assert seen == [condition, condition]
