"""A widget that measures: a Gaussian that can be moved, and its Fréchet distance to a fixed one."""

from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from t2i_course.show.figure import axes_of, colour_of, figure_of, look
from t2i_course.show.widgets.drawing import choice, slider
from t2i_course.show.widgets.live import Live, Show
from t2i_course.show.widgets.page import chart

SHOWN = 400  # points of a cloud that are drawn, at most
REACH = 7.0  # the axes go from -REACH to REACH


def metric_explorer(
    exact: Callable[[np.ndarray, np.ndarray], float],
    estimate: Callable[[np.ndarray, np.ndarray], float],
    sizes: tuple[int, ...] = (10, 30, 100, 1_000, 10_000),
) -> Live:
    """A Gaussian in the plane that can be moved, widened and tilted, beside N(0, I).

    Shown are its Fréchet distance to N(0, I), by the formula and as estimated from n points of
    each, and how much of it is the means' and how much the covariances'.

    Args:
        exact: mean `[2]` and covariance `[2, 2]` to the Fréchet distance to N(0, I).
        estimate: two sets of points, each `[n, 2]`, to theirs.
        sizes: numbers of points to choose from.
    """
    rng = np.random.Generator(np.random.Philox(7))
    real, drawn = rng.standard_normal((2, max(sizes), 2))
    picture: list[tuple[Figure, list[Any]]] = []

    def moved(x: float, y: float, width: float, tilt: float) -> tuple[np.ndarray, np.ndarray]:
        return np.array([x, y]), width**2 * np.array([[1, tilt], [tilt, 1]])

    def clouds(mean: np.ndarray, covariance: np.ndarray, points: np.ndarray) -> Figure:
        root = np.linalg.cholesky(covariance)
        turn = np.linspace(0, 2 * np.pi, 73)
        circle = 2 * np.stack([np.cos(turn), np.sin(turn)], axis=1)  # two standard deviations
        rings, few = (circle, circle @ root.T + mean), (real[: len(points)], points)
        if not picture:
            with look():
                axes = axes_of(None, "first feature", "second feature", height=4.0)
                figure_of(axes).set_layout_engine(
                    "none"
                )  # it would not settle: the sides are equal
                axes.set_position((0.11, 0.12, 0.5, 0.5 * 6 / 4.0))  # as wide as it is high
                parts: list[Any] = []
                for k, name in enumerate(("real", "drawn")):
                    parts += axes.plot([], [], "o^"[k], color=colour_of(k), ms=3, alpha=0.5)
                    parts += axes.plot([], [], color=colour_of(k), lw=2, label=f"{name}: 2σ")
                axes.set(xlim=(-REACH, REACH), ylim=(-REACH, REACH))
                axes.legend(loc="upper left", bbox_to_anchor=(1.04, 1))
            picture.append((figure_of(axes), parts))
        figure, parts = picture[0]
        for k in range(2):
            parts[2 * k].set_data(*few[k][:SHOWN].T)
            parts[2 * k + 1].set_data(*rings[k].T)
        return figure

    def draw(show: Show, x: float, y: float, width: float, tilt: float, n: int) -> None:
        mean, covariance = moved(x, y, width, tilt)
        points = drawn[:n] @ np.linalg.cholesky(covariance).T + mean
        whole, found = exact(mean, covariance), estimate(real[:n], points)
        of_means = float(mean @ mean)
        said = (
            f"Fréchet distance {whole:.2f} = {of_means:.2f} (means) + {whole - of_means:.2f} "
            f"(covariances); estimated from {n:,} points each: {found:.2f}"
        )
        alt = (
            f"Two clouds of points with their ellipses: one round 0, one round ({x:.1f}, {y:.1f}), "
            f"{width:.1f} times as wide. {said}."
        )
        figure = clouds(mean, covariance, points)
        show(chart(figure, alt), said)
        if live.still is None:  # which has no line of text below it
            figure.axes[0].set_title(said.replace("; ", "\n"), fontsize="medium", loc="left")
            live.keep(figure, alt)
            figure.axes[0].set_title("", loc="left")

    controls = {
        "x": slider("mean, x", 2.0, -4.0, 4.0, 0.1),
        "y": slider("mean, y", 1.0, -4.0, 4.0, 0.1),
        "width": slider("width", 1.5, 0.1, 3.0, 0.1),
        "tilt": slider("correlation", 0.6, -0.95, 0.95, 0.05),
        "n": choice("points", [(f"{n:,}", n) for n in sizes], 100),
    }
    live = Live("metric-explorer", draw, controls)
    live.draw_now()
    return live
