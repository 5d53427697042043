"""The checks of exercise 08: CLIP from the inside."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from t2i_course.grading.checking import Checking, task

ROWS = "a row is a query: rank within the row, not down the column."


def _unit(x: Tensor) -> Tensor:
    return F.normalize(x.double(), dim=-1)


def _vectors(c: Checking, *shape: int) -> Tensor:
    """Vectors of different lengths, from a half to twice what a normal one has."""
    return c.draw.normal(*shape) * c.draw.uniform(*shape[:-1], 1, low=0.5, high=2.0)


@task(
    "ex08-contrastive_loss",
    equation=(
        "L = −1/(2B) Σ_i (log p(caption i | picture i) + log p(picture i | caption i)), logits "
        "s I_i·T_j of vectors of length 1",
        "L = −1/B Σ_ij log σ(z_ij (s I_i·T_j + b)), z = 1 for own pairs and −1 for others",
    ),
    points=3,
    reference="t2i_course.models.contrastive:contrastive_loss",
)
def check_contrastive_loss(c: Checking) -> None:
    """Lengths and roles that do not matter, the cost of a guess, and the formula with gradients."""
    B, case = 7, "7 pairs of vectors of different lengths"
    images, texts = _vectors(c, B, 5), _vectors(c, B, 5)
    numbers = [c.draw.uniform(low=3.0, high=5.0)]
    if c.variant == 2:
        numbers.append(c.draw.uniform(low=-3.0, high=-1.0))
    loss = c.answer(images, texts, *numbers)
    c.tensor(loss, (), case, slips={(B,): "One number for the batch: average the rows."})
    longer = c.answer(3 * images, texts * torch.arange(1, B + 1)[:, None], *numbers)
    norms = "the vectors come in any length: divide each by its own norm first."
    c.agrees(longer, loss, "the same vectors, only longer: the same loss", norms)
    exchanged = c.answer(texts, images, *numbers)
    way = "one way only? Rows find the caption, columns the picture."
    c.agrees(exchanged, loss, "pictures and captions in exchanged roles: the same loss", way)
    if c.variant == 1:
        _both_ways(c, case, loss, images, texts, numbers)
    else:
        _sigmoid(c, case, loss, images, texts, numbers)


def _both_ways(
    c: Checking, case: str, loss: Tensor, images: Tensor, texts: Tensor, numbers: list[Tensor]
) -> None:
    B, (scale,) = len(images), numbers

    def formula(images: Tensor, texts: Tensor, scale: Tensor | float, shift: int = 0) -> Tensor:
        logits = scale * _unit(images) @ _unit(texts).T
        own = torch.arange(B).roll(shift)
        return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2

    same, guess = torch.ones(B, 5), math.log(B)
    c.close(
        c.answer(same, same, scale), guess, f"{B} pairs all alike: a guess, log {B}",
        layer="property",
        slips={
            "a sum over the rows: take the mean.": B * guess,
            "the two ways are averaged, and each softmax goes over one row or one column, not "
            "over the whole matrix.": 2 * guess,
            "the sign: a loss is minus the log-probability.": -guess,
        },
    )  # fmt: skip
    cosines = _unit(images) @ _unit(texts).T
    p = [(scale * cosines).softmax(dim).diagonal() for dim in (0, 1)]
    slips = {
        "the scale is missing: logits are s times the cosines.": formula(images, texts, 1.0),
        "divided by the scale: s multiplies.": formula(images, texts, 1 / scale),
        "s is the scale itself, e^t already: no exp.": formula(images, texts, scale.exp()),
        "row i belongs to column i, 0 to B − 1.": formula(images, texts, scale, 1),
        "minus the mean probability: the loss takes its logarithm.": -(p[0] + p[1]).mean() / 2,
    }
    c.close(loss, formula(images, texts, scale), case, slips=slips)
    _gradients(c, formula, images, texts, scale)


def _sigmoid(
    c: Checking, case: str, loss: Tensor, images: Tensor, texts: Tensor, numbers: list[Tensor]
) -> None:
    B, (scale, bias) = len(images), numbers

    def formula(images: Tensor, texts: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
        z = 2 * torch.eye(B, dtype=torch.float64) - 1
        return -F.logsigmoid(z * (scale * _unit(images) @ _unit(texts).T + bias)).sum() / B

    nothing, coin = c.answer(images, texts, 0 * scale, 0 * bias), math.log(2)
    c.close(
        nothing, B * coin, f"s = 0 and b = 0: {B} · {B} coins, {B} log 2 a picture",
        layer="property",
        slips={
            "the mean over all pairs, or own pairs only: sum all B² terms and divide by B.": coin,
            "the sign: a loss is minus the logarithm.": -B * coin,
            "the sum over all pairs is divided by B.": B * B * coin,
        },
    )  # fmt: skip
    z, logits = 2 * torch.eye(B, dtype=torch.float64) - 1, scale * _unit(images) @ _unit(texts).T

    def of(numbers: Tensor) -> Tensor:
        return -F.logsigmoid(numbers).sum() / B

    slips = {
        "the bias is missing: s I_i·T_j + b.": of(z * logits),
        "z multiplies the bias too: z (s I·T + b).": of(z * logits + bias),
        "the bias is added, not taken away.": of(z * (logits - bias)),
        "z is 1 for own pairs and −1 for the others.": of(-z * (logits + bias)),
        "all pairs as own pairs: z = −1 where i ≠ j.": of(logits + bias),
        "a wrong pair's z is −1, not 0.": of((z + 1) / 2 * (logits + bias)),
        "divided by the scale: s multiplies.": of(z * (logits / scale**2 + bias)),
    }
    c.close(loss, formula(images, texts, scale, bias), case, slips=slips)
    _gradients(c, formula, images, texts, scale, bias)


def _gradients(c: Checking, formula: Callable[..., Tensor], *given: Tensor) -> None:
    inputs = [each.double().requires_grad_() for each in given]
    want = torch.autograd.grad(formula(*inputs), inputs)
    got = c.answer.gradients(*given, wrt=range(len(given)))
    names = ("pictures", "captions", "scale", "bias")
    for name, a, b in zip(names, got, want, strict=False):
        c.close(a, b, f"the gradient by the {name}")


@task(
    "ex08-pooled",
    equation=(
        "v = h_e P / ‖h_e P‖, e the place of the largest id of the row",
        "v = (the mean of the states that are no padding) P",
    ),
    points=2,
    reference="t2i_course.conditioning.clip:read_text",
)
def check_pooled(c: Checking) -> None:
    """Padding without a say, lengths, and the state or mean that is asked for."""
    B, L, W, D = 5, 9, 6, 4
    states, projection = c.draw.normal(B, L, W), c.draw.normal(W, D)
    lengths = 3 + c.draw.integers(0, 5, B)  # marks included, at most 7 of 9
    there = torch.arange(L) < lengths[:, None]
    ids = torch.where(there, c.draw.integers(1, 50, B, L), 0)
    ids[:, 0], ids[torch.arange(B), lengths - 1] = 50, 51
    of_text, wrongs = (there, _mean_slips) if c.variant == 2 else (ids, _end_slips)
    case = f"{B} sentences of {lengths.tolist()} ids, in {L} places"
    vectors = c.answer(states, of_text, projection)
    c.tensor(
        vectors, (B, D), case,
        slips={
            (B, W): "the projection is missing: it takes W numbers to the D of the shared space.",
            (B, L, D): "one vector a sentence: pick or average over the places.",
            (B, B, D): "one place for each row: states[torch.arange(B), places].",
        },
    )  # fmt: skip
    behind = torch.where(there[:, :, None], states, c.draw.normal(B, L, W))
    padding = c.answer(behind, of_text, projection)
    case_2 = "the same sentences with other numbers in the padding"
    c.agrees(padding, vectors, case_2, slips=wrongs(behind, lengths, projection))
    slips = wrongs(states, lengths, projection)
    if c.variant == 2:
        mean = (states.double() * there[:, :, None]).sum(1) / lengths[:, None]
        c.close(vectors, mean @ projection.double(), case, slips=slips)
        return
    norms = {words: wrong.norm(dim=1) for words, wrong in slips.items()}
    one = torch.ones(B)
    c.close(vectors.norm(dim=1), one, "the vectors' lengths", layer="property", slips=norms)
    expected = _unit(states[torch.arange(B), lengths - 1] @ projection)
    c.close(vectors, expected, case, slips=slips)


def _end_slips(states: Tensor, lengths: Tensor, projection: Tensor) -> dict[str, Tensor]:
    rows, there = torch.arange(len(states)), torch.arange(states.shape[1]) < lengths[:, None]
    end = states[rows, lengths - 1]
    mean = (states * there[:, :, None]).sum(1) / lengths[:, None]

    def of(state: Tensor) -> Tensor:
        return _unit(state @ projection)

    return {
        "that is the last place, mostly padding: the end mark is the largest id.": of(
            states[:, -1]
        ),
        "the mean of all places: take the end mark's state alone.": of(states.mean(1)),
        "that is where the smallest id stands: look for the largest.": of(states[rows, lengths]),
        "that is the start mark, which has read nothing: find the end mark.": of(states[:, 0]),
        "that is the last word: the end mark comes after it.": of(states[rows, lengths - 2]),
        "the mean of all tokens: take the end mark's state alone.": of(mean),
        "look within each row: argmax(dim=1).": of(states[:, lengths[0] - 1]),
        "first the projection, then the length.": _unit(end).float() @ projection,
        "the length is not yet 1: divide each vector by its norm.": end @ projection,
        "each row has its own length, over its D numbers.": F.normalize(end @ projection, dim=0),
    }


def _mean_slips(states: Tensor, lengths: Tensor, projection: Tensor) -> dict[str, Tensor]:
    L, n = states.shape[1], lengths[:, None]
    there = (torch.arange(L) < n)[:, :, None]
    sums, others = (states * there).sum(1), (states * ~there).sum(1)
    means = {
        "the padding counts too: average the places where the mask is True.": states.mean(1),
        "the mask is True at tokens and False in the padding.": others / (L - n),
        "divided by all places: divide by how many tokens the row has.": sums / L,
        "a sum: divide by how many tokens the row has.": sums,
        "one mean for the whole batch: each sentence has its own length.": sums / lengths.sum(),
    }
    slips = {words: mean @ projection for words, mean in means.items()}
    return slips | {"the mean alone is asked for here: leave its length.": _unit(sums @ projection)}


@task(
    "ex08-zero_shot",
    equation="p(k | i) = softmax over k of s I_i·C_k, C_k the mean of class k's wordings, "
    "each of length 1, made to length 1 again",
    points=3,
)
def check_zero_shot(c: Checking) -> None:
    """Probabilities, lengths that do not matter, and the mean of the wordings."""
    N, K, Q, D = 6, 4, 3, 5
    images, texts = _vectors(c, N, D), _vectors(c, K, Q, D)
    scale = float(c.draw.uniform(1, low=3.0, high=6.0))
    case = f"{N} pictures, {K} classes of {Q} wordings each"
    p = c.answer(images, texts, scale)
    c.tensor(
        p, (N, K), case,
        slips={
            (K, N): "a row for each picture, a column for each class.",
            (N, K * Q): "one column a class: average its wordings first.",
            (N,): "the probabilities of all classes, not the best class alone.",
        },
    )  # fmt: skip
    x, mean = _unit(images), _unit(texts).mean(1)
    cosines = x @ _unit(mean).T
    over_pictures = (scale * cosines).softmax(0).sum(1)
    c.close(
        p.sum(dim=1), torch.ones(N), "each picture's probabilities, summed", layer="property",
        slips={
            "the softmax goes over the classes, not over the pictures.": over_pictures,
            "these are logits or cosines: the softmax over the classes is missing.": p.sum(dim=1),
        },
    )  # fmt: skip
    longer = c.answer(images * (1 + torch.arange(N))[:, None], texts, scale)
    norms = "the pictures' vectors come in any length: divide each by its norm."
    c.agrees(longer, p, "the pictures' vectors, only longer: the same", norms)
    stretched = c.answer(images, texts * (1 + torch.arange(Q))[:, None], scale)
    norms = (
        "each wording's vector is made to length 1 before the mean. (F.normalize goes over dim 1 "
    )
    norms += "unless told: here dim=2.)"
    c.agrees(stretched, p, "some wordings' vectors, only longer: the same", norms)
    slips = {
        "a mean of vectors of length 1 is shorter: to length 1 again.": scale * x @ mean.T,
        "the scale is missing: the logits are s times the cosines.": cosines,
        "divided by the scale: s multiplies.": cosines / scale,
        "s is the scale itself: no exp.": math.exp(scale) * cosines,
        "the best wording of each class: take the mean.": scale * (_unit(texts) @ x.T).amax(1).T,
        "the first wording alone: take the mean.": scale * x @ _unit(texts[:, 0]).T,
    }
    c.close(
        p, (scale * cosines).softmax(1), case,
        slips={words: logits.softmax(1) for words, logits in slips.items()},
    )  # fmt: skip


@task(
    "ex08-retrieval",
    equation=(
        "the share of queries with a right candidate among the k most similar ones",
        "the mean over queries of 1 / (the rank of the most similar right candidate)",
    ),
    points=3,
    reference="t2i_course.metrics.retrieval:top1",
)
def check_retrieval(c: Checking) -> None:
    """The best there is, order within a row, and the share or the mean."""
    N, M, k = 600, 12, 3
    right = c.draw.uniform(N, M) < 0.15
    right[torch.arange(N), c.draw.integers(0, M, N)] = True  # one at least in each row
    similarity = c.draw.normal(N, M) + 0.6 * right
    case = f"{N} queries, {M} candidates, {int(right.sum())} right pairs"
    more = (k,) if c.variant == 1 else ()
    score = c.answer(similarity, right, *more)
    rank = 1 + similarity.argsort(descending=True).argsort()  # [N, M], of each candidate
    first, mean = (rank[:, 0] <= k, 0.0) if c.variant == 1 else (1 / rank[:, 0], 2 / (M + 1))
    c.close(
        c.answer(similarity, torch.ones_like(right), *more), 1.0,
        "every candidate right: the best there is", layer="property",
        slips={
            "a share is wanted, from 0 to 1: divide by the number of queries.": float(N),
            "at least one right candidate is a hit: do not count several.": float(k),
            "ranks are counted from 1: the most similar candidate has rank 1.": math.inf,
            "the first right candidate in the row is not the most similar.": first.float().mean(),
            "the most similar right candidate counts, not a mean over them.": mean,
        },
    )  # fmt: skip
    moved = c.answer(similarity * 2.0 ** (torch.arange(N) % 6)[:, None], right, *more)
    stays = "each row of similarities times a number: the order within a row stays"
    c.agrees(moved, score, stays, ROWS)
    ranked = right.gather(1, similarity.argsort(descending=True))  # [N, M], most similar first
    down = right.gather(0, similarity.argsort(dim=0, descending=True)).T  # [M, N]
    if c.variant == 1:
        _recall_at(c, case, score, ranked, down, k)
        return
    best = rank.masked_fill(~right, M + 1).amin(1)
    slips = {
        ROWS: 1 + down.int().argmax(1),
        "the least similar right candidate: its most similar one counts.": (rank * right).amax(1),
        "ranked the wrong way: the most similar candidate comes first.": (
            (M + 1 - rank).masked_fill(~right, M + 1).amin(1)
        ),
        "the diagonal alone: any right candidate is a hit.": rank.flatten()[:: M + 1],
        "the mean of 1 / rank, not 1 / the mean rank.": best.double().mean(),
        "the mean of the ranks: take the mean of 1 / rank.": 1 / best,
        "ranks are counted from 1.": 1 + best,
    }
    c.close(
        score, float((1 / best).double().mean()), case,
        slips={words: float((1 / value).double().mean()) for words, value in slips.items()},
    )  # fmt: skip


def _recall_at(c: Checking, case: str, score: float, ranked: Tensor, down: Tensor, k: int) -> None:
    slips = {
        ROWS: down[:, :k].any(1),
        "the nearest alone: look at the k nearest.": ranked[:, 0],
        "one candidate too many: look at k.": ranked[:, : k + 1].any(1),
        "one candidate too few: look at k.": ranked[:, : k - 1].any(1),
        "those are the k least similar: the most similar ones are wanted.": ranked[:, -k:].any(1),
        "all k must be right? One right candidate is a hit.": ranked[:, :k].all(1),
        "the share of the k that are right (precision): count each query once.": ranked[:, :k],
    }
    one = "one answer for each query: any(dim=1), and look up with gather, within the row."
    means = {one: 1.0} | {words: float(value.double().mean()) for words, value in slips.items()}
    c.close(score, float(ranked[:, :k].any(1).double().mean()), f"{case}, k = {k}", slips=means)


@task(
    "ex08-forced_choice",
    equation="the share of pictures whose cosine with the true caption is larger than with the "
    "false one; equal cosines count a half",
    points=2,
)
def check_forced_choice(c: Checking) -> None:
    """Ties, exchanged captions, and the share."""
    N, D, ties = 1000, 6, 100
    images, true, false = (_vectors(c, N, D) for _ in range(3))
    images = images + true
    same = c.draw.uniform(N).argsort() < ties
    true, false = 3 * true, torch.where(same[:, None], 3 * true, false)
    twice, turned = c.answer(images, true, true), c.answer(images, false, true)
    signs = isinstance(turned, float) and turned < 0
    c.close(
        twice, 0.5, "the same caption twice: no choice, and so a half", layer="property",
        slips={
            "signs are 1, 0 and −1: map them to 1, ½ and 0.": 0.0 if signs else math.nan,
            "a tie is half a hit: it counts as a whole one.": 1.0,
            "a tie is half a hit: it counts as a miss.": 0.0,
            "a share is wanted, from 0 to 1: divide by the number of pictures.": N / 2,
        },
    )  # fmt: skip
    case = f"{N} pictures, of which {ties} have the same caption twice"
    share = c.answer(images, true, false)
    hits, misses = _decided(_unit(images), _unit(true), _unit(false))
    swap = "true and false caption exchanged: one minus the share"
    order = "only the order counts: each pair is a hit, a miss or a half."
    c.agrees(turned, 1 - share, swap, order, was="is one minus the first")
    half, x, y, no = ties / N / 2, _unit(images), _unit(true), _unit(false)
    far = (images - true).norm(dim=1) < (images - false).norm(dim=1)
    every = float((x @ y.T > x @ no.T).double().mean() + (x @ y.T == x @ no.T).double().mean() / 2)
    long = "longer captions win: divide the vectors by their norms before they are compared."
    slips = {
        "that is how often the false caption is nearer.": misses + half,
        long: _decided(images, true, false)[0] + half,
        "the captions' vectors come in any length, too.": _decided(x, true, false)[0] + half,
        "the distance of vectors of any length: use cosines.": float(far.double().mean()) + half,
        "every picture with every caption: row i belongs to row i.": every,
        "the ties are left out: each is half a hit among all pictures.": hits / (hits + misses),
    }
    c.close(share, hits + half, case, slips=slips)


def _decided(images: Tensor, true: Tensor, false: Tensor) -> tuple[float, float]:
    """The shares of hits and of misses by inner products."""
    a, b = (images * true).sum(1), (images * false).sum(1)
    return float((a > b).double().mean()), float((a < b).double().mean())
