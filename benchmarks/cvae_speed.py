"""Training speed of the paper's CVAE: our engine against plain loops, in turn, in one process.

    python benchmarks/cvae_speed.py [EPOCHS]

- tutorial: the loop of every tutorial: DataLoader over torchvision's FashionMNIST with ToTensor;
- preloaded: the best plain loop we know: the whole set as one tensor, fused Adam, no logging.

Same model, same batch of 128, same threads. Writes benchmarks/results/cvae_speed.md.
"""

import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import FashionMNIST

from t2i_course.conditioning.one_hot import one_hot
from t2i_course.contract import Condition, write_whole
from t2i_course.data import fashion
from t2i_course.data.labelled import LabelledImages
from t2i_course.models.vae import CVAE, kl_to_standard_normal, reparameterise
from t2i_course.places import data_root
from t2i_course.training.engine import train
from t2i_course.training.settings import TrainSettings

BATCH = 128


def plain_loss(model: CVAE, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """The loss with torch's own random numbers, as a plain loop has it."""
    condition = Condition.of(one_hot(y))
    mu, logvar = model.encode(x, condition)
    z = reparameterise(mu, logvar, torch.randn_like(mu))
    logits = model.decode_logits(z, condition)
    nll = torch.nn.functional.binary_cross_entropy_with_logits(
        logits, x.flatten(1), reduction="none"
    ).sum(1)
    return (nll + kl_to_standard_normal(mu, logvar)).mean()


def tutorial(data: LabelledImages) -> None:
    images = FashionMNIST(str(data_root()), train=True, transform=transforms.ToTensor())
    model = CVAE()
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    total = 0.0
    for x, y in DataLoader(images, BATCH, shuffle=True):
        optimizer.zero_grad()
        loss = plain_loss(model, x, y)
        loss.backward()
        optimizer.step()
        total += loss.item()


def preloaded(data: LabelledImages, precision: str) -> None:
    x, y, model = data.pixels(), data.labels, CVAE()
    optimizer = torch.optim.Adam(model.parameters(), 1e-3, fused=True)
    for index in torch.randperm(len(x)).split(BATCH):
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            loss = plain_loss(model, x[index], y[index])
        loss.backward()
        optimizer.step()


def ours(data: LabelledImages, precision: str) -> None:
    steps = -(-len(data) // BATCH)
    settings = TrainSettings(steps=steps, batch_size=BATCH, precision=precision)
    train(CVAE(), data, settings, progress=False)


LOOPS: dict[str, Callable[[LabelledImages], None]] = {
    "tutorial, fp32": tutorial,
    "preloaded, fp32": partial(preloaded, precision="fp32"),
    "preloaded, bf16": partial(preloaded, precision="bf16"),
    "ours, fp32": partial(ours, precision="fp32"),
    "ours, bf16": partial(ours, precision="bf16"),
}


def main(epochs: int) -> None:
    data = fashion.load("train", "fashion")
    for loop in list(LOOPS.values())[1:]:  # warm up
        loop(data)
    times: dict[str, list[float]] = {name: [] for name in LOOPS}
    for _ in range(epochs):
        for name, loop in LOOPS.items():
            start = time.perf_counter()
            loop(data)
            times[name].append(time.perf_counter() - start)
    lines = [
        f"# Seconds an epoch of the one-hot CVAE ({epochs} epochs of each, in turn)",
        "",
        f"torch {torch.__version__}, {torch.get_num_threads()} threads, batch {BATCH}. A ratio is "
        "the median over the rounds of a loop's time over ours in the same round.",
        "",
        "| loop | median | least | most | over ours, fp32 | over ours, bf16 |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, values in times.items():
        row = [f"{f(values):.2f}" for f in (statistics.median, min, max)]
        for ours_name in ("ours, fp32", "ours, bf16"):
            ratios = [a / b for a, b in zip(values, times[ours_name], strict=True)]
            row.append(f"{statistics.median(ratios):.2f}")
        lines.append(f"| {name} | {' | '.join(row)} |")
    text = "\n".join(lines) + "\n"
    write_whole(Path(__file__).parent / "results" / "cvae_speed.md", text)
    print(text)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
