"""The Inception score against torch-fidelity and against its two extremes."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch_fidelity.metric_isc import isc_features_to_metric

from t2i_course.errors import T2IError
from t2i_course.metrics.inception_score import InceptionScore

batches = st.lists(st.integers(0, 20), min_size=1, max_size=8)


def logits_of(n: int, K: int, seed: int = 0) -> Tensor:
    return 3 * torch.randn(n, K, generator=torch.Generator().manual_seed(seed))


def scored(p: Tensor, splits: int) -> tuple[float, float]:
    score = InceptionScore(len(p), splits)
    score.update_probabilities(p)
    return score.compute()


@settings(max_examples=50, deadline=None)
@given(sizes=batches, splits=st.integers(1, 13), seed=st.integers(0, 2**32))
def test_score_agrees_with_torch_fidelity_in_any_batches(
    sizes: list[int], splits: int, seed: int
) -> None:
    sizes = [*sizes, splits]  # so that there are at least as many samples as splits
    logits = logits_of(sum(sizes), K=7, seed=seed)
    score = InceptionScore(len(logits), splits)
    for batch in logits.split(sizes):
        score.update(batch)
    oracle = isc_features_to_metric(logits, splits, shuffle=False)
    mean, std = score.compute()
    assert mean == pytest.approx(oracle["inception_score_mean"], rel=1e-10)
    assert std == pytest.approx(oracle["inception_score_std"], rel=1e-8, abs=1e-10)


@settings(max_examples=25, deadline=None)
@given(n=st.integers(1, 50), K=st.integers(1, 9), seed=st.integers(0, 2**32))
def test_score_lies_between_one_and_the_number_of_classes(n: int, K: int, seed: int) -> None:
    mean, _ = scored(logits_of(n, K, seed).softmax(dim=1), splits=1)
    assert 1 <= mean <= K * (1 + 1e-12)


@settings(max_examples=100, deadline=None)
@given(n=st.integers(1, 50), K=st.integers(1, 9), seed=st.integers(0, 2**32))
def test_predictions_that_are_all_the_same_score_one_and_never_less(
    n: int, K: int, seed: int
) -> None:
    """Oracle: p(y|x) = p(y), so that every KL is 0."""
    same = logits_of(1, K, seed).softmax(dim=1)
    for p in (same, torch.full((1, K), 1 / K)):
        mean, _ = scored(p.expand(n, K), splits=1)
        assert 1 <= mean <= 1 + 1e-12


def test_sure_predictions_of_every_class_score_the_number_of_classes() -> None:
    """Oracle: KL(one-hot ‖ uniform) = log K; it needs 0 log 0 = 0, for logits of -inf too."""
    one_hot = torch.eye(5).repeat(6, 1)
    assert scored(one_hot, splits=2) == pytest.approx((5, 0), abs=1e-12)
    score = InceptionScore(30, splits=2)
    score.update(one_hot.log())
    assert score.compute() == pytest.approx((5, 0), abs=1e-12)


def test_probabilities_score_as_the_logits_they_are_the_softmax_of() -> None:
    logits = logits_of(60, K=4).double()
    score = InceptionScore(60)
    score.update(logits)
    p = logits.softmax(dim=1)
    for scale in (1, 1 + 5e-5):  # a sum that is 1 but for rounding is made 1
        assert scored(scale * p, splits=10) == pytest.approx(score.compute(), rel=1e-12)


def test_the_state_does_not_grow_with_the_samples() -> None:
    def held(score: InceptionScore) -> int:
        assert all(not isinstance(part, list | dict) for part in vars(score).values())
        return sum(
            part.untyped_storage().nbytes()
            for part in vars(score).values()
            if isinstance(part, Tensor)
        )

    score = InceptionScore(5010, splits=3)
    score.update(logits_of(10, K=7))
    before = held(score)
    score.update(logits_of(5000, K=7))
    assert held(score) == before


def test_a_wrong_number_of_samples_is_an_error() -> None:
    score = InceptionScore(10, splits=2)
    score.update(logits_of(8, K=3))
    with pytest.raises(T2IError, match="10 samples and has seen 8"):
        score.compute()
    with pytest.raises(T2IError, match="10 samples; 11 have come"):
        score.update(logits_of(3, K=3))
    score.update(logits_of(2, K=3))  # what was refused was not counted
    score.compute()
    for splits in (0, 11):
        with pytest.raises(T2IError, match=f"into {splits} splits"):
            InceptionScore(10, splits)


def test_rows_that_are_no_distribution_are_an_error() -> None:
    score = InceptionScore(10)
    with pytest.raises(T2IError, match="1 rows of logits"):
        score.update(torch.tensor([[0.0, 1.0], [torch.nan, torch.nan]]))
    bad = torch.tensor([[0.5, 0.6], [1.5, -0.5], [torch.nan, 1.0], [0.5, 0.5]])
    with pytest.raises(T2IError, match="3 rows are not probabilities"):
        score.update_probabilities(bad)
    with pytest.raises(T2IError, match=r"\[B, K\], not shape \[3\]"):
        score.update(torch.zeros(3))
    score.update(torch.zeros(1, 3))
    with pytest.raises(T2IError, match="have 2 classes; those before had 3"):
        score.update(torch.zeros(1, 2))
