"""What a check is made of: a learner's answer, fresh inputs, and failures that say what to do.

A check is a function `(c: Checking) -> None` under `@task`. It calls the learner's function only
through `c.answer`, whose values are plain (tensors, numbers, strings, lists, dicts), so that the
same check runs in the learner's notebook and, in grading, against a worker in a sandbox. It
compares what comes back in three layers: contract (shape, dtype, inputs left alone, gradients),
property (what must hold for any input) and oracle (numbers, with a tolerance).
"""

import os
import secrets
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from t2i_course.contract import require
from t2i_course.errors import T2IError, unknown
from t2i_course.grading.answer import (
    LAYERS,
    Answer,
    CheckFailed,
    Feedback,
    NotYet,
    copied,
    gradients_of,
    plain,
    raised,
    same,
    shown,
)

__all__ = [
    "LAYERS", "SAID", "TASKS", "Answer", "CheckFailed", "Checking", "Draws", "Feedback", "NotYet",
    "Task", "copied", "find", "gradients_of", "hidden_seed", "plain", "raised", "same", "shown",
    "task",
]  # fmt: skip

TASKS: dict[str, "Task"] = {}
SAID = {  # of each layer, to a learner
    "contract": "shape, type or an error",
    "property": "must always hold",
    "oracle": "another value than ours",
}


class Draws:
    """Fresh inputs: the same for the same seed, never from the global generator."""

    def __init__(self, seed: int):
        self.generator = torch.Generator().manual_seed(seed)

    def normal(self, *shape: int) -> Tensor:
        """Standard normal numbers, float32."""
        return torch.randn(shape, generator=self.generator)

    def uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        """Uniform numbers in [low, high), float32."""
        return low + (high - low) * torch.rand(shape, generator=self.generator)

    def integers(self, low: int, high: int, *shape: int) -> Tensor:
        """Whole numbers from low to high − 1, int64."""
        return torch.randint(low, high, shape, generator=self.generator)

    def integer(self, low: int, high: int) -> int:
        """One whole number from low to high − 1."""
        return int(self.integers(low, high, 1))


