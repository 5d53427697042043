"""Known answers to exercise 07: metrics, and the first comparison."""

import numpy as np
import torch
from known_answers import equivalent, right, wrong


# 1 frechet
def parts(x, y):
    return (x.mean(0) - y.mean(0)).square().sum(), x.T.cov(), y.T.cov()


def root_of(product):
    return torch.linalg.eigvals(product).real.clamp(min=0).sqrt().sum()


@wrong("ex07-frechet", says="counts twice", layer="property")
def root_counted_once(x, y):
    means, a, b = parts(x, y)
    return means + a.trace() + b.trace() - root_of(a @ b)


@wrong("ex07-frechet", says="root of each entry", layer="property")
def root_of_each_entry(x, y):
    means, a, b = parts(x, y)
    return means + (a + b - 2 * (a @ b).abs().sqrt()).trace()


@wrong("ex07-frechet", says="what is correlated is left out", layer="oracle")
def widths_alone(x, y):
    return (x.mean(0) - y.mean(0)).square().sum() + (x.std(0) - y.std(0)).square().sum()


@wrong("ex07-frechet", says="divided by N − 1", layer="oracle")
def biased_covariance(x, y):
    means, a, b = (
        (x.mean(0) - y.mean(0)).square().sum(),
        *(torch.cov(each.T, correction=0) for each in (x, y)),
    )
    return means + a.trace() + b.trace() - 2 * root_of(a @ b)


@wrong("ex07-frechet", says="no root at the end", layer="property")
def root_at_the_end(x, y):
    means, a, b = parts(x, y)
    return (means + a.trace() + b.trace() - 2 * root_of(a @ b)).clamp(min=0).sqrt()


@wrong("ex07-frechet", says="not their mean", layer="property")
def mean_of_the_differences(x, y):
    _, a, b = parts(x, y)
    means = (x.mean(0) - y.mean(0)).square().mean()
    return means + a.trace() + b.trace() - 2 * root_of(a @ b)


@wrong("ex07-frechet", says="means are left out", layer="property")
def covariances_alone(x, y):
    _, a, b = parts(x, y)
    return a.trace() + b.trace() - 2 * root_of(a @ b)


@wrong("ex07-frechet", says="not its eigenvalues", layer="oracle")
def singular_values_of_the_product(x, y):
    means, a, b = parts(x, y)
    return means + a.trace() + b.trace() - 2 * torch.linalg.svdvals(a @ b).sqrt().sum()


@wrong("ex07-frechet", says="root of the trace", layer="property")
def root_of_the_trace(x, y):
    means, a, b = parts(x, y)
    return means + a.trace() + b.trace() - 2 * (a @ b).trace().sqrt()


@right("ex07-frechet")
def by_symmetric_roots(x, y):
    means, a, b = parts(x, y)
    values, vectors = torch.linalg.eigh(a)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    inner = torch.linalg.eigvalsh(root @ b @ root).clamp(min=0).sqrt().sum()
    return float(means + torch.trace(a + b) - 2 * inner)


@right("ex07-frechet")
def by_nuclear_norm(x, y):
    # tr (Σ_x Σ_y)^½ is the sum of the singular values of XᵀY of the centred features
    one = (x - x.mean(0)) / (len(x) - 1) ** 0.5
    two = (y - y.mean(0)) / (len(y) - 1) ** 0.5
    cross = torch.linalg.svdvals(one @ two.T).sum()
    means = (x.mean(0) - y.mean(0)).pow(2).sum()
    return means + one.square().sum() + two.square().sum() - 2 * cross


@right("ex07-frechet")
def complex_roots(x, y):
    means, a, b = parts(x, y)
    return means + a.trace() + b.trace() - 2 * torch.linalg.eigvals(a @ b).sqrt().real.sum()


# 2 at_infinity
@wrong("ex07-at_infinity", says="not in n", layer="property")
def straight_in_n(n, distances):
    return float(np.polyfit(n.double().numpy(), distances.numpy(), 1)[1])


