"""Known answers to exercise 13."""

import math

import torch
import torch.nn.functional as F
from known_answers import equivalent, right, wrong

# --- ema


@right("ex13-ema")
def by_lerp(average, weights, step, decay):
    return torch.lerp(weights, average, min(decay, 1 - 9 / (10 + step)))


@wrong("ex13-ema", says="share of the old average", layer="oracle")
def shares_exchanged(average, weights, step, decay):
    d = min(decay, (1 + step) / (10 + step))
    return (1 - d) * average + d * weights


@wrong("ex13-ema", says="ramp is missing", layer="oracle")
def without_the_ramp(average, weights, step, decay):
    return decay * average + (1 - decay) * weights


@wrong("ex13-ema", says="not the larger", layer="oracle")
def the_larger_one(average, weights, step, decay):
    d = max(decay, (1 + step) / (10 + step))
    return d * average + (1 - d) * weights


@wrong("ex13-ema", says="the ramp alone", layer="oracle")
def ramp_to_the_end(average, weights, step, decay):
    d = (1 + step) / (10 + step)
    return d * average + (1 - d) * weights


@wrong("ex13-ema", says="add up to 1")
def new_weights_whole(average, weights, step, decay):
    return min(decay, (1 + step) / (10 + step)) * average + weights


@wrong("ex13-ema", says="as it is counted", layer="oracle")
def counted_from_zero(average, weights, step, decay):
    d = min(decay, step / (9 + step))
    return d * average + (1 - d) * weights


@right("ex13-ema", variant=2)
def by_the_logarithm(average, weights, seen, batch, halflife):
    d = math.exp(-math.log(2) * batch / min(halflife, seen / 20))
    return weights + d * (average - weights)


def _averaged(average, weights, d):
    return d * average + (1 - d) * weights


@wrong("ex13-ema", says="not e", layer="oracle", variant=2)
def a_power_of_e(average, weights, seen, batch, halflife):
    return _averaged(average, weights, math.exp(-batch / min(halflife, 0.05 * seen)))


@wrong("ex13-ema", says="ramp is missing", layer="oracle", variant=2)
def no_ramp(average, weights, seen, batch, halflife):
    return _averaged(average, weights, 0.5 ** (batch / halflife))


@wrong("ex13-ema", says="a twentieth", layer="oracle", variant=2)
def all_that_was_seen(average, weights, seen, batch, halflife):
    return _averaged(average, weights, 0.5 ** (batch / min(halflife, seen)))


@wrong("ex13-ema", says="share of the old average", layer="oracle", variant=2)
def new_weights_keep_d(average, weights, seen, batch, halflife):
    return _averaged(weights, average, 0.5 ** (batch / min(halflife, 0.05 * seen)))


@wrong("ex13-ema", says="batch / h", layer="oracle", variant=2)
def fraction_turned_round(average, weights, seen, batch, halflife):
    return _averaged(average, weights, 0.5 ** (min(halflife, 0.05 * seen) / batch))


# --- retrieved

for line in (
    "pictures = pictures * pictures.norm(dim=1, keepdim=True)",
    "pictures = pictures / pictures.norm(keepdim=True)",
):
    equivalent(
        "ex13-retrieved",
        line,
        because="a picture's length is the same to all captions that it meets",
    )


def _cosines(pictures, captions):
    return F.normalize(pictures.double()) @ F.normalize(captions.double()).T


def _ahead(table, others):
    return table.gather(1, others) - table.diagonal()[:, None]


@right("ex13-retrieved")
def picture_by_picture(pictures, captions, others):
    total = 0.0
    for i, row in enumerate(others.tolist()):
        x = pictures[i].double()
        own, *rest = (float(F.cosine_similarity(x, captions[j].double(), dim=0)) for j in [i, *row])
        if max(rest) <= own + 1e-6:
            total += 1 / (1 + sum(abs(each - own) <= 1e-6 for each in rest))
    return total / len(pictures)


@wrong("ex13-retrieved", says="no whole hit")
def tie_as_a_hit(pictures, captions, others):
    return (_ahead(_cosines(pictures, captions), others) <= 1e-6).all(1).double().mean().item()


@wrong("ex13-retrieved", says="no miss")
def tie_as_a_miss(pictures, captions, others):
    return (_ahead(_cosines(pictures, captions), others) < -1e-6).all(1).double().mean().item()


