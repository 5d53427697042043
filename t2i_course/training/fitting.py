"""Into how many parts a batch is cut so that a step fits into memory: by one measured step each."""

import copy
import weakref
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from accelerate.state import PartialState
from accelerate.utils import broadcast_object_list
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from t2i_course.contract import Condition, RowGenerator, T2IError, Trainable
from t2i_course.metrics.cost import measure
from t2i_course.training.optimizers import Optimizer
from t2i_course.training.precision import probe
from t2i_course.training.settings import OptimizerSettings, TrainSettings

GB = 2**30
PROBED = 16  # images, an even number, on which a step is measured
MARGIN = 0.9  # the rest is for what no step shows: fragments, the optimizer's temporaries


@dataclass(frozen=True)
class Need:
    """What training takes, in bytes of tensors.

    Args:
        fixed: weights, the optimizers' state and the running average.
        steps: by network, what a forward and backward pass takes beside: `(a, b)`, a + b rows.
    """

    fixed: int
    steps: dict[str, tuple[float, float]]

    def of(self, rows: int) -> float:
        """With so many images at a time; networks are trained in turn, so the largest counts."""
        return self.fixed + max(a + b * rows for a, b in self.steps.values())


class _Live(TorchDispatchMode):
    """Counts the bytes of what operations make, while it lives, and the most there were."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._known: dict[int, Any] = {}

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, Tensor):
                self._count(tensor.untyped_storage())
        return made

    def _count(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self._known:  # a view, or changed in place
            return

        def gone(_: Any) -> None:
            self.now -= size
            del self._known[key]

        self._known[key] = weakref.ref(storage, gone)
        self.now += size
        self.peak = max(self.peak, self.now)


def peak_of(step: Callable[[], None], device: torch.device) -> int:
    """The most bytes that a piece of code held beyond what was there before it."""
    if device.type == "cuda":
        before = torch.cuda.memory_allocated(device)
        with measure(device) as meter:
            step()
        assert meter.cost.peak_gpu_bytes is not None
        return meter.cost.peak_gpu_bytes - before
    with _Live() as live:
        step()
    return live.peak


def need(
    family: Trainable, images: Tensor, condition: Condition, settings: TrainSettings, precision: str
) -> Need:
    """Measure a step of each network with some rows and with half as many, on a copy of the family.

    Args:
        images, condition: N rows of the first batch, N even or 1, on the family's device.
        settings: of the training.
        precision: "fp32" or "bf16".
    """
    family, device, rows = copy.deepcopy(family), images.device, len(images)
    fixed = sum(t.nbytes for t in family.state_dict().values()) * (2 if settings.ema else 1)
    steps = {}
    for name, network in family.networks.items():
        for other, its in family.networks.items():
            its.requires_grad_(other == name)

        def peak(n: int, name: str = name) -> int:
            generator = RowGenerator("fitting", rows=n, device=device)
            family.zero_grad(set_to_none=True)
            return peak_of(
                lambda: probe(family, name, images[:n], condition[:n], generator, precision), device
            )

        whole, half = peak(rows), peak(rows // 2) if rows > 1 else 0
        slope = max(0, whole - half) / (rows - rows // 2)
        steps[name] = (whole - slope * rows, slope)
        own = settings.optimizers.get(name, OptimizerSettings())
        optimizer = Optimizer(list(network.parameters()), own)
        optimizer.step(0, 0.0)
        fixed += sum(t.nbytes for t in optimizer.pack().values())
    return Need(fixed, steps)


def micro_batches(found: Need, memory: float, share: int) -> int:
    """The fewest parts of a process's `share` of the batch with which it fits into `memory` GB.

    Raises:
        T2IError: if not even one image at a time does.
    """
    limit = MARGIN * memory * GB
    for parts in range(1, share + 1):
        if share % parts == 0 and found.of(share // parts) <= limit:
            return parts
    raise T2IError(
        f"This model takes {found.of(1) / MARGIN / GB:.2f} GB with one image at a time, and "
        f"{memory:g} GB are allowed: allow more, or make the model or its pictures smaller."
    )


def fitted(
    family: Trainable,
    images: Tensor,
    condition: Condition,
    settings: TrainSettings,
    precision: str,
    state: PartialState,
) -> TrainSettings:
    """The settings with `memory` turned into `micro_batches`; the first process decides for all.

    Args:
        images, condition: see `need`.
        state: which process of how many this is.
    """
    assert settings.memory is not None
    share = settings.batch_size // state.num_processes
    found = need(family, images, condition, settings, precision)
    parts = broadcast_object_list([micro_batches(found, settings.memory, share)])[0]
    if state.is_main_process:
        most = max(found.steps, key=lambda name: found.steps[name][1])
        size = share // parts
        print(
            f"A step of {share} images takes {found.of(share) / GB:.2f} GB (most in {most!r}); in "
            f"{parts} part(s) of {size}: {found.of(size) / GB:.2f} GB."
        )
    return replace(settings, memory=None, micro_batches=parts)
