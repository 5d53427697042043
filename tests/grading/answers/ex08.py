"""Known answers to exercise 08."""

import math

import torch
import torch.nn.functional as F
from known_answers import equivalent, right, wrong

# --- contrastive_loss


@right("ex08-contrastive_loss")
def by_logsumexp(images, texts, scale):
    cosines = torch.cosine_similarity(images[:, None], texts[None], dim=2)
    logits = scale * cosines
    own = logits.diagonal()
    return -(2 * own - logits.logsumexp(0) - logits.logsumexp(1)).mean() / 2


@right("ex08-contrastive_loss")
def in_float64(images, texts, scale):
    images, texts = F.normalize(images.double()), F.normalize(texts.double())
    p = scale * texts @ images.T
    both = p.log_softmax(dim=0).diagonal() + p.log_softmax(dim=1).diagonal()
    return (-both.sum() / (2 * len(images))).float()


@wrong("ex08-contrastive_loss", says="any length")
def without_norms(images, texts, scale):
    logits = scale * images @ texts.T
    own = torch.arange(len(images))
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2


@wrong("ex08-contrastive_loss", says="one way")
def finds_captions_only(images, texts, scale):
    logits = scale * F.normalize(images) @ F.normalize(texts).T
    return F.cross_entropy(logits, torch.arange(len(images)))


@wrong("ex08-contrastive_loss", says="averaged")
def both_ways_added(images, texts, scale):
    logits = scale * F.normalize(images) @ F.normalize(texts).T
    own = torch.arange(len(images))
    return F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)


@wrong("ex08-contrastive_loss", says="whole matrix")
def softmax_over_the_matrix(images, texts, scale):
    logits = scale * F.normalize(images) @ F.normalize(texts).T
    return -(logits.diagonal() - logits.flatten().logsumexp(0)).mean()


@wrong("ex08-contrastive_loss", says="take the mean")
def summed_over_the_batch(images, texts, scale):
    logits = scale * F.normalize(images) @ F.normalize(texts).T
    own = torch.arange(len(images))
    each = [F.cross_entropy(x, own, reduction="sum") for x in (logits, logits.T)]
    return sum(each) / 2


@wrong("ex08-contrastive_loss", says="scale is missing", layer="oracle")
def without_the_scale(images, texts, scale):
    logits = F.normalize(images) @ F.normalize(texts).T + 0 * scale
    own = torch.arange(len(images))
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2


@wrong("ex08-contrastive_loss", says="divided by the scale", layer="oracle")
def divided_by_the_scale(images, texts, scale):
    logits = F.normalize(images) @ F.normalize(texts).T / scale
    own = torch.arange(len(images))
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2


@wrong("ex08-contrastive_loss", says="no exp", layer="oracle")
def exponent_taken_twice(images, texts, scale):
    logits = scale.exp() * F.normalize(images) @ F.normalize(texts).T
    own = torch.arange(len(images))
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2


@wrong("ex08-contrastive_loss", says="row i belongs to column i", layer="oracle")
def pairs_shifted(images, texts, scale):
    logits = scale * F.normalize(images) @ F.normalize(texts).T
    own = torch.arange(len(images)).roll(1)
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2


@wrong("ex08-contrastive_loss", says=".item()")
def scale_taken_out_of_the_graph(images, texts, scale):
    logits = scale.item() * F.normalize(images) @ F.normalize(texts).T
    own = torch.arange(len(images))
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2


@right("ex08-contrastive_loss", variant=2)
def pair_by_pair(images, texts, scale, bias):
    images, texts = F.normalize(images), F.normalize(texts)
    total = 0
    for i, x in enumerate(images):
        for j, y in enumerate(texts):
            logit = scale * (x @ y) + bias
            total = total + F.softplus(-logit if i == j else logit)
    return total / len(images)


@wrong("ex08-contrastive_loss", says="any length", variant=2)
def sigmoid_without_norms(images, texts, scale, bias):
    z = 2 * torch.eye(len(images)) - 1
    return -F.logsigmoid(z * (scale * images @ texts.T + bias)).sum() / len(images)


