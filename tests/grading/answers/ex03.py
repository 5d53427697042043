"""Known answers of exercise 03."""

import math

import torch
import torch.nn.functional as F
from known_answers import right, wrong

# --- one_hot ------------------------------------------------------------------------------------


@wrong("ex03-one_hot", says="torch.float32", layer="contract")
def still_whole_numbers(labels, K):
    return F.one_hot(labels, K)


@wrong("ex03-one_hot", says="how many classes there are", layer="contract")
def as_many_as_the_batch_has(labels, K):
    return F.one_hot(labels).float()


@wrong("ex03-one_hot", says="counted from 0", layer="oracle")
def one_place_too_early(labels, K):
    return torch.eye(K)[labels - 1]


@wrong("ex03-one_hot", says="exactly one place", layer="property")
def ones_up_to_the_label(labels, K):
    return (torch.arange(K) <= labels[:, None]).float()


@wrong("ex03-one_hot", says="from left to right", layer="oracle")
def from_the_right(labels, K):
    return torch.eye(K).flip(0)[labels]


@wrong("ex03-one_hot", says="K places", layer="contract")
def a_place_too_many(labels, K):
    return F.one_hot(labels, K + 1).float()


@right("ex03-one_hot")
def rows_of_the_identity(labels, K):
    return torch.eye(K)[labels]


@right("ex03-one_hot")
def by_scatter(labels, K):
    return torch.zeros(len(labels), K).scatter(1, labels[:, None], 1.0)


@wrong("ex03-one_hot", says="not all zero", layer="property", variant=2)
def zeros_for_none(labels, K):
    seen = F.one_hot(labels.clamp(min=0), K + 1).float()
    return seen * (labels >= 0)[:, None]


@wrong("ex03-one_hot", says="keep the places 0 to K − 1", layer="oracle", variant=2)
def none_first(labels, K):
    return F.one_hot(labels + 1, K + 1).float()


@wrong("ex03-one_hot", says="one place more", layer="contract", variant=2)
def no_place_for_none(labels, K):
    return F.one_hot(labels.where(labels >= 0, K - 1), K).float()


@wrong("ex03-one_hot", says="not the last class", layer="oracle", variant=2)
def none_as_last_class(labels, K):
    return F.one_hot(labels % K, K + 1).float()


@wrong("ex03-one_hot", says="not the first class", layer="oracle", variant=2)
def none_as_first_class(labels, K):
    return F.one_hot(labels.clamp(min=0), K + 1).float()


@right("ex03-one_hot", variant=2)
def the_last_row_of_the_identity(labels, K):
    return torch.eye(K + 1)[labels]  # row −1 is the last one


# --- label_bias ---------------------------------------------------------------------------------


def cut(weight, x):
    P = x.shape[1]
    return weight[:, :P], weight[:, P:]


@wrong("ex03-label_bias", says="not a row", layer="property")
def row_for_column(weight, bias, x, labels):
    W_x, W_c = cut(weight, x)
    return x @ W_x.T + bias + W_c[labels]


@wrong("ex03-label_bias", says="the bias b of the layer", layer="property")
def bias_forgotten(weight, bias, x, labels):
    W_x, W_c = cut(weight, x)
    return x @ W_x.T + W_c.T[labels]


@wrong("ex03-label_bias", says="after the P places", layer="property")
def label_before_the_picture(weight, bias, x, labels):
    K = weight.shape[1] - x.shape[1]
    W_c, W_x = weight[:, :K], weight[:, K:]
    return x @ W_x.T + bias + W_c.T[labels]


@wrong("ex03-label_bias", says="transposed for rows", layer="oracle")
def picture_from_the_wrong_side(weight, bias, x, labels):
    W_x, W_c = cut(weight, x)
    return x @ W_x + bias + W_c.T[labels]


@wrong("ex03-label_bias", says="first P columns", layer="oracle")
def weights_of_the_label_for_the_picture(weight, bias, x, labels):
    _, W_c = cut(weight, x)
    return x @ W_c.T + bias + W_c.T[labels]


