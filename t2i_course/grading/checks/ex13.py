"""The checks of exercise 13: diffusion on photographs, and how it is compared."""

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from t2i_course.grading.checking import Checking, task


@task(
    "ex13-ema",
    equation=(
        "θ_ema ← d θ_ema + (1 − d) θ, d = min(decay, (1 + step) / (10 + step))",
        "θ_ema ← d θ_ema + (1 − d) θ, d = ½^(batch / h), h = min(halflife, 0.05 seen)",
    ),
    points=2,
    reference="t2i_course.training.ema:EMA",
)
def check_ema(c: Checking) -> None:
    """An average of equal weights, and early and late steps."""
    average, weights = c.draw.normal(2, 3), c.draw.normal(2, 3)
    tried: list[tuple[tuple[Any, ...], float, dict[str, float]]] = []
    if c.variant == 1:
        decay = float(c.draw.uniform(1, low=0.95, high=0.995))
        for step in (1, c.draw.integer(2, 30), c.draw.integer(9_000, 20_000)):
            ramp = (1 + step) / (10 + step)
            wrong = {
                "the ramp is missing: early averages forget quickly.": decay,
                "the smaller of the two, not the larger.": max(decay, ramp),
                "1 + step over 10 + step, with step as it is counted.": min(
                    decay, step / (9 + step)
                ),
                "the ramp alone: it is cut off at the decay.": ramp,
            }
            tried.append(((step, decay), min(decay, ramp), wrong))
    else:
        batch = 32 * c.draw.integer(1, 5)
        halflife = c.draw.integer(20_000, 60_000)
        for seen in (batch, c.draw.integer(3_000, 90_000), c.draw.integer(2_000_000, 9_000_000)):
            h = min(float(halflife), 0.05 * seen)
            wrong = {
                "the ramp is missing: early averages forget quickly.": 0.5 ** (batch / halflife),
                "the smaller of the two half-lives, not the larger.": (
                    0.5 ** (batch / max(halflife, 0.05 * seen))
                ),
                "the ramp alone: it is cut off at the half-life.": 0.5 ** (batch / (0.05 * seen)),
                "a half-life: ½ to a power, not e.": math.exp(-batch / h),
                "a twentieth of what was seen, not all of it.": (
                    0.5 ** (batch / min(halflife, seen))
                ),
                "how many half-lives is a step? batch / h.": 0.5 ** (h / batch),
            }
            tried.append(((seen, batch, halflife), 0.5 ** (batch / h), wrong))
    came = []
    for more, _, _ in tried:
        case = _named(c, more)
        came.append(c.answer(average, weights, *more))
        c.tensor(came[-1], (2, 3), case)
        same = c.answer(weights, weights, *more)
        c.close(
            same, weights, f"{case}: average and weights are equal", layer="property",
            slips={"d and 1 − d add up to 1.": same},
        )  # fmt: skip

    def of(shares: list[float]) -> Tensor:
        return torch.stack([d * average.double() + (1 - d) * weights.double() for d in shares])

    right = [d for _, d, _ in tried]
    slips = {name: of([wrong[name] for *_, wrong in tried]) for name in tried[0][2]}
    exchanged = "d is the share of the old average, 1 − d that of the new weights."
    case = "early and late: " + "; ".join(_named(c, more) for more, _, _ in tried)
    c.close(
        torch.stack(came), of(right), case, slips=slips | {exchanged: of([1 - d for d in right])}
    )


def _named(c: Checking, more: tuple[Any, ...]) -> str:
    names = ("step", "decay") if c.variant == 1 else ("seen", "batch", "halflife")
    return ", ".join(f"{name} {value:g}" for name, value in zip(names, more, strict=True))


