"""Known answers to exercise 06: samplers and guidance."""

import math
from itertools import pairwise

import torch
from known_answers import right, wrong


# 1 times
def even(S, count=None):
    return torch.linspace(1, 0, count or S + 1, dtype=torch.float64)


def moved(e, k):
    return k * e / (1 + (k - 1) * e)


@wrong("ex06-times", says="S + 1 times", layer="contract")
def one_time_too_few(T, S, k):
    return (T * moved(even(S, S), k)).round().long()


@wrong("ex06-times", says="begins at pure noise", layer="property")
def leading(T, S, k):
    e = even(S) - 1 / S
    return (T * moved(e.clamp(min=0), k)).round().long()


@wrong("ex06-times", says="ends at the picture", layer="property")
def never_at_the_picture(T, S, k):
    e = torch.linspace(1, 1 / (S + 1), S + 1, dtype=torch.float64)
    return (T * moved(e, k)).round().long()


@wrong("ex06-times", says="cuts off", layer="oracle")
def cut_off(T, S, k):
    return (T * moved(even(S), k)).long()


@wrong("ex06-times", says="towards noise", layer="oracle")
def towards_the_picture(T, S, k):
    return (T * moved(even(S), 1 / k)).round().long()


@wrong("ex06-times", says="k out", layer="oracle")
def not_moved(T, S, k):
    return (T * even(S)).round().long()


@wrong("ex06-times", says="begins at pure noise", layer="property")
def from_data_to_noise(T, S, k):
    return (T * moved(even(S), k)).round().long().flip(0)


@wrong("ex06-times", says="torch.int64", layer="contract")
def not_whole(T, S, k):
    return (T * moved(even(S), k)).round()


@right("ex06-times")
def by_a_list(T, S, k):
    out = []
    for i in range(S + 1):
        e = 1 - i / S
        out.append(math.floor(T * k * e / (1 + (k - 1) * e) + 0.5))
    return torch.tensor(out)


# 2 ddim_step
def ddim(x_0, eps, a_u, s_u, variance, z, kept=None):
    kept = s_u**2 - variance if kept is None else kept
    return a_u * x_0 + torch.as_tensor(kept).clamp(min=0).sqrt() * eps + variance**0.5 * z


def taken_apart(x_t, eps, t, u, alpha_bar, eta):
    a, s = alpha_bar.double().sqrt(), (1 - alpha_bar.double()).sqrt()
    x_0 = (x_t - s[t] * eps) / a[t]
    beta = s[t] ** 2 - (a[t] / a[u]) ** 2 * s[u] ** 2
    return x_0, a[u], s[u], eta**2 * s[u] ** 2 / s[t] ** 2 * beta


@wrong("ex06-ddim_step", says="takes the place of a part", layer="oracle")
def noise_on_top(x_t, eps, t, u, alpha_bar, eta, z):
    x_0, a, s, variance = taken_apart(x_t, eps, t, u, alpha_bar, eta)
    return ddim(x_0, eps, a, s, variance, z, kept=s**2)


@wrong("ex06-ddim_step", says="not σ² z", layer="oracle")
def variance_times_z(x_t, eps, t, u, alpha_bar, eta, z):
    x_0, a, s, variance = taken_apart(x_t, eps, t, u, alpha_bar, eta)
    return a * x_0 + (s**2 - variance).clamp(min=0).sqrt() * eps + variance * z


@wrong("ex06-ddim_step", says="η², not η", layer="oracle")
def eta_not_squared(x_t, eps, t, u, alpha_bar, eta, z):
    x_0, a, s, variance = taken_apart(x_t, eps, t, u, alpha_bar, eta)
    return ddim(x_0, eps, a, s, variance / eta if eta else variance, z)


@wrong("ex06-ddim_step", says="division by a_t is missing", layer="property")
def not_divided(x_t, eps, t, u, alpha_bar, eta, z):
    x_0, a, s, variance = taken_apart(x_t, eps, t, u, alpha_bar, eta)
    return ddim(x_0 * alpha_bar[t].sqrt(), eps, a, s, variance, z)


