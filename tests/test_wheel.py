"""The wheel: built from a copy of this tree, installed where no checkout is, and used."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NEEDED = ("pyproject.toml", "setup.py", "MANIFEST.in", "LICENSE", "README.md")
FOLDERS = ("t2i_course", "notebooks", "exercises", "assets")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built without a network, by the setuptools that is here."""
    tree = tmp_path_factory.mktemp("tree")
    for name in NEEDED:
        shutil.copy(ROOT / name, tree)
    for name in FOLDERS:
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints")
            shutil.copytree(ROOT / name, tree / name, ignore=ignored)
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "-w", out, tree], check=True, capture_output=True)
    (built,) = out.glob("*.whl")
    return built


def test_the_wheel_carries_weights_notebooks_and_no_solutions(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    for path in (ROOT / "t2i_course" / "zoo").rglob("*"):
        assert path.is_dir() or path.relative_to(ROOT).as_posix() in names
    for pattern in ("notebooks/*.ipynb", "exercises/*.ipynb", "README.md", "assets/*.png"):
        for path in ROOT.glob(pattern):
            assert f"t2i_course/course/{path.relative_to(ROOT).as_posix()}" in names
    for path in (ROOT / "t2i_course").rglob("*"):
        if path.suffix in (".py", ".toml", ".html", ".mplstyle") or path.name == "py.typed":
            assert path.relative_to(ROOT).as_posix() in names
    assert not [name for name in names if "solutions/" in name or name.startswith("tests/")]


@pytest.mark.slow
def test_an_installed_wheel_copies_the_course_and_draws(wheel, tmp_path):
    target = tmp_path / "installed"
    install = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", target, wheel]
    subprocess.run(install, check=True, capture_output=True)
    home = tmp_path / "home"
    home.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(target), "HOME": str(home)}
    environment.pop("T2I_DATA", None)

    def run(*words):
        command = [sys.executable, "-m", "t2i_course.cli", *map(str, words)]
        done = subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    said = run("copy-course", home / "course")
    assert "files written" in said
    for pattern in ("notebooks/*.ipynb", "exercises/*.ipynb"):
        for path in ROOT.glob(pattern):
            assert (home / "course" / path.relative_to(ROOT)).read_bytes() == path.read_bytes()
    where = [sys.executable, "-c", "import t2i_course; print(t2i_course.__file__)"]
    done = subprocess.run(where, cwd=home, env=environment, capture_output=True, text=True)
    assert Path(done.stdout.strip()).is_relative_to(target)
    run("sample", "cvae-fashion", "--label", "coat", "--count", 2, "--out", home / "coat.png")
    assert (home / "coat.png").stat().st_size > 500
