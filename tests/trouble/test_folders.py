"""Folders: a disk that is full, read-only or slow to allow, and paths of another system."""

import os
import subprocess
import sys

import pytest

from t2i_course.trouble import folders


def found(what):
    return [one for one in folders.findings() if one.what == what]


@pytest.fixture
def disk(tmp_path):
    """A function that mounts a small disk with options; skips where one may not."""
    mounted = []

    def mount(options):
        folder = tmp_path / f"disk{len(mounted)}"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        try:
            done = subprocess.run(command, capture_output=True)
        except FileNotFoundError:
            pytest.skip("no mount here")
        if done.returncode:
            pytest.skip("a disk can be mounted by root on Linux only")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_fatal_for_runs(monkeypatch, disk):
    folder = disk("size=1m")
    (folder / "filler").write_bytes(bytes(1_000_000))
    monkeypatch.setenv("T2I_RUNS", str(folder / "runs"))
    (one,) = found("runs")
    assert one.fatal and "No space left" in one.found and "T2I_RUNS" in one.mend
    assert os.listdir(folder) == ["filler"]


def test_a_disk_with_little_room_is_a_note(monkeypatch, disk):
    monkeypatch.setenv("T2I_RUNS", str(disk("size=16m")))
    (one,) = found("runs")
    assert not one.fatal and "Make room" in one.mend


def test_a_read_only_disk_is_fatal_for_runs_and_enough_for_data(monkeypatch, disk):
    folder = disk("size=1m")
    (folder / "FashionMNIST").mkdir()
    subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
    monkeypatch.setenv("T2I_RUNS", str(folder / "runs"))
    monkeypatch.setenv("T2I_DATA", str(folder))
    (one,) = found("runs")
    assert one.fatal and "Read-only" in one.found
    assert not found("data folder")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may everything")
def test_a_folder_without_permission_is_fatal(monkeypatch, tmp_path):
    tmp_path.chmod(0o555)
    monkeypatch.setenv("T2I_RUNS", str(tmp_path / "runs"))
    assert found("runs")[0].fatal
    tmp_path.chmod(0o755)


def test_what_the_system_says_is_what_is_told(monkeypatch, tmp_path):
    def denied(**options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(folders.tempfile, "TemporaryFile", denied)
    monkeypatch.setenv("T2I_DATA", str(tmp_path / "empty"))
    for what in ("runs", "data folder", "temporary"):
        assert "Permission denied" in found(what)[0].found


def test_a_file_in_the_place_of_the_runs_folder_is_fatal(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("T2I_RUNS", str(tmp_path / "file"))
    (one,) = found("runs")
    assert one.fatal and "is a file" in one.found


@pytest.mark.parametrize(
    ("value", "windows", "says"),
    [
        ('"C:\\data"', True, "quotes"),
        ("C:\\data ", True, "spaces"),
        ("C:\\course\\aux.runs", True, "device"),
        ("C:\\what?", True, "does not allow"),
        ("C:\\Users\\me\\OneDrive - School\\t2i", True, "OneDrive"),
        ("C:\\data", False, "/mnt/c/data"),
        ("d:/big/data", False, "/mnt/d/big/data"),
        ("home\\me", False, "Write / in"),
        ("~/data", False, "whole path"),
        ("~\\data", True, "whole path"),
    ],
)
def test_a_path_that_this_system_misreads_is_fatal(value, windows, says):
    (one,) = folders.spelling("T2I_DATA", value, windows)
    assert one.fatal and says in one.found + one.mend and repr(value) in one.found


@pytest.mark.parametrize(
    ("value", "windows"),
    [("", True), ("C:\\Users\\Zoë\\t2i", True), ("D:/t2i data", True), ("/home/me/d", False)],
)
def test_an_ordinary_path_is_well(value, windows):
    assert folders.spelling("T2I_DATA", value, windows) == []


def test_the_variables_themselves_are_looked_at(monkeypatch):
    monkeypatch.setenv("T2I_CACHE", "'somewhere'")
    assert "T2I_CACHE" in found("path")[0].found


def test_a_path_that_windows_finds_too_long_is_fatal_unless_long_ones_are_allowed(tmp_path):
    deep = tmp_path / ("x" * 200)
    (one,) = folders.lengths(deep, windows=True, long_allowed=False)
    assert one.fatal and "T2I_RUNS" in one.mend
    assert folders.lengths(deep, windows=True, long_allowed=True) == []
    assert folders.lengths(deep, windows=False) == []
    if sys.platform != "win32":
        assert folders.lengths(deep, windows=True) == []
