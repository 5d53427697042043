"""What the grader takes from the instructor's side of an exercise: tasks, imports, questions."""

import ast
import hashlib
import importlib
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import t2i_course
from t2i_course.contract import require
from t2i_course.errors import T2IError, unknown
from t2i_course.grading import notebooks, release
from t2i_course.grading.checking import TASKS, Task


@dataclass(frozen=True)
class Question:
    """A question in words, graded by hand."""

    name: str
    points: float


@dataclass(frozen=True)
class Exercise:
    """An exercise as it is graded.

    Attributes:
        name: such as "ex03".
        stem: of its notebook's file.
        tasks: in the notebook's order, each with the variant that is graded.
        imports: the instructor's import statements, one by one.
        questions: graded by hand.
        version: a hash of all that decides about points.
    """

    name: str
    stem: str
    tasks: tuple[tuple[Task, int], ...]
    imports: tuple[str, ...]
    questions: tuple[Question, ...]
    version: str

    @property
    def most(self) -> int:
        """The points of all tasks together."""
        return sum(task.points for task, _ in self.tasks)

    @property
    def known(self) -> list[str]:
        """The names that the imports bind."""
        trees = map(ast.parse, self.imports)
        return sorted(set().union(*(notebooks.bound(tree) for tree in trees)))

    @property
    def warm(self) -> list[str]:
        """The modules that the imports name."""
        found = set()
        for statement in (ast.parse(each).body[0] for each in self.imports):
            if isinstance(statement, ast.Import):
                found |= {alias.name for alias in statement.names}
            elif isinstance(statement, ast.ImportFrom) and statement.module:
                found.add(statement.module)
                found |= {f"{statement.module}.{alias.name}" for alias in statement.names}
        return sorted(name for name in found if not name.startswith("t2i_course.grading"))


def find(name: str, solutions: Path, variant: int = 1) -> Exercise:
    """The exercise of that name ("ex03").

    Args:
        solutions: the folder with the instructor's notebooks.
        variant: of the tasks that have it; of the others the first.

    Raises:
        T2IError: if there is no such exercise or variant, or its notebook breaks the form.
    """
    paths = {path.name.split("_")[0]: path for path in sorted(solutions.glob("ex*.ipynb"))}
    require(
        bool(paths),
        f"There is no solution notebook (ex….ipynb) in {solutions}. Run this in the project's "
        "folder, or name another with --solutions.",
    )
    if name not in paths:
        raise unknown("exercise", name, paths)
    notebook = release.read(paths[name])
    has = release.variants(notebook)
    if variant not in has | {1}:
        raise T2IError(f"No task of {name} has a variant {variant}.")
    listed = {each: task for each, task in TASKS.items() if each.startswith(f"{name}-")}
    if not listed:
        _checks(name)
        listed = {each: task for each, task in TASKS.items() if each.startswith(f"{name}-")}
    cells = release.pick(notebook, variant).cells
    names = [cell.id for cell in cells if cell.id in listed]
    require(
        sorted(names) == sorted(listed),
        f"{paths[name]} and its checks disagree about the tasks: "
        f"{', '.join(sorted(set(names) ^ set(listed)))}.",
    )
    tasks = [listed[each] for each in names]
    imports = [
        ast.unparse(statement)
        for cell in cells
        if cell.cell_type == "code" and "nbgrader" not in cell.metadata
        for statement in ast.parse(notebooks.parsed(cell.source)[0]).body
        if isinstance(statement, ast.Import | ast.ImportFrom)
    ]
    questions = [
        Question(cell.id, cell.metadata.nbgrader.points)
        for cell in cells
        if cell.metadata.get("nbgrader", {}).get("grade") and cell.metadata.nbgrader.solution
    ]
    return Exercise(
        name, paths[name].stem,
        tuple((task, variant if variant <= task.variants else 1) for task in tasks),
        tuple(dict.fromkeys(imports)), tuple(questions), _version(paths[name], name),
    )  # fmt: skip


def _checks(name: str) -> None:
    require(bool(re.fullmatch(r"ex\d\d", name)), f"{name!r} is no exercise's name, as ex03 is.")
    try:
        importlib.import_module(f"t2i_course.grading.checks.{name}")
    except ModuleNotFoundError as error:
        raise T2IError(f"There are no checks for {name} in the package.") from error


def _version(notebook: Path, name: str) -> str:
    digest = hashlib.sha256(t2i_course.__version__.encode())
    folder = Path(__file__).parent
    checks = sys.modules.get(f"t2i_course.grading.checks.{name}")
    files = [
        notebook,
        *sorted(folder.glob("*.py")),
        Path(checks.__file__ or "") if checks else None,
    ]
    for file in files:
        if file is not None:
            digest.update(file.read_bytes())
    return digest.hexdigest()
