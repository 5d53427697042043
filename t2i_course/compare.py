"""The first paper's comparison, made again: three families, equal data, parameters and time.

`t2i compare`: trains them one after another, scores them, and writes one table and one figure,
with the paper's own figures beside them as what they are: of COCO, in Inception's features.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from t2i_course import evaluation, papers, runs
from t2i_course.contract import Family, tensors_sha256, write_whole
from t2i_course.data import fashion
from t2i_course.data.labelled import LabelledImages
from t2i_course.places import shown
from t2i_course.sampling import draw, label_rows
from t2i_course.show import plots, report
from t2i_course.training import notes

COLUMNS = 10


@dataclass(frozen=True)
class Entry:
    """A row of the comparison: its title and the recipe that is trained."""

    title: str
    recipe: str


ENTRIES = (
    Entry("VAE", "conv-cvae-fashion"),
    Entry("GAN", "gan-fashion"),
    Entry("diffusion", "diffusion-fashion"),
    Entry("VAE (MLP)", "cvae-fashion"),
)

HEADER = (
    "model", "Fréchet distance", "Inception Score", "training, minutes", "peak memory, GB",
    "times the floor", "class accuracy", "precision", "recall", "near copies",
    "sampling, ms an image", "parameters",
)  # fmt: skip


def compare(
    folder: Path,
    minutes: float,
    *,
    source: str = "fashion",
    clock: str = "wall",
    samples: int = 10_000,
    seeds: int = 1,
    seed: int = 0,
    say: Callable[[str], None] = print,
) -> Path:
    """Train each family for `minutes`, score it, and write table, figure and report.

    The time of training alone is counted, and it drives the learning rates. Interrupted, the same
    call goes on: a finished training is not repeated, nor a finished scoring.

    Args:
        folder: for the runs, `comparison.json`, `comparison.md`, `comparison.png`, `report.html`.
        minutes: of training, for each family.
        source: "fashion" or "sketches".
        clock: what a minute is, see `TrainSettings`.
        samples, seeds: see `evaluation.evaluate`.
        seed: of the weights and the training.
        say: is told what goes on.

    Returns:
        The report's path.

    Raises:
        T2IError: if it was interrupted, or the folder holds a comparison of another kind.
    """
    data, test = (fashion.load(split, source) for split in ("train", "test"))
    judge = runs.load_judge(data.name)
    rows, pictures = [], []
    for entry in ENTRIES:
        run = folder / entry.recipe
        family, cost = _trained(entry, run, data, minutes, clock, seed, say)
        settings = runs.sampling_settings(run, family, {})
        evaluate = partial(
            evaluation.evaluate, family, judge, data, test,
            samples=samples, seeds=seeds, settings=settings, progress=True,
        )  # fmt: skip
        how = {"samples": samples, "seeds": seeds, "settings": settings.to_dict()}
        scores = _scored(run, family, evaluate, how)
        rows.append({"model": entry.title, "recipe": entry.recipe, **cost, **scores})
        vectors, names = label_rows(None)
        grid = plots.grid(
            draw(family, vectors, COLUMNS, settings=settings), COLUMNS, row_labels=names
        )
        pictures.append(
            report.Picture(
                plots.png(grid),
                f"Samples of the {entry.title}, {COLUMNS} of each garment, one garment a row.",
                f"{entry.title}, after {minutes:g} minutes.",
            )
        )
    command = f"t2i compare --data {data.name} --minutes {minutes:g} --clock {clock}"
    about = {"command": command, "data": data.card(), "minutes": minutes, "clock": clock}
    write_whole(folder / "comparison.json", json.dumps({**about, "rows": rows}, indent=2) + "\n")
    table, figure = comparison_table(rows, test, clock), comparison_figure(rows)
    write_whole(folder / "comparison.md", table.markdown())
    write_whole(folder / "comparison.png", plots.png(figure))
    return _report(folder, table, figure, pictures, command, test)


def _trained(
    entry: Entry,
    run: Path,
    data: LabelledImages,
    minutes: float,
    clock: str,
    seed: int,
    say: Callable[[str], None],
) -> tuple[Family, dict[str, Any]]:
    """The family as trained (its averaged weights), and what the training cost."""
    say(f"{entry.title}: {minutes:g} minutes of training.")
    runs.follow(
        entry.recipe, run, data, seed=seed, minutes=minutes, clock=clock,
        command=f"t2i train {entry.recipe} --data {data.name} --minutes {minutes:g}",
        stopped="The comparison was interrupted; the same command goes on with it.",
    )  # fmt: skip
    card = runs.card(run)
    cost = {key: card[key] for key in ("step", "trained_seconds", "cost", "precision")}
    return runs.load_family(run), cost


def _scored(
    run: Path,
    family: Family,
    evaluate: Callable[[], evaluation.Evaluation],
    how: dict[str, Any],
) -> dict[str, Any]:
    """The scores as JSON values: those on disk if they are of these weights, made this way."""
    path = run / "evaluation.json"
    key = {"weights": tensors_sha256(family.state_dict()), "how": how}
    if notes.kept(path, key=key) is None:
        evaluate().write(path, key=key)
    return dict(json.loads(path.read_text(encoding="utf-8")))


def comparison_table(rows: list[dict[str, Any]], test: LabelledImages, clock: str) -> report.Table:
    """The paper's columns first, then ours, then the paper's own rows."""
    cells: list[list[str | int | float]] = []
    for row in rows:
        scores, cost, draws = row["scores"], row["cost"], row["sampling"]
        value = {key: f"{score['value']:.3g}" for key, score in scores.items()}
        frechet = scores["frechet"]
        cells.append(
            [
                row["model"], value["frechet"], value["inception"],
                f"{row['trained_seconds'] / 60:.1f}", f"{cost['peak_memory_bytes'] / 2**30:.2f}",
                f"{frechet['value'] / frechet['floor']:.1f}",
                f"{scores['class_accuracy']['value']:.1%}", value["precision"], value["recall"],
                f"{scores['near_copies']['value']:.1%}",
                f"{1000 * draws['wall_seconds'] / row['images']:.2f}", f"{row['parameters']:,}",
            ]
        )  # fmt: skip
    cells += papers.first_rows(len(HEADER))
    floor = rows[0]["scores"]["frechet"]
    note = (
        f"Fréchet distance and Inception Score in {floor['features']} "
        f"{floor['features_sha256'][:6]} against {test.title}; floor {floor['floor']:.3g}. Minutes "
        f"of training are {'CPU' if clock == 'cpu' else 'wall'} minutes. {papers.NOTE}"
    )
    return report.Table(HEADER, cells, note)


def comparison_figure(rows: list[dict[str, Any]]) -> Figure:
    """The paper's figure 2 (Fréchet distance and Inception Score) and what it left out."""
    panels: dict[str, Any] = {}
    for key, title in (
        ("frechet", "Fréchet distance"),
        ("inception", "Inception Score"),
        ("class_accuracy", "class accuracy"),
        ("precision", "precision"),
        ("recall", "recall"),
    ):
        scores = [row["scores"][key] for row in rows]
        with_interval = all(score["low"] is not None for score in scores)
        ends = [[score["low"] for score in scores], [score["high"] for score in scores]]
        panels[title] = ([score["value"] for score in scores], ends if with_interval else None)
    each = [1000 * row["sampling"]["wall_seconds"] / row["images"] for row in rows]
    panels["sampling, ms an image"] = (each, None)
    logx = ("Fréchet distance", "sampling, ms an image")
    return plots.bar_panels([row["model"] for row in rows], panels, logx)


def _report(
    folder: Path,
    table: report.Table,
    figure: Figure,
    pictures: list[report.Picture],
    command: str,
    test: LabelledImages,
) -> Path:
    alt = "Bars for each model: Fréchet distance, Inception Score, class accuracy, precision, "
    sections = [
        report.Section(
            "Side by side",
            "Each family was trained for the same time on the same data, one after another.",
            [report.Picture(plots.png(figure), alt + "recall and time to sample an image.")],
            table,
            command=command,
        ),
        report.Section(
            "What they draw", "Each row is one label; nothing was chosen.", pictures,
            command=f"t2i sample {shown(folder / ENTRIES[2].recipe)}",
        ),
    ]  # fmt: skip
    what = "the package's drawn stand-in, not FashionMNIST" if test.stand_in else "FashionMNIST"
    intro = f"VAE, GAN and diffusion, conditioned on the class label of {what}, at equal time."
    return report.write(folder / "report.html", "Three families, side by side", intro, sections)