@wrong("ex13-retrieved", says="not by two")
def tie_as_a_half(pictures, captions, others):
    ahead = _ahead(_cosines(pictures, captions), others)
    hit, tie = (ahead <= 1e-6).all(1), (ahead.abs() <= 1e-6).any(1)
    return (hit * (1 - 0.5 * tie.double())).mean().item()


def _shared(ahead):
    hit, ties = (ahead <= 1e-6).all(1), (ahead.abs() <= 1e-6).sum(1)
    return (hit / (1 + ties)).mean().item()


@wrong("ex13-retrieved", says="longer captions win")
def inner_products(pictures, captions, others):
    return _shared(_ahead(pictures @ captions.T, others))


@wrong("ex13-retrieved", says="distances of vectors", layer="oracle")
def distances(pictures, captions, others):
    return _shared(_ahead(-torch.cdist(pictures.double(), captions.double()), others))


@wrong("ex13-retrieved", says="none is left out")
def one_candidate_too_few(pictures, captions, others):
    return _shared(_ahead(_cosines(pictures, captions), others[:, :-1]))


@wrong("ex13-retrieved", says="none is left out")
def shared_without_its_own(pictures, captions, others):
    ahead = _ahead(_cosines(pictures, captions), others)
    hit, ties = (ahead <= 1e-6).all(1), (ahead.abs() <= 1e-6).sum(1)
    return (hit / ties.clamp(min=1)).mean().item()


@wrong("ex13-retrieved", says="whose picture")
def captions_compared(pictures, captions, others):
    return _shared(_ahead(_cosines(pictures, captions).T, others))


# --- wilson


def _wilson(p, n, z, a=0.5, b=0.25, whole=True):
    half = z * math.sqrt(p * (1 - p) / n + b * z**2 / n**2)
    scale = 1 + z**2 / n if whole else 1
    middle = p + a * z**2 / n
    return (middle - half) / scale, (middle + half) / scale


@right("ex13-wilson")
def by_the_quadratic(hits, n):
    z = 1.959964
    a, b, c = n + z**2, -(2 * hits + z**2), hits**2 / n
    root = math.sqrt(max(b**2 - 4 * a * c, 0))
    return (-b - root) / (2 * a), (-b + root) / (2 * a)


@wrong("ex13-wilson", says="exactly 0")
def the_usual_formula(hits, n):
    return _wilson(hits / n, n, 1.96, 0, 0, False)


@wrong("ex13-wilson", says="leaves 5 %", layer="oracle")
def ninety_per_cent(hits, n):
    return _wilson(hits / n, n, 1.645)


@wrong("ex13-wilson", says="one standard error", layer="oracle")
def one_standard_error(hits, n):
    return _wilson(hits / n, n, 1.0)


@wrong("ex13-wilson", says="divided by 1 + z²/n")
def not_divided(hits, n):
    return _wilson(hits / n, n, 1.96, whole=False)


@wrong("ex13-wilson", says="has z²/2n added")
def middle_left_at_p(hits, n):
    return _wilson(hits / n, n, 1.96, a=0)


@wrong("ex13-wilson", says="not z²/2n²", layer="oracle")
def half_in_place_of_a_quarter(hits, n):
    return _wilson(hits / n, n, 1.96, b=0.5)


def _agresti(hits, n, z=1.96, trials=None, below=None, cut=True):
    trials = n + z**2 if trials is None else trials
    p = (hits + (trials - n) / 2) / trials
    half = z * math.sqrt(p * (1 - p) / (below or trials))
    return (max(0.0, p - half), min(1.0, p + half)) if cut else (p - half, p + half)


@right("ex13-wilson", variant=2)
def with_tensors(hits, n):
    z2 = torch.tensor(1.959964).double() ** 2
    p = (hits + z2 / 2) / (n + z2)
    half = (z2 * p * (1 - p) / (n + z2)).sqrt()
    low, high = torch.stack([p - half, p + half]).clamp(0, 1)
    return low.item(), high.item()


@wrong("ex13-wilson", says="exactly 0", variant=2)
def nothing_added(hits, n):
    return _agresti(hits, n, trials=n)


@wrong("ex13-wilson", says="cut at 0", layer="oracle", variant=2)
def not_cut(hits, n):
    return _agresti(hits, n, cut=False)


@wrong("ex13-wilson", says="not n.", layer="oracle", variant=2)
def n_below_the_root(hits, n):
    return _agresti(hits, n, below=n)


