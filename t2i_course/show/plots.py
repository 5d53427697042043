"""Figures in one look: image grids, curves, scatters, bars and heat maps, each with its alt text.

Every function takes arrays (NumPy or Torch), computes no score and returns a `Figure` that no
window or notebook owns: nothing is shown twice, nothing stays open. `show` displays it in a
notebook. The look is the style file beside this module; it is used while a figure is made and
drawn, and the reader's own Matplotlib settings stay as they are.
"""

import base64
import io
import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import matplotlib as mpl
import numpy as np
import PIL.Image
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.textpath import TextPath
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from t2i_course.contract import require, unknown

__all__ = ["bars", "check_alt", "curves", "grid", "heatmap", "png", "scatter", "show"]

Array = ArrayLike | Tensor

MARKERS = "os^DvPX*<>p8"  # with the colours, so that no two of twelve classes look alike
LINES = ("-", "--", ":")  # when the colours are used up
GAP_GREY = 0.75  # between the images of a grid: seen beside black and beside white
GRID_PIXELS = 600  # the side of a grid, unless `scale` says otherwise
MAX_ZOOM = 4


def _look() -> AbstractContextManager[None]:
    """The course's look, whatever the reader's own settings are."""
    return style.context("t2i_course.show.t2i", after_reset=True)


def _array(values: Array) -> NDArray[np.float64]:
    if isinstance(values, Tensor):
        values = values.detach().cpu().double().numpy()
    return np.asarray(values, dtype=np.float64)


def _axes(title: str | None, xlabel: str, ylabel: str, height: float | None = None) -> Axes:
    """The axes of a new figure, labelled; `height` in inches. Call inside `_look()`."""
    width, usual = mpl.rcParams["figure.figsize"]
    axes = Figure(figsize=(width, height or usual), layout="constrained").subplots()
    axes.set(xlabel=xlabel, ylabel=ylabel, title=title or "")
    return axes


def _figure(axes: Axes) -> Figure:
    figure = axes.get_figure(root=True)
    assert figure is not None
    return figure


def _colour(index: int) -> str:
    colours = mpl.rcParams["axes.prop_cycle"].by_key()["color"]
    return colours[index % len(colours)]


# Images


def _checked_images(images: Array) -> NDArray[np.float64]:
    pixels = _array(images)
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
        scale: screen pixels per image pixel; by default a whole number that gives about 600
            pixels, so that every image pixel has the same size on the screen.

    Raises:
        T2IError: for another shape or range, or a wrong number of labels.
    """
    pixels = _checked_images(images)
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

    with _look():
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
    return _figure(axes)


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


# Curves, points, bars, matrices


def curves(
    series: Mapping[str, tuple[Array, Array]],
    xlabel: str,
    ylabel: str,
    title: str | None = None,
    logy: bool = False,
    bands: Mapping[str, tuple[Array, Array]] | None = None,
) -> Figure:
    """Named lines, each with its name at its right end.

    Args:
        series: name to (x `[N]`, y `[N]`).
        logy: a logarithmic y axis; all y must then be above 0.
        bands: name to (low `[N]`, high `[N]`): a shaded interval round the line of that name.

    Raises:
        T2IError: for lengths that differ, a band of an unknown name, or logy with y <= 0.
    """
    require(len(series) > 0, "curves needs at least one named line: {name: (x, y)}.")
    bands = bands or {}
    for name in bands:
        if name not in series:
            raise unknown("line to put a band round", name, series)
    with _look():
        axes = _axes(title, xlabel, ylabel)
        lines = []
        for index, (name, (x, y)) in enumerate(series.items()):
            x, y = _array(x), _array(y)
            require(
                x.ndim == 1 and x.shape == y.shape and x.size > 0,
                f"Line {name!r}: x and y must be two lists of the same length, at least 1; "
                f"they have shapes {list(x.shape)} and {list(y.shape)}.",
            )
            require(
                not logy or not (y <= 0).any(),
                f"Line {name!r} goes down to {y.min():.3g}: logy=True needs values above 0.",
            )
            dash = LINES[index // 8 % len(LINES)]
            (line,) = axes.plot(x, y, dash, color=_colour(index), marker="o" if x.size == 1 else "")
            lines.append((name, line))
            if name in bands:
                low, high = (_array(edge) for edge in bands[name])
                require(
                    low.shape == high.shape == x.shape,
                    f"The band of {name!r} must have {x.size} low and {x.size} high values.",
                )
                axes.fill_between(x, low, high, color=line.get_color(), alpha=0.2, linewidth=0)
        if logy:
            axes.set_yscale("log")
        _name_at_the_end(axes, lines)
    return _figure(axes)


def _name_at_the_end(axes: Axes, lines: Sequence[tuple[str, Any]], apart: float = 0.075) -> None:
    """Write each line's name right of the axes, level with its end, names pushed `apart`."""
    axes.margins(x=0)  # so that the lines end where the names begin
    axes.set_xlim(axes.get_xlim())
    axes.set_ylim(axes.get_ylim())
    to_axes = axes.transScale + axes.transLimits
    ends = []
    for name, line in lines:
        finite = line.get_xydata()[np.isfinite(line.get_ydata())]
        end = to_axes.transform(finite[-1])[1] if len(finite) else 0.5
        ends.append((float(end), name, line))
    ends.sort(key=lambda entry: entry[0])
    heights: list[float] = []
    for end, _, _ in ends:
        heights.append(max(end, heights[-1] + apart) if heights else end)
    ceiling = 1.0
    for index in reversed(range(len(heights))):  # back inside, where the pushing went too far
        heights[index] = min(heights[index], ceiling)
        ceiling = heights[index] - apart
    for height, (end, name, line) in zip(heights, ends, strict=True):
        colour = line.get_color()
        beside: dict[str, Any] = {"transform": axes.transAxes, "clip_on": False}
        axes.plot([1, 1.02], [end, height], color=colour, lw=0.8, **beside)
        axes.plot([1.02, 1.07], [height] * 2, line.get_linestyle(), color=colour, **beside)
        axes.text(1.085, height, name, transform=axes.transAxes, va="center", size="small")


