"""Quality after equal CPU minutes on FashionMNIST: our diffusion model and three libraries'.

    python benchmarks/diffusion_quality.py [--minutes 5] [--seeds 3] [--rows NAME …] [--smoke]
    python benchmarks/diffusion_quality.py --tune PEER [--minutes 2.5] [--set width=16 …]

The first trains each row on all 60,000 training images (process time over all threads; what comes
before and after the steps is not counted), draws, and scores against the 10,000 test images. A row
that is done is kept in runs/benchmark-diffusion and not repeated. Libraries stand there tuned for
the budget, and, as rows of their own that no headline rests on, as their examples have them.
The second is one tuning run: 55,000 training images, scored on the other 5,000, and added to
benchmarks/results/tuning_peers.md; whoever wins goes into `TUNED` below.
"""

import argparse
import ast
import json
import statistics
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import peers
import torch
from peers import Recipe

from t2i_course import evaluation, recipes, runs
from t2i_course.contract import Family, RowGenerator, unknown, write_whole
from t2i_course.data import fashion
from t2i_course.data.labelled import LabelledImages
from t2i_course.metrics.frechet import Moments, frechet_distance
from t2i_course.models.diffusion import Diffusion, SampleSettings
from t2i_course.places import runs_root
from t2i_course.reference import batches
from t2i_course.show import plots
from t2i_course.training import engine

RESULTS = Path(__file__).parent / "results"
OURS = "diffusion-fashion"  # the recipe

# What each library's example leaves to the reader, and what every tuning run starts from.
COMMON = {
    "batch_size": 32, "lr": 1e-3, "label_drop": 0.1, "flip": False, "clip": 1.0, "warmup": 100,
    "schedule": "cosine", "ema": 0.999, "steps": 20,
}  # fmt: skip
# The best of results/tuning_peers.md; denoising-diffusion-pytorch's are only where its tuning is to
# begin, chosen by training speed.
TUNED = {
    name: replace(peers.PEERS[name].example, **{**COMMON, **best})
    for name, best in {
        "diffusers": {
            "width": 16, "blocks": 1, "attention": (7,), "channels_last": True, "w": 2.0,
        },
        "denoising-diffusion-pytorch": {
            "width": 16, "mults": (1, 2, 4), "precision": "bf16", "channels_last": True,
        },
        "smalldiffusion": {
            "width": 32, "blocks": 1, "attention": (), "precision": "bf16", "lr": 3e-3, "w": 2.0,
        },
    }.items()
}  # fmt: skip

COLUMNS = {
    "FD": "Fréchet distance", "x floor": "as a multiple of its floor", "accuracy": "class accuracy",
    "recall": "recall", "precision": "precision", "images": "training images seen",
    "parameters": "parameters", "ms": "sampling, CPU ms an image",
}  # fmt: skip


def scored(
    family: Family, train: LabelledImages, against: LabelledImages, samples: int, seed: int
) -> dict[str, float]:
    """The columns that do not depend on how the family was trained."""
    judge = runs.load_judge("fashion")
    sampling = recipes.recipe(OURS).sampling
    settings = SampleSettings(**sampling) if isinstance(family, Diffusion) else None
    result = evaluation.evaluate(
        family, judge, train, against, samples=samples, seed=seed, settings=settings
    )
    frechet = result.scores["frechet"]
    row = {"FD": frechet.value, "x floor": frechet.times_floor or float("nan")}
    row["accuracy"] = result.scores["class_accuracy"].value
    row |= {k: result.scores[k].value for k in ("recall", "precision") if k in result.scores}
    row["parameters"] = result.parameters
    row["ms"] = 1000 * result.sampling.cpu_seconds / samples
    return row


