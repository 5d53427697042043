"""Every exercise: its cells have the form, its checks know right from wrong, a learner can work."""

import json
import os
import re
from fractions import Fraction
from importlib import import_module

import known_answers
import mutating
import nbformat
import pytest
import torch
from known_answers import EQUIVALENT, RIGHT, WRONG
from nbclient import NotebookClient
from nbclient.util import run_sync
from solved import ROOT, SOLUTIONS, all_solved, cells, exercise, imported, marks, solved, variant

from t2i_course.grading import release
from t2i_course.grading.checking import TASKS, CheckFailed, Feedback, NotYet

known_answers.load_all()
SEEDS = (0, 1, 2)
each_notebook = pytest.mark.parametrize("path", SOLUTIONS, ids=exercise)
each_solution = pytest.mark.parametrize("one", all_solved(), ids=str)


def outcome(answer, one, seed=0):
    """What a check says of an answer: None where it passes."""
    try:
        one.task(answer, seed=seed, variant=one.variant)
    except Feedback as feedback:
        return feedback
    return None


def of(known, one):
    return [k for k in known if (k.task, k.variant) == (one.name, one.variant)]


# --- the form ---------------------------------------------------------------------------------


@each_notebook
def test_a_notebook_has_the_form_of_an_exercise(path):
    notebook = json.loads(path.read_text(encoding="utf-8"))
    assert {
        key: notebook["metadata"][key] for key in sorted(notebook["metadata"])
    } == release.KERNEL
    release.read(path)  # ids, nbgrader's metadata, fences: T2IError names the cell
    head, imports = cells(path)[:2]
    name = exercise(path)
    assert (head["id"], imports["id"]) == (f"{name}-title", f"{name}-imports")
    assert head["source"].startswith(f"# {name[2:]} · Exercise: ")
    assert re.search(r"\d+ min", head["source"]) and "uilds on" in head["source"]
    assert f"[notebook {name[2:]}](../notebooks/{path.name[2:]})" in head["source"]
    notebook = ROOT / "notebooks" / path.name[2:]
    assert notebook.is_file()
    assert f"](../exercises/{path.name})" in notebook.read_text(encoding="utf-8")
    how = head["source"].split("**How to work.**")[1].split("earns nothing")[0]
    assert (
        how
        == cells(SOLUTIONS[0])[0]["source"].split("**How to work.**")[1].split("earns nothing")[0]
    )
    for cell in cells(path):
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [] and cell["execution_count"] is None, cell["id"]
            assert len(cell["source"].splitlines()) <= 60 and "import *" not in cell["source"]
    points = sum(marks(cell).get("points", 0) for cell in cells(path) if variant(cell) == 1)
    assert f"{points} points" in head["source"], f"in all {points} points"
    why = [cell for cell in cells(path) if cell["id"].startswith(f"{name}-why")]
    assert any(marks(cell).get("points") for cell in why), "one or two prose questions"
    assert any("instructor" in cell["metadata"].get("tags", []) for cell in cells(path)), "rubric"


@each_solution
def test_a_task_says_what_a_learner_must_know(one):
    second = f"-v{one.variant}" if one.variant > 1 else ""
    text, check = (
        next(cell for cell in cells(one.path) if cell["id"] == f"{one.name}{part}{second}")
        for part in ("-text", "-check")
    )
    points, source = one.task.points, text["source"]
    assert marks(check)["points"] == points
    assert source.startswith("## ")
    for part in (r"\d+ min", r"●○○|●●○|●●●", r"\d+ lines?", rf"\b{points} points?\b", r"\$\$"):
        assert re.search(part, source), part
    hints = re.findall(r"<summary>Hint (\d)</summary>", source)
    assert hints == [str(i) for i in range(1, len(hints) + 1)] and len(hints) >= 2
    assert source.count("<details>") == source.count("</details>") == len(hints)
    assert re.search(rf"def {one.task.function}\(|class {one.task.function}\(", one.source)
    assert '"""' in one.source and ("->" in one.source or "class " in one.source)
    end = f", variant={one.variant})" if one.variant > 1 else ")"
    name = f"{exercise(one.path)}.check_{one.name.split('-', 1)[1]}({one.task.function}"
    assert check["source"].splitlines() == [
        name + end,
        release.HIDDEN[0],
        f"{name}, seed=hidden_seed(){end}",
        release.HIDDEN[1],
    ]
    assert re.search("worked", source, re.IGNORECASE), "a worked number"


