"""From `solutions/`, the one source, to the notebooks that learners get.

The work is done by nbgrader's preprocessors, used as a library: no database, no course folder. What
comes out is the same bytes at each run: cell ids come from the source, keys are sorted, and nothing
of the machine (kernel, versions, outputs) is in it.
"""

import copy
import json
import logging
import re
from importlib import import_module
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from t2i_course.contract import require, write_whole
from t2i_course.errors import T2IError

KERNEL = {
    "kernelspec": {
        "display_name": "Python 3 (ipykernel)",
        "language": "python",
        "name": "python3",
    },
    "language_info": {"name": "python"},
}
CODE_STUB = "raise NotImplementedError  # write this"
TEXT_STUB = "*Write your answer here.*"
SOLUTION = "### BEGIN SOLUTION", "### END SOLUTION"
HIDDEN = "### BEGIN HIDDEN TESTS", "### END HIDDEN TESTS"


def release(
    solutions: Path, out: Path, variant: int = 1, *, with_solutions: bool = False
) -> list[Path]:
    """Write the exercise of each solution notebook, `exNN_….ipynb`, into a folder.

    Args:
        solutions: where the solution notebooks are.
        out: where the exercises go; what else is there stays.
        variant: of the tasks that have it; the others are taken as they are.
        with_solutions: keep solutions and hidden tests, as nbgrader's own `source` folder wants.

    Returns:
        The files written, in order.

    Raises:
        T2IError: if there is no solution notebook, none has the variant, one is not in the form
            that `check_form` asks for, nbgrader is not installed, or a file cannot be written.
    """
    paths = sorted(solutions.glob("ex*.ipynb"))
    require(
        bool(paths),
        f"There is no solution notebook (ex….ipynb) in {solutions}. Run this in the project's "
        "folder, or name another with --solutions.",
    )
    require(
        out.resolve() != solutions.resolve(),
        f"{out} holds the solutions: the exercises would overwrite them. Choose another --out.",
    )
    sources = {path: read(path) for path in paths}
    known = sorted({1}.union(*map(variants, sources.values())))
    require(
        variant in known,
        f"No task has a variant {variant}. Known: {', '.join(map(str, known))}.",
    )
    texts = {}
    for path, source in sources.items():
        picked = pick(source, variant)
        texts[out / path.name] = as_text(picked if with_solutions else cleared(picked, path.name))
    for path, text in texts.items():
        write_whole(path, text)
    return list(texts)


def exercise_text(path: Path, variant: int = 1) -> str:
    """What `release` writes for one solution notebook."""
    return as_text(cleared(pick(read(path), variant), path.name))


def read(path: Path) -> NotebookNode:
    """A solution notebook, its form checked; `T2IError` if it cannot be read or breaks the form."""
    try:
        text = path.read_text(encoding="utf-8")
        ids = [cell.get("id") for cell in json.loads(text)["cells"]]
        twice = sorted({name for name in ids if ids.count(name) > 1})
        require(not twice, f"{path.name}, cell {', '.join(map(str, twice))}: another has this id.")
        notebook = nbformat.reads(text, as_version=nbformat.NO_CONVERT)
        nbformat.validate(notebook)  # which would give one of two equal ids another name
    except T2IError:
        raise
    except Exception as error:  # of many kinds: broken JSON, another encoding, a missing field
        said = (str(error).splitlines() or [type(error).__name__])[0]
        raise T2IError(f"{path} is not a notebook that can be read ({said}).") from error
    check_form(notebook, path.name)
    return notebook


def variants(notebook: NotebookNode) -> set[int]:
    """The variants that some task of the notebook has."""
    return {variant_of(cell) for cell in notebook.cells}


def variant_of(cell: NotebookNode) -> int:
    """The variant that a cell belongs to; 1 where there is only one."""
    return int(cell.metadata.get("t2i", {}).get("variant", 1))


def plain_id(cell: NotebookNode) -> str:
    """A cell's id without the mark of its variant: "ex02-kl-v2" is a cell "ex02-kl"."""
    variant = variant_of(cell)
    return cell.id.removesuffix(f"-v{variant}") if variant > 1 else cell.id


def pick(notebook: NotebookNode, variant: int = 1) -> NotebookNode:
    """The instructor's notebook of one variant: solutions, hidden tests, one form of each task.

    Where a task has no such variant, its first is taken. Cells tagged `instructor` are left out.
    Checks get the tag `raises-exception`: JupyterLab's "Run All" goes on after one that fails.
    """
    notebook = copy.deepcopy(notebook)
    has = {plain_id(cell) for cell in notebook.cells if variant_of(cell) == variant}
    kept = []
    for cell in notebook.cells:
        wanted = variant if plain_id(cell) in has else 1
        varies = "t2i" in cell.metadata
        if "instructor" in cell.metadata.get("tags", []) or (varies and variant_of(cell) != wanted):
            continue
        cell.id = plain_id(cell)
        cell.metadata.pop("t2i", None)
        marks = cell.metadata.get("nbgrader", {})
        if marks.get("grade") and not marks.get("solution"):
            cell.metadata.tags = [*cell.metadata.get("tags", []), "raises-exception"]
        kept.append(cell)
    notebook.cells = kept
    notebook.metadata = nbformat.from_dict(KERNEL)
    return notebook