@wrong("ex08-contrastive_loss", says="divide by B", variant=2)
def mean_over_all_pairs(images, texts, scale, bias):
    z = 2 * torch.eye(len(images)) - 1
    logits = scale * F.normalize(images) @ F.normalize(texts).T + bias
    return -F.logsigmoid(z * logits).mean()


@wrong("ex08-contrastive_loss", says="own pairs only", variant=2)
def own_pairs_only(images, texts, scale, bias):
    logits = scale * F.normalize(images) @ F.normalize(texts).T + bias
    return -F.logsigmoid(logits.diagonal()).mean()


@wrong("ex08-contrastive_loss", says="bias is missing", layer="oracle", variant=2)
def without_the_bias(images, texts, scale, bias):
    z = 2 * torch.eye(len(images)) - 1
    logits = scale * F.normalize(images) @ F.normalize(texts).T + 0 * bias
    return -F.logsigmoid(z * logits).sum() / len(images)


@wrong("ex08-contrastive_loss", says="z multiplies the bias", layer="oracle", variant=2)
def bias_outside(images, texts, scale, bias):
    z = 2 * torch.eye(len(images)) - 1
    cosines = F.normalize(images) @ F.normalize(texts).T
    return -F.logsigmoid(z * scale * cosines + bias).sum() / len(images)


@wrong("ex08-contrastive_loss", says="not 0", layer="oracle", variant=2)
def zero_for_others(images, texts, scale, bias):
    logits = scale * F.normalize(images) @ F.normalize(texts).T + bias
    return -F.logsigmoid(torch.eye(len(images)) * logits).sum() / len(images)


# --- pooled


@right("ex08-pooled")
def row_by_row(states, ids, projection):
    rows = [h[int(i.argmax())] @ projection for h, i in zip(states, ids, strict=True)]
    return torch.stack([row / row.norm() for row in rows])


@right("ex08-pooled")
def by_a_mask(states, ids, projection):
    at_end = (ids == ids.max()).float()  # all sentences have the same end mark
    return F.normalize((at_end[:, :, None] * states).sum(1) @ projection, dim=1)


@wrong("ex08-pooled", says="last place")
def last_place(states, ids, projection):
    return F.normalize(states[:, -1] @ projection, dim=1)


@wrong("ex08-pooled", says="mean of all places")
def mean_of_all_places(states, ids, projection):
    return F.normalize(states.mean(dim=1) @ projection, dim=1)


@wrong("ex08-pooled", says="smallest id")
def smallest_id(states, ids, projection):
    return F.normalize(states[torch.arange(len(ids)), ids.argmin(1)] @ projection, dim=1)


@wrong("ex08-pooled", says="length is not yet 1")
def length_left_alone(states, ids, projection):
    return states[torch.arange(len(ids)), ids.argmax(1)] @ projection


@wrong("ex08-pooled", says="first the projection")
def length_before_projection(states, ids, projection):
    return F.normalize(states[torch.arange(len(ids)), ids.argmax(1)], dim=1) @ projection


@wrong("ex08-pooled", says="projection is missing")
def without_the_projection(states, ids, projection):
    return F.normalize(states[torch.arange(len(ids)), ids.argmax(1)], dim=1)


@wrong("ex08-pooled", says="last word", layer="oracle")
def last_word(states, ids, projection):
    return F.normalize(states[torch.arange(len(ids)), ids.argmax(1) - 1] @ projection, dim=1)


@wrong("ex08-pooled", says="start mark", layer="oracle")
def start_mark(states, ids, projection):
    return F.normalize(states[:, 0] @ projection, dim=1)


@wrong("ex08-pooled", says="mean of all tokens", layer="oracle")
def mean_of_tokens(states, ids, projection):
    there = (ids > 0).float()[:, :, None]
    return F.normalize((states * there).sum(1) / there.sum(1) @ projection, dim=1)


