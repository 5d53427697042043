"""The plainest condition that a caption gives: which of a list of words are in it, one place each.

A sentence's one-hot label. It knows no order and no synonyms; "dogs" is "dog".
"""

import hashlib
import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence

import torch

from t2i_course.conditioning.text import TextModel
from t2i_course.contract import Condition, require

WORD = re.compile(r"[^\W\d_]+")
SHORTEST = 3  # letters; what is shorter is hardly ever a thing that is seen


class Keywords(TextModel):
    """A list of words as a text model: a caption's vector is 1 at the words it has, else 0.

    Args:
        words: the list, in lower case, each once.
    """

    costly = False

    def __init__(self, words: Sequence[str]):
        require(
            0 < len(set(words)) == len(words),
            f"Keywords are a list of different words, not {list(words)[:5]}.",
        )
        self.words = tuple(words)
        self.name = f"keywords-{len(words)}"
        self.source = f"words:{' '.join(words)}"
        self._place = {word: k for k, word in enumerate(words)}

    @classmethod
    def of(cls, captions: Iterable[str], count: int, ignored: Collection[str] = ()) -> "Keywords":
        """The `count` most frequent words of some captions, of three letters or more and without
        those that are ignored (stop words); of words as frequent, the first in the alphabet.

        A word and its plural by "s" or "es" are one where both occur.

        Raises:
            T2IError: if there are fewer words than that.
        """
        require(count >= 1, f"The number of keywords must be at least 1, not {count}.")
        found = Counter(word for caption in captions for word in words_of(caption))
        kept = {
            word: n for word, n in found.items() if len(word) >= SHORTEST and word not in ignored
        }
        counts: Counter[str] = Counter()
        for word, n in kept.items():
            counts[_singular(word, kept)] += n
        require(
            len(counts) >= count,
            f"The captions have {len(counts)} keywords, not {count}: ask for fewer.",
        )
        return cls(sorted(counts, key=lambda word: (-counts[word], word))[:count])

    @property
    def sha256(self) -> str:
        """Of the list."""
        return hashlib.sha256(self.source.encode()).hexdigest()

    @property
    def dim(self) -> int:
        """D, the number of keywords."""
        return len(self.words)

    @property
    def token_dim(self) -> int:
        """0: there are no tokens."""
        return 0

    @property
    def context(self) -> int:
        """As many words as a caption can have."""
        return 10_000

    def length(self, prompt: str) -> int:
        """How many words a prompt has."""
        return len(words_of(prompt))

    def text(self, captions: Sequence[str], tokens: bool = False) -> Condition:
        """Captions as conditions: `vector` `[B, D]` of zeros and ones.

        Raises:
            T2IError: without captions, or if tokens are asked for.
        """
        require(not tokens, f"{self.name} gives no tokens: condition on its vector alone.")
        require(len(captions) > 0, "There is no caption to encode: give at least one.")
        vector = torch.zeros(len(captions), self.dim)
        for row, caption in zip(vector, captions, strict=True):
            row[self._places(caption)] = 1
        return Condition.of(vector)

    def check(self, prompts: Sequence[str]) -> None:
        """Raise `T2IError` for the first prompt that is empty or has none of the keywords."""
        super().check(prompts)
        for prompt in prompts:
            require(
                len(self._places(prompt)) > 0,
                f"{prompt[:40]!r} has none of the {self.dim} keywords that the model reads, such "
                f"as {', '.join(self.words[:5])}: use some of them.",
            )

    def _places(self, caption: str) -> list[int]:
        words = {_singular(word, self._place) for word in words_of(caption)}
        return sorted(self._place[word] for word in words if word in self._place)


def words_of(caption: str) -> list[str]:
    """The words of a caption, in lower case, in their order: letters only."""
    return WORD.findall(caption.lower())


def _singular(word: str, known: Collection[str]) -> str:
    """The word without the "s" or "es" of a plural, where that is a known word."""
    for end in ("s", "es"):
        if word.endswith(end) and word[: -len(end)] in known:
            return word[: -len(end)]
    return word
