"""One submission: its answers taken out, run in workers, and judged here by the checks."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from t2i_course.contract import Settings, T2IError, require
from t2i_course.grading.answer import CheckFailed, Feedback, NotYet
from t2i_course.grading.asking import LostError, Worker
from t2i_course.grading.checking import Task
from t2i_course.grading.exercise import Exercise
from t2i_course.grading.remote import RemoteAnswer
from t2i_course.grading.sandbox import Sandbox

READING_SECONDS, READING_MB = 60.0, 2048  # for taking a notebook apart
OUTCOMES = ("right", "wrong", "not yet", "absent", "timed out", "crashed", "forged")
LOST = ("timed out", "crashed", "forged")


@dataclass(frozen=True)
class Rules(Settings):
    """What decides about points beside the submission and the checks.

    Attributes:
        seed: of the hidden inputs, the same for all.
        variant: of the tasks.
        seconds: of process time for each task.
        memory_mb: for each task, beside what torch takes.
        isolated: False where submissions are trusted.
    """

    seed: int
    variant: int = 1
    seconds: float = 20.0
    memory_mb: int = 2048
    isolated: bool = True

    def __post_init__(self) -> None:
        require(0 <= self.seed < 2**63, f"The seed must be a whole number from 0, not {self.seed}.")
        require(1 <= self.seconds <= 3600, f"--seconds must be 1 to 3600, not {self.seconds}.")
        require(self.memory_mb >= 256, f"--memory must be at least 256 MB, not {self.memory_mb}.")


@dataclass(frozen=True)
class Verdict(Settings):
    """What became of a task.

    Attributes:
        task: its name.
        outcome: of `OUTCOMES`.
        points, most: given, and for a right answer.
        words: for the learner.
        layer: where a wrong answer fell, or "".
        notes: on how the answer was found.
        output: the start of what it printed before it was ended.
    """

    task: str
    outcome: str
    points: int
    most: int
    words: str = ""
    layer: str = ""
    notes: tuple[str, ...] = ()
    output: str = ""


@dataclass(frozen=True)
class Graded(Settings):
    """What became of a submission.

    Attributes:
        state: graded, partly (a task was ended), empty (nothing is written) or unreadable.
        verdicts: one a task, in the exercise's order; none of an unreadable one.
        prose: answers in words, by the question's name.
        notes: for the instructor and the learner.
    """

    state: str
    verdicts: tuple[Verdict, ...] = ()
    prose: dict[str, str] | None = None
    notes: tuple[str, ...] = ()

    @property
    def points(self) -> int:
        """The sum over the tasks."""
        return sum(verdict.points for verdict in self.verdicts)


def judge(raw: bytes, exercise: Exercise, rules: Rules, sandbox: Sandbox) -> Graded:
    """Judge a submission's bytes. Whatever they are, something comes back.

    Raises:
        SandboxLostError: if the sandbox has ended: nothing is known then.
    """
    if not raw.strip():
        return Graded("unreadable", notes=("The file is empty.",))
    try:
        with sandbox.worker(READING_SECONDS, READING_MB) as worker:
            held = worker.ask(
                "notebook",
                raw=torch.frombuffer(bytearray(raw), dtype=torch.uint8),
                tasks=[[task.name, task.function] for task, _ in exercise.tasks],
                known=exercise.known,
                prose=[question.name for question in exercise.questions],
            )
    except (LostError, Feedback) as error:
        why = (
            "takes too long or too much memory to read"
            if isinstance(error, LostError)
            else "is odd"
        )
        return Graded("unreadable", notes=(f"The notebook {why}.",))
    if "unreadable" in held:
        return Graded("unreadable", notes=(held["unreadable"],))
    verdicts = tuple(
        judge_task(task, variant, held["tasks"][task.name], exercise, rules, sandbox)
        for task, variant in exercise.tasks
    )
    outcomes = {verdict.outcome for verdict in verdicts}
    prose = dict(held["prose"])
    state = "partly" if outcomes & set(LOST) else "graded"
    if outcomes <= {"not yet", "absent"} and not any(map(_written, prose.values())):
        state = "empty"
    return Graded(state, verdicts, prose, tuple(held["notes"]))


def _written(text: str) -> bool:
    return bool(text.strip()) and "Write your answer here" not in text


def judge_task(
    task: Task, variant: int, held: dict[str, Any], exercise: Exercise, rules: Rules,
    sandbox: Sandbox,
) -> Verdict:  # fmt: skip
    """Judge one answer: its whole cell, and if that is not right, its definitions alone, so that
    what else stands in the cell costs no point."""
    notes = tuple(held["notes"])
    if held["cell"] is None:
        words = f"No cell defines {task.function}."
        return Verdict(task.name, "absent", 0, task.points, words, notes=notes)
    before = [*exercise.imports, *held["helpers"]]
    first = _tried(task, variant, [*before, held["cell"]], len(before), rules, sandbox)
    if first.outcome != "right" and held["definitions"]:
        cells = [*before, held["definitions"]]
        second = _tried(task, variant, cells, len(before), rules, sandbox)
        if second.outcome == "right":
            first = second
            notes += ("What else stands in the cell was left out: it stopped or misled the rest.",)
    return replace(first, notes=notes + first.notes)


def _tried(
    task: Task, variant: int, cells: Sequence[str], forgiven: int, rules: Rules, sandbox: Sandbox
) -> Verdict:  # fmt: skip
    base = Verdict(task.name, "right", task.points, task.points)
    wrong = replace(base, outcome="wrong", points=0, layer="contract")
    with sandbox.worker(rules.seconds, rules.memory_mb) as worker:
        verdict = wrong
        try:
            answer, notes = _defined(worker, task, cells, forgiven)
            task.run(answer, rules.seed, variant)
            verdict = replace(base, notes=notes)
        except NotYet as feedback:
            verdict = replace(wrong, outcome="not yet", layer="", words=str(feedback))
        except CheckFailed as feedback:
            verdict = replace(wrong, words=str(feedback), layer=feedback.layer)
        except (T2IError, LostError):
            pass  # looked at below: a check may have taken it for an error of its own
        except Exception as error:  # a check met a value that it did not expect
            words = f"What came back cannot be judged ({type(error).__name__}: {error})."
            verdict = replace(wrong, words=words)
        if isinstance(worker.lost, T2IError):
            raise worker.lost
        if worker.lost is not None:
            lost = worker.lost
            return replace(
                wrong, outcome=lost.state, layer="", words=str(lost), output=lost.output
            )  # fmt: skip
        return verdict


def _defined(
    worker: Worker, task: Task, cells: Sequence[str], forgiven: int
) -> tuple[RemoteAnswer, tuple[str, ...]]:
    reply = worker.ask("define", cells=list(cells), forgiven=forgiven, name=task.function)
    number, failed = (reply.get(key) for key in ("answer", "failed"))
    said = failed[:2000] if isinstance(failed, str) else ""
    if type(number) is not int:
        raise CheckFailed(
            "contract", "running your cell", f"a definition of {task.function}",
            said or "a cell without it",
        )  # fmt: skip
    notes = (f"After the definition the cell raised {said}.",) if said else ()
    return RemoteAnswer(worker, number), notes