def scatter(
    points: Array,
    labels: Array,
    names: Sequence[str],
    title: str | None = None,
    xlabel: str = "$z_1$",
    ylabel: str = "$z_2$",
) -> Figure:
    """Points in the plane by class; each class has its own marker, and a colour or a hollow one.

    Args:
        points: `[N, 2]`.
        labels: `[N]` whole numbers from 0 to `len(names) - 1`.
        names: of the classes, at most 12.

    Raises:
        T2IError: for another shape, a label without a name, or more than 12 classes.
    """
    xy, kinds = _array(points), _array(labels)
    require(
        xy.ndim == 2 and xy.shape[1] == 2 and kinds.shape == (len(xy),),
        f"scatter needs points [N, 2] and labels [N]; they have shapes {list(xy.shape)} and "
        f"{list(kinds.shape)}.",
    )
    require(
        len(names) <= len(MARKERS),
        f"scatter tells at most {len(MARKERS)} classes apart, not {len(names)}.",
    )
    missing = sorted(set(kinds.tolist()) - set(range(len(names))))
    require(not missing, f"Label {missing[:1]} has no name: there are {len(names)} names, from 0.")
    with _look():
        axes = _axes(title, xlabel, ylabel, height=4.4)
        for index, name in enumerate(names):
            own = xy[kinds == index]
            colour, hollow = _colour(index), index >= 8
            axes.scatter(
                own[:, 0],
                own[:, 1],
                s=18,
                marker=MARKERS[index],
                facecolors="white" if hollow else colour,
                edgecolors=colour if hollow else "#333333",
                linewidths=1.0 if hollow else 0.3,
                alpha=0.85,
                label=name,
                zorder=2,
            )
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), markerscale=1.7)
    return _figure(axes)


