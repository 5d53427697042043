"""What runs inside the sandbox: a learner's cells, called as the grader asks over a `Wire`.

Nothing here decides anything. It shares `checking.Answer` with the learner's own notebook, so that
what an answer raises, changes in place or cuts is said in the same words.
"""

import linecache
import os
import signal
import socket
import sys
import types
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from t2i_course.grading import notebooks
from t2i_course.grading.answer import Answer, CheckFailed, Feedback, NotYet, raised
from t2i_course.grading.wire import LARGE, ClosedError, Wire, WireError


class WriteItYourself(Feedback):
    """A function of the package was called that is the answer of a task."""


class Functions:
    """Functions of the grader's, which the learner's code calls as if they were here.

    They may be differentiated, as often as wanted: each derivative is a call of its own.
    """

    def __init__(self, wire: Wire):
        self.wire = wire

    def __call__(self, number: int) -> Callable[..., Any]:
        """The function of that number."""

        def function(*args: Any, **kwargs: Any) -> Any:
            _, floats = split((args, kwargs))
            if not (torch.is_grad_enabled() and any(each.requires_grad for each in floats)):
                return self.ask(number, args, kwargs, [], [])
            shape: list[Any] = []
            found = _Called.apply(self, number, (args, kwargs), [], len(floats), shape, *floats)
            return joined(shape[0], list(found))

        return function

    def ask(self, number: int, args: tuple, kwargs: dict, more: list, counts: list) -> Any:
        """The grader's value; what its function raised is raised here."""
        self.wire.send(
            {"call": number, "args": args, "kwargs": kwargs, "more": more, "counts": counts}
        )
        reply = self.wire.receive()
        if "value" not in reply:
            raise RuntimeError(reply["raised"])
        return reply["value"]


class _Called(torch.autograd.Function):
    """A call of the grader's function (`counts` empty) or of its derivative of that order."""

    @staticmethod
    def forward(
        ctx: Any, functions: Any, number: int, given: tuple, counts: list[int],
        count: int, shape: list, *floats: Tensor,
    ) -> Any:  # fmt: skip
        value = functions.ask(number, *given, list(floats[count:]), counts)
        skeleton, results = split(value)
        shape.append(skeleton)
        ctx.call = (functions, number, given, [*counts, len(floats)], count)
        ctx.save_for_backward(*floats)
        return tuple(results)

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> Any:
        floats = ctx.saved_tensors
        found = _Called.apply(*ctx.call, [], *floats, *cotangents)
        return (None,) * 6 + tuple(found)


def warm() -> None:
    """Let torch load what it loads at the first use, so that workers have it from the start."""
    x = torch.ones(2, requires_grad=True)
    value = _Called.apply(_Here(), 0, (), [], 1, [], x)[0]
    torch.autograd.grad(value.sum() + torch.nn.Linear(2, 1)(x).sum(), x, create_graph=True)


class _Here:
    """In place of `Functions`, to warm up with."""

    def ask(self, number: int, more: list, counts: list) -> Any:
        return [torch.ones(2)]


class Slot(int):
    """The place of a floating-point tensor taken out of a value."""


def split(value: Any) -> tuple[Any, list[Tensor]]:
    """A value with `Slot`s in place of its floating-point tensors, and those in order."""
    found: list[Tensor] = []

    def taken(value: Any) -> Any:
        if isinstance(value, Tensor) and value.is_floating_point():
            found.append(value)
            return Slot(len(found) - 1)
        if type(value) in (list, tuple):
            return type(value)(taken(each) for each in value)
        if type(value) is dict:
            return {key: taken(each) for key, each in value.items()}
        return value

    return taken(value), found


def joined(skeleton: Any, tensors: list[Tensor]) -> Any:
    """The value that `split` took apart, with these tensors in the slots."""
    if type(skeleton) is Slot:
        return tensors[skeleton]
    if type(skeleton) in (list, tuple):
        return type(skeleton)(joined(each, tensors) for each in skeleton)
    if type(skeleton) is dict:
        return {key: joined(each, tensors) for key, each in skeleton.items()}
    return skeleton


