"""The checks of exercise 10: a GAN and a diffusion model that read."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from t2i_course.grading.checking import Checking, task


@task(
    "ex10-cross_attention",
    equation=(
        "Σ_j A_ij v_j, A_ij the softmax over the tokens j of q_i·k_j / √d with the padding left "
        "out",
        "Σ_j A_ij v_j in each head, A_ij the softmax over the tokens j of q_i·k_j / √d with the "
        "padding left out, d = C / heads",
    ),
    points=3,
    reference="t2i_course.models.unet:CrossAttention",
)
def check_cross_attention(c: Checking) -> None:
    """Weights that sum to 1, padding without a say, and torch's own attention."""
    B, P, T, C = 3, 6, 5, 8
    heads = 1 if c.variant == 1 else 2 * c.draw.integer(1, 3)  # 2 or 4
    more = () if c.variant == 1 else (heads,)
    q, k, v = c.draw.normal(B, P, C), c.draw.normal(B, T, C), c.draw.normal(B, T, C)
    mask = c.draw.uniform(B, T).argsort(1) < torch.tensor([4, 3, 2])[:, None]
    case = f"{P} places, {T} tokens of which 4, 3 and 2 are there"
    case += f", {heads} heads of {C // heads}" if more else ""
    read = c.answer(q, k, v, mask, *more)
    c.tensor(
        read, (B, P, C), case,
        slips={
            (B, P, T): "those are the weights: take the weighted sum of the values.",
            (B, T, C): "one vector for each place, not for each token.",
            (B, heads, P, C // heads): "join the heads again: [B, P, C].",
        },
    )  # fmt: skip
    same = v[:, :1].expand(-1, T, -1)
    c.close(
        c.answer(q, k, same, mask, *more), same[:, :1].expand(-1, P, -1),
        "every token with the same value: a place's weights sum to 1", layer="property",
        slips=_slips_of_attention(q, k, same, mask, heads),
    )  # fmt: skip
    k_2, v_2 = (torch.where(mask[:, :, None], x, c.draw.normal(B, T, C)) for x in (k, v))
    c.agrees(
        c.answer(q, k_2, v_2, mask, *more), read, "other numbers in the padding",
        slips=_slips_of_attention(q, k_2, v_2, mask, heads),
    )  # fmt: skip
    slips = _slips_of_attention(q, k, v, mask, heads)
    c.close(read, _attend(q, k, v, mask, heads), case, slips=slips)


def _attend(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor, heads: int, scale: float | None = None
) -> Tensor:
    q, k, v = (x.double().unflatten(2, (heads, -1)).transpose(1, 2) for x in (q, k, v))
    read = F.scaled_dot_product_attention(q, k, v, mask[:, None, None], scale=scale)
    return read.transpose(1, 2).flatten(2)


def _slips_of_attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor, heads: int
) -> dict[str, Tensor]:
    C = q.shape[2]
    d, every = C // heads, torch.ones_like(mask)
    slips = {
        "the padding takes part: leave it out of the softmax.": _attend(q, k, v, every, heads),
        "the scale is missing: divide by √d.": _attend(q, k, v, mask, heads, 1.0),
        "divided by d: its square root is wanted.": _attend(q, k, v, mask, heads, 1 / d),
    }
    if heads == 1:
        scores, out = q @ k.mT / math.sqrt(d), ~mask[:, None]
        masked = scores.masked_fill(out, -math.inf)
        late, zeroed = scores.softmax(2).masked_fill(out, 0), scores.masked_fill(out, 0)
        turned = scores.masked_fill(~out, -math.inf).softmax(2)
        return slips | {
            "the softmax goes over the tokens, not over the places.": (
                masked.softmax(1).nan_to_num() @ v
            ),
            "set to 0 behind the softmax, the padding has still taken its share.": late @ v,
            "a score of 0 is not left out, since e⁰ = 1: −∞ is.": zeroed.softmax(2) @ v,
            "the mask is True at tokens: leave the others out.": turned.nan_to_num() @ v,
        }
    order = torch.arange(C).view(-1, heads).T.flatten()  # every heads-th channel side by side
    mixed = _attend(q[..., order], k[..., order], v[..., order], mask, heads)
    all_scores = _attend(q, k, v, mask, 1, d**-0.5)
    return slips | {
        "√d of a head, not √C of all channels.": _attend(q, k, v, mask, heads, C**-0.5),
        "each head has a softmax of its own.": _attend(q, k, v, mask, 1),
        "one softmax over the sum of the heads' scores: each has its own.": all_scores,
        "a head's channels stand side by side.": mixed[..., order.argsort()],
    }


