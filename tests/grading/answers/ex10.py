"""Known answers to exercise 10."""

import math

import torch
import torch.nn.functional as F
from known_answers import right, wrong

# --- cross_attention


def _scores(query, key):
    return query @ key.mT / query.shape[2] ** 0.5


@right("ex10-cross_attention")
def by_torch(query, key, value, mask):
    return F.scaled_dot_product_attention(query, key, value, attn_mask=mask[:, None])


@right("ex10-cross_attention")
def weights_divided_by_their_sum(query, key, value, mask):
    weights = _scores(query, key).exp() * mask[:, None]
    return weights @ value / weights.sum(2, keepdim=True)


@wrong("ex10-cross_attention", says="leave it out")
def padding_not_masked(query, key, value, mask):
    return _scores(query, key).softmax(2) @ value


@wrong("ex10-cross_attention", says="leave the others out")
def mask_the_wrong_way_round(query, key, value, mask):
    return _scores(query, key).masked_fill(mask[:, None], -1e9).softmax(2) @ value


@wrong("ex10-cross_attention", says="taken its share")
def masked_behind_the_softmax(query, key, value, mask):
    return _scores(query, key).softmax(2) * mask[:, None] @ value


@wrong("ex10-cross_attention", says="e⁰ = 1")
def masked_by_zero(query, key, value, mask):
    return (_scores(query, key) * mask[:, None]).softmax(2) @ value


@wrong("ex10-cross_attention", says="over the tokens, not over the places")
def softmax_over_places(query, key, value, mask):
    scores = _scores(query, key).masked_fill(~mask[:, None], -math.inf)
    return scores.softmax(1).nan_to_num() @ value


@wrong("ex10-cross_attention", says="scale is missing", layer="oracle")
def without_scale(query, key, value, mask):
    return F.scaled_dot_product_attention(query, key, value, mask[:, None], scale=1.0)


@wrong("ex10-cross_attention", says="square root", layer="oracle")
def divided_by_d(query, key, value, mask):
    d = query.shape[2]
    return F.scaled_dot_product_attention(query, key, value, mask[:, None], scale=1 / d)


@right("ex10-cross_attention", variant=2)
def head_by_head(query, key, value, mask, heads):
    d = query.shape[2] // heads
    read = []
    for h in range(heads):
        q, k, v = (x[:, :, h * d : (h + 1) * d] for x in (query, key, value))
        read.append(by_torch(q, k, v, mask))
    return torch.cat(read, dim=2)


@wrong("ex10-cross_attention", says="leave it out", variant=2)
def heads_without_a_mask(query, key, value, mask, heads):
    return head_by_head(query, key, value, torch.ones_like(mask), heads)


@wrong("ex10-cross_attention", says="√d of a head", layer="oracle", variant=2)
def scale_of_all_channels(query, key, value, mask, heads):
    return head_by_head(query / heads**0.5, key, value, mask, heads)


@wrong("ex10-cross_attention", says="softmax of its own", layer="oracle", variant=2)
def one_head(query, key, value, mask, heads):
    return by_torch(query, key, value, mask)


@wrong("ex10-cross_attention", says="scale is missing", layer="oracle", variant=2)
def heads_without_scale(query, key, value, mask, heads):
    d = query.shape[2] // heads
    return head_by_head(query * d**0.5, key, value, mask, heads)


@wrong("ex10-cross_attention", says="side by side", layer="oracle", variant=2)
def channels_dealt_out(query, key, value, mask, heads):
    q, k, v = (x.unflatten(2, (-1, heads)).permute(0, 3, 1, 2) for x in (query, key, value))
    read = F.scaled_dot_product_attention(q, k, v, mask[:, None, None])
    return read.permute(0, 2, 3, 1).flatten(2)


@wrong("ex10-cross_attention", says="join the heads", variant=2)
def heads_left_apart(query, key, value, mask, heads):
    q, k, v = (x.unflatten(2, (heads, -1)).transpose(1, 2) for x in (query, key, value))
    return F.scaled_dot_product_attention(q, k, v, mask[:, None, None])


