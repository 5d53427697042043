"""What the reader of drawn shapes says of drawings, whole and damaged, and how fast it all is.

    python benchmarks/shapes_reader.py [--fresh 10000] [--damaged 1000]

FRESH drawings for each side and split; DAMAGED ones for each side and kind of damage, of the test
split. "right" is the same things, each with its kind, colour, size and place (centre within 12
units of 256, extent within 8); where a damage leaves nothing to read, any answer is wrong. Writes
benchmarks/results/shapes_reader.md.
"""

import argparse
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy import ndimage

from t2i_course.contract import write_whole
from t2i_course.data.captions import captions
from t2i_course.data.reader import read
from t2i_course.data.scenes import same
from t2i_course.data.shapes import COLOURS, GROUND, SIDES, SPLITS, Scene, draw, scene

RESULTS = Path(__file__).parent / "results"
WRONG_COLOURS = (  # none within 60 of the palette or of the ground
    (255, 150, 190), (130, 80, 40), (128, 128, 128), (160, 230, 60), (10, 20, 110),
    (190, 170, 120), (255, 0, 255), (110, 10, 10),
)  # fmt: skip
Damaged = tuple[np.ndarray, Scene | None]  # a picture, and what it shows


@dataclass(frozen=True)
class Damage:
    """A row of the table: from (scene, side, random numbers) to a picture and what it shows."""

    title: str
    function: Callable[[Scene, int, np.random.Generator], Damaged]


def whole(one: Scene, side: int, random: np.random.Generator) -> Damaged:
    """The drawing as it is."""
    return draw(one, side), one


def noisy(sigma: float) -> Damage:
    """Normal noise on every channel of every pixel."""

    def function(one: Scene, side: int, random: np.random.Generator) -> Damaged:
        return _bytes(draw(one, side) + sigma * random.standard_normal((3, side, side))), one

    return Damage(f"noise, σ = {sigma:g} of 255", function)


def blurred(sigma: float) -> Damage:
    """A Gaussian blur of so many pixels."""

    def function(one: Scene, side: int, random: np.random.Generator) -> Damaged:
        picture = draw(one, side).astype(float)
        return _bytes(ndimage.gaussian_filter(picture, (0, sigma, sigma), mode="nearest")), one

    return Damage(f"blurred, σ = {sigma:g} pixels", function)


def off_colour(most: int) -> Damage:
    """Every thing's colour and the ground's off by up to so much in each channel."""

    def function(one: Scene, side: int, random: np.random.Generator) -> Damaged:
        shifts = random.integers(-most, most + 1, (len(COLOURS) + 1, 3))
        names = [*COLOURS]
        colours = {name: _shifted(COLOURS[name], shifts[k]) for k, name in enumerate(names)}
        return _recoloured(one, side, colours, _shifted(GROUND, shifts[-1])), one

    return Damage(f"every colour off by up to {most} in each channel", function)


def rough(share: float) -> Damage:
    """That share of all pixels copied from one of the eight beside: only outlines change."""

    def function(one: Scene, side: int, random: np.random.Generator) -> Damaged:
        picture = draw(one, side)
        y, x = np.mgrid[:side, :side]
        dy, dx = random.integers(-1, 2, (2, side, side))
        moved = picture[:, np.clip(y + dy, 0, side - 1), np.clip(x + dx, 0, side - 1)]
        return np.where(random.random((side, side)) < share, moved, picture), one

    return Damage(f"{share:.0%} of the pixels copied from a neighbour", function)


def half_erased(one: Scene, side: int, random: np.random.Generator) -> Damaged:
    """The left, right or upper half of one thing painted over with the ground.

    Not the lower half: what is left of a triangle would be a triangle.
    """
    picture, block = draw(one, side), 256 // side
    thing = one.things[random.integers(len(one.things))]
    ends = [[thing.y - thing.extent, thing.y + thing.extent],
            [thing.x - thing.extent, thing.x + thing.extent]]  # fmt: skip
    axis, end = [(1, 0), (1, 1), (0, 1)][random.integers(3)]
    ends[axis][end] = (thing.y, thing.x)[axis]
    (top, bottom), (left, right) = ends
    picture[:, top // block : -(-bottom // block), left // block : -(-right // block)] = np.array(
        GROUND
    )[:, None, None]
    return picture, one


