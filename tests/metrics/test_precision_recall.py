"""Precision and recall against torch-fidelity, the paper's definition and known answers."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch_fidelity.metric_prc import prc_features_to_metric

from t2i_course.errors import T2IError
from t2i_course.metrics.precision_recall import Manifold, precision_recall

seeds = st.integers(0, 2**32)


def normal(n: int, D: int, seed: int) -> Tensor:
    return torch.randn(n, D, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("k", [1, 3, 5])
def test_both_agree_with_torch_fidelity(k: int) -> None:
    real, generated = normal(900, 6, 0), 0.8 * normal(700, 6, 1) + 0.3
    theirs = prc_features_to_metric(
        generated,
        real,
        prc_neighborhood=k,
        prc_batch_size=10_000,
        save_cpu_ram=False,
        verbose=False,
    )
    precision, recall = precision_recall(real, generated, k)
    assert 0.2 < recall < precision < 1
    assert (precision, recall) == pytest.approx((theirs["precision"], theirs["recall"]), abs=1e-6)


@settings(max_examples=50, deadline=None)
@given(n=st.integers(4, 20), m=st.integers(4, 20), k=st.integers(1, 3), seed=seeds)
def test_the_share_inside_is_that_of_the_definition(n: int, m: int, k: int, seed: int) -> None:
    """Oracle: a point is inside if some feature is nearer to it than to its own k-th neighbour."""
    x, points = normal(n, 2, seed).double(), 2 * normal(m, 2, seed + 1).double()
    inside = 0
    for point in points:
        radii = [sorted((x - feature).norm(dim=1).tolist())[k] for feature in x]
        inside += any(
            (point - feature).norm() <= radius for feature, radius in zip(x, radii, strict=True)
        )
    assert Manifold(x, k).share_inside(points) == pytest.approx(inside / m)


@settings(max_examples=25, deadline=None)
@given(seed=seeds, moved=st.sampled_from([0.0, 1e4]))
def test_a_set_is_inside_itself_also_where_images_repeat(seed: int, moved: float) -> None:
    """Balls of radius 0, round a feature that is there five times, hold their centre."""
    x = (normal(10, 4, seed).double() + moved).repeat(5, 1)
    assert precision_recall(x, x) == (1, 1)


def test_a_lost_mode_costs_recall_and_an_invented_one_precision() -> None:
    """Oracle: two modes far apart, of which one set has half; the other half is in no ball."""
    modes = torch.cat([normal(500, 3, 0), normal(500, 3, 1) + 100])
    one = normal(1000, 3, 2)
    precision, recall = precision_recall(modes, one)
    assert precision > 0.9 and recall == pytest.approx(0.5, abs=0.02)
    assert precision_recall(one, modes) == (recall, precision)
    assert precision_recall(one, one + 100) == (0, 0)


def test_too_few_features_for_a_neighbour_are_an_error() -> None:
    with pytest.raises(T2IError, match="3-th neighbour within 3 features"):
        precision_recall(normal(3, 2, 0), normal(9, 2, 0))
