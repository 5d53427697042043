"""One look for every figure, and the way from a figure to the reader: PNG with words."""

import base64
import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import numpy as np
import PIL.Image
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from t2i_course.contract import require

Array = ArrayLike | Tensor
LOOKING = threading.RLock()


@contextmanager
def look() -> Iterator[None]:
    """The course's look, whatever the reader's own settings are.

    matplotlib has one set of settings for the whole process: a widget that draws in a thread of its
    own must wait until another figure is done.
    """
    with LOOKING, style.context("t2i_course.show.t2i", after_reset=True):
        yield


def array(values: Array) -> NDArray[np.float64]:
    """Any list, array or tensor as a NumPy array."""
    if isinstance(values, Tensor):
        values = values.detach().cpu().double().numpy()
    return np.asarray(values, dtype=np.float64)


def axes_of(title: str | None, xlabel: str, ylabel: str, height: float | None = None) -> Axes:
    """The axes of a new figure, labelled; `height` in inches. Call inside `look()`."""
    width, usual = mpl.rcParams["figure.figsize"]
    axes = Figure(figsize=(width, height or usual), layout="constrained").subplots()
    axes.set(xlabel=xlabel, ylabel=ylabel, title=title or "")
    return axes


def figure_of(axes: Axes) -> Figure:
    """The figure that the axes belong to."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    return figure


def colour_of(index: int) -> str:
    """The look's colour of the `index`-th series; they repeat."""
    colours = mpl.rcParams["axes.prop_cycle"].by_key()["color"]
    return colours[index % len(colours)]


def check_alt(alt: str) -> None:
    """Raise `T2IError` unless `alt` says in a sentence what a figure shows."""
    require(
        len(alt.strip()) >= 15 and " " in alt.strip(),
        f"A figure's alt text says in a sentence what it shows, for readers who cannot see it; "
        f"{alt!r} does not. For example: 'Training loss falls from 540 to 240 in 1500 steps.'",
    )


def png(figure: Figure, *, quick: bool = False) -> bytes:
    """The figure as PNG: the same bytes each time, without date or software, grey where it is.

    `quick` takes less time for more bytes, as a picture that answers a slider must.
    """
    with look():
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        figure.set_layout_engine("none")  # settled: drawn again, it would shift by a hair
        drawn = np.asarray(canvas.buffer_rgba())[..., :3]
    grey = bool((drawn == drawn[..., :1]).all())
    picture = PIL.Image.fromarray(drawn[..., 0] if grey else drawn)
    buffer = io.BytesIO()
    if quick:
        picture.save(buffer, format="PNG", compress_level=1)
    else:
        picture.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def bundle(figure: Figure, alt: str) -> dict[str, dict[str, Any]]:
    """The figure as a notebook stores it: `data` by type, and `metadata`.

    The words stand in the output's metadata (`image/png`: `alt`) and are its plain-text form, which
    a terminal shows in place of the picture.

    Raises:
        T2IError: if `alt` is not a sentence.
    """
    check_alt(alt)
    picture = base64.b64encode(png(figure)).decode("ascii")
    return {
        "data": {"image/png": picture, "text/plain": alt},
        "metadata": {"image/png": {"alt": alt}},
    }


def show(figure: Figure, alt: str) -> None:
    """Display the figure in a notebook; `alt` goes with it as the picture's words, see `bundle`.

    Raises:
        T2IError: if `alt` is not a sentence.
    """
    from IPython.display import display

    stored = bundle(figure, alt)
    display(stored["data"], metadata=stored["metadata"], raw=True)
