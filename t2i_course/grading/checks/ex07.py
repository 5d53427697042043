"""The checks of exercise 07: metrics, and the first comparison."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from t2i_course.grading.checking import Checking, task


def _number(c: Checking, value: Any, case: str) -> None:
    """Contract: one finite number, as a float or a tensor without dimensions."""
    one = isinstance(value, float | int) or (isinstance(value, Tensor) and value.ndim == 0)
    came = f"shape {list(value.shape)}" if isinstance(value, Tensor) else repr(value)
    c.holds(one, "contract", case, "one number", came)
    finite, came = bool(torch.as_tensor(value).isfinite()), repr(float(value))
    c.holds(finite, "contract", case, "a finite number", came)


def _covariance(x: Tensor, less: int = 1) -> Tensor:
    off = x - x.mean(dim=0)
    return off.T @ off / (len(x) - less)


def _root(S: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(S)
    return vectors * values.clamp(min=0).sqrt() @ vectors.T


def _distance(x: Tensor, y: Tensor, less: int = 1) -> Tensor:
    """d², its root's trace by the singular values of the product of two symmetric roots."""
    S_x, S_y = _covariance(x, less), _covariance(y, less)
    cross = torch.linalg.svdvals(_root(S_x) @ _root(S_y)).sum()
    off = (x.mean(dim=0) - y.mean(dim=0)).square().sum()
    return off + S_x.trace() + S_y.trace() - 2 * cross


@task(
    "ex07-frechet",
    equation="d² = |μ_x − μ_y|² + tr(Σ_x + Σ_y − 2 (Σ_x Σ_y)^½)",
    points=4,
    reference="t2i_course.metrics.frechet:frechet_distance",
)
def check_frechet(c: Checking) -> None:
    D, N, M = 4, 9, 12
    x = c.draw.normal(N, D).double() @ c.draw.normal(D, D).double()
    y = c.draw.normal(M, D).double() @ c.draw.normal(D, D).double() + c.draw.normal(D).double()
    case = f"{N} and {M} features of {D} numbers"
    value = c.answer(x, y)
    _number(c, value, case)

    S_x, S_y = _covariance(x), _covariance(y)
    whole, S = (move := c.draw.normal(D).double()).square().sum(), S_x @ S_x
    c.close(
        c.answer(x, x + move), whole, "a set and itself, moved", layer="property", atol=1e-6,
        slips={
            "(Σ_x Σ_y)^½ counts twice.": whole + S_x.trace(),
            "the root is a matrix root. Its trace is the sum of the roots of the eigenvalues of "
            "Σ_x Σ_y, not the root of each entry.": whole
            + 2 * S_x.trace() - 2 * S.diagonal().sqrt().sum(),
            "the trace of (Σ_x Σ_y)^½, with the root.": whole + 2 * S_x.trace() - 2 * S.trace(),
            "the root of the trace is not the trace of the root.": whole
            + 2 * S_x.trace() - 2 * S.trace().sqrt(),
            "everybody prints d²: no root at the end.": whole.sqrt(),
            "|μ_x − μ_y|² is a sum over the D differences, not their mean.": whole / D,
            "the differences are squared before they are added.": move.sum() ** 2,
            "the means are left out.": 0.0,
        },
    )  # fmt: skip
    few = c.draw.normal(3, 6).double(), c.draw.normal(4, 6).double()
    singular, words = c.answer(*few), "3 and 4 features of 6 numbers"
    c.holds(
        bool(torch.as_tensor(singular).isfinite()), "property", words, "a finite number",
        repr(float(singular)),
        "eigenvalues that should be 0 may come out a little below it: clamp before the root.",
    )  # fmt: skip

    off = (x.mean(dim=0) - y.mean(dim=0)).square().sum()
    by_number = off + (S_x.diagonal().sqrt() - S_y.diagonal().sqrt()).square().sum()
    values = torch.linalg.svdvals(S_x @ S_y).sqrt().sum()
    slips = {
        "widths alone, each number by itself: what is correlated is left out.": by_number,
        "the covariance is divided by N − 1 (unbiased), not by N.": _distance(x, y, 0),
        "the singular values of Σ_x Σ_y are not its eigenvalues.": (
            off + S_x.trace() + S_y.trace() - 2 * values
        ),
    }
    c.close(value, _distance(x, y), case, slips=slips)
    c.close(singular, _distance(*few), words, rtol=1e-3, atol=1e-4)


