"""Captions of drawn scenes: five for each, written from what is true of it.

A sentence comes with the `Claim` that it makes, and `parsing.parse` finds that claim in it again.
A caption names all things in the picture and says a random part of what is true of them; the first
one says everything. Nothing unclear is said: no place near the border of two, no direction on a
diagonal.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations

from t2i_course.data import words
from t2i_course.data.claims import Claim, Relation, Wanted
from t2i_course.data.shapes import Dice, Scene, Thing, direction, encloses, third

COUNT = 5  # captions of a picture, as COCO has
STREAM = 16  # of random numbers, apart from those of the scenes


def captions(scene: Scene, index: int, seed: int = 0) -> tuple[str, ...]:
    """Five captions of `scene`, a function of (scene, seed, index); the first says everything."""
    return tuple(text for text, _ in described(scene, index, seed))


def full_caption(scene: Scene, index: int, seed: int = 0) -> str:
    """The first of `captions`: kind, colour and size of each thing, its place and how it lies to
    the next one where these are clear."""
    return described(scene, index, seed, count=1)[0][0]


def described(
    scene: Scene, index: int, seed: int = 0, count: int = COUNT
) -> list[tuple[str, Claim]]:
    """The first `count` captions, each with the claim that it makes."""
    dice = Dice(index, seed, STREAM)
    return [_caption(dice, scene, full=k == 0) for k in range(count)]


def clean(text: str) -> str:
    """A caption as the first paper prepares it: lower case, words of letters, no stop words.

    The paper (its section 2.1) does not say which stop words; these are NLTK's for English. Of
    captions of shapes this takes away meaning, not only noise: "above", "below", "under" and "in"
    are stop words, "3" is no word, and of "a circle to the left of a star" is left "circle left
    star".
    """
    kept = [word for word in words.tokens(text) if word.isalpha() and word not in words.STOP_WORDS]
    return " ".join(kept)


def _caption(dice: Dice, scene: Scene, full: bool) -> tuple[str, Claim]:
    looks = {(thing.kind, thing.colour) for thing in scene.things}
    if len(looks) == 1 and len(scene.things) > 1:
        wanted = _alike(dice, scene.things, full)
        return _group(dice, wanted), Claim(tuple(wanted))
    wanted, relations = _different(dice, scene.things, full)
    return _sentence(dice, wanted, relations, full), Claim(tuple(wanted), tuple(relations))


# What to say.


def _alike(dice: Dice, things: Sequence[Thing], full: bool) -> list[Wanted]:
    """Things of one kind and colour: what they have in common, or a part of it."""
    rows, columns = (
        {third(at) for at in ats} for ats in zip(*((t.y, t.x) for t in things), strict=True)
    )
    place = tuple(at.pop() if len(at) == 1 else None for at in (rows, columns))
    said = place in words.PLACES and (full or dice(2) == 0)
    one = Wanted(
        things[0].kind,
        things[0].colour if full or dice(100) < 80 else None,
        things[0].size if len({t.size for t in things}) == 1 and (full or dice(100) < 45) else None,
        place if said else None,  # type: ignore[arg-type]
    )
    return [one] * len(things)


def _different(
    dice: Dice, things: Sequence[Thing], full: bool
) -> tuple[list[Wanted], list[Relation]]:
    """The things in the order of naming and the relations, with all or a part of what is true."""
    orders = list(permutations(things))
    if full or dice(100) < 65:  # an order in which relations can be told, if there is one
        most = max(len(_chain(order)) for order in orders)
        orders = [order for order in orders if len(_chain(order)) == most]
    order = orders[dice(len(orders))]
    relations = _chain(order) if full or dice(100) < 70 else []
    colour = full or dice(100) < 85 or len({t.kind for t in things}) < len(things)
    size, place = full or dice(100) < 45, full or dice(100) < 35
    wanted = [
        Wanted(thing.kind, thing.colour if colour else None, thing.size if size else None)
        for thing in order
    ]
    if place:
        wanted = [
            replace(one, place=_place(dice, t, full)) for one, t in zip(wanted, order, strict=True)
        ]
    if len(relations) == 1 and dice(6) == 0:  # "a square with a circle below it"
        only = relations[0]
        if only.name != "inside" and wanted[only.b].place is None:
            relations = [Relation(only.b, words.INVERSE[only.name], only.a)]
    return wanted, relations


def _place(dice: Dice, thing: Thing, full: bool) -> tuple[int | None, int | None] | None:
    """Its row and column, or (but not in a full caption) one of them only; None if unclear."""
    row, column = third(thing.y), third(thing.x)
    if not full and dice(3) == 0:
        row, column = (row, None) if dice(2) else (None, column)
    return (row, column) if (row, column) in words.PLACES else None


def _chain(things: Sequence[Thing]) -> list[Relation]:
    """How each thing clearly lies to the next one, where it does."""
    found = []
    for k in range(len(things) - 1):
        a, b = things[k], things[k + 1]
        if encloses(b, a):
            found.append(Relation(k, "inside", k + 1))
        elif encloses(a, b):
            found.append(Relation(k + 1, "inside", k))
        elif (name := direction(a, b)) is not None:
            found.append(Relation(k, name, k + 1))
    return found


# How to say it.


def _group(dice: Dice, wanted: list[Wanted]) -> str:
    """ "There are two small red discs at the top"."""
    number = _pick(dice, words.COUNTS[len(wanted)])
    text = f"{number} {_noun(dice, wanted[0], plural=True)}"
    return _framed(dice, text, _place_words(dice, wanted[0]), plural=True)


def _sentence(dice: Dice, wanted: list[Wanted], relations: list[Relation], full: bool) -> str:
    if not full and dice(4) == 0:  # "red circle above blue square"
        return _joined(
            dice, wanted, [_at(dice, one, _noun(dice, one)) for one in wanted], relations
        )
    phrases = [_thing(dice, one) for one in wanted]
    rest = [_at(dice, one, text) for one, text in zip(wanted[1:], phrases[1:], strict=True)]
    first, place = phrases[0], _place_words(dice, wanted[0])
    if place and dice(4) == 0:  # "In the top left corner there is …"
        text = _joined(dice, wanted, [first, *rest], relations)
        return _framed(dice, text, place, leading=True)
    text = _joined(dice, wanted, [f"{first} {place}" if place else first, *rest], relations)
    return _framed(dice, text, "")


def _framed(dice: Dice, text: str, place: str, plural: bool = False, leading: bool = False) -> str:
    """The text with an opening or none, with its place after or before it, as a sentence or not."""
    if place and (leading or dice(4) == 0):
        is_there = "there are " if plural else "there is "
        text = f"{place} {is_there}{text}" if dice(2) else f"{place}, {text}"
    else:
        text = f"{text} {place}" if place else text
        if dice(2):
            opening = words.OPENINGS[dice(len(words.OPENINGS))]
            text = f"{words.PLURAL.get(opening, opening) if plural else opening} {text}"
    return text[0].upper() + text[1:] + "." if dice(5) < 3 else text


def _thing(dice: Dice, one: Wanted) -> str:
    """ "a small crimson disc", or now and then "one …", "a small disc that is crimson"."""
    if one.colour and dice(14) == 0:
        colour = _pick(dice, words.COLOURS[one.colour])
        return f"{_article(dice, _noun(dice, replace(one, colour=None)))} that is {colour}"
    return _article(dice, _noun(dice, one))


def _noun(dice: Dice, one: Wanted, plural: bool = False) -> str:
    """ "small crimson disc", without an article."""
    size = [_pick(dice, words.SIZES[one.size])] if one.size else []
    colour = [_pick(dice, words.COLOURS[one.colour])] if one.colour else []
    noun = words.KINDS[one.kind][_choice(dice, len(words.KINDS[one.kind]))]
    return " ".join([*size, *colour, noun[1] if plural else noun[0]])


def _article(dice: Dice, noun: str) -> str:
    if dice(14) == 0:
        return f"{('one', 'a single')[dice(2)]} {noun}"
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def _place_words(dice: Dice, one: Wanted) -> str:
    if one.place is None:
        return ""
    of = words.OF_THE_PICTURE[dice(2)] if dice(5) == 0 else ""
    return f"{_pick(dice, words.PLACES[one.place])} {of}".strip()


def _at(dice: Dice, one: Wanted, text: str) -> str:
    return f"{text} {_place_words(dice, one)}".strip()


def _joined(dice: Dice, wanted: list[Wanted], phrases: list[str], relations: list[Relation]) -> str:
    """The phrases in their order, each with what relates it to the one before."""
    steps = {max(relation.a, relation.b): relation for relation in relations}
    text = phrases[0]
    for k in range(1, len(phrases)):
        comma = "," if dice(2) else ""
        if k not in steps:
            text += ", " if k < len(phrases) - 1 else f"{comma} {words.ANDS[dice(4) == 0]} "
            text += phrases[k]
            continue
        name, back = steps[k].name, steps[k].a == k
        if back and (name != "inside" or (wanted[k].place is None and dice(3) == 0)):
            text += f"{comma} with {phrases[k]} {_pick(dice, words.BACK[name])}"
            continue
        names = words.RELATIONS["containing" if back else name]
        if wanted[k - 1].place is not None:  # "at the top left of": which is it?
            names = tuple(each for each in names if each not in ("left of", "right of"))
        # The first relation may go without a verb; a later one would be said of the first thing.
        if k > 1 or (not back and dice(4) == 0):
            text += f"{comma} which is {names[1] if back else _pick(dice, names)} {phrases[k]}"
        else:
            text += f"{comma} {_pick(dice, names)} {phrases[k]}"
    return text


def _pick(dice: Dice, texts: Sequence[str]) -> str:
    return texts[_choice(dice, len(texts))]


def _choice(dice: Dice, count: int) -> int:
    """A place in a list of phrases: the first one half the time."""
    return 0 if dice(2) else dice(count)