@wrong("ex03-label_bias", says="not the sum of all", layer="property")
def all_columns(weight, bias, x, labels):
    W_x, W_c = cut(weight, x)
    return x @ W_x.T + bias + W_c.sum(1)


@right("ex03-label_bias")
def joined_after_all(weight, bias, x, labels):
    c = F.one_hot(labels, weight.shape[1] - x.shape[1]).to(x)
    return F.linear(torch.cat([x, c], dim=1), weight, bias)


# --- drop_labels --------------------------------------------------------------------------------


@wrong("ex03-drop_labels", says="yours are the other rows", layer="property")
def kept_and_dropped_swapped(c, u, p, null):
    return torch.where((u > p)[:, None], null, c)


@wrong("ex03-drop_labels", says="not zeros", layer="property")
def zeros_for_the_null(c, u, p, null):
    return c * (u >= p)[:, None] + 0 * null


@wrong("ex03-drop_labels", says="make it a column", layer="oracle")
def along_the_columns(c, u, p, null):
    return torch.where(u < p, null, c)


@wrong("ex03-drop_labels", says="no dropout", layer="oracle")
def scaled_as_dropout(c, u, p, null):
    kept = c / (1 - p) if p < 1 else c
    return torch.where((u < p)[:, None], null, kept)


@wrong("ex03-drop_labels", says="no mixture", layer="oracle")
def mixed(c, u, p, null):
    return (1 - p) * c + p * null + 0 * u[:, None]


@wrong("ex03-drop_labels", says="cuts the graph", layer="contract")
def null_without_gradient(c, u, p, null):
    return torch.where((u < p)[:, None], null.detach(), c)


@wrong("ex03-drop_labels", says="not added to it", layer="property")
def null_added(c, u, p, null):
    return c + (u < p)[:, None] * null


@right("ex03-drop_labels")
def by_products(c, u, p, null):
    keep = (u >= p).to(c.dtype).unsqueeze(1)
    return keep * c + (1 - keep) * null


@right("ex03-drop_labels")
def row_by_row(c, u, p, null):
    return torch.stack([null if value < p else row for row, value in zip(c, u, strict=True)])


# --- label_grid ---------------------------------------------------------------------------------


@wrong("ex03-label_grid", says="the same pairs come again", layer="property")
def both_repeated_whole(z, K):
    return z.repeat(K, 1), torch.eye(K).repeat(len(z), 1)


@wrong("ex03-label_grid", says="the same along a row", layer="oracle")
def labels_in_columns(z, K):
    return z.repeat_interleave(K, dim=0), torch.eye(K).repeat(len(z), 1)


@wrong("ex03-label_grid", says="different pairs", layer="property")
def both_row_by_row(z, K):
    return z.repeat_interleave(K, dim=0), torch.eye(K).repeat_interleave(len(z), dim=0)


@wrong("ex03-label_grid", says="as one-hot vectors", layer="contract")
def labels_as_numbers(z, K):
    return z.repeat(K, 1), torch.arange(K).repeat_interleave(len(z))


@wrong("ex03-label_grid", says="two tensors", layer="contract")
def joined_in_one(z, K):
    return torch.cat([z.repeat(K, 1), torch.eye(K).repeat_interleave(len(z), dim=0)], dim=1)


@wrong("ex03-label_grid", says="label 0 comes first", layer="oracle")
def last_label_first(z, K):
    return z.repeat(K, 1), torch.eye(K).flip(0).repeat_interleave(len(z), dim=0)


@right("ex03-label_grid")
def by_two_loops(z, K):
    unit = torch.eye(K)
    rows = [(latent, unit[r]) for r in range(K) for latent in z]
    return torch.stack([a for a, _ in rows]), torch.stack([b for _, b in rows])


@right("ex03-label_grid")
def by_expanding(z, K):
    n, D = z.shape
    c = torch.eye(K)[:, None, :].expand(K, n, K)
    return z.expand(K, n, D).reshape(K * n, D), c.reshape(K * n, K)


