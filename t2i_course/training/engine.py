"""The one training loop, for every family, on one process or many.

For each network in turn: freeze the others, run the micro-batches of the step, clip, step, update
the running average. What is drawn at a step depends on (seed, step, row of the global batch) alone
(`contract.RowGenerator`), so a run can be cut anywhere and split over processes in any way.
"""

import dataclasses
import functools
import platform
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import broadcast, broadcast_object_list
from torch import Tensor, nn

import t2i_course
from t2i_course.contract import Condition, Data, RowGenerator, T2IError, Trainable, require, seed_of
from t2i_course.metrics.cost import Cost, measure, parameters
from t2i_course.training import checkpoints, checks, fitting
from t2i_course.training.clock import Stopwatch
from t2i_course.training.ema import EMA
from t2i_course.training.interrupt import Interrupt
from t2i_course.training.log import Log
from t2i_course.training.memory import keep_freed_memory
from t2i_course.training.optimizers import Optimizer, clip_gradients
from t2i_course.training.precision import fastest_precision
from t2i_course.training.progress import progress_bar, stopped
from t2i_course.training.settings import OptimizerSettings, TrainSettings


@dataclass
class Run:
    """What `train` returns.

    Args:
        family: as trained, with its own (not averaged) weights.
        step: steps done.
        finished: False if it was interrupted.
        log: columns of log.csv, such as `log["step"]` and `log["vae/loss"]`.
        cost: of the training loop, over all sittings.
        ema: the running average of the weights, or None.
        folder: where it was saved, or None.
    """

    family: Trainable
    step: int
    finished: bool
    log: dict[str, list[float]]
    cost: Cost
    ema: EMA | None = None
    folder: Path | None = None


