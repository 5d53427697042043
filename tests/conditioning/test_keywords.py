"""Keywords: the most frequent words as a vector of zeros and ones."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from t2i_course.conditioning.keywords import Keywords, words_of
from t2i_course.contract import T2IError

CAPTIONS = [
    "Two dogs run on the grass.", "A dog and a man", "The man's dog-house; 3 dogs!",
    "Dishes in a sink", "a dish", "GRASS",
]  # fmt: skip
STOP = {"two", "the", "and", "run"}


def test_the_most_frequent_words_are_kept_with_their_plurals_as_one():
    """By hand: dog 4, grass, man and dish 2, house and sink 1; short and stop words are none."""
    keywords = Keywords.of(CAPTIONS, 6, STOP)
    assert keywords.words == ("dog", "dish", "grass", "man", "house", "sink")
    assert Keywords.of(CAPTIONS, 2, STOP).words == ("dog", "dish")
    with pytest.raises(T2IError, match="have 6 keywords, not 7"):
        Keywords.of(CAPTIONS, 7, STOP)


def test_a_captions_vector_is_one_where_its_words_are():
    keywords = Keywords(["dog", "dish", "grass"])
    found = keywords.text(["Dishes, DISHES for dogs", "a catalogue of dogma", "grass"])
    assert found.vector.tolist() == [[1, 1, 0], [0, 0, 0], [0, 0, 1]]
    assert found.tokens is None and found.present.all()
    assert (keywords.dim, keywords.token_dim, keywords.title) == (3, 0, "keywords-3")


@given(st.lists(st.text(max_size=30), min_size=1, max_size=5))
def test_any_text_has_a_vector_that_its_order_does_not_change(captions):
    keywords = Keywords(["dog", "man", "straße"])
    vector = keywords.text(captions).vector
    turned = keywords.text([" ".join(words_of(one)[::-1]) for one in captions]).vector
    assert torch.equal(vector, turned) and ((vector == 0) | (vector == 1)).all()


def test_other_words_have_another_hash_and_the_source_is_the_list():
    one, two = Keywords(["dog", "man"]), Keywords(["man", "dog"])
    assert one.sha256 != two.sha256 and one.source == "words:dog man"
    encoder = one.encoder()
    assert (encoder.dim, encoder.token_dim, encoder.source) == (2, 0, "words:dog man")


@pytest.mark.parametrize(("call", "message"), [
    (lambda: Keywords(["dog", "dog"]), "different words"),
    (lambda: Keywords([]), "different words"),
    (lambda: Keywords.of(CAPTIONS, 0), "at least 1"),
    (lambda: Keywords(["dog"]).text([]), "no caption"),
    (lambda: Keywords(["dog"]).text(["a"], tokens=True), "no tokens"),
    (lambda: Keywords(["dog"]).check(["a cat"]), "none of the 1 keywords .* such as dog"),
    (lambda: Keywords(["dog"]).check([" "]), "prompt is empty"),
])  # fmt: skip
def test_what_cannot_be_is_said(call, message):
    with pytest.raises(T2IError, match=message):
        call()