def merged(alike: bool) -> Damage:
    """Two things laid over each other, of one colour or of two."""

    def function(one: Scene, side: int, random: np.random.Generator) -> Damaged:
        while True:
            a, b = scene(int(random.integers(2**40)), split="test", things=2).things
            a, b = sorted((a, b), key=lambda thing: -thing.extent)
            x, y = (int(v) for v in random.integers(-a.extent, a.extent + 1, 2))
            a, b = replace(a, x=128, y=128), replace(b, x=128 + x, y=128 + y)
            if not alike and a.colour == b.colour:
                continue
            alone = [_mass(Scene((thing,))) for thing in (a, b)]
            union = _mass(Scene((a, replace(b, colour=a.colour))))
            lost = sum(alone) - union  # they overlap, and much of the smaller one sticks out
            if 0 < lost < 0.7 * min(alone):
                break
        both = Scene((a, replace(b, colour=a.colour) if alike else b))
        return draw(both, side), both

    return Damage(f"two things merged, of {'one colour' if alike else 'two colours'}", function)


def averaged(one: Scene, side: int, random: np.random.Generator) -> Damaged:
    """The mean of two drawings: ghosts."""
    other = scene(int(random.integers(2**40)), split="test")
    return _bytes((draw(one, side).astype(float) + draw(other, side)) / 2), None


def wrong_palette(one: Scene, side: int, random: np.random.Generator) -> Damaged:
    """Things in colours that are none of the palette."""
    order = random.permutation(len(WRONG_COLOURS))
    colours = {name: WRONG_COLOURS[order[k]] for k, name in enumerate(COLOURS)}
    return _recoloured(one, side, colours, GROUND), None


def turned(one: Scene, side: int, random: np.random.Generator) -> Damaged:
    """The picture turned by 20 degrees: circles stay, the rest is no kind of ours."""
    picture = draw(one, side).astype(float)
    light = np.array(GROUND)[:, None, None]
    turned = ndimage.rotate(picture - light, 20, axes=(1, 2), reshape=False, order=1) + light
    kinds = {thing.kind for thing in one.things}
    return _bytes(turned), None if kinds != {"circle"} else _turned(one)