def bars(
    names: Sequence[str],
    values: Array,
    errors: Array | None = None,
    xlabel: str = "",
    ylabel: str = "",
    title: str | None = None,
) -> Figure:
    """One horizontal bar per name, the first on top, with its value written beside it.

    Args:
        values: `[N]`.
        errors: `[N]` half-lengths of the error bars, or `[2, N]` downwards and upwards.

    Raises:
        T2IError: if the lengths differ.
    """
    lengths = _array(values)
    require(
        lengths.shape == (len(names),) and len(names) > 0,
        f"bars needs one value per name: {len(names)} names, values {list(lengths.shape)}.",
    )
    spread = np.zeros((2, len(names)))
    if errors is not None:
        given = _array(errors)
        require(
            given.shape in ((len(names),), (2, len(names))),
            f"errors must be [{len(names)}] or [2, {len(names)}], not {list(given.shape)}.",
        )
        spread = np.broadcast_to(given, spread.shape)
    with _look():
        axes = _axes(title, xlabel, ylabel, height=0.9 + 0.34 * len(names) + 0.2 * bool(title))
        places = np.arange(len(names))
        axes.barh(places, lengths, height=0.65, color=_colour(0))
        if errors is not None:
            axes.errorbar(lengths, places, xerr=spread, fmt="none", color="black", capsize=3, lw=1)
        for place, value, (down, up) in zip(places, lengths, spread.T, strict=True):
            negative = value < 0
            axes.annotate(
                f"{value:.3g}",
                (value - down if negative else value + up, place),
                xytext=(-4 if negative else 4, 0),
                textcoords="offset points",
                va="center",
                ha="right" if negative else "left",
                size="small",
            )
        axes.margins(x=0.12)
        if (lengths >= 0).all():
            axes.set_xlim(left=0)
        axes.axvline(0, color="#555555", lw=0.8)
        axes.set_yticks(places, labels=names)
        axes.tick_params(axis="y", length=0)
        axes.invert_yaxis()
        axes.grid(False, axis="y")
    return _figure(axes)


def heatmap(
    matrix: Array,
    row_names: Sequence[str],
    column_names: Sequence[str],
    title: str | None = None,
    colorbar_label: str = "",
    xlabel: str = "",
    ylabel: str = "",
) -> Figure:
    """A matrix as coloured cells, such as a confusion matrix; up to 12 by 12 with its numbers.

    Args:
        matrix: `[R, K]`, one row per name of `row_names`, one column per name of `column_names`.

    Raises:
        T2IError: if the names do not fit the matrix.
    """
    cells = _array(matrix)
    R, K = len(row_names), len(column_names)
    require(
        cells.shape == (R, K) and cells.size > 0,
        f"The matrix has shape {list(cells.shape)}, but there are {R} row and {K} column names.",
    )
    with _look():
        axes = _axes(title, xlabel, ylabel, height=1.3 + 0.33 * R)
        picture = axes.imshow(cells, aspect="auto")
        _figure(axes).colorbar(picture, ax=axes, label=colorbar_label)
        long = max(len(name) for name in column_names) > 3
        axes.set_xticks(range(K), labels=column_names, rotation=40 if long else 0)
        if long:
            for label in axes.get_xticklabels():
                label.set(ha="right", rotation_mode="anchor")
        axes.set_yticks(range(R), labels=row_names)
        axes.tick_params(length=0)
        axes.grid(False)
        axes.spines[:].set_visible(False)
        if max(R, K) <= 12:
            whole = bool((cells == cells.round()).all())
            middle = (cells.min() + cells.max()) / 2
            for (row, column), value in np.ndenumerate(cells):
                bright = value > middle
                text = f"{value:.0f}" if whole else f"{value:.2f}"
                colour = "black" if bright else "white"
                axes.text(column, row, text, ha="center", va="center", color=colour, size=8)
    return _figure(axes)


# From a figure to the reader


def check_alt(alt: str) -> None:
    """Raise `T2IError` unless `alt` says in a sentence what a figure shows."""
    require(
        len(alt.strip()) >= 15 and " " in alt.strip(),
        f"A figure's alt text says in a sentence what it shows, for readers who cannot see it; "
        f"{alt!r} does not. For example: 'Training loss falls from 540 to 240 in 1500 steps.'",
    )


def png(figure: Figure) -> bytes:
    """The figure as PNG: the same bytes each time, without date or software, grey where it is."""
    with _look():
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        figure.set_layout_engine("none")  # settled: drawn again, it would shift by a hair
        drawn = np.asarray(canvas.buffer_rgba())[..., :3]
    grey = bool((drawn == drawn[..., :1]).all())
    picture = PIL.Image.fromarray(drawn[..., 0] if grey else drawn)
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def show(figure: Figure, alt: str) -> None:
    """Display the figure in a notebook; `alt` goes with it as the picture's words.

    The words stand in the output's metadata (`image/png`: `alt`) and are its plain-text form, which
    a terminal shows in place of the picture.

    Raises:
        T2IError: if `alt` is not a sentence.
    """
    from IPython.display import display

    check_alt(alt)
    picture = base64.b64encode(png(figure)).decode("ascii")
    display(
        {"image/png": picture, "text/plain": alt},
        metadata={"image/png": {"alt": alt}},
        raw=True,
    )
