"""Likelihoods against integrals, sums over all grey values, and torch's distributions."""

import pytest
import torch
import torch.nn.functional as F
from torch.distributions import ContinuousBernoulli, Normal, TransformedDistribution, Uniform
from torch.distributions.transforms import AffineTransform, SigmoidTransform

from t2i_course.models.likelihoods import LIKELIHOODS

LOGITS = torch.tensor([-30.0, -5.0, -1.0, -0.05, 0.0, 1e-4, 0.099, 0.101, 2.0, 8.0, 30.0]).double()


def integral(name: str, logit: float) -> tuple[float, float]:
    """∫ p(x) dx and ∫ x p(x) dx over [0, 1], by Simpson's rule."""
    n = 20_001
    x = torch.linspace(0, 1, n).double()
    weights = torch.ones(n).double()
    weights[1:-1:2], weights[2:-1:2] = 4, 2
    weights /= 3 * (n - 1)
    p = (-LIKELIHOODS[name].nll(x, torch.full_like(x, logit), None)).exp()
    return (weights * p).sum().item(), (weights * p * x).sum().item()


@pytest.mark.parametrize("logit", LOGITS.tolist())
def test_continuous_bernoulli_is_a_density_with_the_mean_it_says(logit):
    total, mean = integral("continuous_bernoulli", logit)
    assert total == pytest.approx(1, abs=1e-6)
    said = LIKELIHOODS["continuous_bernoulli"].mean(torch.tensor(logit).double()).item()
    assert said == pytest.approx(mean, abs=1e-6)


def test_continuous_bernoulli_is_torchs():
    x = torch.linspace(0, 1, len(LOGITS)).double()
    ours = LIKELIHOODS["continuous_bernoulli"].nll(x, LOGITS, None)
    torch.testing.assert_close(
        -ours, ContinuousBernoulli(logits=LOGITS).log_prob(x), rtol=1e-5, atol=1e-6
    )


def test_cross_entropy_and_its_gradients_are_torchs():
    """Oracle: torch's own cross-entropy in float64; the gradient at ℓ = 0 is 1/2 − x."""
    x = torch.linspace(0, 1, 7).double()[:, None].expand(7, len(LOGITS))
    logits = LOGITS.expand_as(x)
    nll = LIKELIHOODS["bernoulli"].nll

    def torchs(x, logits):
        return F.binary_cross_entropy_with_logits(logits, x, reduction="none")

    found = []
    for function in (torchs, nll):
        for dtype in (torch.float64, torch.float32):
            inputs = [part.to(dtype).requires_grad_() for part in (x, logits)]
            loss = function(*inputs)
            found.append((loss.detach(), *torch.autograd.grad(loss.sum(), inputs)))
    torch.testing.assert_close(found[2], found[0], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found[3], found[1], rtol=1e-6, atol=4e-6)  # ulp of 30
    assert torch.autograd.gradcheck(nll, (x.clone().requires_grad_(), logits + 0.01))


def test_cross_entropy_on_grey_values_is_no_density():
    """Its integral is tanh(ℓ/2) / ℓ, at most 1/2."""
    for logit in (-4.0, -0.5, 1.0, 6.0):
        total, _ = integral("bernoulli", logit)
        assert total == pytest.approx(torch.tanh(torch.tensor(logit / 2)).item() / logit, abs=1e-6)
        assert total <= 0.5


@pytest.mark.parametrize("log_scale", [-6.0, -3.0, 0.0, 2.0])
def test_discretised_logistic_gives_the_256_grey_values_probability_one(log_scale):
    x = torch.arange(256).double()[:, None] / 255
    logits = LOGITS.expand(256, -1)
    nll = LIKELIHOODS["discretised_logistic"].nll(x, logits, torch.tensor(log_scale).double())
    assert torch.isfinite(nll).all()
    torch.testing.assert_close((-nll).exp().sum(0), torch.ones(len(LOGITS)).double())


def test_discretised_logistic_is_the_logistic_distribution_cut_into_bins():
    """Oracle: torch's logistic distribution function at the edges of a bin."""
    m, s = torch.tensor(0.3).double(), 0.07
    uniform = Uniform(torch.tensor(0.0).double(), torch.tensor(1.0).double())
    logistic = TransformedDistribution(uniform, [SigmoidTransform().inv, AffineTransform(m, s)])
    for grey in (1, 77, 100, 254):
        x = torch.tensor(grey / 255).double()
        want = logistic.cdf(x + 0.5 / 255) - logistic.cdf(x - 0.5 / 255)
        scale = torch.tensor(s).double().log()
        got = (-LIKELIHOODS["discretised_logistic"].nll(x, torch.logit(m), scale)).exp()
        torch.testing.assert_close(got, want, rtol=1e-6, atol=0)


@pytest.mark.parametrize("name", list(LIKELIHOODS))
def test_gradients_are_finite_at_the_extremes(name):
    x = torch.tensor([0.0, 1.0, 0.0, 1.0, 0.5])
    logits = torch.tensor([-40.0, -40.0, 40.0, 40.0, 0.0], requires_grad=True)
    log_scale = torch.tensor(-7.0, requires_grad=True)
    LIKELIHOODS[name].nll(x, logits, log_scale).sum().backward()
    assert torch.isfinite(logits.grad).all()
    assert log_scale.grad is None or torch.isfinite(log_scale.grad)


def test_the_best_grey_value_is_the_mean_for_bernoulli():
    """The cross-entropy of a grey x is least at λ = x, although it is not 0 there."""
    x = Normal(0.0, 1.0).cdf(torch.tensor([-1.0, 0.2]))
    best = torch.logit(x)
    for off in (-0.1, 0.1):
        nll = LIKELIHOODS["bernoulli"].nll
        assert (nll(x, best + off, None) > nll(x, best, None)).all()
