"""The main job, end to end: sentences go in, pictures come out. `t2i demo`.

First from the weights that ship, at once; then from a CVAE, a GAN and a diffusion model that learn
from drawn and captioned shapes for a minute each; and a report with both.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from t2i_course import papers, profiles, prompting, runs, text_evaluation
from t2i_course.conditioning.clip import Clip
from t2i_course.contract import RowGenerator
from t2i_course.data.shapes import HELD_OUT
from t2i_course.data.words import KINDS
from t2i_course.models.diffusion import Diffusion
from t2i_course.places import shown
from t2i_course.show import plots, report

MODELS = {"CVAE": "cvae-shapes", "GAN": "gan-shapes", "diffusion": "diffusion-shapes"}
PROMPTS = (
    "a large yellow circle at the top left",
    "a small blue star at the bottom right",
    "three small green squares",
    "a small red circle above a large blue square",
    "a small yellow cross inside a large purple circle",
    "a large red triangle",
    "a large blue circle at the bottom",
    "a small green star to the left of a large black square",
)
COLUMNS = 3  # pictures of each model in the report's grids
FILMED = PROMPTS[3]
HEADER = (
    "model", "Fréchet distance", "Inception Score", "training, minutes", "peak memory, GB",
    "CLIP score", "one right", "one, held out", "two right", "two, held out",
    "sampling, ms an image", "parameters",
)  # fmt: skip


def demo(folder: Path, say: Callable[[str], None] = print) -> Path:
    """Draw from the shipped models, train three of one's own, score all, and write the report.

    Writes `first.png` and `report.html` into `folder`, and a run's folder for each model. A demo
    that was interrupted goes on.

    Returns:
        The report's path.

    Raises:
        T2IError: if a training was interrupted (it is saved) or something cannot be written.
    """
    clip = runs.load_clip(MODELS["diffusion"])
    first = {title: _drawn(name, clip) for title, name in MODELS.items()}
    path = prompting.write_picture(first["diffusion"][:, 0], folder / "first.png")
    say(f"Drawn by the shipped diffusion model: {shown(path)}")
    own = _trained(folder, say)
    say("Scoring what they draw.")
    rows = [_row(f"{title}, shipped", name, clip) for title, name in MODELS.items()]
    rows += [_row(f"{title}, one minute", run, clip) for title, run in own.items()]
    second = {title: _drawn(run, clip) for title, run in own.items()}
    return _report(folder, first, second, _film(MODELS["diffusion"], clip), rows)


def _trained(folder: Path, say: Callable[[str], None]) -> dict[str, Path]:
    """Train the three models for a minute each; their runs' folders."""
    data = runs.load_data("shapes", "train")
    length: dict[str, Any] = profiles.current().pick(
        smoke={"steps": 4}, laptop={"minutes": 1.0}, gpu={"minutes": 1.0}
    )
    for title, name in MODELS.items():
        say(f"{title}: a minute of training on {len(data):,} captioned drawings.")
        runs.follow(
            name, folder / name, data, command=f"t2i train {name} --minutes 1",
            stopped="The demo was interrupted; `t2i demo` goes on where it stopped.", **length,
        )  # fmt: skip
    return {title: folder / name for title, name in MODELS.items()}


def _drawn(model: str | Path, clip: Clip) -> Tensor:
    """What a model (see `runs.find`) draws for each of `PROMPTS`, `[P, COLUMNS, 3, H, W]`."""
    family = runs.load_family(model)
    settings = runs.sampling_settings(model, family, {})
    return prompting.draw(family, clip, PROMPTS, count=COLUMNS, settings=settings)


def _row(title: str, model: str | Path, clip: Clip) -> list[str | int | float]:
    """A row of the table: scores of a model, and what its training cost by its card."""
    count = profiles.current().pick(smoke=4, laptop=60, gpu=1000)
    family = runs.load_family(model)
    settings = runs.sampling_settings(model, family, {})
    result = text_evaluation.evaluate(family, clip, count, settings=settings)
    card, value = runs.card(model), {key: one.value for key, one in result.scores.items()}
    return [
        title, f"{value['frechet']:.3g}", f"{value['inception']:.3g}",
        f"{card['trained_seconds'] / 60:.1f}",
        f"{card['cost']['peak_memory_bytes'] / 2**30:.2f}", f"{value['clip_score']:.1f}",
        *(f"{value[f'{kind}: all']:.0%}" for kind in ("one", "one, held out", "two",
                                                      "two, held out")),
        f"{1000 * result.sampling.wall_seconds / result.images:.1f}", f"{result.parameters:,}",
    ]  # fmt: skip


