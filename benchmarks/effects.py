"""What each part of a family does: its recipe with one thing changed, equal CPU time, some seeds.

    python benchmarks/effects.py [gan|diffusion] [--minutes M] [--seeds 3] [--samples 5000]
                                 [--only NAME …] [--smoke]

M are CPU minutes of training a run, on one thread; a run that is there is not repeated. Trains on
the first 55,000 training images and scores on the other 5,000, like all tuning. Writes
benchmarks/results/gan_effects.md or diffusion_effects.md.
"""

import argparse
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
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
    "near duplicates": "{:.3f}",
    "steps": "{:,.0f}",
    "classes found": "{:.0f}",
}


@dataclass(frozen=True)
class Variant:
    """A row of the table: what differs from the recipe, in the model, in its optimizers, in how it
    is trained and in how it is drawn from."""

    title: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    optimizer: Mapping[str, Any] = field(default_factory=dict)
    networks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    sampling: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Study:
    """A table: of which recipe, after how many CPU minutes, its rows by name, and whether what is
    drawn without a label is looked at, too."""

    recipe: str
    minutes: float
    variants: Mapping[str, Variant]
    unlabelled: bool = False


GAN = {
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
DIFFUSION = {
    "recipe": Variant("the recipe"),
    "not-guided": Variant("not guided", sampling={"w": 1.0}),
    "null": Variant("guided away from no label", sampling={"guide": "null"}),
    "drop": Variant("no label hidden", {"drop": 0.0}),
    "adamw": Variant("AdamW for all weights, 1.5e-3", optimizer={"muon": None, "lr": 1.5e-3}),
    "decay": Variant("weight decay of 0.1", optimizer={"weight_decay": 0.1}),
    "no-ema": Variant("the last weights, not their average", training={"ema": 0.0}),
    "velocity": Variant(
        "the network predicts the velocity", {"predicts": "velocity", "weights": "none"}
    ),
    "noise": Variant(
        "it predicts the noise, cosine schedule, min-SNR",
        {"path": "cosine", "predicts": "noise", "weights": "min-snr", "times": "uniform",
         "shift": 1.0},
    ),
    "uniform": Variant("training times uniform", {"times": "uniform"}),
    "no-attention": Variant("no attention", {"attention": False}),
    "pixels": Variant(
        "pixels in place of patches, three levels",
        {"patch": 1, "widths": (32, 64, 128), "weak": (8, 16, 32)},
    ),
    "fp32": Variant("trained in fp32", training={"precision": "fp32"}),
}  # fmt: skip
STUDIES = {
    "gan": Study("gan-fashion", 1.25, GAN, unlabelled=True),
    "diffusion": Study("diffusion-fashion", 2.0, DIFFUSION),
}


def scores(
    study: Study,
    variant: Variant,
    minutes: float,
    seed: int,
    samples: int,
    judge: Classifier,
    train: LabelledImages,
    valid: LabelledImages,
) -> list[float]:
    """Train one variant with one seed; its scores in the order of `COLUMNS`, the last only of a
    study that looks at what is drawn without a label."""
    base = recipes.recipe(study.recipe)
    changed = replace(
        base,
        settings={**base.settings, **variant.settings},
        optimizer={**base.optimizer, **variant.optimizer},
    )
    training = {"clock": "cpu", "precision": "bf16", **variant.training}
    model, settings = recipes.prepare(changed, len(train), seed=seed, minutes=minutes, **training)
    optimizers = {
        name: replace(own, **variant.networks.get(name, {}))
        for name, own in settings.optimizers.items()
    }
    settings = replace(settings, optimizers=optimizers)
    run = runs.train(f"{model.name}-effects", model, train, settings)
    require(run.finished, "Interrupted: the same command goes on.")
    assert run.folder is not None
    family = runs.load_family(run.folder)
    evaluate = partial(
        evaluation.evaluate, family, judge, train, valid, samples=samples, seed=seed,
        settings=family.sampling_type.from_dict({**base.sampling, **variant.sampling}),
    )  # fmt: skip
    found = evaluate().scores
    keys = ("frechet", "recall", "precision", "class_accuracy", "near_duplicates")
    values = [*(found[key].value for key in keys), run.step]
    if study.unlabelled:
        shares = evaluate(conditional=False).class_shares
        values.append(sum(share >= FOUND for share in shares.values()))
    return values


def table(rows: Mapping[str, list[list[float]]]) -> list[str]:
    """Lines of Markdown: for each variant the median over the seeds, and the range where it is
    more than rounding."""
    count = len(next(iter(rows.values()))[0])
    columns = dict(list(COLUMNS.items())[:count])
    lines = ["| | " + " | ".join(columns) + " |", "| --- " * (count + 1) + "|"]
    for title, seeds in rows.items():
        cells = []
        for form, values in zip(columns.values(), zip(*seeds, strict=True), strict=True):
            middle, low, high = (form.format(f(values)) for f in (statistics.median, min, max))
            cells.append(middle if low == high else f"{middle} ({low} to {high})")
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return lines


def main(
    name: str, minutes: float | None, seeds: int, samples: int, only: list[str], smoke: bool
) -> None:
    study = STUDIES[name]
    for variant in only:
        if variant not in study.variants:
            raise unknown("variant", variant, study.variants)
    torch.set_num_threads(1)
    minutes = minutes or study.minutes
    judge = runs.load_judge("fashion")
    train, valid = fashion.load("train", "fashion"), fashion.load("valid", "fashion")
    train = train[: len(train) - len(valid)]
    rows: dict[str, list[list[float]]] = {}
    for seed in range(seeds):  # in turn: a machine that changes changes for all
        for key in only or study.variants:
            print(f"{key}, seed {seed}", flush=True)
            variant = study.variants[key]
            rows.setdefault(variant.title, []).append(
                scores(study, variant, minutes, seed, samples, judge, train, valid)
            )
        print("\n".join(table(rows)), flush=True)
    about = evaluation.Reference.of(judge, train, valid, samples)
    bounds = ", ".join(f"{key} {about.bounds[key]:.3f}" for key in ("frechet", "recall"))
    classes = (
        f" A class is found if at least {FOUND:.0%} of the samples drawn without a label are "
        "judged to show it."
    )
    lines = [
        f"# What each part of {study.recipe} does: {minutes:g} CPU minutes a run, {seeds} seeds",
        "",
        f"torch {torch.__version__}, 1 thread, bf16, 55,000 training images, {samples:,} samples "
        f"against the other {len(valid):,}, features {judge.title}. Median over the seeds, range "
        f"in brackets. Real training images in place of samples score: {bounds}; 1 % of them are "
        f"near duplicates.{classes if study.unlabelled else ''}",
        "",
        *table(rows),
    ]
    if not smoke:
        write_whole(RESULTS / f"{name}_effects.md", "\n".join(lines) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("family", nargs="?", choices=STUDIES, help="both, if left out")
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--samples", type=int, default=5_000)
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME")
    parser.add_argument("--smoke", action="store_true", help="write nothing")
    given = parser.parse_args()
    for name in [given.family] if given.family else STUDIES:
        main(name, given.minutes, given.seeds, given.samples, given.only, given.smoke)
