"""Images in rows and columns."""

import math
from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.textpath import TextPath
from numpy.typing import NDArray

from t2i_course.contract import require
from t2i_course.show.figure import Array, array, figure_of, look

GAP_GREY = 0.75  # between the images of a grid: seen beside black and beside white
GRID_PIXELS = 700  # the side of a grid, unless `scale` says otherwise
MAX_ZOOM = 4


def checked_images(images: Array) -> NDArray[np.float64]:
    """Images `[N, C, H, W]` in [0, 1] as an array; `T2IError` for another shape or range."""
    pixels = array(images)
    require(
        pixels.ndim == 4 and pixels.shape[1] in (1, 3) and pixels.size > 0,
        "A grid shows images [N, C, H, W] with C = 1 (grey) or 3 (colour) and N at least 1; "
        f"this array has shape {list(pixels.shape)}.",
    )
    low, high = float(pixels.min()), float(pixels.max())
    hint = "they may be in [-1, 1]: (images + 1) / 2 brings those back"
    if high > 2:
        hint = "they may be in 0 to 255: images / 255 brings those back"
    require(
        low >= -1e-6 and high <= 1 + 1e-6,
        f"A grid shows images in [0, 1]; these run from {low:.3g} to {high:.3g}; {hint}.",
    )
    return pixels.clip(0, 1)


def _mosaic(pixels: NDArray[np.float64], columns: int, gap: int) -> NDArray[np.float64]:
    """`[N, C, H, W]` to one picture `[rows * (H + gap) - gap, columns * (W + gap) - gap, C]`."""
    N, C, H, W = pixels.shape
    rows = math.ceil(N / columns)
    mosaic = np.ones((rows * (H + gap) - gap, columns * (W + gap) - gap, C))
    for n, image in enumerate(pixels):
        top, left = n // columns * (H + gap), n % columns * (W + gap)
        mosaic[max(top - gap, 0) : top + H + gap, max(left - gap, 0) : left + W + gap] = GAP_GREY
        mosaic[top : top + H, left : left + W] = image.transpose(1, 2, 0)
    return mosaic


def grid(
    images: Array,
    columns: int,
    row_labels: Sequence[str] | None = None,
    column_labels: Sequence[str] | None = None,
    title: str | None = None,
    scale: float | None = None,
) -> Figure:
    """Images in rows of `columns`, with thin gaps.

    Args:
        images: `[N, C, H, W]` in [0, 1], C = 1 or 3; the last row may be short.
        row_labels: one per row, left of it.
        column_labels: one per column, above it; slanted where they would not fit side by side.
        scale: screen pixels per image pixel; by default a whole number that gives about 700
            pixels, so that every image pixel has the same size on the screen.

    Raises:
        T2IError: for another shape or range, or a wrong number of labels.
    """
    pixels = checked_images(images)
    N, _, H, W = pixels.shape
    require(columns >= 1, f"columns must be at least 1, not {columns}.")
    rows = math.ceil(N / columns)
    for name, labels, count in (
        ("row_labels", row_labels, rows),
        ("column_labels", column_labels, columns),
    ):
        require(
            labels is None or len(labels) == count,
            f"{name} must have {count} entries ({N} images in rows of {columns}), "
            f"not {len(labels or ())}.",
        )
    gap = max(1, max(H, W) // 64)
    mosaic = _mosaic(pixels, columns, gap)
    if scale is None:
        fit = GRID_PIXELS / max(mosaic.shape[:2])
        scale = min(math.floor(fit), MAX_ZOOM) if fit >= 1 else fit
    require(scale > 0, f"scale must be above 0, not {scale}.")

    with look():
        size = mpl.rcParams["xtick.labelsize"]
        slant = _text_pixels(column_labels or (), size) > (W + gap) * scale - 4
        axes = _whole_pixel_axes(mosaic, scale, title, row_labels, column_labels, slant)
        how = "nearest" if scale == round(scale) else "auto"
        axes.imshow(mosaic, cmap="gray", vmin=0, vmax=1, aspect="auto", interpolation=how)
        axes.grid(False)
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0, pad=4, labeltop=True, labelbottom=False)
        axes.set(xticks=[], yticks=[])
        if row_labels:
            axes.set_yticks(np.arange(rows) * (H + gap) + (H - 1) / 2, labels=row_labels)
        if column_labels:
            axes.set_xticks(np.arange(columns) * (W + gap) + (W - 1) / 2, labels=column_labels)
            if slant:
                for label in axes.get_xticklabels():
                    label.set(rotation=45, ha="left", rotation_mode="anchor")
    return figure_of(axes)


def _text_pixels(texts: Sequence[str], size: float) -> int:
    """The width of the widest text on the screen, with a little to spare for hinting."""
    widths = [TextPath((0, 0), text, size=size).get_extents().width for text in texts if text]
    return math.ceil(1.03 * max(widths, default=0) / 72 * mpl.rcParams["figure.dpi"])


def _whole_pixel_axes(
    mosaic: NDArray[np.float64],
    scale: float,
    title: str | None,
    row_labels: Sequence[str] | None,
    column_labels: Sequence[str] | None,
    slant: bool,
) -> Axes:
    """Axes for the mosaic in a figure that just holds it and its labels.

    All sides are whole screen pixels, so that image pixels stay equally large; a layout engine
    would stretch them.
    """
    dpi, size = mpl.rcParams["figure.dpi"], mpl.rcParams["xtick.labelsize"]
    pad, line = round(0.08 * dpi), round(0.2 * dpi)
    height, width = (round(side * scale) for side in mosaic.shape[:2])
    slanted = round(_text_pixels(column_labels or (), size) * math.sqrt(0.5)) if slant else 0
    left = pad + (_text_pixels(row_labels, size) + pad if row_labels else 0)
    above = pad + (max(slanted, line // 2) + line // 2 if column_labels else 0)
    if title:
        above += line + pad // 2
    title_size = mpl.rcParams["axes.titlesize"]
    full_width = max(
        left + width + pad + slanted, _text_pixels([title or ""], title_size) + 2 * pad
    )
    full_height = above + height + pad

    figure = Figure(figsize=(full_width / dpi, full_height / dpi))
    if title:
        where = pad / full_width, 1 - pad / full_height
        figure.text(*where, title, va="top", size=title_size)
    return figure.add_axes(
        (left / full_width, pad / full_height, width / full_width, height / full_height)
    )
