"""The papers' experiments on photographs: each one call, resumable, the papers' numbers beside.

    epochs    the second paper's CVAE over epochs (its table 3, figures 3 and 6)
    latents   the same over latent dimensions (its table 4, figure 4)
    families  VAE, GAN and diffusion (the first paper's table 1 and figure 2)

An experiment's folder holds the runs and what was made of them: `scores.md`, `cost.md`,
`figure.png`, `samples.png` and, for a VAE, `reconstructions.png`. The scores depend on the seed
alone, so that a killed experiment, started again, ends with the same `scores.md` on the same
machine (unless it trains by the clock). The pictures stay in that folder: photographs have owners.
"""

import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from t2i_course import papers, photo_evaluation, recipes, runs
from t2i_course.conditioning.clip import Clip
from t2i_course.conditioning.text import TextModel
from t2i_course.contract import (
    require,
    tensors_sha256,
    write_whole,
)
from t2i_course.data.captioned import CaptionedImages
from t2i_course.metrics.inception import Inception
from t2i_course.metrics.score import Score
from t2i_course.models.vae import VAE
from t2i_course.show import plots, report
from t2i_course.training import notes

SHOWN = 8  # captions in samples.png
SCORES = {  # by short name, the title of a column and of a panel
    "fid": "FID",
    "inception": "Inception Score",
    "frechet": "Fréchet distance",
    "clip_score": "CLIP score",
    "retrieval": "caption found among 100",
    "near_copies": "near copies",
}
COST = (
    "training, minutes", "CPU minutes", "peak memory, GB", "of a GPU, GB", "sampling, ms an image",
    "parameters",
)  # fmt: skip
FAMILIES = {"VAE": "cvae-photos", "GAN": "gan-photos", "diffusion": "diffusion-photos"}


