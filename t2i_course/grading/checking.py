"""What a check is made of: a learner's answer, fresh inputs, and failures that say what to do.

A check is a function `(c: Checking) -> None` under `@task`. It calls the learner's function only
through `c.answer`, whose values are plain (tensors, numbers, strings, lists, dicts), so that the
same check runs in the learner's notebook and, in grading, against a worker in a sandbox. It
compares what comes back in three layers: contract (shape, dtype, inputs left alone, gradients),
property (what must hold for any input) and oracle (numbers, with a tolerance).
"""

import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from t2i_course.contract import require
from t2i_course.errors import unknown

LAYERS = ("contract", "property", "oracle")
TASKS: dict[str, "Task"] = {}


class Feedback(Exception):  # noqa: N818 (it is no error of the program)
    """Words for the learner. IPython shows them alone, without a traceback."""

    def _render_traceback_(self) -> list[str]:
        return str(self).splitlines()


class NotYet(Feedback):
    """The answer has not been written."""


class CheckFailed(Feedback):
    """The answer is not right yet.

    Args:
        layer: of `LAYERS`.
        case: what was tried, in words.
        expected, came: what should have come back, and what did.
        likely: the slip that would give just this, or "".
    """

    def __init__(self, layer: str, case: str, expected: str, came: str, likely: str = ""):
        self.layer, self.case, self.likely = layer, case, likely
        self.expected, self.came = expected, came
        lines = [f"Case:     {case}", f"Expected: {expected}", f"Came:     {came}"]
        super().__init__("\n".join(lines + ([f"Likely:   {likely}"] if likely else [])))


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


class Answer:
    """The learner's function or class, called on copies; what it raises becomes feedback.

    Grading replaces this by one with the same methods whose function lives in another process.
    Arguments are tensors, numbers, strings, lists, dicts, `torch.Generator`s and functions of such.
    """

    def __init__(self, function: Callable[..., Any]):
        self.function = function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The function's value on copies of the arguments, detached.

        Raises:
            NotYet: it is still the stub.
            CheckFailed: it raised, changed an argument, or returned what is no plain value.
        """
        given, named = copied(args), copied(kwargs)
        value = self._run(given, named)
        if not (same(given, args) and same(named, kwargs)):
            raise CheckFailed(
                "contract", "the arguments after the call", "unchanged", "changed in place",
                "an operation ending in _ or an assignment to a slice works on the caller's own.",
            )  # fmt: skip
        return plain(value)

    def gradients(self, *args: Any, wrt: Sequence[int] = (0,), **kwargs: Any) -> list[Tensor]:
        """The gradients of the sum of the function's value by the arguments at the places `wrt`.

        Raises:
            CheckFailed: the value does not depend on one of them in a way that can be followed.
        """
        given = [
            arg.clone().requires_grad_() if i in wrt else arg for i, arg in enumerate(copied(args))
        ]
        with torch.enable_grad():
            value = self._run(tuple(given), copied(kwargs))
        return gradients_of(value, [given[i] for i in wrt])

    def build(self, *args: Any, **kwargs: Any) -> "Answer":
        """The object that the learner's class makes, as something that can be called in turn."""
        return Answer(self._run(copied(args), copied(kwargs)))

    def state(self) -> dict[str, Tensor]:
        """The parameters and buffers of a built `nn.Module` by name, detached copies."""
        return {name: value.detach().clone() for name, value in self.function.state_dict().items()}  # type: ignore[attr-defined]

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Give a built `nn.Module` these parameters and buffers."""
        self.function.load_state_dict(dict(state))  # type: ignore[attr-defined]

    def _run(self, args: tuple, kwargs: dict) -> Any:
        try:
            return self.function(*args, **kwargs)
        except NotImplementedError:
            raise NotYet("Nothing is here yet.") from None
        except Feedback:
            raise
        except Exception as error:
            raise raised(error) from None


def raised(error: Exception) -> CheckFailed:
    """The feedback on an answer that raised: what, and in which of its lines."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" in the line `{frames[-1].line}`" if frames and frames[-1].line else ""
    came = f"{type(error).__name__}: {error}{where}"
    return CheckFailed("contract", "calling your answer", "a value", came)


def gradients_of(value: Any, inputs: list[Tensor]) -> list[Tensor]:
    """The gradients of value.sum() by the inputs; `CheckFailed` where the graph is cut."""
    case = "the gradient of your result by what it depends on"
    cut = "something cuts the graph: .detach(), .item(), .data, no_grad or a new torch.tensor(…)."
    if not isinstance(value, Tensor) or not value.requires_grad:
        raise CheckFailed("contract", case, "a result that remembers its inputs", "none", cut)
    found = torch.autograd.grad(value.sum(), inputs, allow_unused=True)
    if any(gradient is None for gradient in found):
        raise CheckFailed("contract", case, "one for each input", "none for one of them", cut)
    return [gradient.detach() for gradient in found]


