"""A learner's answer that lives in a worker, with the methods of one that lives here."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from t2i_course.grading.answer import Answer, CheckFailed, plain
from t2i_course.grading.asking import Worker


class RemoteAnswer(Answer):
    """What a worker knows under a number.

    Raises, in each method: `NotYet` and `CheckFailed` as `Answer` does, `LostError` when the
    worker is gone or answers nonsense.
    """

    def __init__(self, worker: Worker, number: int):
        self.worker, self.number = worker, number

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return plain(self._ask("call", args=args, kwargs=kwargs))

    def gradients(self, *args: Any, wrt: Sequence[int] = (0,), **kwargs: Any) -> list[Tensor]:
        found = self._ask("gradients", args=args, kwargs=kwargs, wrt=list(wrt))
        shapes = [args[i].shape for i in wrt]
        _expect(
            type(found) is list
            and all(isinstance(each, Tensor) for each in found)
            and [each.shape for each in found] == shapes,
            "a gradient for each input",
        )
        return found

    def build(self, *args: Any, **kwargs: Any) -> "RemoteAnswer":
        number = self._ask("build", args=args, kwargs=kwargs)
        _expect(type(number) is int, "an object")
        return RemoteAnswer(self.worker, number)

    def state(self) -> dict[str, Tensor]:
        found = self._ask("state")
        _expect(
            type(found) is dict
            and all(type(k) is str and isinstance(v, Tensor) for k, v in found.items()),
            "parameters by name",
        )
        return found

    def load(self, state: Mapping[str, Tensor]) -> None:
        self._ask("load", state=dict(state))

    def _ask(self, do: str, **arguments: Any) -> Any:
        return self.worker.ask(do, answer=self.number, **arguments)


def _expect(condition: bool, what: str) -> None:
    if not condition:
        raise CheckFailed("contract", "what your answer returns", what, "something else")
