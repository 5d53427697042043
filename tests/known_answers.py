"""Answers that are known to be wrong or right: the checks of the exercises are tested with them.

They stand in `tests/grading/answers/exNN.py`, one decorated function (or class) each:

    @wrong("ex02-kl", says="mean")  # a word or two that the message must contain
    def mean_for_sum(mu, logvar): ...

    @wrong("ex02-kl", says="½", layer="oracle")  # and falls there, not before
    def without_the_half(mu, logvar): ...

    @right("ex02-kl")  # written differently, and right
    def by_torch_distributions(mu, logvar): ...
"""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "grading" / "answers"


@dataclass(frozen=True)
class Known:
    """An answer of which it is known whether it is right.

    Attributes:
        task: such as "ex02-kl".
        answer: the function or class.
        variant: of the task.
        says: what the message must contain, upper or lower case ("" for a right answer).
        layer: where it must fall, or None: anywhere.
    """

    task: str
    answer: Callable[..., Any]
    variant: int = 1
    says: str = ""
    layer: str | None = None

    @property
    def exercise(self) -> str:
        return self.task.split("-")[0]

    def __str__(self) -> str:
        second = f"-v{self.variant}" if self.variant > 1 else ""
        return f"{self.task}{second}-{self.answer.__name__}"


@dataclass(frozen=True)
class Equivalent:
    """A mutant of a solution that computes the same, or differs where no check should look.

    Attributes:
        task, variant: whose solution.
        line: the mutated line as `ast.unparse` writes it, or a part of it.
        because: why it is no wrong answer.
    """

    task: str
    line: str
    because: str
    variant: int = 1


WRONG: list[Known] = []
RIGHT: list[Known] = []
EQUIVALENT: list[Equivalent] = []


def wrong(task: str, *, says: str, layer: str | None = None, variant: int = 1) -> Callable:
    """Decorator: this answer to the task must be rejected, with these words in the message."""
    assert says, f"{task}: which words of its message name the slip?"

    def listed(answer: Callable) -> Callable:
        WRONG.append(Known(task, answer, variant, says, layer))
        return answer

    return listed


def right(task: str, *, variant: int = 1) -> Callable:
    """Decorator: this answer to the task must pass."""

    def listed(answer: Callable) -> Callable:
        RIGHT.append(Known(task, answer, variant))
        return answer

    return listed


def equivalent(task: str, line: str, *, because: str, variant: int = 1) -> None:
    """Call: a mutant of the task's solution with this line is no wrong answer."""
    EQUIVALENT.append(Equivalent(task, line, because, variant))


@cache
def load(exercise: str) -> None:
    """Read the answers of an exercise ("ex02") into the three lists, once."""
    path = FOLDER / f"{exercise}.py"
    if path.is_file():
        spec = importlib.util.spec_from_file_location(f"answers_{exercise}", path)
        assert spec and spec.loader
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


def load_all() -> None:
    """Read the answers of all exercises that have some."""
    for path in sorted(FOLDER.glob("ex*.py")):
        load(path.stem)