@wrong("ex07-at_infinity", says="slope b", layer="property")
def the_slope(n, distances):
    return float(np.polyfit(1 / n.double().numpy(), distances.numpy(), 1)[0])


@wrong("ex07-at_infinity", says="at n = 1", layer="property")
def sum_of_the_coefficients(n, distances):
    return float(np.polyfit(1 / n.double().numpy(), distances.numpy(), 1).sum())


@wrong("ex07-at_infinity", says="fit a constant", layer="property")
def through_zero(n, distances):
    per_n = 1 / n.double()
    return torch.linalg.lstsq(per_n[:, None], distances[:, None]).solution[0, 0]


@wrong("ex07-at_infinity", says="still has its bias", layer="property")
def the_largest_n(n, distances):
    return distances[n.argmax()]


@wrong("ex07-at_infinity", says="the first and the last", layer="oracle")
def two_points_only(n, distances):
    a, b = 1 / n[0].double(), 1 / n[-1].double()
    return distances[-1] - b * (distances[0] - distances[-1]) / (a - b)


@wrong("ex07-at_infinity", says="weighed them by n", layer="oracle")
def weighed_by_n(n, distances):
    per_n, weight = 1 / n.double(), n.double().sqrt()
    A = torch.stack([weight, weight * per_n], dim=1)
    return torch.linalg.lstsq(A, (weight * distances)[:, None]).solution[0, 0]


@right("ex07-at_infinity")
def by_polyfit(n, distances):
    return float(np.polyfit(1 / n.double().numpy(), distances.numpy(), 1)[1])


@right("ex07-at_infinity")
def by_covariance(n, distances):
    per_n = 1 / n.double()
    table = torch.stack([per_n, distances]).cov()
    return distances.mean() - table[0, 1] / table[0, 0] * per_n.mean()


# 3 mmd2: the cubic kernel
def cubic(a, b):
    return (a @ b.T / a.shape[1] + 1) ** 3


def unbiased(k, x, y, twice=2.0):
    K_x, K_y, N, M = k(x, x), k(y, y), len(x), len(y)
    within = (K_x.sum() - K_x.trace()) / (N * (N - 1)) + (K_y.sum() - K_y.trace()) / (M * (M - 1))
    return within - twice * k(x, y).mean()


@wrong("ex07-mmd2", says="pairs of a row with itself", layer="property")
def biased(x, y):
    return cubic(x, x).mean() + cubic(y, y).mean() - 2 * cubic(x, y).mean()


@wrong("ex07-mmd2", says="not N²", layer="oracle")
def diagonal_gone_but_counted(x, y):
    within = [(cubic(a, a) - cubic(a, a).diag().diag()).mean() for a in (x, y)]
    return sum(within) - 2 * cubic(x, y).mean()


@wrong("ex07-mmd2", says="divides xᵀy by D", layer="oracle")
def not_divided_by_the_features(x, y):
    return unbiased(lambda a, b: (a @ b.T + 1) ** 3, x, y)


@wrong("ex07-mmd2", says="+ 1 before the power", layer="oracle")
def no_one_in_the_kernel(x, y):
    return unbiased(lambda a, b: (a @ b.T / a.shape[1]) ** 3, x, y)


@wrong("ex07-mmd2", says="power is 3", layer="oracle")
def quadratic(x, y):
    return unbiased(lambda a, b: (a @ b.T / a.shape[1] + 1) ** 2, x, y)


@wrong("ex07-mmd2", says="only there", layer="property")
def diagonal_left_out_across_too(x, y):
    K, N, M = cubic(x, y), len(x), len(y)
    across = (K.sum() - K.diagonal().sum()) / (N * M - min(N, M))
    return unbiased(cubic, x, y) + 2 * K.mean() - 2 * across


@wrong("ex07-mmd2", says="leave out", layer="property")
def clamped_at_zero(x, y):
    return unbiased(cubic, x, y).clamp(min=0)