def cleared(notebook: NotebookNode, name: str) -> NotebookNode:
    """The learner's notebook: solutions, outputs and hidden tests cleared, checks locked.

    Raises:
        T2IError: if nbgrader is not installed, or does not take the notebook of that name.
    """
    library = _nbgrader()
    logging.getLogger("traitlets").setLevel(logging.CRITICAL)  # what it logs, it also raises
    steps = [
        library.CheckCellMetadata(),
        library.LockCells(),
        library.ClearSolutions(code_stub={"python": CODE_STUB}, text_stub=TEXT_STUB),
        library.ClearOutput(),
        library.ClearHiddenTests(),
        library.ComputeChecksums(),
    ]
    resources: dict[str, Any] = {}
    try:
        for step in steps:
            notebook, resources = step.preprocess(notebook, resources)
    except Exception as error:
        raise T2IError(f"{name}: nbgrader does not take it ({error}).") from error
    return notebook


def as_text(notebook: NotebookNode) -> str:
    """The notebook's file: keys sorted, indented by 1, a line feed at the end."""
    return nbformat.writes(notebook, version=4).rstrip("\n") + "\n"


def _nbgrader() -> Any:
    try:
        return import_module("nbgrader.preprocessors")
    except ImportError as error:
        raise T2IError(
            "This needs nbgrader, which is not installed: "
            '`python -m pip install -c constraints.txt -e ".[teach]"` in the project\'s folder.'
        ) from error


def check_form(notebook: NotebookNode, name: str) -> None:
    """Refuse a solution notebook whose cells are not those of an exercise.

    A task is three cells: text, solution, check, with the ids `exNN-f-text`, `exNN-f`,
    `exNN-f-check` (`-v2` at the end of a second variant's), nbgrader's metadata on the latter two,
    and fences around the solution and the hidden test.

    Raises:
        T2IError: naming the notebook and the cell.
    """
    exercise = name.split("_")[0]
    require(
        bool(re.fullmatch(r"ex\d\d", exercise)),
        f"{name}: a solution notebook is called exNN_….ipynb, as ex03_one_hot_cvae.ipynb.",
    )
    require(notebook.nbformat == 4 and notebook.nbformat_minor >= 5, f"{name}: not nbformat 4.5.")
    ids = [cell.id for cell in notebook.cells]
    for place, cell in enumerate(notebook.cells):
        for broken in _broken(cell, exercise, ids, place):
            raise T2IError(f"{name}, cell {cell.id}: {broken}.")


def _broken(cell: NotebookNode, exercise: str, ids: list[str], place: int) -> list[str]:
    """What is wrong with a cell, in words."""
    marks = cell.metadata.get("nbgrader", {})
    solution, grade = bool(marks.get("solution")), bool(marks.get("grade"))
    suffix = cell.id.removeprefix(plain_id(cell))
    varied = "t2i" in cell.metadata
    broken = [
        (not cell.id.startswith(f"{exercise}-"), f"its id must begin with {exercise}-"),
        (varied and (variant_of(cell) > 1) != bool(suffix), "variant N above 1 has an id in -vN"),
        (
            solution != (_regions(cell, SOLUTION) == 1),
            "one fenced solution and nbgrader's solution: true go together",
        ),
        (
            (grade and not solution) != (_regions(cell, HIDDEN) == 1),
            "fenced hidden tests and nbgrader's grade: true without solution go together",
        ),
    ]
    if solution or grade:
        whole = marks.get("schema_version") == 3 and marks.get("task") is False
        broken += [
            (marks.get("grade_id") != plain_id(cell), "its grade_id must be its id without -vN"),
            (not whole or "locked" not in marks, "nbgrader's metadata are not whole"),
            (grade and not marks.get("points", 0) > 0, "it is graded and has no points"),
        ]
    if solution and not grade:
        base = cell.id.removesuffix(suffix)
        three = [f"{base}-text{suffix}", cell.id, f"{base}-check{suffix}"]
        whole = cell.cell_type == "code" and ids[max(place - 1, 0) : place + 2] == three
        broken += [(not whole, f"a task is three cells in a row: {', '.join(three)}")]
    return [words for is_so, words in broken if is_so]


def _regions(cell: NotebookNode, fence: tuple[str, str]) -> int:
    """How many well-formed fenced regions a cell has; -1 if a fence is out of order."""
    lines = [line.strip() for line in cell.source.splitlines()]
    marks = [line for line in lines if line in fence or any(mark[4:] in line for mark in fence)]
    if marks != list(fence) * (len(marks) // 2):
        return -1
    return len(marks) // 2