# --- told_apart


def _halves(first, second):
    return (first - second).flatten(1).norm(dim=1) / 2


def _argument(p):
    return math.sqrt(2) * torch.erfinv(torch.tensor(2 * p - 1)).item()


@right("ex10-told_apart")
def by_distances(first, second, p):
    rows = zip(first.double(), second.double(), strict=True)
    lengths = torch.stack([(x - y).square().sum().sqrt() for x, y in rows])
    return (1 / (1 + 2 * torch.special.ndtri(torch.tensor(p).double()) / lengths)).float()


@wrong("ex10-told_apart", says="half is missing", layer="oracle")
def whole_length(first, second, p):
    length = 2 * _halves(first, second)
    return length / (length + _argument(p))


@wrong("ex10-told_apart", says="squared difference")
def squared_length(first, second, p):
    half = (first - second).flatten(1).square().sum(1) / 2
    return half / (half + _argument(p))


@wrong("ex10-told_apart", says="no mean", layer="oracle")
def mean_over_pixels(first, second, p):
    half = (first - second).flatten(1).square().mean(1).sqrt() / 2
    return half / (half + _argument(p))


@wrong("ex10-told_apart", says="which argument has Φ there", layer="oracle")
def probability_for_argument(first, second, p):
    half = _halves(first, second)
    return half / (half + p)


@wrong("ex10-told_apart", says="the inverse of Φ, not log", layer="oracle")
def logistic_in_place_of_normal(first, second, p):
    half = _halves(first, second)
    return half / (half + math.log(p / (1 - p)))


@wrong("ex10-told_apart", says="noise and signal are exchanged")
def one_minus_t(first, second, p):
    half, q = _halves(first, second), _argument(p)
    return q / (half + q)


@wrong("ex10-told_apart", says="solve for t")
def ratio_only(first, second, p):
    return _halves(first, second) / _argument(p)


@right("ex10-told_apart", variant=2)
def from_the_ratio(first, second, p):
    signal = torch.distributions.Normal(0.0, 1.0).icdf(torch.tensor(p)) / _halves(first, second)
    return 1 - 1 / (1 + signal**2)


@wrong("ex10-told_apart", says="half is missing", layer="oracle", variant=2)
def length_not_halved(first, second, p):
    q, length = _argument(p), 2 * _halves(first, second)
    return q**2 / (q**2 + length**2)


@wrong("ex10-told_apart", says="squares come in", variant=2)
def answer_of_the_flow(first, second, p):
    half = _halves(first, second)
    return half / (half + _argument(p))


@wrong("ex10-told_apart", says="square it before you solve", variant=2)
def square_forgotten(first, second, p):
    half, q = _halves(first, second), _argument(p)
    return q / (q + half)


@wrong("ex10-told_apart", says="noise and signal are exchanged", variant=2)
def one_minus_alpha_bar(first, second, p):
    half, q = _halves(first, second), _argument(p)
    return half**2 / (q**2 + half**2)


@wrong("ex10-told_apart", says="which argument has Φ there", layer="oracle", variant=2)
def p_for_q(first, second, p):
    half = _halves(first, second)
    return p**2 / (p**2 + half**2)


# --- matching_aware_loss


@right("ex10-matching_aware_loss")
def by_cross_entropy(judge, x, drawn, y):
    wrong_y = torch.cat([y[-1:], y[:-1]])
    logits = torch.cat([judge(x, y), judge(drawn, y), judge(x, wrong_y)])
    B = len(x)
    target = torch.cat([torch.ones(B), torch.zeros(2 * B)])
    weight = torch.cat([torch.ones(B), torch.full((2 * B,), 0.5)])
    each = F.binary_cross_entropy_with_logits(logits, target, weight, reduction="sum")
    return each / B


@wrong("ex10-matching_aware_loss", says="is missing")
def two_kinds_only(judge, x, drawn, y):
    return F.softplus(-judge(x, y)).mean() + F.softplus(judge(drawn, y)).mean()


