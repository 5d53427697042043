"""The second paper's one-hot CVAE on FashionMNIST, 50 epochs, three seeds: all its scores.

    python benchmarks/cvae_fashion.py [EPOCHS [SEEDS]]

Runs are kept in runs/benchmark-… and go on where they were. Writes
benchmarks/results/cvae_fashion.md.
"""

import statistics
import sys
from pathlib import Path

import torch

from t2i_course import evaluation, recipes, runs
from t2i_course.contract import write_whole
from t2i_course.data import fashion
from t2i_course.models.vae import CVAE
from t2i_course.training import checkpoints, checks


def main(epochs: int, seeds: int) -> None:
    train, test = (fashion.load(split, "fashion") for split in ("train", "test"))
    judge = runs.load_judge("fashion")
    rows: dict[str, list[float]] = {}
    precisions: set[str] = set()
    for seed in range(seeds):
        recipe = recipes.recipe("cvae-fashion")
        model, settings = recipes.prepare(recipe, len(train), seed=seed, epochs=epochs)
        run = runs.train("benchmark-cvae", model, train, settings)
        assert isinstance(run.family, CVAE)
        assert run.folder is not None
        precisions.add(checks.saved_precision(checkpoints.latest(run.folder)))
        result = evaluation.evaluate(run.family, judge, train, test, seed=seed)
        frechet = result.scores["frechet"]
        values = {score.name: score.value for score in result.scores.values()}
        values |= {
            "floor of the Fréchet distance": frechet.floor or 0,
            "Fréchet distance as a multiple of the floor": frechet.times_floor or 0,
            "training, wall seconds": run.cost.wall_seconds,
            "training, CPU minutes": run.cost.cpu_minutes,
            "peak memory, MB": run.cost.peak_memory_bytes / 2**20,
            "sampling, ms an image": 1000 * result.sampling.wall_seconds / result.images,
        }
        for name, value in values.items():
            rows.setdefault(name, []).append(value)
    about = evaluation.evaluate(CVAE(), judge, train, test, samples=100).scores["frechet"]
    lines = [
        f"# One-hot CVAE on FashionMNIST, {epochs} epochs, {seeds} seeds",
        "",
        f"torch {torch.__version__}, {torch.get_num_threads()} threads, "
        f"{' and '.join(sorted(precisions))}. 10,000 samples, {about.features} "
        f"{about.features_sha256[:6]}, against {about.reference}.",
        "",
        "| | mean | " + " | ".join(f"seed {seed}" for seed in range(seeds)) + " |",
        "| --- " * (seeds + 2) + "|",
    ]
    for name, numbers in rows.items():
        each = " | ".join(f"{number:.4g}" for number in numbers)
        lines.append(f"| {name} | {statistics.mean(numbers):.4g} | {each} |")
    text = "\n".join(lines) + "\n"
    write_whole(Path(__file__).parent / "results" / "cvae_fashion.md", text)
    print(text)


if __name__ == "__main__":
    numbers = [int(word) for word in sys.argv[1:]]
    main(*(numbers + [50, 3][len(numbers) :]))
