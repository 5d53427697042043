"""The kernel distance against torch-fidelity, a double loop and closed forms."""

from math import comb

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch_fidelity.metric_kid import kid_features_to_metric

from t2i_course.errors import T2IError
from t2i_course.metrics.kid import kid, mmd2


def normal(n: int, D: int, seed: int) -> Tensor:
    return torch.randn(n, D, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@settings(max_examples=25, deadline=None)
@given(n=st.integers(2, 9), m=st.integers(2, 9), D=st.integers(1, 4), seed=st.integers(0, 2**32))
def test_mmd2_is_the_mean_over_all_pairs(n: int, m: int, D: int, seed: int) -> None:
    """Oracle: eq. 3 of Gretton et al. (2012), pair by pair, in Python's float64."""

    def mean(a: list, b: list, same: bool) -> float:
        pairs = [(u, v) for i, u in enumerate(a) for j, v in enumerate(b) if not same or i != j]
        values = [(sum(p * q for p, q in zip(u, v, strict=True)) / D + 1) ** 3 for u, v in pairs]
        return sum(values) / len(values)

    x, y = normal(n, D, seed), normal(m, D, seed + 1)
    a, b = x.tolist(), y.tolist()
    oracle = mean(a, a, True) + mean(b, b, True) - 2 * mean(a, b, False)
    assert mmd2(x, y) == pytest.approx(oracle, rel=1e-9, abs=1e-9)


def test_mmd2_agrees_with_torch_fidelity() -> None:
    """Oracle: their one subset of all features, whose order does not matter."""
    x, y = normal(300, 16, 0), 1.1 * normal(300, 16, 1)
    theirs = kid_features_to_metric(x, y, kid_subsets=1, kid_subset_size=300, verbose=False)
    assert mmd2(x, y) == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-9)


def test_blocks_have_no_bias_however_small_and_their_error_is_honest() -> None:
    """Oracle: with D = 1 the kernel is Σ_j C(3, j) x^j y^j, so that MMD² = Σ_j C(3, j) (E x^j -
    E y^j)²; of N(0, 1) the moments are 0, 1, 0 and of N(1/2, 1) they are 1/2, 5/4, 13/8."""
    differences = (1 / 2, 5 / 4 - 1, 13 / 8)
    truth = sum(comb(3, j + 1) * d**2 for j, d in enumerate(differences))
    x, y = normal(20_000, 1, 0), normal(20_000, 1, 1) + 0.5
    for blocks in (10, 1000):  # of 2,000 and of 20 images
        mean, error = kid(x, y, blocks)
        assert mean == pytest.approx(truth, abs=4 * error) and error < 0.3
    runs = [kid(a, b) for a, b in zip(x.split(1000), y.split(1000), strict=True)]
    means, errors = torch.tensor(runs).T
    assert errors.square().mean().sqrt() == pytest.approx(means.std().item(), rel=0.5)


def test_sets_that_cannot_be_cut_or_compared_are_an_error() -> None:
    x = normal(19, 2, 0)
    with pytest.raises(T2IError, match="at least 2 features are expected"):
        kid(x, x)
    with pytest.raises(T2IError, match="at least 2 blocks, not 1"):
        kid(x, x, blocks=1)
    with pytest.raises(T2IError, match=r"not \[19, 2\] and \[5, 3\]"):
        mmd2(x, normal(5, 3, 0))
    with pytest.raises(T2IError, match="not finite"):
        mmd2(x, x * torch.inf)