@task(
    "ex10-told_apart",
    equation=(
        "Φ(((1 − t) / t) ½ |x − x'|) = p, solved for t",
        "Φ(√(ᾱ / (1 − ᾱ)) ½ |x − x'|) = p, solved for ᾱ",
    ),
    points=3,
)
def check_told_apart(c: Checking) -> None:
    """Two pictures and the noise at which an ideal observer tells them apart, with chance p."""
    B, shape, name = 5, (2, 3, 4), "t" if c.variant == 1 else "ᾱ"
    first = c.draw.uniform(B, *shape, low=-1.0, high=1.0)
    change = c.draw.uniform(B, 1, 1, 1, low=0.02, high=1.0) * c.draw.normal(B, *shape)
    p = float(c.draw.uniform(1, low=0.7, high=0.98))
    case = f"{B} pairs of pictures, p = {p:.3g}"
    when = c.answer(first, first + change, p)
    c.tensor(when, (B,), case)
    size, N = change.double().flatten(1).norm(dim=1), change[0].numel()
    q = float(torch.special.ndtri(torch.tensor(p, dtype=torch.float64)))

    def at(ratio: Tensor) -> Tensor:
        """Where noise over signal is `ratio`."""
        return ratio / (1 + ratio) if c.variant == 1 else 1 / (1 + ratio**2)

    def wrongs(size: Tensor) -> dict[str, Tensor]:
        ratio, odds = size / (2 * q), size / (2 * math.log(p / (1 - p)))
        return {
            "the squared difference: the length itself, its square root, counts.": at(
                size**2 / (2 * q)
            ),
            "½ |x − x'|: the half is missing.": at(size / q),
            "½ |x − x'| is on the other side of the equation: it multiplies.": at(2 * size / q),
            "the length of the difference sums over the pixels: no mean.": at(ratio / N**0.5),
            "p is a probability: which argument has Φ there? Its inverse says.": at(size / (2 * p)),
            "the inverse of Φ, not log(p / (1 − p)).": at(odds),
            f"that is 1 − {name}: noise and signal are exchanged.": 1 - at(ratio),
            f"that is noise over signal; solve for {name}.": ratio,
            f"that is signal over noise; solve for {name}.": 1 / ratio,
            "signal over noise is √(ᾱ / (1 − ᾱ)): square it before you solve.": 1 / (1 + ratio),
            "the flow's answer is in t; with ᾱ squares come in.": ratio / (1 + ratio),
            "one length for the batch: each pair has its own.": at(
                size.square().sum().sqrt().expand(B) / (2 * q)
            ),
        }

    c.holds(
        bool(((when >= 0) & (when <= 1)).all()), "property", case, f"each {name} between 0 and 1",
        f"{when.tolist()}", f"that is noise over signal, or its inverse; solve for {name}.",
    )  # fmt: skip
    ratio = when / (1 - when) if c.variant == 1 else ((1 - when) / when).sqrt()
    c.agrees(
        c.answer(first, first + 2 * change, p), at(2 * ratio.double()),
        "twice the difference: at twice the noise over the signal", was="follows from the first",
        slips=wrongs(2 * size),
    )  # fmt: skip
    never = 0.0 if c.variant == 1 else 1.0
    c.close(
        c.answer(first, first, p), torch.full((B,), never),
        f"a picture and itself: without noise at most, {name} = {never:g}", layer="property",
        slips=wrongs(0 * size),
    )  # fmt: skip
    c.close(when, at(size / (2 * q)), case, slips=wrongs(size))


