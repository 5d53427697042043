"""Sets of drawn shapes, against the functions that draw and describe one scene."""

import numpy as np
import pytest

from t2i_course.data.captions import captions
from t2i_course.data.drawn import shapes
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


def test_sets_that_are_not_there_are_an_error() -> None:
    with pytest.raises(T2IError, match="Did you mean 'shapes-64'"):
        shapes(source="shapes64")
    with pytest.raises(T2IError, match="at least one picture, not 0"):
        shapes(count=0)
    with pytest.raises(T2IError, match="split"):
        shapes("tset", 1)
