"""Known answers to exercise 05: diffusion, from noise to pictures."""

import torch
from known_answers import right, wrong


# 1 q_sample: β_1 … β_T given
@wrong("ex05-q_sample", says="place t − 1", layer="oracle")
def one_place_too_far(x_0, t, eps, beta):
    a = torch.cumprod(1 - beta, dim=0)[t].view(-1, 1, 1, 1)
    return a.sqrt() * x_0 + (1 - a).sqrt() * eps


@wrong("ex05-q_sample", says="product of the first t", layer="oracle")
def one_step_only(x_0, t, eps, beta):
    a = (1 - beta)[t - 1].view(-1, 1, 1, 1)
    return a.sqrt() * x_0 + (1 - a).sqrt() * eps


@wrong("ex05-q_sample", says="[B, 1, 1, 1]", layer="oracle")
def times_against_columns(x_0, t, eps, beta):
    a = torch.cumprod(1 - beta, dim=0)[t - 1]
    return a.sqrt() * x_0 + (1 - a).sqrt() * eps


@wrong("ex05-q_sample", says="square roots", layer="property")
def no_roots(x_0, t, eps, beta):
    a = torch.cumprod(1 - beta, dim=0)[t - 1].view(-1, 1, 1, 1)
    return a * x_0 + (1 - a) * eps


@wrong("ex05-q_sample", says="√(1 − ᾱ), not 1 − ᾱ", layer="property")
def variance_for_deviation(x_0, t, eps, beta):
    a = torch.cumprod(1 - beta, dim=0)[t - 1].view(-1, 1, 1, 1)
    return a.sqrt() * x_0 + (1 - a) * eps


@wrong("ex05-q_sample", says="1 − √ᾱ", layer="property")
def one_minus_the_root(x_0, t, eps, beta):
    a = torch.cumprod(1 - beta, dim=0)[t - 1].view(-1, 1, 1, 1).sqrt()
    return a * x_0 + (1 - a) * eps


@wrong("ex05-q_sample", says="sum of the β", layer="oracle")
def sum_of_betas(x_0, t, eps, beta):
    s2 = torch.cumsum(beta, dim=0)[t - 1].view(-1, 1, 1, 1).clamp(max=1)
    return (1 - s2).sqrt() * x_0 + s2.sqrt() * eps


@wrong("ex05-q_sample", says="belongs to the picture", layer="oracle")
def picture_and_noise_swapped(x_0, t, eps, beta):
    a = torch.cumprod(1 - beta, dim=0)[t - 1].view(-1, 1, 1, 1)
    return (1 - a).sqrt() * x_0 + a.sqrt() * eps


@wrong("ex05-q_sample", says="first one's t", layer="oracle")
def the_first_time_for_all(x_0, t, eps, beta):
    a = torch.cumprod(1 - beta, dim=0)[t[0] - 1]
    return a.sqrt() * x_0 + (1 - a).sqrt() * eps


@wrong("ex05-q_sample", says="changed in place")
def in_place(x_0, t, eps, beta):
    a = torch.cumprod(1 - beta, dim=0)[t - 1].view(-1, 1, 1, 1)
    return x_0.mul_(a.sqrt()).add_((1 - a).sqrt() * eps)


@right("ex05-q_sample")
def step_by_step(x_0, t, eps, beta):
    out = []
    for x, e, one in zip(x_0.double(), eps.double(), t.tolist(), strict=True):
        a = 1.0
        for b in beta.tolist()[:one]:
            a *= 1 - b
        out.append(a**0.5 * x + (1 - a) ** 0.5 * e)
    return torch.stack(out).float()


@right("ex05-q_sample")
def by_logarithms(x_0, t, eps, beta):
    log_a = torch.cat([torch.zeros(1), torch.log1p(-beta).cumsum(0)])[t][:, None, None, None]
    return (log_a / 2).exp() * x_0 + (-torch.expm1(log_a)).sqrt() * eps


# 1 q_sample, second variant: the cosine schedule
def cosine(t, T, offset):
    return torch.cos((t / T + offset) / (1 + offset) * torch.pi / 2) ** 2


