"""The command line, each command as a user types it."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from t2i_course import runs
from t2i_course.cli import cli
from t2i_course.contract import T2IError
from t2i_course.training import checkpoints, notes

T2I = [sys.executable, "-m", "t2i_course.cli"]


def t2i(*arguments: object) -> str:
    """The output of a command run in this process; its errors are raised."""
    result = CliRunner().invoke(cli, [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture
def sketches(monkeypatch):
    monkeypatch.setenv("T2I_STAND_IN", "1")
    monkeypatch.setenv("T2I_PROFILE", "smoke")


def test_help_is_there_for_every_command_and_imports_nothing_heavy():
    code = (
        "import sys; from click.testing import CliRunner; from t2i_course.cli import cli\n"
        "for words in ([], *([name] for name in cli.commands)):\n"
        "    result = CliRunner().invoke(cli, [*words, '--help'])\n"
        "    assert result.exit_code == 0 and len(result.output) > 150, (words, result.output)\n"
        "heavy = {'torch', 'torchvision', 'numpy', 'matplotlib', 'accelerate'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_importing_the_package_imports_nothing_else():
    code = (
        "import sys; before = set(sys.modules); import t2i_course\n"
        "print(sorted(name for name in set(sys.modules) - before if 't2i' not in name))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["trian", "x"], "Did you mean 'train'"),
        (["train", "cvae-fashon"], "Did you mean 'cvae-fashion'"),
        (["train", "cvae-fashion", "--data", "sketchs"], "Did you mean 'sketches'"),
        (["train", "cvae-fashion", "--set", "latents=3"], "Did you mean 'latent_dim'"),
        (["train", "cvae-fashion", "--set", "latent_dim"], "--set takes NAME=VALUE"),
        (["train", "cvae-fashion", "--precision", "bf61"], "bf16"),
        (["sample", "features-sketchs"], "Did you mean 'features-sketches'"),
        (["sample", "features-sketches"], "does not draw images"),
        (["evaluate", "no/such/run"], "There is no run and no checkpoint at"),
        (["data", "fashon"], "Did you mean 'fashion'"),
        (["train", "cvae-fashion", "--set", "latent_dim=two"], "latent_dim must be of type int"),
        (["train", "cvae-fashion", "--set", "latent_dim=2.5"], "latent_dim must be of type int"),
        (["train", "cvae-fashion", "--set", "latent_dim=true"], "latent_dim must be of type int"),
        (["train", "cvae-fashion", "--set", "hidden=99999999999"], "from 1 to 100,000"),
        (["train", "cvae-fashion", "--set", "image_shape=[1,28]"], "image_shape must be of type"),
        (["train", "cvae-fashion", "--run", "/proc/nowhere/run"], "/proc/nowhere"),
        (["sample", "cvae-fashion", "--out", "/"], "must end in .png"),
        (["sample", "cvae-fashion", "--out", "x.jpg"], "must end in .png"),
        (["evaluate", "cvae-fashion", "--data", "sketches", "--samples", "100", "--out", "/"], "/"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_exit_code_2(sketches, words, hint):
    done = subprocess.run([*T2I, *words], capture_output=True, text=True)
    assert done.returncode == 2
    assert hint in done.stderr and "Traceback" not in done.stderr


@pytest.mark.slow
def test_train_sample_evaluate_from_nothing(sketches, tmp_path):
    run = tmp_path / "run"
    t2i("train", "cvae-fashion", "--run", run, "--steps", 30, "--seed", 3, "--set", "latent_dim=5")
    assert runs.load(run).settings.latent_dim == 5
    noted = json.loads((run / "run.json").read_text())
    assert (noted["recipe"], noted["source"]) == ("cvae-fashion", "sketches")
    with pytest.raises(T2IError, match="holds another run"):
        t2i("train", "cvae-fashion", "--run", run, "--steps", 30, "--seed", 4)
    assert json.loads((run / "run.json").read_text()) == noted
    card = checkpoints.read_json(checkpoints.find(run), "card.json")
    assert card["step"] == 30 and card["cost"]["wall_seconds"] > 0
    pictures = [tmp_path / f"{i}.png" for i in range(3)]
    for picture, seed in zip(pictures, (1, 1, 2), strict=True):
        t2i("sample", run, "--label", "ankle boot", "--count", 4, "--seed", seed, "--out", picture)
    assert pictures[0].read_bytes() == pictures[1].read_bytes() != pictures[2].read_bytes()
    t2i("sample", run, "--out", tmp_path / "new" / "grid.png")
    t2i("sample", run, "--label", "invalid", "--out", tmp_path / "invalid.png")
    said = t2i("evaluate", run, "--samples", 100)
    for name in ("Fréchet distance", "Inception Score", "class accuracy", "negative ELBO", "floor"):
        assert name in said
    written = json.loads((run / "evaluation.json").read_text())
    assert written["scores"]["frechet"]["samples"] == 100
    assert (written["step"], written["trained_on"], written["seed"]) == (30, "sketches", 0)


def test_sample_into_a_place_that_cannot_be_written_leaves_nothing(sketches, tmp_path):
    t2i("train", "cvae-fashion", "--run", tmp_path / "run", "--steps", 1)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(T2IError, match="cannot be written"):
        t2i("sample", tmp_path / "run", "--out", tmp_path / "file" / "x.png")
    with pytest.raises(T2IError, match="Did you mean 'Sneaker'"):
        t2i("sample", tmp_path / "run", "--label", "Sneeker", "--out", tmp_path / "x.png")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "run"]


@pytest.mark.slow
def test_ctrl_c_saves_says_how_to_go_on_and_the_same_command_goes_on(sketches, tmp_path):
    command = [*T2I, "train", "vae-fashion", "--run", str(tmp_path / "run"), "--steps", "900"]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    log = tmp_path / "run" / "log.csv"
    deadline = time.monotonic() + 120
    while not (log.is_file() and log.stat().st_size > 100):
        assert running.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=60)
    assert running.returncode == 130 and "Traceback" not in err
    stopped = int(re.search(r"Stopped after step (\d+) of 900 and saved", out).group(1))
    assert "Run the same command" in out and 0 < stopped < 900
    assert checkpoints.read_json(checkpoints.find(tmp_path / "run"), "card.json")["step"] == stopped
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0 and "Trained" in done.stdout
    assert checkpoints.find(tmp_path / "run").name == "step-000900"


def test_a_training_can_start_from_another_models_weights(sketches, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    t2i("train", "cvae-fashion", "--run", first, "--steps", 30)
    for _ in range(2):  # the same command goes on, here with a run that has ended
        t2i("train", "cvae-fashion", "--run", second, "--steps", 1, "--from", first, "--seed", 7)
    weights = [runs.load(run).state_dict() for run in (first, second)]
    for name, value in weights[0].items():  # one step of Adam at 1e-3
        assert (weights[1][name] - value).abs().max() < 2e-3
    start = notes.noted(second)["start"]
    assert start["model"] == str(first) and start["step"] == 30 and start["trained_seconds"] > 0
    assert start["command"].startswith("t2i") and start["data"]["name"] == "sketches"
    third = tmp_path / "third"
    t2i("train", "cvae-fashion", "--run", third, "--steps", 1, "--from", second)
    assert notes.noted(third)["start"]["start"] == start
    for arguments, message in (
        (["--run", first, "--from", second], "started from fresh weights, not from"),
        (["--run", second, "--from", third], "started from .*first, not from .*third"),
        (["--from", first, "--set", "latent_dim=3"], "other sizes: latent_dim 20 there and 3 here"),
        (["--from", "clip-tiny"], "clip-tiny is a clip: a cvae cannot start from it"),
        (["--from", "clip-tin"], "Did you mean 'clip-tiny'"),
    ):
        with pytest.raises(T2IError, match=message):
            t2i("train", "cvae-fashion", "--run", tmp_path / "new", "--steps", 1, *arguments)


def test_a_model_does_not_go_on_with_another_readers_words(monkeypatch, tmp_path):
    monkeypatch.setenv("T2I_PROFILE", "smoke")
    t2i("train", "clip-tiny", "--steps", 1, "--batch-size", 16, "--run", tmp_path / "clip")
    with pytest.raises(T2IError, match="words of clip-tiny, and .* those of clip.*one --text"):
        t2i("train", "cvae-shapes", "--text", tmp_path / "clip", "--from", "cvae-shapes",
            "--run", tmp_path / "run", "--steps", 1)  # fmt: skip


@pytest.mark.slow
def test_demo_writes_a_whole_report_and_goes_on_from_what_is_there(monkeypatch, tmp_path):
    monkeypatch.setenv("T2I_PROFILE", "smoke")
    said = t2i("demo", "--out", tmp_path / "demo")
    assert "first.png" in said and (tmp_path / "demo" / "first.png").is_file()
    page = (tmp_path / "demo" / "report.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 3 and "red triangles" in page
    for word in ("t2i train diffusion-shapes", "t2i sample --prompt", "Fréchet distance",
                 "CVAE, shipped", "GAN, one minute", "first paper, on COCO"):  # fmt: skip
        assert word in page
    assert not re.search(r"(src|href)=\"http", page)
    again = t2i("demo", "--out", tmp_path / "demo")
    assert (tmp_path / "demo" / "diffusion-shapes" / "latest").is_file() and "report" in again


def test_data_says_what_is_there(tmp_path, monkeypatch):
    monkeypatch.setenv("T2I_DATA", str(tmp_path))
    said = t2i("data")
    assert str(tmp_path) in said and "t2i data fashion" in said and "sketches" in said


def test_shipping_makes_a_model_that_loads_and_scores_as_its_card_says(sketches, tmp_path):
    from t2i_course import evaluation, shipping
    from t2i_course.data import fashion

    t2i("train", "cvae-fashion", "--run", tmp_path / "run", "--steps", 30)
    folder = shipping.ship(tmp_path / "run", "mine", zoo=tmp_path / "zoo")
    card = checkpoints.read_json(folder, "card.json")
    assert card["command"].startswith("t2i")
    model = runs.load_family(folder)
    value, _ = evaluation.negative_elbo(model, fashion.load("test", "sketches"))
    assert value == pytest.approx(card["scores"]["negative_elbo"], rel=1e-3)
    assert (folder / "weights.safetensors").stat().st_size < 1_400_000


def test_shipped_models_keep_to_their_size_and_hash():
    files = [path for path in runs.ZOO.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 25_000_000
    assert all(path.stat().st_size <= 5_000_000 for path in files)
    for name in runs.zoo_names():
        card = checkpoints.read_json(runs.find(name), "card.json")
        assert {"command", "cost", "data", "files", "scores", "tolerance"} <= card.keys()
        runs.load(name)  # checks the hash


def test_running_as_a_module_is_the_same_program(tmp_path):
    done = subprocess.run([*T2I, "--version"], capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout.startswith("t2i, version")
    assert Path(os.path.dirname(sys.executable), "t2i").exists() or os.name == "nt"


def test_a_notebooks_training_is_its_own_in_every_setting_seed_and_data(tmp_path):
    from toys import tiny_cvae, tiny_images

    from t2i_course.models.vae import CVAE
    from t2i_course.training.settings import TrainSettings

    def folder(family=None, data=None, **changes):
        values = {"steps": 1, "batch_size": 8, "precision": "fp32"}
        settings = TrainSettings(**{**values, **changes})
        family, data = family or tiny_cvae(), data or tiny_images()
        return runs.train("x", family, data, settings, progress=False).folder

    first = folder()
    others = [
        folder(steps=2), folder(seed=1), folder(tiny_cvae(beta=2.0)),
        folder(CVAE(tiny_cvae().settings, seed=5)), folder(data=tiny_images()[10:]),
    ]  # fmt: skip
    assert folder() == first and len({first, *others}) == 6
    with pytest.raises(T2IError, match="not one of the package's families"):
        folder(type("Broken", (CVAE,), {})(tiny_cvae().settings))