@wrong("ex06-ddim_step", says="new time u", layer="oracle")
def put_together_for_t(x_t, eps, t, u, alpha_bar, eta, z):
    x_0, a, s, variance = taken_apart(x_t, eps, t, u, alpha_bar, eta)
    if u:
        a, s = alpha_bar[t].sqrt(), (1 - alpha_bar[t]).sqrt()
    return ddim(x_0, eps, a, s, variance, z)


@wrong("ex06-ddim_step", says="step back", layer="oracle")
def variance_of_the_step_forwards(x_t, eps, t, u, alpha_bar, eta, z):
    x_0, a, s, _ = taken_apart(x_t, eps, t, u, alpha_bar, eta)
    beta = 1 - alpha_bar[t] / alpha_bar[u]
    return ddim(x_0, eps, a, s, eta**2 * beta if u else torch.tensor(0.0), z)


@wrong("ex06-ddim_step", says="not s_u²", layer="oracle")
def variance_for_the_deviation(x_t, eps, t, u, alpha_bar, eta, z):
    x_0, a, s, variance = taken_apart(x_t, eps, t, u, alpha_bar, eta)
    return a * x_0 + (s**2 - variance) * eps + variance.sqrt() * z


@right("ex06-ddim_step")
def in_double(x_t, eps, t, u, alpha_bar, eta, z):
    x_0, a, s, variance = taken_apart(x_t.double(), eps.double(), t, u, alpha_bar, eta)
    return ddim(x_0, eps.double(), a, s, variance, z.double())


@right("ex06-ddim_step")
def with_the_papers_sigma(x_t, eps, t, u, alpha_bar, eta, z):
    now, then = float(alpha_bar[t]), float(alpha_bar[u])
    sigma = eta * math.sqrt((1 - then) / (1 - now)) * math.sqrt(1 - now / then)
    direction = math.sqrt(max(1 - then - sigma**2, 0)) * eps
    return math.sqrt(then / now) * (x_t - math.sqrt(1 - now) * eps) + direction + sigma * z


# 2 ddim_step, second variant: the flow
def pieces(x_t, v, t, u, eta):
    beta = t**2 - ((1 - t) / (1 - u)) ** 2 * u**2
    return x_t - t * v, x_t + (1 - t) * v, eta**2 * (u / t) ** 2 * beta


@wrong("ex06-ddim_step", says="check the sign", layer="property", variant=2)
def velocity_the_other_way(x_t, v, t, u, eta, z):
    _, eps, variance = pieces(x_t, v, t, u, eta)
    return ddim(x_t + t * v, eps, 1 - u, u, variance, z)


@wrong("ex06-ddim_step", says="it is 1 − t, not t", layer="oracle", variant=2)
def noise_by_t(x_t, v, t, u, eta, z):
    x_0, _, variance = pieces(x_t, v, t, u, eta)
    return ddim(x_0, x_t + t * v, 1 - u, u, variance, z)


@wrong("ex06-ddim_step", says="it is t, not 1 − t", layer="property", variant=2)
def picture_by_one_minus_t(x_t, v, t, u, eta, z):
    _, eps, variance = pieces(x_t, v, t, u, eta)
    return ddim(x_t - (1 - t) * v, eps, 1 - u, u, variance, z)


@wrong("ex06-ddim_step", says="takes the place of a part", layer="oracle", variant=2)
def noise_on_top_of_the_flow(x_t, v, t, u, eta, z):
    x_0, eps, variance = pieces(x_t, v, t, u, eta)
    return ddim(x_0, eps, 1 - u, u, variance, z, kept=u**2)


@wrong("ex06-ddim_step", says="arrives shrunk", layer="oracle", variant=2)
def beta_without_the_ratio(x_t, v, t, u, eta, z):
    x_0, eps, _ = pieces(x_t, v, t, u, eta)
    return ddim(x_0, eps, 1 - u, u, eta**2 * (u / t) ** 2 * (t**2 - u**2), z)


@wrong("ex06-ddim_step", says="not s_u − σ", layer="oracle", variant=2)
def deviations_subtracted(x_t, v, t, u, eta, z):
    x_0, eps, variance = pieces(x_t, v, t, u, eta)
    return ddim(x_0, eps, 1 - u, u, variance, z, kept=(u - variance**0.5) ** 2)


