"""Drawn scenes as vectors and as a set, against the functions that draw one scene."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from t2i_course import alignment
from t2i_course.contract import RowGenerator
from t2i_course.data.scenes import COLOUR_NAMES, MIX, MOST, PART, SEED, encode, same, scenes
from t2i_course.data.shapes import HELD_OUT, KINDS, Scene, Thing, draw, scene
from t2i_course.errors import T2IError

A = Thing("star", "blue", 60, 70, 30)
B = Thing("circle", "red", 180, 170, 50)


def test_a_vector_says_everything_of_a_scene():
    """Oracle: the things, put together again from their numbers."""
    some = [scene(i, split=split) for split in ("test", "held-out") for i in range(60)]
    for one, row in zip(some, encode(some), strict=True):
        numbers = [list(map(int, part)) for part in row.view(MOST, PART).tolist()]
        things = [Thing(KINDS[k], COLOUR_NAMES[c], *at) for k, c, *at in numbers if k >= 0]
        assert tuple(things) == one.things
        assert numbers[len(things) :] == [[-1] * PART] * (MOST - len(things))
    with pytest.raises(T2IError, match="4 things does not fit"):
        encode([Scene((A, B, A, B))])


def test_the_set_is_the_first_scenes_of_each_split_drawn_and_encoded():
    data = scenes(0.0005)
    assert data.mix == {"train": 20, "held-out": 10} and len(data) == 30
    images, condition = data.batch(torch.tensor([3, 20]), RowGenerator(rows=2))
    for image, row, one in zip(
        images, condition.vector, [scene(3, SEED), scene(0, SEED, "held-out")], strict=True
    ):
        assert np.array_equal((255 * image).round().byte().numpy(), draw(one, 32))
        assert torch.equal(row, encode([one])[0])
    assert data.card()["mix"] == data.mix and data.card()["sha256"] == scenes(0.0005).sha256
    with pytest.raises(T2IError, match="share must be from 0 to 1"):
        scenes(2.0)


def test_the_reader_learns_every_pair_and_is_scored_on_scenes_that_it_never_saw():
    assert set(MIX) == {"train", "held-out"}
    looks = {
        (thing.colour, thing.kind)
        for split, count in MIX.items()
        for i in range(min(count, 600))
        for thing in scene(i, SEED, split).things
    }
    assert len(looks) == len(KINDS) * len(COLOUR_NAMES) and looks >= HELD_OUT
    assert SEED not in alignment.wholly_right.__defaults__


@pytest.mark.parametrize(
    "other, alike",
    [
        (Scene((B, A)), True),
        (Scene((replace(A, x=66, y=64), B)), True),
        (Scene((replace(A, x=67), B)), False),
        (Scene((replace(A, y=63), B)), False),
        (Scene((replace(A, extent=26), B)), True),
        (Scene((replace(A, extent=46), B)), False),
        (Scene((replace(A, kind="cross"), B)), False),
        (Scene((replace(A, colour="black"), B)), False),
        (Scene((A,)), False),
        (Scene((A, B, replace(B, x=60))), False),
        (Scene((A, A)), False),
        (None, False),
    ],
)
def test_scenes_are_the_same_if_each_thing_has_its_own_in_the_other(other, alike):
    assert same(Scene((A, B)), other) == same(other, Scene((A, B))) == alike
    assert same(None, None)
