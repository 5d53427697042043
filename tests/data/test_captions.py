"""Captions say what is true, nothing unclear, and mean exactly what `parse` finds in them."""

import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from t2i_course.data.captions import captions, clean, described, full_caption
from t2i_course.data.claims import PARTS, verdict
from t2i_course.data.parsing import parse, vocabulary
from t2i_course.data.shapes import SPLITS, Scene, direction, scene, third
from t2i_course.data.words import PLACES
from t2i_course.errors import T2IError

SCENES = [scene(index) for index in range(400)]
TEXTS = [captions(one, index) for index, one in enumerate(SCENES)]
drawn = {
    "index": st.integers(0, 2**63),
    "split": st.sampled_from(SPLITS),
    "things": st.sampled_from((None, 1, 2, 3)),
}


@settings(max_examples=200, deadline=None)
@given(**drawn)
def test_a_caption_is_read_back_as_the_claim_it_was_made_from(index, split, things):
    for text, claim in described(scene(index, 0, split, things), index):
        assert parse(text) == claim, text
        assert parse(text.upper().replace(",", " ;")) == claim, text


@settings(max_examples=100, deadline=None)
@given(**drawn, off=st.lists(st.integers(-3, 3), min_size=6, max_size=6))
def test_what_a_caption_says_is_true_and_stays_so_if_all_is_a_little_off(index, split, things, off):
    # Oracle: the scene it was written from, its things moved by up to three units each.
    one = scene(index, 0, split, things)
    moved = [
        replace(thing, x=thing.x + dx, y=thing.y + dy)
        for thing, dx, dy in zip(one.things, off[::2], off[1::2], strict=False)
    ]
    for text, claim in described(one, index):
        assert verdict(claim, one).all, text
        assert verdict(claim, Scene(tuple(moved))).all, text


def test_the_first_caption_says_everything():
    for index, one in enumerate(SCENES):
        text, claim = described(one, index)[0]
        assert full_caption(one, index) == text == TEXTS[index][0]
        assert len(claim.things) == len(one.things)
        assert all(wanted.colour and wanted.size for wanted in claim.things)
        parts = verdict(claim, one)
        if len({(thing.kind, thing.colour) for thing in one.things}) == len(one.things):
            places = sum((third(t.y), third(t.x)) in PLACES for t in one.things)
            assert sum(wanted.place is not None for wanted in claim.things) == places
            if len(one.things) == 2 and direction(*one.things):
                assert parts.relation is True


def test_there_are_five_always_the_same_and_varied():
    assert all(len(five) == 5 for five in TEXTS)
    assert [captions(scene(index), index) for index in range(400)] == TEXTS
    assert captions(SCENES[0], 0, seed=1) != TEXTS[0]
    flat = [text for five in TEXTS for text in five]
    assert len(set(flat)) > 0.8 * len(flat)
    lengths = [len(text.split()) for text in flat]
    assert min(lengths) <= 2 and 30 <= max(lengths) <= 50


def test_every_part_is_sometimes_said_and_sometimes_not():
    claims = [c for i, one in enumerate(SCENES) for _, c in described(one, i)[1:]]
    verdicts = [
        verdict(c, one)
        for one, c in zip((s for s in SCENES for _ in range(4)), claims, strict=True)
    ]
    for part in ("colour", "size", "place", "relation"):
        said = sum(getattr(v, part) is not None for v in verdicts) / len(verdicts)
        assert 0.15 < said < 0.97, part
    assert all(getattr(v, part) is not False for v in verdicts for part in PARTS)


def test_the_vocabulary_holds_every_word_that_is_written_and_no_word_in_vain():
    written = set()
    for index in range(1500):
        for text in captions(scene(index), index):
            written |= set(re.findall(r"[a-z0-9]+", text.lower()))
    assert written <= set(vocabulary())
    # What only people write.
    assert set(vocabulary()) - written <= {
        "1", "the", "photo", "draw", "show", "can", "are", "that", "this", "exactly",
    }  # fmt: skip


def test_cleaning_drops_the_words_that_hold_a_caption_together():
    # Oracle: by hand, with NLTK's list.
    assert clean("There is a small crimson disc in the top left corner.") == (
        "small crimson disc top left corner"
    )
    assert clean("a circle to the left of a star") == "circle left star"
    assert clean("A circle above a star.") == clean("3 circle, below star") == "circle star"


@pytest.mark.parametrize("index", [-1, 2**64, 0.5])
def test_an_index_that_cannot_be_is_one_clear_sentence(index):
    with pytest.raises(T2IError, match="index is a whole number"):
        captions(SCENES[0], index)