@wrong("ex03-label_grid", says="the same along a column", layer="oracle", variant=2)
def labels_in_rows(z, K):
    return z.repeat(K, 1), torch.eye(K).repeat_interleave(len(z), dim=0)


@wrong("ex03-label_grid", says="the same pairs come again", layer="property", variant=2)
def both_repeated_whole_2(z, K):
    return z.repeat(K, 1), torch.eye(K).repeat(len(z), 1)


@wrong("ex03-label_grid", says="z_0 first", layer="oracle", variant=2)
def last_latent_first(z, K):
    return z.flip(0).repeat_interleave(K, dim=0), torch.eye(K).repeat(len(z), 1)


@wrong("ex03-label_grid", says="as one-hot vectors", layer="contract", variant=2)
def labels_as_numbers_2(z, K):
    return z.repeat_interleave(K, dim=0), torch.arange(K).repeat(len(z))


@wrong("ex03-label_grid", says="K labels", layer="contract", variant=2)
def a_label_for_each_latent(z, K):
    n = len(z)
    return z.repeat_interleave(K, dim=0), torch.eye(n).repeat(K, 1)


@right("ex03-label_grid", variant=2)
def by_indexing(z, K):
    place = torch.arange(len(z) * K)
    return z[place // K], torch.eye(K)[place % K]


# --- nll_without_label --------------------------------------------------------------------------


@wrong("ex03-nll_without_label", says="use logsumexp", layer="contract")
def by_exponentials(nll):
    return -torch.log(torch.exp(-nll).mean(dim=1))


@wrong("ex03-nll_without_label", says="average the probabilities", layer="oracle")
def mean_of_the_nats(nll):
    return nll.mean(dim=1)


@wrong("ex03-nll_without_label", says="log K is missing", layer="property")
def without_log_K(nll):  # noqa: N802
    return -torch.logsumexp(-nll, dim=1)


@wrong("ex03-nll_without_label", says="the best label alone is not enough", layer="oracle")
def best_label(nll):
    return nll.min(dim=1).values


@wrong("ex03-nll_without_label", says="weighs the worst label", layer="oracle")
def sign_inside(nll):
    return torch.logsumexp(nll, dim=1) - math.log(nll.shape[1])


@wrong("ex03-nll_without_label", says="not over the images", layer="contract")
def over_the_images(nll):
    return math.log(nll.shape[1]) - torch.logsumexp(-nll, dim=0)


@right("ex03-nll_without_label")
def smallest_taken_out(nll):
    best = nll.amin(dim=1, keepdim=True)
    return (best - (best - nll).exp().mean(dim=1, keepdim=True).log()).squeeze(1)


@right("ex03-nll_without_label")
def in_float64(nll):
    return -torch.log(torch.exp(-nll.double()).mean(dim=-1)).float()


# --- slips of a learner who met the exercise for the first time ---------------------------------


@wrong("ex03-one_hot", says=".float()", layer="contract")
def compared_with_all_places(labels, K):
    return (torch.arange(K) == labels[:, None]).long()


@wrong("ex03-drop_labels", says="not u ≤ p", layer="property")
def at_p_too(c, u, p, null):
    return torch.where((u <= p)[:, None], null, c)


@wrong("ex03-nll_without_label", says="logsumexp is taken off", layer="property")
def logsumexp_added(nll):
    return math.log(nll.shape[1]) + torch.logsumexp(-nll, dim=1)


@wrong("ex03-nll_without_label", says="the minus inside is missing", layer="property")
def no_minus_inside(nll):
    return math.log(nll.shape[1]) - torch.logsumexp(nll, dim=1)


@wrong("ex03-nll_without_label", says="the sign of it all", layer="property")
def the_log_likelihood(nll):
    return torch.logsumexp(-nll, dim=1) - math.log(nll.shape[1])


@wrong("ex03-nll_without_label", says="not 10", layer="property")
def ten_labels_always(nll):
    return math.log(10) - torch.logsumexp(-nll, dim=1)


@wrong("ex03-nll_without_label", says="not of rows", layer="property")
def as_many_labels_as_images(nll):
    return math.log(len(nll)) - torch.logsumexp(-nll, dim=1)