@task(
    "ex07-mmd2",
    equation=(
        "mean_{i≠j} k(x_i, x_j) + mean_{i≠j} k(y_i, y_j) − 2 mean k(x_i, y_j), k = (xᵀy / D + 1)³",
        "mean_{i≠j} k(x_i, x_j) + mean_{i≠j} k(y_i, y_j) − 2 mean k(x_i, y_j), k = e^(−|x−y|²/2σ²)",
    ),
    points=3,
    reference="t2i_course.metrics.kid:mmd2",
)
def check_mmd2(c: Checking) -> None:
    N, M, D = 6, 9, 4
    x = c.draw.normal(N, D).double()
    y = (1.3 * c.draw.normal(M, D) + 0.4).double()
    sigma = c.draw.uniform(1, low=1.2, high=1.8).item()
    own = () if c.variant == 1 else (sigma,)
    kernels: dict[str, Callable[[Tensor, Tensor], Tensor]]

    def squared(a: Tensor, b: Tensor) -> Tensor:
        return (a[:, None] - b).square().sum(dim=2)

    if c.variant == 1:
        kernels = {
            "": lambda a, b: (a @ b.T / D + 1) ** 3,
            "the kernel divides xᵀy by D.": lambda a, b: (a @ b.T + 1) ** 3,
            "the kernel has + 1 before the power.": lambda a, b: (a @ b.T / D) ** 3,
            "the power is 3.": lambda a, b: (a @ b.T / D + 1) ** 2,
        }
    else:
        kernels = {
            "": lambda a, b: (-squared(a, b) / (2 * sigma**2)).exp(),
            "the exponent is −|x − y|² / (2 σ²): you left out the 2.": (
                lambda a, b: (-squared(a, b) / sigma**2).exp()
            ),
            "the exponent has |x − y|², squared.": (
                lambda a, b: (-squared(a, b).sqrt() / (2 * sigma**2)).exp()
            ),
            "the exponent has σ², not σ.": lambda a, b: (-squared(a, b) / (2 * sigma)).exp(),
            "the kernel is exp(−…): far apart means a small k.": (
                lambda a, b: (squared(a, b) / (2 * sigma**2)).exp()
            ),
        }

    def within(K: Tensor) -> Tensor:
        return (K.sum() - K.trace()) / (len(K) * (len(K) - 1))

    def mmd2(k: Callable[[Tensor, Tensor], Tensor], twice: float = 2) -> Tensor:
        return within(k(x, x)) + within(k(y, y)) - twice * k(x, y).mean()

    case = f"{N} and {M} features of {D} numbers"
    value = c.answer(x, y, *own)
    _number(c, value, case)
    k = kernels[""]
    itself = float(c.answer(x, x, *own))
    c.holds(
        abs(itself) > 1e-9, "property", "a set and itself", "not 0: the mean of k over different "
        "rows is below that over all pairs", f"{itself:.6g}",
        "leave out the pairs of a row with itself, within a set and only there: subtract the "
        "trace, and divide by N (N − 1).",
    )  # fmt: skip
    x_x, y_y, x_y = k(x, x), k(y, y), k(x, y)
    slips = {words: mmd2(wrong) for words, wrong in kernels.items() if words} | {
        "without the N pairs (x_i, x_i) there are N (N − 1) left to divide by, not N².": (
            (x_x.sum() - x_x.trace()) / N**2 + (y_y.sum() - y_y.trace()) / M**2 - 2 * x_y.mean()
        ),
        "the pairs of different sets count twice.": mmd2(k, twice=1),
        "y has M rows and M (M − 1) pairs of its own.": within(x_x)
        + (y_y.sum() - y_y.trace()) / (N * (N - 1)) - 2 * x_y.mean(),
    }  # fmt: skip
    c.close(value, mmd2(k), case, slips=slips)
    c.close(itself, 2 * within(x_x) - 2 * x_x.mean(), "a set and itself")


