"""Training speed of our diffusion model and of three libraries', a whole step each, in turn.

    python benchmarks/diffusion_speed.py [--rounds 5] [--seconds 2] [--batch 64] [--smoke]

A step is: fetch the batch, draw the noise, forward, backward, clip, optimizer, EMA; ours goes
through the engine. Work is counted in multiply-accumulates (MACs) of one forward and backward pass
by torch's `FlopCounterMode`. Each peer runs at two sizes, its example's and the one nearest to
the recipe's in MACs, each against our network of the nearest MACs (a wider network is quicker per
MAC); everyone in its fastest of {fp32, bf16 autocast} x {NCHW, channels-last}, without compile.
Seconds are process time over threads: what the wall shows on an idle machine. Beside it stands the
machine's matrix rate: the fastest bfloat16 `torch.mm` of several sizes. Writes
benchmarks/results/diffusion_speed.md and .png.
"""

import argparse
import itertools
import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import peers
import torch
from torch.utils.flop_counter import FlopCounterMode

from t2i_course import recipes
from t2i_course.contract import Family, RowGenerator, write_whole
from t2i_course.data import fashion
from t2i_course.data.labelled import LabelledImages
from t2i_course.metrics.cost import parameters
from t2i_course.show import plots
from t2i_course.training import engine

RESULTS = Path(__file__).parent / "results"
OURS = "diffusion-fashion"  # the recipe
OTHER_WIDTHS = (48, 80, 96, 128, 160, 224, 320)  # of ours, to meet a peer at its size
CONFIGURATIONS = list(itertools.product(("fp32", "bf16"), ("NCHW", "channels-last")))

Run = Callable[[int], float]  # takes so many training steps; the seconds they took


@dataclass
class Contestant:
    """A network of one size: `run_in` a configuration makes a `Run` of fresh weights."""

    label: str
    parameters: int
    macs: int  # of one image, forward and backward
    run_in: Callable[[str, str], Run]
    rival: "Contestant | None" = None  # of a peer: our network nearest to it in MACs
    probed: dict[tuple[str, str], float] = field(default_factory=dict)  # images a second
    rates: list[float] = field(default_factory=list)  # images a second in the best, by round

    @property
    def best(self) -> tuple[str, str]:
        return max(self.probed, key=lambda configuration: self.probed[configuration])


def clock() -> float:
    return time.process_time() / torch.get_num_threads()


def macs(family: Family, data: LabelledImages, images: int = 4) -> int:
    """Multiply-accumulates an image of one forward and backward pass of the loss."""
    x, condition = data.pixels(slice(0, images)), data.condition(data.labels[:images])
    with FlopCounterMode(display=False) as counter:
        for name in family.train().networks:
            loss, _ = family.loss(name, x, condition, RowGenerator(0, rows=images))
            loss.backward()
    return counter.get_total_flops() // 2 // images


def ours(data: LabelledImages, batch: int, **changes: Any) -> Contestant:
    """The recipe's model, with some of its settings changed."""

    def prepare(steps: int, precision: str) -> tuple[Family, engine.TrainSettings]:
        family, settings = recipes.prepare(
            recipes.recipe(OURS), len(data), steps=steps, batch_size=batch, precision=precision,
            settings=changes,
        )  # fmt: skip
        assert isinstance(family, Family)
        return family, settings

    def run_in(precision: str, layout: str) -> Run:
        family, _ = prepare(1, precision)
        if layout == "channels-last":
            family.to(memory_format=torch.channels_last)

        def run(steps: int) -> float:
            cost = engine.train(family, data, prepare(steps, precision)[1], progress=False).cost
            return cost.cpu_seconds / torch.get_num_threads()

        return run

    family, _ = prepare(1, "fp32")
    return Contestant(
        f"ours, {family.settings.widths}", parameters(family), macs(family, data), run_in
    )


def theirs(
    peer: type[peers.Peer], recipe: peers.Recipe, data: LabelledImages, batch: int
) -> Contestant:
    # The same parts of a step for everyone, whether or not its example clips or averages.
    recipe = replace(recipe, batch_size=batch, clip=1.0, ema=recipe.ema or 0.999)

    def run_in(precision: str, layout: str) -> Run:
        last = layout == "channels-last"
        loop = peers.Loop(peer(replace(recipe, precision=precision, channels_last=last)), data)

        def run(steps: int) -> float:
            start = clock()
            for _ in range(steps):
                loop.step()
            return clock() - start

        return run

    model = peer(recipe)
    label = f"{peer.name}, {recipe.width} x {recipe.mults}"
    return Contestant(label, parameters(model), macs(model, data), run_in)


def nearest(peer: type[peers.Peer], target: int, data: LabelledImages) -> peers.Recipe:
    """The example nearest to `target` MACs, of all widths, with at most three levels and, where the
    library leaves the choice, with one residual block a level or two."""
    mults = peer.example.mults[:3]
    every = 32 if peer is peers.SmallDiffusion else 8  # its GroupNorm has 32 groups
    found: dict[int, peers.Recipe] = {}
    for blocks in (1, 2):
        for width in range(every, 257, every):
            recipe = replace(peer.example, width=width, mults=mults, blocks=blocks)
            count = macs(peer(recipe), data)
            found[abs(count - target)] = recipe
            if count > target:
                break
    return found[min(found)]