def ours(train: LabelledImages, minutes: float, seed: int) -> tuple[Family, float]:
    """Our model after so many CPU minutes, with its averaged weights, and the images it saw."""
    recipe = recipes.recipe(OURS)
    family, settings = recipes.prepare(recipe, len(train), seed=seed, minutes=minutes, clock="cpu")
    assert isinstance(family, Diffusion)
    run = engine.train(family, train, settings, progress=False)
    if run.ema is not None:
        family.load_state_dict(run.ema.shadow)
    return family, run.step * settings.batch_size


def theirs(
    peer: type[peers.Peer], recipe: Recipe, train: LabelledImages, minutes: float, seed: int
) -> tuple[Family, float]:
    family = peer(recipe, seed)
    return family, peers.train(family, train, minutes, seed) * recipe.batch_size


def row(name: str) -> tuple[Callable[..., tuple[Family, float]], str, bool]:
    """How a row of the table is trained, its settings in words, and whether it is a default."""
    if name == "ours":
        return ours, str(recipes.recipe(OURS)), False
    library, _, how = name.partition(", ")
    peer = peers.PEERS[library]
    recipe = peer.example if how == "example" else TUNED[library]

    def train(data: LabelledImages, minutes: float, seed: int) -> tuple[Family, float]:
        return theirs(peer, recipe, data, minutes, seed)

    return train, str(recipe), how == "example"


def compare(minutes: float, seeds: int, samples: int, names: list[str], smoke: bool) -> None:
    limit = 1_000 if smoke else None
    train, test = (fashion.load(split, "fashion", limit=limit) for split in ("train", "test"))
    table: dict[str, list[dict[str, float]]] = {}
    for seed in range(seeds):  # in turn: a machine that changes changes for all
        for name in names:
            fit, settings, default = row(name)
            # A default of GPU size draws for hours: a fifth of the samples must do.
            count = samples // 5 if default else samples
            key = {"row": name, "settings": settings, "minutes": minutes, "samples": count}
            kept = runs_root() / "benchmark-diffusion" / f"{name}-{minutes}-{seed}.json"
            done = json.loads(kept.read_text()) if kept.is_file() else {}
            if smoke or any(done.get(k) != v for k, v in key.items()):
                family, images = fit(train, minutes, seed)
                done = {**key, "images": images, **scored(family, train, test, count, seed)}
                if not smoke:
                    write_whole(kept, json.dumps(done, indent=2))
            table.setdefault(name, []).append(done)
            print(f"{name}, seed {seed}: {done}", flush=True)
    text = report(table, minutes, seeds)
    print(text)
    if smoke:
        return
    name = f"diffusion_quality_{minutes:g}_minutes"
    write_whole(RESULTS / f"{name}.md", text)
    if len(table) == 1:
        return
    figure = plots.bars(
        list(table),
        torch.tensor([statistics.median(r["x floor"] for r in rows) for rows in table.values()]),
        xlabel=f"Fréchet distance after {minutes:g} CPU minutes, as a multiple of its floor",
    )
    write_whole(RESULTS / f"{name}.png", plots.png(figure))


def report(table: dict[str, list[dict[str, float]]], minutes: float, seeds: int) -> str:
    lines = [
        f"# Quality after {minutes:g} CPU minutes on FashionMNIST ({seeds} seeds)",
        "",
        f"torch {torch.__version__}, {torch.get_num_threads()} threads. 60,000 training images, "
        "compared with the 10,000 test images in features-fashion. Median over the seeds, with the "
        "least and the most.",
        "",
        "| | samples | " + " | ".join(COLUMNS.values()) + " |",
        "| --- " * (len(COLUMNS) + 2) + "|",
    ]
    for name, rows in table.items():
        cells = []
        for column in COLUMNS:
            values = [row[column] for row in rows if column in row]
            cells.append(spread(values) if values else "")
        lines.append(f"| {name} | {rows[0]['samples']:,} | {' | '.join(cells)} |")
    if any(name.endswith("example") for name in table):
        lines += [
            "",
            "Rows of an example are as the library has it, for GPUs, and of fewer samples, since "
            "they take hours to draw: a distance from fewer samples is larger and so is its floor.",
        ]
    rivals = {name: rows for name, rows in table.items() if name.endswith("tuned")}
    if "ours" in table and rivals:
        best = min(rivals, key=lambda name: statistics.median(r["FD"] for r in rivals[name]))
        times = [b["FD"] / a["FD"] for a, b in zip(table["ours"], rivals[best], strict=True)]
        lines += ["", f"The best tuned library ({best}) has {spread(times)} times our distance."]
    return "\n".join(lines) + "\n"