@right("ex07-mmd2")
def by_sums_of_powers(x, y):
    D = x.shape[1]

    def total(a, b):
        products = torch.einsum("id,jd->ij", a, b) / D
        return (products**3 + 3 * products**2 + 3 * products + 1).sum()

    def own(a):
        n = len(a)
        return (total(a, a) - ((a.square().sum(1) / D + 1) ** 3).sum()) / n / (n - 1)

    return float(own(x) + own(y) - 2 * total(x, y) / len(x) / len(y))


# 3 mmd2, second variant: the Gaussian kernel
def gaussian(sigma):
    return lambda a, b: (-torch.cdist(a, b).square() / (2 * sigma**2)).exp()


@wrong("ex07-mmd2", says="left out the 2", layer="oracle", variant=2)
def no_two_in_the_exponent(x, y, sigma):
    return unbiased(lambda a, b: (-torch.cdist(a, b).square() / sigma**2).exp(), x, y)


@wrong("ex07-mmd2", says="|x − y|², squared", layer="oracle", variant=2)
def distance_for_its_square(x, y, sigma):
    return unbiased(lambda a, b: (-torch.cdist(a, b) / (2 * sigma**2)).exp(), x, y)


@wrong("ex07-mmd2", says="σ², not σ", layer="oracle", variant=2)
def sigma_not_squared(x, y, sigma):
    return unbiased(lambda a, b: (-torch.cdist(a, b).square() / (2 * sigma)).exp(), x, y)


@wrong("ex07-mmd2", says="pairs of a row with itself", layer="property", variant=2)
def biased_gaussian(x, y, sigma):
    k = gaussian(sigma)
    return k(x, x).mean() + k(y, y).mean() - 2 * k(x, y).mean()


@wrong("ex07-mmd2", says="count twice", layer="oracle", variant=2)
def across_counted_once(x, y, sigma):
    return unbiased(gaussian(sigma), x, y, twice=1.0)


@wrong("ex07-mmd2", says="pairs of its own", layer="oracle", variant=2)
def pairs_of_x_for_both(x, y, sigma):
    k, n = gaussian(sigma), len(x)
    within = [(k(a, a).sum() - k(a, a).trace()) / (n * (n - 1)) for a in (x, y)]
    return sum(within) - 2 * k(x, y).mean()


@right("ex07-mmd2", variant=2)
def pair_by_pair(x, y, sigma):
    def k(a, b):
        return torch.exp(-((a - b) ** 2).sum() / (2 * sigma**2))

    within = [
        torch.stack([k(a[i], a[j]) for i in range(len(a)) for j in range(len(a)) if i != j]).mean()
        for a in (x, y)
    ]
    return sum(within) - 2 * torch.stack([k(a, b) for a in x for b in y]).mean()


# 4 inception_score: probabilities
def entropy(p):
    return torch.special.entr(p).sum(-1)


@wrong("ex07-inception_score", says="0 · log 0", layer="property")
def logarithm_of_zero(p):
    kl = (p * (p / p.mean(0)).log()).sum(1)
    return kl.mean().exp()


@wrong("ex07-inception_score", says="exp of it", layer="property")
def no_exp(p):
    return entropy(p.mean(0)) - entropy(p).mean()


@wrong("ex07-inception_score", says="swapped", layer="property")
def entropies_swapped(p):
    return (entropy(p).mean() - entropy(p.mean(0))).exp()


@wrong("ex07-inception_score", says="averaged before exp", layer="oracle")
def mean_of_exp(p):
    kl = (torch.special.xlogy(p, p) - torch.special.xlogy(p, p.mean(0))).sum(1)
    return kl.exp().mean()


@wrong("ex07-inception_score", says="left out", layer="property")
def variety_alone(p):
    return entropy(p.mean(0)).exp()


@wrong("ex07-inception_score", says="another base", layer="property")
def in_bits(p):
    return ((entropy(p.mean(0)) - entropy(p).mean()) / torch.tensor(2.0).log()).exp()


