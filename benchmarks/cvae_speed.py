"""Training speed of the paper's CVAE: our engine against plain loops, in turn, in one process.

    python benchmarks/cvae_speed.py [EPOCHS]

- tutorial: the loop of every tutorial: DataLoader over torchvision's FashionMNIST with ToTensor;
- preloaded: the best plain loop we know: the whole set as one tensor, fused Adam, no logging.

Same model, same batch of 128, same threads, fp32. Writes benchmarks/results/cvae_speed.md.
"""

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import FashionMNIST

from t2i_course.conditioning.one_hot import one_hot
from t2i_course.contract import Condition
from t2i_course.data import fashion
from t2i_course.models.vae import CVAE, kl_to_standard_normal, reparameterise
from t2i_course.places import data_root
from t2i_course.training.engine import train
from t2i_course.training.settings import OptimizerSettings, TrainSettings

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


def tutorial() -> None:
    data = FashionMNIST(str(data_root()), train=True, transform=transforms.ToTensor())
    model = CVAE()
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    total = 0.0
    for x, y in DataLoader(data, BATCH, shuffle=True):
        optimizer.zero_grad()
        loss = plain_loss(model, x, y)
        loss.backward()
        optimizer.step()
        total += loss.item()


def preloaded() -> None:
    data, model = fashion.load("train", "fashion"), CVAE()
    x, y = data.pixels(), data.labels
    optimizer = torch.optim.Adam(model.parameters(), 1e-3, fused=True)
    for index in torch.randperm(len(x)).split(BATCH):
        optimizer.zero_grad()
        plain_loss(model, x[index], y[index]).backward()
        optimizer.step()


def ours() -> None:
    data = fashion.load("train", "fashion")
    steps = -(-len(data) // BATCH)
    settings = TrainSettings(
        steps=steps, batch_size=BATCH, precision="fp32", optimizers={"cvae": OptimizerSettings()}
    )
    train(CVAE(), data, settings, progress=False)


def seconds(loop: Callable[[], None]) -> float:
    start = time.perf_counter()
    loop()
    return time.perf_counter() - start


if __name__ == "__main__":
    epochs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    loops = {"tutorial": tutorial, "preloaded": preloaded, "ours": ours}
    for loop in (preloaded, ours):  # warm up
        loop()
    times: dict[str, list[float]] = {name: [] for name in loops}
    for _ in range(epochs):
        for name, loop in loops.items():
            times[name].append(seconds(loop))
    lines = [
        f"# Seconds an epoch of the one-hot CVAE ({epochs} epochs of each, in turn)",
        "",
        f"torch {torch.__version__}, {torch.get_num_threads()} threads, fp32, batch {BATCH}; "
        "reading the data included.",
        "",
        "| loop | median | least | most | times ours (median of the paired ratios) |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, values in times.items():
        ratio = statistics.median(a / b for a, b in zip(values, times["ours"], strict=True))
        middle = statistics.median(values)
        lines.append(
            f"| {name} | {middle:.2f} | {min(values):.2f} | {max(values):.2f} | {ratio:.2f} |"
        )
    text = "\n".join(lines) + "\n"
    out = Path(__file__).parent / "results" / "cvae_speed.md"
    out.parent.mkdir(exist_ok=True)
    out.write_text(text, encoding="utf-8")
    print(text)