def stretched(one: Scene, side: int, random: np.random.Generator) -> Damaged:
    """The middle half of the picture stretched to twice its width: no kind of ours."""
    thing = one.things[0]
    alone = Scene((replace(thing, x=128, y=128, extent=min(thing.extent, 56)),))
    picture = draw(alone, side)
    return picture[:, :, side // 4 : -side // 4].repeat(2, axis=2), None


DAMAGES = (
    Damage("none", whole), noisy(5), noisy(10), noisy(20), noisy(40), off_colour(15),
    off_colour(25), rough(0.1), rough(0.3), rough(0.6), blurred(0.4), blurred(0.7), blurred(1),
    blurred(2), Damage("half of one thing erased", half_erased), merged(True), merged(False),
    Damage("the mean of two drawings", averaged),
    Damage("colours of no palette of ours", wrong_palette),
    Damage("turned by 20 degrees", turned), Damage("one thing, twice as wide", stretched),
)  # fmt: skip


def judge(picture: np.ndarray, shown: Scene | None) -> str:
    """ "right", "abstained" or "wrong"."""
    found = read(picture)
    if found is None:
        return "abstained"
    return "right" if same(shown, found, within=12, extent=8) else "wrong"


def _bytes(picture: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def _mass(one: Scene) -> float:
    """How many pixels of a 64x64 drawing the things cover."""
    black = Scene(tuple(replace(thing, colour="black") for thing in one.things))
    return float((GROUND[0] - draw(black, 64)[0].astype(float)).sum() / (GROUND[0] - 28))


def _shifted(colour: tuple[int, ...], shift: np.ndarray) -> tuple[int, ...]:
    return tuple(np.clip(np.array(colour) + shift, 0, 255).tolist())


def _recoloured(
    one: Scene, side: int, colours: dict[str, tuple[int, ...]], ground: tuple[int, ...]
) -> np.ndarray:
    """The drawing in other colours, by the cover of one thing after the other."""
    picture = np.empty((3, side, side))
    picture[:] = np.array(ground)[:, None, None]
    for thing in one.things:
        black = draw(Scene((replace(thing, colour="black"),)), side).astype(float)[0]
        cover = (GROUND[0] - black) / (GROUND[0] - COLOURS["black"][0])
        picture += (np.array(colours[thing.colour])[:, None, None] - picture) * cover
    return _bytes(picture)


def _turned(one: Scene) -> Scene:
    c, s = np.cos(np.deg2rad(20)), np.sin(np.deg2rad(20))
    moved = []
    for t in one.things:
        x, y = t.x - 128, t.y - 128
        moved.append(replace(t, x=round(128 + c * x + s * y), y=round(128 - s * x + c * y)))
    return Scene(tuple(moved))


def fresh(count: int) -> list[str]:
    """Lines of a table: how many of `count` fresh drawings are read right."""
    lines = ["| side | split | right | abstained | wrong | ms a picture |", "| --- " * 6 + "|"]
    for side in SIDES:
        for split in SPLITS:
            pictures = [
                (draw(one, side), one) for one in (scene(i, 1, split) for i in range(count))
            ]
            start = time.process_time()
            found = Counter(judge(*pair) for pair in pictures)
            spent = (time.process_time() - start) / count * 1000
            cells = [f"{found[part]:,}" for part in ("right", "abstained", "wrong")]
            lines.append(f"| {side} | {split} | " + " | ".join(cells) + f" | {spent:.1f} |")
    return lines


def damaged(count: int) -> list[str]:
    """Lines of a table: shares right, abstained and wrong for each damage, at both sides."""
    head = [f"{part}, {side}" for side in SIDES for part in ("right", "abstained", "wrong")]
    lines = ["| damage | " + " | ".join(head) + " |", "| --- " * 7 + "|"]
    for k, damage in enumerate(DAMAGES):
        cells = []
        for side in SIDES:
            random = np.random.Generator(np.random.Philox(key=[k, side]))
            found = Counter(
                judge(*damage.function(scene(i, 2, "test"), side, random)) for i in range(count)
            )
            cells += [f"{found[p] / count:.1%}" for p in ("right", "abstained", "wrong")]
        print(damage.title, *cells, flush=True)
        lines.append(f"| {damage.title} | " + " | ".join(cells) + " |")
    return lines


def speed(count: int = 3_000) -> list[str]:
    """Lines of a table: how many a second, on one core."""
    scenes = [scene(i, 3) for i in range(count)]
    lines = ["| what | a second |", "| --- | --- |"]
    actions: dict[str, Callable[[int], object]] = {
        "scene and drawing, 64x64": lambda i: draw(scene(i, 3), 64),
        "scene and drawing, 32x32": lambda i: draw(scene(i, 3), 32),
        "five captions": lambda i: captions(scenes[i], i, 3),
    }
    for title, action in actions.items():
        start = time.process_time()
        for i in range(count):
            action(i)
        lines.append(f"| {title} | {count / (time.process_time() - start):,.0f} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fresh", type=int, default=10_000)
    parser.add_argument("--damaged", type=int, default=1_000)
    wanted = parser.parse_args()
    text = [
        "# The reader of drawn shapes", "",
        f"On one core, in CPU time. Fresh drawings, {wanted.fresh:,} for each side and split:", "",
        *fresh(wanted.fresh), "",
        f"Damaged drawings of the test split, {wanted.damaged:,} for each side and damage (where "
        "the damage leaves nothing that could be read right, any answer is wrong):", "",
        *damaged(wanted.damaged), "", "Making them:", "", *speed(), "",
    ]  # fmt: skip
    write_whole(RESULTS / "shapes_reader.md", "\n".join(text))


if __name__ == "__main__":
    main()
