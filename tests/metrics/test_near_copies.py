"""Near copies and near duplicates: planted ones are found, and real images score 1 %."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from t2i_course.errors import T2IError
from t2i_course.metrics.near_copies import (
    copy_ratios,
    nearest_others,
    share_near,
    thumbnails,
)

seeds = st.integers(0, 2**32)


def uniform(*shape: int, seed: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


@settings(max_examples=25, deadline=None)
@given(n=st.integers(1, 9), m=st.integers(1, 60), seed=seeds)
def test_the_ratio_is_that_of_the_definition(n: int, m: int, seed: int) -> None:
    """Oracle: the smallest distance over the mean of the 50 smallest, pair by pair."""
    images, train = uniform(n, 5, seed=seed), uniform(m, 5, seed=seed + 1)
    every = (images[:, None].double() - train[None].double()).norm(dim=2)
    ratios, index = copy_ratios(images, train)
    near = every.sort(dim=1).values[:, :50]
    torch.testing.assert_close(ratios, near[:, 0] / near.mean(dim=1), rtol=1e-4, atol=1e-4)
    assert index.equal(every.argmin(dim=1))


def test_planted_copies_are_counted_and_found_and_unseen_images_score_one_in_a_hundred() -> None:
    train, test, drawn = (uniform(n, 1, 8, 8, seed=n) for n in (2000, 1000, 1001))
    copied = torch.arange(0, 2000, 20)
    samples = torch.cat([drawn[:900], train[copied] + 0.02 * uniform(100, 1, 8, 8, seed=7)])
    real = copy_ratios(thumbnails(test), thumbnails(train))[0]
    ratios, index = copy_ratios(thumbnails(samples), thumbnails(train))
    assert share_near(real, real) == pytest.approx(0.01, abs=0.001)
    assert share_near(ratios, real) == pytest.approx(0.1 + 0.9 * 0.01, abs=0.01)
    assert index[900:].equal(copied)


def test_a_picture_that_is_near_to_all_is_no_copy() -> None:
    """Oracle: the mean picture is nearer to every training image than these are to one another."""
    train, test = uniform(2000, 16, seed=0), uniform(500, 16, seed=1)
    mean = train.mean(dim=0).expand(100, 16)
    assert share_near(copy_ratios(mean, train)[0], copy_ratios(test, train)[0]) == 0


def test_an_exact_copy_has_ratio_zero_and_not_what_rounding_makes_of_it() -> None:
    train = uniform(300, 16, seed=0) + 100
    assert copy_ratios(train, train)[0].max() == 0
    assert copy_ratios(train[:1], train[:1])[0].item() == 0


@settings(max_examples=25, deadline=None)
@given(n=st.integers(2, 12), seed=seeds)
def test_the_nearest_other_is_never_the_image_itself(n: int, seed: int) -> None:
    """Oracle: all pairs, without the diagonal; an image that is there twice is at distance 0."""
    images = uniform(n, 3, seed=seed).double()
    every = (images[:, None] - images[None]).norm(dim=2).fill_diagonal_(torch.inf)
    torch.testing.assert_close(nearest_others(images), every.min(dim=1).values)
    assert nearest_others(images.repeat(3, 1)).max() == 0


def test_a_collapsed_set_is_seen_as_one() -> None:
    """Oracle: 90 of 100 samples are ten pictures, nine times each."""
    real, few = uniform(100, 16, seed=0), uniform(10, 16, seed=1)
    samples = torch.cat([few.repeat(9, 1), uniform(10, 16, seed=2)])
    assert share_near(nearest_others(samples), nearest_others(real)) == pytest.approx(0.9, abs=0.02)


def test_a_thumbnail_is_a_mean_of_pixels() -> None:
    image = torch.tensor([[0.0, 1.0, 2.0, 2.0], [1.0, 2.0, 2.0, 2.0]]).repeat(2, 1)[None, None]
    assert thumbnails(image).tolist() == [[1.0, 2.0, 1.0, 2.0]]
    assert thumbnails(image, 1).tolist() == [[pytest.approx(1.5)]]
    assert thumbnails(torch.ones(2, 3, 224, 224)).shape == (2, 3 * 16 * 16)


def test_no_other_image_is_an_error() -> None:
    with pytest.raises(T2IError, match="no other image"):
        nearest_others(uniform(1, 4, seed=0))
    with pytest.raises(T2IError, match="some of both"):
        share_near(torch.empty(0), torch.ones(3))
