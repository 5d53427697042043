"""Nearest neighbours against distances taken one by one."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from t2i_course.errors import T2IError
from t2i_course.metrics.neighbours import ROWS, nearest


def normal(n: int, D: int, seed: int) -> torch.Tensor:
    return torch.randn(n, D, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@settings(max_examples=50, deadline=None)
@given(
    n=st.integers(1, 2 * ROWS + 1),
    m=st.integers(1, 30),
    D=st.integers(1, 5),
    k=st.integers(1, 4),
    moved=st.sampled_from([0.0, 1e6]),
    seed=st.integers(0, 2**32),
)
def test_the_nearest_are_those_of_all_pairs_wherever_the_vectors_lie(
    n: int, m: int, D: int, k: int, moved: float, seed: int
) -> None:
    """Oracle: norms of the differences, sorted. In place, ab alone would cost ten digits."""
    k = min(k, m)
    a, b = normal(n, D, seed) + moved, normal(m, D, seed + 1) + moved
    every = (a[:, None] - b[None]).norm(dim=2)
    distances, index = nearest(a, b, k)
    torch.testing.assert_close(distances, every.sort(dim=1).values[:, :k], rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(distances, every.gather(1, index), rtol=1e-6, atol=1e-6)


def test_a_wrong_use_says_what_is_wrong() -> None:
    a = normal(4, 2, 0)
    with pytest.raises(T2IError, match="The 5 nearest of 4 vectors"):
        nearest(a, a, 5)
    with pytest.raises(T2IError, match=r"not \[4, 2\] and \[4, 3\]"):
        nearest(a, normal(4, 3, 0), 1)
    with pytest.raises(T2IError, match="1 of 4 vectors are not finite"):
        nearest(a.index_fill(0, torch.tensor([2]), torch.nan), a, 1)
