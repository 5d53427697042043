"""How long and how something is trained, as checked values."""

import math
from dataclasses import dataclass, field

from t2i_course.contract import Settings, require, unknown
from t2i_course.training.clock import CLOCKS
from t2i_course.training.precision import PRECISIONS


@dataclass(frozen=True)
class OptimizerSettings(Settings):
    """AdamW (Loshchilov and Hutter 2019); with `weight_decay` 0 it is Adam (Kingma and Ba 2015).

    Args:
        lr: learning rate, above 0.
        betas: decay of the first and second moment.
        weight_decay: decoupled weight decay, at least 0.
        warmup: steps in which the learning rate rises linearly from 0.
        schedule: "constant", or "cosine": falling to 0 at the end of the run.
        clip: largest norm of a network's gradient, or None.
        muon: the learning rate of Muon (Jordan et al. 2024), which updates each matrix (a weight
            with two dimensions of 32 or more) by its momentum made orthogonal, scaled to AdamW's
            size of step (Liu et al. 2025, eq. 4); AdamW updates the rest. None: AdamW for all.
    """

    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.0
    warmup: int = 0
    schedule: str = "constant"
    clip: float | None = None
    muon: float | None = None

    def __post_init__(self) -> None:
        require(self.lr > 0, f"lr must be above 0, not {self.lr}.")
        require(
            self.muon is None or self.muon > 0, f"muon must be above 0 or None, not {self.muon}."
        )
        require(self.warmup >= 0, f"warmup must be at least 0 steps, not {self.warmup}.")
        require(
            self.weight_decay >= 0, f"weight_decay must be at least 0, not {self.weight_decay}."
        )
        require(
            self.clip is None or self.clip > 0, f"clip must be above 0 or None, not {self.clip}."
        )
        if self.schedule not in ("constant", "cosine"):
            raise unknown("learning-rate schedule", self.schedule, ("constant", "cosine"))

    def scale_at(self, step: int, share: float) -> float:
        """What the learning rates are multiplied by in step `step` (from 0), `share` being done."""
        rise = min(1.0, (step + 1) / (self.warmup + 1))
        fall = 0.5 * (1 + math.cos(math.pi * share)) if self.schedule == "cosine" else 1.0
        return rise * fall


@dataclass(frozen=True)
class TrainSettings(Settings):
    """How long and how a `Trainable` is trained: so many steps, or so many minutes.

    By the clock, what is drawn at a step still follows from the seed, but how many steps there are,
    and with them the learning rates, depends on the machine and on what else it does: such a run
    does not repeat bit for bit.

    Args:
        steps: steps in all; a step updates every network once.
        minutes: of training in all, over every sitting, in place of `steps`; what comes before the
            first step and the writing of checkpoints are not counted.
        clock: what `minutes` are: "wall", or "cpu", 60 seconds of process time summed over cores;
            of several processes, the first one's.
        batch_size: images a step, over all processes.
        micro_batches: into how many parts each process cuts its share of the batch.
        memory: GB (2^30 bytes) that the tensors of a step may take: a step of each network is
            measured, and the batch is cut into as many parts as that asks for, in the place of
            `micro_batches`.
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

    steps: int | None = None
    batch_size: int = 128
    micro_batches: int = 1
    optimizers: dict[str, OptimizerSettings] = field(default_factory=dict)
    ema: float = 0.0
    precision: str = "auto"
    seed: int = 0
    checkpoint_every: int = 2000
    keep: int = 2
    log_every: int = 50
    minutes: float | None = None
    clock: str = "wall"
    memory: float | None = None

    def __post_init__(self) -> None:
        counts = ("steps", "batch_size", "micro_batches", "checkpoint_every", "keep", "log_every")
        for name in counts:
            value = getattr(self, name)
            require(value is None or value >= 1, f"{name} must be at least 1, not {value}.")
        require(
            (self.steps is None) != (self.minutes is None),
            "How long is the run? Give TrainSettings either steps or minutes, "
            f"not {'neither' if self.steps is None else 'both'}.",
        )
        require(
            self.minutes is None or 0 < self.minutes < math.inf,
            f"minutes must be above 0, not {self.minutes}.",
        )
        require(
            self.memory is None or (self.memory > 0 and self.micro_batches == 1),
            "memory is in GB, above 0, and chooses micro_batches itself: give only one of them.",
        )
        if self.clock not in CLOCKS:
            raise unknown("clock", self.clock, CLOCKS)
        require(0 <= self.ema < 1, f"ema must be in [0, 1), not {self.ema}.")
        if self.precision not in ("auto", *PRECISIONS):
            raise unknown("precision", self.precision, ("auto", *PRECISIONS))