class Server:
    """The cells and objects of one worker.

    Requests are dicts: `do` is one of the methods below, the rest are its arguments.
    """

    def __init__(self, wire: Wire):
        self.module = types.ModuleType("__main__")
        self.answers: list[Answer] = []
        self.functions = Functions(wire)

    def notebook(self, raw: Tensor, tasks: list, known: list[str], prose: list[str]) -> dict:
        """What a notebook holds of these tasks: see `notebooks.answers`."""
        try:
            return notebooks.answers(raw.numpy().tobytes(), tasks, known, prose)
        except notebooks.UnreadableError as error:
            return {"unreadable": str(error)}

    def define(self, cells: list[str], forgiven: int, name: str) -> dict[str, Any]:
        """Run cells one after the other; an error in the first `forgiven` of them is passed over.

        Returns:
            "answer": the number of what is then called `name`, or None; "failed": what the last
            cells raised, in words, or None.
        """
        sys.modules["__main__"] = self.module
        failed = None
        for k, source in enumerate(cells):
            file = f"<cell {k}>"
            linecache.cache[file] = (len(source), None, source.splitlines(True), file)
            try:
                exec(compile(source, file, "exec"), self.module.__dict__)
            except WriteItYourself as words:
                failed = str(words)
            except BaseException as error:
                failed = failed if k < forgiven else raised_in(error)
        found = self.module.__dict__.get(name)
        if found is None:
            return {"answer": None, "failed": failed}
        return {"answer": self._keep(Answer(found)), "failed": failed}

    def call(self, answer: int, args: tuple, kwargs: dict) -> Any:
        return self.answers[answer](*args, **kwargs)

    def gradients(self, answer: int, args: tuple, kwargs: dict, wrt: list) -> list[Tensor]:
        return self.answers[answer].gradients(*args, wrt=wrt, **kwargs)

    def build(self, answer: int, args: tuple, kwargs: dict) -> int:
        return self._keep(self.answers[answer].build(*args, **kwargs))

    def state(self, answer: int) -> dict[str, Tensor]:
        return self.answers[answer].state()

    def load(self, answer: int, state: dict[str, Tensor]) -> None:
        self.answers[answer].load(state)

    def _keep(self, answer: Answer) -> int:
        self.answers.append(answer)
        return len(self.answers) - 1


def raised_in(error: BaseException) -> str:
    """What a cell raised, in words; whatever the error does when it is asked."""
    try:
        return str(raised(error).came)  # type: ignore[arg-type]
    except BaseException:
        return f"an error of type {type(error).__name__}"


def answered(server: Server, request: dict[str, Any]) -> dict[str, Any]:
    """The reply to a request: its value, or what to say to the learner."""
    try:
        return {"value": getattr(server, request.pop("do"))(**request)}
    except NotYet:
        return {"not_yet": True}
    except CheckFailed as failed:
        parts = (failed.layer, failed.case, failed.expected, failed.came, failed.likely)
        return {"failed": [str(part) for part in parts]}
    except WriteItYourself as words:
        return {"failed": ["contract", "calling your answer", "lines of your own", str(words), ""]}
    except BaseException as error:
        return {"failed": ["contract", "calling your answer", "no error", raised_in(error), ""]}


def serve(connection: socket.socket) -> None:
    """Answer requests until the grader closes the connection; does not return."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    torch.manual_seed(0)
    wire = Wire(connection, LARGE)
    server = Server(wire)
    try:
        while True:
            request = wire.receive(server.functions)
            reply = {"id": request.pop("id"), **answered(server, request)}
            try:
                wire.send(reply)
            except (ClosedError, OSError):
                break
            except (WireError, MemoryError, RuntimeError) as error:
                words = ["contract", "what your answer returns",
                         "tensors, numbers, strings, lists or dicts", str(error), ""]  # fmt: skip
                wire.send({"id": reply["id"], "failed": words})
    except BaseException:
        os._exit(1)
    os._exit(0)