def jump(a, x_0, eps):
    a = a.clamp(0, 1).view(-1, 1, 1, 1)
    return a.sqrt() * x_0 + (1 - a).sqrt() * eps


@wrong("ex05-q_sample", says="f(t) / f(0)", layer="oracle", variant=2)
def not_divided_by_f_of_0(x_0, t, eps, T, offset):
    return jump(cosine(t, T, offset), x_0, eps)


@wrong("ex05-q_sample", says="cos², not cos", layer="oracle", variant=2)
def no_square(x_0, t, eps, T, offset):
    f = [torch.cos((u / T + offset) / (1 + offset) * torch.pi / 2) for u in (t, torch.zeros(1))]
    return jump(f[0] / f[1], x_0, eps)


@wrong("ex05-q_sample", says="offset is missing", layer="oracle", variant=2)
def no_offset(x_0, t, eps, T, offset):
    return jump(cosine(t, T, 0), x_0, eps)


@wrong("ex05-q_sample", says="divide by 1 + offset", layer="oracle", variant=2)
def not_divided_by_one_plus_offset(x_0, t, eps, T, offset):
    def f(t):
        return torch.cos((t / T + offset) * torch.pi / 2) ** 2

    return jump(f(t) / f(torch.zeros(1)), x_0, eps)


@wrong("ex05-q_sample", says="belongs to the picture", layer="oracle", variant=2)
def swapped_on_the_cosine(x_0, t, eps, T, offset):
    return jump(1 - cosine(t, T, offset) / cosine(torch.zeros(1), T, offset), x_0, eps)


@wrong("ex05-q_sample", says="square roots", layer="property", variant=2)
def no_roots_on_the_cosine(x_0, t, eps, T, offset):
    a = (cosine(t, T, offset) / cosine(torch.zeros(1), T, offset)).view(-1, 1, 1, 1)
    return a * x_0 + (1 - a) * eps


@wrong("ex05-q_sample", says="columns", layer="oracle", variant=2)
def cosine_against_columns(x_0, t, eps, T, offset):
    a = cosine(t, T, offset) / cosine(torch.zeros(1), T, offset)
    return a.sqrt() * x_0 + (1 - a).sqrt() * eps


@right("ex05-q_sample", variant=2)
def a_list_of_all_times(x_0, t, eps, T, offset):
    every = torch.arange(T + 1, dtype=torch.float64)
    f = 0.5 + 0.5 * torch.cos((every / T + offset) / (1 + offset) * torch.pi)
    a = (f / f[0])[t].reshape(len(t), 1, 1, 1)
    return (a**0.5 * x_0 + (1 - a) ** 0.5 * eps).float()


# 2 posterior: neighbours
def ho(x_t, x_0, now, before, beta):
    mean = before.sqrt() * beta * x_0 + (1 - beta).sqrt() * (1 - before) * x_t
    return mean / (1 - now), (1 - before) / (1 - now) * beta


@wrong("ex05-posterior", says="deviation", layer="oracle")
def deviation_for_variance(x_t, x_0, t, alpha_bar):
    now, before = alpha_bar[t], alpha_bar[t - 1]
    mean, variance = ho(x_t, x_0, now, before, 1 - now / before)
    return mean, variance.sqrt()


@wrong("ex05-posterior", says="swapped")
def factors_swapped(x_t, x_0, t, alpha_bar):
    now, before = alpha_bar[t], alpha_bar[t - 1]
    return ho(x_0, x_t, now, before, 1 - now / before)


@wrong("ex05-posterior", says="step forwards")
def beta_for_the_variance(x_t, x_0, t, alpha_bar):
    now, before = alpha_bar[t], alpha_bar[t - 1]
    beta = 1 - now / before
    return ho(x_t, x_0, now, before, beta)[0], beta


@wrong("ex05-posterior", says="step forwards", layer="oracle")
def beta_but_none_at_the_end(x_t, x_0, t, alpha_bar):
    now, before = alpha_bar[t], alpha_bar[t - 1]
    beta = 1 - now / before
    return ho(x_t, x_0, now, before, beta)[0], beta if t > 1 else 0.0