@wrong("ex10-matching_aware_loss", says="half the weight")
def three_times_the_same_weight(judge, x, drawn, y):
    wrong_y = y.roll(1, dims=0)
    rejected = F.softplus(judge(drawn, y)).mean() + F.softplus(judge(x, wrong_y)).mean()
    return F.softplus(-judge(x, y)).mean() + rejected


@wrong("ex10-matching_aware_loss", says="not a drawn one", layer="oracle")
def wrong_sentence_for_a_drawn_picture(judge, x, drawn, y):
    wrong_y = y.roll(1, dims=0)
    rejected = F.softplus(judge(drawn, y)).mean() + F.softplus(judge(drawn, wrong_y)).mean()
    return F.softplus(-judge(x, y)).mean() + rejected / 2


@wrong("ex10-matching_aware_loss", says="not their numbers", layer="oracle")
def numbers_rolled(judge, x, drawn, y):
    rejected = F.softplus(judge(drawn, y)).mean() + F.softplus(judge(x, y.roll(1, 1))).mean()
    return F.softplus(-judge(x, y)).mean() + rejected / 2


@wrong("ex10-matching_aware_loss", says="dimension of the rows", layer="oracle")
def rolled_without_a_dimension(judge, x, drawn, y):
    rejected = F.softplus(judge(drawn, y)).mean() + F.softplus(judge(x, y.roll(1))).mean()
    return F.softplus(-judge(x, y)).mean() + rejected / 2


@wrong("ex10-matching_aware_loss", says="to be rejected", layer="oracle")
def wrong_pair_accepted(judge, x, drawn, y):
    pair = judge(x, y.roll(1, dims=0))
    rejected = F.softplus(judge(drawn, y)).mean() + F.softplus(-pair).mean()
    return F.softplus(-judge(x, y)).mean() + rejected / 2


@wrong("ex10-matching_aware_loss", says="minus the log-probability")
def sign_forgotten(judge, x, drawn, y):
    pair = judge(x, y.roll(1, dims=0))
    rejected = F.logsigmoid(-judge(drawn, y)).mean() + F.logsigmoid(-pair).mean()
    return F.logsigmoid(judge(x, y)).mean() + rejected / 2


@right("ex10-matching_aware_loss", variant=2)
def by_clamping(judge, x, drawn, y):
    order = (torch.arange(len(y)) - 1) % len(y)
    real, fake, pair = judge(x, y), judge(drawn, y), judge(x, y[order])
    each = (1 - real).clamp(min=0) + ((1 + fake).clamp(min=0) + (1 + pair).clamp(min=0)) / 2
    return each.mean()


@wrong("ex10-matching_aware_loss", says="begins at 1", variant=2)
def margin_of_zero(judge, x, drawn, y):
    real, fake, pair = judge(x, y), judge(drawn, y), judge(x, y.roll(1, dims=0))
    return F.relu(-real).mean() + (F.relu(fake).mean() + F.relu(pair).mean()) / 2


@wrong("ex10-matching_aware_loss", says="half the weight", variant=2)
def whole_weights(judge, x, drawn, y):
    real, fake, pair = judge(x, y), judge(drawn, y), judge(x, y.roll(1, dims=0))
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean() + F.relu(1 + pair).mean()


@wrong("ex10-matching_aware_loss", says="accepted, the other two", layer="oracle", variant=2)
def hinges_the_wrong_way(judge, x, drawn, y):
    real, fake, pair = judge(x, y), judge(drawn, y), judge(x, y.roll(1, dims=0))
    return F.relu(1 + real).mean() + (F.relu(1 - fake).mean() + F.relu(1 - pair).mean()) / 2


@wrong("ex10-matching_aware_loss", says="roll by +1", layer="oracle", variant=2)
def the_row_behind(judge, x, drawn, y):
    real, fake, pair = judge(x, y), judge(drawn, y), judge(x, y.roll(-1, dims=0))
    return F.relu(1 - real).mean() + (F.relu(1 + fake).mean() + F.relu(1 + pair).mean()) / 2


