"""The command line, `t2i`. Nothing heavy is imported until a command needs it."""

import json
import shlex
import sys
from pathlib import Path
from typing import Any

import click

from t2i_course import __version__, cli_course, cli_data, cli_paper, cli_teach
from t2i_course.errors import T2IError
from t2i_course.places import picture, runs_root, shown
from t2i_course.recipes import RECIPES

FOLDERS = """
\b
T2I_DATA     where data is looked for (a cache folder in the home by default)
T2I_CACHE    where what is made of data is kept (a cache folder in the home by default)
T2I_RUNS     where runs are kept (the folder runs of the current one by default)
T2I_PROFILE  smoke, laptop (the default) or gpu: how big a run is
T2I_STAND_IN 1 to use the package's drawn garments in place of FashionMNIST
"""


@click.group(epilog=FOLDERS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="t2i")
def cli() -> None:
    """Text-to-image generation from scratch: train, draw and judge.

    Start with `t2i doctor` (what is this machine missing?) and `t2i demo` (everything once, with
    a report to look at).
    """


def main() -> None:
    """The entry point: an error that the user can put right is one sentence, and exit code 2."""
    try:
        cli()
    except T2IError as error:
        click.echo(f"t2i: {error}", err=True)
        sys.exit(2)
    except (OSError, MemoryError) as error:  # a folder that is a file, a disk that went away, …
        click.echo(f"t2i: {error or 'there is not enough memory for this'}", err=True)
        sys.exit(2)


@cli.command()
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the run and its report.")
def demo(out: Path | None) -> None:
    """Train the one-hot CVAE, draw, evaluate, and write report.html: under five minutes.

    Uses FashionMNIST where it is there or can be downloaded, else the drawn stand-in, and says
    which. Interrupted, the same command goes on.
    """
    from t2i_course.demo import demo as run_demo

    path = run_demo(out or runs_root() / "demo", say=click.echo)
    click.echo(f"The report: {shown(path)}")


SAMPLING = click.option(
    "--set", "changes", multiple=True, metavar="NAME=VALUE", help="A setting of the sampling."
)


class Gigabytes(click.ParamType):
    """Memory such as 8GB, 8 or 500MB, in GB."""

    name = "memory"

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        text = str(value).strip().upper().removesuffix("B").removesuffix("I")
        scale = 1.0 / 1024 if text.endswith("M") else 1.0
        try:
            return float(text.rstrip("MG")) * scale
        except ValueError:
            self.fail(f"write the memory as 8GB or 500MB, not {value!r}.", param, ctx)


def _recipe_help() -> str:
    return "\b\n" + "\n".join(f"{name:<20} {recipe.about}" for name, recipe in RECIPES.items())


