"""The cut table against open_clip's whole one."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from t2i_course.conditioning.tokenizer import BYTES, STOCK, CutTokenizer, pieces_of, stock
from t2i_course.errors import T2IError

WORDS = ("a", "red", "circle", "turquoise", "above", "lozenge", ".", ",")
tokenizer = CutTokenizer(pieces_of(WORDS), context=24)
texts = st.lists(st.sampled_from(WORDS) | st.text(max_size=8), max_size=6).map(" ".join)


def test_known_words_have_the_stock_pieces_in_the_same_order() -> None:
    caption = "A red circle, above a turquoise lozenge."
    old, new = stock().encode(caption), tokenizer.encode(caption)
    assert len(old) == len(new)
    assert all((a < b) == (c < d) for a, c in zip(old, new, strict=True)
               for b, d in zip(old, new, strict=True))  # fmt: skip
    assert tokenizer.vocab_size < BYTES + 14 < STOCK
    assert tokenizer.eot_token_id == tokenizer.vocab_size - 1 == tokenizer.sot_token_id + 1


@settings(max_examples=200, deadline=None)
@given(texts)
def test_every_text_has_ids_and_they_spell_what_the_stock_ids_spell(text: str) -> None:
    """Oracle: open_clip's tokenizer, whose ids spell the text in lower case."""
    ids = tokenizer.encode(text)
    assert all(0 <= i < tokenizer.sot_token_id for i in ids)
    assert tokenizer.decode(ids) == stock().decode(stock().encode(text))


@settings(max_examples=100, deadline=None)
@given(st.lists(texts, min_size=1, max_size=4))
def test_a_batch_has_marks_and_zeros_and_what_is_too_long_is_cut(captions: list[str]) -> None:
    ids = tokenizer(captions)
    assert ids.shape == (len(captions), 24) and ids.dtype == torch.int64
    for row, caption in zip(ids.tolist(), captions, strict=True):
        own = [tokenizer.sot_token_id, *tokenizer.encode(caption)[:22], tokenizer.eot_token_id]
        assert row == own + [0] * (24 - len(own))
    assert tokenizer.decode(ids[0].tolist()) == tokenizer.decode(tokenizer.encode(captions[0])[:22])


def test_unknown_words_are_spelled_each_in_its_own_way() -> None:
    assert tokenizer.unknown_words("A Red sneaker, above… a circel!") == ["sneaker", "circel"]
    assert tokenizer.unknown_words("a red circle.") == []
    letters = tokenizer.encode("circel")
    assert [tokenizer.decode([i]) for i in letters] == ["c", "i", "r", "c", "e", "l "]
    assert letters != tokenizer.encode("circle")


def test_spelling_a_piece_changes_the_ids_and_not_the_text() -> None:
    ids = tokenizer(["a turquoise circle", "a red circle"])
    chosen = torch.zeros_like(ids, dtype=torch.bool)
    chosen[0, 2] = True
    spelled = tokenizer.spell(ids, chosen)
    assert tokenizer.decode(spelled[0].tolist()) == "a turquoise circle "
    assert spelled[0].tolist()[:2] == ids[0].tolist()[:2] and (spelled[0] != 0).sum() == 5 + 8
    assert max(spelled[0].tolist()[2:11]) < BYTES
    assert torch.equal(spelled[1], ids[1])


def test_spelling_that_no_longer_fits_ends_with_the_mark() -> None:
    ids = tokenizer(["turquoise " * 5])
    spelled = tokenizer.spell(ids, torch.ones_like(ids, dtype=torch.bool))
    assert spelled[0, -1] == tokenizer.eot_token_id
    assert tokenizer.decode(spelled[0].tolist()).startswith("turquoise turquoise turq")


def test_a_table_of_rows_that_are_not_there_is_an_error() -> None:
    for pieces in ((5, 600), (700, 600), (600, 600), (STOCK - 2,)):
        with pytest.raises(T2IError, match="ascending rows of the stock table"):
            CutTokenizer(pieces, 24)
    with pytest.raises(T2IError, match="room for the two marks"):
        CutTokenizer((), 2)
