"""Scores of photographs, on models whose right scores are known: one that hands out the real
photographs, one that hands them to the wrong captions, one that hands out the training set."""

import pytest
import torch

from t2i_course import photo_evaluation, texts
from t2i_course.contract import Family, T2IError
from t2i_course.data import drawn

N = 100


class Known(Family):
    """Draws image i for row i."""

    name, sampling_type, settings, conditional = "known", None, None, True

    def __init__(self, images):
        super().__init__()
        self.nothing = torch.nn.Parameter(torch.zeros(1))
        self.images, self.image_shape = images, tuple(images.shape[1:])

    @property
    def networks(self):
        return {}

    def loss(self, name, images, condition, generator):
        raise NotImplementedError

    def sample(self, condition, generator, settings=None):
        return self.images[list(generator.rows)]


@pytest.fixture(scope="module")
def sets():
    data = drawn.shapes("train", 700)
    return data, data[slice(0, 500)], data[slice(500, 700)]


def evaluate(images, sets, **how):
    _, train, test = sets
    return photo_evaluation.evaluate(
        Known(images), texts.load("keywords:20", train.all_captions()), texts.load("clip-tiny"),
        train, test, how.pop("count", N), **how,
    )  # fmt: skip


def test_real_photographs_reach_the_ceiling_and_shuffled_ones_the_floor(sets):
    real = sets[2].pixels(slice(0, N))
    right = evaluate(real, sets).scores
    assert right["retrieval"].value == right["retrieval"].ceiling > 0.5
    assert right["of_the_way"].value == 1
    assert right["clip_score"].value == pytest.approx(right["clip_score"].ceiling)
    assert right["frechet"].value == pytest.approx(0, abs=1e-6)
    wrong = evaluate(real.roll(-1, 0), sets).scores
    assert abs(wrong["of_the_way"].value) < 0.1
    assert wrong["clip_score"].value < right["clip_score"].floor + 3


def test_a_model_that_hands_out_its_training_set_is_caught(sets):
    found = evaluate(sets[1].pixels(slice(0, N)), sets).scores
    assert found["near_copies"].value > 0.9
    assert evaluate(sets[2].pixels(slice(0, N)), sets).scores["near_copies"].value < 0.05


def test_no_teacher_judges_its_own_pupil_and_counts_must_fit(sets):
    _, train, test = sets
    judge, model = texts.load("clip-tiny"), Known(test.pixels(slice(0, N)))
    with pytest.raises(T2IError, match="another CLIP must judge"):
        photo_evaluation.evaluate(model, judge, judge, train, test, N)
    with pytest.raises(T2IError, match="count must be from 2 to the 200"):
        evaluate(torch.zeros(1, 3, 32, 32), (None, train, test), count=201)
    with pytest.raises(T2IError, match="no CLIP"):
        photo_evaluation.judge_of("words:red blue")