@wrong("ex07-inception_score", says="dim=0", layer="property")
def mean_over_the_classes(p):
    flat = p.mean(1, keepdim=True).expand_as(p)
    return (entropy(flat) - entropy(flat)).mean().exp()


@right("ex07-inception_score")
def by_divergences(p):
    marginal = p.mean(dim=0, keepdim=True)
    kl = torch.xlogy(p, p).sum(1) - torch.xlogy(p, marginal).sum(1)
    return float(torch.exp(kl.mean()))


# 4 inception_score, second variant: splits
def split_scores(p, splits):
    return torch.stack([entropy(q.mean(0)) - entropy(q).mean() for q in p.chunk(splits)])


@wrong("ex07-inception_score", says="scored by itself", layer="oracle", variant=2)
def all_as_one(logits, splits):
    return split_scores(logits.softmax(1), 1).exp().mean()


@wrong("ex07-inception_score", says="mean of the scores", layer="oracle", variant=2)
def mean_before_exp(logits, splits):
    return split_scores(logits.softmax(1), splits).mean().exp()


@wrong("ex07-inception_score", says="run of images", layer="oracle", variant=2)
def every_third_image(logits, splits):
    p = logits.softmax(1)
    return torch.stack([split_scores(p[i::splits], 1).exp()[0] for i in range(splits)]).mean()


@wrong("ex07-inception_score", says="averaged before exp", layer="oracle", variant=2)
def exp_of_each_image(logits, splits):
    scores = []
    for p in logits.softmax(1).chunk(splits):
        kl = (torch.xlogy(p, p) - torch.xlogy(p, p.mean(0))).sum(1)
        scores.append(kl.exp().mean())
    return torch.stack(scores).mean()


@wrong("ex07-inception_score", says="0 · log 0", layer="property", variant=2)
def logarithm_of_a_vanished_number(logits, splits):
    p = logits.softmax(1)
    p = torch.where(p < 1e-60, 0, p).reshape(splits, -1, p.shape[1])
    kl = (p * (p / p.mean(1, keepdim=True)).log()).sum(2)
    return kl.mean(1).exp().mean()


@wrong("ex07-inception_score", says="exp of it", layer="property", variant=2)
def no_exp_at_all(logits, splits):
    return split_scores(logits.softmax(1), splits).mean()


