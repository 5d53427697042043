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
    equation="θ_ema ← d θ_ema + (1 − d) θ, d = min(decay, (1 + step) / (10 + step)); second form: "
    "d = ½^(batch / h), h = min(halflife, 0.05 seen)",
    points=2,
    reference="t2i_course.training.ema:EMA",
    variants=2,
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
                "1 + step over 10 + step, with step as it is counted.": step / (9 + step),
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
    for more, d, wrong in tried:
        named = ("step", "decay") if c.variant == 1 else ("seen", "batch", "halflife")
        case = ", ".join(f"{name} {value:g}" for name, value in zip(named, more, strict=True))
        moved = c.answer(average, weights, *more)
        c.tensor(moved, (2, 3), case)
        c.close(
            c.answer(weights, weights, *more), weights, f"{case}: average and weights are equal",
            layer="property",
            slips={
                "d and 1 − d add up to 1.": c.answer(weights, weights, *more),
            },
        )  # fmt: skip

        def of(d: float) -> Tensor:
            return d * average.double() + (1 - d) * weights.double()

        slips = {words: of(each) for words, each in wrong.items()} | {
            "d is the share of the old average, 1 − d that of the new weights.": of(1 - d)
        }
        c.close(moved, of(d), case, slips=slips)


@task(
    "ex13-retrieved",
    equation="mean over i of [no other caption is nearer] / (1 + how many others are as near)",
    points=3,
    reference="t2i_course.metrics.retrieval:r_precision",
)
def check_retrieved(c: Checking) -> None:
    """Captions all alike, pictures on their captions, and captions of which some come twice."""
    N, R, D = 120, 6, 5
    captions = c.draw.normal(N, D) * c.draw.uniform(N, 1, low=0.3, high=3.0)
    shift = 1 + c.draw.uniform(N, N - 1).argsort(1)[:, : R - 1]
    others = (torch.arange(N)[:, None] + shift) % N
    pictures = captions + c.draw.normal(N, D) * captions.norm(dim=1, keepdim=True) / 3
    alike = captions[:1].expand(N, -1)
    c.close(
        c.answer(pictures, alike, others), 1 / R, f"all captions alike: chance, 1 of {R}",
        layer="property",
        slips={
            "as near is no whole hit: it is shared among all that are as near.": 1.0,
            "as near is no miss: a hit is shared among all that are as near.": 0.0,
            "a hit is shared by 1 + how many are as near, not by two.": 0.5,
            "shared by 1 + how many: its own caption counts, too.": 1 / (R - 1),
        },
    )  # fmt: skip
    c.close(
        c.answer(captions, captions, others), 1.0, "pictures that lie on their own captions",
        layer="property",
        slips={"own or another caption: which one is to be the nearest?": 0.0},
    )  # fmt: skip
    double = others[:, 0]
    some = torch.arange(0, N, 5)
    captions[double[some]] = captions[some].clone()  # as near as the own one
    x, y = F.normalize(pictures.double()), F.normalize(captions.double())
    case = f"{N} pictures, the own caption among {R}, some captions twice"

    def share(own: Tensor, rival: Tensor, tie: Callable[[Tensor], Tensor]) -> float:
        nearer = (rival > own[:, None] + 1e-6).any(1)
        ties = ((rival - own[:, None]).abs() <= 1e-6).sum(1)
        return torch.where(nearer, 0.0, tie(ties.double())).mean().item()

    def even(ties: Tensor) -> Tensor:
        return 1 / (1 + ties)

    cosines, dots = x @ y.T, pictures.double() @ captions.double().T
    far = -torch.cdist(pictures.double(), captions.double())
    every = torch.arange(N).repeat(N, 1)[~torch.eye(N, dtype=torch.bool)].view(N, -1)
    slips = {
        "longer captions win: compare cosines, not inner products.": (dots, others, even),
        "distances of vectors of any length: compare cosines.": (far, others, even),
        "R candidates, not all captions: those in `others`, and the own one.": (
            cosines, every, even
        ),
        "as near is no whole hit.": (cosines, others, lambda ties: torch.ones_like(ties)),
        "as near is no miss.": (cosines, others, lambda ties: (ties == 0).double()),
        "the first of the others alone: compare with all.": (cosines, others[:, :1], even),
        "the last of the others is missing.": (cosines, others[:, :-1], even),
        "whose picture? Each caption's others were compared.": (cosines.T, others, even),
    }  # fmt: skip
    own = cosines.diagonal()
    c.close(
        c.answer(pictures, captions, others), share(own, cosines.gather(1, others), even), case,
        slips={
            words: share(table.diagonal(), table.gather(1, which), tie)
            for words, (table, which, tie) in slips.items()
        },
    )  # fmt: skip


