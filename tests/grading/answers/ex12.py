"""Known answers to exercise 12."""

import math

import torch
import torch.nn.functional as F
from known_answers import right, wrong

# --- accumulated


@right("ex12-accumulated")
def by_sums(gradient, batch, micro):
    total = 0
    for start in range(0, len(batch), micro):
        piece = batch[start : start + micro]
        total = total + gradient(piece).double() * len(piece)
    return (total / len(batch)).float()


@wrong("ex12-accumulated", says="the last one is smaller and counts less", layer="oracle")
def mean_of_the_pieces(gradient, batch, micro):
    return torch.stack([gradient(piece) for piece in batch.split(micro)]).mean(0)


@wrong("ex12-accumulated", says="sum of means")
def sum_of_the_pieces(gradient, batch, micro):
    return torch.stack([gradient(piece) for piece in batch.split(micro)]).sum(0)


@wrong("ex12-accumulated", says="as if it were whole")
def every_piece_as_a_whole_one(gradient, batch, micro):
    return sum(micro / len(batch) * gradient(piece) for piece in batch.split(micro))


@wrong("ex12-accumulated", says="smaller piece is left out")
def last_piece_dropped(gradient, batch, micro):
    pieces = batch[: len(batch) // micro * micro].split(micro)
    return sum((len(p) / len(batch) * gradient(p) for p in pieces), torch.zeros(4))


@wrong("ex12-accumulated", says="the last piece alone", layer="oracle")
def overwritten(gradient, batch, micro):
    for piece in batch.split(micro):
        found = gradient(piece)
    return found


@wrong("ex12-accumulated", says="do not fit")
def all_at_once(gradient, batch, micro):
    return gradient(batch)


# --- micro_batch


def _fit(rows, peaks, budget):
    each = (peaks[1] - peaks[0]) / (rows[1] - rows[0])
    return math.floor((budget - (peaks[0] - rows[0] * each)) / each)


def _divisor(fit, batch):
    return next((n for n in range(min(fit, batch), 0, -1) if batch % n == 0), 0)


def _plan(fit, batch):
    micro = _divisor(fit, batch)
    return (micro, batch // micro) if micro else (0, 0)


def _evenly(fit, batch):
    if fit < 1:
        return 0, 0
    pieces = math.ceil(batch / fit)
    return math.ceil(batch / pieces), pieces


@right("ex12-micro_batch")
def by_counting_up(rows, peaks, budget, batch):
    each = (peaks[1] - peaks[0]) // (rows[1] - rows[0])
    best = 0
    for n in range(1, batch + 1):
        if batch % n == 0 and peaks[0] + (n - rows[0]) * each <= budget:
            best = n
    return (best, batch // best) if best else (0, 0)


@wrong("ex12-micro_batch", says="fixed part does not grow", layer="oracle")
def no_fixed_part(rows, peaks, budget, batch):
    return _plan(budget * rows[1] // peaks[1], batch)


@wrong("ex12-micro_batch", says="its rows are in it", layer="oracle")
def first_probe_as_fixed_part(rows, peaks, budget, batch):
    each = (peaks[1] - peaks[0]) / (rows[1] - rows[0])
    return _plan(int((budget - peaks[0]) // each), batch)


@wrong("ex12-micro_batch", says="exactly is enough", layer="oracle")
def strictly_below_the_budget(rows, peaks, budget, batch):
    return _plan(_fit(rows, peaks, budget - 0.001), batch)


@wrong("ex12-micro_batch", says="comes first", layer="oracle")
def exchanged(rows, peaks, budget, batch):
    return _plan(_fit(rows, peaks, budget), batch)[::-1]


@wrong("ex12-micro_batch", says="must divide", layer="oracle")
def as_many_as_fit(rows, peaks, budget, batch):
    micro = max(min(_fit(rows, peaks, budget), batch), 0)
    return (micro, math.ceil(batch / micro)) if micro else (0, 0)


@wrong("ex12-micro_batch", says="power of two", layer="oracle")
def power_of_two(rows, peaks, budget, batch):
    fit = min(_fit(rows, peaks, budget), batch)
    micro = 2 ** int(math.log2(fit)) if fit >= 1 else 0
    return (micro, batch // micro) if micro else (0, 0)


@wrong("ex12-micro_batch", says="two whole numbers")
def not_whole(rows, peaks, budget, batch):
    micro, pieces = _plan(_fit(rows, peaks, budget), batch)
    return float(micro), pieces


@right("ex12-micro_batch", variant=2)
def by_trying_pieces(rows, peaks, budget, batch):
    fit = _fit(rows, peaks, budget)
    for pieces in range(1, batch + 1):
        share = math.ceil(batch / pieces)
        if share <= fit:
            return share, pieces
    return 0, 0


@wrong("ex12-micro_batch", says="not full ones and a small rest", layer="oracle", variant=2)
def full_pieces(rows, peaks, budget, batch):
    micro = max(min(_fit(rows, peaks, budget), batch), 0)
    return (micro, math.ceil(batch / micro)) if micro else (0, 0)


@wrong("ex12-micro_batch", says="need not divide", layer="oracle", variant=2)
def divisors_only(rows, peaks, budget, batch):
    return _plan(_fit(rows, peaks, budget), batch)


@wrong("ex12-micro_batch", says="round up", layer="oracle", variant=2)
def pieces_rounded_down(rows, peaks, budget, batch):
    fit = _fit(rows, peaks, budget)
    pieces = max(1, batch // fit) if fit >= 1 else 0
    return (math.ceil(batch / pieces), pieces) if pieces else (0, 0)


@wrong("ex12-micro_batch", says="fixed part does not grow", layer="oracle", variant=2)
def proportional(rows, peaks, budget, batch):
    return _evenly(budget * rows[1] // peaks[1], batch)


@wrong("ex12-micro_batch", says="both numbers are 0", layer="oracle", variant=2)
def one_row_always_fits(rows, peaks, budget, batch):
    return _evenly(max(_fit(rows, peaks, budget), 1), batch)


# --- clip_score


@right("ex12-clip_score")
def by_hand_in_float64(images, texts):
    images, texts = images.double(), texts.double()
    cosines = (images * texts).sum(1) / images.norm(dim=1) / texts.norm(dim=1)
    c = torch.where(cosines > 0, cosines, 0)
    variance = (c - c.mean()).square().sum() / (len(c) - 1)
    return float(100 * c.mean()), float(100 * (variance / len(c)).sqrt())


def _score(values, w=100, n=None, **how):
    error = values.std(**how) / (n or len(values)) ** 0.5
    return w * values.mean().item(), w * error.item()


@wrong("ex12-clip_score", says="divide by both norms")
def not_normalised(images, texts):
    return _score((images * texts).sum(1).clamp(min=0))


@wrong("ex12-clip_score", says="weight w is 100")
def as_the_paper_prints_it(images, texts):
    return _score(F.cosine_similarity(images, texts).clamp(min=0), w=1)


@wrong("ex12-clip_score", says="counts as 0")
def not_clipped(images, texts):
    return _score(F.cosine_similarity(images, texts))


@wrong("ex12-clip_score", says="then the mean is taken", layer="oracle")
def mean_clipped(images, texts):
    cosines = F.cosine_similarity(images, texts)
    mean = 100 * cosines.mean().clamp(min=0).item()
    return mean, _score(cosines.clamp(min=0))[1]


@wrong("ex12-clip_score", says="divided by √N", layer="oracle")
def deviation_of_a_pair(images, texts):
    return _score(F.cosine_similarity(images, texts).clamp(min=0), n=1)


@wrong("ex12-clip_score", says="divides by N − 1", layer="oracle")
def divided_by_n(images, texts):
    return _score(F.cosine_similarity(images, texts).clamp(min=0), correction=0)


@wrong("ex12-clip_score", says="the weight, too", layer="oracle")
def error_without_the_weight(images, texts):
    mean, error = _score(F.cosine_similarity(images, texts).clamp(min=0))
    return mean, error / 100


@right("ex12-clip_score", variant=2)
def by_inner_products(images, texts):
    c = (F.normalize(images) * F.normalize(texts)).sum(1).clamp(min=0)
    return (2.5 * c.mean()).item(), (2.5 * c.std() / math.sqrt(len(c))).item()


@wrong("ex12-clip_score", says="is 2.5 in this text", variant=2)
def times_a_hundred(images, texts):
    return _score(F.cosine_similarity(images, texts).clamp(min=0))


@wrong("ex12-clip_score", says="divide by both norms", variant=2)
def inner_products(images, texts):
    return _score((images * texts).sum(1).clamp(min=0), w=2.5)


@wrong("ex12-clip_score", says="divided by √N", layer="oracle", variant=2)
def deviation_alone(images, texts):
    return _score(F.cosine_similarity(images, texts).clamp(min=0), w=2.5, n=1)


@wrong("ex12-clip_score", says="not N", layer="oracle", variant=2)
def divided_by_all_of_n(images, texts):
    c = F.cosine_similarity(images, texts).clamp(min=0)
    return _score(c, w=2.5, n=len(c) ** 2)


@wrong("ex12-clip_score", says="not every picture with every caption", variant=2)
def all_against_all(images, texts):
    every = F.normalize(images) @ F.normalize(texts).T
    c = F.cosine_similarity(images, texts).clamp(min=0)
    own = bool((c > 0.999).all() or (c == 0).all())
    return _score(c if own else every.clamp(min=0).flatten(), w=2.5)


# --- chosen_epoch


@right("ex12-chosen_epoch")
def in_a_loop(scores):
    rows = scores.double().tolist()
    means = [sum(row) / len(row) for row in rows]
    best = min(range(len(rows)), key=lambda e: means[e])
    spread = sum((x - means[best]) ** 2 for x in rows[best]) / (len(rows[best]) - 1)
    bound = means[best] + math.sqrt(spread / len(rows[best]))
    return next(e for e, mean in enumerate(means) if mean <= bound)


def _first(scores, margin):
    means = scores.mean(1)
    return int((means <= means.min() + margin).int().argmax())


def _deviation(scores, **how):
    return scores[scores.mean(1).argmin()].std(**how)


@wrong("ex12-chosen_epoch", says="that is the best mean", layer="oracle")
def the_best_mean(scores):
    return int(scores.mean(1).argmin())


@wrong("ex12-chosen_epoch", says="divide the deviation by √S", layer="oracle")
def within_a_deviation(scores):
    return _first(scores, _deviation(scores))


@wrong("ex12-chosen_epoch", says="each epoch's own", layer="oracle")
def own_margins(scores):
    return _first(scores, scores.std(1) / scores.shape[1] ** 0.5)


@wrong("ex12-chosen_epoch", says="not the last", layer="oracle")
def the_last_one(scores):
    margin = _deviation(scores) / scores.shape[1] ** 0.5
    return len(scores) - 1 - _first(scores.flip(0), margin)


@wrong("ex12-chosen_epoch", says="luck", layer="oracle")
def the_best_run(scores):
    return int(scores.amin(1).argmin())


@wrong("ex12-chosen_epoch", says="no fixed number")
def within_a_tenth(scores):
    return _first(scores, 0.3)


@wrong("ex12-chosen_epoch", says="less or more", layer="oracle")
def largest_is_best(scores):
    margin = scores[scores.mean(1).argmax()].std() / scores.shape[1] ** 0.5
    return _first(-scores, margin)


@right("ex12-chosen_epoch", variant=2)
def by_the_other_form(scores):
    return in_a_loop(-scores)


@wrong("ex12-chosen_epoch", says="less or more", layer="oracle", variant=2)
def smallest_is_best(scores):
    return in_a_loop(scores)


@wrong("ex12-chosen_epoch", says="that is the best mean", layer="oracle", variant=2)
def highest_mean(scores):
    return int(scores.mean(1).argmax())


@wrong("ex12-chosen_epoch", says="divide the deviation by √S", layer="oracle", variant=2)
def within_the_deviation(scores):
    return _first(-scores, _deviation(-scores))


@wrong("ex12-chosen_epoch", says="not of all scores", layer="oracle", variant=2)
def deviation_of_all(scores):
    return _first(-scores, scores.std() / scores.shape[1] ** 0.5)


@wrong("ex12-chosen_epoch", says="a whole number", variant=2)
def as_a_tensor(scores):
    return torch.tensor(in_a_loop(-scores))