class _LossOf(nn.Module):
    """Puts a family's loss behind `forward`, which is what Accelerate wraps and prepares."""

    def __init__(self, family: Trainable, name: str):
        super().__init__()
        self.family, self.name = family, name

    def forward(
        self, images: Tensor, condition: Condition, generator: RowGenerator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        return self.family.loss(self.name, images, condition, generator)


def batch_indices(
    seed: int,
    step: int,
    batch_size: int,
    size: int,
    order: Callable[[int, int], Tensor] | None = None,
) -> Tensor:
    """Which examples of a set of `size` make up the global batch of step `step`: int64 `[B]`.

    The set is walked in a new order each epoch; a batch at the end of one epoch goes on with the
    next, so that every batch is full and every example is seen once an epoch. `order(seed, epoch)`
    is that order where the data has one of its own.
    """
    order = order or (lambda seed, epoch: _order(seed, epoch, size))
    parts: list[Tensor] = []
    place = step * batch_size
    end = place + batch_size
    while place < end:
        epoch, first = divmod(place, size)
        parts.append(order(seed, epoch)[first : first + end - place])
        place += len(parts[-1])
    return torch.cat(parts) if len(parts) > 1 else parts[0]


@functools.lru_cache(maxsize=2)
def _order(seed: int, epoch: int, size: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed_of(seed, "order", epoch))
    return torch.randperm(size, generator=generator)


def train(
    family: Trainable,
    data: Data,
    settings: TrainSettings,
    folder: Path | str | None = None,
    *,
    progress: bool = True,
) -> Run:
    """Train `family` in place on `data`, going on where the run in `folder` was left.

    Ctrl-C (or SIGTERM) finishes the step, saves and returns with `finished=False`; a second
    Ctrl-C stops at once.

    Args:
        family: trained in place; its parameters all belong to its `networks`.
        data: see `contract.Data`.
        settings: see `TrainSettings`.
        folder: the run's folder, or None to keep nothing on disk.
        progress: show a bar with the time left.

    Raises:
        T2IError: if the settings do not fit the data, the family or the run in the folder; if a
            loss is not finite; if a checkpoint cannot be written or read.
    """
    config = {
        "family": {
            "name": family.name,
            "class": type(family).__qualname__,
            "seed": family.seed,
            "settings": family.settings.to_dict(),
        },
        "training": settings.to_dict(),
        "data": data.card(),
    }
    if folder is None:
        return _Training(family, data, settings, None, config).run(progress)
    folder = Path(folder)
    with checkpoints.alone_in(folder) if checks.main_process() else nullcontext():
        return _Training(family, data, settings, folder, config).run(progress)


class _Training:
    """The state of one sitting of a run."""

    def __init__(
        self,
        family: Trainable,
        data: Data,
        settings: TrainSettings,
        folder: Path | None,
        config: dict[str, Any],
    ):
        keep_freed_memory()
        self.family, self.data, self.settings = family, data, settings
        self.folder, self.config = folder, config
        state = checks.processes()
        self.rows = checks.rows_of(state, settings)
        self.ahead = getattr(data, "ahead", None)
        checks.check_family(family, settings, state)
        checks.check_data(data, settings)
        start = checkpoints.latest(folder) if folder is not None else None
        precision = settings.precision
        if start is not None:
            checks.check_same_run(start, config, family)
            precision = checks.saved_precision(start)
        family.to(state.device).train()
        if precision == "auto":
            chosen = [
                fastest_precision(family, *self._batch(0, self.rows[0], state.device), state.device)
            ]
            precision = broadcast_object_list(chosen)[0]
        self.precision = precision
        if settings.memory is not None:
            some = self.rows[0][: fitting.PROBED]
            probed = self._batch(0, some, state.device)
            self.settings = settings = fitting.fitted(family, *probed, settings, precision, state)
            checks.check_family(family, settings, state)
            self.rows = checks.rows_of(state, settings)
        # Accelerate keeps one state a process and refuses a second precision, which a notebook
        # with two runs needs; the process group (PartialState) stays.
        AcceleratorState._reset_state()
        self.accelerator = Accelerator(mixed_precision="no" if precision == "fp32" else precision)
        self.ema = EMA(family, settings.ema) if settings.ema else None
        self.losses: dict[str, nn.Module] = {}
        self.optimizers: dict[str, Optimizer] = {}
        self.own = {name: OptimizerSettings() for name in family.networks} | settings.optimizers
        self.parameters = {name: list(net.parameters()) for name, net in family.networks.items()}
        for name, own in self.own.items():
            self._freeze_all_but(name)  # so that DistributedDataParallel watches this network only
            # Not prepared by Accelerate: without fp16 there is no loss scale that it would apply.
            self.optimizers[name] = Optimizer(self.parameters[name], own)
            self.losses[name] = self.accelerator.prepare(_LossOf(family, name))
        self.step, self.before = 0, Cost(0.0, 0.0, 0)
        self.stopwatch = Stopwatch(settings.clock)
        if start is not None:
            self._restore(start)
        state.wait_for_everyone()  # nobody writes before everybody has read
        self.log = Log(
            folder / "log.csv" if folder and self.accelerator.is_main_process else None, self.step
        )

    def run(self, progress: bool) -> Run:
        self.share = self._share_done()
        shown = progress and self.accelerator.is_main_process
        bar = progress_bar(self.family.name, self.settings, self.share, shown)
        try:
            device = self.accelerator.device
            with bar, measure(device) as self.measured, Interrupt() as stop, torch.enable_grad():
                self._loop(bar, stop)
        finally:
            self.family.requires_grad_(True).eval()
        finished = self.share == 1
        if not finished and self.accelerator.is_main_process:
            print(stopped(self.step, self.share, self.settings, self.folder))
        log, cost = self.log.columns(), self._cost()
        return Run(self.family, self.step, finished, log, cost, self.ema, self.folder)

    def _loop(self, bar: Any, interrupt: Interrupt) -> None:
        """Steps until the end or an interrupt, with rows of the log and checkpoints between."""
        alone, stop = self.accelerator.num_processes == 1, False
        self.stopwatch.start()
        while self.share < 1 and not stop:
            self._step()
            self.share = self._share_done()
            bar.update(round(self.share * bar.total) - bar.n)
            last = self.share == 1
            row = last or self.step % self.settings.log_every == 0
            before, every = self.step - self.settings.log_every, self.settings.checkpoint_every
            save = last or (row and self.step // every > before // every)
            if alone and interrupt.requested:
                stop = row = save = True
            if row:
                # Several processes see the signal at different steps and agree on it here.
                stop = self._flush(interrupt.requested) or stop
                bar.row(self.log, self.stopwatch, last or stop)
            if save or stop:
                self._save()

    def _share_done(self) -> float:
        """How much of the run is done, in [0, 1]; the same in every process."""
        if self.settings.minutes is None:
            assert self.settings.steps is not None
            return self.step / self.settings.steps
        seconds = self.stopwatch.seconds
        if self.accelerator.num_processes > 1:  # the first one's clock is everybody's
            shared = torch.tensor(seconds, dtype=torch.float64, device=self.accelerator.device)
            seconds = broadcast(shared).item()
        return min(1.0, seconds / (60 * self.settings.minutes))

    def _step(self) -> None:
        """One update of every network."""
        step, settings = self.step, self.settings
        device = self.accelerator.device
        batches = [self._batch(step, rows, device) for rows in self.rows]
        if self.ahead is not None:
            self.ahead(torch.cat([self._index(step + 1, rows) for rows in self.rows]))
        for name, loss_of in self.losses.items():
            self._freeze_all_but(name)
            own, optimizer = self.own[name], self.optimizers[name]
            optimizer.zero_grad()
            total: dict[str, Tensor] = {}
            for i, (rows, (images, condition)) in enumerate(zip(self.rows, batches, strict=True)):
                last = i == len(batches) - 1
                generator = RowGenerator(settings.seed, step, name, rows=rows, device=device)
                with nullcontext() if last else self.accelerator.no_sync(loss_of):
                    # Detached: what one loss asks of the images' gradients is not the next one's.
                    loss, numbers = loss_of(images.detach(), condition, generator)
                    share = loss if len(batches) == 1 else loss / len(batches)
                    share.backward()
                for key, value in {"loss": loss, **numbers}.items():
                    part = value.detach() / len(batches) if len(batches) > 1 else value.detach()
                    total[key] = total[key] + part if key in total else part
            if own.clip is not None:
                total["grad_norm"] = clip_gradients(self.parameters[name], own.clip)
            optimizer.step(step, self.share)
            self.log.add(name, total)
        self.step += 1
        if self.ema is not None:
            self.ema.update(self.step)

    def _batch(self, step: int, rows: range, device: torch.device) -> tuple[Tensor, Condition]:
        generator = RowGenerator(self.settings.seed, step, "data", rows=rows)
        images, condition = self.data.batch(self._index(step, rows), generator)
        return images.to(device, non_blocking=True), condition.to(device)

    def _index(self, step: int, rows: range) -> Tensor:
        """Which examples these rows of a step's global batch are."""
        s, size = self.settings, len(self.data)
        order = getattr(self.data, "order", None)
        return batch_indices(s.seed, step, s.batch_size, size, order)[rows.start : rows.stop]

    def _freeze_all_but(self, name: str) -> None:
        if len(self.parameters) > 1:
            for other, parameters in self.parameters.items():
                for parameter in parameters:
                    parameter.requires_grad = other == name

    def _flush(self, interrupted: bool) -> bool:
        """Write a row of the log; True if any process was interrupted.

        Raises:
            T2IError: if a loss since the last row is not finite.
        """
        reduce = None
        if self.accelerator.num_processes > 1:
            reduce = functools.partial(self.accelerator.reduce, reduction="mean")
            flag = torch.tensor(float(interrupted), device=self.accelerator.device)
            interrupted = bool(self.accelerator.reduce(flag, "sum") > 0)
        bad = self.log.flush(self.step, self._cost().wall_seconds, reduce)
        if bad is not None:
            name, step, before = bad
            raise T2IError(
                f"The loss of {name!r} is not finite at step {step} (last finite: {before}). "
                f"{self._safe()} Usual causes: a learning rate that is too high, a logarithm of 0, "
                "images outside [0, 1]."
            )
        return interrupted

    def _save(self) -> None:
        if self.folder is None:
            return
        self.stopwatch.stop()
        weights = self.family.state_dict()
        for name, value in weights.items():
            require(
                bool(torch.isfinite(value).all()),
                f"{name} is not finite after step {self.step}. {self._safe()} Usual cause: a "
                "gradient that is not finite; a lower learning rate or `clip` helps.",
            )
        if self.accelerator.is_main_process:
            tensors = {"weights": weights, "optimizer": self._pack()}
            if self.ema is not None:
                tensors["ema"] = self.ema.shadow
            checkpoints.write(
                self.folder, self.step, tensors, self.config, self._card(), self.settings.keep
            )
        self.accelerator.wait_for_everyone()
        self.stopwatch.start()

    def _pack(self) -> dict[str, Tensor]:
        return {
            f"{name}/{key}": value
            for name, optimizer in self.optimizers.items()
            for key, value in optimizer.pack().items()
        }

    def _restore(self, start: Path) -> None:
        self.family.load_state_dict(checkpoints.read_tensors(start, "weights"))
        packed = checkpoints.read_tensors(start, "optimizer")
        for name, optimizer in self.optimizers.items():
            own = {
                k.removeprefix(f"{name}/"): v for k, v in packed.items() if k.startswith(f"{name}/")
            }
            optimizer.unpack(own)
        if self.ema is not None:
            self.ema.load(checkpoints.read_tensors(start, "ema"))
        card = checkpoints.read_json(start, "card.json")
        self.step = card["step"]
        try:
            self.before = Cost(**card["cost"])
            # Checkpoints from before there was a stopwatch have no such line.
            seconds = float(card.get("trained_seconds", self.before.wall_seconds))
        except (KeyError, TypeError, ValueError) as error:
            raise T2IError(f"{start / 'card.json'} is damaged: no cost in it ({error}).") from None
        self.stopwatch = Stopwatch(self.settings.clock, seconds)

    def _cost(self) -> Cost:
        return self.before + self.measured.so_far()

    def _safe(self) -> str:
        safe = checkpoints.latest(self.folder) if self.folder and self.folder.is_dir() else None
        return f"The last good checkpoint is {safe}." if safe else "No checkpoint was written yet."

    def _card(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "trained_seconds": self.stopwatch.seconds,
            "cost": dataclasses.asdict(self._cost()),
            "parameters": {name: parameters(net) for name, net in self.family.networks.items()},
            "precision": self.precision,
            "device": str(self.accelerator.device),
            "processes": self.accelerator.num_processes,
            "threads": torch.get_num_threads(),
            "micro_batches": self.settings.micro_batches,
            "versions": {
                "t2i_course": t2i_course.__version__,
                "torch": torch.__version__,
                "python": platform.python_version(),
                "system": f"{platform.system()} {platform.machine()}",
            },
        }
