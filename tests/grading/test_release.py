"""`t2i release`: exercises follow from solutions byte for byte and hold nothing of the answers."""

import copy
import json
import sys

import nbformat
import pytest
from click.testing import CliRunner
from solved import ROOT, SOLUTIONS, solved

from t2i_course.cli import cli
from t2i_course.errors import T2IError
from t2i_course.grading import release

each_solution = pytest.mark.parametrize("path", SOLUTIONS, ids=lambda path: path.stem[:4])


@pytest.fixture
def small(tmp_path):
    """A folder with the first cells of one solution notebook, and the notebook as a value."""
    folder = tmp_path / "solutions"
    folder.mkdir()
    source = next(path for path in SOLUTIONS if path.stem.startswith("ex02"))
    notebook = json.loads(source.read_text(encoding="utf-8"))

    def write(notebook=notebook, name=source.name):
        (folder / name).write_text(json.dumps(notebook), encoding="utf-8")
        return folder

    return notebook, write


@each_solution
def test_the_exercise_is_what_its_solution_gives(path):
    exercise = ROOT / "exercises" / path.name
    assert exercise.is_file(), "run `t2i release`"
    assert exercise.read_bytes() == release.exercise_text(path).encode(), "run `t2i release`"


def test_there_is_no_exercise_without_its_solution():
    there = {path.name for path in (ROOT / "exercises").iterdir()}
    assert there == {path.name for path in SOLUTIONS}


@each_solution
def test_an_exercise_holds_nothing_of_the_answers(path):
    for variant in (1, 2):
        text = release.exercise_text(path, variant)
        notebook = nbformat.reads(text, as_version=4)
        nbformat.validate(notebook)
        for word in (
            "BEGIN SOLUTION",
            "HIDDEN TESTS",
            "hidden_seed()",
            '"t2i"',
            "-v2",
            "instructor",
        ):
            assert word not in text, word
        sources = {cell.id: cell.source for cell in notebook.cells}
        for one in solved(path):
            written = sources[one.name]
            assert written.count(release.CODE_STUB) == 1
            inside = one.source.split(release.SOLUTION[0])[1].split(release.SOLUTION[1])[0]
            for line in filter(None, map(str.strip, inside.splitlines())):
                long_enough = len(line) > 12  # "]" or "return x" may stand elsewhere
                assert not (long_enough and line in written), line
        prose = [
            c for c in notebook.cells if c.cell_type == "markdown" and "nbgrader" in c.metadata
        ]
        assert prose and all(cell.source == release.TEXT_STUB for cell in prose)


@each_solution
def test_checks_are_locked_and_ids_are_the_sources(path):
    source = json.loads(path.read_text(encoding="utf-8"))
    notebook = nbformat.reads(release.exercise_text(path), as_version=4)
    kept = [
        cell["id"] for cell in source["cells"]
        if cell["metadata"].get("t2i", {}).get("variant", 1) == 1
        and "instructor" not in cell["metadata"].get("tags", [])
    ]  # fmt: skip
    assert [cell.id for cell in notebook.cells] == kept
    for cell in notebook.cells:
        if cell.metadata.get("nbgrader", {}).get("locked"):
            assert cell.metadata.editable is False and cell.metadata.deletable is False
            assert cell.metadata.nbgrader.points > 0


@each_solution
def test_run_all_goes_on_after_a_check_and_nbgrader_gives_an_error_no_points(path):
    from nbgrader.utils import determine_grade

    notebook = nbformat.reads(release.exercise_text(path), as_version=4)
    tagged = [c for c in notebook.cells if "raises-exception" in c.metadata.get("tags", [])]
    assert [cell.id for cell in tagged] == [f"{one.name}-check" for one in solved(path)
                                            if one.variant == 1]  # fmt: skip
    for cell in tagged:
        most = cell.metadata.nbgrader.points
        assert determine_grade(cell) == (most, most)
        cell.outputs = [nbformat.v4.new_output("error", ename="NotYet", evalue="", traceback=[])]
        assert determine_grade(cell) == (0, most)


def test_files_are_the_same_bytes_at_each_run_and_of_no_machine(tmp_path, small):
    notebook, write = small
    notebook = copy.deepcopy(notebook)
    first = release.release(write(notebook), tmp_path / "a")[0].read_bytes()
    notebook["metadata"]["kernelspec"] = {
        "name": "t2i",
        "display_name": "mine",
        "language": "python",
    }
    notebook["metadata"]["language_info"] = {"name": "python", "version": "3.99.1"}
    notebook["cells"][1]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": ["a"]}]
    notebook["cells"][1]["execution_count"] = 7
    second = release.release(write(notebook), tmp_path / "b")[0].read_bytes()
    assert first == second
    assert first.endswith(b"}\n") and b"\r" not in first and b"3.99" not in first
    assert json.loads(first)["metadata"] == release.KERNEL


