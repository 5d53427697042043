"""What a caption asserts of a picture, and whether the things in a picture bear it out.

A caption names every thing in its picture and leaves out some of what is true of them: "a circle
above a square" says that there are two things, what they are and how they lie, and nothing of
colour, size or place. So a picture with a third thing in it is not what that caption describes.
"""

from dataclasses import dataclass
from itertools import permutations
from typing import Any

from t2i_course.data.shapes import Scene, Thing, encloses, third

RELATIONS = ("left of", "right of", "above", "below", "inside")
PARTS = ("kind", "colour", "size", "place", "count", "relation")
Place = tuple[int | None, int | None]  # row and column, each 0, 1, 2 or None: not said


@dataclass(frozen=True)
class Wanted:
    """One thing that a caption names; None for what it does not say."""

    kind: str
    colour: str | None = None
    size: str | None = None
    place: Place | None = None


@dataclass(frozen=True)
class Relation:
    """ "things[a] is `name` things[b]", with a name from `RELATIONS`."""

    a: int
    name: str
    b: int


@dataclass(frozen=True)
class Claim:
    """All the things that a caption names, in its order, and the relations between them."""

    things: tuple[Wanted, ...]
    relations: tuple[Relation, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """Whether a picture shows what a caption claims, part by part.

    Each part is True if it is right for every thing (or relation) that the caption says it of,
    False if not, and None if the caption does not speak of it. A caption always speaks of kinds
    and of the count: as many things as it names, and no more.
    """

    kind: bool | None
    colour: bool | None
    size: bool | None
    place: bool | None
    count: bool | None
    relation: bool | None

    @property
    def all(self) -> bool:
        """Whether nothing that the caption says is wrong."""
        return all(getattr(self, part) is not False for part in PARTS)


def verdict(claim: Claim, scene: Scene | None) -> Verdict:
    """Whether `scene` is as `claim` says; None (no scene was read) is wrong in every part.

    Things are paired with the claim's in the way that suits the claim best. A place counts as
    right if the centre is in that third of the picture, left of and its like by `holds`: captions
    assert either only with slack to spare (`shapes.third`, `shapes.direction`).
    """
    count = len(claim.things)
    things: list[Thing | None] = [*(scene.things if scene else ())]
    things += [None] * max(count - len(things), 0)
    found = [_parts(claim, pairing) for pairing in permutations(things, count)]
    best = max(found, key=_merit)
    verdicts: dict[str, Any] = {part: all(right) if right else None for part, right in best.items()}
    return Verdict(count=scene is not None and len(scene.things) == count, **verdicts)


def holds(name: str, a: Thing, b: Thing) -> bool:
    """Whether `a` is `name` (of `RELATIONS`) `b`.

    A direction holds if the distance that way is at least two thirds of the distance across it;
    so two of them hold on a diagonal.
    """
    if name == "inside":
        return encloses(b, a)
    if encloses(a, b) or encloses(b, a):
        return False
    right, down = a.x - b.x, a.y - b.y
    ahead, aside = {
        "left of": (-right, down),
        "right of": (right, down),
        "above": (-down, right),
        "below": (down, right),
    }[name]
    return ahead > 0 and 3 * ahead >= 2 * abs(aside)


def lies(thing: Thing, place: Place) -> bool:
    """Whether the thing's centre is in that row and column of the picture."""
    at = third(thing.y, clearly=False), third(thing.x, clearly=False)
    return all(wanted in (None, found) for wanted, found in zip(place, at, strict=True))


def _parts(claim: Claim, things: tuple[Thing | None, ...]) -> dict[str, list[bool]]:
    """For each part what is right and wrong when the claim's things are these."""
    parts: dict[str, list[bool]] = {part: [] for part in PARTS if part != "count"}
    for wanted, thing in zip(claim.things, things, strict=True):
        for part in ("kind", "colour", "size"):
            value = getattr(wanted, part)
            if value is not None:
                parts[part].append(thing is not None and getattr(thing, part) == value)
        if wanted.place is not None:
            parts["place"].append(thing is not None and lies(thing, wanted.place))
    for relation in claim.relations:
        a, b = things[relation.a], things[relation.b]
        parts["relation"].append(a is not None and b is not None and holds(relation.name, a, b))
    return parts


def _merit(parts: dict[str, list[bool]]) -> tuple[int, int]:
    """The more parts are wholly right the better; then the more is right in them."""
    return sum(map(all, parts.values())), sum(map(sum, parts.values()))
