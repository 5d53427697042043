"""The cell for Colab and Kaggle: the same in every notebook, and run as on such machines."""

import importlib.util
import json
import subprocess
import sys
import types
from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))


def first_cell(path: Path) -> str:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    (cell,) = (cell for cell in cells if "colab" in cell["metadata"].get("tags", []))
    assert cell is cells[1] and cell["outputs"] == []
    return "".join(cell["source"])


@pytest.fixture
def ran(monkeypatch, tmp_path):
    """The commands that the cell runs; the course is not installed."""
    commands = []
    monkeypatch.setattr(subprocess, "run", lambda command, check: commands.append(command))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.delenv("KAGGLE_KERNEL_RUN_TYPE", raising=False)
    monkeypatch.chdir(tmp_path)
    return commands


def test_it_is_the_same_in_every_notebook():
    assert len({first_cell(path) for path in NOTEBOOKS}) == 1


def test_elsewhere_it_does_nothing(ran):
    exec(first_cell(NOTEBOOKS[0]), {})
    assert ran == []


@pytest.mark.parametrize("place", ["colab", "kaggle"])
@pytest.mark.parametrize("folder", [".", "uploaded"])
def test_there_it_installs_the_wheel_without_what_it_needs_and_then_what_is_missing(
    ran, monkeypatch, tmp_path, place, folder
):
    if place == "colab":
        monkeypatch.setitem(sys.modules, "google.colab", types.ModuleType("google.colab"))
    else:
        monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Interactive")
    (tmp_path / folder).mkdir(exist_ok=True)
    wheel = tmp_path / folder / "t2i_course-0.1.0-py3-none-any.whl"
    wheel.write_text("")
    exec(first_cell(NOTEBOOKS[0]), {})
    install, rest = ran
    assert "--no-deps" in install and install[-1] == str(wheel.relative_to(tmp_path))
    assert rest[1:] == ["-m", "t2i_course.trouble.packages"]


def test_there_without_a_wheel_it_says_what_to_do(ran, monkeypatch):
    monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Interactive")
    with pytest.raises(AssertionError, match="Upload t2i_course"):
        exec(first_cell(NOTEBOOKS[0]), {})


def test_where_the_course_is_installed_it_does_nothing(ran, monkeypatch):
    monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Interactive")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    exec(first_cell(NOTEBOOKS[0]), {})
    assert ran == []
