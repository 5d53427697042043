"""The checks of exercise 03: the CVAE with a one-hot label."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from t2i_course.grading.checking import Checking, shown, task


@task(
    "ex03-one_hot",
    equation=(
        "c_k = 1 for the label k, else 0",
        "c_k = 1 for the label k, c_K = 1 for the label −1, all others 0",
    ),
    points=2,
    reference="t2i_course.conditioning.one_hot:one_hot",
)
def check_one_hot(c: Checking) -> None:
    B, K = 7, c.draw.integer(4, 7)
    none = c.variant == 2
    labels = c.draw.integers(0, K, B)
    labels[0], labels[1] = K - 1, 0  # the last one is there, and the first
    if none:
        labels[2] = labels[5] = -1
    width = K + none
    case = f"labels {labels.tolist()} of {K} classes"
    vectors = c.answer(labels, K)
    seen = int(labels.max()) + 1
    c.tensor(
        vectors, (B, width), case, torch.float32,
        slips={
            (B, K + 1): "K places, one for each class: 0 to K − 1.",
            (B, K): "one place more: the last one says \"no label\".",
            (width, B): "a row for each label, not a column.",
            (B, K - 1): "the labels are 0 to K − 1: K places.",
            (B, 1, width): "one place too many: [B, K].",
        },
    )  # fmt: skip
    wanted = torch.zeros(B, width)
    for row, label in enumerate(labels.tolist()):
        wanted[row, label] = 1.0  # −1 is the last place
    c.close(
        vectors.sum(1), torch.ones(B), "the sum of each row", layer="property",
        slips={
            "a row without a label is not all zero: its last place is 1.": (
                (labels >= 0).double()
            ),
            "exactly one place is 1.": (
                vectors.sum(1) if bool((vectors.sum(1) > 1).any()) else math.nan
            ),
        },
    )  # fmt: skip
    slips = {
        'the last place is for "no label": the classes keep the places 0 to K − 1.': (
            wanted.roll(1, dims=1)
        ),
        "no label is the last place, not the first class.": F.one_hot(
            labels.clamp(min=0), width
        ).double(),
        "no label is the last place, not the last class.": F.one_hot(
            labels.where(labels >= 0, K - 1), width
        ).double(),
        "label k is place k, counted from 0.": wanted.roll(-1, dims=1),
        "the places run from left to right: label 0 is the first.": wanted.flip(1),
    }
    c.close(vectors, wanted, case, slips=slips)
    small = c.answer(torch.tensor([1, 0]), K)
    c.tensor(small, (2, width), f"labels [1, 0], {K} classes all the same", slips={
        (2, 2): "K says how many classes there are, not the largest label of this batch.",
    })  # fmt: skip
    assert seen <= K


@task(
    "ex03-label_bias",
    equation="W [x; c] + b = W_x x + (b + w_k), w_k column k of W_c, for the label k",
    points=3,
)
def check_label_bias(c: Checking) -> None:
    B, P, K, H = 6, 4, 4, 4  # as many of each: a wrong axis raises nothing
    weight, bias = c.draw.normal(H, P + K), c.draw.normal(H)
    x, labels = c.draw.normal(B, P), c.draw.integers(0, K, B)
    labels[:K] = torch.randperm(K, generator=c.draw.generator)
    case = f"6 inputs of 4 numbers, labels {labels.tolist()}, 4 hidden units"
    out = c.answer(weight, bias, x, labels)
    c.tensor(out, (B, H), case, slips={(H, B): "a row for each input: [B, H]."})
    W, b, v = weight.double(), bias.double(), x.double()
    W_x, W_c = W[:, :P], W[:, P:]
    black = "x = 0, where only the bias is left"
    c.close(
        c.answer(weight, bias, 0 * x, labels), b + W_c.T[labels], black, layer="property",
        slips={
            "w_k is a column of W_c, not a row.": b + W_c[labels],
            "the bias b of the layer is missing.": W_c.T[labels],
            "the label's column is missing.": b.expand(B, H),
            "the label's places stand after the P places of x.": b + W[:, :K].T[labels],
            "the label chooses one column: not the sum of all.": (b + W_c.sum(1)).expand(B, H),
            "column P + k, not one beside it.": b + W.T[(P + labels - 1)],
        },
    )  # fmt: skip
    c.close(
        out, v @ W_x.T + b + W_c.T[labels], case,
        slips={
            "the weights of x are the first P columns.": v @ W_c.T + b + W_c.T[labels],
            "x W_xᵀ: the matrix is [H, P], so it is transposed for rows.": v @ W_x
            + b
            + W_c.T[labels],
            "the label's column is added, not multiplied.": v @ W_x.T * W_c.T[labels] + b,
            "x enters through W_x only, once.": v @ W_x.T + v @ W_c.T + b + W_c.T[labels],
            "x itself was added: it goes through W_x.": v + b + W_c.T[labels],
        },
    )  # fmt: skip


@task(
    "ex03-drop_labels",
    equation="c_b if u_b ≥ p, else the learned null, row by row",
    points=3,
)
def check_drop_labels(c: Checking) -> None:
    B, D = 5, 5  # as many rows as places: a wrong broadcast raises nothing
    vectors, null = c.draw.normal(B, D), c.draw.normal(D)
    u = torch.tensor([0.15, 0.75, 0.35, 0.95, 0.55])[torch.randperm(B, generator=c.draw.generator)]
    p = round(0.2 * c.draw.integer(2, 4) + 0.05, 2)  # between two of the u
    case = f"u = {[round(value, 2) for value in u.tolist()]}, p = {p}"
    out = c.answer(vectors, u, p, null)
    c.tensor(out, (B, D), case)
    inverted = "a row is dropped where u < p: yours are the other rows."
    c.close(c.answer(vectors, u, 0.0, null), vectors, "p = 0, where no row is dropped",
            layer="property", slips={inverted: null.expand(B, D), "rows are replaced, not the "
            "null added.": vectors + null})  # fmt: skip
    zeros = "a dropped row is the null, not zeros."
    c.close(c.answer(vectors, u, 1.0, null), null.expand(B, D), "p = 1, where all are dropped",
            layer="property", slips={inverted: vectors, zeros: torch.zeros(B, D), "the null "
            "replaces the row and is not added to it.": vectors + null})  # fmt: skip
    dropped = (u < p)[:, None]
    wanted = torch.where(dropped, null, vectors).double()
    slips = {
        inverted: torch.where(dropped, vectors, null),
        zeros: torch.where(dropped, 0.0, vectors),
        "u belongs to rows: make it a column [B, 1], or it drops places of the vectors.": (
            torch.where(dropped.T, null, vectors)
        ),
        "no dropout: what is kept keeps its size (no division by 1 − p).": torch.where(
            dropped, null, vectors / (1 - p)
        ),
        "drop or keep, no mixture.": (1 - p) * vectors + p * null,
        "u says which rows: the first rows are not always the dropped ones.": torch.where(
            torch.arange(B)[:, None] < dropped.sum(), null, vectors
        ),
    }
    c.close(out, wanted, case, slips=slips)
    for edge in (0.0, 0.5):  # u may be 0, and 0 is not below 0
        c.close(
            c.answer(vectors, torch.full((B,), edge), edge, null), vectors,
            f"u = {edge} and p = {edge}: u is not below p", layer="property",
            slips={"u < p, not u ≤ p: with p = 0 no label is hidden.": null.expand(B, D)},
        )  # fmt: skip
    by_null, by_vectors = c.answer.gradients(vectors, u, p, null, wrt=(3, 0))
    count = dropped.sum().expand(D)
    c.close(by_null, count, "the gradient of the sum by the null, which is learned")
    c.close(by_vectors, (~dropped).expand(B, D), "the gradient of the sum by the vectors")


@task(
    "ex03-label_grid",
    equation=(
        "row r · n + j has the label r and the latent z_j",
        "row j · K + r has the latent z_j and the label r",
    ),
    points=3,
)
def check_label_grid(c: Checking) -> None:
    """Variant 2: the labels stand in the columns, the latents in the rows."""
    n, K, D = 6, 4, 2  # with a common divisor: pairs come again if both are repeated alike
    z = c.draw.normal(n, D)
    case = "6 latents of 2 numbers, 4 labels"
    value = c.answer(z, K)
    pair = isinstance(value, tuple | list) and len(value) == 2
    c.holds(pair, "contract", case, "two tensors: the latents, the labels' vectors", shown(value))
    Z, vectors = value
    c.tensor(Z, (n * K, D), f"{case}: the latents")
    c.tensor(vectors, (n * K, K), f"{case}: the labels' vectors", slips={
        (n * K,): "the labels as one-hot vectors.",
        (n * K, n): "K labels, not one for each latent.",
    })  # fmt: skip
    unit = torch.eye(K)
    down, beside = (z.repeat(K, 1), unit.repeat_interleave(n, dim=0)), (
        z.repeat_interleave(K, dim=0), unit.repeat(n, 1),
    )  # fmt: skip
    right, other = (down, beside) if c.variant == 1 else (beside, down)
    c.close(vectors.sum(1), torch.ones(n * K), "the sum of each label's vector", layer="property")
    pairs = torch.cat([Z, vectors], dim=1).double()
    every = len({tuple(row) for row in pairs.round(decimals=4).tolist()})
    c.holds(
        every == n * K, "property", case, f"{n * K} different pairs of latent and label",
        f"{every}", "one of the two is repeated whole (repeat), the other row by row "
        "(repeat_interleave): else the same pairs come again and others never.",
    )  # fmt: skip
    where = "row" if c.variant == 1 else "column"
    c.close(
        vectors, right[1], f"{case}: the labels", slips={
            f"the label is the same along a {where}: yours change there.": other[1],
            "label 0 comes first.": right[1].flip(1),
        },
    )  # fmt: skip
    c.close(
        Z, right[0], f"{case}: the latents", slips={
            "the latents in their order: z_0 first.": right[0].flip(0),
            "the latents do not follow the labels.": other[0],
        },
    )  # fmt: skip


@task(
    "ex03-nll_without_label",
    equation="−log p(x) = −log (1/K Σ_k e^(−nll_k)) = log K − logsumexp_k(−nll_k)",
    points=3,
)
def check_nll_without_label(c: Checking) -> None:
    B, K = 4, 5
    nll = 240 + c.draw.uniform(B, 1, low=-20, high=20) + 1.2 * c.draw.uniform(B, K)
    case = "4 images, 5 labels, about 240 nats each"
    out = c.answer(nll)
    finite = not isinstance(out, Tensor) or bool(out.isfinite().all())
    c.holds(
        finite, "contract", case, "finite numbers", shown(out),
        "e^(−240) rounds to 0: use logsumexp, which takes the largest one out first.",
    )  # fmt: skip
    c.tensor(out, (B,), case, slips={
        (): "one number for each image: over the labels (dim=1) only.",
        (K,): "over the labels (dim=1), not over the images.",
        (B, 1): "keepdim keeps a place that is not wanted here.",
    })  # fmt: skip
    near: dict[str, Any] = {"rtol": 1e-6, "atol": 2e-3}
    same = nll[:, :1].expand(B, K).clone()
    blind = "a model that does not look at the label: all five the same"
    c.close(
        c.answer(same), nll[:, 0], blind, layer="property", **near,
        slips={
            "log K is missing: the 1/K before the sum.": nll[:, 0] - math.log(K),
            "log K is added, not taken off: −log(1/K) = + log K.": nll[:, 0] - 2 * math.log(K),
            "−nll_k is log p(x | k): the minus inside is missing. Or the sign of it all: −log p is "
            "positive here.": -nll[:, 0],
            "logsumexp is taken off: log K − logsumexp(−nll).": -nll[:, 0] + 2 * math.log(K),
            "K is the number of columns, nll.shape[1], not 10.": nll[:, 0] + math.log(10 / K),
            "K is the number of columns, nll.shape[1], not of rows.": nll[:, 0] + math.log(B / K),
        },
    )  # fmt: skip
    n = nll.double()
    c.close(
        out, math.log(K) - torch.logsumexp(-n, 1), case, **near,
        slips={
            "the mean of the nats is an upper bound only: average the probabilities.": n.mean(1),
            "the best label alone is not enough: all K count.": n.amin(1),
            "the best label alone, plus log K, is an upper bound: all K count.": n.amin(1)
            + math.log(K),
            "e^(+nll) weighs the worst label: p(x | k) is e^(−nll_k).": torch.logsumexp(n, 1)
            - math.log(K),
            "the median is no sum.": n.median(1).values,
        },
    )  # fmt: skip
