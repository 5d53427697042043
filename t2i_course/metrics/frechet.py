"""The Fréchet distance between two sets of features, each seen as a Gaussian.

With Inception features this is the FID. The estimate from n features is biased upwards, the more
the smaller n is against D (with n <= D the covariance is singular, and the distance still defined):
compare scores of equal n only, beside their floor, the distance of two sets of n real images; or
take the distance that n -> ∞ would give, `frechet_infinity`.

An interval comes from repeated sampling. The bootstrap fails here: a set drawn from the n features
with replacement has fewer different ones, so its distance is biased once more, and the interval
lies above the estimate that it should hold.
"""

import torch
from torch import Tensor

from t2i_course.contract import require


class Moments:
    """Streaming count, mean `[D]` and covariance `[D, D]` of features, in float64 on the CPU.

    The state is one vector and one matrix, however many features came. A batch is centred on its
    own mean and then joined by the update of Chan, Golub & LeVeque (1979), so that a mean much
    larger than the spread costs no digits.

    Args:
        dim: D.

    Attributes:
        count: n, the number of features seen.
        mean: μ `[D]`.
        scatter: Σ_i (f_i - μ)(f_i - μ)ᵀ `[D, D]`.
    """

    def __init__(self, dim: int):
        require(dim >= 1, f"Features have at least one dimension, not {dim}.")
        self.dim = dim
        self.count = 0
        self.mean = torch.zeros(dim, dtype=torch.float64)
        self.scatter = torch.zeros(dim, dim, dtype=torch.float64)

    @classmethod
    def of(cls, features: Tensor) -> "Moments":
        """The moments of the features `[n, D]`; raises as `update` does."""
        moments = cls(features.shape[-1] if features.ndim else 1)
        moments.update(features)
        return moments

    @property
    def covariance(self) -> Tensor:
        """Σ `[D, D]`, unbiased (divided by n - 1); `T2IError` with fewer than 2 features."""
        n = self.count
        require(n >= 2, f"A covariance needs at least 2 features, not {n}: add images.")
        return self.scatter / (n - 1)

    def update(self, features: Tensor) -> None:
        """Adds a batch of features `[B, D]`; B may differ from call to call, and be 0.

        Raises:
            T2IError: if the shape is not `[B, D]` or a feature is not finite; nothing is added.
        """
        B, shape = len(features) if features.ndim else 0, list(features.shape)
        require(shape == [B, self.dim], f"Features come as [B, {self.dim}], not as {shape}.")
        if B == 0:
            return
        features = features.detach().cpu().double()
        bad = int((~features.isfinite()).any(dim=1).sum())
        require(bad == 0, f"{bad} of {B} features are not finite: look at their images.")
        mean = features.mean(dim=0)
        centred = features - mean
        self._join(B, mean, centred.T @ centred)

    def merge(self, other: "Moments") -> "Moments":
        """The moments of both sets together, as a new object; `T2IError` if their D differ."""
        _require_same_dim(self, other)
        merged = Moments(self.dim)
        for part in (self, other):
            if part.count:
                merged._join(part.count, part.mean, part.scatter)
        return merged

    def _join(self, n: int, mean: Tensor, scatter: Tensor) -> None:
        total = self.count + n
        delta = mean - self.mean
        self.scatter += scatter + torch.outer(delta, delta) * (self.count * n / total)
        self.mean += delta * (n / total)
        self.count = total


def frechet_distance(a: Moments, b: Moments) -> float:
    """d² = |μ_a - μ_b|² + tr(Σ_a + Σ_b - 2 (Σ_a Σ_b)^{1/2}), at least 0.

    tr (Σ_a Σ_b)^{1/2} is the sum of the singular values of Σ_a^{1/2} Σ_b^{1/2}. No root is taken
    of a product's rounding errors, so singular covariances lose no digits.

    Raises:
        T2IError: if the D differ or a set has fewer than 2 features.

    Source: Dowson & Landau (1982); for images Heusel et al. (2017), eq. 6.
    """
    _require_same_dim(a, b)
    S_a, S_b = a.covariance, b.covariance
    cross = torch.linalg.svdvals(_root(S_a).T @ _root(S_b)).sum()
    distance = (a.mean - b.mean).square().sum() + S_a.trace() + S_b.trace() - 2 * cross
    return max(0.0, distance.item())


def frechet_infinity(features: Tensor, real: Moments) -> float:
    """The Fréchet distance to `real` that infinitely many features would have.

    The distance of n features is nearly d²_∞ + b / n. The N features `[N, D]` are cut into 1, 2, 3
    and 4 runs of n = N, N/2, N/3 and N/4, each size's distances averaged, and a line fitted to them
    against 1 / n; its value at 0 may be negative, by chance, where d²_∞ is small. Rows must come in
    an order that says nothing, or with the classes in turn. The bias that `real` has from its own
    count stays, as it does in the floor.

    Raises:
        T2IError: if a quarter of the features is not more than D, where the bias is no line.

    Source: Chong & Forsyth (2020), section 3.1, FID_∞; there the sizes are drawn at random.
    """
    N, D = len(features), real.dim
    parts = torch.arange(1, 5)
    sizes = N // parts
    require(int(sizes[-1]) > D, f"Extrapolating {D} features takes over {4 * D} images, not {N}.")
    distances = torch.tensor(
        [
            sum(frechet_distance(Moments.of(run), real) for run in features.split(n)[:m]) / m
            for m, n in zip(parts.tolist(), sizes.tolist(), strict=True)
        ],
        dtype=torch.float64,
    )
    line = torch.stack([torch.ones(4), 1 / sizes], dim=1).double()
    return torch.linalg.lstsq(line, distances[:, None]).solution[0].item()


def whitening(moments: Moments, floor: float = 1e-6) -> tuple[Tensor, Tensor]:
    """Mean μ `[D]` and symmetric W `[D, D]` (float64) such that W (f - μ) has unit covariance.

    W = Q max(Λ, floor · λ_max)^{-1/2} Qᵀ with Σ = Q Λ Qᵀ: a direction whose variance is below
    `floor` times the largest is scaled as if it had that much, not blown up, and ends below 1.
    W is the whitening that moves features least, and does not depend on the eigenvectors' signs.

    Raises:
        T2IError: with fewer than 2 features, if all are equal, or if `floor` is not in (0, 1].

    Source: Kessy, Lewin & Strimmer (2018), "ZCA".
    """
    require(0 < floor <= 1, f"The floor of whitening lies in (0, 1], not at {floor}.")
    λ, Q = torch.linalg.eigh(moments.covariance)
    λ_max = λ[-1].item()
    require(λ_max > 0, "All features are equal: they have no variance to whiten.")
    return moments.mean.clone(), (Q * λ.clamp(min=floor * λ_max).rsqrt()) @ Q.T


def _root(covariance: Tensor) -> Tensor:
    """Q Λ^{1/2} `[D, D]`, which is Σ^{1/2} = Q Λ^{1/2} Qᵀ up to a rotation from the right."""
    λ, Q = torch.linalg.eigh(covariance)
    return Q * λ.clamp(min=0).sqrt()


def _require_same_dim(a: Moments, b: Moments) -> None:
    message = f"Features of {a.dim} and of {b.dim} dimensions: use one extractor for both sets."
    require(a.dim == b.dim, message)