@right("ex08-pooled", variant=2)
def one_sentence_at_a_time(states, mask, projection):
    return torch.stack([h[m].mean(0) @ projection for h, m in zip(states, mask, strict=True)])


@right("ex08-pooled", variant=2)
def as_one_product(states, mask, projection):
    weights = mask.float() / mask.float().sum(1, keepdim=True)
    return torch.einsum("bt,btw,wd->bd", weights, states, projection)


@wrong("ex08-pooled", says="padding counts too", variant=2)
def padding_counted(states, mask, projection):
    return states.mean(1) @ projection


@wrong("ex08-pooled", says="True at tokens", variant=2)
def mask_turned_round(states, mask, projection):
    out = (~mask)[:, :, None]
    return (states * out).sum(1) / out.sum(1) @ projection


@wrong("ex08-pooled", says="divided by all places", layer="oracle", variant=2)
def divided_by_all_places(states, mask, projection):
    return (states * mask[:, :, None]).mean(1) @ projection


@wrong("ex08-pooled", says="a sum", layer="oracle", variant=2)
def summed_tokens(states, mask, projection):
    return (states * mask[:, :, None]).sum(1) @ projection


@wrong("ex08-pooled", says="its own length", layer="oracle", variant=2)
def one_count_for_all(states, mask, projection):
    return (states * mask[:, :, None]).sum(1) / mask.sum() @ projection


@wrong("ex08-pooled", says="leave its length", layer="oracle", variant=2)
def length_made_one(states, mask, projection):
    sums = (states * mask[:, :, None]).sum(1)
    return F.normalize(sums @ projection, dim=1)


# --- zero_shot

equivalent(
    "ex08-zero_shot", "classes = texts.sum(dim=1)", because="its length is made 1 afterwards"
)


@right("ex08-zero_shot")
def class_by_class(images, texts, scale):
    rows = []
    for wordings in texts:
        mean = F.normalize(wordings, dim=1).mean(0)
        rows.append(F.cosine_similarity(images, mean[None]))
    return F.softmax(scale * torch.stack(rows, dim=1), dim=1)


@right("ex08-zero_shot")
def softmax_by_hand(images, texts, scale):
    classes = F.normalize(F.normalize(texts.double(), dim=2).sum(1), dim=1)
    odds = (scale * F.normalize(images.double(), dim=1) @ classes.T).exp()
    return odds / odds.sum(1, keepdim=True)


@wrong("ex08-zero_shot", says="over the classes, not over the pictures")
def softmax_over_pictures(images, texts, scale):
    classes = F.normalize(F.normalize(texts, dim=2).mean(1), dim=1)
    return (scale * F.normalize(images, dim=1) @ classes.T).softmax(0)


@wrong("ex08-zero_shot", says="softmax over the classes is missing")
def cosines_only(images, texts, scale):
    classes = F.normalize(F.normalize(texts, dim=2).mean(1), dim=1)
    return F.normalize(images, dim=1) @ classes.T


@wrong("ex08-zero_shot", says="pictures' vectors come in any length")
def pictures_as_they_are(images, texts, scale):
    classes = F.normalize(F.normalize(texts, dim=2).mean(1), dim=1)
    return (scale * images @ classes.T).softmax(1)


@wrong("ex08-zero_shot", says="before the mean")
def mean_of_any_length(images, texts, scale):
    classes = F.normalize(texts.mean(1), dim=1)
    return (scale * F.normalize(images, dim=1) @ classes.T).softmax(1)


@wrong("ex08-zero_shot", says="to length 1 again", layer="oracle")
def mean_of_cosines(images, texts, scale):
    classes = F.normalize(texts, dim=2).mean(1)
    return (scale * F.normalize(images, dim=1) @ classes.T).softmax(1)


@wrong("ex08-zero_shot", says="scale is missing", layer="oracle")
def no_scale(images, texts, scale):
    classes = F.normalize(F.normalize(texts, dim=2).mean(1), dim=1)
    return (F.normalize(images, dim=1) @ classes.T).softmax(1)