@dataclass(frozen=True)
class Experiment:
    """What all three experiments need.

    Args:
        folder: for the runs and the results.
        source: the photographs, see `data.photos.load`.
        judge: a CLIP that no model is conditioned on.
        text: what the models are conditioned on, see `texts.load`; None for the recipe's own.
        inception: for FID and the Inception Score; None does without.
        count: held-out captions that are drawn for a score.
        changes: of the recipes' settings, such as {"image_shape": (3, 64, 64)}.
        seed: of weights, training and draws.
        say: is told what goes on.
    """

    folder: Path
    source: str
    judge: Clip
    text: str | None = None
    inception: Inception | None = None
    count: int = 1000
    changes: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    say: Callable[[str], None] = print

    def epochs(self, recipe: str = "paper-cvae-coco", every: int = 50, stops: int = 6) -> Path:
        """Train one model for `stops` times `every` epochs and score it after each of them.

        Returns:
            `scores.md`.

        Raises:
            T2IError: if it was interrupted, or the folder holds an experiment of other settings.
        """
        require(every >= 1 and stops >= 1, f"every and stops are 1 or more, not {every}, {stops}.")
        run, rows = self.folder / recipe, {}
        steps = math.ceil(every * len(self._train_set(recipe)) / recipes.recipe(recipe).batch_size)
        row = max(n for n in range(1, 51) if steps % n == 0)  # a checkpoint is at a row of the log
        self._train(
            recipe, run, steps=stops * steps, checkpoint_every=steps, log_every=row, keep=stops
        )
        for stop in range(1, stops + 1):
            checkpoint = run / f"step-{stop * steps:06d}"
            rows[f"{stop * every} epochs"] = self._row(recipe, run, checkpoint)
        beside = {f"{epochs} epochs": pair for epochs, pair in papers.SECOND_TABLE_3.items()}
        return self._write("Over epochs", rows, beside, "the second paper's table 3")

    def latents(
        self,
        recipe: str = "paper-cvae-coco",
        latents: Sequence[int] = tuple(papers.SECOND_TABLE_4),
        **length: Any,
    ) -> Path:
        """Train and score one model for each latent dimension; `length` as `recipes.prepare` has
        it. See `epochs`."""
        rows = {}
        for latent_dim in latents:
            run = self.folder / f"{recipe}-{latent_dim}"
            self._train(recipe, run, {"latent_dim": latent_dim}, **length)
            rows[f"latent {latent_dim}"] = self._row(recipe, run, run)
        beside = {
            f"latent {latent_dim}": pair for latent_dim, pair in papers.SECOND_TABLE_4.items()
        }
        return self._write("Over latent dimensions", rows, beside, "the second paper's table 4")

    def families(self, **length: Any) -> Path:
        """Train and score the CVAE, the GAN and the diffusion model; `length` (equal minutes, as a
        rule) as `recipes.prepare` has it. See `epochs`."""
        rows = {}
        for title, recipe in FAMILIES.items():
            run = self.folder / recipe
            self._train(recipe, run, **length)
            rows[title] = self._row(recipe, run, run)
        return self._write("Three families", rows, {}, "")

    def _train_set(self, recipe: str) -> CaptionedImages:
        return photo_evaluation.sets_of(self.source, self._side(recipe))[0]

    def _side(self, recipe: str) -> int | None:
        return recipes.side(recipes.recipe(recipe), self.changes)

    def _train(
        self, recipe: str, run: Path, changes: Mapping[str, Any] | None = None, **how: Any
    ) -> None:
        """Train the recipe in the folder `run`, or go on with it."""
        data = self._train_set(recipe)
        self.say(f"{run.name}: training on {len(data):,} photographs of {data.title}.")
        runs.follow(
            recipe, run, data, reader=runs.reader_for(recipes.recipe(recipe), data, self.text),
            seed=self.seed, settings={**self.changes, **(changes or {})},
            command=f"an experiment: {run.name}",
            stopped="The experiment was interrupted; the same command goes on with it.", **how,
        )  # fmt: skip

    def _row(self, recipe: str, run: Path, checkpoint: Path) -> dict[str, Any]:
        """The scores of a checkpoint as JSON values: those on disk if they are of these weights,
        made this way. Beside them lies a strip of pictures."""
        family, reader = runs.load_family(checkpoint), runs.load_text(checkpoint)
        train, test = photo_evaluation.sets_of(self.source, self._side(recipe))
        settings, card = runs.sampling_settings(run, family, {}), runs.card(checkpoint)
        how = {
            "weights": tensors_sha256(family.state_dict()), "count": self.count, "seed": self.seed,
            "judge": self.judge.sha256, "settings": settings.to_dict(), "test": test.sha256,
            "inception": self.inception.sha256 if self.inception else None,
        }  # fmt: skip
        path = self.folder / f"{run.name}-{card['step']}.json"
        kept = notes.kept(path, how=how)
        if kept is not None and path.with_suffix(".png").is_file():
            return kept
        self.say(f"{run.name}: scoring what it draws after {card['step']:,} steps.")
        found = photo_evaluation.evaluate(
            family, reader, self.judge, train, test, self.count,
            seed=self.seed, settings=settings, inception=self.inception,
        )  # fmt: skip
        strip = found.images[:SHOWN].numpy()
        if isinstance(family, VAE):
            strip = np.concatenate([strip, _reconstructed(family, reader, test)])
        write_whole(path.with_suffix(".png"), _png(strip))
        row = {
            "how": how, "text": reader.title, "parameters": found.parameters,
            "minutes": card["trained_seconds"] / 60, "cost": card["cost"],
            "sampling_ms": 1000 * found.sampling.wall_seconds / self.count,
            "scores": {key: score.to_dict() for key, score in found.scores.items()},
            "strip": path.with_suffix(".png").name,
        }  # fmt: skip
        write_whole(path, json.dumps(row, indent=2) + "\n")
        return dict(json.loads(path.read_text(encoding="utf-8")))

    def _write(
        self,
        title: str,
        rows: Mapping[str, dict[str, Any]],
        beside: Mapping[str, tuple[float, float]],
        where: str,
    ) -> Path:
        """`scores.md`, `cost.md`, `figure.png`, `samples.png`, `reconstructions.png`."""
        keys = [key for key in SCORES if all(key in row["scores"] for row in rows.values())]
        cells: list[list[str | int | float]] = [
            [name, *(_cell(row["scores"][key]) for key in keys)] for name, row in rows.items()
        ]
        blank = ["not given"] * len(keys)
        paper = [
            [f"{name}, {where}", *_replaced(blank, keys, {"fid": fid, "clip_score": 100 * clip})]
            for name, (clip, fid) in beside.items()
        ] or [
            [f"{name}, the first paper, on COCO",
             *_replaced(blank, keys, {"fid": fid, "inception": inception})]
            for name, (fid, inception, _, _) in papers.FIRST_TABLE_1.items()
        ]  # fmt: skip
        first = next(iter(rows.values()))
        note = self._note(first, keys)
        table = report.Table([title, *(SCORES[key] for key in keys)], [*cells, *paper], note)
        write_whole(self.folder / "scores.md", table.markdown())
        cost = [
            [name, f"{row['minutes']:.1f}", f"{row['cost']['cpu_seconds'] / 60:.1f}",
             f"{row['cost']['peak_memory_bytes'] / 2**30:.2f}",
             f"{(row['cost']['peak_gpu_bytes'] or 0) / 2**30:.2f}", f"{row['sampling_ms']:.1f}",
             f"{row['parameters']:,}"]
            for name, row in rows.items()
        ]  # fmt: skip
        costs = papers.NOTE + " Its hours and GB: " + "; ".join(
            f"{name} {hours} and {memory}"
            for name, (_, _, hours, memory) in papers.FIRST_TABLE_1.items()
        )  # fmt: skip
        write_whole(
            self.folder / "cost.md", report.Table([title, *COST], cost, costs + ".").markdown()
        )
        panels: dict[str, Any] = {}
        for key in keys:
            scores = [row["scores"][key] for row in rows.values()]
            ends = [[score[end] for score in scores] for end in ("low", "high")]
            whole = all(score["low"] is not None for score in scores)
            panels[SCORES[key]] = ([score["value"] for score in scores], ends if whole else None)
        write_whole(self.folder / "figure.png", plots.png(plots.bar_panels(list(rows), panels)))
        self._pictures(rows)
        return self.folder / "scores.md"

    def _note(self, row: Mapping[str, Any], keys: Sequence[str]) -> str:
        """What the numbers are of, and between which two others they stand."""
        lines = []
        for key in keys:
            score = Score(**row["scores"][key])
            floor = "" if score.floor is None else f", floor {score.floor:.3g}"
            ceiling = "" if score.ceiling is None else f", ceiling {score.ceiling:.3g}"
            features = f" in {score.features} {score.features_sha256[:6]}" if score.features else ""
            lines.append(f"{SCORES[key]}{features}{floor}{ceiling}")
        about = f"{self.count:,} held-out captions of {self.source}, text by {row['text']}; first "
        missing = "" if self.inception else " No FID: Inception's weights were not at hand."
        return f"{about}row: {'; '.join(lines)}.{missing} {papers.NOTE}"

    def _pictures(self, rows: Mapping[str, dict[str, Any]]) -> None:
        """The strips of all rows below each other."""
        strips = [_strip(self.folder / row["strip"]) for row in rows.values()]
        samples = np.concatenate([strip[:SHOWN] for strip in strips])
        figure = plots.grid(samples / 255, SHOWN, row_labels=list(rows))
        write_whole(self.folder / "samples.png", plots.png(figure))
        again = {name: strip[SHOWN:] for name, strip in zip(rows, strips, strict=True)}
        again = {name: strip for name, strip in again.items() if len(strip)}
        if again:
            real, mine = next(iter(again.values()))[:SHOWN], [one[SHOWN:] for one in again.values()]
            figure = plots.grid(
                np.concatenate([real, *mine]) / 255, SHOWN, row_labels=["photograph", *again]
            )
            write_whole(self.folder / "reconstructions.png", plots.png(figure))