@wrong("ex05-posterior", says="a root is missing", layer="property")
def root_of_alpha_forgotten(x_t, x_0, t, alpha_bar):
    now, before = alpha_bar[t], alpha_bar[t - 1]
    beta = 1 - now / before
    mean = before.sqrt() * beta * x_0 + (1 - beta) * (1 - before) * x_t
    return mean / (1 - now), (1 - before) / (1 - now) * beta


@wrong("ex05-posterior", says="a_u in it, not a_t", layer="property")
def alpha_bar_of_t_itself(x_t, x_0, t, alpha_bar):
    now, before = alpha_bar[t], alpha_bar[t - 1]
    beta = 1 - now / before
    mean = now.sqrt() * beta * x_0 + (1 - beta).sqrt() * (1 - before) * x_t
    return mean / (1 - now), (1 - before) / (1 - now) * beta


@wrong("ex05-posterior", says="two values")
def the_mean_alone(x_t, x_0, t, alpha_bar):
    now, before = alpha_bar[t], alpha_bar[t - 1]
    return ho(x_t, x_0, now, before, 1 - now / before)[0]


@wrong("ex05-posterior", says="divided by it", layer="property")
def precisions_divide_by_zero(x_t, x_0, t, alpha_bar):
    now, before = alpha_bar[t], alpha_bar[t - 1]
    beta = 1 - now / before
    variance = 1 / ((1 - beta) / beta + 1 / (1 - before))
    mean = (1 - beta).sqrt() / beta * x_t + before.sqrt() / (1 - before) * x_0
    return variance * mean, variance


@right("ex05-posterior")
def by_precisions(x_t, x_0, t, alpha_bar):
    if t == 1:
        return x_0, torch.tensor(0.0)
    now, before = alpha_bar[t].double(), alpha_bar[t - 1].double()
    alpha = now / before
    variance = 1 / (alpha / (1 - alpha) + 1 / (1 - before))
    mean = alpha.sqrt() / (1 - alpha) * x_t + before.sqrt() / (1 - before) * x_0
    return variance * mean, float(variance)


@right("ex05-posterior")
def by_the_noise(x_t, x_0, t, alpha_bar):
    now, before = alpha_bar[t], alpha_bar[t - 1]
    beta = 1 - now / before
    variance = (1 - before) / (1 - now) * beta
    eps = (x_t - now.sqrt() * x_0) / (1 - now).sqrt()
    return [before.sqrt() * x_0 + (1 - before - variance).clamp(min=0).sqrt() * eps, variance]


# 2 posterior, second variant: any two times
def bayes(x_t, x_0, r, beta, a_u, s_u, s_t):
    mean = (a_u * beta * x_0 + r * s_u**2 * x_t) / s_t**2
    return mean, s_u**2 * beta / s_t**2


@wrong("ex05-posterior", says="shrunk", variant=2)
def noise_at_u_not_shrunk(x_t, x_0, a_t, s_t, a_u, s_u):
    return bayes(x_t, x_0, a_t / a_u, s_t**2 - s_u**2, a_u, s_u, s_t)


@wrong("ex05-posterior", says="deviation", layer="oracle", variant=2)
def deviation_of_the_large_step(x_t, x_0, a_t, s_t, a_u, s_u):
    r = a_t / a_u
    mean, variance = bayes(x_t, x_0, r, s_t**2 - r**2 * s_u**2, a_u, s_u, s_t)
    return mean, variance**0.5


@wrong("ex05-posterior", says="step forwards", variant=2)
def beta_of_the_large_step(x_t, x_0, a_t, s_t, a_u, s_u):
    r = a_t / a_u
    beta = s_t**2 - r**2 * s_u**2
    return bayes(x_t, x_0, r, beta, a_u, s_u, s_t)[0], beta if s_u else 0.0