def test_a_second_variant_takes_the_place_of_the_first():
    path = next(path for path in SOLUTIONS if path.stem.startswith("ex02"))
    first, second = (
        {c.id: c.source for c in nbformat.reads(release.exercise_text(path, v), 4).cells}
        for v in (1, 2)
    )
    assert list(first) == list(second)
    assert second["ex02-kl-check"] == "ex02.check_kl(kl, variant=2)"
    assert "s: float" in second["ex02-kl"] and "s: float" not in first["ex02-kl"]
    assert first["ex02-vae_loss"] == second["ex02-vae_loss"]  # it has one variant


def test_with_solutions_nbgrader_gets_one_variant_of_each_task_and_all_of_its_tests(
    tmp_path, small
):
    _, write = small
    path = release.release(write(), tmp_path / "source", 2, with_solutions=True)[0]
    notebook = nbformat.read(path, as_version=4)
    ids = [c.metadata.nbgrader.grade_id for c in notebook.cells if "nbgrader" in c.metadata]
    assert len(ids) == len(set(ids)) > 5
    text = path.read_text(encoding="utf-8")
    assert text.count("BEGIN SOLUTION") == sum("check" not in each for each in ids)
    assert text.count("BEGIN HIDDEN TESTS") == sum("check" in each for each in ids)


def test_a_variant_that_nobody_has_is_an_error(tmp_path, small):
    _, write = small
    with pytest.raises(T2IError, match=r"No task has a variant 9\. Known: 1, 2"):
        release.release(write(), tmp_path / "out", 9)
    assert not (tmp_path / "out").exists()


def test_without_nbgrader_the_command_that_installs_it_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "nbgrader.preprocessors", None)
    with pytest.raises(T2IError, match=r"pip install .*\[teach\]"):
        release.exercise_text(SOLUTIONS[0])


def spoil(cell_id, change):
    def spoilt(notebook):
        cell = next(cell for cell in notebook["cells"] if cell["id"] == cell_id)
        cell["source"] = "".join(cell["source"])
        change(cell, notebook["cells"])

    return spoilt


def replace(old, new):
    return lambda cell, cells: cell.update(source=cell["source"].replace(old, new))


def source(text):
    return lambda cell, cells: cell.update(source=text)


def marks(**values):
    return lambda cell, cells: cell["metadata"]["nbgrader"].update(values)


BROKEN = {
    "no fence": ("ex02-kl", replace("### BEGIN SOLUTION", "")),
    "fences in the wrong order": ("ex02-kl", replace("### END", "### BEGIN")),
    "a fence misspelt": ("ex02-kl", replace("### BEGIN SOLUTION", "# BEGIN SOLUTION")),
    "a solution in a cell for nobody": ("ex02-imports", source("\n".join(release.SOLUTION))),
    "no hidden test": ("ex02-kl-check", source("ex02.check_kl(kl)")),
    "no points": ("ex02-kl-check", marks(points=0)),
    "another grade_id": ("ex02-kl", marks(grade_id="ex02-other")),
    "an old schema": ("ex02-kl", marks(schema_version=2)),
    "not locked": ("ex02-kl-check", lambda cell, cells: cell["metadata"]["nbgrader"].pop("locked")),
    "another exercise's id": ("ex02-title", lambda cell, cells: cell.update(id="ex03-title")),
    "an id twice": ("ex02-kl-text", lambda cell, cells: cell.update(id="ex02-kl-check")),
    "no text before": ("ex02-kl-text", lambda cell, cells: cells.remove(cell)),
    "no check after": ("ex02-kl-check", lambda cell, cells: cells.remove(cell)),
    "a variant without its mark": ("ex02-kl-v2", lambda cell, cells: cell.update(id="ex02-kl-b")),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_a_notebook_that_breaks_the_form_is_named_with_its_cell(name, small, tmp_path):
    notebook, write = small
    notebook = copy.deepcopy(notebook)
    spoil(*BROKEN[name])(notebook)
    with pytest.raises(T2IError, match=r"^(.*/)?ex02_vae\.ipynb\b.*(cell ex0\d-|read)"):
        release.release(write(notebook), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[]", b'{"cells": []}'])
def test_a_file_that_is_no_notebook_is_named(content, tmp_path):
    (tmp_path / "ex02_vae.ipynb").write_bytes(content)
    with pytest.raises(T2IError, match=r"ex02_vae\.ipynb"):
        release.release(tmp_path, tmp_path / "out")


def test_the_command_says_what_it_made_and_what_is_wrong(tmp_path, small, monkeypatch):
    _, write = small
    folder = write()
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(cli, ["release", "--variant", "2"])
    assert result.output == "Released: 1 notebooks, in exercises.\n"
    assert (tmp_path / "exercises" / "ex02_vae.ipynb").is_file()
    before = (folder / "ex02_vae.ipynb").read_bytes()
    for args, words in (
        (["--out", "solutions"], "would overwrite"),
        (["--solutions", "nowhere"], "no solution notebook"),
    ):
        result = CliRunner().invoke(cli, ["release", *args])
        assert isinstance(result.exception, T2IError) and words in str(result.exception)
    assert (folder / "ex02_vae.ipynb").read_bytes() == before
