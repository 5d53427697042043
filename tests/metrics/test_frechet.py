"""The Fréchet distance against torch-fidelity, closed forms and its own invariances."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

from t2i_course.errors import T2IError
from t2i_course.metrics.frechet import Moments, frechet_distance, frechet_infinity, whitening

seeds = st.integers(0, 2**32)


def normal(*shape: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def correlated(n: int, D: int, seed: int) -> Tensor:
    return normal(n, D, seed=seed) @ normal(D, D, seed=seed + 1) + normal(D, seed=seed + 2)


def rotation(D: int, seed: int) -> Tensor:
    return torch.linalg.qr(normal(D, D, seed=seed)).Q


def gaussian(mean: Tensor, covariance: Tensor) -> Moments:
    """Moments with exactly this mean and covariance."""
    moments = Moments(len(mean))
    moments.count, moments.mean, moments.scatter = 2, mean.double(), covariance.double()
    return moments


def distance(x: Tensor, y: Tensor) -> float:
    return frechet_distance(Moments.of(x), Moments.of(y))


# With n < D torch-fidelity takes roots of eigenvalues that are rounding errors: fewer digits.
@pytest.mark.parametrize(
    ("n", "D", "tolerance"), [(1000, 24, 1e-8), (400, 96, 1e-8), (50, 96, 1e-5)]
)
def test_distance_agrees_with_torch_fidelity(n: int, D: int, tolerance: float) -> None:
    x, y = correlated(n, D, seed=1), correlated(n + 7, D, seed=5)
    statistics = fid_features_to_statistics(x), fid_features_to_statistics(y)
    oracle = fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
    assert distance(x, y) == pytest.approx(oracle, rel=tolerance)


@pytest.mark.parametrize("D", [1, 5])
@settings(max_examples=25, deadline=None)
@given(seed=seeds)
def test_distance_of_gaussians_that_commute_is_that_of_means_and_deviations(
    D: int, seed: int
) -> None:
    """Oracle: |μ_a - μ_b|² + Σ_i (σ_a,i - σ_b,i)², for diagonal and for rotated covariances."""
    mean_a, mean_b, s_a, s_b = normal(4, D, seed=seed)
    oracle = (mean_a - mean_b).square().sum() + (s_a.abs() - s_b.abs()).square().sum()
    for Q in (torch.eye(D).double(), rotation(D, seed)):
        a = gaussian(mean_a, Q @ s_a.square().diag() @ Q.T)
        b = gaussian(mean_b, Q @ s_b.square().diag() @ Q.T)
        assert frechet_distance(a, b) == pytest.approx(oracle.item(), rel=1e-6, abs=1e-9)


@settings(max_examples=25, deadline=None)
@given(n=st.integers(2, 40), D=st.integers(1, 20), seed=seeds)
def test_a_set_is_at_distance_zero_from_itself_and_v_squared_from_itself_moved_by_v(
    n: int, D: int, seed: int
) -> None:
    """Oracle: the formula with Σ_a = Σ_b. Also for n <= D, where Σ is singular."""
    x, v = correlated(n, D, seed), normal(D, seed=seed + 9)
    rounding = 1e-12 * x.square().sum().item()
    assert 0 <= distance(x, x) <= rounding
    assert distance(x, x + v) == pytest.approx(v.square().sum().item(), abs=rounding)


@pytest.mark.parametrize(("shift", "scale"), [(0.0, 1.0), (0.1, 1.2)])
def test_the_bias_vanishes_at_infinite_samples(shift: float, scale: float) -> None:
    """Oracle: d² = |μ|² + Σ (1 - σ)² of the Gaussians that were drawn from, known exactly."""
    D, N, repeats = 24, 600, 10
    real = gaussian(torch.full((D,), shift), scale**2 * torch.eye(D))
    truth = D * (shift**2 + (1 - scale) ** 2)
    drawn = [normal(N, D, seed=seed) for seed in range(repeats)]
    finite = torch.tensor([frechet_distance(Moments.of(x), real) for x in drawn]) - truth
    infinite = torch.tensor([frechet_infinity(x, real) for x in drawn]) - truth
    assert finite.mean() > 0.2  # about D (D + 4) / 4N
    assert abs(infinite.mean()) < min(0.1 * finite.mean(), 3 * infinite.std() / repeats**0.5 + 0.01)


def test_the_bootstrap_interval_does_not_hold_the_estimate() -> None:
    """Why no interval here is a bootstrap: redrawn with replacement, a set is always farther."""
    x, y = Moments.of(normal(2000, 16, seed=0)), normal(500, 16, seed=1)
    rows = [
        torch.randint(500, (500,), generator=torch.Generator().manual_seed(i)) for i in range(99)
    ]
    redrawn = [frechet_distance(x, Moments.of(y[row])) for row in rows]
    assert min(redrawn) > frechet_distance(x, Moments.of(y))


def test_rank_deficient_sets_lose_no_digits() -> None:
    """Oracle: for y = 3x the covariances commute, and d² = 4 |μ|² + 4 tr Σ."""
    x = correlated(10, 60, seed=3)
    oracle = 4 * (x.mean(dim=0).square().sum() + x.var(dim=0).sum())
    assert distance(x, 3 * x) == pytest.approx(oracle.item(), rel=1e-12)


@settings(max_examples=25, deadline=None)
@given(seed=seeds)
def test_distance_is_symmetric_and_does_not_see_a_common_rotation(seed: int) -> None:
    x, y, Q = correlated(30, 6, seed), correlated(40, 6, seed + 3), rotation(6, seed)
    assert distance(y, x) == pytest.approx(distance(x, y), rel=1e-9)
    assert distance(x @ Q, y @ Q) == pytest.approx(distance(x, y), rel=1e-9)


@settings(max_examples=25, deadline=None)
@given(sizes=st.lists(st.integers(0, 20), min_size=1), seed=seeds)
def test_moments_do_not_depend_on_the_batches_nor_on_a_merge(sizes: list[int], seed: int) -> None:
    """Oracle: mean and unbiased covariance of all features at once, by PyTorch."""
    x = correlated(sum(sizes) + 2, 4, seed)
    streamed, first, second = Moments(4), Moments(4), Moments(4)
    for i, batch in enumerate(x.split([*sizes, 2])):
        streamed.update(batch)
        (second if i % 2 else first).update(batch)
    for moments in (streamed, first.merge(second), second.merge(first)):
        assert moments.count == len(x)
        torch.testing.assert_close(moments.mean, x.mean(dim=0))
        torch.testing.assert_close(moments.covariance, x.T.cov())


def test_merge_leaves_its_parts_alone() -> None:
    a, b = Moments.of(normal(5, 3, seed=0)), Moments.of(normal(6, 3, seed=1))
    mean, scatter = a.mean.clone(), a.scatter.clone()
    a.merge(b)
    assert a.count == 5 and a.mean.equal(mean) and a.scatter.equal(scatter)


def test_a_mean_far_larger_than_the_spread_costs_no_digits() -> None:
    """Oracle: the covariance of the same features about 0. E[x²] - μ² would be off by 1e-4."""
    x = correlated(1000, 3, seed=2)
    moved = Moments(3)
    for batch in (x + 1e6).split(64):
        moved.update(batch)
    torch.testing.assert_close(moved.covariance, x.T.cov(), rtol=1e-8, atol=1e-8)


def test_the_state_does_not_grow_with_the_features() -> None:
    def numbers(moments: Moments) -> int:
        tensors = [part for part in vars(moments).values() if isinstance(part, Tensor)]
        assert all(not isinstance(part, list | dict) for part in vars(moments).values())
        return sum(part.untyped_storage().nbytes() for part in tensors) // 8

    moments = Moments.of(normal(10, 7, seed=0))
    assert numbers(moments) == 7 + 7 * 7
    moments.update(normal(10_000, 7, seed=1))
    assert numbers(moments) == 7 + 7 * 7


def test_whitened_features_have_mean_zero_and_unit_covariance() -> None:
    x = correlated(500, 6, seed=4)
    mean, W = whitening(Moments.of(x))
    whitened = Moments.of((x - mean) @ W)
    torch.testing.assert_close(whitened.mean, torch.zeros(6).double(), atol=1e-9, rtol=0)
    torch.testing.assert_close(whitened.covariance, torch.eye(6).double(), atol=1e-9, rtol=0)
    torch.testing.assert_close(W, W.T)


def test_whitening_does_not_blow_up_a_direction_below_the_floor() -> None:
    """Oracle: variances 100, 4 and 0 with floor 0.1 are scaled by 1/√100, 1/√10 and 1/√10."""
    moments = gaussian(torch.zeros(3), torch.tensor([100.0, 4.0, 0.0]).diag())
    _, W = whitening(moments, floor=0.1)
    torch.testing.assert_close(W, torch.tensor([0.1, 0.1**0.5, 0.1**0.5]).double().diag())


def test_features_that_are_not_finite_are_counted_and_leave_the_moments_as_they_were() -> None:
    moments, x = Moments.of(normal(5, 3, seed=0)), normal(4, 3, seed=1)
    mean = moments.mean.clone()
    x[1, 0], x[1, 2], x[3, 1] = torch.nan, torch.nan, torch.inf
    with pytest.raises(T2IError, match="2 of 4"):
        moments.update(x)
    assert moments.count == 5 and moments.mean.equal(mean)


def test_a_wrong_use_says_what_is_wrong() -> None:
    two = Moments.of(torch.ones(5, 2))
    with pytest.raises(T2IError, match=r"\[B, 2\], not as \[5, 3\]"):
        two.update(torch.ones(5, 3))
    for shape in [(), (4,), (4, 3, 2)]:
        with pytest.raises(T2IError, match="not as"):
            Moments.of(torch.ones(shape))
    with pytest.raises(T2IError, match="of 2 and of 3 dimensions"):
        frechet_distance(two, Moments.of(torch.ones(5, 3)))
    with pytest.raises(T2IError, match="of 2 and of 3 dimensions"):
        two.merge(Moments(3))
    with pytest.raises(T2IError, match="at least 2 features, not 1"):
        frechet_distance(two, Moments.of(torch.ones(1, 2)))
    with pytest.raises(T2IError, match="no variance"):
        whitening(two)
    with pytest.raises(T2IError, match="floor"):
        whitening(two, floor=0.0)
    with pytest.raises(T2IError, match="takes over 8 images, not 11"):
        frechet_infinity(torch.ones(11, 2), two)
