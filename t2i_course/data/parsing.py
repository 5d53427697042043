"""What a caption claims: the inverse of `captions`, for whoever writes in its English."""

import difflib
from dataclasses import dataclass, field, replace
from typing import Any

from t2i_course.data import words
from t2i_course.data.claims import Claim, Relation, Wanted
from t2i_course.errors import T2IError

MOST = 3  # things in a picture


def parse(text: str) -> Claim:
    """The claim that a caption makes.

    Case and punctuation do not matter; adjectives and places may stand before or after their noun.
    "A above B and left of C" says both of A, "A above B, which is left of C" the second of B.

    Raises:
        T2IError: naming the first word that it does not know or cannot make sense of; or if
            nothing is named, more than three things are, or one thing is two colours.
    """
    reader = _Reader(text)
    for phrase, part, meaning in _cut(text):
        getattr(reader, part)(phrase, meaning)
    return reader.claim()


def vocabulary() -> tuple[str, ...]:
    """Every word that a caption may hold, sorted, in lower case."""
    return words.VOCABULARY


def _cut(text: str) -> list[tuple[str, str, Any]]:
    """The text as known phrases, the longest that fits each time."""
    rest, found = words.tokens(text), []
    while rest:
        for length in range(min(words.LONGEST, len(rest)), 0, -1):
            known = words.PHRASES.get(rest[:length])
            if known is not None:
                found.append((" ".join(rest[:length]), *known))
                rest = rest[length:]
                break
        else:
            raise _not_understood(rest[0], text)
    return found


def _not_understood(word: str, text: str) -> T2IError:
    if set(word.split()) <= set(words.VOCABULARY):  # a phrase that is known
        return T2IError(
            f"The word {word!r} makes no sense where it stands in the caption {text!r}."
        )
    near = difflib.get_close_matches(word, words.VOCABULARY, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return T2IError(f"The word {word!r} of the caption {text!r} is not one for shapes.{hint}")


@dataclass
class _Reader:
    """What has been read so far of a caption; one method for each part of speech."""

    text: str
    things: list[Wanted] = field(default_factory=list)
    relations: list[Relation] = field(default_factory=list)
    named: list[list[int]] = field(default_factory=list)  # nouns, each as places in `things`
    ahead: dict[str, Any] = field(default_factory=dict)  # said of a noun that is still to come
    number: int = 1
    open: tuple[list[int], str] | None = None  # a relation that waits for its second noun
    subject: list[int] = field(default_factory=list)  # of the last relation
    after: str = ""  # "and", "link": what has just been read, where it matters

    def opening(self, phrase: str, _: None) -> None:
        self.after = ""

    def article(self, phrase: str, _: None) -> None:
        self.after = "article"

    def count(self, phrase: str, number: int) -> None:
        self.number, self.after = number, "article"

    def link(self, phrase: str, _: None) -> None:
        self.after = "link" if self.named else ""

    def conjunction(self, phrase: str, _: None) -> None:
        self.after = "and"

    def size(self, phrase: str, size: str) -> None:
        self._say(phrase, "size", size)

    def colour(self, phrase: str, colour: str) -> None:
        self._say(phrase, "colour", colour)

    def place(self, phrase: str, place: tuple[int | None, int | None]) -> None:
        new = self.after in ("and", "article") or self.ahead or self.open or not self.named
        self._say(phrase, "place", place, back=not new)

    def _say(self, phrase: str, part: str, value: Any, back: bool | None = None) -> None:
        back = self.after == "link" if back is None else back
        if not back:
            self._once(part in self.ahead, phrase)
            self.ahead[part] = value
            return
        for k in self.named[-1]:
            self._once(getattr(self.things[k], part) is not None, phrase)
            self.things[k] = replace(self.things[k], **{part: value})

    def noun(self, phrase: str, kind: str) -> None:
        if len(self.things) + self.number > MOST:
            raise T2IError(f"The caption {self.text!r} names more than {MOST} things.")
        new = list(range(len(self.things), len(self.things) + self.number))
        self.things += [Wanted(kind, **self.ahead)] * self.number
        if self.open is not None:
            self._relate(self.open[0], self.open[1], new)
        self.named.append(new)
        self.ahead, self.number, self.open, self.after = {}, 1, None, "noun"

    def relation(self, phrase: str, name: str) -> None:
        self._once(self.open is not None or not self.named or bool(self.ahead), phrase)
        subject = self.subject if self.after == "and" and self.subject else self.named[-1]
        self.open, self.subject, self.after = (subject, name), subject, ""

    def back(self, phrase: str, name: str) -> None:
        self._once(self.open is not None or len(self.named) < 2 or bool(self.ahead), phrase)
        self._relate(self.named[-1], name, self.named[-2])
        self.after = ""

    def _relate(self, some: list[int], name: str, others: list[int]) -> None:
        if name == "containing":
            some, name, others = others, "inside", some
        self.relations += [Relation(a, name, b) for a in some for b in others]

    def _once(self, wrong: bool, phrase: str) -> None:
        if wrong:
            raise _not_understood(phrase, self.text)

    def claim(self) -> Claim:
        """What the whole caption says."""
        if self.open is not None and self.open[1] == "inside" and len(self.named) > 1:
            self.open = None  # "a square with a circle inside"
            self._relate(self.named[-1], "inside", self.named[-2])
        if not self.things:
            raise T2IError(f"The caption {self.text!r} names no shape: {', '.join(words.KINDS)}.")
        if self.open is not None:
            raise T2IError(f"The caption {self.text!r} does not say {self.open[1]} what.")
        for part, value in self.ahead.items():  # "circle, red"
            self._say(str(value), part, value, back=True)
        return Claim(tuple(self.things), tuple(self.relations))