@right("ex06-ddim_step", variant=2)
def from_eulers_step(x_t, v, t, u, eta, z):
    _, eps, variance = pieces(x_t.double(), v.double(), t, u, eta)
    kept = math.sqrt(max(u * u - variance, 0.0))
    return x_t + (u - t) * v + (kept - u) * eps + math.sqrt(variance) * z


# 3 walk: Heun
@wrong("ex06-walk", says="one call a step", layer="property")
def euler(velocity, x, times):
    for t, u in pairwise(times):
        x = x + (u - t) * velocity(x, t)
    return x


@wrong("ex06-walk", says="Euler's, one call", layer="property")
def heun_to_the_end(velocity, x, times):
    for t, u in pairwise(times):
        v = velocity(x, t)
        x = x + (u - t) * (v + velocity(x + (u - t) * v, u)) / 2
    return x


@wrong("ex06-walk", says="not from x_t", layer="oracle")
def second_look_from_the_start(velocity, x, times):
    for t, u in pairwise(times):
        v = velocity(x, t)
        if u > 0:
            v = (v + velocity(x, u)) / 2
        x = x + (u - t) * v
    return x


@wrong("ex06-walk", says="at the time u", layer="oracle")
def second_look_at_t(velocity, x, times):
    for t, u in pairwise(times):
        v = velocity(x, t)
        if u > 0:
            v = (v + velocity(x + (u - t) * v, t)) / 2
        x = x + (u - t) * v
    return x


@wrong("ex06-walk", says="sum, halved", layer="property")
def not_halved(velocity, x, times):
    for t, u in pairwise(times):
        v = velocity(x, t)
        if u > 0:
            v = v + velocity(x + (u - t) * v, u)
        x = x + (u - t) * v
    return x


@wrong("ex06-walk", says="negative", layer="property")
def away_from_the_data(velocity, x, times):
    for t, u in pairwise(times):
        v = velocity(x, t)
        if u > 0:
            v = (v + velocity(x + (t - u) * v, u)) / 2
        x = x + (t - u) * v
    return x


@wrong("ex06-walk", says="second alone", layer="oracle")
def the_second_velocity_alone(velocity, x, times):
    for t, u in pairwise(times):
        v = velocity(x, t)
        if u > 0:
            v = velocity(x + (u - t) * v, u)
        x = x + (u - t) * v
    return x


@wrong("ex06-walk", says="one number", layer="contract")
def a_time_for_each_row(velocity, x, times):
    return second_look_at_t(lambda x, t: velocity(x, t.expand(len(x))), x, times)


@right("ex06-walk")
def corrected_euler(velocity, x, times):
    x = x.double()
    for i in range(len(times) - 1):
        t, u = times[i], times[i + 1]
        first = velocity(x.float(), t).double()
        there = x + (u - t) * first
        if i < len(times) - 2:
            there = there + 0.5 * (u - t) * (velocity(there.float(), u).double() - first)
        x = there
    return x


# 3 walk, second variant: the midpoint
@wrong("ex06-walk", says="one call a step", layer="property", variant=2)
def euler_again(velocity, x, times):
    return euler(velocity, x, times)


@wrong("ex06-walk", says="half a step to look", layer="oracle", variant=2)
def whole_step_to_look(velocity, x, times):
    for t, u in pairwise(times):
        v = velocity(x + (u - t) * velocity(x, t), (t + u) / 2)
        x = x + (u - t) * v
    return x


@wrong("ex06-walk", says="not at t", layer="oracle", variant=2)
def middle_at_the_time_t(velocity, x, times):
    for t, u in pairwise(times):
        x = x + (u - t) * velocity(x + (u - t) / 2 * velocity(x, t), t)
    return x


@wrong("ex06-walk", says="not at u", layer="oracle", variant=2)
def middle_at_the_time_u(velocity, x, times):
    for t, u in pairwise(times):
        x = x + (u - t) * velocity(x + (u - t) / 2 * velocity(x, t), u)
    return x


@wrong("ex06-walk", says="middle alone", layer="oracle", variant=2)
def mean_of_both(velocity, x, times):
    for t, u in pairwise(times):
        v = velocity(x, t)
        x = x + (u - t) * (v + velocity(x + (u - t) / 2 * v, (t + u) / 2)) / 2
    return x


