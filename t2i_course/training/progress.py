"""What a run shows while it trains, and says when it was stopped."""

import math
import sys
import time
from pathlib import Path
from typing import Any

from tqdm import tqdm

from t2i_course.training.clock import Stopwatch
from t2i_course.training.log import Log
from t2i_course.training.settings import TrainSettings

CLOCK = "{l_bar}{bar}| {n_fmt}/{total_fmt} s{postfix}"
LIVE = {"t2i_live": True}  # in the figure's metadata: execute.py does not store it


class Bar(tqdm):
    """A progress bar; in a notebook, above it, the losses in one figure that is drawn in place.

    The figure comes after some seconds, so that a short run leaves none, and takes at most a
    thirtieth of the time.
    """

    FIRST, BETWEEN, SHARE = 6.0, 2.0, 30  # seconds, seconds, and how often its cost must fit
    due: float = math.inf
    handle: Any = None

    def row(self, log: Log, stopwatch: Stopwatch, last: bool) -> None:
        """Show the newest row of the log; drawing is not counted as training."""
        self.set_postfix_str(log.summary(), refresh=False)
        began = time.monotonic()
        if began < self.due and not (last and self.handle):
            return
        stopwatch.stop()
        self._draw(log)
        stopwatch.start()
        now = time.monotonic()
        self.due = now + max(self.BETWEEN, self.SHARE * (now - began))

    def _draw(self, log: Log) -> None:
        from IPython.display import display

        from t2i_course.show import figure, plots

        columns = log.columns()
        losses = {name: values for name, values in columns.items() if name.endswith("/loss")}
        ends = ", ".join(f"{name} {y[0]:.4g} to {y[-1]:.4g}" for name, y in losses.items())
        lines = {name.split("/")[0]: (columns["step"], y) for name, y in losses.items()}
        alt = f"Training loss up to step {columns['step'][-1]:,.0f}: {ends}."
        stored = figure.bundle(plots.curves(lines, "step", "loss"), alt)
        how: dict[str, Any] = {"metadata": {**stored["metadata"], **LIVE}, "raw": True}
        if self.handle is None:
            self.clear()  # the bar goes on below the figure
            self.handle = display(stored["data"], display_id=True, **how)
        else:
            self.handle.update(stored["data"], **how)


def progress_bar(name: str, settings: TrainSettings, share: float, shown: bool) -> Bar:
    """A bar of `settings.steps` steps, or by the clock of so many seconds, `share` of it done."""
    by_step, minutes = settings.minutes is None, settings.minutes or 0.0
    total = settings.steps if by_step else math.ceil(60 * minutes)
    assert total is not None
    notebook = "ipykernel" in sys.modules
    bar = Bar(
        total=total, initial=round(share * total), desc=name, unit="step", disable=not shown,
        bar_format=None if by_step else CLOCK,
        dynamic_ncols=True, file=sys.stdout if notebook else sys.stderr,
        mininterval=0.2 if sys.stderr.isatty() or notebook else 15,
    )  # fmt: skip
    if shown and _kernel():
        bar.due = time.monotonic() + bar.FIRST
    return bar


def _kernel() -> bool:
    """Whether this process is a notebook's kernel."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return hasattr(shell, "kernel")


def stopped(step: int, share: float, settings: TrainSettings, folder: Path | None) -> str:
    """How far a run came that was interrupted, and how to go on."""
    by_step = settings.minutes is None
    of = f"of {settings.steps}" if by_step else f"({share:.0%} of {settings.minutes:g} minutes)"
    if folder is None:
        return f"Stopped after step {step} {of}, not saved: no folder was given."
    return (
        f"Stopped after step {step} {of} and saved in {folder.name}. "
        "Run the same command or cell again to go on."
    )