@task(
    "ex13-wilson",
    equation="(p + z²/2n ± z √(p (1 − p) / n + z²/4n²)) / (1 + z²/n), z = 1.96; second form: "
    "p' ± z √(p' (1 − p') / n'), n' = n + z², p' = (hits + z²/2) / n', cut to [0, 1]",
    points=3,
    reference="t2i_course.metrics.retrieval:wilson",
    variants=2,
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
        c.close(
            turned, 1 - ends.flip(0), f"{n - hits} of {n}, beside {case}", layer="property",
            atol=1e-5, slips=formula(n - hits, n)[1],
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
    D, M, K, N, q = 4, 37, 60, 50, 0.15
    train, unseen = c.draw.normal(K, D), c.draw.normal(M, D)
    copies = train[:20] + 0.05 * c.draw.normal(20, D)
    samples = torch.cat([copies, 0.9 * c.draw.normal(N - 20, D)])
    case = f"{N} samples, of which 20 are copies with noise, {M} unseen pictures, q = {q}"
    c.close(
        c.answer(train[:9] + 1e-3, unseen, train, q), 1.0, "9 copies", layer="property",
        slips={"a small distance is near: at or below the threshold.": 0.0},
    )  # fmt: skip
    c.close(
        c.answer(unseen + 50, unseen, train, q), 0.0, "pictures far from all", layer="property",
        slips={"the nearest, not the farthest: what is far from all is no copy.": 1.0},
    )  # fmt: skip
    d = torch.cdist(samples.double(), train.double())
    real = torch.cdist(unseen.double(), train.double())
    rank = math.ceil(q * M)

    def share(d: Tensor, real: Tensor, rank: int = rank) -> float:
        return (d <= real.sort().values[rank - 1] + 1e-9).double().mean().item()

    near, of_real = d.amin(1), real.amin(1)
    alone = real.flatten().sort().values[math.ceil(q * real.numel()) - 1]
    slips = {
        "⌈q M⌉: round up, not down.": share(near, of_real, rank - 1),
        "the ⌈q M⌉-th smallest stands at place ⌈q M⌉ − 1.": share(near, of_real, rank + 1),
        "the threshold is one of the unseen pictures' distances, not a number between two.": (
            (near <= of_real.quantile(q)).double().mean().item()
        ),
        "the nearest training picture, not the mean over all.": share(d.mean(1), real.mean(1)),
        "the nearest training picture, not the farthest.": share(d.amax(1), real.amax(1)),
        "the threshold comes from the unseen pictures, not from the samples.": (
            share(near, near, math.ceil(q * N))
        ),
        "from each unseen picture its nearest training picture alone.": (
            (near <= alone).double().mean().item()
        ),
        "the q smallest, not the q largest.": share(near, of_real, M + 1 - rank),
        "copies of the training pictures, not of the unseen ones.": share(
            torch.cdist(samples.double(), unseen.double()).amin(1), of_real
        ),
        "a share: divide by how many samples there are.": N * share(near, of_real),
        "that is the share that is no copy.": 1 - share(near, of_real),
    }
    c.close(c.answer(samples, unseen, train, q), share(near, of_real), case, slips=slips)


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
    for gpus, much in ((1, 9.0), (c.draw.integer(4, 9), 1.6), (c.draw.integer(10, 65), 0.4)):
        part = efficiency if gpus > 1 else 1.0
        alone = gpus * rate * part
        loader = round(alone * much)
        case = f"{gpus} GPUs, {rate} a second each, efficiency {part:.2f}, loader {loader}"
        hours = c.answer(images, epochs, rate, gpus, part, loader)

        def at(speed: float) -> float:
            return images * epochs / speed / 3600

        slips = {
            "the slower of the two decides: the smaller rate, not the larger.": at(
                max(alone, loader)
            ),
            "both work at the same time: they do not add up.": at(alone + loader),
            "the loader's rate is that of all GPUs together.": at(min(alone, loader * gpus)),
            "what does the loader give? The GPUs may have to wait.": at(alone),
            "the efficiency is missing.": at(min(gpus * rate, loader)),
            "the loader loses nothing when there are more GPUs.": at(
                min(gpus * rate, loader) * part
            ),
            "the number of GPUs is missing.": at(min(rate * part, loader)),
            "the efficiency multiplies the rate.": at(min(gpus * rate / part, loader)),
            "once for all GPUs, not once for each.": at(min(gpus * rate * part**gpus, loader)),
            "hours: an hour has 3,600 seconds.": 60 * at(min(alone, loader)),
            "those are seconds: divide by 3,600.": 3600 * at(min(alone, loader)),
            "each epoch sees all images.": at(min(alone, loader)) / epochs,
        }
        c.close(hours, at(min(alone, loader)), case, slips=slips)