@task(
    "ex07-inception_score",
    equation=(
        "IS = exp(H(mean of p) − mean of H(p)) over the images, H(p) = −Σ p log p",
        "IS = mean over the splits of exp(H(mean of p) − mean of H(p)), H(p) = −Σ p log p",
    ),
    points=3,
    reference="t2i_course.metrics.inception_score:InceptionScore",
)
def check_inception_score(c: Checking) -> None:
    K, splits, n = 5, 3, 8
    whole = c.variant == 1
    logits = (2 * c.draw.normal(splits * n, K)).double()
    turn = torch.arange(splits).repeat_interleave(n)[:, None]
    logits = logits * (0.4 + turn) + turn * c.draw.normal(K)  # the splits' scores differ
    large = 200.0 * torch.eye(K).double()  # as sure as float64 can say: 1 and e^-200
    impossible = torch.full_like(large, -torch.inf)
    impossible.fill_diagonal_(0.0)

    def asked(logits: Tensor, splits: int = 1) -> Any:
        return c.answer(logits.softmax(1)) if whole else c.answer(logits, splits)

    case = f"{splits * n} images, {K} classes" + ("" if whole else f", {splits} splits")
    value = asked(logits, splits)
    _number(c, value, case)
    name = "sure of each image, all classes equally often"
    sure = asked(impossible if whole else large)
    c.holds(
        bool(torch.as_tensor(sure).isfinite()), "property", name, f"{K}, the number of classes",
        repr(float(sure)),
        "0 · log 0 is NaN for a computer; its limit is 0: torch.special.entr(p) is −p log p with "
        "that, or torch.xlogy.",
    )  # fmt: skip
    log = torch.tensor(float(K)).log()
    c.close(
        sure, float(K), name, layer="property",
        slips={
            "the score is exp of it.": log,
            "the two entropies are swapped: that of the mean comes first.": 1.0 / K,
            "natural logarithms go with exp: yours are to another base.": (
                (log / torch.tensor(2.0).log()).exp()
            ),
            "p(y) is the mean over the images, dim=0: one number for each class.": 1.0,
        },
    )  # fmt: skip
    variety = "only the entropy of the mean: how sure the classifier is of each is left out."
    unsure = asked(torch.zeros(6, K).double())
    c.close(unsure, 1.0, "unsure of every image", layer="property", slips={variety: float(K)})

    def entropy(p: Tensor) -> Tensor:
        return torch.special.entr(p).sum(dim=-1)

    def gain(p: Tensor) -> Tensor:
        return entropy(p.mean(dim=0)) - entropy(p).mean()

    p = logits.softmax(dim=1)
    cuts = (p,) if whole else p.split(n)
    scores = torch.stack([gain(part).exp() for part in cuts])
    kl = torch.stack([(part * (part / part.mean(0)).log()).sum(1) for part in cuts])
    back = torch.stack([(part.mean(0) * (part.mean(0) / part).log()).sum(1) for part in cuts])

    def mean(score: Callable[[Tensor], Tensor]) -> Tensor:
        return torch.stack([score(q).exp() for q in cuts]).mean()

    slips: dict[str, Tensor | float] = {}
    if not whole:
        turns = torch.stack([gain(p[i::splits]).exp() for i in range(splits)])
        slips = {
            "each split is scored by itself; you scored all images as one.": gain(p).exp(),
            "each split's score has its own exp; the mean of the scores comes after it.": (
                scores.log().mean().exp()
            ),
            "a split is a run of images one after another, not every third one.": turns.mean(),
            "softmax over the classes, dim=1, so that each image's numbers sum to 1.": torch.stack(
                [gain(q.softmax(dim=0)).exp() for q in logits.split(n)]
            ).mean(),
        }
    slips |= {
        "exp of the mean, not the mean of exp: the images are averaged before exp.": (
            kl.exp().mean()
        ),
        "KL(p(y|x) ‖ p(y)), and not KL(p(y) ‖ p(y|x)).": back.mean(dim=1).exp().mean(),
        "the mean over the images of H(p(y|x)), not the sum.": mean(
            lambda q: entropy(q.mean(0)) - entropy(q).sum()
        ),
        "the entropies are sums over the classes, not means.": mean(lambda q: gain(q) / K),
    }
    c.close(value, scores.mean(), case, slips=slips)