@wrong("ex08-zero_shot", says="best wording", layer="oracle")
def best_wording(images, texts, scale):
    cosines = torch.einsum("nd,kpd->nkp", F.normalize(images, dim=1), F.normalize(texts, dim=2))
    return (scale * cosines.amax(2)).softmax(1)


@wrong("ex08-zero_shot", says="average its wordings")
def every_wording_a_class(images, texts, scale):
    texts = F.normalize(texts.flatten(0, 1), dim=1)
    return (scale * F.normalize(images, dim=1) @ texts.T).softmax(1)


# --- retrieval


@right("ex08-retrieval")
def by_counting_better_ones(similarity, right, k):
    best = similarity.masked_fill(~right, -math.inf).amax(1, keepdim=True)
    return float(((similarity > best).sum(1) < k).float().mean())


@wrong("ex08-retrieval", says="from 0 to 1")
def hits_counted(similarity, right, k):
    nearest = similarity.topk(k, dim=1).indices
    return float(right.gather(1, nearest).any(1).sum())


@wrong("ex08-retrieval", says="within the row")
def down_the_columns(similarity, right, k):
    nearest = similarity.topk(k, dim=0).indices
    return right.gather(0, nearest).any(0).double().mean().item()


@wrong("ex08-retrieval", says="the nearest alone", layer="oracle")
def nearest_only(similarity, right, k):
    return right.gather(1, similarity.argmax(1, keepdim=True)).double().mean().item()


@wrong("ex08-retrieval", says="least similar", layer="oracle")
def least_similar(similarity, right, k):
    nearest = similarity.topk(k, dim=1, largest=False).indices
    return right.gather(1, nearest).any(1).double().mean().item()


@wrong("ex08-retrieval", says="precision", layer="oracle")
def precision(similarity, right, k):
    return right.gather(1, similarity.topk(k, dim=1).indices).double().mean().item()


@wrong("ex08-retrieval", says="one candidate too few", layer="oracle")
def one_too_few(similarity, right, k):
    order = similarity.argsort(dim=1, descending=True)[:, : k - 1]
    return right.gather(1, order).any(1).double().mean().item()


@wrong("ex08-retrieval", says="all k must be right", layer="oracle")
def all_of_them(similarity, right, k):
    return right.gather(1, similarity.topk(k).indices).all(1).double().mean().item()


@wrong("ex08-retrieval", says="first right candidate")
def one_right_answer_only(similarity, right, k):
    own = right.int().argmax(1, keepdim=True)
    return (similarity.topk(k).indices == own).any(1).double().mean().item()


@right("ex08-retrieval", variant=2)
def rank_by_counting(similarity, right):
    ranks = []
    for row, good in zip(similarity.tolist(), right.tolist(), strict=True):
        best = max(x for x, is_right in zip(row, good, strict=True) if is_right)
        ranks.append(1 + sum(x > best for x in row))
    return sum(1 / rank for rank in ranks) / len(ranks)


@wrong("ex08-retrieval", says="counted from 1", variant=2)
def ranks_from_zero(similarity, right):
    order = similarity.argsort(dim=1, descending=True)
    return (1 / right.gather(1, order).int().argmax(1)).mean().item()


@wrong("ex08-retrieval", says="within the row", variant=2)
def ranked_down_the_columns(similarity, right):
    order = similarity.argsort(dim=0, descending=True)
    return (1 / (1 + right.gather(0, order).int().argmax(0))).mean().item()


@wrong("ex08-retrieval", says="ranked the wrong way", layer="oracle", variant=2)
def ascending(similarity, right):
    order = similarity.argsort(dim=1)
    return (1 / (1 + right.gather(1, order).int().argmax(1))).mean().item()


@wrong("ex08-retrieval", says="1 / the mean rank", layer="oracle", variant=2)
def one_over_the_mean(similarity, right):
    order = similarity.argsort(dim=1, descending=True)
    return 1 / (1 + right.gather(1, order).int().argmax(1)).double().mean().item()