@wrong("ex06-walk", says="where you went to look", layer="property", variant=2)
def goes_on_from_the_middle(velocity, x, times):
    for t, u in pairwise(times):
        x = x + (u - t) / 2 * velocity(x, t)
        x = x + (u - t) * velocity(x, (t + u) / 2)
    return x


@right("ex06-walk", variant=2)
def by_index(velocity, x, times):
    for k in range(1, len(times)):
        h = times[k] - times[k - 1]
        look = velocity(x + h / 2 * velocity(x, times[k - 1]), times[k - 1] + h / 2)
        x = x + h * look
    return x


# 4 multistep
def lam(t):
    return math.log((1 - t) / t)


def to_u(x_t, D, t, u):
    return u / t * x_t + (1 - u / t) * D


@wrong("ex06-multistep", says="half of", layer="oracle")
def no_half(x_t, x_0, x_0_before, before, t, u):
    ratio = (lam(u) - lam(t)) / (lam(t) - lam(before))
    return to_u(x_t, x_0 + ratio * (x_0 - x_0_before), t, u)


@wrong("ex06-multistep", says="not in t", layer="oracle")
def straight_in_t(x_t, x_0, x_0_before, before, t, u):
    ratio = (u - t) / (t - before)
    return to_u(x_t, x_0 + ratio / 2 * (x_0 - x_0_before), t, u)


@wrong("ex06-multistep", says="other way round", layer="oracle")
def ratio_upside_down(x_t, x_0, x_0_before, before, t, u):
    ratio = (lam(t) - lam(before)) / (lam(u) - lam(t))
    return to_u(x_t, x_0 + ratio / 2 * (x_0 - x_0_before), t, u)


@wrong("ex06-multistep", says="check the sign", layer="oracle")
def backwards(x_t, x_0, x_0_before, before, t, u):
    ratio = (lam(u) - lam(t)) / (lam(t) - lam(before))
    return to_u(x_t, x_0 - ratio / 2 * (x_0 - x_0_before), t, u)


@wrong("ex06-multistep", says="yours are swapped", layer="property")
def shares_swapped(x_t, x_0, x_0_before, before, t, u):
    ratio = (lam(u) - lam(t)) / (lam(t) - lam(before))
    D = x_0 + ratio / 2 * (x_0 - x_0_before)
    return (1 - u / t) * x_t + u / t * D


@wrong("ex06-multistep", says="equal steps", layer="oracle")
def as_if_steps_were_equal(x_t, x_0, x_0_before, before, t, u):
    return to_u(x_t, 1.5 * x_0 - 0.5 * x_0_before, t, u)


@wrong("ex06-multistep", says="logarithm", layer="oracle")
def ratios_without_logarithm(x_t, x_0, x_0_before, before, t, u):
    b, now, then = ((1 - each) / each for each in (before, t, u))
    return to_u(x_t, x_0 + (then - now) / (now - b) / 2 * (x_0 - x_0_before), t, u)


@right("ex06-multistep")
def by_the_snr(x_t, x_0, x_0_before, before, t, u):
    # log SNR is 2 λ: the 2 cancels in the ratio
    snr = torch.tensor([((1 - each) / each) ** 2 for each in (before, t, u)]).double().log()
    r = (snr[1] - snr[0]) / (snr[2] - snr[1])
    D = (1 + 1 / (2 * r)) * x_0.double() - 1 / (2 * r) * x_0_before.double()
    return x_t + (1 - u / t) * (D - x_t)


# 5 guided
def answers(network, x_t, t, label):
    present = torch.ones(len(x_t), dtype=torch.bool)
    return network(x_t, t, label, present), network(x_t, t, label, ~present)


def between(t, low, high):
    return ((low <= t) & (t <= high))[:, None]


@wrong("ex06-guided", says="other convention", layer="property")
def as_the_paper_counts(network, x_t, t, label, w, low, high):
    f_c, f_0 = answers(network, x_t, t, label)
    return torch.where(between(t, low, high), (1 + w) * f_c - w * f_0, f_c)


@wrong("ex06-guided", says="are swapped", layer="property")
def answers_swapped(network, x_t, t, label, w, low, high):
    f_0, f_c = answers(network, x_t, t, label)
    return torch.where(between(t, low, high), f_0 + w * (f_c - f_0), f_0)