@right("ex07-inception_score", variant=2)
def by_log_softmax(logits, splits):
    scores = []
    for part in logits.split(len(logits) // splits):
        log_p = part.log_softmax(dim=1)
        marginal = log_p.logsumexp(dim=0) - torch.tensor(float(len(part))).log()
        scores.append((log_p.exp() * (log_p - marginal)).sum(1).mean().exp())
    return sum(scores) / splits


# 5 fidelity_variety: precision and recall
def apart(a, b):
    return (a[:, None] - b[None]).norm(dim=2)


def inside(points, centres, k):
    radii = apart(centres, centres).sort(dim=1).values[:, k]
    return apart(points, centres) <= radii


def share(table):
    return table.any(dim=1).double().mean()


@wrong("ex07-fidelity_variety", says="number k + 1", layer="oracle")
def itself_counted(real, fake, k):
    return share(inside(fake, real, k - 1)), share(inside(real, fake, k - 1))


@wrong("ex07-fidelity_variety", says="comes first", layer="oracle")
def recall_first(real, fake, k):
    return share(inside(real, fake, k)), share(inside(fake, real, k))


@wrong("ex07-fidelity_variety", says="radius of its own", layer="oracle")
def the_largest_radius(real, fake, k):
    def largest(points, centres):
        radius = apart(centres, centres).sort(dim=1).values[:, k].max()
        return share(apart(points, centres) <= radius)

    return largest(fake, real), largest(real, fake)


@wrong("ex07-fidelity_variety", says="not of balls", layer="oracle")
def balls_that_hold_a_point(real, fake, k):
    return share(inside(fake, real, k).T), share(inside(real, fake, k).T)


@wrong("ex07-fidelity_variety", says="two numbers", layer="contract")
def precision_alone(real, fake, k):
    return share(inside(fake, real, k))


@wrong("ex07-fidelity_variety", says="one neighbour too many", layer="oracle")
def one_neighbour_too_many(real, fake, k):
    return share(inside(fake, real, k + 1)), share(inside(real, fake, k + 1))


@right("ex07-fidelity_variety")
def by_topk(real, fake, k):
    def covered(points, centres):
        near = torch.cdist(centres, centres).topk(k + 1, largest=False).values[:, -1]
        return sum(bool((torch.linalg.norm(centres - p, dim=1) <= near).any()) for p in points)

    return [covered(fake, real) / len(fake), covered(real, fake) / len(real)]


@right("ex07-fidelity_variety")
def without_the_diagonal(real, fake, k):
    def reach(x):
        return torch.cdist(x, x).fill_diagonal_(torch.inf).sort(dim=1).values[:, k - 1]

    between = torch.cdist(real, fake)
    in_real, in_fake = between <= reach(real)[:, None], between <= reach(fake)
    return in_real.any(0).float().mean(), in_fake.any(1).float().mean()


# 5 fidelity_variety, second variant: density and coverage
@wrong("ex07-fidelity_variety", says="divide by k", layer="oracle", variant=2)
def not_divided_by_k(real, fake, k):
    table = inside(fake, real, k)
    return table.double().sum() / len(fake), share(table.T)


@wrong("ex07-fidelity_variety", says="whether it is in any", layer="oracle", variant=2)
def precision_for_density(real, fake, k):
    table = inside(fake, real, k)
    return share(table), share(table.T)


@wrong("ex07-fidelity_variety", says="not of samples", layer="oracle", variant=2)
def samples_in_a_ball(real, fake, k):
    table = inside(fake, real, k)
    return table.double().sum() / (k * len(fake)), share(table)


@wrong("ex07-fidelity_variety", says="number k + 1", layer="oracle", variant=2)
def real_ones_counted_themselves(real, fake, k):
    table = inside(fake, real, k - 1)
    return table.double().sum() / (k * len(fake)), share(table.T)


@wrong("ex07-fidelity_variety", says="not by N", layer="oracle", variant=2)
def divided_by_the_real(real, fake, k):
    table = inside(fake, real, k)
    return table.double().sum() / (k * len(real)), share(table.T)


@wrong("ex07-fidelity_variety", says="comes first", layer="oracle", variant=2)
def coverage_first(real, fake, k):
    table = inside(fake, real, k)
    return share(table.T), table.double().sum() / (k * len(fake))


@wrong("ex07-fidelity_variety", says="recall", layer="oracle", variant=2)
def recall_for_coverage(real, fake, k):
    table = inside(fake, real, k)
    return table.double().sum() / (k * len(fake)), share(inside(real, fake, k))


@right("ex07-fidelity_variety", variant=2)
def sample_by_sample(real, fake, k):
    radii = torch.cdist(real, real).sort(dim=1).values[:, k]
    hits = torch.stack([(real - y).norm(dim=1) <= radii for y in fake])
    return float(hits.sum()) / k / len(fake), float(hits.any(dim=0).sum()) / len(real)


# mutants that are right
equivalent(
    "ex07-at_infinity", "per_n = 2 / n.double()", because="the slope halves; its value at 0 stays"
)
equivalent(
    "ex07-at_infinity",
    "return torch.linalg.lstsq(A, distances[:, None]).solution[0, -1]",
    because="there is one column",
)
for variant, centres in ((1, "centres"), (2, "real")):
    for rest in ("kthvalue(k + 1, dim=0).values", "kthvalue(k + 1).values"):
        equivalent(
            "ex07-fidelity_variety",
            f"radii = torch.cdist({centres}, {centres}).{rest}",
            because="a table of distances within a set is symmetric",
            variant=variant,
        )
