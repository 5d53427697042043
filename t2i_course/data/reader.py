"""The exact reader: which scene a picture shows, found by drawing it again. Nothing is learned.

Pixels are told apart by the nearest colour of the palette; connected pixels of a colour are a
thing; a thing is fitted by the templates it would have been drawn with (`shapes.coverage`), kind
by kind, for centre and extent; and what was read is drawn again and held against the picture. A
picture that does not look like its own reading has no answer.
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy import ndimage

from t2i_course.data.fitting import Target, drawn_cover, fits
from t2i_course.data.shapes import COLOURS, GROUND, SIDES, UNITS, Scene, Thing, coverage, overlap
from t2i_course.errors import T2IError

NAMES = tuple(COLOURS)
PALETTE = np.array([GROUND, *COLOURS.values()], np.float32)  # [9, 3]
NEAR = 54  # from a colour of the palette: half the distance between the nearest two
MOST = 6  # things; a picture with more is none of ours
EXTENTS = (23, 80)  # half-extents that a thing may have
LUMP = 2.0  # pixels of cover that may be too much, or missing, in one place of 3x3 pixels
SURE = 0.6  # the best kind's squared error, of the second best one's
HIDDEN = 0.15  # of a thing that may lie under others
STRAY = 60  # in a channel: what no fit explains
MOST_STRAY = 2  # pixels that may be so, at 32x32


@dataclass
class Blob:
    """Connected pixels of one colour of the palette."""

    colour: int  # place in PALETTE
    pixels: np.ndarray  # bool [S, S]
    box: tuple[slice, slice]
    value: np.ndarray  # [3]: its colour as it is in this picture
    parent: int = -1  # the blob it lies in, or -1: the ground


def read(image: np.ndarray) -> Scene | None:
    """The scene that a picture shows, or None if it shows none that could have been drawn.

    Args:
        image: `[3, S, S]` with S 32 or 64, uint8 or floating point in [0, 1].

    Returns:
        The things in the order of painting (a thing inside another one after it), or None: some
        of the picture is not explained by things of the palette, or a thing has no shape that is
        clearly the best and lies well.

    Raises:
        T2IError: if the image is of another form.
    """
    picture = _picture(image)
    distance = np.sqrt(_squares(picture))  # [S, S, 9]
    labels = distance.argmin(axis=2)
    labels[distance.min(axis=2) > NEAR] = -1
    ground = labels == 0
    if ground.mean() < 0.25:
        return None
    ground_value = picture[ground].mean(axis=0)
    blobs = _blobs(picture, labels)
    if not 0 < len(blobs) <= MOST:
        return None
    owners = _owners(blobs)
    things = [_best(picture, owners, blobs, k, ground_value) for k in range(len(blobs))]
    order = sorted(range(len(blobs)), key=lambda k: blobs[k].parent >= 0)
    found = [thing for k in order if (thing := things[k]) is not None]
    values = [blobs[k].value for k in order]
    if len(found) < len(blobs) or not _explains(found, values, ground_value, picture):
        return None
    return Scene(tuple(found))


def _picture(image: np.ndarray) -> np.ndarray:
    """The image as float32 `[S, S, 3]` from 0 to 255."""
    image = np.asarray(image)
    if image.ndim != 3 or image.shape[0] != 3 or image.shape[1:] not in [(s, s) for s in SIDES]:
        raise T2IError(
            f"The reader needs a picture [3, S, S] with S 32 or 64, not {list(image.shape)}."
        )
    if image.dtype == np.uint8:
        return image.transpose(1, 2, 0).astype(np.float32)
    if not np.issubdtype(image.dtype, np.floating) or not (image.min() >= 0 and image.max() <= 1):
        raise T2IError(
            f"The reader needs uint8, or floating point in [0, 1], not {image.dtype} "
            f"from {image.min()} to {image.max()}."
        )
    return image.transpose(1, 2, 0).astype(np.float32) * 255


def _squares(picture: np.ndarray) -> np.ndarray:
    """Squared distance of each pixel to each colour of the palette, `[S, S, 9]`."""
    norms = (picture**2).sum(axis=2)[..., None] + (PALETTE**2).sum(axis=1)
    return np.maximum(norms - 2 * picture @ PALETTE.T, 0)


def _blobs(picture: np.ndarray, labels: np.ndarray) -> list[Blob]:
    """The connected regions of one colour, each with the one that it lies in."""
    side = len(labels)
    least = 3 * (side // 32) ** 2  # pixels; what is smaller must be explained by an edge
    blobs: list[Blob] = []
    for colour in np.unique(labels[labels > 0]):
        parts, _ = ndimage.label(labels == colour, np.ones((3, 3)))
        sizes = np.bincount(parts.ravel())
        for part, box in enumerate(ndimage.find_objects(parts), start=1):
            if sizes[part] >= least:
                pixels = parts == part
                blobs.append(Blob(int(colour), pixels, box, np.median(picture[pixels], axis=0)))
    if len(blobs) > 2:
        blobs = [blob for blob in blobs if not _is_edge(blob, blobs)]
    for blob in blobs:
        y, x = _grown(blob.box, 2, side)
        rim = labels[y, x].copy()
        rim[1:-1, 1:-1] = -1
        seen = np.bincount(rim[rim >= 0], minlength=9)
        seen[blob.colour] = 0
        around = int(seen.argmax())
        for k, other in enumerate(blobs):
            if around and other.colour == around and other.pixels[y, x].any():
                blob.parent = k
    return blobs


def _is_edge(blob: Blob, blobs: list[Blob]) -> bool:
    """Whether it is but the line along which one thing lies in another: red in yellow is edged
    with orange."""
    y, x = _grown(blob.box, 1, len(blob.pixels))
    near = _dilated(blob.pixels[y, x])
    beside = [b.value for b in blobs if b is not blob and b.pixels[y, x][near].any()]
    if ndimage.binary_erosion(blob.pixels[y, x], np.ones((3, 3))).any():
        return False
    return any(_mixes(blob.value, a, b) for a, b in combinations(beside, 2))


def _mixes(value: np.ndarray, a: np.ndarray, b: np.ndarray) -> bool:
    """Whether a colour is about a mixture of two others."""
    line = b - a
    share = float((value - a) @ line / max(line @ line, 1.0))
    return 0.15 < share < 0.85 and bool(np.linalg.norm(a + share * line - value) < NEAR)


def _grown(box: tuple[slice, slice], by: int, side: int) -> tuple[slice, slice]:
    y, x = (slice(max(s.start - by, 0), min(s.stop + by, side)) for s in box)
    return y, x


def _dilated(pixels: np.ndarray) -> np.ndarray:
    """With the eight neighbours of each pixel."""
    return ndimage.binary_dilation(pixels, np.ones((3, 3), bool))


def _owners(blobs: list[Blob]) -> np.ndarray:
    """Which of the blobs each pixel is nearest to, `[S, S]`; a blob inside another counts as it."""
    owners = np.full(blobs[0].pixels.shape, -1)
    for k, blob in enumerate(blobs):
        owners[blob.pixels] = blob.parent if blob.parent >= 0 else k
    if len(np.unique(owners)) == 2:
        return np.full_like(owners, owners.max())
    nearest = ndimage.distance_transform_edt(
        owners < 0, return_distances=False, return_indices=True
    )
    return owners[tuple(nearest)]


def _best(
    picture: np.ndarray, owners: np.ndarray, blobs: list[Blob], k: int, ground: np.ndarray
) -> Thing | None:
    """The thing that blob `k` is, or None if no template lies well or two lie as well."""
    blob, side = blobs[k], len(owners)
    window = _grown(blob.box, 3, side)
    base = blobs[blob.parent].value if blob.parent >= 0 else ground
    contrast = blob.value - base
    cover = (picture[window] - base) @ contrast / (contrast @ contrast)
    # Only the pixels nearest to this thing tell of it; and not those that a thing inside hides.
    pixels = blob.pixels[window]
    child = np.zeros_like(pixels)
    for one in blobs:
        if one.parent == k:
            child |= _dilated(one.pixels[window])
    if blob.parent >= 0:
        known = ndimage.binary_fill_holes(blobs[blob.parent].pixels | blob.pixels)[window]
    else:
        known = (owners[window] == k) & ~child
    cover = np.clip(np.where(known, cover, pixels | child), -0.25, 1.25)
    target = Target(cover, known, window[0].start, window[1].start, side)
    best, second, *_ = fits(target)
    drawn = drawn_cover(target, best.kind, best.x, best.y, best.extent)
    hidden = drawn[~(known | child)].sum() / drawn.sum()
    lump = 9 * np.abs(ndimage.uniform_filter((cover - drawn) * known, 3, mode="constant")).max()
    possible = EXTENTS[0] <= best.extent <= EXTENTS[1] and hidden <= HIDDEN and lump <= LUMP
    if not possible or best.error > SURE * second.error:
        return None
    return Thing(best.kind, NAMES[blob.colour - 1], best.x, best.y, best.extent)


def _explains(
    things: list[Thing], values: list[np.ndarray], ground: np.ndarray, picture: np.ndarray
) -> bool:
    """Whether the things, drawn in the colours that they have here, make up the whole picture."""
    side = len(picture)
    block = UNITS // side
    drawn = np.empty_like(picture)
    drawn[:] = ground
    canvas = drawn.transpose(2, 0, 1)
    for thing, value in zip(things, values, strict=True):
        left, top = thing.x - thing.extent, thing.y - thing.extent
        part = coverage(thing.kind, thing.extent, left % block, top % block, side)
        there, cover = overlap(canvas, part, top // block, left // block)
        there += (value[:, None, None] - there) * (cover / np.float32(block**2))
    # An outline may be soft or a pixel off here and there (how far in all is known from the fit),
    # so a pixel may have any colour between those beside it.
    size = (3, 3, 1)
    low, high = ndimage.minimum_filter(drawn, size), ndimage.maximum_filter(drawn, size)
    stray = np.maximum(low - picture, picture - high).max(axis=2) > STRAY
    return int(stray.sum()) <= MOST_STRAY * (side // 32) ** 2
