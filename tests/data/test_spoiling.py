"""Drawings made worse: what stays, what changes, and that none of it depends on the batch."""

import torch
import torch.nn.functional as F

from t2i_course.contract import RowGenerator
from t2i_course.data.reader import read
from t2i_course.data.scenes import encode
from t2i_course.data.shapes import draw, scene
from t2i_course.data.spoiling import damaged, spoiled

SCENES = [scene(i) for i in range(80)]
IMAGES = torch.stack([torch.from_numpy(draw(one, 32)) for one in SCENES]) / 255


def test_half_of_the_pictures_stay_as_they_are_and_the_others_in_range():
    images = IMAGES[:64]
    seen = spoiled(images, RowGenerator(1, rows=64), noise=0.1, tint=0.1)
    clean = (seen == images).flatten(1).all(1)
    assert 16 < clean.sum() < 48 and seen.min() >= 0 and seen.max() <= 1
    assert 0.01 < (seen - images)[~clean].abs().mean() < 0.1
    part = spoiled(images[40:], RowGenerator(1, rows=range(40, 64)), noise=0.1, tint=0.1)
    torch.testing.assert_close(part, seen[40:])  # whatever the batch
    soft = spoiled(images, RowGenerator(1, rows=64), noise=0, tint=0)
    assert (soft <= F.max_pool2d(images, 3, 1, 1) + 1e-6).all()
    assert not torch.equal(soft, images)


def test_hardly_a_damaged_picture_is_a_drawing_to_the_exact_reader():
    """Oracle: the exact reader, which reads every one of them before."""
    worse = damaged(IMAGES, encode(SCENES), RowGenerator(0, rows=80))
    found = [read(one.numpy()) for one in worse.clamp(0, 1)]
    assert sum(one is not None for one in found) <= 0.1 * len(found)
    assert all(read(one.numpy()) is not None for one in IMAGES)


def test_damage_is_the_same_however_the_batch_is_cut():
    vectors = encode(SCENES)
    whole = damaged(IMAGES, vectors, RowGenerator(0, rows=80))
    part = damaged(IMAGES[50:70], vectors[50:70], RowGenerator(0, rows=range(50, 70)))
    torch.testing.assert_close(part, whole[50:70])
