"""Pictures that answer: each widget shows what plain functions make of its controls.

Nothing here knows a model or a metric: `t2i_course.panels` fills these widgets with the shipped
models. A widget draws in a thread of its own, so that the kernel stays free; carries a still
picture, which stays in the stored notebook; and can be used from the keyboard.
"""

from t2i_course.show.widgets.drawing import latent_walk, noise_schedule, prompt_box, sampler
from t2i_course.show.widgets.live import Live, Show, Stopped
from t2i_course.show.widgets.measuring import metric_explorer
from t2i_course.show.widgets.watching import Sight, training_monitor

__all__ = [
    "Live", "Show", "Sight", "Stopped", "latent_walk", "metric_explorer", "noise_schedule",
    "prompt_box", "sampler", "training_monitor",
]  # fmt: skip
