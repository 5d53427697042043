"""R-precision and retrieval against counts by hand, chance, and published interval values."""

import pytest
import torch
from torch import Tensor

from t2i_course.errors import T2IError
from t2i_course.metrics.retrieval import r_precision, top1, wilson


def normal(n: int, D: int, seed: int) -> Tensor:
    return torch.randn(n, D, generator=torch.Generator().manual_seed(seed))


def test_with_all_captions_as_candidates_it_is_the_share_whose_own_is_nearest() -> None:
    captions = normal(60, 6, 0)
    images = captions + 0.8 * normal(60, 6, 1)
    cos = torch.nn.functional.normalize(images) @ torch.nn.functional.normalize(captions).T
    oracle = (cos.argmax(1) == torch.arange(60)).float().mean().item()
    value, low, high = r_precision(images, captions, candidates=60)
    assert 0.3 < oracle < 0.9 and value == pytest.approx(oracle)
    assert 0 <= low < value < high <= 1


def test_fewer_candidates_are_easier_and_perfect_pairs_are_always_found() -> None:
    captions = normal(200, 6, 0)
    images = captions + 1.5 * normal(200, 6, 1)
    few, many = (r_precision(images, captions, R)[0] for R in (2, 200))
    assert many + 0.2 < 0.7 < few
    assert r_precision(captions, captions, 100)[0] == 1


def test_one_embedding_for_all_and_unrelated_ones_are_at_chance() -> None:
    same = torch.ones(100, 4)
    assert r_precision(same, same, candidates=10)[0] == pytest.approx(0.1)
    value, low, high = r_precision(normal(2000, 4, 0), normal(2000, 4, 1), candidates=4)
    assert low < 0.25 < high and high - low < 0.05 and value == pytest.approx(0.25, abs=0.04)


def test_candidates_are_drawn_from_the_seed() -> None:
    images, captions = normal(300, 4, 0), normal(300, 4, 0) + normal(300, 4, 1)
    values = [r_precision(images, captions, 5, seed)[0] for seed in (0, 0, 1, 2)]
    assert values[0] == values[1] and len(set(values)) > 1


def test_any_right_candidate_is_a_hit() -> None:
    similarity = torch.tensor([[0.9, 0.1, 0.2], [0.3, 0.2, 0.1], [0.0, 0.5, 0.4]])
    right = torch.eye(3, dtype=torch.bool)
    assert top1(similarity, right) == pytest.approx(1 / 3)
    right[1, 0] = True
    assert top1(similarity, right) == pytest.approx(2 / 3)


def test_wilson_is_the_published_interval() -> None:
    """Oracle: Newcombe (1998), table I: 81 of 263, 15 of 148 and 0 of 20."""
    for hits, n, low, high in ((81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605)):
        assert wilson(hits / n, n) == pytest.approx((low, high), abs=6e-5)
    assert wilson(0, 20) == pytest.approx((0, 0.1611), abs=6e-5)


def test_what_cannot_be_retrieved_is_an_error() -> None:
    with pytest.raises(T2IError, match="R is from 2 to the number of captions, 5"):
        r_precision(normal(5, 2, 0), normal(5, 2, 0), candidates=6)
    with pytest.raises(T2IError, match="not finite"):
        r_precision(normal(5, 2, 0) * torch.inf, normal(5, 2, 0), candidates=2)
    with pytest.raises(T2IError, match=r"not with shapes \[5, 2\] and \[4, 2\]"):
        top1(normal(5, 2, 0), torch.ones(4, 2, dtype=torch.bool))
