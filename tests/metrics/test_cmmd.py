"""CMMD against a double sum, its reference code's formula, and what has no bias."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from t2i_course.errors import T2IError
from t2i_course.metrics import cmmd as module
from t2i_course.metrics.cmmd import cmmd


def unit(n: int, D: int, seed: int, towards: float = 0.0) -> Tensor:
    x = torch.randn(n, D, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    x[:, 0] += towards
    return x / x.norm(dim=1, keepdim=True)


@settings(max_examples=25, deadline=None)
@given(n=st.integers(2, 9), m=st.integers(2, 9), D=st.integers(1, 4), seed=st.integers(0, 2**32))
def test_cmmd_is_the_sum_over_all_pairs(n: int, m: int, D: int, seed: int) -> None:
    """Oracle: MMD² pair by pair, exp(-|x - y|² / 200), times 1000, in Python's float64."""

    def mean(a: list, b: list, same: bool) -> float:
        values = [
            math.exp(-sum((p - q) ** 2 for p, q in zip(u, v, strict=True)) / 200)
            for i, u in enumerate(a)
            for j, v in enumerate(b)
            if not same or i != j
        ]
        return sum(values) / len(values)

    x, y = unit(n, D, seed), unit(m, D, seed + 1)
    a, b = x.tolist(), y.tolist()
    oracle = 1000 * (mean(a, a, True) + mean(b, b, True) - 2 * mean(a, b, False))
    assert cmmd(x, y) == pytest.approx(oracle, rel=1e-9, abs=1e-9)
    assert cmmd(x.float(), y.float()) == pytest.approx(oracle, abs=1e-5)


def test_the_reference_code_is_higher_by_the_pairs_of_one_with_itself() -> None:
    """Oracle: the published code's three means over whole kernel matrices, diagonal included."""
    x, y = unit(300, 8, 0), unit(500, 8, 1, towards=1.0)

    def mean(a: Tensor, b: Tensor) -> Tensor:
        return torch.exp(-(torch.cdist(a, b) ** 2) / 200).mean()

    code = 1000 * (mean(x, x) + mean(y, y) - 2 * mean(x, y)).item()

    def more(a: Tensor) -> float:  # (1000 / N)(1 - E k), E over pairs of different rows
        N = len(a)
        return 1000 / N * (1 - (N * mean(a, a).item() - 1) / (N - 1))

    assert cmmd(x, y) == pytest.approx(code - more(x) - more(y), rel=1e-7)


def test_halves_of_one_distribution_are_at_0_and_others_are_not(monkeypatch) -> None:
    monkeypatch.setattr(module, "ROWS", 7)  # many blocks
    values = torch.tensor([cmmd(unit(50, 8, 2 * i), unit(50, 8, 2 * i + 1)) for i in range(60)])
    assert values.mean().abs() < 3 * values.std() / 60**0.5
    assert cmmd(unit(50, 8, 0), unit(50, 8, 1, towards=1.0)) > 5 * values.std()


def test_embeddings_of_other_lengths_or_shapes_are_an_error() -> None:
    with pytest.raises(T2IError, match="length 1"):
        cmmd(2 * unit(3, 2, 0), unit(3, 2, 0))
    with pytest.raises(T2IError, match="length 1"):
        cmmd(unit(3, 2, 0) * torch.nan, unit(3, 2, 0))
    with pytest.raises(T2IError, match=r"not \[1, 2\] and \[3, 2\]"):
        cmmd(unit(1, 2, 0), unit(3, 2, 0))