def _film(model: str, clip: Clip) -> list[tuple[float, Tensor, Tensor]]:
    """How a diffusion model comes from noise to a picture: t, x_t and x_0 `[3, H, W]`
    in [0, 1], at each of its steps."""
    family = runs.load_family(model)
    assert isinstance(family, Diffusion)
    settings: Any = runs.sampling_settings(model, family, {"steps": 8})
    frames: list[tuple[float, Tensor, Tensor]] = []

    def watch(t: float, x_t: Tensor, x_0: Tensor) -> None:
        seen, expected = ((x[0].clamp(-1, 1) + 1) / 2 for x in (x_t, x_0))
        frames.append((t, seen, expected))

    condition = clip.encoder_for(family.settings)([FILMED])
    family.sample(condition, RowGenerator(0, "sample", rows=1), settings, watch=watch)
    return frames


def _grid(drawn: dict[str, Tensor], alt: str, caption: str) -> report.Picture:
    """Prompts down, families across."""
    images = torch.cat(list(drawn.values()), dim=1).flatten(0, 1)
    labels = [title if k == 0 else "" for title in drawn for k in range(COLUMNS)]
    figure = plots.grid(images, len(labels), row_labels=PROMPTS, column_labels=labels, scale=2)
    return report.Picture(plots.png(figure), alt, caption)


def _report(
    folder: Path,
    first: dict[str, Tensor],
    second: dict[str, Tensor],
    frames: list[tuple[float, Tensor, Tensor]],
    rows: list[list[str | int | float]],
) -> Path:
    pairs = ", ".join(f"{colour} {KINDS[kind][0][1]}" for colour, kind in sorted(HELD_OUT))
    film = plots.grid(
        torch.stack([x_t for _, x_t, _ in frames] + [x_0 for _, _, x_0 in frames]),
        len(frames), row_labels=["x_t", "expected x_0"],
        column_labels=[f"t = {t:.2f}" for t, _, _ in frames], scale=2,
    )  # fmt: skip
    rows = [*rows, *papers.first_rows(len(HEADER))]
    note = (
        "Fréchet distance, Inception Score and CLIP score in the features of the CLIP that read "
        "the prompts. Right: all that the prompt says, by the exact reader of the picture; held "
        f"out: with a pair of colour and kind that no training picture had. {papers.NOTE}"
    )
    sections = [
        report.Section(
            "From the weights that ship",
            "Each row is one prompt, which is all that the models were given. The last three "
            "prompts ask for what no training picture showed.",
            [_grid(first, "Pictures drawn for eight prompts by the shipped CVAE, GAN and diffusion "
                   "model, one prompt a row.", "Nothing was chosen.")],
            command=f't2i sample --prompt "{FILMED}" --out picture.png',
        ),
        report.Section(
            "From noise to a picture",
            f"The shipped diffusion model draws “{FILMED}” in {len(frames)} steps: above what it "
            "sees, below what it expects the picture to be.",
            [report.Picture(plots.png(film), f"A film strip from noise to what the model draws "
                            f"for “{FILMED}”, in {len(frames)} steps.")],
        ),
        report.Section(
            "After a minute of training",
            "The same models trained here, from nothing, for a minute each.",
            [_grid(second, "Pictures drawn for eight prompts by a CVAE, a GAN and a diffusion "
                   "model after a minute of training, one prompt a row.", "Nothing was chosen.")],
            command="t2i train diffusion-shapes --minutes 1",
        ),
        report.Section("How good they are", "", (), report.Table(HEADER, rows, note)),
        report.Section(
            "What was held out",
            f"No training picture shows {pairs}. A model that draws them has learned that colour "
            "and kind are two things.",
        ),
    ]  # fmt: skip
    intro = "A CVAE, a GAN and a diffusion model that draw what a sentence says."
    return report.write(folder / "report.html", "t2i-course: the demo", intro, sections)
