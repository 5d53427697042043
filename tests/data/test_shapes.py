"""Drawn scenes: the same bytes everywhere, exact in area, and kept to their split."""

import ast
import hashlib
import inspect
from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from t2i_course.data import shapes
from t2i_course.data.shapes import (
    COLOURS,
    GAP,
    GROUND,
    HELD_OUT,
    KINDS,
    SPLITS,
    Scene,
    Thing,
    direction,
    draw,
    encloses,
    mask,
    scene,
)
from t2i_course.errors import T2IError

TRAIN = [scene(index) for index in range(1000)]
indices = st.integers(0, 2**63)


def pairs(scenes):
    return [(thing.colour, thing.kind) for one in scenes for thing in one.things]


@pytest.mark.parametrize(
    ("side", "golden"),
    [
        (32, "7ab0a116f69bc1a0dff1fe68ad4b9f9c769e264ce96161b79cef3965f914ac26"),
        (64, "026666dd6706bcd686bc484357ca880f37657b71bcffe8c574d30fb88429a7f6"),
    ],
)
def test_the_first_200_drawings_are_the_same_bytes_everywhere(side, golden):
    # Oracle: golden values. A change of the drawing changes them, and must be meant.
    pictures = np.stack([draw(scene(i, split=s), side) for s in SPLITS for i in range(67)][:200])
    assert (pictures.dtype, pictures.shape) == (np.uint8, (200, 3, side, side))
    assert hashlib.sha256(pictures.tobytes()).hexdigest() == golden


def test_the_drawing_holds_no_floating_point():
    # Oracle: the source, which has no fraction and no true division.
    nodes = list(ast.walk(ast.parse(inspect.getsource(shapes))))
    assert not [n for n in nodes if isinstance(n, ast.Div)]
    assert not [n for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, float)]


def test_no_two_scenes_are_alike_within_or_between_seeds_and_splits():
    scenes = [
        scene(index, seed, split)
        for index in range(100)
        for seed in (0, 1, 2**64 - 1)
        for split in SPLITS
    ]
    assert len(set(scenes)) == len(scenes)


@settings(max_examples=100, deadline=None)
@given(index=indices, split=st.sampled_from(SPLITS), things=st.sampled_from((None, 1, 2, 3)))
def test_things_lie_in_the_picture_and_apart_or_wholly_inside(index, split, things):
    # Oracle for "inside": the cells of the inner thing are cells of the outer one.
    one = scene(index, 0, split, things)
    assert things in (None, len(one.things))
    for t in one.things:
        assert t.extent < min(t.x, t.y) and max(t.x, t.y) + t.extent < 256
        assert t.size in ("small", "large")
    for a, b in combinations(one.things, 2):
        if encloses(a, b):
            assert (b.size, a.size) == ("small", "large") and a.colour != b.colour
            cells = np.zeros((256, 256), bool)
            box = slice(b.y - b.extent, b.y + b.extent), slice(b.x - b.extent, b.x + b.extent)
            cells[box] = mask(b.kind, b.extent)
            box = slice(a.y - a.extent, a.y + a.extent), slice(a.x - a.extent, a.x + a.extent)
            cells[box] &= ~mask(a.kind, a.extent)
            assert not cells.any()
        else:
            gap = max(abs(a.x - b.x), abs(a.y - b.y)) - a.extent - b.extent
            assert gap >= GAP


def test_held_out_pairs_are_shown_by_their_split_only_and_the_rest_stays_frequent():
    assert not HELD_OUT & {*pairs(TRAIN), *pairs(scene(i, split="test") for i in range(300))}
    for index in range(300):
        for things in (None, 1, 2, 3):
            assert HELD_OUT & set(pairs([scene(index, 0, "held-out", things)]))
    shown = Counter(pairs(TRAIN))
    assert len(shown) == len(KINDS) * len(COLOURS) - len(HELD_OUT)
    for part, names in ((0, COLOURS), (1, KINDS)):
        counts = Counter(pair[part] for pair in shown.elements())
        assert min(counts[name] for name in names) > 0.7 * shown.total() / len(names)


def test_two_things_by_request_have_a_relation_and_all_relations_are_drawn():
    found = Counter()
    for index in range(300):
        a, b = scene(index, things=2).things
        found[direction(a, b) or ("inside" if encloses(a, b) else None)] += 1
    assert set(found) == {"left of", "right of", "above", "below", "inside"}
    assert min(found.values()) > 30