@wrong("ex06-guided", says="interval is left out", layer="oracle")
def everywhere(network, x_t, t, label, w, low, high):
    f_c, f_0 = answers(network, x_t, t, label)
    return f_0 + w * (f_c - f_0)


@wrong("ex06-guided", says="not inside", layer="oracle")
def outside_only(network, x_t, t, label, w, low, high):
    f_c, f_0 = answers(network, x_t, t, label)
    inside = between(t, low, high) & ((low, high) != (0, 1))
    return torch.where(inside, f_c, f_0 + w * (f_c - f_0))


@wrong("ex06-guided", says="plain sampling with the label", layer="oracle")
def no_label_outside(network, x_t, t, label, w, low, high):
    f_c, f_0 = answers(network, x_t, t, label)
    return torch.where(between(t, low, high), f_0 + w * (f_c - f_0), f_0)


@wrong("ex06-guided", says="left out low", layer="oracle")
def one_end_only(network, x_t, t, label, w, low, high):
    f_c, f_0 = answers(network, x_t, t, label)
    return torch.where((t <= high)[:, None], f_0 + w * (f_c - f_0), f_c)


@wrong("ex06-guided", says="its own t", layer="oracle")
def one_time_for_all(network, x_t, t, label, w, low, high):
    f_c, f_0 = answers(network, x_t, t, label)
    return f_0 + w * (f_c - f_0) if low <= t[0] <= high else f_c


@wrong("ex06-guided", says="one bool for each row", layer="contract")
def one_flag_for_all(network, x_t, t, label, w, low, high):
    f_c, f_0 = (network(x_t, t, label, torch.tensor([flag])) for flag in (True, False))
    return torch.where(between(t, low, high), f_0 + w * (f_c - f_0), f_c)


@right("ex06-guided")
def one_call_on_twice_the_rows(network, x_t, t, label, w, low, high):
    present = torch.arange(2 * len(x_t)) < len(x_t)
    both = network(x_t.repeat(2, 1), t.repeat(2), label.repeat(2, 1), present)
    weight = torch.where((t < low) | (t > high), 1.0, w)
    f_c, f_0 = both.chunk(2)
    return torch.lerp(f_0, f_c, weight.unsqueeze(1))


# 5 guided, second variant: as the paper counts
@wrong("ex06-guided", says="other convention", layer="property", variant=2)
def as_the_package_counts(network, x_t, t, label, w, low, high):
    f_c, f_0 = answers(network, x_t, t, label)
    return torch.where(between(t, low, high), f_0 + w * (f_c - f_0), f_c)


@wrong("ex06-guided", says="are swapped", layer="property", variant=2)
def the_papers_answers_swapped(network, x_t, t, label, w, low, high):
    f_c, f_0 = answers(network, x_t, t, label)
    return torch.where(between(t, low, high), (1 + w) * f_0 - w * f_c, f_c)


@wrong("ex06-guided", says="interval is left out", layer="oracle", variant=2)
def the_papers_everywhere(network, x_t, t, label, w, low, high):
    f_c, f_0 = answers(network, x_t, t, label)
    return (1 + w) * f_c - w * f_0


@wrong("ex06-guided", says="plain sampling with the label", layer="oracle", variant=2)
def the_papers_without_label_outside(network, x_t, t, label, w, low, high):
    f_c, f_0 = answers(network, x_t, t, label)
    return torch.where(between(t, low, high), (1 + w) * f_c - w * f_0, f_0)


@wrong("ex06-guided", says="left out t ≤ high", layer="oracle", variant=2)
def lower_end_only(network, x_t, t, label, w, low, high):
    f_c, f_0 = answers(network, x_t, t, label)
    return torch.where((low <= t)[:, None], (1 + w) * f_c - w * f_0, f_c)


@wrong("ex06-guided", says="is f_c, not 0", layer="oracle", variant=2)
def nothing_outside(network, x_t, t, label, w, low, high):
    f_c, f_0 = answers(network, x_t, t, label)
    return between(t, low, high) * ((1 + w) * f_c - w * f_0)


