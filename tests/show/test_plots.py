import io
from itertools import pairwise

import matplotlib as mpl
import numpy as np
import PIL.Image
import pytest
import torch

from t2i_course.errors import T2IError
from t2i_course.show import plots


def drawn(figure):
    """The figure's pixels `[H, W, 3]` as the PNG holds them."""
    return np.asarray(PIL.Image.open(io.BytesIO(plots.png(figure))).convert("RGB"))


@pytest.mark.parametrize("columns", [1, 3, 5])
def test_every_image_of_a_grid_is_drawn_once_with_all_its_pixels_equally_large(columns):
    """Oracle: image n is flat grey of a level of its own; count its pixels on the screen."""
    levels = torch.tensor([0.1, 0.2, 0.3, 0.4, 0.5])
    images = levels[:, None, None, None].expand(5, 1, 8, 8)
    pixels = drawn(plots.grid(images, columns, scale=2))[..., 0] / 255
    for level in levels.tolist():
        assert (abs(pixels - level) < 0.01).sum() == 8 * 8 * 2 * 2


def test_a_checkerboard_in_a_labelled_grid_comes_back_pixel_by_pixel():
    board = np.indices((8, 8)).sum(0) % 2
    images = np.broadcast_to(board, (1, 1, 8, 8))
    figure = plots.grid(images, 1, ["a row label"], ["a long column label"], "Title", scale=4)
    wanted = np.kron(board, np.ones((4, 4))) * 255
    box = figure.axes[0].get_window_extent()
    pixels = drawn(figure)[..., 0]
    top, left = len(pixels) - round(box.y1), round(box.x0)
    np.testing.assert_array_equal(pixels[top : top + 32, left : left + 32], wanted)


def test_a_colour_image_keeps_its_colours():
    red = torch.tensor([1.0, 0.0, 0.0])[None, :, None, None].expand(1, 3, 4, 4)
    assert (drawn(plots.grid(red, 1, scale=2)) == (255, 0, 0)).all(-1).sum() == 8 * 8


@pytest.mark.parametrize("rows", [1, 10])
def test_no_label_of_a_grid_is_cut_off(rows):
    """Oracle: the outermost rows and columns of the picture are white."""
    names = [f"quite a long name {i}" for i in range(10)]
    figure = plots.grid(np.zeros((10 * rows, 1, 28, 28)), 10, names[:rows], names, "W" * 80)
    pixels = drawn(figure)
    assert all((edge == 255).all() for edge in (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]))


@pytest.mark.parametrize(
    ("images", "word"),
    [
        (np.zeros((2, 28, 28)), "shape"),
        (np.zeros((2, 28, 28, 3)), "shape"),
        (np.zeros((0, 1, 28, 28)), "shape"),
        (np.full((2, 1, 4, 4), -1.0), r"\(images \+ 1\) / 2"),
        (np.full((2, 1, 4, 4), 255.0), "images / 255"),
        (np.full((2, 1, 4, 4), np.nan), "nan"),
    ],
)
def test_a_grid_refuses_images_of_another_shape_or_range_and_says_what_came(images, word):
    with pytest.raises(T2IError, match=word):
        plots.grid(images, 2)


def test_a_wrong_number_of_labels_is_refused():
    with pytest.raises(T2IError, match="row_labels must have 2 entries"):
        plots.grid(np.zeros((4, 1, 4, 4)), 2, row_labels=["one"])


def figures():
    x = torch.arange(5.0, requires_grad=True)
    matrix = np.eye(3, dtype=int)
    return {
        "grid": plots.grid(torch.zeros(3, 1, 4, 4, dtype=torch.bfloat16), 2),
        "curves": plots.curves(
            {"a": (x, x), "b": (x, x)}, "x label", "y label", bands={"a": (x - 1, x + 1)}
        ),
        "scatter": plots.scatter(np.eye(2), [0, 1], ["a", "b"], xlabel="x label", ylabel="y label"),
        "bars": plots.bars(["a", "b"], [1, -2], [0.1, 0.2], "x label", "y label"),
        "heatmap": plots.heatmap(matrix, "abc", "abc", xlabel="x label", ylabel="y label"),
    }


