"""Sets of drawn shapes, against the functions that draw and describe one scene."""

import numpy as np
import pytest

from t2i_course.data.captions import captions
from t2i_course.data.drawn import MIX, mixed, shapes
from t2i_course.data.shapes import draw, scene
from t2i_course.errors import T2IError


@pytest.mark.parametrize("source, side", [("shapes", 32), ("shapes-64", 64)])
def test_a_set_is_the_first_scenes_drawn_and_described(source, side) -> None:
    data = shapes("held-out", 12, source, seed=3, things=2)
    assert (data.name, data.split, len(data)) == (source, "held-out", 12)
    for index in (0, 11):
        one = scene(index, 3, "held-out", 2)
        assert np.array_equal(data.images[index].numpy(), draw(one, side))
        assert data.captions[index] == captions(one, index, 3)


def test_a_training_set_has_its_share_of_each_number_of_things_and_draws_full_captions_most() -> (
    None
):
    data = mixed("train", share=0.001)
    counts = [round(0.001 * count) for count in MIX.values()]
    assert len(data) == sum(counts) and None in MIX
    second = shapes("train", counts[1], seed=1, things=2)
    assert data.captions[counts[0] : counts[0] + counts[1]] == list(second.captions)
    assert data.images[counts[0]].equal(second.images[0])
    all_of_them = mixed("train", share=0.05)
    assert len({tuple(one) for one in all_of_them.captions}) == len(all_of_them)
    often = data.weighted(12).captions[0]
    assert often.count(data.captions[0][0]) >= 12 and len(often) == 16
    assert set(often) == set(data.captions[0])


def test_sets_that_are_not_there_are_an_error() -> None:
    with pytest.raises(T2IError, match="Did you mean 'shapes-64'"):
        shapes(source="shapes64")
    with pytest.raises(T2IError, match="at least one picture, not 0"):
        shapes(count=0)
    with pytest.raises(T2IError, match="split"):
        shapes("tset", 1)
