"""What a decoder's output says of a pixel: −log p(x | z), and the picture it stands for.

Each likelihood turns the decoder's raw outputs ℓ ("logits", any real number, one a pixel) into a
distribution of the pixel's value x in [0, 1].
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


class _CrossEntropy(torch.autograd.Function):
    """log(1 + e^ℓ) − x ℓ, and its derivatives: λ − x by ℓ, −ℓ by x.

    As `F.binary_cross_entropy_with_logits`, whose log1p takes a CPU ten times as long as sigmoid
    and log. With log(1 + e^ℓ) = max(ℓ, 0) − log σ(|ℓ|) all that is lost is a rounding of 1 and ℓ.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, logits: Tensor) -> Tensor:
        ctx.save_for_backward(x, logits)
        log_1_plus_e = logits.relu().sub_(logits.abs().sigmoid_().log_())
        return log_1_plus_e.addcmul_(x, logits, value=-1)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor]:
        x, logits = ctx.saved_tensors
        by_x = -logits * grad if ctx.needs_input_grad[0] else None
        return by_x, (torch.sigmoid(logits) - x) * grad


def bernoulli_nll(x: Tensor, logits: Tensor, log_scale: Tensor | None = None) -> Tensor:
    """Binary cross-entropy, −[x log λ + (1 − x) log(1 − λ)] with λ = sigmoid(ℓ), a pixel.

    The second paper's reconstruction loss. A likelihood only of x in {0, 1}: for grey x its
    density integrates to less than 1 over [0, 1].
    """
    return _CrossEntropy.apply(*torch.broadcast_tensors(x, logits))


def continuous_bernoulli_nll(x: Tensor, logits: Tensor, log_scale: Tensor | None = None) -> Tensor:
    """Binary cross-entropy minus log C(λ), which makes it a density of grey x in [0, 1].

    C(λ) = 2 artanh(1 − 2λ) / (1 − 2λ) = ℓ / tanh(ℓ / 2), and 2 at λ = 1/2 (Loaiza-Ganem and
    Cunningham 2019, eq. 6 and 7).
    """
    near_zero = logits.abs() < 0.1
    safe = torch.where(near_zero, torch.ones_like(logits), logits)
    series = math.log(2) + logits**2 / 12 - 7 * logits**4 / 1440
    log_C = torch.where(near_zero, series, torch.log(safe / torch.tanh(safe / 2)))
    return bernoulli_nll(x, logits) - log_C


def discretised_logistic_nll(x: Tensor, logits: Tensor, log_scale: Tensor | None = None) -> Tensor:
    """−log of the probability that a logistic variable falls in x's bin, one of 256 grey values.

    The mean is m = sigmoid(ℓ), the scale s = exp(log_scale) is learned; the first and the last bin
    reach to −∞ and +∞ (Kingma et al. 2016, section 5.2; Salimans et al. 2017, eq. 2).
    """
    assert log_scale is not None
    inverse_s = torch.exp(-log_scale)
    half = 0.5 / 255
    m = torch.sigmoid(logits)
    upper, lower = (x + half - m) * inverse_s, (x - half - m) * inverse_s
    # log(σ(a) − σ(b)) = log σ(a) + log σ(−b) + log(1 − e^(b − a)), each term safe from underflow
    width = (2 * half * inverse_s).clamp(min=1e-7)
    inside = F.logsigmoid(upper) + F.logsigmoid(-lower) + torch.log(-torch.expm1(-width))
    log_p = torch.where(x < half, F.logsigmoid(upper), inside)
    return -torch.where(x > 1 - half, F.logsigmoid(-lower), log_p)


def _sigmoid_mean(logits: Tensor) -> Tensor:
    return torch.sigmoid(logits)


def _continuous_bernoulli_mean(logits: Tensor) -> Tensor:
    """E[x] = 1 / (1 − e^(−ℓ)) − 1 / ℓ, and 1/2 + ℓ / 12 near ℓ = 0: not sigmoid(ℓ)."""
    near_zero = logits.abs() < 0.1
    safe = torch.where(near_zero, torch.ones_like(logits), logits)
    series = 0.5 + logits / 12 - logits**3 / 720
    return torch.where(near_zero, series, -1 / torch.expm1(-safe) - 1 / safe).clamp(0, 1)


@dataclass(frozen=True)
class Likelihood:
    """A pixel's distribution.

    Args:
        nll: (x, logits, log_scale) to −log p(x), each of x's shape.
        mean: logits to the mean of x, in [0, 1].
        scaled: whether it has a learned scale (`log_scale`).
    """

    nll: Callable[[Tensor, Tensor, Tensor | None], Tensor]
    mean: Callable[[Tensor], Tensor]
    scaled: bool = False


LIKELIHOODS = {
    "bernoulli": Likelihood(bernoulli_nll, _sigmoid_mean),
    "continuous_bernoulli": Likelihood(continuous_bernoulli_nll, _continuous_bernoulli_mean),
    "discretised_logistic": Likelihood(discretised_logistic_nll, _sigmoid_mean, scaled=True),
}