@each_solution
def test_worked_numbers_are_true(one):
    second = f"-v{one.variant}" if one.variant > 1 else ""
    text = next(c["source"] for c in cells(one.path) if c["id"] == f"{one.name}-text{second}")
    lines = re.findall(r"^Worked: `([^`]+)`", text, re.MULTILINE)
    assert len(lines) == text.count("Worked: ")
    # What a learner has: the imports of the notebook and the function.
    names = imported(one.path) | {one.task.function: one.answer()}
    printed = names | {"torch": torch, "tensor": torch.tensor}
    for call, _, value in (line.rpartition("=") for line in lines):
        came, said = eval(call, dict(names)), eval(value.strip(), dict(printed))
        if isinstance(said, torch.Tensor | float | Fraction):
            came, said = (torch.as_tensor(each).double() for each in (came, said))
            torch.testing.assert_close(came, said, rtol=2e-3, atol=6e-4)
        else:
            assert came == said, call


@each_solution
def test_no_equation_tells_of_another_variant(one):
    assert len(set(one.task.equations)) == one.task.variants
    assert not re.search(r"variant|second form|another form", " ".join(one.task.equations))


@each_notebook
def test_tasks_and_notebooks_belong_together(path):
    there = [(one.name, one.variant) for one in solved(path)]
    of_this = [task for task in TASKS.values() if task.name.startswith(f"{exercise(path)}-")]
    assert sorted(there) == sorted((t.name, v + 1) for t in of_this for v in range(t.variants))
    assert 3 <= len(of_this) <= 6
    for task in of_this:
        for reference in task.references:
            module, function = reference.split(":")
            assert hasattr(import_module(module), function), reference


# --- right and wrong ----------------------------------------------------------------------------


@each_solution
def test_the_solution_passes(one):
    for seed in SEEDS:
        assert outcome(one.answer(), one, seed) is None


@each_solution
def test_the_stub_is_told_what_to_do(one):
    said = outcome(one.answer(one.stub), one)
    assert isinstance(said, NotYet) and one.task.function in str(said)


@each_solution
def test_enough_answers_are_known_and_one_falls_only_at_the_oracle(one):
    wrong = of(WRONG, one)
    assert len(wrong) >= 4
    assert any(known.layer == "oracle" for known in wrong)
    assert len(of(RIGHT, one)) >= 1
    names = [known.answer.__name__ for known in (*WRONG, *RIGHT) if known.exercise == one.name[:4]]
    assert len(names) == len(set(names))


def belongs(known):
    return next(o for o in all_solved() if (o.name, o.variant) == (known.task, known.variant))


THERE = {(one.name, one.variant) for one in all_solved()}


def here(known):
    return [k for k in known if (k.task, k.variant) in THERE]


@pytest.mark.parametrize("known", here(WRONG), ids=str)
def test_a_wrong_answer_is_rejected_with_words_about_its_slip(known):
    for seed in SEEDS:
        said = outcome(known.answer, belongs(known), seed)
        assert isinstance(said, CheckFailed), f"seed {seed}: {said or 'it passed'}"
        message = str(said).rsplit("\nEquation: ", 1)[0]
        assert known.says.lower() in message.lower(), message
        assert known.layer in (None, said.layer), message


@pytest.mark.parametrize("known", here(RIGHT), ids=str)
def test_another_right_answer_passes(known):
    for seed in SEEDS:
        assert outcome(known.answer, belongs(known), seed) is None


def excused(one, line):
    return any(line == e.line for e in of(EQUIVALENT, one))