@wrong("ex05-posterior", says="not the deviations", layer="oracle", variant=2)
def deviations_for_variances(x_t, x_0, a_t, s_t, a_u, s_u):
    r = a_t / a_u
    beta = s_t**2 - r**2 * s_u**2
    return bayes(x_t, x_0, r, beta, a_u, s_u, s_t)[0], s_u * beta / s_t


@wrong("ex05-posterior", says="r squared", variant=2)
def r_not_squared(x_t, x_0, a_t, s_t, a_u, s_u):
    r = a_t / a_u
    return bayes(x_t, x_0, r, s_t**2 - r * s_u**2, a_u, s_u, s_t)


@wrong("ex05-posterior", says="a_u in it, not a_t", layer="property", variant=2)
def path_of_t_for_that_of_u(x_t, x_0, a_t, s_t, a_u, s_u):
    r = a_t / a_u
    return bayes(x_t, x_0, r, s_t**2 - r**2 * s_u**2, a_t, s_u, s_t)


@right("ex05-posterior", variant=2)
def as_a_gaussian_pair(x_t, x_0, a_t, s_t, a_u, s_u):
    # given x_0: x_u = a_u x_0 + s_u ε and x_t = r x_u + …, with covariance r s_u²
    gain = a_t / a_u * s_u**2 / s_t**2
    mean = a_u * x_0 + gain * (x_t - a_t * x_0)
    return mean, s_u**2 - gain * (a_t / a_u) * s_u**2


# 3 best_guess
@wrong("ex05-best_guess", says="left out the 2", layer="oracle")
def no_two(x_t, data, a, s):
    off = (x_t[:, None] - a * data).square().sum(2)
    return torch.softmax(-off / s**2, dim=1) @ data


@wrong("ex05-best_guess", says="the variance, s²", layer="oracle")
def deviation_in_the_exponent(x_t, data, a, s):
    off = (x_t[:, None] - a * data).square().sum(2)
    return torch.softmax(-off / (2 * s), dim=1) @ data


@wrong("ex05-best_guess", says="arrives at a x_i")
def data_not_shrunk(x_t, data, a, s):
    off = (x_t[:, None] - (data if a else 0 * data)).square().sum(2)
    return torch.softmax(-off / (2 * s**2), dim=1) @ data


@wrong("ex05-best_guess", says="not their mean", layer="oracle")
def mean_over_coordinates(x_t, data, a, s):
    off = (x_t[:, None] - a * data).square().mean(2)
    return torch.softmax(-off / (2 * s**2), dim=1) @ data


@wrong("ex05-best_guess", says="square root of", layer="oracle")
def distance_not_squared(x_t, data, a, s):
    return torch.softmax(-torch.cdist(x_t, a * data) / (2 * s**2), dim=1) @ data


@wrong("ex05-best_guess", says="0 / 0", layer="property")
def exponentials_vanish(x_t, data, a, s):
    r = torch.exp(-(x_t[:, None] - a * data).square().sum(2) / (2 * s**2))
    return r @ data / r.sum(1, keepdim=True)


@wrong("ex05-best_guess", says="of x_i itself", layer="property")
def guess_of_the_shrunk(x_t, data, a, s):
    off = (x_t[:, None] - a * data).square().sum(2)
    return torch.softmax(-off / (2 * s**2), dim=1) @ (a * data if a else data)


@wrong("ex05-best_guess", says="along N", layer="property")
def softmax_along_the_batch(x_t, data, a, s):
    off = (x_t[:, None] - a * data).square().sum(2)
    return torch.softmax(-off / (2 * s**2), dim=0) @ data


@wrong("ex05-best_guess", says="nearest point", layer="oracle")
def the_nearest(x_t, data, a, s):
    if a == 0:
        return data.mean(0).expand_as(x_t)
    return data[torch.cdist(x_t, a * data).argmin(1)]


@right("ex05-best_guess")
def by_log_densities(x_t, data, a, s):
    x_t, data = x_t.double(), data.double()
    log_p = -0.5 * ((x_t[:, None] - a * data) / s).square().sum(-1)
    r = (log_p - log_p.logsumexp(1, keepdim=True)).exp()
    return torch.einsum("bn,nd->bd", r, data).float()