@cli.command(epilog=_recipe_help())
@click.argument("name")
@click.option(
    "--run", type=click.Path(path_type=Path), help="The run's folder; by default runs/NAME."
)
@click.option(
    "--data", "source", help="fashion, sketches, shapes, coco, coco:0.1 or a folder with captions, "
    "in place of the recipe's.",
)  # fmt: skip
@click.option("--text", help="What reads the captions, such as clip-tiny; see `t2i data`.")
@click.option("--augment", help="How photographs are varied: flip,crop=0.7,jitter=0.2 or none.")
@click.option(
    "--from",
    "start",
    metavar="MODEL",
    help="Start from the weights of a run's folder or of a shipped model.",
)
@click.option("--epochs", type=click.IntRange(1), help="In place of the recipe's.")
@click.option("--steps", type=click.IntRange(1), help="In place of the recipe's epochs.")
@click.option(
    "--minutes", type=click.FloatRange(0, min_open=True), help="Of training, in place of epochs."
)
@click.option("--clock", help="What a minute is: wall (by default), or cpu, summed over cores.")
@click.option(
    "--seed", default=0, show_default=True, help="Of the weights and of all that is drawn."
)
@click.option("--batch-size", type=click.IntRange(1), help="Images a step, over all processes.")
@click.option("--micro-batches", type=click.IntRange(1), help="Parts of a batch, to save memory.")
@click.option(
    "--memory", type=Gigabytes(), metavar="8GB", help="In place of --micro-batches: a step of each "
    "network is measured, and the batch cut into as many parts as that asks for.",
)  # fmt: skip
@click.option("--precision", help="fp32, bf16, or auto: whichever is faster here.")
@click.option("--checkpoint-every", type=click.IntRange(1), help="Steps between checkpoints.")
@click.option("--log-every", type=click.IntRange(1), help="Steps between rows of log.csv.")
@click.option(
    "--set", "changes", multiple=True, metavar="NAME=VALUE", help="A setting of the model."
)
def train(
    name: str, run: Path | None, source: str | None, epochs: int | None, steps: int | None,
    minutes: float | None, seed: int, changes: tuple[str, ...], text: str | None,
    augment: str | None, start: str | None, **training: Any,
) -> None:  # fmt: skip
    """Train the recipe NAME, or go on with it where it was stopped.

    Ctrl-C saves and stops; the same command goes on. On several processes or machines:

        accelerate launch -m t2i_course.cli train NAME

    Examples:

    \b
        t2i train cvae-fashion
        t2i train cvae-fashion --set latent_dim=2 --epochs 12 --run runs/cvae-2
        t2i train clip-photos --data flickr8k
        t2i train diffusion-photos --data flickr8k --text clip-photos
        t2i train diffusion-shapes --from diffusion-shapes --minutes 10
    """
    from t2i_course import recipes, runs
    from t2i_course.data import augment as augmenting
    from t2i_course.data import fashion
    from t2i_course.starting import start_from
    from t2i_course.training import engine, notes

    recipe = recipes.recipe(name)
    if source is None and recipe.data == "fashion":
        source = fashion.asked_for()
    changed = dict(map(_setting, changes))
    varied = augmenting.parse(recipe.augment if augment is None else augment)
    data = runs.load_data(source or recipe.data, "train", recipes.side(recipe, changed))
    reader = runs.reader_for(recipe, data, text)
    if source is not None and data.name != recipe.data:
        click.echo(f"Data: {data.title}.")
    chosen = {key: value for key, value in training.items() if value is not None}
    model, settings = recipes.prepare(
        recipe, len(data), seed=seed, epochs=epochs, steps=steps, minutes=minutes,
        settings={**runs.sizes_for(recipe, data, reader), **changed}, **chosen,
    )  # fmt: skip
    seen = runs.data_for(model, data, reader, varied)
    folder = run or runs_root() / name
    before = {"start": start_from(start, model, seen, folder)} if start else {}
    command = shlex.join(["t2i", *sys.argv[1:]])
    notes.note(folder, recipe=name, source=data.name, command=command, **before)
    result = engine.train(model, seen, settings, folder)
    if not result.finished:
        sys.exit(130)
    click.echo(f"Trained: {shown(folder)}. Go on with `{runs.next_command(folder)}`.")


def _setting(change: str) -> tuple[str, Any]:
    name, equals, value = change.partition("=")
    if not equals:
        raise T2IError(f"--set takes NAME=VALUE, such as latent_dim=2, not {change!r}.")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