@wrong("ex08-retrieval", says="not the most similar", variant=2)
def first_right_in_the_row(similarity, right):
    one = similarity.gather(1, right.int().argmax(1, keepdim=True))
    return (1 / (1 + (similarity > one).sum(1))).mean().item()


@wrong("ex08-retrieval", says="not a mean over them", variant=2)
def mean_over_right_ones(similarity, right):
    rank = 1 + similarity.argsort(dim=1, descending=True).argsort(dim=1)
    return (1 / ((rank * right).sum(1) / right.sum(1))).mean().item()


# --- forced_choice


@right("ex08-forced_choice")
def hits_and_half_the_ties(images, true, false):
    a, b = F.cosine_similarity(images, true), F.cosine_similarity(images, false)
    return float((a > b).sum() + 0.5 * (a == b).sum()) / len(images)


@wrong("ex08-forced_choice", says="whole one")
def tie_as_a_hit(images, true, false):
    a, b = F.cosine_similarity(images, true), F.cosine_similarity(images, false)
    return (a >= b).double().mean().item()


@wrong("ex08-forced_choice", says="as a miss")
def tie_as_a_miss(images, true, false):
    a, b = F.cosine_similarity(images, true), F.cosine_similarity(images, false)
    return (a > b).double().mean().item()


@wrong("ex08-forced_choice", says="only the order counts")
def mean_margin(images, true, false):
    a, b = F.cosine_similarity(images, true), F.cosine_similarity(images, false)
    return (0.5 + (a - b).clamp(min=-0.4)).mean().item()


@wrong("ex08-forced_choice", says="longer captions win", layer="oracle")
def inner_products(images, true, false):
    a, b = (images * true).sum(1), (images * false).sum(1)
    return ((1 + (a - b).sign()) / 2).mean().item()


@wrong("ex08-forced_choice", says="how often the false caption", layer="oracle")
def the_other_way_round(images, true, false):
    a, b = F.cosine_similarity(images, true), F.cosine_similarity(images, false)
    return ((1 + (b - a).sign()) / 2).mean().item()


@wrong("ex08-forced_choice", says="any length: use cosines", layer="oracle")
def distances(images, true, false):
    a, b = (images - true).norm(dim=1), (images - false).norm(dim=1)
    return ((1 + (b - a).sign()) / 2).mean().item()


@wrong("ex08-forced_choice", says="every picture with every caption", layer="oracle")
def all_against_all(images, true, false):
    images, true, false = (F.normalize(x, dim=1) for x in (images, true, false))
    margin = images @ true.T - images @ false.T
    return ((1 + margin.sign()) / 2).mean().item()


# --- slips of a learner who met the exercise for the first time ---------------------------------


@wrong("ex08-contrastive_loss", says="two equal values", layer="property")
def lengths_forgotten(images, texts, scale):
    return without_norms(images, texts, scale)


@wrong("ex08-pooled", says="one place for each row", layer="contract")
def every_place_for_every_row(states, ids, projection):
    return F.normalize(states[:, ids.argmax(1)] @ projection, dim=-1)


@wrong("ex08-pooled", says="within each row")
def one_place_for_all(states, ids, projection):
    return F.normalize(states[torch.arange(len(ids)), ids.argmax()] @ projection, dim=1)


@wrong("ex08-zero_shot", says="dim=2", layer="property")
def wordings_over_dimension_1(images, texts, scale):
    classes = F.normalize(F.normalize(texts).mean(1), dim=1)
    return (scale * F.normalize(images, dim=1) @ classes.T).softmax(1)


@wrong("ex08-retrieval", says="look up with gather", layer="oracle")
def any_of_all(similarity, right, k):
    return right[:, similarity.topk(k).indices].any().double().mean().item()


@wrong("ex08-forced_choice", says="map them to 1, ½ and 0", layer="property")
def mean_of_signs(images, true, false):
    a, b = F.cosine_similarity(images, true), F.cosine_similarity(images, false)
    return (a - b).sign().double().mean().item()
