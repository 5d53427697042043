"""Checkpoints: what survives a kill, a full disk, a cut file and a stranger's pickle."""

import json
import os
import pickle
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from resumable import FAMILIES, settings
from toys import ToyGAN, tiny_cvae, tiny_images

from t2i_course import runs
from t2i_course.contract import T2IError
from t2i_course.training import checkpoints
from t2i_course.training.engine import train

HERE = Path(__file__).parent
STEPS = 23


def saved(tmp_path: Path, steps: int = 6) -> Path:
    train(tiny_cvae(), tiny_images(), settings(steps), tmp_path / "run", progress=False)
    return tmp_path / "run"


def in_another_process(*arguments: object, **options) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parent)])}
    command = [sys.executable, str(HERE / "resumable.py"), *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, **options)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "kill"),
    [("cvae", "step"), ("gan", "step"),
     ("cvae", "save:2:tensors"), ("cvae", "save:3:rename"), ("gan", "save:2:latest")],
)  # fmt: skip
def test_killed_and_resumed_ends_bit_for_bit_where_the_unbroken_run_does(tmp_path, family, kill):
    """SIGKILL at a random step, or in the middle of writing a checkpoint."""
    if kill == "step":
        kill = f"step:{random.randrange(1, STEPS)}"
    unbroken = train(
        FAMILIES[family](), tiny_images(), settings(STEPS), tmp_path / "a", progress=False
    )
    died = in_another_process(family, tmp_path / "b", STEPS, kill)
    assert died.returncode == -signal.SIGKILL, died.stderr
    resumed = train(
        FAMILIES[family](), tiny_images(), settings(STEPS), tmp_path / "b", progress=False
    )
    assert resumed.finished
    for name in ("weights", "ema", "optimizer"):
        a, b = (checkpoints.read_tensors(checkpoints.find(tmp_path / run), name) for run in "ab")
        assert a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a), (name, kill)
    for name in unbroken.log:
        assert name == "seconds" or unbroken.log[name] == resumed.log[name]
    assert not list((tmp_path / "b").glob(".writing*"))


