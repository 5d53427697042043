"""The checks of exercise 12: a CVAE on photographs, conditioned on CLIP's vectors."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from t2i_course.grading.checking import Checking, task


def _each(
    c: Checking, cases: Sequence[str], came: Sequence[Any], expected: Sequence[Any],
    slips: Mapping[str, Sequence[Any]],
) -> None:  # fmt: skip
    """The first case that is wrong fails, and a slip is named that fits in all cases."""
    likely = [words for words, wrong in slips.items() if list(wrong) == list(came)]
    for case, a, b in zip(cases, came, expected, strict=True):
        c.equal(a, b, case, slips={words: a for words in likely[:1]})


@task(
    "ex12-accumulated",
    equation="g = Σ_k (n_k / N) g_k, g_k the mean gradient of a piece of n_k rows",
    points=3,
)
def check_accumulated(c: Checking) -> None:
    """Batches that do and do not divide: pieces small enough, and the whole batch's gradient."""
    D = 4
    w, v = c.draw.normal(D, D), c.draw.normal(D)
    pieces: list[int] = []

    def gradient(rows: Tensor) -> Tensor:
        pieces.append(len(rows))
        return (torch.tanh(rows @ w.to(rows)) * (rows @ v.to(rows))[:, None]).mean(0)

    rest = c.draw.integer(1, 4)
    for N, micro in ((8 + rest, 4), (12, 4), (3, 5), (5 + rest, 5)):
        batch = 2 * c.draw.normal(N, D)
        case = f"{N} rows in pieces of {micro}"
        pieces.clear()
        whole = c.answer(gradient, batch, micro)
        c.tensor(whole, (D,), case)
        c.holds(
            max(pieces, default=0) <= micro, "property", case, f"pieces of at most {micro} rows",
            f"pieces of {pieces}", "more rows at once do not fit into the memory.",
        )  # fmt: skip
        parts = batch.split(micro)
        same = c.answer(lambda rows: torch.ones(D), batch, micro)
        c.close(
            same, torch.ones(D), f"{case}, every piece with the gradient 1", layer="property",
            slips={
                "a sum of means grows with the number of pieces: weigh each by n / N.": (
                    torch.full((D,), float(len(parts)))
                ),
                "each piece weighs as if it were whole; the last one is smaller.": torch.full(
                    (D,), len(parts) * micro / N
                ),
                "the last, smaller piece is left out.": torch.full((D,), N // micro * micro / N),
                "a mean has been taken already: weigh by n / N, not by n.": torch.full(
                    (D,), float(N)
                ),
            },
        )  # fmt: skip
        means = torch.stack([gradient(part.double()) for part in parts])
        full = [mean for mean, part in zip(means, parts, strict=True) if len(part) == micro]
        slips = {
            "the plain mean of the pieces: the last one is smaller and counts less.": means.mean(0),
            "the first piece alone.": means[0],
            "the last piece alone: add them up.": means[-1],
        }
        if full:
            slips["the last, smaller piece is left out."] = torch.stack(full).mean(0)
        c.close(whole, gradient(batch.double()), case, slips=slips)


@task(
    "ex12-micro_batch",
    equation=(
        "memory(n) = fixed + n · each, from two probes; the largest divisor of the batch that fits",
        "memory(n) = fixed + n · each, from two probes; pieces = ⌈batch / fit⌉, rows = ⌈batch / "
        "pieces⌉",
    ),
    points=3,
)
def check_micro_batch(c: Checking) -> None:
    """Budgets for none, a few and all rows, and one that fits exactly."""
    tried, came = [], []
    for batch, fit in ((60, 6), (48, 13), (64, 1), (90, 30), (30, 200), (36, 0), (64, 24)):
        each, fixed = c.draw.integer(20, 60), c.draw.integer(300, 900)
        spare = 0 if batch in (60, 90) else c.draw.integer(1, each)
        a = c.draw.integer(1, 5)
        rows = [a, a + c.draw.integer(2, 6)]
        peaks, budget = [fixed + n * each for n in rows], fixed + fit * each + spare
        tried.append((rows, peaks, budget, batch, fit, spare))
        pair = c.answer(rows, peaks, budget, batch)
        whole = isinstance(pair, list | tuple) and [type(n) for n in pair] == [int, int]
        c.holds(whole, "contract", _words(*tried[-1]), "two whole numbers", f"{pair!r}")
        came.append(tuple(pair))
    plan, others = (_divisor, OTHERS[0]) if c.variant == 1 else (_even, OTHERS[1])
    slips = {
        "the fixed part does not grow with the rows: find it from both probes.": [
            plan(batch, budget * rows[1] // peaks[1]) for rows, peaks, budget, batch, _, _ in tried
        ],
        "the first probe's memory is not the fixed part: its rows are in it.": [
            plan(batch, (budget - peaks[0]) * (rows[1] - rows[0]) // (peaks[1] - peaks[0]))
            for rows, peaks, budget, batch, _, _ in tried
        ],
        "a budget that fits exactly is enough.": [
            plan(batch, fit - (spare == 0)) for *_, batch, fit, spare in tried
        ],
        "round down: a part of a row does not fit.": [
            plan(batch, fit + (spare > 0)) for *_, batch, fit, spare in tried
        ],
        "the micro-batch comes first, then how many of them.": [
            plan(batch, fit)[::-1] for *_, batch, fit, _ in tried
        ],
        "no micro-batch is larger than the batch.": [
            (fit, 1) if fit > batch else plan(batch, fit) for *_, batch, fit, _ in tried
        ],
        "if not one row fits, both numbers are 0.": [
            plan(batch, max(fit, 1)) for *_, batch, fit, _ in tried
        ],
    } | {words: [other(batch, fit) for *_, batch, fit, _ in tried] for words, other in others}
    expected = [plan(batch, fit) for *_, batch, fit, _ in tried]
    _each(c, [_words(*one) for one in tried], came, expected, slips)


def _words(rows: list[int], peaks: list[int], budget: int, batch: int, fit: int, spare: int) -> str:
    return f"{rows} rows take {peaks} MB; budget {budget} MB; batch {batch}"


def _divisor(batch: int, fit: int) -> tuple[int, int]:
    micro = max((n for n in range(1, min(fit, batch) + 1) if batch % n == 0), default=0)
    return micro, batch // micro if micro else 0


def _even(batch: int, fit: int) -> tuple[int, int]:
    pieces = -(-batch // fit) if fit > 0 else 0
    return -(-batch // pieces) if pieces else 0, pieces


def _full(batch: int, fit: int) -> tuple[int, int]:
    micro = max(min(fit, batch), 0)
    return micro, -(-batch // micro) if micro else 0


def _power(batch: int, fit: int) -> tuple[int, int]:
    micro = max((2**k for k in range(10) if 2**k <= min(fit, batch)), default=0)
    return micro, batch // micro if micro else 0


def _floored(batch: int, fit: int) -> tuple[int, int]:
    pieces = max(1, batch // fit) if fit > 0 else 0
    return -(-batch // pieces) if pieces else 0, pieces


OTHERS = (
    (
        ("the micro-batch must divide the batch: the largest divisor that fits.", _full),
        ("the largest divisor, which need not be a power of two.", _power),
        ("the micro-batch divides the batch, and every piece has as many rows.", _even),
    ),
    (
        ("as few pieces as fit, cut evenly: not full ones and a small rest.", _full),
        ("fewer pieces are enough if they need not divide the batch.", _divisor),
        ("how many pieces? Round up: a rest needs one of its own.", _floored),
    ),
)


@task(
    "ex12-clip_score",
    equation=(
        "100 · mean_i max(cos(I_i, T_i), 0), and its standard error",
        "2.5 · mean_i max(cos(I_i, T_i), 0), and its standard error",
    ),
    points=3,
    reference="t2i_course.metrics.clip_score:clip_score",
)
def check_clip_score(c: Checking) -> None:
    """Pictures as their own captions, their opposites, and pairs of which some are negative."""
    N, D, w = 30, 6, 100.0 if c.variant == 1 else 2.5
    texts = c.draw.normal(N, D) * c.draw.uniform(N, 1, low=0.5, high=2.0)
    sign = torch.where(torch.arange(N) % 4 == 0, -1.0, 1.0)[:, None]
    images = 0.5 * sign * texts + c.draw.normal(N, D)
    case = f"{N} pairs"

    def scored(images: Tensor, texts: Tensor, case: str) -> Tensor:
        pair = c.answer(images, texts)
        two = isinstance(pair, list | tuple) and len(pair) == 2
        c.holds(two, "contract", case, "a mean and its standard error", f"{pair!r}")
        for one in pair:
            number = isinstance(one, float | int) or (isinstance(one, Tensor) and one.ndim == 0)
            c.holds(number, "contract", case, "two numbers", f"{pair!r}")
        return torch.tensor([float(one) for one in pair])

    for factor, best, name in ((1.0, w, "their own captions"), (-1.0, 0.0, "their opposites")):
        two = scored(texts * (1 + torch.arange(N))[:, None] * factor, texts, name)
        c.close(
            two, torch.tensor([best, 0.0]), f"pictures that are {name}, in other lengths",
            layer="property", rtol=1e-3, atol=1e-3,
            slips={
                f"the weight w is {w:g}.": torch.tensor([factor, 0.0]),
                f"the weight is {w:g} in this text.": torch.tensor([102.5 - w, 0.0]),
                "below 0 a cosine counts as 0.": torch.tensor([-w, 0.0]),
                "the cosine does not see lengths: divide by both norms.": two,
            },
        )  # fmt: skip
    cos = F.cosine_similarity(images.double(), texts.double())
    all_pairs = F.normalize(images.double()) @ F.normalize(texts.double()).T

    def of(values: Tensor, correction: int = 1, root: bool = True) -> Tensor:
        spread = values.std(correction=correction) / (len(values) ** 0.5 if root else 1)
        return w * torch.stack([values.mean(), spread])

    clipped, error = cos.clamp(min=0), of(cos.clamp(min=0))[1]
    slips = {
        "each pair is clipped at 0, and then the mean is taken.": torch.stack(
            [of(cos)[0].clamp(min=0), error]
        ),
        "below 0 a cosine counts as 0, in both numbers.": of(cos),
        "row i belongs to row i: not every picture with every caption.": of(
            all_pairs.clamp(min=0).flatten()
        ),
        "the standard error is the deviation divided by √N.": of(clipped, root=False),
        "the deviation divides by N − 1.": of(clipped, correction=0),
        "the standard error has the weight, too.": torch.stack([of(clipped)[0], error / w]),
        "√N, not N.": torch.stack([of(clipped)[0], error / N**0.5]),
        "the error is that of the clipped cosines.": torch.stack([of(clipped)[0], of(cos)[1]]),
        "that is the variance of the mean: take its square root.": torch.stack(
            [of(clipped)[0], error**2]
        ),
    }
    c.close(scored(images, texts, case), of(clipped), case, slips=slips)


@task(
    "ex12-chosen_epoch",
    equation=(
        "the first e with m_e ≤ m_b + s_b / √S, b the epoch with the smallest mean",
        "the first e with m_e ≥ m_b − s_b / √S, b the epoch with the largest mean",
    ),
    points=3,
)
def check_chosen_epoch(c: Checking) -> None:
    """Forty tables of scores whose unit does not matter, and the one-standard-error rule."""
    E, S, sign = 8, 6, 1 if c.variant == 1 else -1
    fall, root = torch.linspace(1.0, 0.0, E)[:, None] ** 2, S**0.5
    spread = (c.draw.uniform(E, 1, low=0.05, high=0.6) for _ in range(40))
    tables = [sign * (fall + each * c.draw.normal(E, S)) for each in spread]
    came = []
    for table in tables:
        epoch = c.answer(table)
        whole = type(epoch) is int
        c.holds(whole, "contract", f"{E} epochs, {S} seeds", "a whole number", f"{epoch!r}")
        came.append(epoch)
        again = c.answer(8 * table + 16)
        unit = "the margin comes from the scores, s / √S, and is no fixed number."
        c.agrees(again, epoch, "the same scores in another unit", unit)

    def first(t: Tensor, margin: Tensor | float, sign: int = sign) -> int:
        m = sign * t.mean(1)
        return int((m <= m.min() + margin).int().argmax())

    def deviation(t: Tensor, correction: int = 1, sign: int = sign) -> Tensor:
        return t[(sign * t.mean(1)).argmin()].std(correction=correction)

    slips = {
        "that is the best mean: the first one within its error is asked for.": [
            first(t, 0.0) for t in tables
        ],
        "the margin is the standard error: divide the deviation by √S.": [
            first(t, deviation(t)) for t in tables
        ],
        "√S, not S.": [first(t, deviation(t) / S) for t in tables],
        "the deviation divides by S − 1.": [first(t, deviation(t, 0) / root) for t in tables],
        "the margin is the best epoch's, not each epoch's own.": [
            first(t, t.std(1) / root) for t in tables
        ],
        "the deviation of the best epoch, not of all scores.": [
            first(t, t.std() / root) for t in tables
        ],
        "the first epoch within the margin, not the last.": [
            E - 1 - first(t.flip(0), deviation(t) / root) for t in tables
        ],
        "which is better, less or more? Read the text again.": [
            first(t, deviation(t, sign=-sign) / root, -sign) for t in tables
        ],
        "the best single run is luck: take means over the seeds.": [
            int((sign * t).amin(1).argmin()) for t in tables
        ],
    }
    expected = [first(t, deviation(t) / root) for t in tables]
    cases = [f"means {[round(m, 3) for m in t.mean(1).tolist()]}" for t in tables]
    _each(c, cases, came, expected, slips)