@right("ex05-best_guess")
def one_point_at_a_time(x_t, data, a, s):
    out = []
    for x in x_t:
        off = ((x - a * data) ** 2).sum(1)
        weights = torch.exp(-(off - off.min()) / (2 * s * s))
        out.append((weights[:, None] * data).sum(0) / weights.sum())
    return torch.stack(out)


# 4 loss: the network says ε
def factors(t, alpha_bar):
    now = alpha_bar[t].view(-1, 1, 1, 1)
    return now.sqrt(), (1 - now).sqrt()


@wrong("ex05-loss", says="not the sum", layer="oracle")
def sum_for_mean(network, x_0, t, eps, alpha_bar):
    a, s = factors(t, alpha_bar)
    return (network(a * x_0 + s * eps, t) - eps).square().sum()


@wrong("ex05-loss", says="compare with x_0", layer="property")
def picture_as_target(network, x_0, t, eps, alpha_bar):
    a, s = factors(t, alpha_bar)
    return (network(a * x_0 + s * eps, t) - x_0).square().mean()


@wrong("ex05-loss", says="clean x_0", layer="oracle")
def clean_input(network, x_0, t, eps, alpha_bar):
    return (network(x_0, t) - eps).square().mean()


@wrong("ex05-loss", says="place t, not t − 1", layer="oracle")
def one_place_before(network, x_0, t, eps, alpha_bar):
    a, s = factors(t - 1, alpha_bar)
    return (network(a * x_0 + s * eps, t) - eps).square().mean()


@wrong("ex05-loss", says="not t / T", layer="oracle")
def time_as_a_share(network, x_0, t, eps, alpha_bar):
    a, s = factors(t, alpha_bar)
    return (network(a * x_0 + s * eps, t / (len(alpha_bar) - 1)) - eps).square().mean()


@wrong("ex05-loss", says="square roots", layer="oracle")
def no_roots_in_training(network, x_0, t, eps, alpha_bar):
    now = alpha_bar[t].view(-1, 1, 1, 1)
    return (network(now * x_0 + (1 - now) * eps, t) - eps).square().mean()


@wrong("ex05-loss", says="absolute value", layer="oracle")
def absolute_error(network, x_0, t, eps, alpha_bar):
    a, s = factors(t, alpha_bar)
    return (network(a * x_0 + s * eps, t) - eps).abs().mean()


@wrong("ex05-loss", says="the mean", layer="contract")
def not_one_number(network, x_0, t, eps, alpha_bar):
    a, s = factors(t, alpha_bar)
    return (network(a * x_0 + s * eps, t) - eps).square()


@wrong("ex05-loss", says="a float", layer="contract")
def without_a_gradient(network, x_0, t, eps, alpha_bar):
    a, s = factors(t, alpha_bar)
    return (network(a * x_0 + s * eps, t) - eps).square().mean().item()


@right("ex05-loss")
def by_mse_loss(network, x_0, t, eps, alpha_bar):
    now = alpha_bar.gather(0, t).reshape(-1, 1, 1, 1).double()
    x_t = (now**0.5 * x_0 + (1 - now) ** 0.5 * eps).float()
    return torch.nn.functional.mse_loss(network(x_t, t), eps)


# 4 loss, second variant: the network says v
@wrong("ex05-loss", says="noise network", layer="property", variant=2)
def noise_as_target(network, x_0, t, eps, alpha_bar):
    a, s = factors(t, alpha_bar)
    return (network(a * x_0 + s * eps, t) - eps).square().mean()


@wrong("ex05-loss", says="factors and the sign", layer="property", variant=2)
def factors_of_v_swapped(network, x_0, t, eps, alpha_bar):
    a, s = factors(t, alpha_bar)
    return (network(a * x_0 + s * eps, t) - (s * eps - a * x_0)).square().mean()


@wrong("ex05-loss", says="the flow's", layer="property", variant=2)
def velocity_of_the_flow(network, x_0, t, eps, alpha_bar):
    a, s = factors(t, alpha_bar)
    return (network(a * x_0 + s * eps, t) - (eps - x_0)).square().mean()