@right("ex06-guided", variant=2)
def row_by_row(network, x_t, t, label, w, low, high):
    f_c, f_0 = answers(network, x_t, t, label)
    rows = [
        c + w * (c - n) if low <= at <= high else c
        for c, n, at in zip(f_c, f_0, t.tolist(), strict=True)
    ]
    return torch.stack(rows)


# slips of a learner who met the exercise for the first time
@wrong("ex06-times", says="whole denominator in brackets", layer="property")
def brackets_forgotten(T, S, k):
    e = even(S)
    return (T * (k * e / 1 + (k - 1) * e)).round().long()


@wrong("ex06-ddim_step", says="x_0 has roots", layer="property")
def picture_without_roots(x_t, eps, t, u, alpha_bar, eta, z):
    now, then = alpha_bar[t], alpha_bar[u]
    x_0 = (x_t - (1 - now) * eps) / now
    variance = eta**2 * (1 - then) / (1 - now) * (1 - now / then)
    return then.sqrt() * x_0 + (1 - then - variance).sqrt() * eps + variance.sqrt() * z


@wrong("ex06-ddim_step", says="u need not be t − 1")
def to_the_neighbour(x_t, eps, t, u, alpha_bar, eta, z):
    now, then = alpha_bar[t], alpha_bar[t - 1]
    x_0 = (x_t - (1 - now).sqrt() * eps) / now.sqrt()
    variance = eta**2 * (1 - then) / (1 - now) * (1 - now / then)
    return then.sqrt() * x_0 + (1 - then - variance).sqrt() * eps + variance.sqrt() * z


@wrong("ex06-ddim_step", says="lies in [0, 1]", layer="property")
def shares_upside_down(x_t, eps, t, u, alpha_bar, eta, z):
    now, then = alpha_bar[t], alpha_bar[u]
    x_0 = (x_t - (1 - now).sqrt() * eps) / now.sqrt()
    variance = eta**2 * (1 - then) / (1 - now) * (1 - then / now)
    return then.sqrt() * x_0 + (1 - then - variance).sqrt() * eps + variance.sqrt() * z


@wrong("ex06-walk", says="x was moved twice", layer="property")
def moved_twice(velocity, x, times):
    for t, u in pairwise(times):
        v = velocity(x, t)
        x = x + (u - t) * v
        if u > 0:
            x = x + (u - t) * (v + velocity(x, u)) / 2
    return x


@wrong("ex06-walk", says="in a name", layer="property")
def first_look_again(velocity, x, times):
    for t, u in pairwise(times):
        if u > 0:
            x = x + (u - t) * (velocity(x, t) + velocity(x + (u - t) * velocity(x, t), u)) / 2
        else:
            x = x + (u - t) * velocity(x, t)
    return x


@wrong("ex06-walk", says="shape [4]", layer="contract")
def the_time_of_each_row(velocity, x, times):
    return second_look_at_t(lambda x, t: velocity(x, t.expand(len(x))), x, times)


@wrong("ex06-guided", says="a mask, not an if", layer="contract")
def by_an_if(network, x_t, t, label, w, low, high):
    f_c, f_0 = answers(network, x_t, t, label)
    return f_0 + w * (f_c - f_0) if low <= t and t <= high else f_c


@wrong("ex06-guided", says="make the mask a column", layer="contract")
def mask_as_a_row(network, x_t, t, label, w, low, high):
    f_c, f_0 = answers(network, x_t, t, label)
    return torch.where((low <= t) & (t <= high), f_0 + w * (f_c - f_0), f_c)


@wrong("ex06-guided", says="both ends belong to the interval", layer="oracle")
def without_the_ends(network, x_t, t, label, w, low, high):
    f_c, f_0 = answers(network, x_t, t, label)
    return torch.where(((low < t) & (t < high))[:, None], f_0 + w * (f_c - f_0), f_c)


@wrong("ex06-guided", says="hide the label by `present`", layer="property")
def a_label_of_zeros(network, x_t, t, label, w, low, high):
    present = torch.ones(len(x_t), dtype=torch.bool)
    f_c, f_0 = (network(x_t, t, given, present) for given in (label, 0 * label))
    return torch.where(between(t, low, high), f_0 + w * (f_c - f_0), f_c)
