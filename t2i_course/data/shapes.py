"""Captioned shapes: coloured things on a light ground, drawn by the package, with a known answer.

A `Scene` is one to three things; a `Thing` has a kind, a colour, a centre and a half-extent. All
lengths are in units of 1/256 of the picture's side, x to the right and y down, so that one scene is
the same at 64x64 and at 32x32. Scene i is a function of (seed, split, i) alone and its drawing is
the same bytes on every machine: all arithmetic is on integers, and the random numbers are raw
output of NumPy's Philox, a stream of its own for each scene.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import combinations, pairwise

import numpy as np

from t2i_course.errors import T2IError, unknown

UNITS = 256  # along the picture's side
SIDES = (32, 64)  # of a drawing, in pixels
GROUND = (242, 242, 238)
# Far from each other (at least 108 apart), and so is every mixture with the ground (79).
COLOURS = {
    "red": (206, 24, 44),
    "orange": (242, 126, 10),
    "yellow": (250, 230, 40),
    "green": (24, 136, 52),
    "turquoise": (50, 198, 196),
    "blue": (36, 76, 214),
    "purple": (146, 44, 176),
    "black": (28, 28, 32),
}
# Corners in thousandths of the half-extent, from the centre. A circle has none.
OUTLINES: dict[str, tuple[tuple[int, int], ...]] = {
    "circle": (),
    "square": ((-1000, -1000), (1000, -1000), (1000, 1000), (-1000, 1000)),
    "triangle": ((0, -1000), (1000, 1000), (-1000, 1000)),
    "star": (
        (0, -1000), (270, -309), (1000, -236), (436, 251), (618, 1000), (0, 598),
        (-618, 1000), (-436, 251), (-1000, -236), (-270, -309)),
    "cross": (
        (-300, -1000), (300, -1000), (300, -300), (1000, -300), (1000, 300), (300, 300),
        (300, 1000), (-300, 1000), (-300, 300), (-1000, 300), (-1000, -300), (-300, -300)),
    "diamond": ((0, -1000), (1000, 0), (0, 1000), (-1000, 0)),
}  # fmt: skip
KINDS = tuple(OUTLINES)
SIZES = {"small": (26, 33), "large": (46, 56)}  # half-extents, both ends included
HOLDS = (68, 76)  # half-extents of a large thing that has another one inside
HELD = (26, 28)  # half-extents of that other one
HOLDERS = {  # the kinds with room inside, and for what
    "circle": KINDS,
    "square": KINDS,
    "diamond": ("circle", "star", "cross", "diamond"),
}
MARGIN, GAP = 8, 16  # between a thing and the border; between the boxes of two things
# (colour, kind) pairs that only the split "held-out" shows: one for each kind.
HELD_OUT = frozenset(
    [("red", "triangle"), ("blue", "circle"), ("green", "star"),
     ("yellow", "square"), ("purple", "cross"), ("black", "diamond")]
)  # fmt: skip
PAIRS = tuple((colour, kind) for colour in COLOURS for kind in KINDS)
SPLITS = ("train", "test", "held-out")  # a scene's key is its seed and its split's place here


@dataclass(frozen=True)
class Thing:
    """One thing in a picture: centre (x, y) and half-extent of its box, in units of 1/256."""

    kind: str
    colour: str
    x: int
    y: int
    extent: int

    @property
    def size(self) -> str:
        """ "small" or "large"; "medium" between the two, which is never drawn."""
        if self.extent <= SIZES["small"][1] + 3:
            return "small"
        return "large" if self.extent >= SIZES["large"][0] - 3 else "medium"


@dataclass(frozen=True)
class Scene:
    """The things in a picture; a later one is painted over an earlier one."""

    things: tuple[Thing, ...]


def scene(index: int, seed: int = 0, split: str = "train", things: int | None = None) -> Scene:
    """Scene `index` of the endless sequence that belongs to `seed` and `split`.

    Args:
        index: 0 or more.
        seed: from 0 to 2**64 - 1.
        split: "train" and "test" never show a pair of `HELD_OUT`; "held-out" shows at least one
            in each scene. The three share no random numbers.
        things: 1, 2 (differing in kind or colour, and one clearly left of, right of, above, below
            or inside the other) or 3 (all different); None mixes these with two things in no
            particular relation and with two or three alike.

    Raises:
        T2IError: for an index, seed, split or number of things that cannot be.
    """
    if split not in SPLITS:
        raise unknown("split of the shapes", split, SPLITS)
    if things not in (None, 1, 2, 3):
        raise T2IError(f"A scene has 1, 2 or 3 things, or None for any number, not {things!r}.")
    dice = Dice(index, seed, stream=SPLITS.index(split))
    form = dice(100)
    if things == 1 or (things is None and form < 30):
        return Scene((_lone(dice, _looks(dice, split, 1)[0]),))
    if things is None and 65 <= form < 80:  # two or three alike
        return Scene(_apart(dice, _looks(dice, split, 1) * (2 + dice(2)), alike=True))
    if things == 3 or (things is None and form >= 80):
        return Scene(_apart(dice, _looks(dice, split, 3)))
    looks = _looks(dice, split, 2)
    if dice(100) < 20:
        return _inside(dice, looks, split)
    while True:
        placed = _apart(dice, looks)
        if (things is None and form < 45) or direction(*placed) is not None:
            return Scene(placed)


def draw(scene: Scene, side: int = 64) -> np.ndarray:
    """The picture of a scene, uint8 `[3, side, side]`, anti-aliased by exact coverage.

    What lies outside the picture is cut off. Raises `T2IError` unless `side` is 32 or 64.
    """
    if side not in SIDES:
        raise T2IError(f"Shapes are drawn at 32x32 or 64x64, not at side {side!r}.")
    block = UNITS // side
    picture = np.empty((3, side, side), np.int32)
    picture[:] = np.array(GROUND, np.int32)[:, None, None]
    for thing in scene.things:
        left, top = thing.x - thing.extent, thing.y - thing.extent
        cover = coverage(thing.kind, thing.extent, left % block, top % block, side)
        part, cover = overlap(picture, cover, top // block, left // block)
        colour = np.array(COLOURS[thing.colour], np.int32)[:, None, None]
        part += ((colour - part) * cover + block * block // 2) // (block * block)
    return picture.astype(np.uint8)


@cache
def coverage(kind: str, extent: int, left: int, top: int, side: int) -> np.ndarray:
    """How much of each pixel a thing covers, int16 `[h, w]` from 0 to (256 / side)**2.

    `left` and `top` are where its box begins within the first pixel, in units.
    """
    block = UNITS // side
    cells = mask(kind, extent)
    height, width = (-(-(start + 2 * extent) // block) for start in (top, left))
    padded = np.zeros((height * block, width * block), np.int16)
    padded[top : top + 2 * extent, left : left + 2 * extent] = cells
    cover = padded.reshape(height, block, width, block).sum(axis=(1, 3), dtype=np.int16)
    cover.flags.writeable = False  # it is shared
    return cover


def overlap(
    picture: np.ndarray, part: np.ndarray, top: int, left: int
) -> tuple[np.ndarray, np.ndarray]:
    """Views of a picture `[…, H, W]` and of a part `[h, w]` laid on it at a place that may lie
    partly outside: where they meet, both `[…, h', w']`."""
    height, width = picture.shape[-2:]
    part = part[max(-top, 0) : max(height - top, 0), max(-left, 0) : max(width - left, 0)]
    there = picture[..., max(top, 0) :, max(left, 0) :][..., : part.shape[0], : part.shape[1]]
    return there, part


@cache
def mask(kind: str, extent: int) -> np.ndarray:
    """Which cells of 1 by 1 unit of its box a thing fills, bool `[2 extent, 2 extent]`."""
    middle = 2 * np.arange(2 * extent, dtype=np.int64) + 1 - 2 * extent  # in half units
    u, v = middle[None, :], middle[:, None]
    if kind == "circle":
        return u * u + v * v <= 4 * extent * extent
    u, v = 500 * u, 500 * v  # thousandths, as the corners times the extent
    corners = [(x * extent, y * extent) for x, y in OUTLINES[kind]]
    filled = np.zeros((2 * extent, 2 * extent), bool)
    for (x0, y0), (x1, y1) in pairwise([*corners, corners[0]]):  # the even-odd rule
        rising = y1 > y0
        left_of = ((x1 - x0) * (v - y0) > (u - x0) * (y1 - y0)) == rising
        filled ^= ((y0 <= v) != (y1 <= v)) & left_of
    return filled


def encloses(outer: Thing, inner: Thing) -> bool:
    """Whether `inner` lies inside `outer`: its centre within the shape, its box within the box."""
    room = outer.extent - inner.extent
    off = max(abs(inner.x - outer.x), abs(inner.y - outer.y))
    if room <= 0 or off > min(room + 4, outer.extent - 1):  # 4: what a reader may be wrong by
        return False
    row, column = inner.y - outer.y + outer.extent, inner.x - outer.x + outer.extent
    return bool(mask(outer.kind, outer.extent)[row, column])


def direction(a: Thing, b: Thing) -> str | None:
    """Where `a` clearly lies from `b`: "left of", "right of", "above", "below" or None.

    Clearly: one of the distances across and down is at least 1.5 times the other.
    """
    across, down = abs(a.x - b.x), abs(a.y - b.y)
    if 2 * max(across, down) < 3 * min(across, down) or encloses(a, b) or encloses(b, a):
        return None
    if across > down:
        return "left of" if a.x < b.x else "right of"
    return "above" if a.y < b.y else "below"


def third(at: int, clearly: bool = True) -> int | None:
    """In which third (0, 1, 2) of the picture a centre lies; None if within 10 units of a border.

    With `clearly` False the border decides.
    """
    near = min(abs(3 * at - UNITS), abs(3 * at - 2 * UNITS)) < 30
    return None if clearly and near else min(max(3 * at // UNITS, 0), 2)


class Dice:
    """The random numbers of one scene (or its captions): an endless stream of whole numbers.

    Raises:
        T2IError: unless index and seed are whole numbers from 0 to 2**64 - 1.
    """

    def __init__(self, index: int, seed: int, stream: int):
        for name, value in (("index", index), ("seed", seed)):
            if not (isinstance(value, int | np.integer) and 0 <= int(value) < 2**64):
                raise T2IError(f"A scene's {name} is a whole number from 0 up, not {value!r}.")
        key = int(seed) + (stream << 64)
        self._philox = np.random.Philox(key=key, counter=int(index) << 64)
        self._rolls: Iterator[int] = iter(())

    def __call__(self, below: int) -> int:
        """A whole number from 0 to `below - 1`, for `below` up to a few thousand."""
        for roll in self._rolls:
            return (roll >> 32) * below >> 32
        self._rolls = iter(self._philox.random_raw(32).tolist())
        return self(below)

    def between(self, low: int, high: int) -> int:
        """A whole number from `low` to `high`, both included."""
        return low + self(high - low + 1)


def _looks(dice: Dice, split: str, count: int) -> list[tuple[str, str]]:
    """So many different (colour, kind) pairs as the split allows, in no order."""
    looks: list[tuple[str, str]] = []
    forced = dice(count) if split == "held-out" else -1
    while len(looks) < count:
        look = PAIRS[dice(len(PAIRS))]
        if look in looks or (look in HELD_OUT and split != "held-out"):
            continue
        if len(looks) == forced and look not in HELD_OUT:
            continue
        looks.append(look)
    return looks


def _lone(dice: Dice, look: tuple[str, str]) -> Thing:
    """One thing: in three of four cases well within one of nine places, else anywhere."""
    (colour, kind), extent = look, dice.between(*SIZES[_size(dice)])
    place = (dice(3), dice(3)) if dice(4) else None
    while True:
        x, y = _somewhere(dice, extent), _somewhere(dice, extent)
        if place is None or (third(x), third(y)) == place:
            return Thing(kind, colour, x, y, extent)


def _size(dice: Dice) -> str:
    return "large" if dice(2) else "small"


def _somewhere(dice: Dice, extent: int) -> int:
    return dice.between(extent + MARGIN, UNITS - extent - MARGIN)


def _apart(dice: Dice, looks: list[tuple[str, str]], alike: bool = False) -> tuple[Thing, ...]:
    """Things of the given looks anywhere, not touching; `alike`: all of one size."""
    while True:
        sizes = [_size(dice) for _ in looks[: 1 if alike else None]] * (len(looks) if alike else 1)
        extents = [dice.between(*SIZES[size]) for size in sizes]
        for _ in range(20):  # then other extents: three large ones seldom fit
            placed = [
                Thing(kind, colour, _somewhere(dice, extent), _somewhere(dice, extent), extent)
                for (colour, kind), extent in zip(looks, extents, strict=True)
            ]
            if all(_clear_of(a, b) for a, b in combinations(placed, 2)):
                return tuple(placed)


def _clear_of(a: Thing, b: Thing) -> bool:
    return max(abs(a.x - b.x), abs(a.y - b.y)) >= a.extent + b.extent + GAP


def _inside(dice: Dice, looks: list[tuple[str, str]], split: str) -> Scene:
    """A small thing within a large one of another colour, off its middle by a little."""
    while True:
        (colour, kind), (inner_colour, inner_kind) = looks
        if colour != inner_colour and inner_kind in HOLDERS.get(kind, ()):
            break
        looks = _looks(dice, split, 2)
    extent = dice.between(*HOLDS)
    outer = Thing(kind, colour, _somewhere(dice, extent), _somewhere(dice, extent), extent)
    x, y = outer.x + dice.between(-3, 3), outer.y + dice.between(-3, 3)
    inner = Thing(inner_kind, inner_colour, x, y, dice.between(*HELD))
    return Scene((outer, inner))