@task(
    "ex10-matching_aware_loss",
    equation=(
        "−E log σ(D(x, y)) − ½ E log(1 − σ(D(x_drawn, y))) − ½ E log(1 − σ(D(x, y'))), y' the "
        "sentence of the row before",
        "E max(0, 1 − D(x, y)) + ½ E max(0, 1 + D(x_drawn, y)) + ½ E max(0, 1 + D(x, y')), y' "
        "the sentence of the row before",
    ),
    points=3,
)
def check_matching_aware_loss(c: Checking) -> None:
    """A judge that says 0, and one that reads: three kinds of pairs."""
    B, D, H = 7, 4, 3
    x, drawn, y = c.draw.normal(B, H), c.draw.normal(B, H), c.draw.normal(B, D)
    joint, alone = c.draw.normal(H, D), c.draw.normal(H)

    def judge(x: Tensor, y: Tensor) -> Tensor:
        return ((x @ joint) * y).sum(1) + x @ alone

    def positive(logits: Tensor) -> Tensor:
        return F.softplus(-logits) if c.variant == 1 else F.relu(1 - logits)

    def loss(
        real: Tensor, fake: Tensor, wrong: Tensor, of: tuple[float, float, float] = (1, 0.5, 0.5)
    ) -> Tensor:
        parts = zip((real, -fake, -wrong), of, strict=True)
        return sum((w * positive(logits).mean() for logits, w in parts), torch.zeros(()))

    case = f"{B} pictures with their sentences, a drawn one for each"
    value = c.answer(judge, x, drawn, y)
    c.tensor(value, (), case, slips={(B,): "one number for the batch: average the rows."})
    guess = 2 * math.log(2) if c.variant == 1 else 2.0
    unit = guess / 2
    undecided = c.answer(lambda x, y: 0 * x[:, 0], x, drawn, y)
    c.close(
        undecided, guess, f"a judge that says 0 of every pair: {guess:.4g}", layer="property",
        slips={
            "the two kinds of pairs to reject have half the weight each.": 3 * unit,
            "the mean over the rows, not their sum.": B * guess,
            "the third kind, a real picture with a wrong sentence, is missing.": 1.5 * unit,
            "a loss is minus the log-probability.": -guess,
            "the hinge begins at 1: max(0, 1 − D) and max(0, 1 + D).": 0.0,
        },
    )  # fmt: skip
    wrong = y.roll(1, 0)
    real, fake, pair = judge(x, y), judge(drawn, y), judge(x, wrong)
    slips = {
        "the third kind is missing: without it the judge need not read.": loss(
            real, fake, fake
        ),
        "to the third kind belongs a real picture, not a drawn one.": loss(
            real, fake, judge(drawn, wrong)
        ),
        "the sentence of the row before: roll by +1, over the rows.": loss(
            real, fake, judge(x, y.roll(-1, 0))
        ),
        "the sentences are rolled among the rows, not their numbers.": loss(
            real, fake, judge(x, y.roll(1, 1))
        ),
        "all numbers are rolled: give `roll` the dimension of the rows.": loss(
            real, fake, judge(x, y.roll(1))
        ),
        "pictures and sentences are rolled alike, and belong together again.": loss(
            real, fake, judge(x.roll(1, 0), wrong)
        ),
        "a real picture with a wrong sentence is to be rejected.": loss(real, fake, -pair),
        "signs: the real pair is to be accepted, the other two rejected.": loss(
            -real, -fake, -pair
        ),
        "the drawn pictures belong to the sentences that they were drawn for.": loss(
            real, judge(drawn, wrong), pair
        ),
        "that is the generator's side: the judge rejects drawn pictures.": loss(real, -fake, pair),
        "half the weight for each kind of wrong pair, not for the right one.": loss(
            real, fake, pair, (0.5, 0.5, 1)
        ),
    }  # fmt: skip
    c.close(value, loss(real, fake, pair), case, slips=slips)