@each_notebook
def test_mutants_of_the_solutions_are_rejected(path):
    survivors, count = [], 0
    for one in solved(path):
        for source, line in mutating.drawn(one.source, one.name, one.variant):
            if excused(one, line):
                continue
            count += 1
            if all(outcome(one.answer(source), one, seed) is None for seed in SEEDS[:2]):
                survivors.append(f"{one}: {line}")
    listed = "\n".join(survivors)
    assert len(survivors) <= 0.05 * count, f"{len(survivors)} of {count} survive:\n{listed}"


@each_notebook
def test_an_excused_mutant_exists_and_survives(path):
    for one in solved(path):
        lines = {line: source for source, line in mutating.mutants(one.source)}
        for mutant in of(EQUIVALENT, one):
            assert mutant.line in lines, f"{one}: no mutant has the line {mutant.line!r}"
            assert outcome(one.answer(lines[mutant.line]), one) is None, mutant.line


def test_there_are_exercises_for_all_notebooks():
    assert [exercise(path) for path in SOLUTIONS] == [f"ex{n:02}" for n in range(1, 14)]
    names = {one.name for one in all_solved()}
    assert len(names) >= 45
    assert sum(TASKS[name].variants > 1 for name in names) >= 15


# --- as a learner meets it ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    """One kernel for all notebooks: its start and its first `import torch` are paid once."""
    own = {"T2I_STAND_IN": "1", "T2I_PROFILE": "smoke", "MPLBACKEND": "agg"}
    own["IPYTHONDIR"] = str(tmp_path_factory.mktemp("ipython"))
    starter = NotebookClient(nbformat.v4.new_notebook())
    starter.km = starter.create_kernel_manager()
    starter.start_new_kernel(env=os.environ | own)
    yield starter.km
    run_sync(starter.km.shutdown_kernel)(now=True)


def run(kernel, text, folder):
    """The code cells of a notebook with their outputs, and the errors by cell id."""
    notebook = nbformat.reads(text, as_version=4)
    notebook.cells.insert(0, nbformat.v4.new_code_cell("%reset -f"))
    resources = {"metadata": {"path": str(folder)}}
    NotebookClient(
        notebook, km=kernel, allow_errors=True, timeout=120, resources=resources
    ).execute()
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return code, {c.id: o for c in code for o in c.outputs if o.output_type == "error"}


@pytest.mark.slow
@each_notebook
def test_the_released_notebook_says_not_yet_once_for_each_task_and_nothing_else(
    path, kernel, tmp_path
):
    tasks = [one.name for one in solved(path) if one.variant == 1]
    for number in range(1, max(one.variant for one in solved(path)) + 1):
        code, errors = run(kernel, release.exercise_text(path, number), tmp_path)
        assert list(errors) == [f"{name}-check" for name in tasks]
        for error in errors.values():
            assert error.ename == "NotYet"
            assert error.traceback == error.evalue.splitlines()  # the feedback alone
            assert len(error.traceback) == 1 and "not yet" in error.traceback[0]
        assert not [o for cell in code for o in cell.outputs if o.get("name") == "stderr"]


@pytest.mark.slow
def test_a_wrong_answer_in_a_notebook_shows_its_feedback_and_no_traceback(kernel, tmp_path):
    path = next(path for path in SOLUTIONS if exercise(path) == "ex02")
    notebook = nbformat.reads(release.exercise_text(path), as_version=4)
    for cell in notebook.cells:
        if cell.id == "ex02-kl":
            body = "return (mu**2 + logvar.exp() - logvar - 1).sum(dim=1)"
            cell.source = cell.source.replace(release.CODE_STUB, body)
    _, errors = run(kernel, nbformat.writes(notebook), tmp_path)
    error = errors["ex02-kl-check"]
    assert error.ename == "CheckFailed"
    assert error.traceback[0] == "kl: not yet right (another value than ours)."
    starts = [line.split(":")[0] for line in error.traceback]
    assert starts == ["kl", "Case", "Expected", "Came", "Likely", "Equation"]
    assert "½ is missing" in error.traceback[4]
