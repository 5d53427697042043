"""Notebooks: kernels that are written wrong, a package that is older than what lies beside it."""

import json
import sys
from pathlib import Path

import pytest

from t2i_course.trouble import notebooks

COURSE = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))


def write_kernel(folder: Path, program: str) -> None:
    folder.mkdir(parents=True)
    spec = {"argv": [program, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
            "display_name": "Python 3", "language": "python"}  # fmt: skip
    (folder / "kernel.json").write_text(json.dumps(spec))


def write_notebook(path: Path, *sources: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cells = [{"cell_type": "code", "source": source} for source in sources]
    path.write_text(json.dumps({"cells": cells}))
    return path


def test_a_kernel_of_this_python_is_well():
    (one,) = notebooks.kernel()
    assert not one.mend


@pytest.mark.parametrize(
    ("program", "says"),
    [("/no/such/venv/bin/python", "which is not there"), ("/usr/bin/env", "not in this Python")],
)
def test_a_kernel_of_another_python_is_fatal_and_names_its_folder(
    monkeypatch, tmp_path, program, says
):
    folder = tmp_path / "kernels" / "python3"
    write_kernel(folder, program)
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    (one,) = notebooks.kernel()
    assert one.fatal and program in one.found and says in one.found and str(folder) in one.mend
    assert one.command[1:4] == ("-m", "ipykernel", "install")


def test_a_kernel_that_says_only_python_is_this_one(monkeypatch, tmp_path):
    write_kernel(tmp_path / "kernels" / "python3", "python")
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    assert not notebooks.kernel()[0].mend


def test_no_kernel_at_all_is_fatal(monkeypatch):
    from jupyter_client import kernelspec

    def none(self, name):
        raise kernelspec.NoSuchKernel(name)

    monkeypatch.setattr(kernelspec.KernelSpecManager, "get_kernel_spec", none)
    assert notebooks.kernel()[0].fatal


def test_a_jupyter_of_another_python_on_the_path_is_a_note(monkeypatch, tmp_path):
    program = tmp_path / "jupyter-lab"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    found = [one for one in notebooks.findings(tmp_path / "here") if one.what == "jupyter"]
    if sys.platform != "win32":
        assert len(found) == 1 and "python -m jupyterlab" in found[0].mend


def test_notebooks_of_a_newer_course_are_fatal_and_say_what_is_lacking(tmp_path):
    write_notebook(tmp_path / "08_new.ipynb", "%matplotlib inline\nfrom t2i_course import hologram")
    (one,) = (one for one in notebooks.findings(tmp_path) if one.what == "notebooks")
    assert one.fatal and "t2i_course.hologram" in one.found and "copy-course" in one.mend


def test_only_names_that_the_package_lacks_are_told(tmp_path):
    path = write_notebook(
        tmp_path / "x.ipynb",
        "from t2i_course import runs as kept\nfrom t2i_course.models.vae import VAE, VQVAE",
        "kept.train\nkept.fly_away",
        "this is no Python",
        "from t2i_course.data import fashion\nfashion = {}\nfashion.items()",
    )
    lacking = list(notebooks.unknown_names(path))
    assert lacking == ["t2i_course.models.vae.VQVAE", "t2i_course.runs.fly_away"]


@pytest.mark.parametrize("path", COURSE, ids=lambda path: path.stem)
def test_the_courses_own_notebooks_ask_for_nothing_that_is_not_there(path):
    assert list(notebooks.unknown_names(path)) == []


def test_a_package_of_another_version_than_the_copied_notebooks_is_a_note(tmp_path):
    (tmp_path / notebooks.STAMP).write_text('{"version": "0.0.9", "files": {}}')
    (one,) = (one for one in notebooks.findings(tmp_path) if one.what == "notebooks")
    assert "0.0.9" in one.found and "copy-course" in one.mend and not one.fatal
    (tmp_path / notebooks.STAMP).write_text("damaged")
    assert not [one for one in notebooks.findings(tmp_path) if one.what == "notebooks"]


def test_a_package_from_elsewhere_than_the_checkout_is_fatal(tmp_path):
    (tmp_path / "t2i_course").mkdir()
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "t2i-course"\n')
    (tmp_path / "notebooks").mkdir()
    (one,) = (one for one in notebooks.findings(tmp_path / "notebooks") if one.mend)
    assert one.fatal and str(tmp_path) in one.found and one.command[-1] == str(tmp_path)


def test_a_learners_file_with_a_packages_name_is_fatal(tmp_path):
    (tmp_path / "torch.py").write_text("")
    (one,) = (one for one in notebooks.findings(tmp_path) if one.what == "name")
    assert one.fatal and "torch.py" in one.found
