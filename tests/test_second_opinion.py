"""Both readers of drawn shapes beside each other."""

import pytest
import torch
import torch.nn.functional as F

from t2i_course import alignment
from t2i_course.contract import T2IError


@pytest.fixture(scope="module")
def asked():
    return alignment.prompts("two", 60, seed=4)


def test_both_readers_agree_on_drawings_and_on_which_are_of_other_prompts(asked):
    images = asked.drawings / 255
    for shown in (images, images.roll(1, dims=0)):
        first = alignment.judged(shown, asked.claims)
        second = alignment.second_opinion(shown, asked.claims)
        assert sum(a == b for a, b in zip(first, second, strict=True)) >= 59


def test_the_agreement_is_the_share_of_equal_verdicts_and_counts_what_one_alone_reads(asked):
    """Oracle: both readers' words, counted here; the pictures are blurred till the exact one gives
    up on some."""
    images = asked.drawings / 255
    images[:30] = F.avg_pool2d(F.pad(images[:30], (1,) * 4, mode="replicate"), 3, stride=1)
    images[:10] += 0.15 * torch.randn(images[:10].shape, generator=torch.Generator().manual_seed(0))
    images = images.clamp(0, 1).roll(1, dims=0)
    images[1:31] = images[1:31].roll(-1, dims=0)
    scores = alignment.score(images, asked, "two")
    exact = alignment.judged(images, asked.claims)
    second = alignment.second_opinion(images, asked.claims)
    equal = [a.all == b.all for a, b in zip(exact, second, strict=True)]
    assert scores["agreement"].value == pytest.approx(sum(equal) / 60) and 0 < sum(equal) < 60
    assert scores["agreement"].ceiling >= 0.98
    read = [alignment.read((255 * one).round().byte().numpy()) for one in images]
    alone = [one is None and other.all for one, other in zip(read, second, strict=True)]
    assert scores["second only"].value == pytest.approx(sum(alone) / 60) and sum(alone) > 0
    assert f"no answer on {sum(one is None for one in read)} of 60; {sum(alone)} of these" in (
        scores["agreement"].note
    )
    assert scores["agreement"].features_sha256 == alignment.trained_reader().sha256


def test_each_image_needs_its_own_claim(asked):
    with pytest.raises(T2IError, match="60 images and 59 claims"):
        alignment.second_opinion(asked.drawings / 255, asked.claims[1:])