@wrong("ex13-wilson", says="not z: 3.84", layer="oracle", variant=2)
def z_trials(hits, n):
    return _agresti(hits, n, trials=n + 1.96)


@wrong("ex13-wilson", says="leaves 5 %", layer="oracle", variant=2)
def narrower(hits, n):
    return _agresti(hits, n, z=1.644854)


# --- near_share


def _nearest(pictures, train):
    return torch.cdist(pictures, train).amin(1)


@right("ex13-near_share")
def with_lists(samples, unseen, train, q):
    def distance(x):
        return float((x - train).double().square().sum(1).min())  # squared: the same order

    usual = sorted(distance(x) for x in unseen)
    threshold = usual[math.ceil(q * len(usual)) - 1]
    return sum(distance(x) <= threshold for x in samples) / len(samples)


@right("ex13-near_share")
def by_kthvalue(samples, unseen, train, q):
    threshold = _nearest(unseen, train).kthvalue(math.ceil(q * len(unseen))).values
    return float((_nearest(samples, train) <= threshold).float().mean())


@wrong("ex13-near_share", says="not a number between two", layer="oracle")
def interpolated(samples, unseen, train, q):
    threshold = _nearest(unseen, train).quantile(q)
    return (_nearest(samples, train) <= threshold).double().mean().item()


@wrong("ex13-near_share", says="stands at place", layer="oracle")
def counted_from_zero_too(samples, unseen, train, q):
    usual = _nearest(unseen, train).sort().values
    return (_nearest(samples, train) <= usual[math.ceil(q * len(usual))]).double().mean().item()


@wrong("ex13-near_share", says="not from the samples")
def own_threshold(samples, unseen, train, q):
    near = _nearest(samples, train)
    return (near <= near.sort().values[math.ceil(q * len(near)) - 1]).double().mean().item()


@wrong("ex13-near_share", says="not the mean over all")
def mean_distance(samples, unseen, train, q):
    usual = torch.cdist(unseen, train).mean(1).sort().values
    near = torch.cdist(samples, train).mean(1)
    return (near <= usual[math.ceil(q * len(usual)) - 1]).double().mean().item()


@wrong("ex13-near_share", says="at or below")
def above_the_threshold(samples, unseen, train, q):
    threshold = _nearest(unseen, train).kthvalue(math.ceil(q * len(unseen))).values
    return float((_nearest(samples, train) > threshold).float().mean())


@wrong("ex13-near_share", says="not the q largest", layer="oracle")
def largest_distances(samples, unseen, train, q):
    usual = _nearest(unseen, train).sort(descending=True).values
    return (_nearest(samples, train) <= usual[math.ceil(q * len(usual)) - 1]).double().mean().item()


# --- hours


@right("ex13-hours")
def second_by_second(images, epochs, rate, gpus, efficiency, loader):
    by_gpus = images / (rate * efficiency * gpus)
    return epochs * max(by_gpus, images / loader) / 60 / 60


@wrong("ex13-hours", says="not the faster", layer="oracle")
def the_faster_decides(images, epochs, rate, gpus, efficiency, loader):
    return images * epochs / max(gpus * rate * efficiency, loader) / 3600


@wrong("ex13-hours", says="may have to wait", layer="oracle")
def loader_ignored(images, epochs, rate, gpus, efficiency, loader):
    return images * epochs / (gpus * rate * efficiency) / 3600


@wrong("ex13-hours", says="efficiency is missing", layer="oracle")
def perfect_scaling(images, epochs, rate, gpus, efficiency, loader):
    return images * epochs / min(gpus * rate, loader) / 3600


@wrong("ex13-hours", says="loader loses nothing", layer="oracle")
def efficiency_of_all(images, epochs, rate, gpus, efficiency, loader):
    return images * epochs / (min(gpus * rate, loader) * efficiency) / 3600


@wrong("ex13-hours", says="that of all GPUs", layer="oracle")
def a_loader_for_each(images, epochs, rate, gpus, efficiency, loader):
    return images * epochs / min(gpus * rate * efficiency, gpus * loader) / 3600


@wrong("ex13-hours", says="3,600 seconds", layer="oracle")
def in_minutes(images, epochs, rate, gpus, efficiency, loader):
    return images * epochs / min(gpus * rate * efficiency, loader) / 60


@wrong("ex13-hours", says="not once for each", layer="oracle")
def efficiency_to_a_power(images, epochs, rate, gpus, efficiency, loader):
    return images * epochs / min(gpus * rate * efficiency**gpus, loader) / 3600