def test_a_figure_gives_the_same_bytes_each_time_without_date_or_software():
    once, again = figures(), figures()
    for name, figure in once.items():
        first = plots.png(figure)
        assert first == plots.png(figure) == plots.png(again[name]), name
        assert PIL.Image.open(io.BytesIO(first)).info == {}, name


def test_every_chart_has_its_axes_labelled():
    for name, figure in figures().items():
        if name != "grid":
            assert figure.axes[0].get_xlabel() == "x label", name
            assert figure.axes[0].get_ylabel() == "y label", name


def test_the_readers_own_matplotlib_settings_stay_and_do_not_matter():
    plain = plots.png(figures()["curves"])
    with mpl.rc_context({"font.size": 30, "axes.facecolor": "red"}):
        assert plots.png(figures()["curves"]) == plain
        assert mpl.rcParams["font.size"] == 30


def test_names_at_the_ends_of_lines_do_not_overlap():
    lines = {f"line {i}": ([0, 1], [0, 1 + i / 1000]) for i in range(10)}
    figure = plots.curves(lines, "x", "y")
    plots.png(figure)
    boxes = sorted((t.get_window_extent() for t in figure.axes[0].texts), key=lambda box: box.y0)
    assert len(boxes) == 10
    assert all(low.y1 <= high.y0 for low, high in pairwise(boxes))


def test_ten_classes_differ_in_marker_as_well_as_in_look():
    names = [str(i) for i in range(10)]
    axes = plots.scatter(np.zeros((10, 2)), np.arange(10), names).axes[0]
    shapes = {path.vertices.tobytes() for c in axes.collections for path in c.get_paths()}
    looks = {(c.get_facecolor().tobytes(), c.get_edgecolor().tobytes()) for c in axes.collections}
    assert len(shapes) == len(looks) == 10


@pytest.mark.parametrize(
    ("draw", "word"),
    [
        (lambda: plots.curves({"a": ([1, 2], [1])}, "x", "y"), "same length"),
        (lambda: plots.curves({"a": ([1], [0])}, "x", "y", logy=True), "above 0"),
        (lambda: plots.curves({"a": ([1], [1])}, "x", "y", bands={"b": ([0], [1])}), "named 'b'"),
        (lambda: plots.scatter(np.zeros((2, 2)), [0, 3], ["a"]), "no name"),
        (lambda: plots.scatter(np.zeros((2, 3)), [0, 0], ["a"]), "shapes"),
        (lambda: plots.bars(["a"], [1, 2]), "one value per name"),
        (lambda: plots.heatmap(np.zeros((2, 3)), "ab", "ab"), "2 column names"),
    ],
)
def test_arrays_that_do_not_fit_are_refused_with_a_reason(draw, word):
    with pytest.raises(T2IError, match=word):
        draw()


def test_show_sends_the_picture_with_its_words(monkeypatch):
    sent = []
    monkeypatch.setattr("IPython.display.display", lambda data, **how: sent.append((data, how)))
    alt = "Loss falls from 2 to 1 in ten steps."
    plots.show(figures()["curves"], alt)
    ((data, how),) = sent
    assert data["text/plain"] == alt
    assert how["metadata"] == {"image/png": {"alt": alt}}
    assert data["image/png"].startswith("iVBORw0KGgo")  # the PNG signature in base 64


@pytest.mark.parametrize("alt", ["", "  ", "a figure", "scatterplot_of_z_by_class"])
def test_show_refuses_a_figure_without_a_sentence(alt):
    with pytest.raises(T2IError, match="alt text"):
        plots.show(figures()["bars"], alt)