@task(
    "ex13-retrieved",
    equation="mean over i of [no other caption is nearer] / (1 + how many others are as near)",
    points=3,
    reference="t2i_course.metrics.retrieval:r_precision",
)
def check_retrieved(c: Checking) -> None:
    """Captions all alike, pictures on their captions, and captions of which some come twice."""
    N, R, D = 600, 6, 5
    captions = c.draw.normal(N, D) * c.draw.uniform(N, 1, low=0.3, high=3.0)
    shift = 1 + c.draw.uniform(N, N - 1).argsort(1)[:, : R - 1]
    others = (torch.arange(N)[:, None] + shift) % N
    pictures = captions + c.draw.normal(N, D) * captions.norm(dim=1, keepdim=True) / 3
    alike = captions[:1].expand(N, -1)
    c.close(
        c.answer(pictures, alike, others), 1 / R, f"all captions alike: chance, 1 of {R}",
        layer="property", slips=_slips_of_retrieved(pictures, alike, others),
    )  # fmt: skip
    c.close(
        c.answer(captions, captions, others), 1.0, "pictures that lie on their own captions",
        layer="property", slips=_slips_of_retrieved(captions, captions, others),
    )  # fmt: skip
    captions[others[::5, 0]] = captions[::5].clone()  # as near as the own one
    case = f"{N} pictures, the own caption among {R}, some captions twice"
    cosines = F.normalize(pictures.double()) @ F.normalize(captions.double()).T
    c.close(
        c.answer(pictures, captions, others), _shared(cosines, others, _even), case,
        slips=_slips_of_retrieved(pictures, captions, others),
    )  # fmt: skip


def _even(ties: Tensor) -> Tensor:
    return 1 / (1 + ties)


def _shared(table: Tensor, others: Tensor, tie: Callable[[Tensor], Tensor]) -> float:
    ahead = table.gather(1, others) - table.diagonal()[:, None]
    ties = (ahead.abs() <= 1e-6).sum(1).double()
    return torch.where((ahead > 1e-6).any(1), 0.0, tie(ties)).mean().item()


def _slips_of_retrieved(pictures: Tensor, captions: Tensor, others: Tensor) -> dict[str, float]:
    x, y = pictures.double(), captions.double()
    cosines, N = F.normalize(x) @ F.normalize(y).T, len(x)
    every = torch.arange(N).repeat(N, 1)[~torch.eye(N, dtype=torch.bool)].view(N, -1)
    ties: dict[str, Callable[[Tensor], Tensor]] = {
        "as near is no whole hit: it is shared among all that are as near.": (
            lambda ties: torch.ones_like(ties)
        ),
        "as near is no miss: a hit is shared among all that are as near.": (
            lambda ties: (ties == 0).double()
        ),
        "a hit is shared by 1 + how many are as near, not by two.": (
            lambda ties: torch.where(ties > 0, 0.5, 1.0)
        ),
        "as near: the own caption and all R − 1 others, none is left out.": lambda ties: (
            1 / ties.clamp(min=1)
        ),
    }
    tables = {
        "longer captions win: compare cosines, not inner products.": (x @ y.T, others),
        "distances of vectors of any length: compare cosines.": (-torch.cdist(x, y), others),
        "R candidates, not all captions: those in `others`, and the own one.": (cosines, every),
        "the first of the others alone: compare with all.": (cosines, others[:, :1]),
        "all R − 1 others, none is left out.": (cosines, others[:, :-1]),
        "whose picture? The caption was compared with other pictures.": (cosines.T, others),
    }
    slips = {words: _shared(cosines, others, tie) for words, tie in ties.items()}
    return slips | {words: _shared(*how, _even) for words, how in tables.items()}


