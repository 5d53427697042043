"""The reader: wholly right on drawings, right or silent on what is not one."""

from dataclasses import replace
from itertools import pairwise, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from t2i_course.data.reader import read
from t2i_course.data.shapes import COLOURS, GROUND, KINDS, SIDES, SPLITS, Scene, Thing, draw, scene
from t2i_course.errors import T2IError

sides = pytest.mark.parametrize("side", SIDES)
SCENES = [scene(index, split="test") for index in range(60)]


def same(shown: Scene, found: Scene | None, units: int = 3) -> bool:
    """Whether the things are the same in any order, centres and extents within some units."""

    def alike(a: Thing, b: Thing) -> bool:
        off = max(abs(a.x - b.x), abs(a.y - b.y), abs(a.extent - b.extent))
        return (a.kind, a.colour, a.size) == (b.kind, b.colour, b.size) and off <= units

    return (
        found is not None
        and len(found.things) == len(shown.things)
        and any(all(map(alike, shown.things, order)) for order in permutations(found.things))
    )


def noise(side: int, sigma: float, key: int) -> np.ndarray:
    return sigma * np.random.Generator(np.random.Philox(key)).standard_normal((3, side, side))


def bytes_of(picture: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


@settings(max_examples=200, deadline=None)
@given(
    index=st.integers(0, 2**63),
    split=st.sampled_from(SPLITS),
    side=st.sampled_from(SIDES),
    things=st.sampled_from((None, 1, 2, 3)),
)
def test_a_drawing_is_read_wholly_right(index, split, side, things):
    one = scene(index, 0, split, things)
    assert same(one, read(draw(one, side)), units=1)


@sides
def test_every_kind_in_every_colour_is_read(side):
    for kind in KINDS:
        for colour in COLOURS:
            for extent in (26, 33, 46, 56):
                one = Scene((Thing(kind, colour, 101, 147, extent),))
                assert same(one, read(draw(one, side)))


@sides
def test_floating_point_is_read_as_bytes_are(side):
    for one in SCENES[:10]:
        assert read(draw(one, side) / np.float32(255)) == read(draw(one, side))


@sides
def test_slight_noise_and_slightly_wrong_colours_are_read(side):
    random = np.random.Generator(np.random.Philox(5))
    for key, one in enumerate(SCENES[:30]):
        assert same(one, read(bytes_of(draw(one, side) + noise(side, 8, key))), 6)
        shift = random.integers(-25, 26, (3, 1, 1))  # of all colours alike
        assert same(one, read(bytes_of(draw(one, side) + shift)), 6)


@sides
def test_a_thing_inside_another_comes_after_it_in_any_two_colours(side):
    for outer in COLOURS:
        for inner in COLOURS:
            if inner != outer:
                one = Scene(
                    (Thing("square", outer, 125, 131, 70), Thing("star", inner, 127, 130, 27))
                )
                found = read(draw(one, side))
                assert same(one, found) and found.things[0].kind == "square", (outer, inner)


@sides
def test_what_is_no_drawing_has_no_answer(side):
    light = np.empty((3, side, side), np.uint8)
    light[:] = np.array(GROUND)[:, None, None]
    assert read(light) is None
    assert read(np.zeros_like(light)) is None
    assert read(bytes_of(128 + noise(side, 80, 1))) is None
    for one, other in pairwise(SCENES[:30]):
        ghosts = (draw(one, side).astype(float) + draw(other, side)) / 2
        assert read(bytes_of(ghosts)) is None
        inverse = 255 - draw(one, side)
        assert read(inverse) is None


@sides
def test_damage_is_read_right_or_not_at_all(side):
    # Oracle: the scene that was drawn before the damage.
    for key, one in enumerate(SCENES[:30]):
        drawn = draw(one, side).astype(float)
        thing = one.things[0]
        half = drawn.copy()
        block = 256 // side
        rows = slice((thing.y - thing.extent) // block, (thing.y + thing.extent) // block + 1)
        half[:, rows, : thing.x // block] = np.array(GROUND)[:, None, None]
        for damaged in (
            half,
            drawn + noise(side, 40, key),
            ndimage.gaussian_filter(drawn, (0, 2, 2)),
            ndimage.gaussian_filter(drawn, (0, 0.8, 0.8)),
        ):
            found = read(bytes_of(damaged))
            assert found is None or same(one, found, 12)


@sides
def test_two_things_of_a_colour_run_together_are_no_shape(side):
    a = Thing("circle", "green", 100, 128, 50)
    for kind in KINDS:
        b = Thing(kind, "green", 160, 128, 50)
        assert read(draw(Scene((a, b)), side)) is None


@sides
def test_a_part_that_no_thing_explains_leaves_no_answer(side):
    # Oracle: by hand: a patch in a colour of no thing, a faint one, a bump on a large thing.
    one = Scene((Thing("square", "red", 70, 70, 40), Thing("circle", "blue", 180, 180, 50)))
    assert same(one, read(draw(one, side)))
    for colour in ((255, 150, 190), (130, 80, 40), (150, 150, 150)):
        picture = draw(one, side)
        picture[:, side // 8 : side // 4, side * 3 // 4 : side * 7 // 8] = np.array(colour)[
            :, None, None
        ]
        assert read(picture) is None
    bump = Thing("square", "blue", 180, 120, 14)
    assert read(draw(Scene((*one.things, bump)), side)) is None


@sides
def test_turned_shapes_are_none_of_ours(side):
    # Oracle: squares, stars and crosses turned by 20 degrees.
    light = np.array(GROUND, float)[:, None, None]
    for kind in ("square", "star", "cross", "triangle", "diamond"):
        picture = draw(Scene((Thing(kind, "red", 128, 128, 56),)), side) - light
        turned = ndimage.rotate(picture, 20, axes=(1, 2), reshape=False, order=1) + light
        assert read(bytes_of(turned)) is None


@sides
def test_a_size_between_the_two_is_neither(side):
    one = Scene((Thing("square", "red", 120, 120, 39),))
    found = read(draw(one, side))
    assert same(one, found) and found.things[0].size == "medium"


@sides
def test_a_thing_of_another_kind_is_not_mistaken(side):
    # Oracle: shapes that are none of ours, drawn from ours: long and short ones, and a ring.
    for kind in KINDS:
        picture = draw(Scene((Thing(kind, "blue", 128, 128, 52),)), side)
        wide = picture[:, :, side // 4 : -side // 4].repeat(2, axis=2)
        assert read(wide) is None
    ring = Scene((Thing("circle", "blue", 128, 128, 52),))
    picture = draw(ring, side)
    middle = slice(side // 2 - side // 8, side // 2 + side // 8)
    picture[:, middle, middle] = np.array(GROUND)[:, None, None]
    assert read(picture) is None


def test_what_was_read_says_where_and_how_large():
    # Oracle: moving or growing the thing moves or grows the answer.
    one = Thing("cross", "purple", 90, 170, 48)
    (found,) = read(draw(Scene((one,)), 32)).things
    for change in ({"x": 103}, {"y": 159}, {"extent": 55}):
        (other,) = read(draw(Scene((replace(one, **change),)), 32)).things
        for name, value in change.items():
            assert abs(getattr(other, name) - getattr(found, name) - value + getattr(one, name)) < 2


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((3, 28, 28), np.uint8), r"S 32 or 64, not \[3, 28, 28\]"),
        (np.zeros((32, 32, 3), np.uint8), r"\[3, S, S\]"),
        (np.full((3, 32, 32), 200.0), "floating point in .0, 1., not float64 from 200"),
        (np.full((3, 32, 32), np.nan), "floating point in"),
        (np.zeros((3, 32, 32), np.int64), "not int64"),
    ],
)
def test_an_image_of_another_form_is_one_clear_sentence(image, message):
    with pytest.raises(T2IError, match=message):
        read(image)
