"""The checks of exercise 06: samplers and guidance."""

import math
from itertools import pairwise

import torch
from torch import Tensor

from t2i_course.grading.checking import Checking, task


@task(
    "ex06-times",
    equation="t_i = round(T τ_i) with τ_i = k e_i / (1 + (k − 1) e_i), e_i = 1 − i/S, i = 0 … S",
    points=2,
    reference="t2i_course.diffusion.schedules:times",
)
def check_times(c: Checking) -> None:
    T, S = 1000, c.draw.integer(5, 12)
    even = torch.linspace(1, 0, S + 1, dtype=torch.float64)

    def moved(k: float, e: Tensor = even) -> Tensor:
        return T * k * e / (1 + (k - 1) * e)

    k, clear = 1.0, False
    while not clear:  # no time next to a tie, and some that cutting off would change
        k = c.draw.uniform(1, low=1.5, high=4).item()
        rest = moved(k) % 1
        clear = bool(((rest - 0.5).abs() > 0.02).all() and (rest > 0.5).any())
    case = f"T = {T}, S = {S}, k = {k:.3f}"
    t = c.answer(T, S, k)
    few = "S steps have S + 1 times: where each begins, and where the last one ends."
    c.tensor(t, (S + 1,), case, torch.int64, slips={(S,): few, (T,): few, (T + 1,): few})

    ends, first = (int(t[0]), int(t[-1])), f"{case}: the first and the last time"
    begins = "the walk begins at pure noise, T: below it there is a signal that noise has not."
    brackets = "no time is above T: is the whole denominator in brackets, k e / (1 + (k − 1) e)?"
    likely = begins if ends[0] < T else brackets if ends[0] > T else ""
    likely = likely or "the walk ends at the picture, t = 0."
    c.holds(ends == (T, 0), "property", first, f"({T}, 0)", str(ends), likely)
    plain = c.answer(T, 4, 1.0)
    c.close(plain, torch.tensor([1000, 750, 500, 250, 0]), "S = 4, k = 1", layer="property")
    c.close(
        t, moved(k).round(), case, rtol=0, atol=0.01,
        slips={
            "round to the nearest whole time: a conversion to int cuts off.": moved(k).long(),
            "the times move towards noise, to larger t; yours move to smaller t.": moved(
                1 / k
            ).round(),
            "you left k out.": moved(1).round(),
            "the denominator is 1 + (k − 1) e, which leaves e = 1 where it is.": (
                (T * k * even / (1 + k * even)).round()
            ),
        },
    )  # fmt: skip