@cli.command()
@click.argument("run", required=False)
@click.option("--prompt", help="What the picture is to show, in words.")
@click.option(
    "--prompts", type=click.Path(path_type=Path), help="A text file, one prompt a line; --out is "
    "then a folder.",
)  # fmt: skip
@click.option("--model", help="In place of RUN: diffusion (the default), gan or cvae, as shipped.")
@click.option(
    "--clean", is_flag=True, help="Prepare prompts as the first paper does: no stop words."
)
@click.option("--label", help="A class's name or number, or `invalid`; by default every class.")
@click.option(
    "--count", type=click.IntRange(1, 100), help="Pictures a row; by default 12, of a prompt 1."
)
@click.option("--seed", default=0, show_default=True, help="The same seed draws the same images.")
@SAMPLING
@click.option(
    "--out", type=click.Path(path_type=Path), help="By default samples.png or the folder samples."
)
def sample(
    run: str | None, prompt: str | None, prompts: Path | None, model: str | None, clean: bool,
    label: str | None, count: int | None, seed: int, changes: tuple[str, ...], out: Path | None,
) -> None:  # fmt: skip
    """Draw images from RUN (a run's folder, a checkpoint, or a shipped model), or from a sentence.

    Examples:

    \b
        t2i sample cvae-fashion --set temperature=0.7
        t2i sample diffusion-fashion --label sandal --set w=2 --set steps=10
        t2i sample --prompt "a small red circle above a large blue square" --out picture.png
        t2i sample --prompts prompts.txt --model gan --out pictures
    """
    from t2i_course import runs

    if prompt is not None or prompts is not None:
        if label is not None or (prompt is not None and prompts is not None):
            raise T2IError("Give one of --prompt, --prompts and --label.")
        if run is not None and model is not None:
            raise T2IError(f"Give RUN or --model, not both {run!r} and {model!r}.")
        _sample_text(run or f"{model or 'diffusion'}-shapes", prompt, prompts, clean, count or 1,
                     seed, changes, out)  # fmt: skip
        return
    if run is None or model is not None:
        raise T2IError(
            "Say what to draw from, as in `t2i sample cvae-fashion`, or give a --prompt."
        )
    from t2i_course import sampling

    family = runs.load_family(run)
    settings = runs.sampling_settings(run, family, dict(map(_setting, changes)))
    where = out or Path("samples.png")
    path = sampling.draw_to_file(family, where, label, count or 12, seed, settings)
    click.echo(f"Drawn: {path}")


def _sample_text(
    run: str, prompt: str | None, file: Path | None, clean: bool, count: int, seed: int,
    changes: tuple[str, ...], out: Path | None,
) -> None:  # fmt: skip
    from t2i_course import prompting, runs

    texts = prompting.read_prompts(file) if file is not None else [prompt or ""]
    family = runs.load_family(run)
    clip = runs.load_text(run)
    for word in dict.fromkeys(word for text in texts for word in clip.unknown_words(text)):
        click.echo(f"{clip.name} never saw the word {word!r}: it spells it, and guesses.", err=True)
    settings = runs.sampling_settings(run, family, dict(map(_setting, changes)))
    drawings = runs.draws_shapes(run)  # which the exact reader reads
    if file is None:
        where = picture(out or Path("samples.png"))
    else:
        where = prompting.check_folder(out or Path("samples"))
    images = prompting.draw(
        family, clip, texts, count=count, seed=seed, settings=settings, cleaned=clean
    )
    if file is None:
        verdict = prompting.said(images[0, 0], texts[0]) if drawings else ""
        prompting.write_picture(images[0], where)
        click.echo(f"Drawn: {where}" + (f" (the exact reader: {verdict})" if verdict else ""))
    else:
        prompting.write_folder(images, texts, where, verdicts=drawings)
        click.echo(f"Drawn: {len(texts)} prompts, in {where}")