@task(
    "ex10-best_of",
    equation="x_b = x^(s) with s = argmax_s cos(x_b^(s), y_b)",
    points=2,
)
def check_best_of(c: Checking) -> None:
    """One of the own samples, unchanged, and the one with the largest cosine."""
    S, B, D = 5, 40, 4
    samples = c.draw.normal(S, B, D) * c.draw.uniform(S, B, 1, low=0.3, high=3.0)
    texts = c.draw.normal(B, D) * c.draw.uniform(B, 1, low=0.3, high=3.0)
    case = f"{S} samples for each of {B} sentences"
    best = c.answer(samples, texts)
    c.tensor(
        best, (B, D), case,
        slips={
            (S, D): "the best sample of each sentence, not the best sentence of each sample.",
            (B,): "the samples themselves come back, not their numbers.",
            (B, B, D): "`samples[s]` takes whole batches: pick s of each row, `samples[s, rows]`.",
        },
    )  # fmt: skip
    own = (best == samples).all(2).any(0)  # [B]
    some = (best[:, None] == samples.flatten(0, 1)).all(2).any(1)
    c.holds(
        bool(own.all()), "property", case, "in each row one of that row's samples, unchanged",
        f"something else in {int((~own).sum())} of {B} rows",
        "sample s of row b is `samples[s, b]`: index both." if bool(some.all()) else
        "a sample as it is: no mean of several, and no change of its length.",
    )  # fmt: skip
    cosines = F.cosine_similarity(samples.double(), texts.double(), dim=2)  # [S, B]
    rows = torch.arange(B)

    def chosen(by: Tensor) -> Tensor:
        return samples[by.argmax(0), rows]

    distance = (samples - texts).norm(dim=2)
    slips = {
        "longer samples win: compare cosines, not inner products.": chosen(
            (samples * texts).sum(2)
        ),
        "that is the sample furthest away: the largest cosine is wanted.": chosen(-cosines),
        "the distance depends on the lengths: compare cosines.": chosen(-distance),
        "one choice for the whole batch: each sentence has its own.": samples[
            cosines.mean(1).argmax()
        ],
        "the longest sample: compare with the sentence.": chosen(samples.norm(dim=2)),
        "the first sample: compare them with the sentence.": samples[0],
        "each sample with its own sentence, not with the next one's.": chosen(
            F.cosine_similarity(samples, texts.roll(1, 0), dim=2)
        ),
    }
    c.close(best, chosen(cosines), case, slips=slips)


@task(
    "ex10-looking",
    equation="mean over b of Σ_i r_bi A_bij / Σ_i r_bi",
    points=2,
)
def check_looking(c: Checking) -> None:
    """Shares that sum to 1, places that look alike, and the formula."""
    B, P, T, R = 4, 9, 5, 3
    A = c.draw.normal(B, P, T).softmax(2)
    regions = c.draw.uniform(B, R, P) ** 3 * torch.tensor([1.0, 2.0, 5.0, 9.0])[:, None, None]
    case = f"{B} drawings, {P} places, {T} tokens, {R} regions"
    shares = c.answer(A, regions)
    c.tensor(
        shares, (R, T), case,
        slips={
            (B, R, T): "average over the drawings, too.",
            (T, R): "a row for each region, a column for each token.",
        },
    )  # fmt: skip

    def wrongs(A: Tensor) -> dict[str, Tensor]:
        A, r = A.double(), regions.double()
        sums, area = r @ A, r.sum(2)[:, :, None]  # [B, R, T], [B, R, 1]
        return {
            "divide by how much of the picture the region has, Σ r.": sums.mean(0),
            "divide by the region's own size, not by the number of places.": sums.mean(0) / P,
            "first each drawing's share, then their mean: large regions do not count more.": (
                sums.sum(0) / area.sum(0)
            ),
            "the mean over the drawings, not their sum.": (sums / area).sum(0),
            "a place that is half covered counts half: weigh by r, do not ask whether r > 0.": (
                A.mean(1).mean(0).expand(R, -1)
            ),
            "a region weighs the places, not the tokens that they look at.": (
                sums / sums.sum(1, keepdim=True)
            ).mean(0),
        }

    c.close(
        shares.sum(1), torch.ones(R), "a region's shares of looking, summed", layer="property",
        slips={words: wrong.sum(1) for words, wrong in wrongs(A).items()},
    )  # fmt: skip
    alike = A[:, :1].expand(-1, P, -1)
    c.close(
        c.answer(alike, regions), alike[:, 0].mean(0).expand(R, -1),
        "all places of a drawing look alike", layer="property", slips=wrongs(alike),
    )  # fmt: skip
    expected = (regions.double() / regions.double().sum(2, keepdim=True) @ A.double()).mean(0)
    c.close(shares, expected, case, slips=wrongs(A))