def test_all_forms_are_among_the_mixed_scenes():
    numbers = Counter(len(one.things) for one in TRAIN)
    alike = Counter(len(one.things) for one in TRAIN if len(set(pairs([one]))) == 1)
    assert min(numbers[count] for count in (1, 2, 3)) > 200
    assert min(alike[count] for count in (2, 3)) > 50


def test_a_pixel_is_mixed_in_proportion_to_what_is_covered():
    # Oracle: by hand. At 64 a pixel is 4 units: a square from x 30 to 50, y 20 to 40.
    picture = draw(Scene((Thing("square", "black", 40, 30, 10),)), 64).astype(int)
    assert (picture[:, 5:10, 8:12].transpose(1, 2, 0) == COLOURS["black"]).all()
    half = [(light + dark + 1) // 2 for light, dark in zip(GROUND, COLOURS["black"], strict=True)]
    for column in (7, 12):
        np.testing.assert_array_equal(picture[:, 5:10, column].T, [half] * 5)
    outside = np.ones((64, 64), bool)
    outside[5:10, 7:13] = False
    assert (picture[:, outside].T == GROUND).all()


def test_what_lies_outside_the_picture_is_cut_off():
    # Oracle: the same thing wholly inside, cut by hand.
    for x, y in ((0, 128), (128, 0), (256, 256), (128, 300), (-64, 128)):
        part = draw(Scene((Thing("star", "red", x, y, 40),)), 64)
        whole = draw(Scene((Thing("star", "red", 128, 128, 40),)), 64)
        dx, dy = (x - 128) // 4, (y - 128) // 4
        expected = np.empty_like(whole)
        expected[:] = np.array(GROUND)[:, None, None]
        rows, columns = np.arange(64) - dy, np.arange(64) - dx
        seen = np.ix_(range(3), (rows >= 0) & (rows < 64), (columns >= 0) & (columns < 64))
        expected[seen] = whole[:, rows[(rows >= 0) & (rows < 64)]][
            :, :, columns[(columns >= 0) & (columns < 64)]
        ]
        np.testing.assert_array_equal(part, expected)


def test_a_scene_is_the_same_picture_at_both_sides():
    # Oracle: four pixels at 64 averaged are one at 32, up to rounding.
    for one in TRAIN[:100]:
        large, small = draw(one, 64).astype(float), draw(one, 32).astype(float)
        assert np.abs(large.reshape(3, 32, 2, 32, 2).mean(axis=(2, 4)) - small).max() < 1.5 or any(
            encloses(a, b) for a, b in combinations(one.things, 2)
        )  # an edge over an edge is mixed twice


@pytest.mark.parametrize(
    ("kind", "area"),
    [("circle", np.pi), ("square", 4), ("triangle", 2), ("diamond", 2), ("cross", 2.04)],
)
def test_the_areas_are_those_of_geometry(kind, area):
    assert abs(mask(kind, 100).sum() / 100**2 - area) < 0.025


def test_a_star_has_five_points_and_touches_its_box():
    cells = mask("star", 60)
    assert all(edge.any() for edge in (cells[:2], cells[-2:], cells[:, :3], cells[:, -3:]))
    low = cells[-4].astype(int)
    assert (np.diff(np.concatenate([[0], low, [0]])) == 1).sum() == 2  # two feet
    np.testing.assert_array_equal(cells, cells[:, ::-1])


def test_no_colour_nor_mixture_with_the_ground_is_near_another_colour():
    ground = np.array(GROUND, float)
    for name, colour in COLOURS.items():
        for other, value in COLOURS.items():
            if name != other:
                mixed = ground + np.linspace(0, 1, 101)[:, None] * (np.array(colour) - ground)
                assert np.linalg.norm(mixed - value, axis=1).min() > 75
                assert np.linalg.norm(np.subtract(colour, value)) > 108


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: scene(-1), "index is a whole number from 0 up, not -1"),
        (lambda: scene(0, seed=2**64), "seed is a whole number"),
        (lambda: scene(0, seed=0.5), "seed is a whole number"),
        (lambda: scene(0, split="held out"), "Did you mean 'held-out'"),
        (lambda: scene(0, things=4), "1, 2 or 3 things, or None"),
        (lambda: draw(scene(0), 28), "32x32 or 64x64, not at side 28"),
    ],
)
def test_what_cannot_be_is_one_clear_sentence(call, message):
    with pytest.raises(T2IError, match=message):
        call()
