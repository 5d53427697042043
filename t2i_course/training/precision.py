"""Which precision trains faster here: some CPUs multiply bfloat16 faster, others emulate it."""

import copy
import time

import torch
from torch import Tensor

from t2i_course.contract import Condition, RowGenerator, Trainable

PRECISIONS = ("fp32", "bf16")
MARGIN = 1.15  # how much faster bf16 must be to be worth its rounding


def probe(
    family: Trainable, name: str, images: Tensor, condition: Condition, generator: RowGenerator,
    precision: str,
) -> None:  # fmt: skip
    """A forward and backward pass of one network in "fp32" or "bf16", for what it costs."""
    with torch.autocast(images.device.type, torch.bfloat16, enabled=precision == "bf16"):
        loss, _ = family.loss(name, images, condition, generator)
    loss.backward()


def fastest_precision(
    family: Trainable, images: Tensor, condition: Condition, device: torch.device, steps: int = 5
) -> str:
    """The faster precision here: "bf16" if it is at least `MARGIN` times as fast, else "fp32".

    Times a few forward and backward passes of a copy on one batch (the fastest of `steps`, after
    one for warming up); the family itself is not touched.
    """
    if device.type == "mps":
        return "fp32"
    family = copy.deepcopy(family)
    seconds = {name: float("inf") for name in PRECISIONS}
    for step in range(steps + 1):
        for precision in PRECISIONS:
            start = time.perf_counter()
            for name in family.networks:
                generator = RowGenerator("probe", step, rows=len(images), device=device)
                probe(family, name, images, condition, generator, precision)
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            if step > 0:
                seconds[precision] = min(seconds[precision], time.perf_counter() - start)
    return "bf16" if seconds["fp32"] > MARGIN * seconds["bf16"] else "fp32"