@dataclass
class Checking:
    """One run of a task's check: its answer, its inputs and what to compare with.

    Attributes:
        answer: what the learner wrote.
        draw: fresh inputs.
        variant: of the task, 1 or higher.
    """

    answer: Answer
    draw: Draws
    variant: int = 1

    def call(self, *args: Any, errors: Mapping[str, str]) -> Any:
        """The answer's value for these arguments.

        Args:
            errors: by a piece of an error's text, the slip that is likely where it comes.
        """
        try:
            return self.answer(*args)
        except CheckFailed as failed:
            likely = next((words for piece, words in errors.items() if piece in failed.came), "")
            raise CheckFailed(
                failed.layer, failed.case, failed.expected, failed.came, failed.likely or likely
            ) from None

    def tensor(
        self, value: Any, shape: Sequence[int], case: str, dtype: torch.dtype | None = None,
        slips: Mapping[tuple[int, ...], str] | None = None,
    ) -> None:  # fmt: skip
        """Contract: the value is a tensor of this shape (and dtype), all of it finite.

        Args:
            slips: what a learner did who got the shape that is the key.
        """
        if not isinstance(value, Tensor):
            came = f"{shown(value)}, a {type(value).__name__}"
            raise CheckFailed("contract", case, f"a tensor of shape {list(shape)}", came)
        if tuple(value.shape) != tuple(shape):
            likely = (slips or {}).get(tuple(value.shape), "")
            came = f"shape {list(value.shape)}"
            raise CheckFailed("contract", case, f"shape {list(shape)}", came, likely)
        if dtype is not None and value.dtype != dtype:
            likely = ".float() makes float32 of it." if dtype == torch.float32 else ""
            raise CheckFailed("contract", case, str(dtype), str(value.dtype), likely)
        if value.is_floating_point() and not bool(value.isfinite().all()):
            raise CheckFailed("contract", case, "finite numbers", "NaN or infinity")

    def close(
        self, value: Any, expected: Tensor | float, case: str, *, layer: str = "oracle",
        slips: Mapping[str, Tensor | float] | None = None, rtol: float = 1e-4, atol: float = 1e-5,
    ) -> None:  # fmt: skip
        """The value is `expected` within rtol · |expected| + atol.

        Args:
            slips: by the words that name it, what each slip would have given instead: the first
                that fits is named.
        """
        if not isinstance(value, Tensor | float | int) or isinstance(value, bool):
            raise CheckFailed("contract", case, shown(expected), shown(value))
        if _near(value, expected, rtol, atol):
            return
        near = [words for words, wrong in (slips or {}).items() if _near(value, wrong, rtol, atol)]
        if not near and isinstance(value, Tensor):
            self.tensor(value, torch.as_tensor(expected).shape, case)
        raise CheckFailed(layer, case, shown(expected), shown(value), near[0] if near else "")

    def agrees(
        self, value: Any, before: Any, case: str, likely: str = "", *, was: str = "before",
        slips: Mapping[str, Tensor | float] | None = None, rtol: float = 1e-4, atol: float = 1e-5,
    ) -> None:  # fmt: skip
        """Property: two of the answer's own values are equal. Neither of them need be right.

        Args:
            likely: the slip to name where none of `slips` (as in `close`) fits.
            was: what `before` is, in a word or two.
        """
        try:
            self.close(value, before, case, layer="property", slips=slips, rtol=rtol, atol=atol)
        except CheckFailed as failed:
            if failed.layer != "property":
                raise
            came = f"{failed.expected} {was}, {failed.came} after"
            words = failed.likely or likely
            raise CheckFailed("property", case, "two equal values", came, words) from None

    def equal(
        self, value: Any, expected: Any, case: str, *, layer: str = "oracle",
        slips: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        """The value is exactly `expected`, of the same type: whole numbers, words, lists, dicts.

        Args:
            slips: as in `close`.
        """
        if same(value, expected):
            return
        near = [words for words, wrong in (slips or {}).items() if same(value, wrong)]
        raise CheckFailed(layer, case, shown(expected), shown(value), near[0] if near else "")

    def holds(
        self, condition: bool, layer: str, case: str, expected: str, came: str, likely: str = ""
    ) -> None:
        """`CheckFailed` with these words unless the condition is true."""
        if not condition:
            raise CheckFailed(layer, case, expected, came, likely)


def _near(a: Any, b: Any, rtol: float, atol: float) -> bool:
    if any(isinstance(each, Tensor) and each.is_complex() for each in (a, b)):
        return False
    a, b = torch.as_tensor(a, dtype=torch.float64), torch.as_tensor(b, dtype=torch.float64)
    return a.shape == b.shape and torch.allclose(a, b, rtol=rtol, atol=atol)


@dataclass(frozen=True)
class Task:
    """A task of an exercise, with its check; call it with the learner's function.

    Attributes:
        name: "ex03-kl": the exercise and the task; also the id of its answer's cell.
        function: what the learner's function or class is called.
        equations: what each variant of it computes, in a line: as many as there are variants.
        points: for the whole task.
        check: the check itself.
        reference: "module:function" of the package that does the same, several with ", " between
            them, or "": in grading a stub stands there.
    """

    name: str
    function: str
    equations: tuple[str, ...]
    points: int
    check: Callable[[Checking], None]
    reference: str = ""

    @property
    def variants(self) -> int:
        """How many there are."""
        return len(self.equations)

    @property
    def references(self) -> list[str]:
        """Each "module:function" of `reference`."""
        return [each for each in self.reference.split(", ") if each]

    def __call__(self, answer: Callable[..., Any], seed: int = 0, variant: int = 1) -> None:
        """Check an answer and say that it is right.

        Args:
            answer: the learner's function or class.
            seed: of the inputs; in grading it is the instructor's.
            variant: which form of the task, from 1.

        Raises:
            NotYet: it is still the stub.
            CheckFailed: it is wrong; the message says what was tried and what came.
        """
        self.run(answer if isinstance(answer, Answer) else Answer(answer), seed, variant)
        plural = "" if self.points == 1 else "s"
        borrowed = _borrowed(answer, self.references)
        print(
            f"{self.function}: right. {self.points} point{plural}."
            if not borrowed
            else f"{self.function}: right, but it calls the package's own {borrowed}, which is not "
            "there when your work is graded: write it yourself."
        )

    def run(self, answer: Answer, seed: int, variant: int = 1) -> None:
        """The same without a word."""
        require(1 <= variant <= self.variants, f"{self.name} has {self.variants} variant(s).")
        try:
            self.check(Checking(answer, Draws(seed), variant))
            return
        except NotYet:
            raise NotYet(
                f"{self.function}: not yet. Write it in the cell above, run that cell, then this."
            ) from None
        except CheckFailed as error:
            failed = error
        except Exception as error:  # the check met a value that it did not expect
            failed = CheckFailed(
                "contract", "what your answer returns", "what the text says",
                f"something that the check cannot read ({type(error).__name__}: {error})",
            )  # fmt: skip
        again = CheckFailed(failed.layer, failed.case, failed.expected, failed.came, failed.likely)
        head = f"{self.function}: not yet right ({SAID[failed.layer]})."
        again.args = (f"{head}\n{failed}\nEquation: {self.equations[variant - 1]}",)
        raise again


def _borrowed(answer: Any, references: Sequence[str]) -> str:
    """The name of a reference of the package that the function's code calls, or ""."""
    code, known = getattr(answer, "__code__", None), getattr(answer, "__globals__", {})
    if code is None:
        return ""
    there = [known[name] for name in code.co_names if name in known]
    for module, name in (each.split(":") for each in references):
        own = getattr(sys.modules.get(module), name, None)
        by_module = name in code.co_names and any(
            isinstance(each, ModuleType) and getattr(each, name, None) is own for each in there
        )
        if own is not None and (by_module or any(each is own for each in there)):
            return name
    return ""


def hidden_seed() -> int:
    """The seed of the hidden checks: the instructor's, from `T2I_HIDDEN_SEED`, else a fresh one.

    Raises:
        T2IError: if what stands there is no whole number from 0.
    """
    given = os.environ.get("T2I_HIDDEN_SEED", "")
    if not given:
        return secrets.randbelow(2**31)
    if not (given.isascii() and given.isdigit() and int(given) < 2**63):
        raise T2IError(f"T2I_HIDDEN_SEED must be a whole number from 0, not {given!r}.")
    return int(given)


def task(
    name: str, *, equation: str | tuple[str, ...], points: int, reference: str = "",
    function: str = "",
) -> Callable[[Callable[[Checking], None]], Task]:  # fmt: skip
    """Make a check the `Task` of that name and list it in `TASKS`.

    The learner's function has the name after the hyphen, unless `function` says another. A task
    with variants has an equation for each.
    """
    equations = (equation,) if isinstance(equation, str) else equation

    def make(check: Callable[[Checking], None]) -> Task:
        known = function or name.split("-", 1)[1]
        TASKS[name] = Task(name, known, equations, points, check, reference)
        return TASKS[name]

    return make


def find(name: str) -> Task:
    """The task of that name; `T2IError` with a suggestion if there is none."""
    if name not in TASKS:
        raise unknown("task", name, TASKS)
    return TASKS[name]
