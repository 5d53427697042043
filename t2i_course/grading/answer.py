"""A learner's answer as a check sees it, and the feedback that comes of it.

Values that pass between the two are plain (tensors, numbers, strings, lists, dicts), so that in
grading the answer can live in another process.
"""

import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

LAYERS = ("contract", "property", "oracle")


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
        assert layer in LAYERS, layer
        self.layer, self.case, self.likely = layer, case, likely
        self.expected, self.came = expected, came
        lines = [f"Case:     {case}", f"Expected: {expected}", f"Came:     {came}"]
        super().__init__("\n".join(lines + ([f"Likely:   {likely}"] if likely else [])))


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
        return {name: value.detach().clone() for name, value in self._module().state_dict().items()}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Give a built `nn.Module` these parameters and buffers."""
        try:
            self._module().load_state_dict(dict(state))
        except RuntimeError as error:
            raise raised(error, "giving your module other weights") from None

    def _module(self) -> torch.nn.Module:
        if isinstance(self.function, torch.nn.Module):
            return self.function
        kind = f"a {type(self.function).__name__}"
        raise CheckFailed("contract", "what your class makes", "an nn.Module", kind)

    def _run(self, args: tuple, kwargs: dict) -> Any:
        try:
            return self.function(*args, **kwargs)
        except Feedback:
            raise
        except Exception as error:
            # torch raises NotImplementedError too, with words: for an operation on a wrong dtype.
            if isinstance(error, NotImplementedError) and not error.args:
                raise NotYet("Nothing is here yet.") from None
            raise raised(error) from None


def raised(error: Exception, case: str = "calling your answer") -> CheckFailed:
    """The feedback on an answer that raised: what, and in which of its lines."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" in the line `{frames[-1].line}`" if frames and frames[-1].line else ""
    came = f"{type(error).__name__}: {error}{where}"
    return CheckFailed("contract", case, "no error", came)


def gradients_of(value: Any, inputs: list[Tensor]) -> list[Tensor]:
    """The gradients of value.sum() by the inputs; `CheckFailed` where the graph is cut."""
    case = "the gradient of your result by what it depends on"
    cut = "something cuts the graph: .detach(), .item(), .data, no_grad or a new torch.tensor(…)."
    if not isinstance(value, Tensor) or not value.requires_grad:
        raise CheckFailed("contract", case, "a result that remembers its inputs", "none", cut)
    try:
        with torch.enable_grad():
            found = torch.autograd.grad(value.sum(), inputs, allow_unused=True)
    except RuntimeError as error:  # such as a value that was changed in place after its use
        raise raised(error, case) from None
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


def shown(value: Any) -> str:
    """A value in a line: up to eight numbers, and the shape where there are more."""
    if not isinstance(value, Tensor):
        text = f"{value:.6g}" if type(value) is float else repr(value)
        return text if len(text) <= 200 else text[:200] + " …"
    numbers = value.detach().flatten()[:8].tolist()
    text = ", ".join(f"{n:.5g}" if isinstance(n, float) else str(n) for n in numbers)
    if value.ndim == 0:
        return text
    more = ", …" if value.numel() > 8 else ""
    return f"[{text}{more}]" + (f" of shape {list(value.shape)}" if value.ndim > 1 or more else "")
