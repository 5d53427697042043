"""The grader's side of a worker: what is asked of it, and what of its replies is believed.

Everything that comes from a worker is taken for what it is: values that somebody wrote. `LostError`
says that a worker has ended or spoken nonsense; no other error of a worker's reaches the grader.
"""

import json
import socket
from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from t2i_course.errors import T2IError
from t2i_course.grading.answer import CheckFailed, Feedback, NotYet, plain
from t2i_course.grading.wire import LARGE, ClosedError, TooLateError, Wire, WireError, pack
from t2i_course.grading.worker import joined, split

REPORT = 1 << 16  # bytes

State = Literal["timed out", "crashed", "forged"]


class LostError(Exception):
    """A worker is gone or cannot be believed.

    Attributes:
        state: what became of it.
        output: the start of what it printed.
    """

    def __init__(self, state: State, words: str, output: str = ""):
        super().__init__(words)
        self.state, self.output = state, output


class SandboxLostError(T2IError):
    """The sandbox itself has ended: no fault of a submission that is known."""


def told(lifeline: socket.socket) -> dict[str, Any]:
    """The last words of a worker's keeper; {} if it has none. The worker is ended with that."""
    try:
        lifeline.settimeout(5)
        lifeline.shutdown(socket.SHUT_WR)
        words = b"".join(iter(lambda: lifeline.recv(REPORT), b""))
        return json.loads(words)
    except (OSError, ValueError):
        return {}


class Worker:
    """A process that answers requests; see `worker.Server` for what can be asked."""

    def __init__(
        self, wire: Wire, lifeline: socket.socket, seconds: float, ended: Callable[[], bool]
    ):
        self.wire, self.lifeline, self.seconds, self.ended = wire, lifeline, seconds, ended
        self.last = 0
        self.lost: LostError | T2IError | None = None  # why it answers no more

    def ask(self, do: str, functions: Sequence[Callable[..., Any]] = (), **arguments: Any) -> Any:
        """What the worker answers.

        Args:
            functions: filled with those among the arguments, by the number that stands for each.

        Raises:
            NotYet, CheckFailed: as the worker says.
            LostError: it ended, took too long, or answered nonsense.
        """
        known: list[Callable[..., Any]] = list(functions)

        def number(function: Callable[..., Any]) -> int:
            known.append(function)
            return len(known) - 1

        if self.lost is not None:
            raise self.lost
        self.last += 1
        felt: Feedback | None = None
        try:
            frame = pack({"id": self.last, "do": do, **arguments}, number, LARGE)
        except WireError as error:
            self.lost = T2IError(f"A check gives an answer {error}, which cannot cross.")
            raise self.lost from None
        try:
            self.wire.send_frame(frame)
            while True:
                reply = self.wire.receive()
                if type(reply) is dict and reply.keys() == {
                    "call", "args", "kwargs", "more", "counts"
                }:  # fmt: skip
                    try:
                        self.wire.send({"value": evaluated(known, reply)}, number)
                    except Feedback as feedback:
                        felt = felt or feedback
                        self.wire.send({"raised": "the check stopped here"})
                    except (ClosedError, TooLateError):
                        raise
                    except Exception as error:
                        self.wire.send({"raised": f"{type(error).__name__}: {error}"[:1000]})
                    continue
                if felt is not None:
                    raise felt
                return self._value(reply)
        except TooLateError:
            raise self._lose("timed out") from None
        except ClosedError:
            raise self._lose() from None
        except WireError as error:
            raise self._lose("forged", f"Your code sent the grader {error}.") from None

    def _value(self, reply: Any) -> Any:
        if type(reply) is not dict or reply.get("id") != self.last:
            raise WireError("a message that answers nothing")
        words = reply.get("failed")
        if reply.get("not_yet") is True:
            raise NotYet("Nothing is here yet.")
        if type(words) is list and len(words) == 5 and all(type(each) is str for each in words):
            raise CheckFailed("contract", *(each[:2000] for each in words[1:]))
        if "value" not in reply:
            raise WireError("a message without a value")
        return reply["value"]

    def _lose(self, state: State | None = None, words: str = "") -> LostError | T2IError:
        """End the worker; why it is gone, from its keeper's report."""
        report = told(self.lifeline)
        output, code = report.get("output", ""), report.get("exit")
        # The clock by which the kernel kills (-9) runs a share ahead of the one that it reports.
        over = code == -9 and report.get("cpu", 0) > 0.8 * max(1, round(self.seconds))
        if not report and self.ended():
            self.lost = SandboxLostError(
                "The sandbox has ended. Run the same command again: it goes on."
            )
        elif state == "forged":
            self.lost = LostError(state, words, output)
        elif state or report.get("late") or over:
            words = f"Your code took longer than {self.seconds:g} seconds, and was ended."
            self.lost = LostError("timed out", words, output)
        else:
            why = f"signal {-code}" if isinstance(code, int) and code < 0 else f"exit code {code}"
            words = f"Your code ended its own process ({why}): exit, a kill, or too much memory."
            self.lost = LostError("crashed", words, output)
        return self.lost


def evaluated(known: list[Callable[..., Any]], call: dict[str, Any]) -> Any:
    """The value of a function that a worker called, or of a derivative of it.

    `counts` has a number for each time that it is differentiated: how many tensors the function
    differentiated takes; `more` has the cotangents of all of them.
    """
    number, args, kwargs = call["call"], call["args"], call["kwargs"]
    more, counts = call["more"], call["counts"]
    if type(number) is not int or not 0 <= number < len(known):
        raise TypeError("there is no such function")
    if type(args) is not tuple or type(kwargs) is not dict or len(counts) > 3:
        raise TypeError("a call without arguments")
    if not counts:
        return plain(known[number](*args, **kwargs))
    skeleton, floats = split((args, kwargs))
    if not all(isinstance(each, Tensor) for each in more):
        raise TypeError("cotangents are tensors")

    def function(*tensors: Tensor) -> list[Tensor]:
        args, kwargs = joined(skeleton, list(tensors))
        return split(known[number](*args, **kwargs))[1]

    for count in counts:
        function = _pulled(function, count)
    with torch.enable_grad():
        return [each.detach() for each in function(*floats, *more)]


def _pulled(function: Callable[..., list[Tensor]], count: int) -> Callable[..., list[Tensor]]:
    """The product of a function's transposed Jacobian with cotangents: a function of the `count`
    tensors that it takes, then of the cotangents."""

    def pulled(*given: Tensor) -> list[Tensor]:
        inputs = [x if x.requires_grad else x.detach().requires_grad_() for x in given[:count]]
        pairs = [
            (output, cotangent)
            for output, cotangent in zip(function(*inputs), given[count:], strict=True)
            if output.requires_grad
        ]
        if not pairs:
            return [torch.zeros_like(x) for x in inputs]
        outputs, cotangents = zip(*pairs, strict=True)
        found = torch.autograd.grad(outputs, inputs, cotangents, True, True, allow_unused=True)
        return [torch.zeros_like(x) if g is None else g for x, g in zip(inputs, found, strict=True)]

    return pulled
