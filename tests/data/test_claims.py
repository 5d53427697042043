"""The verdict: right by part, for what the caption names, with the best pairing of things."""

import pytest

from t2i_course.data.claims import Relation, Verdict, holds, verdict
from t2i_course.data.parsing import parse
from t2i_course.data.shapes import Scene, Thing

SMALL_RED = Thing("circle", "red", 40, 40, 28)  # top left
LARGE_BLUE = Thing("square", "blue", 190, 60, 50)  # top right
BOTH = Scene((SMALL_RED, LARGE_BLUE))


# Oracle of each: by hand. Parts in the order kind, colour, size, place, count, relation.
@pytest.mark.parametrize(
    ("text", "scene", "expected"),
    [
        ("a circle", Scene((SMALL_RED,)), (True, None, None, None, True, None)),
        ("a red circle", BOTH, (True, True, None, None, False, None)),
        ("a blue circle", Scene((SMALL_RED,)), (True, False, None, None, True, None)),
        ("a red star", Scene((SMALL_RED,)), (False, True, None, None, True, None)),
        ("two red circles", Scene((SMALL_RED,)), (False, False, None, None, False, None)),
        ("a large red circle", Scene((SMALL_RED,)), (True, True, False, None, True, None)),
        ("a circle at the top left", Scene((SMALL_RED,)), (True, None, None, True, True, None)),
        ("a circle on the right", Scene((SMALL_RED,)), (True, None, None, False, True, None)),
        ("a square and a circle", BOTH, (True, None, None, None, True, None)),
        ("a red circle left of a blue square", BOTH, (True, True, None, None, True, True)),
        ("a blue square left of a red circle", BOTH, (True, True, None, None, True, False)),
        ("a blue circle and a red square", BOTH, (True, False, None, None, True, None)),
        ("a circle in a square", BOTH, (True, None, None, None, True, False)),
        ("a small red circle on the left", None, (False, False, False, False, False, None)),
    ],
)
def test_each_part_is_judged_if_it_is_named(text, scene, expected):
    found = verdict(parse(text), scene)
    assert found == Verdict(*expected)
    assert found.all == (False not in expected)


def test_things_are_paired_so_that_most_is_right():
    # Oracle: both stars bear out "star"; only one pairing makes the places right.
    stars = Scene((Thing("star", "red", 40, 40, 28), Thing("star", "red", 220, 220, 28)))
    for text in ("a star at the bottom right and a star at the top left",
                 "a star at the top left and a star at the bottom right"):  # fmt: skip
        assert verdict(parse(text), stars).all
    assert not verdict(parse("a star at the top left and a star at the top left"), stars).all


def test_a_direction_holds_within_a_wide_angle_and_its_opposite_never_does():
    # Oracle: by hand, two thirds of the distance across.
    a, opposite = SMALL_RED, {"left of": "right of", "above": "below"}
    for dx, dy, name, expected in (
        (90, 0, "left of", True), (90, 130, "left of", True), (90, 140, "left of", False),
        (90, 130, "above", True), (-90, 0, "left of", False), (0, 90, "above", True),
        (0, -90, "above", False),
    ):  # fmt: skip
        b = Thing("star", "green", a.x + dx, a.y + dy, 28)
        assert holds(name, a, b) == holds(opposite[name], b, a) == expected
        assert not (holds(name, a, b) and holds(opposite[name], a, b))


def test_inside_needs_the_shape_and_not_only_its_box():
    # Oracle: by hand. In the box's corner one is outside the diamond.
    diamond = Thing("diamond", "green", 128, 128, 72)
    for x, y, expected in ((128, 128, True), (140, 120, True), (84, 84, False), (40, 128, False)):
        inner = Thing("circle", "red", x, y, 26)
        assert holds("inside", inner, diamond) == expected
        assert not holds("inside", diamond, inner)
    inner = Thing("circle", "red", 120, 128, 26)
    assert not any(holds(name, inner, diamond) for name in ("left of", "right of", "above"))


def test_a_relation_names_what_it_relates():
    assert parse("a square around a circle").relations == (Relation(1, "inside", 0),)
