"""What each part of the GAN does: the recipe with one thing changed, equal CPU time, three seeds.

    python benchmarks/gan_effects.py [MINUTES] [--seeds 3] [--samples 5000] [--only NAME …]
                                   [--smoke]

MINUTES (1.25) are CPU minutes of training a run, on one thread; a run that is there is not
repeated. Trains on the first 55,000 training images and scores on the other 5,000, like all tuning.
Writes benchmarks/results/gan_effects.md.
"""

import argparse
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from t2i_course import evaluation, recipes, runs
from t2i_course.contract import require, unknown, write_whole
from t2i_course.data import fashion
from t2i_course.data.labelled import LabelledImages
from t2i_course.models.judges import Classifier

RESULTS = Path(__file__).parent / "results"
FOUND = 0.01  # a class is found if so many of the samples without a label are judged to show it
COLUMNS = {
    "Fréchet distance": "{:.2f}",
    "recall": "{:.3f}",
    "precision": "{:.3f}",
    "class accuracy": "{:.3f}",
    "classes found": "{:.0f}",
    "near duplicates": "{:.3f}",
    "steps": "{:,.0f}",
}


@dataclass(frozen=True)
class Variant:
    """A row of the table: what differs from the recipe, in the model and in its optimizers."""

    title: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    optimizer: Mapping[str, Any] = field(default_factory=dict)
    networks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


VARIANTS = {
    "recipe": Variant("the recipe: non-saturating, R1, projection"),
    "hinge": Variant("hinge loss", {"loss": "hinge"}),
    "no-penalty": Variant("no penalty", {"penalty": "none"}),
    "gradient": Variant("gradient penalty, γ = 10", {"penalty": "gradient", "gamma": 10.0}),
    "spectral": Variant(
        "spectral norm, no penalty", {"spectral_norm": True, "penalty": "none"}
    ),
    "spectral-hinge": Variant(
        "spectral norm, no penalty, hinge loss",
        {"spectral_norm": True, "penalty": "none", "loss": "hinge"},
    ),
    "no-projection": Variant("D does not see the label", {"projection": False}),
    "collapsed": Variant(
        "no penalty, D of width 8 at a tenth of G's learning rate, β_1 = 0.7",
        {"penalty": "none", "discriminator_width": 8},
        {"betas": (0.7, 0.999)},
        {"discriminator": {"lr": 2e-4}, "generator": {"lr": 2e-3}},
    ),
}  # fmt: skip


def scores(
    variant: Variant,
    minutes: float,
    seed: int,
    samples: int,
    judge: Classifier,
    train: LabelledImages,
    valid: LabelledImages,
) -> list[float]:
    """Train one variant with one seed; its scores in the order of `COLUMNS`."""
    base = recipes.recipe("gan-fashion")
    changed = replace(
        base,
        settings={**base.settings, **variant.settings},
        optimizer={**base.optimizer, **variant.optimizer},
    )
    model, settings = recipes.prepare(
        changed, len(train), seed=seed, minutes=minutes, clock="cpu", precision="bf16"
    )
    optimizers = {
        name: replace(own, **variant.networks.get(name, {}))
        for name, own in settings.optimizers.items()
    }
    settings = replace(settings, optimizers=optimizers)
    run = runs.train("gan-effects", model, train, settings)
    require(run.finished, "Interrupted: the same command goes on.")
    assert run.folder is not None
    family = runs.load_family(run.folder)
    found = evaluation.evaluate(family, judge, train, valid, samples=samples, seed=seed)
    free = evaluation.evaluate(
        family, judge, train, valid, samples=samples, seed=seed, conditional=False
    )
    keys = ("frechet", "recall", "precision", "class_accuracy")
    values = [found.scores[key].value for key in keys]
    classes = sum(share >= FOUND for share in free.class_shares.values())
    return [*values, classes, found.scores["near_duplicates"].value, run.step]


def table(rows: Mapping[str, list[list[float]]]) -> list[str]:
    """Lines of Markdown: for each variant the median over the seeds, and the range where it is
    more than rounding."""
    lines = ["| | " + " | ".join(COLUMNS) + " |", "| --- " * (len(COLUMNS) + 1) + "|"]
    for title, seeds in rows.items():
        cells = []
        for form, values in zip(COLUMNS.values(), zip(*seeds, strict=True), strict=True):
            middle, low, high = (form.format(f(values)) for f in (statistics.median, min, max))
            cells.append(middle if low == high else f"{middle} ({low} to {high})")
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return lines


def main(minutes: float, seeds: int, samples: int, only: list[str], smoke: bool) -> None:
    for name in only:
        if name not in VARIANTS:
            raise unknown("variant", name, VARIANTS)
    torch.set_num_threads(1)
    judge = runs.load_judge("fashion")
    train, valid = fashion.load("train", "fashion"), fashion.load("valid", "fashion")
    train = train[: len(train) - len(valid)]
    rows: dict[str, list[list[float]]] = {}
    for name in only or VARIANTS:
        title = VARIANTS[name].title
        for seed in range(seeds):
            print(f"{name}, seed {seed}", flush=True)
            rows.setdefault(title, []).append(
                scores(VARIANTS[name], minutes, seed, samples, judge, train, valid)
            )
        print("\n".join(table(rows)), flush=True)
    about = evaluation.Reference.of(judge, train, valid, samples)
    bounds = ", ".join(f"{key} {about.bounds[key]:.3f}" for key in ("frechet", "recall"))
    lines = [
        f"# What each part of the GAN does: {minutes:g} CPU minutes a run, {seeds} seeds",
        "",
        f"torch {torch.__version__}, 1 thread, bf16, 55,000 training images, {samples:,} samples "
        f"against the other {len(valid):,}, features {judge.title}. Median over the seeds, range "
        f"in brackets. Real training images in place of samples score: {bounds}; 1 % of them are "
        f"near duplicates. A class is found if at least {FOUND:.0%} of the samples drawn without a "
        "label are judged to show it.",
        "",
        *table(rows),
    ]
    if not smoke:
        write_whole(RESULTS / "gan_effects.md", "\n".join(lines) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("minutes", type=float, nargs="?", default=1.25)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--samples", type=int, default=5_000)
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME")
    parser.add_argument("--smoke", action="store_true", help="write nothing")
    given = parser.parse_args()
    main(given.minutes, given.seeds, given.samples, given.only, given.smoke)