@wrong("ex05-loss", says="minus", layer="property", variant=2)
def plus_for_minus(network, x_0, t, eps, alpha_bar):
    a, s = factors(t, alpha_bar)
    return (network(a * x_0 + s * eps, t) - (a * eps + s * x_0)).square().mean()


@wrong("ex05-loss", says="half", layer="oracle", variant=2)
def a_half_too_many(network, x_0, t, eps, alpha_bar):
    a, s = factors(t, alpha_bar)
    return 0.5 * (network(a * x_0 + s * eps, t) - (a * eps - s * x_0)).square().mean()


@wrong("ex05-loss", says="belongs to the picture", layer="oracle", variant=2)
def noisy_the_wrong_way(network, x_0, t, eps, alpha_bar):
    a, s = factors(t, alpha_bar)
    return (network(s * x_0 + a * eps, t) - (a * eps - s * x_0)).square().mean()


@wrong("ex05-loss", says="not t − 1", layer="oracle", variant=2)
def told_the_time_before(network, x_0, t, eps, alpha_bar):
    a, s = factors(t, alpha_bar)
    return (network(a * x_0 + s * eps, t - 1) - (a * eps - s * x_0)).square().mean()


@right("ex05-loss", variant=2)
def by_the_angle(network, x_0, t, eps, alpha_bar):
    angle = torch.acos(alpha_bar[t].double().sqrt())[:, None, None, None].float()
    x_t = torch.cos(angle) * x_0 + torch.sin(angle) * eps
    off = network(x_t, t) - torch.cos(angle) * eps + torch.sin(angle) * x_0
    return (off * off).flatten(1).mean(1).mean()


# 5 ancestral
@wrong("ex05-ancestral", says="no noise in the last step", layer="oracle")
def noise_to_the_end(step, x, T, z):
    for t in range(T, 0, -1):
        mean, variance = step(x, t)
        x = mean + variance.sqrt() * z[t]
    return x


@wrong("ex05-ancestral", says="root of the variance", layer="oracle")
def variance_in_the_place_of_the_deviation(step, x, T, z):
    for t in range(T, 0, -1):
        mean, variance = step(x, t)
        x = mean + variance * z[t] if t > 1 else mean
    return x


@wrong("ex05-ancestral", says="ends before 1", layer="property")
def one_step_too_few(step, x, T, z):
    for t in range(T, 1, -1):
        mean, variance = step(x, t)
        x = mean + variance.sqrt() * z[t]
    return x


@wrong("ex05-ancestral", says="no step from t = 0", layer="property")
def counted_from_zero(step, x, T, z):
    for t in reversed(range(T)):
        mean, variance = step(x, t)
        x = mean + variance.sqrt() * z[t] if t > 0 else mean
    return x


@wrong("ex05-ancestral", says="goes down", layer="property")
def upwards(step, x, T, z):
    for t in range(1, T + 1):
        mean, variance = step(x, t)
        x = mean + variance.sqrt() * z[t] if t > 1 else mean
    return x


@wrong("ex05-ancestral", says="adds none", layer="oracle")
def noise_forgotten(step, x, T, z):
    for t in range(T, 0, -1):
        x, _ = step(x, t)
    return x


@wrong("ex05-ancestral", says="not z[t − 1]", layer="oracle")
def noise_of_the_next_step(step, x, T, z):
    for t in range(T, 0, -1):
        mean, variance = step(x, t)
        x = mean + variance.sqrt() * z[t - 1] if t > 1 else mean
    return x


@wrong("ex05-ancestral", says="not from the start", layer="property")
def always_from_the_start(step, x, T, z):
    for t in range(T, 0, -1):
        mean, variance = step(x, t)
        out = mean + variance.sqrt() * z[t] if t > 1 else mean
    return out


@right("ex05-ancestral")
def last_step_apart(step, x, T, z):
    t = T
    while t > 1:
        mean, variance = step(x, t)
        x = mean + float(variance) ** 0.5 * z[t]
        t -= 1
    return step(x, 1)[0]
