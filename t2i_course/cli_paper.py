"""The command `t2i paper`. Nothing heavy is imported until it is needed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from t2i_course.places import runs_root, shown


@click.group()
def paper() -> None:
    """The two papers' experiments on photographs, with their numbers beside yours.

    Each is one command. Interrupted, the same command goes on where it was. A CLIP of your own
    judges what is drawn: train it first by `t2i train clip-judge --data DATA`. FID and the
    Inception Score take Inception's weights, which are fetched, or named in T2I_INCEPTION.
    """


def _options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What all experiments take."""
    for option in (
        click.option("--data", "source", default="coco:0.1", show_default=True,
                     help="The photographs: coco, coco:0.1 or a folder with captions."),
        click.option("--text", help="What reads the captions; by default the recipe's."),
        click.option("--judge", default="clip-judge", show_default=True,
                     help="The CLIP that judges: a run, or an open_clip model/weights."),
        click.option("--no-inception", is_flag=True, help="Do without FID and Inception Score."),
        click.option("--count", default=1000, show_default=True, type=click.IntRange(100),
                     help="Held-out captions to draw for a score."),
        click.option("--size", type=click.IntRange(8), help="Pixels a side, not the recipe's."),
        click.option("--seed", default=0, show_default=True, help="Of all that is drawn."),
        click.option("--out", type=click.Path(path_type=Path), help="The experiment's folder."),
    ):  # fmt: skip
        command = option(command)
    return command


RECIPE = click.option("--recipe", default="paper-cvae-coco", show_default=True)


@paper.command()
@_options
@RECIPE
@click.option("--every", default=50, show_default=True, type=click.IntRange(1), help="Epochs.")
@click.option("--stops", default=6, show_default=True, type=click.IntRange(1))
def epochs(recipe: str, every: int, stops: int, **common: Any) -> None:
    """The second paper's table 3: the long-text CVAE over epochs."""
    _say(_experiment("epochs", **common).epochs(recipe, every, stops))


@paper.command()
@_options
@RECIPE
@click.option("--latent", "latents", multiple=True, type=click.IntRange(1),
              default=(128, 256, 512, 1024), show_default=True)  # fmt: skip
@click.option("--epochs", type=click.IntRange(1), help="Of each training; by default the recipe's.")
def latents(recipe: str, latents: tuple[int, ...], epochs: int | None, **common: Any) -> None:
    """The second paper's table 4: the same over latent dimensions."""
    _say(_experiment("latents", **common).latents(recipe, latents, epochs=epochs))


@paper.command()
@_options
@click.option("--minutes", type=click.FloatRange(0, min_open=True), help="For each family.")
@click.option("--clock", default="wall", show_default=True, help="What a minute is: wall or cpu.")
@click.option("--epochs", type=click.IntRange(1), help="In place of minutes.")
def families(minutes: float | None, clock: str, epochs: int | None, **common: Any) -> None:
    """The first paper's table 1: VAE, GAN and diffusion, side by side."""
    length: dict[str, Any] = {"epochs": epochs}
    if epochs is None:
        length = {"minutes": minutes or 60.0, "clock": clock}
    _say(_experiment("families", **common).families(**length))


def _experiment(
    name: str, source: str, judge: str, no_inception: bool, size: int | None, out: Path | None,
    **how: Any,
) -> Any:  # fmt: skip
    from t2i_course import photo_evaluation
    from t2i_course.experiments import Experiment
    from t2i_course.metrics import inception

    return Experiment(
        folder=out or runs_root() / f"paper-{name}",
        source=source,
        judge=photo_evaluation.judge_of(judge),
        inception=None if no_inception else inception.load(),
        changes={} if size is None else {"image_shape": (3, size, size)},
        say=click.echo,
        **how,
    )


def _say(table: Path) -> None:
    click.echo(table.read_text(encoding="utf-8"))
    click.echo(f"Pictures, costs and figure: {shown(table.parent)}.")