@wrong("ex10-matching_aware_loss", says="belong together again", layer="oracle", variant=2)
def both_rolled(judge, x, drawn, y):
    pair = judge(x.roll(1, dims=0), y.roll(1, dims=0))
    rejected = F.relu(1 + judge(drawn, y)).mean() + F.relu(1 + pair).mean()
    return F.relu(1 - judge(x, y)).mean() + rejected / 2


# --- best_of


@right("ex10-best_of")
def row_by_row(samples, texts):
    best = []
    for own, text in zip(samples.unbind(1), texts, strict=True):
        cosines = own @ text / own.norm(dim=1)
        best.append(own[cosines.argmax()])
    return torch.stack(best)


@right("ex10-best_of")
def by_gather(samples, texts):
    cosines = (F.normalize(samples, dim=2) * F.normalize(texts, dim=1)).sum(2)
    index = cosines.argmax(0)[None, :, None].expand(1, -1, samples.shape[2])
    return samples.gather(0, index)[0]


@wrong("ex10-best_of", says="longer samples win", layer="oracle")
def by_inner_product(samples, texts):
    return samples[(samples * texts).sum(2).argmax(0), torch.arange(len(texts))]


@wrong("ex10-best_of", says="one choice for the whole batch", layer="oracle")
def one_choice(samples, texts):
    return samples[F.cosine_similarity(samples, texts, dim=2).mean(1).argmax()]


@wrong("ex10-best_of", says="depends on the lengths", layer="oracle")
def by_distance(samples, texts):
    return samples[(samples - texts).norm(dim=2).argmin(0), torch.arange(len(texts))]


@wrong("ex10-best_of", says="furthest away", layer="oracle")
def the_worst(samples, texts):
    cosines = F.cosine_similarity(samples, texts, dim=2)
    return samples[cosines.argmin(0), torch.arange(len(texts))]


@wrong("ex10-best_of", says="no mean")
def the_mean(samples, texts):
    return samples.mean(0)


@wrong("ex10-best_of", says="no change of its length")
def normalised(samples, texts):
    return F.normalize(row_by_row(samples, texts), dim=1)


@wrong("ex10-best_of", says="whole batches")
def batches_indexed(samples, texts):
    return samples[F.cosine_similarity(samples, texts, dim=2).argmax(0)]


@wrong("ex10-best_of", says="not their numbers")
def number_of_the_best(samples, texts):
    return F.cosine_similarity(samples, texts, dim=2).argmax(0)


# --- looking


@right("ex10-looking")
def drawing_by_drawing(attention, regions):
    total = torch.zeros(regions.shape[1], attention.shape[2])
    for A, own in zip(attention, regions, strict=True):
        for row, r in enumerate(own):
            total[row] += (r[:, None] * A).sum(0) / r.sum()
    return total / len(attention)


@wrong("ex10-looking", says="how much of the picture")
def not_divided(attention, regions):
    return (regions @ attention).mean(0)


@wrong("ex10-looking", says="number of places")
def divided_by_the_places(attention, regions):
    return (regions @ attention / attention.shape[1]).mean(0)


@wrong("ex10-looking", says="large regions do not count more")
def all_drawings_pooled(attention, regions):
    return (regions @ attention).sum(0) / regions.sum(2).sum(0)[:, None]


@wrong("ex10-looking", says="not their sum")
def summed_over_drawings(attention, regions):
    return (regions @ attention / regions.sum(2, keepdim=True)).sum(0)


@wrong("ex10-looking", says="half covered", layer="oracle")
def whether_covered(attention, regions):
    inside = (regions > 0).float()
    return (inside @ attention / inside.sum(2, keepdim=True)).mean(0)


@wrong("ex10-looking", says="average over the drawings")
def one_table_a_drawing(attention, regions):
    return regions @ attention / regions.sum(2, keepdim=True)
