"""Steering towards a condition: with one network that knows it and knows none, or a classifier.

The weight is w everywhere, and w = 1 is plain conditional sampling.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from t2i_course.contract import Condition
from t2i_course.diffusion.objectives import Denoise, Network
from t2i_course.diffusion.schedules import Path


def guided(conditional: Tensor, unconditional: Tensor, w: float) -> Tensor:
    """unconditional + w (conditional − unconditional), the classifier-free guided prediction.

    w = 0 is the unconditional prediction, 1 the conditional one, more goes beyond it. Ho and
    Salimans 2022, eq. 6, count from there: (1 + w′) ε_c − w′ ε_∅ is ours with w = 1 + w′. Noise,
    data and velocity are guided alike: given x_t, each is a straight line in the others.
    """
    return torch.lerp(unconditional, conditional, w)


def classifier_free(
    network: Callable[[Tensor, Tensor, Condition], Tensor], condition: Condition, w: float
) -> Network:
    """A conditional network as a guided one of (x_t, t), which calls it once a time.

    With w other than 0 and 1 the call is on 2B rows: each row with its condition, then without.
    """
    if w == 1:
        return lambda x_t, t: network(x_t, t, condition)
    nothing = condition.drop(torch.ones_like(condition.present))
    if w == 0:
        return lambda x_t, t: network(x_t, t, nothing)
    twice = condition.repeat(2)  # rows 0, 0, 1, 1, …
    second = torch.arange(len(twice), device=twice.present.device) % 2 == 1
    twice = twice.drop(second)

    def network_of_both(x_t: Tensor, t: Tensor) -> Tensor:
        out = network(x_t.repeat_interleave(2, dim=0), t.repeat_interleave(2), twice)
        return guided(out[0::2], out[1::2], w)

    return network_of_both


def autoguided(
    network: Callable[[Tensor, Tensor, Condition], Tensor],
    weak: Callable[[Tensor, Tensor, Condition], Tensor],
    condition: Condition,
    w: float,
) -> Network:
    """weak + w (network − weak), both with the condition (Karras et al. 2024a, eq. 3).

    `weak` is a smaller or less trained network for the same task. It errs where the good one errs,
    only more, so that the step from it points away from errors, and not, as the step from no
    condition does, towards what is typical of the condition as well.
    """

    def network_of_both(x_t: Tensor, t: Tensor) -> Tensor:
        out = network(x_t, t, condition)
        return out if w == 1 else guided(out, weak(x_t, t, condition), w)

    return network_of_both


def classifier_guided(
    denoise: Denoise,
    log_probability: Callable[[Tensor, Tensor], Tensor],
    scale: float,
    path: Path,
) -> Denoise:
    """ε − scale · s ∇ log p(y | x_t), and the x_0 that goes with it.

    Dhariwal and Nichol 2021, eq. 14, whose √(1 − ᾱ_t) is s. With scale 1 and the exact p(y | x_t)
    it is what a conditional model says. x_0 moves by scale · (s² / a) ∇ log p. The factor is large
    near t = 1: there the classifier must know how little it knows. Where a = 0 (t = 1 on the flow)
    x_t is independent of y, ∇ log p is 0 and x_0 stays: that one step is not guided.

    Args:
        denoise: the unconditional (x_0, ε).
        log_probability: x_t `[B, …]` and t `[B]` to log p(y | x_t) `[B]` of the y wanted in each
            row, differentiable in x_t.
        scale: its weight; the paper's s, which here is the noise's coefficient.
    """

    def guiding(x_t: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        x_0, eps = denoise(x_t, t)
        with torch.enable_grad():
            x = x_t.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(log_probability(x, t).sum(), x)
        c = path.at(t).like(x_t)
        push = scale * c.s * gradient
        return x_0 + torch.where(c.a > 0, c.s / c.a, 0) * push, eps - push

    return guiding