@task(
    "ex13-wilson",
    equation=(
        "(p + z²/2n ± z √(p (1 − p) / n + z²/4n²)) / (1 + z²/n), z = 1.96",
        "p' ± z √(p' (1 − p') / n'), n' = n + z², p' = (hits + z²/2) / n', cut to [0, 1]",
    ),
    points=3,
    reference="t2i_course.metrics.retrieval:wilson",
)
def check_wilson(c: Checking) -> None:
    """No hit, all hits, hits and misses exchanged, and shares in between."""
    n = c.draw.integer(12, 60)
    formula = _wilsons if c.variant == 1 else _agrestis
    for hits in (0, n, c.draw.integer(1, n // 3), c.draw.integer(n // 2, n)):
        case = f"{hits} of {n}"
        ends = _interval(c, hits, n, case)
        c.holds(
            bool(ends[1] - ends[0] > 1e-3), "property", case, "an interval with a width",
            f"{ends.tolist()}", "p ± z √(p (1 − p) / n) says that 0 of n is exactly 0: the other "
            "formula does not.",
        )  # fmt: skip
        turned = _interval(c, n - hits, n, f"{n - hits} of {n}")
        c.agrees(
            turned, 1 - ends.flip(0), f"{n - hits} of {n}, beside {case}",
            was="is one minus the first", slips=formula(n - hits, n)[1],
        )  # fmt: skip
        expected, slips = formula(hits, n)
        c.close(ends, expected, case, slips=slips, rtol=2e-4, atol=1e-5)


def _interval(c: Checking, hits: int, n: int, case: str) -> Tensor:
    pair = c.answer(hits, n)
    two = isinstance(pair, list | tuple) and len(pair) == 2
    c.holds(two, "contract", case, "two numbers, the lower end first", f"{pair!r}")
    return torch.tensor([float(end) for end in pair], dtype=torch.float64)


def _wilsons(hits: int, n: int) -> tuple[Tensor, dict[str, Tensor]]:
    def ends(p: float, z: float, a: float = 0.5, b: float = 0.25, divide: bool = True) -> Tensor:
        whole = 1 + z**2 / n if divide else 1.0
        half = z * math.sqrt(p * (1 - p) / n + b * z**2 / n**2)
        return torch.tensor([p + a * z**2 / n + sign * half for sign in (-1, 1)]) / whole

    p, z = hits / n, 1.959964
    return ends(p, z).double(), {
        "z = 1.96 for 95 %; 1.645 leaves 5 % on each side.": ends(p, 1.644854),
        "that is one standard error: z = 1.96 for 95 %.": ends(p, 1.0),
        "that is 99 %: z = 1.96 for 95 %.": ends(p, 2.575829),
        "all of it is divided by 1 + z²/n.": ends(p, z, divide=False),
        "the middle has z²/2n added.": ends(p, z, a=0.0),
        "below the root z²/4n² is added.": ends(p, z, b=0.0),
        "z²/4n² below the root, not z²/2n².": ends(p, z, b=0.5),
        "z²/2n is added, not z²/n.": ends(p, z, a=1.0),
        "p ± z √(p (1 − p) / n) is the formula that this one mends.": ends(p, z, 0, 0, False),
    }


def _agrestis(hits: int, n: int) -> tuple[Tensor, dict[str, Tensor]]:
    def ends(a: float, z: float, m: float, cut: bool = True, b: float | None = None) -> Tensor:
        p = (hits + a) / (b or m)
        half = z * math.sqrt(max(p * (1 - p), 0) / m)
        two = torch.tensor([p - half, p + half])
        return two.clamp(0, 1) if cut else two

    z = 1.959964
    return ends(z**2 / 2, z, n + z**2).double(), {
        "z = 1.96 for 95 %; 1.645 leaves 5 % on each side.": ends(1.3528, 1.644854, n + 2.7055),
        "below the root stands n' = n + z², not n.": ends(z**2 / 2, z, n, b=n + z**2),
        "z²/2 hits are added, half of the z² trials.": ends(z**2, z, n + z**2),
        "z² trials are added to n, too.": ends(z**2 / 2, z, n),
        "z² is added, not z: 3.84 trials, of which half are hits.": ends(z / 2, z, n + z),
        "that is p ± z √(p (1 − p) / n), the formula that this one mends.": ends(0, z, n),
        "cut at 0 and at 1.": ends(z**2 / 2, z, n + z**2, cut=False),
    }


@task(
    "ex13-near_share",
    equation="the share of samples with d ≤ t, d the distance to the nearest training picture, "
    "t the ⌈q M⌉-th smallest d of the M unseen pictures",
    points=3,
    reference="t2i_course.metrics.near_copies:share_near",
)
def check_near_share(c: Checking) -> None:
    """Copies, pictures far from everything, and a mixture of both with real ones."""
    D, M, K, N = 4, 37, 60, 3000
    train, unseen = c.draw.normal(K, D), c.draw.normal(M, D)
    samples = train[c.draw.integers(0, K, N)] + c.draw.uniform(N, 1) * c.draw.normal(N, D)
    real = torch.cdist(unseen.double(), train.double())

    def share(d: Tensor, real: Tensor, rank: int) -> float:
        return (d <= real.sort().values[rank - 1] + 1e-9).double().mean().item()

    def wrongs(samples: Tensor, q: float) -> dict[str, float]:
        rank = math.ceil(q * M)
        d, others = torch.cdist(samples.double(), train.double()), torch.cdist(samples, unseen)
        near, usual, n = d.amin(1), real.amin(1), len(samples)
        between = (near <= usual.quantile(q)).double().mean().item()
        return {
            "that is the share that is no copy: at or below the threshold is near.": (
                1 - share(near, usual, rank)
            ),
            "the threshold comes from the unseen pictures, not from the samples.": (
                share(near, near, math.ceil(q * n))
            ),
            "the nearest training picture, not the mean over all.": share(
                d.mean(1), real.mean(1), rank
            ),
            "the nearest training picture, not the farthest.": share(d.amax(1), real.amax(1), rank),
            "⌈q M⌉: round up, not down.": share(near, usual, rank - 1),
            "the ⌈q M⌉-th smallest stands at place ⌈q M⌉ − 1.": share(near, usual, rank + 1),
            "the threshold is one of the unseen distances, not a number between two.": between,
            "of each unseen picture the nearest training picture alone counts.": share(
                near, real.flatten(), math.ceil(q * real.numel())
            ),
            "the q smallest, not the q largest.": share(near, usual, M + 1 - rank),
            "copies of training pictures, not of unseen ones.": share(others.amin(1), usual, rank),
            "a share: divide by how many samples there are.": n * share(near, usual, rank),
        }

    for few, expected, name in (
        (train.repeat(4, 1) + 0.02 * c.draw.normal(4 * K, D), 1.0, f"{4 * K} copies"),
        (unseen + 50, 0.0, "pictures far from all"),
    ):
        found = c.answer(few, unseen, train, 0.15)
        c.close(found, expected, name, layer="property", slips=wrongs(few, 0.15))
    near = torch.cdist(samples.double(), train.double()).amin(1)
    for q in (0.15, 0.3, 0.5):
        expected = share(near, real.amin(1), math.ceil(q * M))
        found = c.answer(samples, unseen, train, q)
        case = f"{N} samples, {M} unseen pictures, q = {q}"
        # Whether a sample at the very threshold is in is a matter of rounding.
        c.close(found, expected, case, slips=wrongs(samples, q), rtol=0, atol=0.6 / N)


@task(
    "ex13-hours",
    equation="images · epochs / min(GPUs · rate · efficiency, loader) / 3600",
    points=2,
)
def check_hours(c: Checking) -> None:
    """One GPU, several that the loader feeds, and several that wait for it."""
    images, epochs = c.draw.integer(50_000, 300_000), c.draw.integer(5, 40)
    rate = c.draw.integer(150, 900)
    efficiency = float(c.draw.uniform(1, low=0.7, high=0.95))
    cases, tried, came = [], [], []
    some, many = c.draw.integer(4, 9), c.draw.integer(10, 65)
    for gpus, much in ((1, 9.0), (some, 1.6), (many, 0.4), (many, 0.5 / many)):
        part = efficiency if gpus > 1 else 1.0
        loader = round(gpus * rate * part * much)
        tried.append((gpus, part, loader))
        cases.append(f"{gpus} GPUs, {rate} a second each, efficiency {part:.2f}, loader {loader}")
        came.append(c.answer(images, epochs, rate, gpus, part, loader))
        number = isinstance(came[-1], float | int)
        c.holds(number, "contract", cases[-1], "a number", f"{came[-1]!r}")

    def at(speed: Callable[[int, float, int], float], factor: float = 1.0) -> Tensor:
        times = [factor * images * epochs / speed(*one) / 3600 for one in tried]
        return torch.tensor(times, dtype=torch.float64)

    def right(n: int, e: float, feed: int) -> float:
        return min(n * rate * e, feed)

    slips = {
        "the slower of the two decides, not the faster.": at(
            lambda n, e, feed: max(n * rate * e, feed)
        ),
        "both work at the same time: they do not add up.": at(
            lambda n, e, feed: n * rate * e + feed
        ),
        "the loader's rate is that of all GPUs together.": at(
            lambda n, e, feed: min(n * rate * e, n * feed)
        ),
        "what does the loader give? The GPUs may have to wait.": at(
            lambda n, e, feed: n * rate * e
        ),
        "the efficiency is missing.": at(lambda n, e, feed: min(n * rate, feed)),
        "the loader loses nothing by more GPUs.": at(lambda n, e, feed: min(n * rate, feed) * e),
        "the number of GPUs is missing.": at(lambda n, e, feed: min(rate * e, feed)),
        "the efficiency multiplies the rate.": at(lambda n, e, feed: min(n * rate / e, feed)),
        "once for all GPUs, not once for each.": at(lambda n, e, feed: min(n * rate * e**n, feed)),
        "those are minutes: an hour has 3,600 seconds.": at(right, 60),
        "those are seconds: an hour has 3,600.": at(right, 3600),
        "each epoch sees all images.": at(right, 1 / epochs),
    }
    c.close(torch.tensor(came, dtype=torch.float64), at(right), "; ".join(cases), slips=slips)
