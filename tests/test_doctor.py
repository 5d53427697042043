"""The doctor: what is well, and the mend for what is not."""

import importlib.metadata

import pytest
from click.testing import CliRunner

from t2i_course import doctor, runs
from t2i_course.cli import cli
from t2i_course.errors import T2IError
from t2i_course.profiles import Profile, current


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


def test_a_runs_folder_that_cannot_be_written_is_fatal(monkeypatch, tmp_path):
    monkeypatch.setattr(doctor.os, "access", lambda path, mode: False)
    assert finding("runs").fatal and "T2I_RUNS" in finding("runs").mend


def test_a_file_in_the_place_of_the_runs_folder_is_fatal(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("T2I_RUNS", str(tmp_path / "file"))
    assert finding("runs").fatal and "is a file" in finding("runs").found


def test_an_empty_zoo_is_fatal(monkeypatch, tmp_path):
    monkeypatch.setattr(runs, "ZOO", tmp_path)
    assert finding("zoo").fatal


def test_a_profile_picks_its_own_value(monkeypatch):
    picked = [Profile(name).pick(smoke=1, laptop=2, gpu=3) for name in ("smoke", "laptop", "gpu")]
    assert picked == [1, 2, 3] and current().name == "laptop"
    monkeypatch.setenv("T2I_PROFILE", "gpu")
    assert current().name == "gpu"