@task(
    "ex07-fidelity_variety",
    equation=(
        "the shares of generated in any ball of the real, and of real in any ball of the generated",
        "density = samples in balls, summed over the balls, / (k M); coverage = share of balls hit",
    ),
    points=4,
    reference="t2i_course.metrics.precision_recall:precision_recall",
)
def check_fidelity_variety(c: Checking) -> None:
    first = c.variant == 1
    names = ("precision", "recall") if first else ("density", "coverage")

    def asked(real: Tensor, fake: Tensor, k: int, case: str) -> tuple[Any, Any]:
        value = c.answer(real, fake, k)
        pair = isinstance(value, tuple | list) and len(value) == 2
        c.holds(pair, "contract", case, f"two numbers: {', '.join(names)}", repr(value)[:80])
        for one in value:
            _number(c, one, case)
        return value[0], value[1]

    def share(table: Tensor, dim: int = 0) -> Tensor:
        return table.any(dim=dim).double().mean()

    def compared(real: Tensor, fake: Tensor, k: int, case: str) -> None:
        def balls(points: Tensor, centres: Tensor, by: int = 0, edge: bool = True) -> Tensor:
            """Which balls (rows) hold which points (columns); they reach the (k + by)-th other."""
            apart = (centres[:, None] - centres).norm(dim=2).sort(dim=1).values
            radii = apart[:, min(k + by, len(centres) - 1)]  # the 0-th is itself
            off = (centres[:, None] - points).norm(dim=2) - radii[:, None]
            return off <= 0 if edge else off < 0

        def density(table: Tensor, k: int = k, M: int = len(fake)) -> Tensor:
            return table.double().sum() / (k * M)

        value = asked(real, fake, k, case)
        itself = "the nearest neighbour of each centre is itself, at distance 0: take the k-th of "
        itself += "the others, which is number k + 1 in the sorted row."
        more = "one neighbour too many: the k-th of the others is number k + 1 in the sorted row."
        edge = "a point at the edge of a ball is in it: ≤."
        if first:
            pairs = {"precision": (fake, real), "recall": (real, fake)}
            for one, (name, (points, centres)) in zip(value, pairs.items(), strict=True):
                inside, other = balls(points, centres), balls(centres, points)
                slips = {
                    itself: share(balls(points, centres, -1)),
                    more: share(balls(points, centres, 1)),
                    edge: share(balls(points, centres, edge=False)),
                    f"{name} has its balls round the other set; precision comes first.": share(
                        other
                    ),
                    "each ball has a radius of its own.": share(balls(points, centres, 99)),
                    "the share of points in any ball, not of balls with any.": share(inside, 1),
                    "in any ball, not in all of them.": inside.all(dim=0).double().mean(),
                    "in how many balls a point is does not count.": inside.double().sum(0).mean(),
                    "the radius belongs to the centre, not to the point.": share(other, 1),
                }
                c.close(one, share(inside), f"{case}: the {name}", slips=slips)
            return
        inside, tight, loose = (balls(fake, real, by) for by in (0, -1, 1))
        strict, around = balls(fake, real, edge=False), balls(real, fake)
        slips = {
            itself: density(tight),
            more: density(loose),
            edge: density(strict),
            "divide by k: each place is in about k balls.": density(inside, k=1),
            "divide by the number of generated images, M, not by N.": density(inside, M=len(real)),
            "count every ball that a sample is in, not only whether it is in any.": share(inside),
            "count every ball that a sample is in; yours counted one at most.": share(inside) / k,
            "the balls are round the real images, not the generated ones.": density(around),
            "the density comes first; yours are swapped.": share(inside, 1),
        }
        c.close(value[0], density(inside), f"{case}: the density", slips=slips)
        slips = {
            itself: share(tight, 1),
            more: share(loose, 1),
            edge: share(strict, 1),
            "the share of real balls that hold a sample, not of samples in a ball.": share(inside),
            "the balls are round the real images: balls round samples are recall.": share(around),
            "divide by the number of real images.": share(inside, 1) * len(real) / len(fake),
        }
        c.close(value[1], share(inside, 1), f"{case}: the coverage", slips=slips)

    real, k = c.draw.normal(40, 2).double(), c.draw.integer(3, 6)
    fake = (c.draw.normal(30, 2) * torch.tensor([1.5, 0.6]) + 0.5).double()
    for name, one in zip(names, asked(real, fake + 99, k, "generated: far away"), strict=True):
        c.close(one, 0.0, f"generated: far away; the {name}", layer="property")

    def line(places: list[int]) -> Tensor:  # on a grid, where no distance is rounded
        order = torch.randperm(len(places), generator=c.draw.generator)
        return torch.tensor(places).double()[order, None] * size + start

    size, start = 0.5 ** c.draw.integer(0, 4), c.draw.integer(-9, 10)
    some, others = [7, 29, 28, 27, 17, 33, 21, 32], [37, 36, 39, 19, 26, 15, 23, 38, 17, 13, 35]
    compared(line(some), line(others), 2, "8 real, 11 generated on a line, k = 2")
    compared(real, fake, k, f"40 real, 30 generated in a plane, k = {k}")


