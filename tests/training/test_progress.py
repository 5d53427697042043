"""What a training shows in a notebook: one figure, drawn in its place, that costs very little."""

import math
from types import SimpleNamespace

import pytest
import torch

from t2i_course.training import progress
from t2i_course.training.log import Log
from t2i_course.training.settings import TrainSettings


class Page:
    """A notebook's page: how often a figure was displayed anew, and what was drawn in its place."""

    def __init__(self):
        self.displayed, self.updates = [], []

    def display(self, data, **how):
        self.displayed.append((data, how["metadata"]))
        return SimpleNamespace(update=lambda data, **how: self.updates.append(data))


class Watch:
    """A stopwatch that notes when it stood still."""

    def __init__(self):
        self.noted = []

    def stop(self):
        self.noted.append("stop")

    def start(self):
        self.noted.append("start")


@pytest.fixture
def page(monkeypatch):
    page = Page()
    monkeypatch.setattr("IPython.display.display", page.display)
    monkeypatch.setattr(progress, "_kernel", lambda: True)
    return page


def bar_of(steps, shown=True):
    return progress.progress_bar("toy", TrainSettings(steps=steps), 0.0, shown)


def log_of(rows):
    log = Log(None)
    for step in range(1, rows + 1):
        log.add("toy", {"loss": torch.tensor(1.0 / step)})
        log.flush(step, float(step))
    return log


def at(monkeypatch, seconds):
    monkeypatch.setattr(progress.time, "monotonic", lambda: seconds)


def test_one_figure_comes_after_a_while_and_is_then_drawn_in_its_place(page, monkeypatch):
    at(monkeypatch, 100.0)
    bar, log, watch = bar_of(9), log_of(3), Watch()
    at(monkeypatch, 101.0)
    bar.row(log, watch, last=False)
    assert page.displayed == [] and watch.noted == []
    at(monkeypatch, 107.0)
    bar.row(log, watch, last=False)
    bar.row(log, watch, last=False)  # at once: not due again
    at(monkeypatch, 110.0)
    bar.row(log, watch, last=False)
    bar.row(log, watch, last=True)  # the last is shown whenever it comes
    bar.close()
    (data, metadata), *more = page.displayed
    assert more == [] and len(page.updates) == 2
    assert data["text/plain"] == "Training loss up to step 3: toy/loss 1 to 0.3333."
    assert metadata["image/png"]["alt"] == data["text/plain"] and metadata["t2i_live"]
    assert watch.noted == ["stop", "start"] * 3  # drawing is no training


def test_a_figure_that_takes_long_to_draw_comes_seldom(page, monkeypatch):
    at(monkeypatch, 0.0)
    bar, watch = bar_of(9), Watch()
    clock = iter([10.0, 11.0])  # drawing takes a second
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    bar.row(log_of(2), watch, last=False)
    bar.close()
    assert bar.due == 11.0 + 30


@pytest.mark.parametrize(("shown", "kernel"), [(False, True), (True, False)])
def test_there_is_no_figure_without_a_bar_or_outside_a_notebook(page, monkeypatch, shown, kernel):
    monkeypatch.setattr(progress, "_kernel", lambda: kernel)
    bar = bar_of(9, shown)
    bar.row(log_of(2), Watch(), last=True)
    bar.close()
    assert bar.due == math.inf and page.displayed == []
