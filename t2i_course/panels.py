"""The widgets of `t2i_course.show.widgets`, filled with the shipped models, data and metrics.

A panel is shown by standing last in a notebook's cell:

    panels.prompt_box("diffusion-shapes")
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from t2i_course import alignment, background, prompting, runs, sampling
from t2i_course.contract import Condition, Family, RowGenerator, T2IError, require
from t2i_course.data.sketches import CLASSES
from t2i_course.diffusion import schedules
from t2i_course.diffusion.samplers import SAMPLERS
from t2i_course.metrics.frechet import Moments, frechet_distance
from t2i_course.models.diffusion import Diffusion, SampleSettings
from t2i_course.models.vae import CVAE
from t2i_course.show import widgets
from t2i_course.training import checkpoints, log

SHAPES = ("a large red circle", "two blue stars", "a small yellow star above a purple square")


def latent_walk(name: str | Path = "cvae-fashion", sliders: int = 4) -> widgets.Live:
    """Sliders over the latents of a one-hot CVAE that move its pictures most, and the label.

    Raises:
        T2IError: for a model that is no CVAE of FashionMNIST's labels.
    """
    cvae = runs.load_family(name)
    require(
        isinstance(cvae, CVAE) and cvae.settings.condition_dim == 10,
        f"{name} is no CVAE with a one-hot label: take cvae-fashion, or a run of that recipe.",
    )
    assert isinstance(cvae, CVAE)
    L = cvae.settings.latent_dim

    @torch.no_grad()
    def decode(z: Tensor, label: Tensor) -> Tensor:
        return cvae.decode(z.float(), Condition.of(torch.eye(10)[label]))

    # How far a pixel moves between z_i = −2 and z_i = 2, over all labels; unused latents move none.
    ends = 2 * torch.eye(L).repeat_interleave(10, dim=0)
    labels = torch.arange(10).repeat(L)
    effect = (decode(ends, labels) - decode(-ends, labels)).abs().flatten(1).mean(1)
    most = effect.view(L, 10).mean(1).argsort(descending=True)[:sliders]
    return widgets.latent_walk(
        lambda z, label: decode(torch.from_numpy(z)[None], torch.tensor([label]))[0],
        L, CLASSES, sorted(most.tolist()),
    )  # fmt: skip


def noise_schedule(images: Tensor) -> widgets.Live:
    """x_t of images `[N, C, H, W]` in [0, 1] on the course's three paths, for any time t."""
    x_0 = 2 * images - 1
    eps = RowGenerator("noise schedule", rows=len(x_0)).normal(*x_0.shape[1:])
    paths = {name: schedules.path(name) for name in schedules.PATHS}

    def noisy(name: str, t: float) -> Tensor:
        return ((schedules.q_sample(paths[name], x_0, t, eps) + 1) / 2).clamp(0, 1)

    def shares(name: str, times: np.ndarray) -> tuple[Tensor, Tensor]:
        c = paths[name].at(torch.from_numpy(times))
        return c.a, c.s

    return widgets.noise_schedule(noisy, shares, list(paths))


def sampler(name: str | Path = "diffusion-fashion") -> widgets.Live:
    """How a diffusion model of FashionMNIST's labels walks from noise to a picture.

    Guidance leads away from the prediction without a label. `T2IError` for another model.
    """
    model = runs.load_family(name)
    require(
        isinstance(model, Diffusion) and model.settings.condition_dim == 10,
        f"{name} is no diffusion model with a one-hot label: take diffusion-fashion.",
    )

    def sample(
        label: int, sampler: str, steps: int, w: float, seed: int, watch: Callable[..., None]
    ) -> Tensor:
        settings = SampleSettings(sampler=sampler, steps=steps, w=w)
        condition = Condition.of(torch.eye(10)[label : label + 1])
        return model.sample(  # type: ignore[call-arg]
            condition, RowGenerator(seed, "sample", rows=1), settings,
            watch=lambda t, x_t, x_0: watch(t, (x_t[0] + 1) / 2, (x_0[0] + 1) / 2),
        )[0]  # fmt: skip

    names = ["dpm-solver-2m", *(name for name in SAMPLERS if name != "dpm-solver-2m")]
    return widgets.sampler(sample, CLASSES, names)