@task(
    "ex06-ddim_step",
    equation=(
        "x_u = √ᾱ_u x̂_0 + √(1 − ᾱ_u − σ²) ε̂ + σ z, σ² = η² (1 − ᾱ_u) / (1 − ᾱ_t) (1 − ᾱ_t / ᾱ_u)",
        "x_u = (1 − u) x̂_0 + √(u² − σ²) ε̂ + σ z, σ² = η² (u² / t²)(t² − u² (1 − t)² / (1 − u)²)",
    ),
    points=3,
    reference="t2i_course.diffusion.samplers:ddim",
)
def check_ddim_step(c: Checking) -> None:
    shape, T = (3, 2, 4), 20
    x_t, said, z = (c.draw.normal(*shape) for _ in range(3))
    if c.variant == 1:
        beta = c.draw.uniform(T, low=0.02, high=0.15)
        alpha_bar = torch.cat([torch.ones(1), torch.cumprod(1 - beta, dim=0)])
        t: float = c.draw.integer(11, T + 1)
        u: float = c.draw.integer(3, 9)
        a_t, a_u = (float(alpha_bar[int(i)]) ** 0.5 for i in (t, u))
        s_t, s_u = (1 - a_t**2) ** 0.5, (1 - a_u**2) ** 0.5
        x_0, eps = (x_t.double() - s_t * said) / a_t, said.double()

        def step(eta: float, z: Tensor, to: float = u) -> Tensor:
            return c.answer(x_t, said, t, to, alpha_bar, eta, z)

        case = f"t = {t}, u = {u} of {T}"
        wrong_x_0 = {
            "x_0 = (x_t − s_t ε) / a_t: the division by a_t is missing.": x_t.double() - s_t * said,
            "x_0 = (x_t − s_t ε) / a_t with s_t = √(1 − ᾱ_t).": (x_t - s_t**2 * said) / a_t,
            "x_0 = (x_t − s_t ε) / a_t with a_t = √ᾱ_t.": (x_t - s_t * said) / a_t**2,
            "x_0 has roots of ᾱ_t and of 1 − ᾱ_t.": (x_t - s_t**2 * said.double()) / a_t**2,
        }
        beside = float(alpha_bar[int(t) - 1])
    else:
        t, u = (c.draw.uniform(1, low=low, high=low + 0.3).item() for low in (0.6, 0.2))
        a_t, a_u, s_t, s_u = 1 - t, 1 - u, t, u
        x_0, eps = x_t.double() - t * said, x_t.double() + (1 - t) * said

        def step(eta: float, z: Tensor, to: float = u) -> Tensor:
            return c.answer(x_t, said, t, to, eta, z)

        case = f"t = {t:.2f}, u = {u:.2f} on the flow"
        wrong_x_0 = {
            "v = ε − x_0, so x_0 = x_t − t v: check the sign.": x_t.double() + t * said,
            "x_0 = x_t − t v: it is t, not 1 − t.": x_t.double() - (1 - t) * said,
        }
    forward = s_t**2 - (a_t / a_u) ** 2 * s_u**2  # β between u and t

    def neighbour(eta: float) -> dict[str, Tensor]:
        """What comes if u is taken for t − 1."""
        if c.variant == 2:
            return {}
        variance = eta**2 * (1 - beside) / s_t**2 * (1 - a_t**2 / beside)
        kept = (1 - beside - variance) ** 0.5
        wrong = beside**0.5 * x_0 + kept * eps + variance**0.5 * z
        return {"u need not be t − 1: it is given, alpha_bar[u].": wrong}

    def to_u(
        variance: float, kept: float | None = None, kick: float = 0.5, x_0: Tensor = x_0
    ) -> Tensor:
        kept = s_u**2 - variance if kept is None else kept
        return a_u * x_0 + max(kept, 0) ** 0.5 * eps + variance**kick * z

    value = step(0.0, z)
    c.tensor(value, shape, case)
    quiet = f"{case}, η = 0 with other z"
    c.agrees(step(0.0, 5 * z), value, quiet, "with η = 0 no fresh noise comes in: σ = 0.")
    last = "the last step, to u = 0, with η = 0.7"
    c.close(step(0.7, z, 0), x_0, last, layer="property", slips=wrong_x_0 | neighbour(0.7))
    slips = {words: to_u(0, x_0=wrong) for words, wrong in wrong_x_0.items()}
    slips["a_u and s_u belong to the new time u; you put those of t."] = a_t * x_0 + s_t * eps
    slips["the noise's factor is the deviation s_u, not s_u²."] = a_u * x_0 + s_u**2 * eps
    if c.variant == 2:
        slips["ε = x_t + (1 − t) v: check the sign."] = a_u * x_0 + s_u * (x_t - (1 - t) * said)
        slips["ε = x_t + (1 − t) v: it is 1 − t, not t."] = a_u * x_0 + s_u * (x_t + t * said)
    c.close(value, to_u(0), f"{case}, η = 0", slips=slips | neighbour(0))

    for eta in (c.draw.uniform(1, low=0.4, high=0.7).item(), 1.0):
        variance = eta**2 * s_u**2 / s_t**2 * forward
        value = step(eta, z)
        c.holds(
            not isinstance(value, Tensor) or bool(value.isfinite().all()), "property",
            f"{case}, η = {eta:.2f}", "finite numbers", "NaN or infinity",
            "1 − ᾱ_t / ᾱ_u lies in [0, 1]: the larger one, ᾱ_u, stands below."
            if c.variant == 1 else "a root of less than 0: σ² is at most u².",
        )  # fmt: skip
        c.close(
            value, to_u(variance), f"{case}, η = {eta:.2f}",
            slips={
                "the fresh noise takes the place of a part of ε: √(s_u² − σ²), not s_u.": to_u(
                    variance, kept=s_u**2
                ),
                "σ z, not σ² z.": to_u(variance, kick=1),
                "σ² has η², not η.": to_u(variance / eta),
                "the factor of ε is √(s_u² − σ²), not s_u − σ.": to_u(
                    variance, kept=(s_u - variance**0.5) ** 2
                ),
                "σ² is the variance of the step back, β s_u² / s_t², not β.": to_u(
                    eta**2 * forward
                ),
                "s_u² / s_t², not the other way round.": to_u(
                    eta**2 * forward * s_t**2 / s_u**2
                ),
                "β = s_t² − (a_t / a_u)² s_u²: the noise at u arrives shrunk.": to_u(
                    eta**2 * s_u**2 / s_t**2 * (s_t**2 - s_u**2)
                ),
            },
        )  # fmt: skip