def rate(run: Run, batch: int, seconds: float) -> float:
    """Images a second over about so many seconds."""
    steps = max(1, round(seconds / run(1)))
    return steps * batch / run(steps)


def matrix_rate(seconds: float, sizes: tuple[int, ...] = (512, 1024, 2048)) -> float:
    """Multiply-accumulates a second of the fastest bfloat16 product of square matrices."""
    best = 0.0
    for n in sizes:
        a, b = torch.randn(2, n, n).bfloat16()
        torch.mm(a, b)
        start, count = clock(), 0
        while clock() - start < seconds / len(sizes):
            torch.mm(a, b)
            count += 1
        best = max(best, count * n**3 / (clock() - start))
    return best


def main(rounds: int, seconds: float, batch: int, smoke: bool) -> None:
    data = fashion.load("train", "fashion")
    recipe = ours(data, batch)
    own = [recipe, *(ours(data, batch, widths=(w, 2 * w)) for w in (() if smoke else OTHER_WIDTHS))]
    rivals = []
    for peer in peers.PEERS.values():
        equal = nearest(peer, recipe.macs, data)
        for settings in [equal] if smoke else [equal, peer.example]:
            one = theirs(peer, settings, data, batch)
            one.rival = min(own, key=lambda other: abs(math.log(other.macs / one.macs)))
            rivals.append(one)
    own = [one for one in own if one is recipe or any(one is rival.rival for rival in rivals)]
    contestants = [*own, *rivals]
    runs: list[Run] = []
    for one in contestants:
        for configuration in CONFIGURATIONS:
            one.probed[configuration] = rate(one.run_in(*configuration), batch, seconds / 2)
        runs.append(one.run_in(*one.best))
        print(one.label, f"{one.macs / 1e6:.0f} MMAC", one.probed, flush=True)
    matrices: list[float] = []
    for _ in range(rounds):
        matrices.append(matrix_rate(seconds))
        for one, run in zip(contestants, runs, strict=True):
            one.rates.append(rate(run, batch, seconds))
    text = report(contestants, matrices, batch)
    print(text)
    if smoke:
        return
    write_whole(RESULTS / "diffusion_speed.md", text)
    figure = plots.bars(
        [one.label for one in contestants],
        torch.tensor([statistics.median(one.rates) * one.macs / 1e9 for one in contestants]),
        xlabel="billion multiply-accumulates a second in training",
    )
    write_whole(RESULTS / "diffusion_speed.png", plots.png(figure))


def report(contestants: list[Contestant], matrices: list[float], batch: int) -> str:
    lines = [
        f"# Training speed of diffusion models ({len(matrices)} rounds, in turn)",
        "",
        f"torch {torch.__version__}, {torch.get_num_threads()} threads, batch {batch}, no compile. "
        "MACs are multiply-accumulates of one forward and backward pass, an image; seconds are "
        "process time over threads. The matrix rate, "
        f"{statistics.median(matrices) / 1e9:.0f} GMAC/s, is bfloat16 `torch.mm`'s. Numbers are "
        "medians over the rounds of each round's own ratio. *Ours at equal MACs* is the "
        "multiply-accumulates a second of our network nearest to it in MACs, over its own; *the "
        "recipe* is the first row.",
        "",
        "| model, width x levels | parameters | MMAC | fastest in | images/s | GMAC/s | share of "
        "matrix rate | ours at equal MACs | the recipe in images/s |",
        "| --- " * 9 + "|",
    ]
    for one in contestants:
        ratios = [a / b for a, b in zip(contestants[0].rates, one.rates, strict=True)]
        shares = [r * one.macs / m for r, m in zip(one.rates, matrices, strict=True)]
        images, times = statistics.median(one.rates), statistics.median(ratios)
        equal = ""
        if one.rival:
            each = zip(one.rival.rates, one.rates, strict=True)
            scale = one.rival.macs / one.macs
            equal = f"{scale * statistics.median(a / b for a, b in each):.2f}"
        lines.append(
            f"| {one.label} | {one.parameters:,} | {one.macs / 1e6:.0f} | {', '.join(one.best)} | "
            f"{images:.0f} | {images * one.macs / 1e9:.1f} | {statistics.median(shares):.1%} | "
            f"{equal} | {times:.1f} |"
        )
    lines += ["", "Images a second in each configuration, from the probe that chose:", ""]
    names = [", ".join(configuration) for configuration in CONFIGURATIONS]
    lines += [f"| model | {' | '.join(names)} |", "| --- " * (len(names) + 1) + "|"]
    for one in contestants:
        each = " | ".join(f"{one.probed[key]:.0f}" for key in CONFIGURATIONS)
        lines.append(f"| {one.label} | {each} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Training speed, ours and the libraries'.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--smoke", action="store_true", help="small and fast; writes nothing")
    args = parser.parse_args()
    if args.smoke:
        args.rounds, args.seconds, args.batch = 1, 0.1, 8
    main(args.rounds, args.seconds, args.batch, args.smoke)
