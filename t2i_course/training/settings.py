"""How long and how something is trained, as checked values."""

import math
from dataclasses import dataclass, field

from t2i_course.contract import Settings, require, unknown
from t2i_course.training.precision import PRECISIONS


@dataclass(frozen=True)
class OptimizerSettings(Settings):
    """AdamW (Loshchilov and Hutter 2019); with `weight_decay` 0 it is Adam (Kingma and Ba 2015).

    Args:
        lr: learning rate, above 0.
        betas: decay of the first and second moment.
        weight_decay: decoupled weight decay, at least 0.
        warmup: steps in which the learning rate rises linearly from 0.
        schedule: "constant", or "cosine": falling towards 0 at the last step.
        clip: largest norm of a network's gradient, or None.
    """

    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.0
    warmup: int = 0
    schedule: str = "constant"
    clip: float | None = None

    def __post_init__(self) -> None:
        require(self.lr > 0, f"lr must be above 0, not {self.lr}.")
        require(self.warmup >= 0, f"warmup must be at least 0 steps, not {self.warmup}.")
        require(
            self.weight_decay >= 0, f"weight_decay must be at least 0, not {self.weight_decay}."
        )
        require(
            self.clip is None or self.clip > 0, f"clip must be above 0 or None, not {self.clip}."
        )
        if self.schedule not in ("constant", "cosine"):
            raise unknown("learning-rate schedule", self.schedule, ("constant", "cosine"))

    def lr_at(self, step: int, steps: int) -> float:
        """The learning rate of step `step` (from 0) of `steps`."""
        rise = min(1.0, (step + 1) / (self.warmup + 1))
        fall = 0.5 * (1 + math.cos(math.pi * step / steps)) if self.schedule == "cosine" else 1.0
        return self.lr * rise * fall


@dataclass(frozen=True)
class TrainSettings(Settings):
    """How long and how a `Trainable` is trained.

    Args:
        steps: steps in all; a step updates every network once.
        batch_size: images a step, over all processes.
        micro_batches: into how many parts each process cuts its share of the batch.
        optimizers: by network's name; a network that is not named gets the defaults.
        ema: decay of the running average of the weights; 0 for none.
        precision: "fp32", "bf16", or "auto": whichever a short probe finds faster here.
        seed: of everything that is drawn.
        checkpoint_every: steps between checkpoints, rounded up to the next row of the log; the last
            step always has one.
        keep: how many checkpoints stay on disk.
        log_every: steps between rows of log.csv, each the mean over the steps since the last (after
            an interrupt: since then).
    """

    steps: int
    batch_size: int = 128
    micro_batches: int = 1
    optimizers: dict[str, OptimizerSettings] = field(default_factory=dict)
    ema: float = 0.0
    precision: str = "auto"
    seed: int = 0
    checkpoint_every: int = 2000
    keep: int = 2
    log_every: int = 50

    def __post_init__(self) -> None:
        for name in (
            "steps",
            "batch_size",
            "micro_batches",
            "checkpoint_every",
            "keep",
            "log_every",
        ):
            value = getattr(self, name)
            require(value >= 1, f"{name} must be at least 1, not {value}.")
        require(0 <= self.ema < 1, f"ema must be in [0, 1), not {self.ema}.")
        if self.precision not in ("auto", *PRECISIONS):
            raise unknown("precision", self.precision, ("auto", *PRECISIONS))