def copied(value: Any) -> Any:
    """The same value with tensors and generators of its own."""
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, torch.Generator):
        return torch.Generator().set_state(value.get_state())
    if isinstance(value, list | tuple):
        return type(value)(copied(each) for each in value)
    if isinstance(value, dict):
        return {key: copied(each) for key, each in value.items()}
    return value


def same(a: Any, b: Any) -> bool:
    """Whether two arguments are equal, bit for bit; generators and functions are not looked at."""
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return (
            a.shape == b.shape
            and a.dtype == b.dtype
            and torch.equal(a.nan_to_num(), b.nan_to_num())
        )
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, torch.Generator) or callable(a):
        return True
    return type(a) is type(b) and a == b


def plain(value: Any) -> Any:
    """The value as what can cross a process boundary; `CheckFailed` for anything else."""
    if isinstance(value, Tensor):
        return value.detach().clone()
    if value is None or type(value) in (bool, int, float, str):
        return value
    if type(value) in (list, tuple):
        return type(value)(plain(each) for each in value)
    if type(value) is dict and all(type(key) is str for key in value):
        return {key: plain(each) for key, each in value.items()}
    raise CheckFailed(
        "contract", "what your answer returns", "tensors, numbers, strings, lists or dicts",
        f"an object of type {type(value).__name__}",
    )  # fmt: skip


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
            raise CheckFailed("contract", case, str(dtype), str(value.dtype))
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
        self.holds(layer in LAYERS, "contract", case, str(LAYERS), layer)
        if not isinstance(value, Tensor | float | int) or isinstance(value, bool):
            raise CheckFailed("contract", case, shown(expected), shown(value))
        if _near(value, expected, rtol, atol):
            return
        near = [words for words, wrong in (slips or {}).items() if _near(value, wrong, rtol, atol)]
        raise CheckFailed(layer, case, shown(expected), shown(value), near[0] if near else "")

    def holds(
        self, condition: bool, layer: str, case: str, expected: str, came: str, likely: str = ""
    ) -> None:
        """`CheckFailed` with these words unless the condition is true."""
        if not condition:
            raise CheckFailed(layer, case, expected, came, likely)


def _near(a: Any, b: Any, rtol: float, atol: float) -> bool:
    a, b = torch.as_tensor(a, dtype=torch.float64), torch.as_tensor(b, dtype=torch.float64)
    return a.shape == b.shape and torch.allclose(a, b, rtol=rtol, atol=atol)


def shown(value: Any) -> str:
    """A value in a line: up to eight numbers, and the shape where there are more."""
    if not isinstance(value, Tensor):
        text = f"{value:.6g}" if type(value) is float else repr(value)
        return text if len(text) <= 200 else text[:200] + " …"
    numbers = value.detach().flatten()[:8].tolist()
    text = ", ".join(f"{number:.5g}" for number in numbers)
    if value.ndim == 0:
        return text
    more = ", …" if value.numel() > 8 else ""
    return f"[{text}{more}]" + (f" of shape {list(value.shape)}" if value.ndim > 1 or more else "")


@dataclass(frozen=True)
class Task:
    """A task of an exercise, with its check; call it with the learner's function.

    Attributes:
        name: "ex03-kl": the exercise and the task; also the id of its answer's cell.
        function: what the learner's function or class is called.
        equation: what it computes, in a line.
        points: for the whole task.
        check: the check itself.
        reference: "module:function" of the package that does the same, or "": in grading a stub
            stands there.
        variants: how many there are.
    """

    name: str
    function: str
    equation: str
    points: int
    check: Callable[[Checking], None]
    reference: str = ""
    variants: int = 1

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
        print(f"{self.function}: right. {self.points} point{plural}.")

    def run(self, answer: Answer, seed: int, variant: int = 1) -> None:
        """The same without a word."""
        require(1 <= variant <= self.variants, f"{self.name} has {self.variants} variant(s).")
        try:
            self.check(Checking(answer, Draws(seed), variant))
        except NotYet:
            raise NotYet(
                f"{self.function}: not yet. Write it in the cell above, run that cell, then this."
            ) from None
        except CheckFailed as failed:
            again = CheckFailed(
                failed.layer, failed.case, failed.expected, failed.came, failed.likely
            )
            head = f"{self.function}: not yet right ({failed.layer})."
            again.args = (f"{head}\n{failed}\nEquation: {self.equation}",)
            raise again from None


def task(
    name: str, *, equation: str, points: int, reference: str = "", variants: int = 1,
    function: str = "",
) -> Callable[[Callable[[Checking], None]], Task]:  # fmt: skip
    """Make a check the `Task` of that name and list it in `TASKS`.

    The learner's function has the name after the hyphen, unless `function` says another.
    """

    def make(check: Callable[[Checking], None]) -> Task:
        known = function or name.split("-", 1)[1]
        TASKS[name] = Task(name, known, equation, points, check, reference, variants)
        return TASKS[name]

    return make


def find(name: str) -> Task:
    """The task of that name; `T2IError` with a suggestion if there is none."""
    if name not in TASKS:
        raise unknown("task", name, TASKS)
    return TASKS[name]
