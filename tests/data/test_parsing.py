"""`parse` on what people write: free in order, case and stops, strict in words."""

import pytest

from t2i_course.data.claims import Claim, Relation, Wanted
from t2i_course.data.parsing import parse
from t2i_course.errors import T2IError

CIRCLE, SQUARE, STAR = Wanted("circle"), Wanted("square"), Wanted("star")
RED = Wanted("circle", "red")


# Oracle of each: by hand.
@pytest.mark.parametrize(
    ("text", "claim"),
    [
        ("circle", Claim((CIRCLE,))),
        ("RED Circle!", Claim((RED,))),
        ("a disc that is crimson", Claim((RED,))),
        ("the circle is red", Claim((RED,))),
        ("circle, red", Claim((RED,))),
        ("scarlet little disk", Claim((Wanted("circle", "red", "small"),))),
        ("two red circles", Claim((RED, RED))),
        ("A trio of stars at the top.", Claim((Wanted("star", place=(0, None)),) * 3)),
        (
            "On the left of the picture there is a star.",
            Claim((Wanted("star", place=(None, 0)),)),
        ),
        (
            "a star in the middle of the left-hand side".replace("-hand", ""),
            Claim((Wanted("star", place=(1, 0)),)),
        ),
        ("a circle on the left of a square", Claim((CIRCLE, SQUARE), (Relation(0, "left of", 1),))),
        (
            "a circle on the left and a square in the centre",
            Claim((Wanted("circle", place=(None, 0)), Wanted("square", place=(1, 1)))),
        ),
        (
            "A circle and in the bottom right corner a square",
            Claim((CIRCLE, Wanted("square", place=(2, 2)))),
        ),
        ("circle in square", Claim((CIRCLE, SQUARE), (Relation(0, "inside", 1),))),
        ("a square around a circle", Claim((SQUARE, CIRCLE), (Relation(1, "inside", 0),))),
        ("a square with a circle inside", Claim((SQUARE, CIRCLE), (Relation(1, "inside", 0),))),
        ("a square with a circle below it", Claim((SQUARE, CIRCLE), (Relation(1, "below", 0),))),
        (
            "a circle above a square and left of a star",
            Claim((CIRCLE, SQUARE, STAR), (Relation(0, "above", 1), Relation(0, "left of", 2))),
        ),
        (
            "a circle above a square, which is left of a star",
            Claim((CIRCLE, SQUARE, STAR), (Relation(0, "above", 1), Relation(1, "left of", 2))),
        ),
        (
            "two circles above a square",
            Claim((CIRCLE, CIRCLE, SQUARE), (Relation(0, "above", 2), Relation(1, "above", 2))),
        ),
    ],
)
def test_a_caption_means(text, claim):
    assert parse(text) == claim


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a red hexagon", "word 'hexagon' of the caption 'a red hexagon' is not one for shapes"),
        ("a yelow star", "word 'yelow' .* Did you mean 'yellow'"),
        ("ein roter Kreis", "word 'ein'"),
        ("красный круг", "word 'красный'"),
        ("", "names no shape"),
        ("something red", "word 'something'"),
        ("small and red", "names no shape"),
        ("a red blue circle", "word 'blue' makes no sense where it stands"),
        ("left of a star", "word 'left of' makes no sense where it stands"),
        ("a circle above", "does not say above what"),
        ("a circle above below a square", "word 'below' makes no sense"),
        ("three circles and a star", "names more than 3 things"),
        ("a corner", "word 'corner' makes no sense"),
    ],
)
def test_what_is_not_understood_is_named(text, message):
    with pytest.raises(T2IError, match=message):
        parse(text)
