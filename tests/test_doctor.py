"""The doctor: what is well, and the mend for what is not."""

import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

import jupyter_client
import pytest
from click.testing import CliRunner

from t2i_course import doctor, runs
from t2i_course.cli import cli
from t2i_course.errors import T2IError
from t2i_course.profiles import Profile, current
from t2i_course.trouble.finding import mend


def finding(what: str) -> doctor.Finding:
    return next(found for found in doctor.examine() if found.what == what)


def test_a_healthy_machine_has_nothing_fatal():
    result = CliRunner().invoke(cli, ["doctor"])
    assert result.exit_code == 0 and "MEND" not in result.output
    for what in ("python", "torch", "memory", "profile", "FashionMNIST", "zoo", "runs"):
        assert what in result.output


def test_a_missing_package_is_fatal_and_named_with_its_mend(monkeypatch):
    version = importlib.metadata.version

    def without(name):
        if name == "open_clip_torch":
            raise importlib.metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(importlib.metadata, "version", without)
    found = finding("open_clip_torch")
    assert found.fatal and "pip install open_clip_torch" in found.mend
    assert CliRunner().invoke(cli, ["doctor"]).exit_code == 1


def test_missing_data_names_the_folder_and_the_command(monkeypatch, tmp_path):
    monkeypatch.setenv("T2I_DATA", str(tmp_path))
    found = finding("FashionMNIST")
    assert str(tmp_path) in found.found and "t2i data fashion" in found.mend and not found.fatal


def test_an_unknown_profile_is_said_and_suggested(monkeypatch):
    monkeypatch.setenv("T2I_PROFILE", "labtop")
    assert "Did you mean 'laptop'" in finding("profile").found
    with pytest.raises(T2IError, match="Did you mean 'laptop'"):
        current()


def test_an_empty_zoo_is_fatal(monkeypatch, tmp_path):
    monkeypatch.setattr(runs, "ZOO", tmp_path)
    assert finding("zoo").fatal


def test_a_broken_torch_is_the_doctors_finding_and_not_its_end(tmp_path):
    (tmp_path / "torch.py").write_text("raise RuntimeError('broken on purpose')")
    code = "from t2i_course.doctor import examine; print(*examine(), sep='\\n')"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "cannot be imported with torchvision: broken on purpose" in done.stdout
    assert "is imported in place of torch" in done.stdout


def test_mending_runs_each_command_once_and_counts_what_fails():
    one = doctor.Finding("a", "wrong", "mend it", True, ("pip", "install", "a b"))
    well = doctor.Finding("b", "fine", "", False, ("never",))
    ran, said = [], []
    failed = mend([one, one, well], lambda command: ran.append(command) or 3, said.append)
    assert (failed, ran, said) == (1, [one.command], ["$ pip install 'a b'"])
    assert "t2i doctor --mend" in str(one) and "never" not in said


@pytest.mark.slow
def test_a_wrong_kernel_is_found_and_mended_by_the_command(tmp_path):
    """In an environment made for it: its kernel is of a Python that is gone."""
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "own"], check=True)
    own = tmp_path / "own"
    python = own / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    purelib = next(own.glob("[Ll]ib/**/site-packages"))
    borrowed = Path(jupyter_client.__file__).parents[1]
    (purelib / "borrowed.pth").write_text(f"{borrowed}\n{Path(doctor.__file__).parents[1]}\n")
    spec = own / "share" / "jupyter" / "kernels" / "python3" / "kernel.json"
    spec.parent.mkdir(parents=True)
    spec.write_text('{"argv": ["/gone/bin/python"], "display_name": "x", "language": "python"}')
    look = [python, "-c", "from t2i_course.trouble.notebooks import kernel; print(*kernel())"]
    before = subprocess.run(look, capture_output=True, text=True, check=True).stdout
    assert "/gone/bin/python, which is not there" in before
    code = (
        "import subprocess; from t2i_course.trouble import finding, notebooks\n"
        "run = lambda command: subprocess.run(command).returncode\n"
        "raise SystemExit(finding.mend(notebooks.kernel(), run, print))"
    )
    subprocess.run([python, "-c", code], check=True, capture_output=True)
    after = subprocess.run(look, capture_output=True, text=True, check=True).stdout
    assert "notebooks run in this Python" in after


def test_a_profile_picks_its_own_value(monkeypatch):
    picked = [Profile(name).pick(smoke=1, laptop=2, gpu=3) for name in ("smoke", "laptop", "gpu")]
    assert picked == [1, 2, 3] and current().name == "laptop"
    monkeypatch.setenv("T2I_PROFILE", "gpu")
    assert current().name == "gpu"
