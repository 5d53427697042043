"""Figures in one look: image grids, curves, scatters, bars and heat maps, each with its alt text.

Every function takes arrays (NumPy or Torch), computes no score and returns a `Figure` that no
window or notebook owns: nothing is shown twice, nothing stays open. `show` displays it in a
notebook. The look is the style file beside this module; it is used while a figure is made and
drawn, and the reader's own Matplotlib settings stay as they are.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from t2i_course.contract import require, unknown
from t2i_course.show.figure import (
    Array,
    array,
    axes_of,
    check_alt,
    colour_of,
    figure_of,
    look,
    png,
    show,
)
from t2i_course.show.grids import grid

__all__ = ["bar_panels", "bars", "check_alt", "curves", "grid", "heatmap", "png", "scatter", "show"]

MARKERS = "os^DvPX*<>p8"  # with the colours, so that no two of twelve classes look alike
LINES = ("-", "--", ":")  # when the colours are used up


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
    with look():
        axes = axes_of(title, xlabel, ylabel)
        lines = []
        for index, (name, (x, y)) in enumerate(series.items()):
            x, y = array(x), array(y)
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
            (line,) = axes.plot(
                x, y, dash, color=colour_of(index), marker="o" if x.size == 1 else ""
            )
            lines.append((name, line))
            if name in bands:
                low, high = (array(edge) for edge in bands[name])
                require(
                    low.shape == high.shape == x.shape,
                    f"The band of {name!r} must have {x.size} low and {x.size} high values.",
                )
                axes.fill_between(x, low, high, color=line.get_color(), alpha=0.2, linewidth=0)
        if logy:
            axes.set_yscale("log")
        _name_at_the_end(axes, lines)
    return figure_of(axes)


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
    xy, kinds = array(points), array(labels)
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
    with look():
        axes = axes_of(title, xlabel, ylabel, height=4.4)
        for index, name in enumerate(names):
            own = xy[kinds == index]
            colour, hollow = colour_of(index), index >= 8
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
    return figure_of(axes)


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
    lengths = array(values)
    require(
        lengths.shape == (len(names),) and len(names) > 0,
        f"bars needs one value per name: {len(names)} names, values {list(lengths.shape)}.",
    )
    spread = np.zeros((2, len(names)))
    if errors is not None:
        given = array(errors)
        require(
            given.shape in ((len(names),), (2, len(names))),
            f"errors must be [{len(names)}] or [2, {len(names)}], not {list(given.shape)}.",
        )
        spread = np.broadcast_to(given, spread.shape)
    with look():
        axes = axes_of(title, xlabel, ylabel, height=0.9 + 0.34 * len(names) + 0.2 * bool(title))
        places = np.arange(len(names))
        axes.barh(places, lengths, height=0.65, color=colour_of(0))
        if errors is not None:
            axes.errorbar(lengths, places, xerr=spread, fmt="none", color="black", capsize=3, lw=1)
        for place, value, (down, up) in zip(places, lengths, spread.T, strict=True):
            negative = value < 0
            axes.annotate(
                f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}",
                (value - down if negative else value + up, place),
                xytext=(-4 if negative else 4, 0),
                textcoords="offset points",
                va="center",
                ha="right" if negative else "left",
                size="small",
            )
        axes.set_xlabel(xlabel, loc="right")  # long names move the axes: a centred one is cut
        axes.margins(x=0.12)
        if (lengths >= 0).all():
            axes.set_xlim(left=0)
        axes.axvline(0, color="#555555", lw=0.8)
        axes.set_yticks(places, labels=names)
        axes.tick_params(axis="y", length=0)
        axes.invert_yaxis()
        axes.grid(False, axis="y")
    return figure_of(axes)


def bar_panels(
    names: Sequence[str],
    panels: Mapping[str, tuple[Array, Array | None]],
    logx: Sequence[str] = (),
) -> Figure:
    """Several quantities of the same things, side by side: a panel each, a bar for each name.

    Args:
        names: of the things, N of them, the first on top.
        panels: title to (values `[N]`, intervals `[2, N]` from low to high, or None).
        logx: titles of the panels with a logarithmic axis.

    Raises:
        T2IError: if a panel has another number of values.
    """
    require(len(panels) > 0 and len(names) > 0, "bar_panels needs names and at least one panel.")
    rows = -(-len(panels) // 3)
    with look():
        figure = Figure(figsize=(7.2, rows * (0.7 + 0.3 * len(names))), layout="constrained")
        grid = figure.subplots(rows, min(3, len(panels)), sharey=True, squeeze=False).flatten()
        for axes, (title, (values, intervals)) in zip(grid, panels.items(), strict=False):
            lengths = array(values)
            require(
                lengths.shape == (len(names),),
                f"Panel {title!r} needs {len(names)} values, one a name, not {lengths.shape}.",
            )
            places = np.arange(len(names))
            axes.barh(places, lengths, height=0.65, color=[colour_of(i) for i in range(len(names))])
            if intervals is not None:
                low, high = array(intervals)
                axes.errorbar(
                    lengths, places, xerr=np.stack([lengths - low, high - lengths]),
                    fmt="none", color="black", capsize=3, lw=1,
                )  # fmt: skip
            for place, value in zip(places, lengths, strict=True):
                axes.annotate(
                    f"{value:.3g}", (0, place), xycoords=axes.get_yaxis_transform(),
                    xytext=(4, 0), textcoords="offset points", va="center", size="small",
                    bbox={"boxstyle": "round,pad=0.15", "fc": "white", "ec": "none", "alpha": 0.8},
                )  # fmt: skip
            if title in logx:
                axes.set_xscale("log")
                axes.xaxis.set_minor_formatter(NullFormatter())
            axes.set_title(title, size="medium")
            axes.set_yticks(places, labels=names)
            axes.tick_params(axis="y", length=0)
            axes.grid(False, axis="y")
        for axes in grid[len(panels) :]:
            axes.set_visible(False)
        grid[0].invert_yaxis()
    return figure


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
    cells = array(matrix)
    R, K = len(row_names), len(column_names)
    require(
        cells.shape == (R, K) and cells.size > 0,
        f"The matrix has shape {list(cells.shape)}, but there are {R} row and {K} column names.",
    )
    with look():
        axes = axes_of(title, xlabel, ylabel, height=1.3 + 0.33 * R)
        picture = axes.imshow(cells, aspect="auto")
        figure_of(axes).colorbar(picture, ax=axes, label=colorbar_label)
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
    return figure_of(axes)
