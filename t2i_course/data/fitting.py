"""Which template, where and how large: the one that covers the pixels as they are covered."""

from dataclasses import dataclass
from functools import cache
from operator import itemgetter

import numpy as np

from t2i_course.data.shapes import KINDS, UNITS, coverage, mask, overlap

EXTENTS = (16, 88)  # that are tried
STEP = 2  # units, of the differences that stand for derivatives
UNIT_STEPS = np.concatenate([np.eye(3, dtype=int), -np.eye(3, dtype=int)])
CANDIDATES = 3  # kinds that are fitted: the best of the first guesses
CLEAR = 25  # times the best error: a guess so bad need not be fitted
Laid = tuple[str, int, int, int]  # kind, x, y, extent


@dataclass(frozen=True)
class Target:
    """A part of a picture as a thing's cover.

    Args:
        cover: `[h, w]`: how much of each pixel the thing covers, about 0 to 1.
        known: bool `[h, w]`, False where the picture does not tell.
        top, left: where the part begins, in pixels.
        side: of the whole picture.
    """

    cover: np.ndarray
    known: np.ndarray
    top: int
    left: int
    side: int


@dataclass(frozen=True)
class Fit:
    """A template laid on a target, and its squared error, summed over the known pixels."""

    kind: str
    x: int
    y: int
    extent: int
    error: float


def fits(target: Target) -> list[Fit]:
    """The best fits, one for each of the likeliest kinds, the best first.

    Centre and extent are found by Gauss-Newton steps from the moments of the cover.
    """
    guesses = [(_error(target, *laid), laid) for laid in (_guess(target, kind) for kind in KINDS)]
    (_, likeliest), *others = sorted(guesses, key=itemgetter(0))[:CANDIDATES]
    found = [_refined(target, likeliest)]
    for error, laid in others:
        clear = error > CLEAR * found[0][0]
        found.append((error, laid) if clear else _refined(target, laid))
    found.sort(key=itemgetter(0))
    found[0] = _polished(target, *found[0])
    return [Fit(*laid, error) for error, laid in found]


def _guess(target: Target, kind: str) -> Laid:
    """The thing of a kind that has the target's area and centre of mass."""
    block, (area, down) = UNITS / target.side, _moments(kind)
    cover = np.clip(target.cover, 0, 1)
    total = max(float(cover.sum()), 1.0)
    height, width = cover.shape
    y = (cover.sum(axis=1) @ np.arange(height) / total + target.top + 0.5) * block
    x = (cover.sum(axis=0) @ np.arange(width) / total + target.left + 0.5) * block
    extent = float(np.clip(np.sqrt(total / area) * block, *EXTENTS))
    return kind, round(x), round(y - down * extent), round(extent)


def _refined(target: Target, laid: Laid) -> tuple[float, Laid]:
    """Gauss-Newton on (x, y, extent), in whole units, as long as it gets better; with the error."""
    kind, at = laid[0], np.array(laid[1:])
    error = _error(target, *laid)
    for _ in range(5):
        base = drawn_cover(target, kind, *at)
        slopes = np.stack(
            [
                (
                    drawn_cover(target, kind, *(at + step))
                    - drawn_cover(target, kind, *(at - step))
                ).ravel()
                for step in UNIT_STEPS[:3] * STEP
            ]
        ) / (2 * STEP)
        slopes *= target.known.ravel()
        rest = (target.cover - base).ravel()
        try:
            move = np.linalg.solve(slopes @ slopes.T, slopes @ rest)
        except np.linalg.LinAlgError:  # all of it out of the window
            break
        new = at + np.rint(np.clip(move, -16, 16)).astype(int)
        new[2] = np.clip(new[2], *EXTENTS)
        better = _error(target, kind, *new)
        if better >= error:
            break
        at, error = new, better
    return error, _laid(kind, at)


def _polished(target: Target, error: float, laid: Laid) -> tuple[float, Laid]:
    """The neighbour with the least error, one unit at a time, until none is better."""
    while True:
        nearby = [_laid(laid[0], np.array(laid[1:]) + step) for step in UNIT_STEPS]
        better, there = min(((_error(target, *each), each) for each in nearby), key=itemgetter(0))
        if better >= error:
            return error, laid
        error, laid = better, there


def _laid(kind: str, at: np.ndarray) -> Laid:
    x, y, extent = at.tolist()
    return kind, x, y, extent


def _error(target: Target, kind: str, x: int, y: int, extent: int) -> float:
    rest = (target.cover - drawn_cover(target, kind, x, y, extent))[target.known]
    return float(rest @ rest)


def drawn_cover(target: Target, kind: str, x: int, y: int, extent: int) -> np.ndarray:
    """What a thing would cover of the target's pixels, from 0 to 1."""
    block = UNITS // target.side
    extent = min(max(int(extent), EXTENTS[0]), EXTENTS[1])
    left, top = int(x) - extent, int(y) - extent
    cover = coverage(kind, extent, left % block, top % block, target.side)
    whole = np.zeros(target.cover.shape, np.float32)
    onto, part = overlap(whole, cover, top // block - target.top, left // block - target.left)
    onto[:] = part
    return whole / (block * block)


@cache
def _moments(kind: str) -> tuple[float, float]:
    """A kind's area and how far its centre of mass lies below its box's, for an extent of 1."""
    cells, extent = mask(kind, 64), 64
    rows = cells.sum(axis=1)
    return float(cells.sum()) / extent**2, float(rows @ np.arange(128) / rows.sum() - 63.5) / extent
