"""The solution notebooks as the tests of the exercises read them."""

import json
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from t2i_course.grading.checking import TASKS, Task

ROOT = Path(__file__).parent.parent
SOLUTIONS = sorted((ROOT / "solutions").glob("ex*.ipynb"))


@dataclass(frozen=True)
class Solved:
    """A task's solution: one cell of a solution notebook.

    Attributes:
        path: of the notebook.
        name: of the task.
        variant: of the task.
        source: of the cell, the fences of the solution included.
    """

    path: Path
    name: str
    variant: int
    source: str

    @property
    def task(self) -> Task:
        return TASKS[self.name]

    def answer(self, source: str = "") -> Any:
        """The function that the cell (or another source in its place) defines."""
        namespace = dict(imported(self.path))
        exec(compile(source or self.source, str(self), "exec"), namespace)
        return namespace[self.task.function]

    @property
    def stub(self) -> str:
        """The cell with the solution taken out."""
        before, rest = self.source.split("    ### BEGIN SOLUTION")
        return before + "    raise NotImplementedError\n" + rest.split("### END SOLUTION")[1]

    def __str__(self) -> str:
        return self.name + (f"-v{self.variant}" if self.variant > 1 else "")


def exercise(path: Path) -> str:
    """ "ex03" of its solution notebook."""
    return path.stem.split("_")[0]


@cache
def cells(path: Path) -> list[dict]:
    """The notebook's cells with their sources as one string."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    return [cell | {"source": "".join(cell["source"])} for cell in notebook["cells"]]


def marks(cell: dict) -> dict:
    """nbgrader's metadata of a cell."""
    return cell["metadata"].get("nbgrader", {})


def variant(cell: dict) -> int:
    return cell["metadata"].get("t2i", {}).get("variant", 1)


@cache
def imported(path: Path) -> dict[str, Any]:
    """What the notebook's import cell defines."""
    import_module(f"t2i_course.grading.checks.{exercise(path)}")
    namespace: dict[str, Any] = {}
    for cell in cells(path):
        if cell["id"] == f"{exercise(path)}-imports":
            exec(compile(cell["source"], str(path), "exec"), namespace)
    return namespace


@cache
def solved(path: Path) -> list[Solved]:
    """The solutions of a notebook's tasks, in order."""
    imported(path)
    return [
        Solved(path, marks(cell)["grade_id"], variant(cell), cell["source"])
        for cell in cells(path)
        if cell["cell_type"] == "code" and marks(cell).get("solution")
    ]


def all_solved() -> list[Solved]:
    """The solutions of all tasks of all notebooks."""
    return [each for path in SOLUTIONS for each in solved(path)]
