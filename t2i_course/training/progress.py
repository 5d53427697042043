"""What a run shows while it trains, and says when it was stopped."""

import math
import sys
from pathlib import Path

from tqdm import tqdm

from t2i_course.training.settings import TrainSettings


def progress_bar(name: str, settings: TrainSettings, share: float, shown: bool) -> tqdm:
    """A bar of `settings.steps` steps, or by the clock of so many seconds, `share` of it done."""
    by_step, minutes = settings.minutes is None, settings.minutes or 0.0
    total = settings.steps if by_step else math.ceil(60 * minutes)
    assert total is not None
    notebook = "ipykernel" in sys.modules
    return tqdm(
        total=total, initial=round(share * total), desc=name, unit="step", disable=not shown,
        bar_format=None if by_step else "{l_bar}{bar}| {n_fmt}/{total_fmt} s{postfix}",
        dynamic_ncols=True, file=sys.stdout if notebook else sys.stderr,
        mininterval=0.2 if sys.stderr.isatty() or notebook else 15,
    )  # fmt: skip


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
