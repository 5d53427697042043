"""open_clip's byte-pair tokenizer over a table cut to the pieces that a small vocabulary needs.

The stock table has 49,408 rows, most of a small model's weights. `CutTokenizer` keeps the 512 rows
of single bytes, the two marks and whatever pieces it is given, and numbers them anew in the same
order: the end mark keeps the largest id, which is where open_clip's pooling looks for a sentence.

A word that has no piece of its own in the table is spelled by its bytes, so that a text in any
script has tokens, and two unknown words have different ones. Their rows are trained by spelling
out a few known words in each batch (`spell`), as BPE-dropout does (Provilkov, Emelianenko and
Voita 2020): a word with a slip in it is then read by its letters.
"""

import itertools
from collections.abc import Iterable, Sequence
from functools import cache, cached_property
from typing import Any

import torch
from torch import Tensor

from t2i_course.contract import require

BYTES = 512  # rows of the stock table: each byte inside a word, then each at a word's end
STOCK = 49_408  # rows of the stock table; the last two are the marks of start and end


@cache
def stock() -> Any:
    """open_clip's own tokenizer (0.2 s, and open_clip's import before it)."""
    from open_clip.tokenizer import SimpleTokenizer

    return SimpleTokenizer()


def pieces_of(words: Iterable[str]) -> tuple[int, ...]:
    """The rows of the stock table that these words need beside its bytes and marks, ascending."""
    return tuple(
        sorted({piece for word in words for piece in stock().encode(word) if piece >= BYTES})
    )


class CutTokenizer:
    """Captions to ids of the cut table; called as open_clip's tokenizers are.

    Args:
        pieces: rows of the stock table to keep beside bytes and marks (see `pieces_of`), ascending.
        context: T, the ids of a caption; the marks of start and end are two of them.

    Attributes:
        vocab_size: rows of the cut table.
        sot_token_id, eot_token_id: the marks; the end mark is the largest id.

    Raises:
        T2IError: if the pieces are not ascending rows of the stock table.
    """

    def __init__(self, pieces: Sequence[int], context: int):
        kept = [*range(BYTES), *pieces, STOCK - 2, STOCK - 1]
        require(
            all(a < b for a, b in itertools.pairwise(kept)),
            f"pieces must be ascending rows of the stock table from {BYTES} to {STOCK - 3}.",
        )
        require(context >= 3, f"context must have room for the two marks, not {context} ids.")
        self.pieces, self.context_length = tuple(pieces), context
        self.vocab_size = len(kept)
        self.sot_token_id, self.eot_token_id = self.vocab_size - 2, self.vocab_size - 1
        self._kept = kept
        self._new = {old: new for new, old in enumerate(kept)}
        self._cache: dict[int, tuple[int, ...]] = {}

    def encode(self, text: str) -> list[int]:
        """The ids of a text, without marks and uncut; case and the kind of white space are lost."""
        return [new for old in stock().encode(text) for new in self._of(old)]

    def decode(self, ids: Iterable[int]) -> str:
        """The text that the ids spell up to the end mark, marks left out."""
        text = list(itertools.takewhile(lambda i: i != self.eot_token_id, ids))
        return stock().decode([self._kept[i] for i in text if i != self.sot_token_id])

    def __call__(self, texts: str | Sequence[str], context_length: int | None = None) -> Tensor:
        """Ids int64 `[B, T]`: start mark, text, end mark, zeros. A text that is too long is cut,
        and its last id is the end mark."""
        texts = [texts] if isinstance(texts, str) else texts
        T = context_length or self.context_length
        ids = torch.zeros(len(texts), T, dtype=torch.int64)
        for row, text in zip(ids, texts, strict=True):
            tokens = [self.sot_token_id, *self.encode(text)[: T - 2], self.eot_token_id]
            row[: len(tokens)] = torch.tensor(tokens)
        return ids

    def unknown_words(self, text: str) -> list[str]:
        """The words of a text that have to be spelled, in the order in which they come."""
        words = stock().pat.findall(stock().clean_fn(text))
        return [
            word
            for word in words
            if word[-1].isalpha() and any(old not in self._new for old in stock().encode(word))
        ]

    @cached_property
    def spellings(self) -> list[list[int]]:
        """For each id the bytes that it is made of; an id of a byte or a mark is itself."""
        pieces = [list(self._spelled(old)) if old >= BYTES else [old] for old in self._kept[:-2]]
        return [*pieces, [self.sot_token_id], [self.eot_token_id]]

    def spell(self, ids: Tensor, chosen: Tensor) -> Tensor:
        """The ids `[B, T]` with each chosen piece (bool `[B, T]`) spelled by its bytes; what no
        longer fits into T is cut, and the last id is the end mark."""
        T = ids.shape[1]
        spelled = ids.clone()
        for i in chosen.any(1).nonzero()[:, 0].tolist():
            row: list[int] = []
            for token, out in zip(ids[i].tolist(), chosen[i].tolist(), strict=True):
                row += self.spellings[token] if out else [token]
                if token == self.eot_token_id:
                    break
            if len(row) > T:
                row = [*row[: T - 1], self.eot_token_id]
            spelled[i] = torch.tensor(row + [0] * (T - len(row)))
        return spelled

    def _of(self, old: int) -> tuple[int, ...]:
        """The ids of a row of the stock table: one, or those of its bytes."""
        if old in self._new:
            return (self._new[old],)
        if old not in self._cache:
            self._cache[old] = self._spelled(old)
        return self._cache[old]

    def _spelled(self, old: int) -> tuple[int, ...]:
        piece = stock().decoder[old]
        inside = piece.removesuffix("</w>")
        letters = [*inside] if inside == piece else [*inside[:-1], inside[-1] + "</w>"]
        return tuple(stock().encoder[letter] for letter in letters)
