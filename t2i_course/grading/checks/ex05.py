"""The checks of exercise 05: diffusion, from noise to pictures."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from t2i_course.grading.checking import Checking, task


def _schedule(c: Checking, T: int, high: float = 0.25) -> Tensor:
    """ᾱ_0 = 1, ᾱ_1, …, ᾱ_T of fresh β, in float32: `[T + 1]`."""
    beta = c.draw.uniform(T, low=0.02, high=high)
    return torch.cat([torch.ones(1), torch.cumprod(1 - beta, dim=0)])


def _pair(c: Checking, value: Any, case: str, names: str) -> tuple[Any, Any]:
    pair = isinstance(value, tuple | list) and len(value) == 2
    c.holds(pair, "contract", case, f"two values: {names}", f"a {type(value).__name__}")
    return value[0], value[1]


def _rows(c: Tensor) -> Tensor:
    return c.double().view(-1, 1, 1, 1)


@task(
    "ex05-q_sample",
    equation=(
        "x_t = √ᾱ_t x_0 + √(1 − ᾱ_t) ε, ᾱ_t = Π_{i≤t} (1 − β_i) of each image's own t",
        "x_t = √ᾱ_t x_0 + √(1 − ᾱ_t) ε, ᾱ_t = f(t) / f(0), f(t) = cos²((t/T + o) / (1 + o) · π/2)",
    ),
    points=2,
    reference="t2i_course.diffusion.schedules:q_sample",
)
def check_q_sample(c: Checking) -> None:
    B, shape, T = 5, (5, 2, 3, 5), 12  # as many images as columns: a wrong broadcast raises nothing
    x_0, eps = c.draw.normal(*shape), c.draw.normal(*shape)
    t = 1 + torch.randperm(T - 1, generator=c.draw.generator)[:B]  # 1 to T − 1
    rest: tuple[Any, ...]
    if c.variant == 1:
        beta = c.draw.uniform(T, low=0.02, high=0.2)
        rest = (beta,)
        alpha_bar = torch.cat([torch.ones(1), torch.cumprod(1 - beta, dim=0)]).double()
        own: dict[str, Tensor] = {
            "ᾱ_t is the product of the first t of the factors 1 − β, so it stands at place t − 1 "
            "of a list that begins with ᾱ_1.": alpha_bar[t + 1],
            "1 − β_t is of one step; ᾱ_t is the product of the first t.": 1 - beta.double()[t - 1],
            "a product (cumprod), not a sum of the β.": 1 - torch.cumsum(beta.double(), 0)[t - 1],
        }
    else:
        offset = c.draw.uniform(1, low=0.05, high=0.2).item()
        rest = (T, offset)
        share = (torch.arange(T + 1).double() / T + offset) / (1 + offset)
        f = torch.cos(share * torch.pi / 2) ** 2
        alpha_bar = f / f[0]
        bare = torch.cos(torch.arange(T + 1).double() / T * torch.pi / 2) ** 2
        own = {
            "ᾱ_t is f(t) / f(0): without the division ᾱ_0 is not 1.": f[t],
            "f has a square: cos², not cos.": (f.sqrt() / f[0].sqrt())[t],
            "the offset is missing.": bare[t],
            "divide by 1 + offset as well, so that the angle ends at π/2.": (
                torch.cos(share * (1 + offset) * torch.pi / 2) ** 2
                / torch.cos(share[0] * (1 + offset) * torch.pi / 2) ** 2
            )[t],
        }
    case = f"5 images at t = {t.tolist()}"
    x_t = c.answer(x_0, t, eps, *rest)
    c.tensor(x_t, shape, case)

    one, nothing = torch.ones(shape), torch.zeros(shape)
    a, s = c.answer(one, t, nothing, *rest), c.answer(nothing, t, one, *rest)
    now = _rows(alpha_bar[t])
    both = (now**2 + (1 - now) ** 2).expand(shape)
    c.close(
        a.double() ** 2 + s.double() ** 2, one, "the squares of the two factors, added",
        layer="property",
        slips={
            "ᾱ and 1 − ᾱ are shares of the variance: multiply by their square roots.": both,
            "the noise's factor is √(1 − ᾱ), not 1 − ᾱ.": (now + (1 - now) ** 2).expand(shape),
            "the picture's factor is √ᾱ, not ᾱ.": (now**2 + 1 - now).expand(shape),
            "√(1 − ᾱ) is not 1 − √ᾱ.": (now + (1 - now.sqrt()) ** 2).expand(shape),
        },
    )  # fmt: skip

    def noisy(share: Tensor, view: tuple[int, ...] = (-1, 1, 1, 1)) -> Tensor:
        share = share.clamp(0, 1).view(view)
        return share.sqrt() * x_0.double() + (1 - share).sqrt() * eps.double()

    slips = {words: noisy(share) for words, share in own.items()} | {
        "each image has its own t: reshape the B numbers to [B, 1, 1, 1], or they multiply columns "
        "in place of images.": noisy(alpha_bar[t], (1, 1, 1, -1)),
        "√ᾱ belongs to the picture and √(1 − ᾱ) to the noise.": noisy(1 - alpha_bar[t]),
        "all images got the first one's t.": noisy(alpha_bar[t][:1]),
    }
    c.close(x_t, noisy(alpha_bar[t]), case, slips=slips)

    shape, t = (2, 1, 4, 4), torch.tensor([T, 1])
    x_0, eps = c.draw.normal(*shape), c.draw.normal(*shape)
    c.close(c.answer(x_0, t, eps, *rest), noisy(alpha_bar[t]), f"2 images at t = [{T}, 1]")


@task(
    "ex05-posterior",
    equation=(
        "μ̃ = (√ᾱ_{t−1} β_t x_0 + √(1 − β_t) (1 − ᾱ_{t−1}) x_t) / (1 − ᾱ_t), "
        "β̃ = β_t (1 − ᾱ_{t−1}) / (1 − ᾱ_t)",
        "μ = (a_u β x_0 + r s_u² x_t) / s_t², σ² = s_u² β / s_t², r = a_t/a_u, β = s_t² − r² s_u²",
    ),
    points=3,
    reference="t2i_course.diffusion.schedules:posterior",
)
def check_posterior(c: Checking) -> None:
    shape = (3, 1, 4, 4)
    x_t, x_0 = c.draw.normal(*shape), c.draw.normal(*shape)
    T = 10
    if c.variant == 1:
        alpha_bar = _schedule(c, T)

        def scales(t: int) -> Tensor:  # a_t, s_t, a_u, s_u
            now, then = alpha_bar[t].double(), alpha_bar[t - 1].double()
            return torch.stack([now.sqrt(), (1 - now).sqrt(), then.sqrt(), (1 - then).sqrt()])

        def asked(t: int) -> tuple[Any, ...]:
            return t, alpha_bar

        last, whole = scales(1), asked(1)
        t = c.draw.integer(4, T + 1)
        middle, arguments, case = scales(t), asked(t), f"t = {t} of {T}"
        end = "t = 1, where the step ends at x_0"
    else:
        a_t, a_u = (c.draw.uniform(1, low=low, high=low + 0.2).item() for low in (0.2, 0.6))
        s_t, s_u = (c.draw.uniform(1, low=low, high=low + 0.3).item() for low in (0.8, 0.3))
        arguments = (a_t, s_t, a_u, s_u)
        middle = torch.tensor(arguments, dtype=torch.float64)
        whole = (a_t, s_t, 1.0, 0.0)
        last = torch.tensor(whole, dtype=torch.float64)
        case = "a large step, a² + s² not 1"
        end = "a_u = 1 and s_u = 0, where the step ends at x_0"

    a_t, s_t, a_u, s_u = middle
    r = a_t / a_u
    beta = s_t**2 - r**2 * s_u**2
    small = s_t**2 - s_u**2, s_t**2 - r * s_u**2  # two slips in β
    pull, stay = a_u * beta / s_t**2, r * s_u**2 / s_t**2  # of x_0 and x_t
    shrunk = "β is the noise added between u and t: the noise at u reaches t shrunk, r² s_u²."
    squared = "β is s_t² − r² s_u² with r squared."
    factors = {
        "the factors of x_0 and x_t are swapped.": (stay, pull),
        "the factor of x_t lacks r (for neighbours √(1 − β_t)).": (pull, s_u**2 / s_t**2),
        "r is a ratio of a = √ᾱ (for neighbours √(1 − β_t)): a root is missing.": (pull, r * stay),
        "the factor of x_0 has a_u in it (for neighbours √ᾱ_{t−1}, not √ᾱ_t).": (r * pull, stay),
        "the factor of x_0 has a_u in it (for neighbours √ᾱ_{t−1}, with the root).": (
            a_u * pull, stay,
        ),
        shrunk: (a_u * small[0] / s_t**2, stay),
        squared: (a_u * small[1] / s_t**2, stay),
    }  # fmt: skip

    def means(x: Tensor) -> dict[str, Tensor | float]:
        x, clean = x.double(), x_0.double()
        return {words: f_0 * clean + f_t * x for words, (f_0, f_t) in factors.items()}

    forwards = "that is β, the variance of the step forwards. Knowing x_0 narrows it: times s_u² / "
    forwards += "s_t², which for neighbours is (1 − ᾱ_{t−1}) / (1 − ᾱ_t)."
    names = "the mean and the variance"
    mean, variance = _pair(c, c.answer(x_t, x_0, *whole), end, names)
    broken = not bool(torch.as_tensor(mean).isfinite().all())
    zero = "s_u is 0 there (1 − ᾱ_0): something is divided by it."
    c.holds(not broken, "property", end, "x_0", "NaN", zero)
    c.tensor(mean, shape, end)
    swap = {next(iter(factors)): x_t, "the factor of x_0 has a_u in it, not a_t.": last[0] * x_0}
    c.close(mean, x_0, end, layer="property", slips=swap)
    step = last[1] ** 2 - (last[0] / last[2] * last[3]) ** 2
    c.close(variance, 0.0, f"{end}: the variance", layer="property", slips={forwards: step})

    mean, variance = _pair(c, c.answer(x_t, x_0, *arguments), case, names)
    c.tensor(mean, shape, case)
    still = (a_t * x_0).float()
    c.close(
        _pair(c, c.answer(still, x_0, *arguments), case, names)[0], a_u * x_0.double(),
        "the mean for an x_t = a_t x_0, with no noise in it", layer="property", slips=means(still),
    )  # fmt: skip
    precision = r**2 / beta + 1 / s_u**2  # a second way: precisions add, and weigh the mean
    c.close(
        variance, 1 / precision, f"{case}: the variance",
        slips={
            "you gave the deviation; the variance is its square.": precision.rsqrt(),
            forwards: beta,
            "times s_u² / s_t², and not the other way round.": beta * s_t**2 / s_u**2,
            "the variances s² are wanted in it, not the deviations s.": beta * s_u / s_t,
            squared: small[1] * s_u**2 / s_t**2,
            shrunk: small[0] * s_u**2 / s_t**2,
        },
    )  # fmt: skip
    right = (r / beta * x_t.double() + a_u / s_u**2 * x_0.double()) / precision
    c.close(mean, right, f"{case}: the mean", slips=means(x_t))


@task(
    "ex05-best_guess",
    equation="E[x_0 | x_t] = Σ_i r_i x_i with r_i ∝ exp(−|x_t − a x_i|² / (2 s²)), Σ_i r_i = 1",
    points=4,
)
def check_best_guess(c: Checking) -> None:
    B, N, D = 4, 7, 3
    data, x_t = c.draw.normal(N, D), c.draw.normal(B, D)
    a, s = c.draw.uniform(2, low=0.5, high=0.9).tolist()
    case = f"{B} noisy points, {N} of data, a = {a:.2f}, s = {s:.2f}"
    guess = c.answer(x_t, data, a, s)
    flat = "r_i has one weight for each point of the data: sum over them, and keep D."
    c.tensor(guess, (B, D), case, slips={(B, N): flat, (B,): flat, (N, D): flat})

    along = "the weights of one x_t sum to 1 over the data: softmax along N, not along B."
    far = c.draw.normal(N, 400)
    k = c.draw.integers(0, N, B)
    near = a * far[k] + 0.05 * c.draw.normal(B, 400)
    guess_far = c.answer(near, far, a, 0.05)
    case_far = "400 coordinates and little noise, each point near one of the data"
    c.holds(
        isinstance(guess_far, Tensor) and bool(guess_far.isfinite().all()), "property", case_far,
        "the point of the data", "NaN",
        "exp of a large negative number is 0, and 0 / 0 is NaN: softmax over −|…|² / (2 s²) does "
        "the same without that.",
    )  # fmt: skip
    c.close(
        guess_far, far[k], case_far, layer="property", atol=1e-4,
        slips={
            "a x_i is where the data went; the guess is of x_i itself.": a * far[k],
            along: (-torch.cdist(near, a * far) ** 2 / 0.005).softmax(dim=0) @ far,
        },
    )  # fmt: skip
    blind, mean = c.answer(x_t, data, 0.0, 1.0), data.mean(0).expand(B, D)
    c.close(blind, mean, "a = 0: the mean of the data", layer="property", atol=1e-4)

    def weighed(off: Tensor, scale: float, dim: int = 1) -> Tensor:  # off [B, N]
        return torch.softmax(-off / scale, dim=dim) @ data.double()

    squared = (x_t.double()[:, None] - a * data.double()).square().sum(2)
    c.close(
        guess, weighed(squared, 2 * s**2), case,
        slips={
            "the data point arrives at a x_i: compare x_t with that, not with x_i.": weighed(
                (x_t.double()[:, None] - data.double()).square().sum(2), 2 * s**2
            ),
            "a Gaussian's exponent is −|…|² / (2 s²): you left out the 2.": weighed(squared, s**2),
            "s is the deviation; the exponent has the variance, s².": weighed(squared, 2 * s),
            "the square root of |…|² does not belong there.": weighed(squared.sqrt(), 2 * s**2),
            "|…|² is a sum over the D coordinates, not their mean.": weighed(squared / D, 2 * s**2),
            along: weighed(squared, 2 * s**2, dim=0),
            "the nearest point alone is the guess only without noise; here all have a weight.": (
                data[squared.argmin(1)].double()
            ),
        },
    )  # fmt: skip


@task(
    "ex05-loss",
    equation=(
        "L = mean of (network(x_t, t) − ε)², x_t = √ᾱ_t x_0 + √(1 − ᾱ_t) ε",
        "L = mean of (network(x_t, t) − v)², v = √ᾱ_t ε − √(1 − ᾱ_t) x_0",
    ),
    points=3,
)
def check_loss(c: Checking) -> None:
    B, T = 4, 10
    shape = (B, 1, 3, 4)  # no [B] against columns here: q_sample had that
    alpha_bar = _schedule(c, T)
    x_0, eps = 0.7 * c.draw.normal(*shape) + 0.4, c.draw.normal(*shape)
    t = 1 + torch.randperm(T, generator=c.draw.generator)[:B]
    a, s = (now := _rows(alpha_bar[t])).sqrt(), (1 - now).sqrt()
    x_t = a * x_0.double() + s * eps.double()
    v = a * eps.double() - s * x_0.double()
    noise = c.variant == 1
    goal, other = (eps.double(), v) if noise else (v, eps.double())
    name, kind = ("ε", "velocity") if noise else ("v", "noise")
    seen: list[tuple[int, ...]] = []

    def asked(said: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
        def network(x: Tensor, t: Tensor) -> Tensor:
            seen.append(tuple(torch.as_tensor(t).shape))
            return said(x, torch.as_tensor(t, dtype=torch.float32))

        return network

    case = f"a network that says {name} exactly"
    value = c.answer(asked(lambda x, t: goal.float()), x_0, t, eps, alpha_bar)
    c.tensor(value, (), case, slips={shape: "the loss is one number: the mean."})
    c.holds(len(seen) == 1, "contract", "calls of the network", "1", str(len(seen)))
    c.holds(seen[0] == (B,), "contract", "t for the network", f"shape [{B}]", f"shape {seen[0]}")
    known = {
        f"this network is to say {name}, and you compare with what a {kind} network says.": (
            (goal - other).square().mean()
        ),
        f"this network is to say {name}, and you compare with x_0.": (goal - x_0).square().mean(),
        "v is √ᾱ_t ε − √(1 − ᾱ_t) x_0: check the factors and the sign.": (
            (v - (s * eps - a * x_0)).square().mean()
        ),
        "v has a minus: √ᾱ_t ε − √(1 − ᾱ_t) x_0.": (2 * s * x_0).square().mean(),
        "v on this path is not ε − x_0: that is the flow's.": (v - (eps - x_0)).square().mean(),
    }
    c.close(value, 0.0, case, layer="property", slips=known)

    def says(x: Tensor, t: Tensor) -> Tensor:
        t = t.view(-1, *[1] * (x.ndim - 1))
        return torch.tanh(1.5 * x + 0.4 * t - 1) + 0.3 * x

    def loss_at(x: Tensor, t: Tensor = t) -> Tensor:
        return (says(x, t.double()) - goal).square().mean()

    value = c.answer(asked(says), x_0, t, eps, alpha_bar)
    error = says(x_t, t.double()) - goal
    before = _rows(alpha_bar[t - 1])
    c.close(
        value, error.square().mean(), "a network that depends on x_t and on t",
        slips={
            "the mean over all numbers of the batch, not the sum.": error.square().sum(),
            "a sum over each image and a mean over the images: here it is the mean over all.": (
                error.square().sum() / B
            ),
            "the square of the error, not its absolute value.": error.abs().mean(),
            "the root of the mean square: L has no root.": error.square().mean().sqrt(),
            "a half that does not belong there.": 0.5 * error.square().mean(),
            "the network must see the noisy x_t; it got the clean x_0.": loss_at(x_0.double()),
            "the network must see x_t; it got the noise ε.": loss_at(eps.double()),
            "√ᾱ_t belongs to the picture and √(1 − ᾱ_t) to the noise.": loss_at(s * x_0 + a * eps),
            "x_t has the square roots of ᾱ_t and 1 − ᾱ_t.": loss_at(now * x_0 + (1 - now) * eps),
            "the list begins with ᾱ_0 = 1: ᾱ_t stands at place t, not t − 1.": loss_at(
                before.sqrt() * x_0 + (1 - before).sqrt() * eps
            ),
            "the network is told t itself (1 to T), not t / T.": loss_at(x_t, t / T),
            "the network is told t itself, not t − 1.": loss_at(x_t, t - 1),
        },
    )  # fmt: skip
    x_t, goal = a * eps + s * x_0, x_0.double() if noise else a * x_0 - s * eps
    value = c.answer(asked(says), eps, t, x_0, alpha_bar)
    c.close(value, loss_at(x_t), "the same, picture and noise exchanged")


@task(
    "ex05-ancestral",
    equation="x_{t−1} = mean_t + √variance_t z_t for t = T, …, 2, and x_0 = mean_1",
    points=3,
    reference="t2i_course.diffusion.samplers:ddpm",
)
def check_ancestral(c: Checking) -> None:
    shape, T = (3, 2), c.draw.integer(5, 9)
    x, z = c.draw.normal(*shape), c.draw.normal(T + 1, *shape)
    drift, spread = c.draw.uniform(T + 2, low=-0.5, high=0.5), c.draw.uniform(T + 2, low=0.2)
    seen: list[int] = []

    def step(x: Tensor, t: int) -> tuple[Tensor, Tensor]:
        seen.append(int(t))
        return torch.sin(x) + drift.to(x)[int(t)] + 0.5 * x, spread.to(x)[int(t)] ** 2

    def exactly(x: Tensor, t: int) -> tuple[Tensor, Tensor]:
        return step(x, t)[0], torch.tensor(0.0)

    def walk(kicked: range = range(2, T + 1), power: float = 0.5, at: int = 0) -> Tensor:
        here = x.double()
        for t in range(T, 0, -1):
            here, variance = step(here, t)
            if t in kicked:
                here = here + variance**power * z.double()[t + at]
        return here

    case = f"T = {T}, a step with noise"
    value, told = c.answer(step, x, T, z), list(seen)
    c.tensor(value, shape, case)
    early = "range(T, 1, -1) ends before 1: the last step, from t = 1 to 0, is missing."
    late = "there is no step from t = 0: the last one is from t = 1 to 0."
    c.holds(
        told == list(range(T, 0, -1)), "property", "the times that the step was asked for",
        f"{T}, {T - 1}, …, 1", str(told),
        early if told and told[-1] == 2 else late if told and told[-1] == 0 else
        "the walk goes down, from t = T (noise) to t = 1." if told == sorted(told) else
        "each time once, from T down to 1: range(T, 0, -1).",
    )  # fmt: skip
    here = x.double()
    for t in range(T, 0, -1):
        here = exactly(here, t)[0]
    start = "each step goes on from where the last one ended, not from the start."
    c.close(
        c.answer(exactly, x, T, z), here, f"T = {T}, a step without noise", layer="property",
        slips={start: exactly(x.double(), 1)[0]},
    )  # fmt: skip
    c.close(
        value, walk(), case,
        slips={
            "no noise in the last step: x_0 is its mean.": walk(range(1, T + 1)),
            "z_t is multiplied by the deviation, the root of the variance.": walk(power=1),
            "the variance is a square already: take its root, do not square it.": walk(power=2),
            "the noise of step t is z[t], not z[t − 1].": walk(at=-1),
            "each step but the last adds noise; yours adds none.": walk(range(0)),
            "the step from t = T adds noise too; only the last does not.": walk(range(2, T)),
            "each step but the last adds noise, the one from t = 2 too.": walk(range(3, T + 1)),
        },
    )  # fmt: skip