@task(
    "ex06-walk",
    equation=(
        "x_u = x_t + (u − t) ½ (v(x_t, t) + v(x_t + (u − t) v(x_t, t), u)), and Euler's step to 0",
        "x_u = x_t + (u − t) v(x_t + ½ (u − t) v(x_t, t), ½ (t + u))",
    ),
    points=4,
    reference="t2i_course.diffusion.samplers:heun",
)
def check_walk(c: Checking) -> None:
    S = c.draw.integer(3, 6)
    inner = c.draw.uniform(S - 1, low=0.1, high=0.9).double().sort(descending=True).values
    times = torch.cat([torch.ones(1), 0.5 * inner + 0.5 * torch.linspace(0.9, 0.1, S - 1),
                       torch.zeros(1)]).double()  # fmt: skip
    x = c.draw.normal(4, 2)
    seen: list[list[int]] = []

    def v(x: Tensor, t: float | Tensor) -> Tensor:
        return torch.sin(2 * x) - 1.5 * float(t) * x + float(t) ** 2

    def velocity(x: Tensor, t: Tensor) -> Tensor:
        seen.append(list(torch.as_tensor(t).shape))
        return v(x, torch.as_tensor(t).reshape(-1)[0])

    def still(x: Tensor, t: Tensor) -> Tensor:
        return torch.full_like(x, 0.7)

    case = f"{S} steps"
    value = c.answer(velocity, x, times)
    c.tensor(value, (4, 2), case)
    asked = list(seen)
    told = "the time, as the velocity got it"
    shape = asked[0] if asked else []
    c.holds(not shape, "contract", told, "one number, shape []", f"shape {shape}")
    c.close(
        c.answer(still, x, times), x.double() - 0.7, "a velocity that is 0.7 everywhere",
        layer="property",
        slips={
            "the walk goes from t down to u: by u − t, which is negative.": x.double() + 0.7,
            "a mean is the sum, halved: each step moves twice as far.": x.double() - 1.4,
            "the mean of the two velocities is their sum, halved, or x was moved twice: both looks "
            "belong to one step from the old x.": (
                x.double() - 0.7 * (1 + float(times[0] - times[-2]))
            ),
            "the whole step begins at x_t again, not where you went to look.": x.double() - 1.05,
            "halved once too often.": x.double() - 0.35,
        },
    )  # fmt: skip
    most = 2 * S - 1 if c.variant == 1 else 2 * S
    single = "one call a step is Euler's walk: look a second time."
    to_0 = "in the step to u = 0 there is no noise left to look at: it is Euler's, one call."
    c.holds(
        len(asked) == most, "property", f"{case}: how often the velocity was asked for", str(most),
        str(len(asked)),
        single if len(asked) == S else to_0 if (c.variant, len(asked)) == (1, 2 * S) else
        "keep the first velocity in a name: it was asked for again." if len(asked) > most else "",
    )  # fmt: skip

    def walk(at: float, then: float, share: float) -> Tensor:
        """Look again at a part `at` of Euler's step and `then` of its time; the second velocity
        has that share."""
        here, moments = x.double(), times.tolist()
        for t, u in pairwise(moments):
            first = second = v(here, t)
            if u > 0 or c.variant == 2:
                second = v(here + at * (u - t) * first, t + then * (u - t))
            here = here + (u - t) * ((1 - share) * first + share * second)
        return here

    if c.variant == 1:
        right, slips = (1.0, 1.0, 0.5), {
            "the second look is from where Euler's step arrived, not from x_t.": (0, 1, 0.5),
            "the second look is at the time u, where Euler's step arrived.": (1, 0, 0.5),
            "the mean of both velocities; you went with the second alone.": (1, 1, 1),
            "Euler's step goes to x_t + (u − t) v: check the sign.": (-1, 1, 0.5),
            "Heun looks at the end of Euler's step; you looked at half of it.": (0.5, 0.5, 0.5),
        }  # fmt: skip
    else:
        right, slips = (0.5, 0.5, 1.0), {
            "go half a step to look: x_t + ½ (u − t) v.": (1, 0.5, 1),
            "the second look is from the middle, not from x_t.": (0, 0.5, 1),
            "the second look is at the middle of the times, ½ (t + u), not at t.": (0.5, 0, 1),
            "the second look is at the middle of the times, ½ (t + u), not at u.": (0.5, 1, 1),
            "the whole step is made with the velocity in the middle alone.": (0.5, 0.5, 0.5),
            "the middle is at x_t + ½ (u − t) v: check the sign.": (-0.5, 0.5, 1),
        }  # fmt: skip
    named = {words: walk(*how) for words, how in slips.items()}
    c.close(value, walk(*right), case, slips=named)


