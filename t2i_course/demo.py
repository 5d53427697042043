"""The main job, end to end: train, draw, evaluate, and a report to look at. `t2i demo`."""

from collections.abc import Callable
from pathlib import Path

from matplotlib.figure import Figure

from t2i_course import evaluation, profiles, recipes, runs
from t2i_course.contract import Family, T2IError
from t2i_course.data import fashion
from t2i_course.data.labelled import LabelledImages
from t2i_course.models.vae import CVAE
from t2i_course.places import shown
from t2i_course.sampling import INVALID, draw, label_rows
from t2i_course.show import plots, report
from t2i_course.training.engine import Run, train

COLUMNS = 12
RECIPE = "cvae-fashion"


def demo(folder: Path, say: Callable[[str], None] = print) -> Path:
    """Train the one-hot CVAE, draw from it, score it, and write `folder/report.html`.

    Uses FashionMNIST where it is there or can be downloaded, else the drawn stand-in, and says
    which. A run that was interrupted goes on.

    Returns:
        The report's path.

    Raises:
        T2IError: if the training was interrupted (it is saved) or something cannot be written.
    """
    source = _source(say)
    data, test = (fashion.load(split, source) for split in ("train", "test"))
    judge = runs.load_judge(source)
    recipe = recipes.recipe(RECIPE)
    model, settings = recipes.prepare(recipe, len(data))
    run_folder = folder / f"cvae-{source}"
    say(f"Training the one-hot CVAE on {data.title}: {settings.steps:,} steps.")
    profile = profiles.current()
    command = f"t2i train {RECIPE} --data {source} --run {shown(run_folder)}"
    if profile.name != "laptop":
        command = f"T2I_PROFILE={profile.name} {command}"
    runs.note(run_folder, recipe=RECIPE, source=source, command=command)
    run = train(model, data, settings, run_folder)
    if not run.finished:
        raise T2IError("The demo was interrupted; `t2i demo` goes on where it stopped.")
    assert isinstance(run.family, CVAE)
    samples = profile.pick(smoke=500, laptop=10_000, gpu=10_000)
    result = evaluation.evaluate(run.family, judge, data, test, samples=samples, progress=True)
    result.write(run_folder / "evaluation.json")
    return _report(folder / "report.html", run, result, data, test, command)


def _source(say: Callable[[str], None]) -> str:
    if fashion.asked_for() == "sketches":
        say("Data: the drawn stand-in, as asked for; not FashionMNIST.")
        return "sketches"
    if fashion.problem() is not None:
        say("FashionMNIST is not there yet: downloading it (30 MB).")
        try:
            fashion.download()
        except T2IError as error:
            say(f"{error}\nData: going on with the drawn stand-in; it is not FashionMNIST.")
            return "sketches"
    say("Data: FashionMNIST.")
    return "fashion"


def _report(
    path: Path,
    run: Run,
    result: evaluation.Evaluation,
    data: LabelledImages,
    test: LabelledImages,
    train_command: str,
) -> Path:
    model, log = run.family, run.log
    assert isinstance(model, CVAE) and run.folder is not None
    folder = shown(run.folder)
    drawn = report.Picture(
        plots.png(_drawn_grid(model, None)),
        f"Samples of the CVAE, {COLUMNS} of each of ten garments, one garment a row.",
        "Drawn by the model.",
    )
    images = test.pixels(test.each_class(COLUMNS).flatten())
    real = report.Picture(
        plots.png(plots.grid(images, COLUMNS, row_labels=test.classes)),
        f"Images of {test.title}, {COLUMNS} of each of ten garments, one garment a row.",
        f"For comparison: {test.title}.",
    )
    invalid = report.Picture(
        plots.png(_drawn_grid(model, INVALID)),
        "Samples for an all-zero, a uniform and a two-hot label vector, one vector a row.",
        "Drawn by the model for label vectors that no training image had.",
    )
    parts = {"reconstruction": "reconstruction", "kl": "KL", "loss": "their sum"}
    curves = report.Picture(
        plots.png(
            plots.curves(
                {name: (log["step"], log[f"cvae/{key}"]) for key, name in parts.items()},
                "step",
                "nats an image",
            )
        ),
        "The training loss and its two parts, reconstruction and KL, against the step.",
        "Means over 50 steps each.",
    )
    accuracy = report.Picture(
        plots.png(
            plots.bars(
                list(result.per_class),
                [100 * value for value in result.per_class.values()],
                xlabel="samples that the judge puts in the wanted class (%)",
            )
        ),
        "Bars: the class accuracy of the samples for each of the ten garments.",
        "Which garments the judge recognises.",
    )
    cost, draw_cost = run.cost, result.sampling.wall_seconds / result.images
    sections = [
        report.Section(
            "What it draws",
            "Each row is one label. Along a row only the latent z changes, down a column only the "
            "label. Below it, images of the test set.",
            [drawn, real],
            command=f"t2i sample {folder} --out grid.png",
        ),
        report.Section(
            "Labels it never saw",
            "The second paper's figure 5 has a class “Invalid”. Three vectors that are no label:",
            [invalid],
            command=f"t2i sample {folder} --label invalid --out invalid.png",
        ),
        report.Section(
            "How it learned",
            f"{run.step:,} steps in {cost.wall_seconds:.0f} seconds ({cost.cpu_minutes:.1f} CPU "
            f"minutes), at most {cost.peak_memory_bytes / 2**20:,.0f} MB of memory.",
            [curves],
            command=train_command,
        ),
        report.Section(
            "How good it is",
            f"{result.images:,} samples at {1000 * draw_cost:.2f} ms each; "
            f"{result.parameters:,} parameters.",
            [accuracy],
            score_table(result),
            command=f"t2i evaluate {folder} --samples {result.images}",
        ),
    ]
    what = "the package's drawn stand-in, not FashionMNIST" if data.stand_in else "FashionMNIST"
    intro = f"A conditional variational autoencoder with a one-hot label, trained on {what}."
    return report.write(path, "t2i-course: the demo", intro, sections)


def score_table(result: evaluation.Evaluation) -> report.Table:
    """The scores, each with its interval, its floor or ceiling, and what it was made with."""
    rows = []
    for score in result.scores.values():
        bound = f"floor {score.floor:.3g}" if score.floor is not None else ""
        bound = f"ceiling {score.ceiling:.3g}" if score.ceiling is not None else bound
        times = f"{score.times_floor:.1f}" if score.times_floor is not None else ""
        by = f"{score.features} {score.features_sha256[:6]}" if score.features else score.note
        value = f"{score.value:.4g}"
        if score.low is not None:
            value += f" ({score.low:.4g} to {score.high:.4g})"
        rows.append([score.name, value, bound, times, f"{score.samples:,}", by])
    header = ["score", "value", "real images", "times the floor", "images", "made with"]
    notes = {score.note for score in result.scores.values() if score.features and score.note}
    return report.Table(header, rows, "; ".join(sorted(notes)))


def _drawn_grid(model: Family, label: str | None) -> Figure:
    vectors, names = label_rows(label)
    return plots.grid(draw(model, vectors, COLUMNS), COLUMNS, row_labels=names)