@pytest.fixture
def small_disk(tmp_path):
    """A real disk of 300 kB, where the system lets us mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(folder)]
    try:
        done = subprocess.run(mount, capture_output=True, check=False)
    except OSError:
        pytest.skip("this system has no mount")
    if done.returncode:
        pytest.skip("mounting a small disk needs root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_while_saving_loses_nothing_that_was_saved(small_disk):
    run = small_disk / "run"
    train(tiny_cvae(hidden=64), tiny_images(), settings(5), run, progress=False)
    whole = checkpoints.find(run)
    before = {path.name: path.read_bytes() for path in whole.iterdir()}
    free = os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_bsize
    (small_disk / "filler").write_bytes(b"x" * (free - 20_000))
    with pytest.raises(T2IError, match=r"step 10 could not be written .*No space left") as error:
        _go_on(run)
    assert "step-000005 is whole and still the latest" in str(error.value)
    assert {path.name: path.read_bytes() for path in whole.iterdir()} == before
    assert sorted(path.name for path in run.iterdir()) == [
        ".lock", "latest", "log.csv", "step-000005"
    ]  # fmt: skip
    (small_disk / "filler").unlink()
    assert _go_on(run).name == "step-000010"
    assert runs.load(run).name == "cvae"


def _go_on(run: Path) -> Path:
    family = tiny_cvae(hidden=64)
    tensors = {"weights": family.state_dict(), "optimizer": {"x": torch.zeros(20_000)}}
    config = {"family": {"name": "cvae", "settings": family.settings.to_dict()}}
    return checkpoints.write(run, 10, tensors, config, {"step": 10})


def test_a_file_that_may_not_grow_is_an_error_and_loses_nothing(tmp_path):
    """The same without root: the system refuses files of more than a few kB."""
    resource = pytest.importorskip("resource")

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))

    done = in_another_process("cvae", tmp_path / "other", 5, preexec_fn=limit)
    assert done.returncode == 1 and "T2IError" in done.stderr
    assert "could not be written" in done.stderr and "No earlier one is there" in done.stderr
    assert sorted(path.name for path in (tmp_path / "other").iterdir()) == [".lock", "log.csv"]


@pytest.mark.parametrize("name", ["weights.safetensors", "config.json", "card.json"])
def test_a_file_that_was_cut_short_is_named(tmp_path, name):
    path = checkpoints.find(saved(tmp_path)) / name
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(T2IError, match=name):
        runs.load(tmp_path / "run", ema=False)


def test_a_single_changed_byte_is_found(tmp_path):
    path = checkpoints.find(saved(tmp_path)) / "weights.safetensors"
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    with pytest.raises(T2IError, match=r"weights\.safetensors is not the file that its card"):
        runs.load(tmp_path / "run", ema=False)


class Bomb:
    def __reduce__(self):
        return (os.mkdir, ("exploded",))


@pytest.mark.parametrize("name", ["model.pt", "model.pth", "model.bin", "model.ckpt", "model.pkl"])
def test_a_pickle_is_never_loaded(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "theirs"
    folder.mkdir()
    (folder / name).write_bytes(pickle.dumps(Bomb()))
    for path in (folder, folder / name):
        with pytest.raises(T2IError, match="pickle"):
            runs.load(path)
    run = saved(tmp_path)
    weights = checkpoints.find(run) / "weights.safetensors"
    weights.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(T2IError, match="weights.safetensors is cut short or damaged"):
        runs.load(run, ema=False)
    assert not (tmp_path / "exploded").exists()


def test_a_family_that_is_not_in_the_closed_table_is_not_built(tmp_path):
    path = checkpoints.find(saved(tmp_path)) / "config.json"
    path.write_text(path.read_text().replace('"name": "cvae"', '"name": "os.system"'))
    with pytest.raises(T2IError, match="no family named 'os.system'"):
        runs.load(tmp_path / "run")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.json", '{"format": 1, "family": null}'),
        ("config.json", '{"format": 1, "family": {"name": ["cvae"]}}'),
        ("config.json", '{"format": 1, "family": {"name": "cvae", "settings": 3}}'),
        ("config.json", '{"format": 1, "family": {"name": "cvae", "settings": {"hidden": 1e12}}}'),
        ("config.json", "[" * 100_000),
        ("config.json", "[1, 2]"),
        ("card.json", '{"files": null, "step": 1}'),
        ("card.json", '{"files": {}, "step": "three"}'),
    ],
)
def test_a_strangers_config_is_refused_in_a_sentence(tmp_path, name, content):
    (checkpoints.find(saved(tmp_path)) / name).write_text(content)
    with pytest.raises(T2IError):
        runs.load(tmp_path / "run")


@pytest.mark.parametrize("change", [{"cost": None}, {"cost": {"x": 1}}, {"precision": "fp8"}])
def test_a_card_that_cannot_be_resumed_from_is_an_error(tmp_path, change):
    path = checkpoints.find(saved(tmp_path)) / "card.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(T2IError, match="damaged"):
        train(tiny_cvae(), tiny_images(), settings(6), tmp_path / "run", progress=False)


def test_pruning_touches_nothing_but_checkpoints(tmp_path):
    run = tmp_path / "run"
    for name in ("step-notes", "step-000001-best", "pictures"):
        (run / name).mkdir(parents=True)
        (run / name / "mine.txt").write_text("mine")
    train(tiny_cvae(), tiny_images(), settings(17), run, progress=False)
    assert len(list(run.rglob("mine.txt"))) == 3
    kept = [path.name for path in run.glob("step-0000??")]
    assert sorted(kept) == ["step-000015", "step-000017"]


@pytest.mark.slow
def test_two_processes_do_not_train_in_one_folder(tmp_path):
    with checkpoints.alone_in(tmp_path / "run"):
        done = in_another_process("cvae", tmp_path / "run", 5)
    assert "Another process is training in" in done.stderr
    assert in_another_process("cvae", tmp_path / "run", 5).returncode == 0


def test_another_format_is_an_error_that_says_so(tmp_path):
    path = checkpoints.find(saved(tmp_path)) / "config.json"
    path.write_text(path.read_text().replace('"format": 1', '"format": 2'))
    with pytest.raises(T2IError, match="has format 2; this version of t2i_course reads 1"):
        runs.load(tmp_path / "run")


def test_latest_that_points_nowhere_or_outside_is_an_error(tmp_path):
    run = saved(tmp_path)
    for line in ("step-000999", "../run/step-000006", "", "..", "x" * 5000):
        (run / "latest").write_text(line + "\n")
        with pytest.raises(T2IError, match="not a checkpoint's folder beside it"):
            checkpoints.find(run)


def test_a_folder_without_a_checkpoint_says_what_to_do(tmp_path):
    with pytest.raises(T2IError, match="t2i train"):
        checkpoints.find(tmp_path / "nowhere")
    with pytest.raises(T2IError, match="holds no checkpoint"):
        checkpoints.find(tmp_path)


def test_loading_gives_the_weights_back_and_the_average_if_there_is_one(tmp_path):
    run = train(tiny_cvae(), tiny_images(), settings(6), tmp_path / "run", progress=False)
    own, averaged = runs.load(tmp_path / "run", ema=False), runs.load(tmp_path / "run")
    for name, value in run.family.state_dict().items():
        assert torch.equal(value, own.state_dict()[name])
        assert torch.equal(run.ema.shadow[name], averaged.state_dict()[name])
    assert own.settings == run.family.settings and not own.training


def test_optimizer_state_of_two_networks_is_kept_apart(tmp_path):
    train(ToyGAN(), tiny_images(), settings(6), tmp_path, progress=False)
    state = checkpoints.read_tensors(checkpoints.find(tmp_path), "optimizer")
    assert {key.split("/")[0] for key in state} == {"generator", "discriminator"}
    assert {key.split(".")[-1] for key in state} == {"step", "exp_avg", "exp_avg_sq"}
