"""A widget that looks on: the losses and samples of a run that trains elsewhere."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ipywidgets
import numpy as np
from matplotlib.figure import Figure

from t2i_course.show.figure import Array, array
from t2i_course.show.plots import curves
from t2i_course.show.widgets.live import Live, Show
from t2i_course.show.widgets.page import chart, gallery, heading


@dataclass(frozen=True)
class Sight:
    """What there is to see of a run at one moment.

    Args:
        columns: of its log, as `training.log.columns` gives them: "step" and "network/loss".
        said: how it stands, in one line.
        over: whether nothing more is to come.
        checkpoint: the newest one's name, or "" if there is none.
    """

    columns: Mapping[str, Sequence[float]]
    said: str
    over: bool = False
    checkpoint: str = ""


def training_monitor(
    look: Callable[[], Sight],
    samples: Callable[[str], tuple[Array, Sequence[str]]] | None = None,
    stop_training: Callable[[], None] | None = None,
    every: float = 1.0,
) -> Live:
    """The losses of a run so far, and samples of its newest checkpoint, until it is over.

    Args:
        look: what there is to see now; cheap.
        samples: a checkpoint's name to images `[N, C, H, W]` in [0, 1] and what they were asked to
            show; called once a checkpoint.
        stop_training: asks the run to save and stop; without it there is no button for that.
        every: seconds between two looks.
    """
    drawn: dict[str, str] = {}

    def losses(sight: Sight) -> tuple[Figure, str]:
        step = array(sight.columns.get("step", []))
        names = [name for name in sight.columns if name.endswith("/loss")]
        series = {n.removesuffix("/loss"): (step, array(sight.columns[n])) for n in names}
        if not len(step) or not names:
            series = {"none yet": (np.zeros(1), np.full(1, np.nan))}
        figure = curves(series, "step", "loss", "Training loss")
        last = f"up to step {step[-1]:,.0f}" if len(step) else "so far"
        return figure, f"Training loss, {len(step)} values {last}."

    def pictures(checkpoint: str) -> str:
        if samples is None or not checkpoint:
            return ""
        if checkpoint not in drawn:
            images, asked = samples(checkpoint)
            if not asked:
                return ""
            alts = [f"Sample of {checkpoint}: {one}." for one in asked]
            scale = max(1, 64 // array(images).shape[2])
            drawn.clear()  # of the checkpoint before
            drawn[checkpoint] = heading(f"Samples of {checkpoint}") + gallery(
                images, alts, asked, scale=scale, gap=4
            )
        return drawn[checkpoint]

    def draw(show: Show) -> None:
        before: Any = None
        while True:
            sight = look()
            now = len(sight.columns.get("step", [])), sight.checkpoint
            show(None, sight.said)
            if now != before:
                losses_now = chart(*losses(sight))
                show(losses_now + "".join(drawn.values()), sight.said)
                show(losses_now + pictures(sight.checkpoint), sight.said)
            if sight.over:
                return
            before, rest = now, time.monotonic() + every
            while time.monotonic() < rest:
                time.sleep(min(0.1, every))
                show(None, sight.said)  # raises where nobody looks any more

    watch = ipywidgets.Button(description="Watch", icon="eye", tooltip="Look again, and go on")
    buttons = [watch]
    if stop_training is not None:
        end = ipywidgets.Button(
            description="Stop training", icon="pause", tooltip="The run saves and stops"
        )
        end.on_click(lambda _: stop_training())
        buttons.append(end)
    live = Live("training-monitor", draw, {}, buttons=buttons, stop=True)
    live.stop_button.tooltip = "Stop looking; the training goes on"
    live.stop_button.description = "Stop looking"
    watch.on_click(lambda _: live.request())
    live.keep(*losses(look()))
    live.request()
    return live