@cli.command()
@click.argument("run")
@click.option("--data", "source", help="By default what RUN was trained on.")
@click.option("--samples", default=10_000, show_default=True, type=click.IntRange(1))
@click.option("--seed", default=0, show_default=True, help="Of the samples.")
@click.option(
    "--judge", default="clip-judge", show_default=True,
    help="Of photographs: a CLIP that did not condition RUN.",
)  # fmt: skip
@SAMPLING
@click.option("--out", type=click.Path(path_type=Path), help="Where to write the scores as JSON.")
def evaluate(
    run: str, source: str | None, samples: int, seed: int, judge: str, changes: tuple[str, ...],
    out: Path | None,
) -> None:  # fmt: skip
    """Score RUN (a run's folder or a shipped model), each score with its floor or ceiling.

    Fréchet distance, KID, Inception Score, precision and recall in the features of a shipped
    classifier, class accuracy, near copies of training images and near duplicates, and the negative
    ELBO where the model has one. A model of photographs: Fréchet distance, CLIP score, and how
    often a picture's caption is found among 100, by the CLIP --judge; a model of drawn shapes: what
    the readers say. The scores also go to evaluation.json in the run's folder.
    """
    from t2i_course import alignment, evaluation, photo_evaluation, runs, text_evaluation
    from t2i_course.data import drawn, fashion

    family = runs.load_family(run)
    source = source or runs.trained_on(run)
    settings = runs.sampling_settings(run, family, dict(map(_setting, changes)))
    result: Any
    if runs.reads(run) and source in drawn.SOURCES:
        each = max(1, samples // len(alignment.KINDS_OF_PROMPTS))
        result = text_evaluation.evaluate(
            family, runs.load_text(run), min(1000, each), seed=seed, settings=settings
        )
    elif runs.reads(run):
        train, held_out = photo_evaluation.sets_of(source, family.image_shape[1])
        result = photo_evaluation.evaluate(
            family, runs.load_text(run), photo_evaluation.judge_of(judge), train, held_out,
            min(1000, samples, len(held_out)), seed=seed, settings=settings,
        )  # fmt: skip
    else:
        train_set, test = (fashion.load(split, source) for split in ("train", "test"))
        result = evaluation.evaluate(
            family, runs.load_judge(source), train_set, test,
            samples=samples, seed=seed, settings=settings, progress=True,
        )  # fmt: skip
    for score in result.scores.values():
        click.echo(str(score))
    out = out or (Path(run) / "evaluation.json" if Path(run).is_dir() else None)
    if out is not None:
        step = runs.card(run)["step"]
        result.write(out, run=run, step=step, trained_on=runs.trained_on(run))
        click.echo(f"Written: {out}")


@cli.command()
@click.option("--data", "source", help="fashion or sketches.", default="fashion", show_default=True)
@click.option(
    "--minutes",
    default=5.0,
    show_default=True,
    type=click.FloatRange(0, min_open=True),
    help="Of training, for each family.",
)
@click.option(
    "--clock",
    default="wall",
    show_default=True,
    help="What a minute is: wall, or cpu (60 seconds of process time over all cores).",
)
@click.option("--samples", default=10_000, show_default=True, type=click.IntRange(1))
@click.option("--seeds", default=5, show_default=True, type=click.IntRange(1), help="Of sampling.")
@click.option("--seed", default=0, show_default=True, help="Of the weights and the training.")
@click.option(
    "--out", type=click.Path(path_type=Path), help="Its folder; by default runs/compare-DATA."
)
def compare(source: str, out: Path | None, **how: Any) -> None:
    """Train VAE, GAN and diffusion for equal time, score them, and write one table and one figure.

    The first paper's comparison (its table 1 and figure 2), by class label. Interrupted, the same
    command goes on where it was.
    """
    from t2i_course.compare import compare as run_compare

    path = run_compare(
        out or runs_root() / f"compare-{source}", source=source, say=click.echo, **how
    )
    click.echo((path.parent / "comparison.md").read_text(encoding="utf-8"))
    click.echo(f"The report: {shown(path)}")


@cli.command(hidden=True)
@click.argument("run")
@click.argument("name")
@click.option("--tolerance", default=0.1, help="By how much a remade model's scores may differ.")
def ship(run: str, name: str, tolerance: float) -> None:
    """For maintainers: put RUN into the package's zoo as NAME, in half precision, with its card."""
    from t2i_course import shipping

    click.echo(f"Shipped: {shipping.ship(Path(run), name, tolerance)}")


cli.add_command(cli_data.data)
cli.add_command(cli_paper.paper)
cli.add_command(cli_course.doctor)
cli.add_command(cli_course.copy_course)
cli.add_command(cli_teach.release)
cli.add_command(cli_teach.grade)

if __name__ == "__main__":
    main()