def _replaced(cells: list[str], keys: Sequence[str], known: Mapping[str, float]) -> list[str]:
    return [f"{known[key]:.4g}" if key in known else cell
            for key, cell in zip(keys, cells, strict=True)]  # fmt: skip


def _cell(score: Mapping[str, Any]) -> str:
    """The value with its interval, if it has one."""
    if score["low"] is None:
        return f"{score['value']:.3g}"
    return f"{score['value']:.3g} ({score['low']:.3g} to {score['high']:.3g})"


@torch.no_grad()
def _reconstructed(family: VAE, reader: TextModel, test: CaptionedImages) -> np.ndarray:
    """Photographs and what the model makes of them, uint8 `[2 SHOWN, 3, S, S]`."""
    x = test.pixels(slice(0, SHOWN))
    condition = reader.encoder_for(family.settings)([each[0] for each in test.captions[:SHOWN]])
    again = family.decode(family.encode(x, condition)[0], condition)
    return (torch.cat([x, again]) * 255).round().to(torch.uint8).numpy()


def _png(images: np.ndarray) -> bytes:
    """Images uint8 `[N, 3, S, S]` side by side, without loss."""
    file = io.BytesIO()
    Image.fromarray(np.concatenate(list(images.transpose(0, 2, 3, 1)), axis=1)).save(file, "PNG")
    return file.getvalue()


def _strip(path: Path) -> np.ndarray:
    """What `_png` wrote."""
    with Image.open(path) as picture:
        pixels = np.asarray(picture)
    return np.stack(np.split(pixels, pixels.shape[1] // pixels.shape[0], axis=1)).transpose(
        0, 3, 1, 2
    )
