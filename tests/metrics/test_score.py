"""A score says everything that it depends on."""

import dataclasses
import json

import pytest

from t2i_course.errors import T2IError
from t2i_course.metrics.score import Score

FRECHET = Score(
    name="Fréchet distance",
    value=1.23,
    samples=10_000,
    features="features-fashion",
    features_sha256="3fa2b1" + 58 * "0",
    resize="none",
    reference="FashionMNIST test 10,000",
    floor=0.3,
)


def test_a_score_reads_as_one_line_with_its_floor() -> None:
    assert str(FRECHET) == (
        "Fréchet distance 1.23 (4.1 x the floor 0.3; 10,000 samples; "
        "features-fashion 3fa2b1; against FashionMNIST test 10,000)"
    )


def test_a_line_shows_resize_ceiling_and_note_where_there_are_any() -> None:
    accuracy = Score(
        name="Accuracy",
        value=0.81234,
        samples=500,
        features="judge",
        features_sha256="ab12cd34",
        resize="bilinear to 28",
        reference="",
        ceiling=0.93,
        note="stand-in data",
    )
    assert str(accuracy) == (
        "Accuracy 0.812 (ceiling 0.93; 500 samples; judge ab12cd; resize bilinear to 28; "
        "stand-in data)"
    )
    assert "distance 12,345.6 (" in str(dataclasses.replace(FRECHET, value=12345.6))


def test_a_line_shows_the_interval_and_what_made_it() -> None:
    score = dataclasses.replace(FRECHET, low=1.2, high=1.4, interval="5 sampling seeds")
    assert str(score).startswith("Fréchet distance 1.23 (1.2 to 1.4, 5 sampling seeds; 4.1 x the")
    assert Score(**json.loads(json.dumps(score.to_dict()))) == score


@pytest.mark.parametrize(
    "parts",
    [
        {"low": 1.0, "high": 2.0},
        {"low": 1.0, "interval": "5 sampling seeds"},
        {"interval": "5 sampling seeds"},
        {"low": 1.3, "high": 1.4, "interval": "a bootstrap"},
    ],
)
def test_an_interval_has_two_ends_an_origin_and_the_value_inside(parts: dict) -> None:
    with pytest.raises(T2IError, match="interval of Fréchet distance needs both ends"):
        dataclasses.replace(FRECHET, **parts)


def test_a_score_without_features_names_none() -> None:
    assert str(Score("Share shown", 0.5, samples=40)) == "Share shown 0.5 (40 samples)"


def test_times_floor_is_the_ratio_and_needs_a_floor_above_zero() -> None:
    assert FRECHET.times_floor == pytest.approx(4.1)
    assert dataclasses.replace(FRECHET, floor=None).times_floor is None
    assert dataclasses.replace(FRECHET, floor=-0.1).times_floor is None
    without = dataclasses.replace(FRECHET, floor=0.0)
    assert without.times_floor is None
    assert "(floor 0; 10,000" in str(without)


def test_a_score_survives_json() -> None:
    assert Score(**json.loads(json.dumps(FRECHET.to_dict(), allow_nan=False))) == FRECHET


@pytest.mark.parametrize("part", ["value", "floor", "ceiling"])
def test_a_number_that_is_not_finite_is_no_score(part: str) -> None:
    with pytest.raises(T2IError, match=f"The {part} of Fréchet distance is nan"):
        dataclasses.replace(FRECHET, **{part: float("nan")})


def test_a_score_of_no_samples_is_an_error() -> None:
    with pytest.raises(T2IError, match="0 samples"):
        dataclasses.replace(FRECHET, samples=0)