@task(
    "ex07-at_infinity",
    equation="d²(n) ≈ d²_∞ + b / n: the least-squares line through (1/n, d²), read at 1/n = 0",
    points=2,
    reference="t2i_course.metrics.frechet:frechet_infinity",
)
def check_at_infinity(c: Checking) -> None:
    n = torch.tensor([50, 70, 110, 200, 500])
    limit, b = c.draw.uniform(1, low=1, high=3).item(), c.draw.uniform(1, low=80, high=150).item()
    exact = limit + b / n.double()
    case = f"distances that are exactly {limit:.3f} + {b:.0f} / n"
    value = c.answer(n, exact)
    _number(c, value, case)

    def line(x: Tensor, y: Tensor, w: Tensor | float = 1.0) -> tuple[Tensor, Tensor]:
        """The value at 0 and the slope of the line through points of weights w."""
        w = w * torch.ones_like(x) / (w * torch.ones_like(x)).sum()
        mean_x, mean_y = (w * x).sum(), (w * y).sum()
        slope = (w * (x - mean_x) * (y - mean_y)).sum() / (w * (x - mean_x) ** 2).sum()
        return mean_y - slope * mean_x, slope

    x = 1 / n.double()

    def named(y: Tensor) -> dict[str, Tensor | float]:
        return {
            "the line is straight in 1/n, not in n.": line(n.double(), y)[0],
            "you gave the slope b; the line's value at 1/n = 0 is wanted.": line(x, y)[1],
            "the line at n = 1, not at 1/n = 0.": line(x, y)[0] + line(x, y)[1],
            "a line through 0 has no value there to find: fit a constant as well.": (
                (x * y).sum() / (x * x).sum()
            ),
            "the distance at the largest n still has its bias, b / n.": y[-1],
            "the mean of the distances has their mean bias.": y.mean(),
            "1/n, not the root of it.": line(x.sqrt(), y)[0],
        }

    c.close(value, limit, case, layer="property", slips=named(exact), rtol=1e-3)
    chance = torch.tensor([1.0, -1, 1, -1, 1]) * c.draw.uniform(5, low=0.25, high=0.4)
    noisy = exact + chance
    c.close(
        c.answer(n, noisy), line(x, noisy)[0], "the same with some chance in each", rtol=1e-3,
        slips=named(noisy) | {
            "all points take part in the fit; yours goes through the first and the last.": (
                line(x[[0, -1]], noisy[[0, -1]])[0]
            ),
            "all points count alike; you weighed them by n.": line(x, noisy, n)[0],
        },
    )  # fmt: skip
