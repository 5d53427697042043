"""What a run cost: seconds on the wall, seconds of computing, and the most memory it held."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psutil
import torch
from torch import nn

from t2i_course.contract import require

INTERVAL = 0.1  # seconds between two looks at the memory


@dataclass(frozen=True)
class Cost:
    """The cost of a block of code in this process; its child processes are not counted.

    Args:
        wall_seconds: from the start of the block.
        cpu_seconds: process time, summed over all cores.
        peak_memory_bytes: the largest resident memory of the whole process seen during the block.
        peak_gpu_bytes: the most that PyTorch had allocated on the GPU; None without one.
    """

    wall_seconds: float
    cpu_seconds: float
    peak_memory_bytes: int
    peak_gpu_bytes: int | None = None

    def __add__(self, later: "Cost") -> "Cost":
        """The cost of two sittings: their times added, the higher of their peaks."""
        gpu = [peak for peak in (self.peak_gpu_bytes, later.peak_gpu_bytes) if peak is not None]
        return Cost(
            self.wall_seconds + later.wall_seconds,
            self.cpu_seconds + later.cpu_seconds,
            max(self.peak_memory_bytes, later.peak_memory_bytes),
            max(gpu, default=None),
        )

    @property
    def cpu_minutes(self) -> float:
        """One is 60 seconds of process time."""
        return self.cpu_seconds / 60


class Meter:
    """A running measurement; made by `measure`."""

    def __init__(self, device: torch.device):
        self._gpu: int | None = None
        if device.type == "cuda":  # fixed here: the watching thread has a current device of its own
            self._gpu = torch.cuda.current_device() if device.index is None else device.index
            torch.cuda.synchronize(self._gpu)
            torch.cuda.reset_peak_memory_stats(self._gpu)
        self._process = psutil.Process()
        self._lock = threading.Lock()
        self._peak = self._gpu_peak = 0
        self._cost: Cost | None = None
        self._ended = threading.Event()
        self._wall, self._cpu = time.perf_counter(), time.process_time()
        self._look()

    def so_far(self) -> Cost:
        """The cost from the start of the block until now, or until its end once it has ended."""
        if self._cost is not None:
            return self._cost
        if self._gpu is not None:
            torch.cuda.synchronize(self._gpu)  # or work that is only queued would count as done
        self._look()
        return Cost(
            wall_seconds=time.perf_counter() - self._wall,
            cpu_seconds=time.process_time() - self._cpu,
            peak_memory_bytes=self._peak,
            peak_gpu_bytes=None if self._gpu is None else self._gpu_peak,
        )

    @property
    def cost(self) -> Cost:
        """The cost of the whole block; `T2IError` while it runs."""
        require(self._cost is not None, "The measured block still runs: ask for so_far().")
        return self.so_far()

    def _look(self) -> None:
        with self._lock:
            self._peak = max(self._peak, self._process.memory_info().rss)
            if self._gpu is not None:
                allocated = torch.cuda.max_memory_allocated(self._gpu)
                self._gpu_peak = max(self._gpu_peak, allocated)

    def _watch(self) -> None:
        while not self._ended.wait(INTERVAL):
            self._look()


@contextmanager
def measure(device: torch.device | str = "cpu") -> Iterator[Meter]:
    """Measures the block: `with measure() as meter: …`, then `meter.cost`, a `Cost`.

    Memory is looked at every 0.1 seconds, at the start and at the end: a peak shorter than that
    may be missed. On a GPU the allocator keeps the peak itself, and nothing is missed (but a block
    measured inside another restarts that peak). The cost stands also after an exception.

    Args:
        device: where the block computes; on "cuda" the GPU is waited for and its memory measured.
    """
    meter = Meter(torch.device(device))
    watcher = threading.Thread(target=meter._watch, name="t2i-cost", daemon=True)
    watcher.start()
    try:
        yield meter
    finally:
        meter._ended.set()
        watcher.join()
        meter._cost = meter.so_far()


def parameters(module: nn.Module) -> int:
    """How many numbers the module's parameters hold, frozen ones too; a shared one counts once."""
    return sum(parameter.numel() for parameter in module.parameters())