def prompt_box(
    name: str | Path = "diffusion-shapes", prompt: str = "a small red star above a blue square"
) -> widgets.Live:
    """A line to type in; pictures by a text-to-image model, each with the exact reader's verdict.

    They are those of `t2i sample NAME --prompt`. `T2IError` for a model that reads no prompts.
    """
    model, reader = runs.load_family(name), runs.load_text(name)
    encoder = reader.encoder_for(model.settings)
    usual = runs.sampling_settings(name, model, {})

    def draw(
        prompt: str, count: int, w: float, seed: int, watch: Callable[[int, int], None]
    ) -> Tensor:
        reader.check([prompt])
        if not isinstance(model, Diffusion):
            return prompting.draw(model, reader, [prompt], count=count, seed=seed)[0]
        assert isinstance(usual, SampleSettings)
        settings, steps = replace(usual, w=w), iter(range(1, usual.steps + 1))
        return model.sample(
            encoder([prompt] * count), RowGenerator(seed, "sample", rows=count), settings,
            watch=lambda t, x_t, x_0: watch(next(steps), usual.steps),
        )  # fmt: skip

    def judge(image: np.ndarray, prompt: str) -> str:
        return prompting.said(torch.from_numpy(image).float(), prompt)

    def remark(prompt: str) -> str:
        words = ", ".join(repr(word) for word in reader.unknown_words(prompt))
        return f"{reader.name} never saw {words}: it spells, and guesses" if words else ""

    return widgets.prompt_box(draw, judge, prompt, remark, getattr(usual, "w", 1.0))


def metric_explorer() -> widgets.Live:
    """The Fréchet distance of a Gaussian in the plane that can be moved, to N(0, I)."""

    def moments(mean: np.ndarray, covariance: np.ndarray) -> Moments:
        exact = Moments(2)
        exact.count = 2  # the least that has a covariance, which is then the scatter itself
        exact.mean, exact.scatter = torch.from_numpy(mean), torch.from_numpy(covariance)
        return exact

    standard = moments(np.zeros(2), np.eye(2))
    return widgets.metric_explorer(
        lambda mean, covariance: frechet_distance(moments(mean, covariance), standard),
        lambda x, y: frechet_distance(
            Moments.of(torch.from_numpy(x)), Moments.of(torch.from_numpy(y))
        ),
    )


def training_monitor(run: str | Path | background.Beside) -> widgets.Live:
    """The losses and samples of a run, in this or another process, as it trains.

    Args:
        run: the run's folder (also of one that is still to begin), or what `background.train`
            returned; then there is a button that stops the training.
    """
    beside = run if isinstance(run, background.Beside) else None
    folder = beside.folder if beside else Path(str(run))

    def look() -> widgets.Sight:
        return sight(folder, beside)

    return widgets.training_monitor(
        look, lambda checkpoint: samples(folder / checkpoint), beside.stop if beside else None
    )


def sight(folder: Path, beside: background.Beside | None = None) -> widgets.Sight:
    """What there is to see of the run in a folder now; see `training_monitor`."""
    rows = log.read(folder / "log.csv")
    newest = checkpoints.latest(folder) if folder.is_dir() else None
    step, seconds = (rows[-1]["step"], rows[-1]["seconds"]) if rows else (0.0, 0.0)
    share, over = _share(newest, step, seconds) if newest else (None, False)
    if over:
        said = f"Finished: {step:,.0f} steps in {_time(seconds)}."
    elif beside is not None and not beside.running:
        said, over = f"The process has ended: {background.last_words(folder)}", True
    elif not rows:
        said = "Nothing to see yet: the first row of the log is still to come."
    else:
        said = f"Step {step:,.0f}" + (f" ({share:.0%})" if share is not None else "")
        first = rows[max(0, len(rows) - 10)]
        if seconds > first["seconds"]:
            rate = (step - first["step"]) / (seconds - first["seconds"])
            said += f", {rate:,.0f} steps a second" if rate >= 1 else f", {1 / rate:.1f} s a step"
        if share:
            said += f", about {_time(seconds * (1 - share) / share)} left"
        since = time.time() - (folder / "log.csv").stat().st_mtime
        said += f"; last row {_time(max(0, since))} ago."
    return widgets.Sight(log.columns(rows), said, over, newest.name if newest else "")


def _share(checkpoint: Path, step: float, seconds: float) -> tuple[float, bool]:
    """How much of a run is done by its log's last row, and whether the checkpoint is its end."""
    settings = checkpoints.read_json(checkpoint, "config.json")["training"]
    card = checkpoints.read_json(checkpoint, "card.json")
    if settings.get("steps"):
        return step / settings["steps"], card["step"] >= settings["steps"]
    whole = 60 * settings["minutes"]
    return min(1.0, seconds / whole), card.get("trained_seconds", 0.0) >= whole


def samples(checkpoint: Path) -> tuple[Tensor, Sequence[str]]:
    """A few images `[N, C, H, W]` of a checkpoint, and what they were asked to show; none of a
    model that does not draw, or of a checkpoint that has been replaced meanwhile."""
    try:
        model = runs.load(checkpoint)
        if not isinstance(model, Family):
            return torch.zeros(0, 1, 1, 1), []
        if not model.conditional:
            images = model.sample(Condition.none(8), RowGenerator("monitor", rows=8))
            return images, [f"{n}" for n in range(1, 9)]
        if getattr(model.settings, "condition_dim", None) == 10:
            return sampling.draw(model, torch.eye(10), 1), CLASSES
        encoder = runs.load_text(checkpoint).encoder_for(model.settings)
        return alignment.drawn(model, encoder, SHAPES), SHAPES
    except (T2IError, OSError):
        return torch.zeros(0, 1, 1, 1), []


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