@task(
    "ex06-multistep",
    equation="x_u = (u/t) x_t + (1 − u/t) x̃_0, x̃_0 = x̂_0 + ½ (λ_u − λ_t) / (λ_t − λ_b) (x̂_0 − "
    "x̂_0ᵇ), λ_t = log((1 − t) / t)",
    points=3,
    reference="t2i_course.diffusion.samplers:dpm_solver_2m",
)
def check_multistep(c: Checking) -> None:
    shape = (3, 4)
    x_t, x_0, old = (c.draw.normal(*shape) for _ in range(3))
    before, t, u = (
        c.draw.uniform(1, low=low, high=low + 0.15).item() for low in (0.75, 0.45, 0.15)
    )
    case = f"before = {before:.2f}, t = {t:.2f}, u = {u:.2f}"
    value = c.answer(x_t, x_0, old, before, t, u)
    c.tensor(value, shape, case)

    def to_u(ahead: Tensor) -> Tensor:
        return u / t * x_t + (1 - u / t) * ahead

    c.close(
        c.answer(x_t, x_0, x_0, before, t, u), to_u(x_0.double()),
        f"{case}, x_0 as it was before: DDIM's step", layer="property",
        slips={
            "u/t of x_t and 1 − u/t of x̃_0: yours are swapped.": (1 - u / t) * x_t + u / t * x_0,
            "u/t, not t/u: the step goes to less noise.": t / u * x_t + (1 - t / u) * x_0,
        },
    )  # fmt: skip

    def along(before: float, t: float, u: float, factor: float = 0.5) -> Tensor:
        return to_u(x_0 + factor * (u - t) / (t - before) * (x_0.double() - old))

    def lam(t: float) -> float:
        return math.log((1 - t) / t)

    at = (lam(before), lam(t), lam(u))
    ratio = (at[2] - at[1]) / (at[1] - at[0])
    c.close(
        value, along(*at), case,
        slips={
            "half of the step's length in λ: x̃_0 is the value in its middle.": along(*at, factor=1),
            "x̃_0 goes on from x_0 away from x_0_before: check the sign.": along(*at, factor=-0.5),
            "the line is straight in λ = log((1 − t) / t), not in t.": along(before, t, u),
            "the new step over the last one: yours is the other way round.": to_u(
                x_0 + 0.5 / ratio * (x_0.double() - old)
            ),
            "λ has the logarithm: log((1 − t) / t).": along(*(math.exp(each) for each in at)),
            "the last step has its own length: divide by λ_t − λ_before.": to_u(
                x_0 + 0.5 * (at[2] - at[1]) * (x_0.double() - old)
            ),
            "equal steps would give ½; these are not equal: their ratio in λ belongs to it.": to_u(
                1.5 * x_0.double() - 0.5 * old
            ),
            "x̃_0 begins at x_0, the newer of the two, not at x_0_before.": to_u(
                old + 0.5 * ratio * (x_0.double() - old)
            ),
        },
    )  # fmt: skip


