"""Sampling of our diffusion model by number of network evaluations: same weights, all samplers.

    python benchmarks/sampling.py [MODEL] [--samples 10000] [--w 1] [--precision bf16] [--smoke]

MODEL is a shipped model or a run's folder. Every row draws from the same noise; the last, 1,000
ancestral steps, is what the others are held against (for a flow they are the steps of the SDE with
its marginals). Writes benchmarks/results/sampling.md and .png.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import torch

from t2i_course import evaluation, runs
from t2i_course.contract import require, write_whole
from t2i_course.data import fashion
from t2i_course.diffusion.samplers import evaluations
from t2i_course.evaluation import Evaluation
from t2i_course.models.diffusion import Diffusion, SampleSettings
from t2i_course.reference import BATCH
from t2i_course.show import plots

RESULTS = Path(__file__).parent / "results"
ROWS = [  # (sampler, steps), the reference last
    *(("heun", steps) for steps in (3, 5, 10, 25)),
    *(("euler", steps) for steps in (5, 10, 20, 50)),
    *(("dpm-solver-2m", steps) for steps in (5, 10, 20, 50)),
    *(("ddpm", steps) for steps in (10, 50, 100, 1000)),
]


@dataclass
class Row:
    """One sampler with one number of steps."""

    sampler: str
    steps: int
    evaluations: int
    result: Evaluation

    @property
    def frechet(self) -> float:
        return self.result.scores["frechet"].value

    @property
    def seconds(self) -> float:
        """Process time over threads: what the wall shows on an idle machine."""
        return self.result.sampling.cpu_seconds / torch.get_num_threads()


def main(model: str, samples: int, w: float, precision: str, smoke: bool) -> None:
    family = runs.load_family(model)
    require(isinstance(family, Diffusion), f"{model} is no diffusion model: it has no samplers.")
    judge = runs.load_judge("fashion")
    train, test = (fashion.load(split, "fashion") for split in ("train", "test"))
    chosen = [("heun", 5), ("ddpm", 10)] if smoke else ROWS
    if smoke:
        train, test = train[:1000], test[:1000]
    rows = []
    for sampler, steps in chosen:
        settings = SampleSettings(sampler=sampler, steps=steps, w=w, precision=precision)
        result = evaluation.evaluate(family, judge, train, test, samples=samples, settings=settings)
        rows.append(Row(sampler, steps, evaluations(sampler, steps), result))
        print(f"{sampler} {steps}: {rows[-1].frechet:.3f}, {rows[-1].seconds:.1f} s", flush=True)
    text = report(rows, model, samples, w, precision)
    print(text)
    if smoke:
        return
    write_whole(RESULTS / "sampling.md", text)
    lines = {}
    for name in dict.fromkeys(row.sampler for row in rows):
        own = [row for row in rows if row.sampler == name]
        calls = torch.tensor([float(row.evaluations) for row in own]).log10()
        lines[name] = (calls, torch.tensor([row.frechet for row in own]))
    figure = plots.curves(
        lines, "network evaluations, logarithm to base 10", "Fréchet distance", logy=True
    )
    write_whole(RESULTS / "sampling.png", plots.png(figure))


def report(rows: list[Row], model: str, samples: int, w: float, precision: str) -> str:
    last = rows[-1]
    frechet = last.result.scores["frechet"]
    lines = [
        f"# Sampling of {Path(model).name} by number of network evaluations",
        "",
        f"torch {torch.__version__}, {torch.get_num_threads()} threads, {precision}, guidance w = "
        f"{w:g}, {samples:,} samples in batches of {BATCH}. Fréchet distance in "
        f"{frechet.features} against {frechet.reference}, floor {frechet.floor:.3g}. Seconds are "
        "process time over threads. The last two columns compare with the last row.",
        "",
        "| sampler | steps | evaluations | Fréchet distance | class accuracy | recall | seconds | "
        "images/s | distance against it | times as fast |",
        "| --- " * 10 + "|",
    ]
    for row in rows:
        scores = {name: score.value for name, score in row.result.scores.items()}
        lines.append(
            f"| {row.sampler} | {row.steps:,} | {row.evaluations:,} | {row.frechet:.3f} | "
            f"{scores['class_accuracy']:.3f} | {scores['recall']:.3f} | {row.seconds:.1f} | "
            f"{samples / row.seconds:,.0f} | {row.frechet / last.frechet - 1:+.1%} | "
            f"{last.seconds / row.seconds:.1f} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Samplers by number of network evaluations.")
    parser.add_argument("model", nargs="?", default="diffusion-fashion")
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--w", type=float, default=1.0, help="guidance; 1 is none")
    parser.add_argument("--precision", default="bf16", choices=("fp32", "bf16"))
    parser.add_argument("--smoke", action="store_true", help="small and fast; writes nothing")
    args = parser.parse_args()
    samples = 200 if args.smoke else args.samples
    main(args.model, samples, args.w, args.precision, args.smoke)
