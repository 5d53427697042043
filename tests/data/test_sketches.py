"""The drawn stand-in for FashionMNIST: the same bytes everywhere, whatever range was asked for."""

import ast
import hashlib
import inspect

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from t2i_course.data import sketches as module
from t2i_course.data.sketches import CHUNK, CLASSES, Canvas, sketches
from t2i_course.errors import T2IError

IMAGES, LABELS = sketches(0, 2 * CHUNK)


def test_the_first_200_sketches_are_the_same_bytes_everywhere():
    # Oracle: golden values. A change of the drawing changes them, and must be meant.
    digest = hashlib.sha256(IMAGES[:200].tobytes() + LABELS[:200].astype("<i8").tobytes())
    assert digest.hexdigest() == (
        "a8554f537bce6b51308c4f56465a5cf7518d9ccbac07563ee5a1a12742c47f7a"
    )


def test_the_drawing_holds_no_floating_point():
    # Oracle: the source, which has no fraction, no true division.
    nodes = list(ast.walk(ast.parse(inspect.getsource(module))))
    assert not [n for n in nodes if isinstance(n, ast.Div)]
    assert not [n for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, float)]


@settings(max_examples=40, deadline=None)
@given(start=st.integers(0, len(IMAGES)), length=st.integers(0, 40), across=st.booleans())
def test_any_range_is_the_slice_of_the_whole(start, length, across):
    # Oracle: the whole, drawn once; `across` puts the range over the border of a chunk.
    start = CHUNK - length // 2 if across else min(start, len(IMAGES) - length)
    images, labels = sketches(start, start + length)
    np.testing.assert_array_equal(images, IMAGES[start : start + length])
    np.testing.assert_array_equal(labels, LABELS[start : start + length])


def test_the_form_is_that_of_fashion_mnist():
    assert (IMAGES.dtype, IMAGES.shape[1:]) == (np.uint8, (28, 28))
    assert (LABELS.dtype, LABELS.shape) == (np.int64, (len(IMAGES),))
    assert (IMAGES == 0).mean(axis=(1, 2)).min() > 0.1  # a black background around each
    assert (IMAGES > 20).mean(axis=(1, 2)).min() > 0.05  # and something on it


def test_each_ten_holds_each_class_once_in_no_fixed_order():
    tens = LABELS.reshape(-1, 10)
    np.testing.assert_array_equal(np.sort(tens, axis=1), np.tile(np.arange(10), (len(tens), 1)))
    assert len(np.unique(tens, axis=0)) == len(tens)


def test_no_two_sketches_are_alike_within_a_seed_or_between_seeds():
    images, _ = sketches(0, 200, seed=1)
    drawn = np.concatenate([IMAGES, images, sketches(0, 200, seed=2**64 - 1)[0]])
    assert len(np.unique(drawn.reshape(len(drawn), -1), axis=0)) == len(drawn)


def test_shoes_point_to_the_left():
    # Oracle: FashionMNIST's shoes, which rise from the toe on the left to the heel on the right.
    for name in ("Sneaker", "Ankle boot"):
        shoes = IMAGES[CLASSES.index(name) == LABELS] > 0
        assert (
            shoes[:, :, 16:].argmax(axis=1).min(1) < shoes[:, :, :8].argmax(axis=1).min(1)
        ).all()


def test_the_label_says_what_is_drawn():
    # Oracle: a classifier that knows only the mean picture of each class; chance is 0.1.
    train, test = IMAGES[:CHUNK].reshape(CHUNK, -1) / 255, IMAGES[CHUNK:].reshape(CHUNK, -1) / 255
    means = np.stack([train[LABELS[:CHUNK] == label].mean(axis=0) for label in range(10)])
    guess = ((test[:, None] - means) ** 2).sum(axis=2).argmin(axis=1)
    assert (guess == LABELS[CHUNK:]).mean() > 0.6


def test_a_part_covers_each_pixel_in_proportion_to_its_area():
    # Oracle: by hand. 2.2 pixels high and 1.5 wide, moved right by 0.3: from y 1.2, x 0.8.
    canvas = Canvas(1, shift=np.array([3]))
    canvas.paint(200, (12, 5, 20), (34, 5, 20))
    expected = 200 * np.outer([0, 8, 10, 4], [2, 10, 3, 0]) // 100
    np.testing.assert_array_equal(canvas.grey[0, :4, :4], expected)
    assert canvas.grey.sum() == expected.sum()


@pytest.mark.parametrize(
    ("start", "stop", "seed"), [(-1, 5, 0), (5, 4, 0), (0, 5, -1), (0, 5, 2**64), (0, 1.5, 0)]
)
def test_a_range_or_seed_that_cannot_be_is_one_clear_sentence(start, stop, seed):
    with pytest.raises(T2IError, match="Sketches need whole numbers with 0 <= start <= stop"):
        sketches(start, stop, seed)