@task(
    "ex06-guided",
    equation=(
        "f_∅ + w (f_c − f_∅) for low ≤ t ≤ high, elsewhere f_c",
        "(1 + w′) f_c − w′ f_∅ for low ≤ t ≤ high, elsewhere f_c",
    ),
    points=3,
    reference="t2i_course.diffusion.guidance:guided",
)
def check_guided(c: Checking) -> None:
    B, D, K = 5, 4, 3
    x_t, label = c.draw.normal(B, D), torch.eye(K)[c.draw.integers(0, K, B)]
    heart, pull = c.draw.normal(D), c.draw.normal(K, D)
    ours = c.variant == 1
    seen: list[tuple[int, ...]] = []

    def says(x: Tensor, t: Tensor, present: Tensor) -> Tensor:
        known = torch.where(present[:, None], (label @ pull).to(x), heart.to(x))
        return torch.tanh(x) + known * (1.5 - t.to(x)[:, None])

    def network(x: Tensor, t: Tensor, label: Tensor, present: Tensor) -> Tensor:
        seen.append(tuple(torch.as_tensor(present).shape))
        present = torch.as_tensor(present).bool().reshape(-1).expand(len(x))
        return torch.tanh(x) + torch.where(present[:, None], label @ pull, heart) * (
            1.5 - t[:, None]
        )

    t = torch.tensor([0.9, 0.7, 0.5, 0.3, 0.1]) + c.draw.uniform(B, low=-0.04, high=0.04)
    t[1:] = t[1 + torch.randperm(B - 1, generator=c.draw.generator)]
    low, high = 0.25, 0.75
    w = c.draw.uniform(1, low=1.5, high=4).item()
    name = "w" if ours else "w′"
    case = f"{name} = {w:.2f} for t from {low} to {high}"
    column = "make the mask a column, inside[:, None]: it says which rows."
    value = c.call(
        network, x_t, t, label, w, low, high,
        errors={"ambiguous": "each row has its own t: a mask, not an if.", "must match": column},
    )  # fmt: skip
    c.tensor(value, (B, D), case)
    told = seen[-1] if seen else ()
    one = "present is one bool for each row"
    c.holds(told in ((B,), (2 * B,)), "contract", one, f"shape [{B}]", f"shape {list(told)}")
    every = torch.ones(B, dtype=torch.bool)
    f_c, f_0 = says(x_t.double(), t, every), says(x_t.double(), t, ~every)
    swapped = "the answers with and without the label are swapped."
    other = "this is the other convention: here "
    other += "w = 1 is plain and w = 0 has no label." if ours else "w′ = 0 is plain."
    two = [(1.0, f_c, 2 * f_c - f_0, f_0), (0.0, f_0, f_c, f_c)] if ours else [
        (-1.0, f_0, 2 * f_0 - f_c, f_c), (0.0, f_c, f_0, f_0)
    ]  # fmt: skip
    hide = "hide the label by `present`, not by a label of zeros."
    for weight, expected, counted, exchanged in two:
        slips = {swapped: exchanged, other: counted, hide: torch.tanh(x_t.double())}
        found = c.answer(network, x_t, t, label, weight, 0.0, 1.0)
        c.close(found, expected, f"{name} = {weight:g}", layer="property", slips=slips)

    def within(inside: Tensor, outside: Tensor = f_c, weight: float = w) -> Tensor:
        weight = weight if ours else 1 + weight
        return torch.where(inside[:, None], f_0 + weight * (f_c - f_0), outside)

    inside = (low <= t) & (t <= high)
    slips = {
        "guide only where low ≤ t ≤ high: the interval is left out.": within(every),
        "you guided outside the interval, and not inside.": within(~inside),
        "outside the interval is plain sampling with the label, f_c.": within(inside, f_0),
        "outside the interval is f_c, not 0.": within(inside, 0 * f_c),
        "the interval has two ends: you left out low ≤ t.": within(t <= high),
        "the interval has two ends: you left out t ≤ high.": within(low <= t),
        "each row has its own t: one of them decided for all rows.": within(inside[:1].expand(B)),
        "this is the other convention.": within(inside, weight=w + (1 if ours else -1)),
        "w multiplies the difference once; it is not squared.": within(inside, weight=w**2),
    }
    c.close(value, within(inside), case, slips=slips)
    at = torch.full((B,), high)
    f_c, f_0 = says(x_t.double(), at, every), says(x_t.double(), at, ~every)
    c.close(
        c.answer(network, x_t, at, label, w, high, high), within(every, f_c),
        f"t at the interval's end itself, {high}",
        slips={"both ends belong to the interval: ≤, not <.": f_c},
    )  # fmt: skip