def spread(values: list[float]) -> str:
    middle, low, high = (f(values) for f in (statistics.median, min, max))
    form = ",.0f" if middle >= 1000 else ".3g"
    around = f" ({low:{form}}–{high:{form}})" if low != high else ""
    return f"{middle:{form}}{around}"


def tune(name: str, minutes: float, samples: int, changes: list[str], smoke: bool) -> None:
    """One tuning run of a library, sampled with several weights of guidance."""
    if name not in peers.PEERS:
        raise unknown("library", name, peers.PEERS)
    changed = {k: ast.literal_eval(v) for k, v in (change.split("=") for change in changes)}
    recipe = replace(peers.PEERS[name].example, **{**COMMON, **changed})
    everything, valid = (fashion.load(split, "fashion") for split in ("train", "valid"))
    train = everything[: len(everything) - len(valid)]
    family, images = theirs(peers.PEERS[name], recipe, train, minutes, seed=0)
    features = runs.load_judge("fashion").features()
    real = evaluation.moments(features, valid)
    floor = frechet_distance(evaluation.moments(features, train[:samples]), real)
    found = []
    for w in (1.0, 2.0):
        family.settings = replace(recipe, w=w)
        drawn = Moments(features.dim)
        for rows in batches(samples):
            labels = torch.arange(rows.start, rows.stop) % peers.CLASSES
            generator = RowGenerator(0, "sample", rows=range(rows.start, rows.stop))
            drawn.update(features(family.sample(valid.condition(labels), generator)))
        distance = frechet_distance(drawn, real)
        found.append(f"{distance:.2f} / {distance / floor:.1f}")
    own = {k: v for k, v in recipe.to_dict().items() if COMMON.get(k) != v and k != "w"}
    line = f"| {name} | {minutes:g} | {own} | {images:,.0f} | {' | '.join(found)} |\n"
    print(line)
    path = RESULTS / "tuning_peers.md"
    if not path.is_file():
        text = (
            "# Tuning of the libraries for the budget\n\n"
            f"CPU minutes on one thread, 55,000 training images, {samples:,} samples against the "
            f"other 5,000. All have {COMMON} where the column does not say otherwise. "
            "Scores: Fréchet distance in features-fashion / as a multiple of its floor, with "
            "guidance w.\n\n"
            "| library | minutes | settings | images seen | w = 1 | w = 2 |\n"
            + "| --- " * 6 + "|\n"
        )  # fmt: skip
    else:
        text = path.read_text(encoding="utf-8")
    if not smoke:
        write_whole(path, text + line)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Quality of diffusion models at equal time.")
    every = ["ours", *(f"{name}, {how}" for how in ("tuned", "example") for name in peers.PEERS)]
    parser.add_argument("--minutes", type=float, help="of process time (5; 2.5 for tuning)")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--samples", type=int, help="10,000; 1,000 for tuning")
    parser.add_argument("--rows", nargs="+", choices=every, default=every)
    parser.add_argument("--tune", metavar="PEER", help="one tuning run")
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="its settings")
    parser.add_argument("--smoke", action="store_true", help="small and fast; writes nothing")
    args = parser.parse_args()
    if args.smoke:
        args.minutes, args.seeds, args.samples = 0.02, 1, 500
    if args.tune:
        tune(args.tune, args.minutes or 2.5, args.samples or 1_000, args.set, args.smoke)
    else:
        minutes, samples = args.minutes or 5.0, args.samples or 10_000
        compare(minutes, args.seeds, samples, args.rows, args.smoke)
