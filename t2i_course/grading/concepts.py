"""Five concept questions at the start and at the end of each notebook, marked by the machine.

The questions stand in `concepts.toml`. Answers are kept in `concepts.csv` in the runs folder
(`T2I_RUNS`, or `runs`), so that start and end are compared even after a restart, and an instructor
can collect them. This is no examination: a learner can write anything into that file.
"""

import csv
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from t2i_course.errors import T2IError, unknown
from t2i_course.places import runs_root

__all__ = ["Gain", "Question", "ask", "gain", "mark", "normalised_gain", "questions"]

LETTERS = "abcd"
COLUMNS = ["notebook", "when", "right", "of", "answers", "time"]


@dataclass(frozen=True)
class Question:
    """A question with its four options by letter, the right letter, and why it is right."""

    text: str
    options: dict[str, str]
    answer: str
    why: str


@cache
def _all_questions() -> dict[str, tuple[Question, ...]]:
    text = files("t2i_course.grading").joinpath("concepts.toml").read_text("utf-8")
    return {
        notebook: tuple(
            Question(
                text=entry["question"],
                options={letter: entry[letter] for letter in LETTERS},
                answer=entry["answer"],
                why=entry["why"],
            )
            for entry in entries
        )
        for notebook, entries in tomllib.loads(text).items()
    }


def questions(notebook: str) -> tuple[Question, ...]:
    """The five questions of a notebook, such as "02"; `T2IError` if there is none of that name."""
    known = _all_questions()
    if notebook not in known:
        raise unknown("notebook with concept questions", notebook, known)
    return known[notebook]


def ask(notebook: str) -> None:
    """Display the notebook's questions, each with its options a to d, as Markdown.

    Raises:
        T2IError: for a notebook without questions.
    """
    from IPython.display import Markdown, display

    parts = []
    for number, question in enumerate(questions(notebook), start=1):
        options = "\n".join(f"- **{letter}** {text}" for letter, text in question.options.items())
        parts.append(f"**{number}.** {question.text}\n\n{options}")
    display(Markdown("\n\n".join(parts)))


def mark(notebook: str, *, before: str | None = None, after: str | None = None) -> None:
    """Mark the answers given at the start (`before`) or at the end (`after`), and keep them.

    `before` prints only how many are right. `after` also explains what was wrong, and compares with
    the first answers given at the start. While a "?" is left, nothing is kept.

    Args:
        notebook: such as "02".
        before, after: one letter per question, such as "badca"; give one of the two.

    Raises:
        T2IError: for another number of letters, or a letter other than a to d.
    """
    if (before is None) == (after is None):
        raise T2IError(
            f'Give either before= or after=: concepts.mark("{notebook}", before="?????").'
        )
    when, given = ("before", before) if before is not None else ("after", after)
    asked = questions(notebook)
    answers = _checked(given or "", len(asked), when)
    if "?" in answers:
        answered = len(asked) - answers.count("?")
        head = f"{answered} of {len(asked)} answered so far" if answered else "Nothing answered yet"
        print(f"{head}: in {when}={answers!r}, replace each ? by a letter from a to d.")
        return
    right = [letter == question.answer for letter, question in zip(answers, asked, strict=True)]
    path = runs_root() / "concepts.csv"
    _keep(path, notebook, when, sum(right), answers)
    print(f"{sum(right)} of {len(asked)} right.")
    if when == "after":
        for number, (question, letter) in enumerate(zip(asked, answers, strict=True), start=1):
            if letter != question.answer:
                print(f"\n{number}. Not {letter}, but {question.answer}: {question.why}")
        print("\n" + _compared(sum(right), len(asked), _first(path, notebook, "before")))


def _checked(answers: str, count: int, when: str) -> str:
    letters = answers.replace(" ", "").lower()
    wrong = sorted(set(letters) - set(LETTERS + "?"))
    if wrong or len(letters) != count:
        found = f"{wrong[0]!r} is none of them" if wrong else f"there are {len(letters)}"
        raise T2IError(
            f"{when}={answers!r}: type {count} letters from a to d, one per question, such as "
            f"{'badca'[:count]!r}; {found}."
        )
    return letters


def _compared(right: int, of: int, before: float | None) -> str:
    if before is None:
        return "No answers from the start of this notebook are kept, so there is no gain to show."
    change = f"At the start: {before * of:.0f} of {of}. Now: {right} of {of}."
    share = normalised_gain(before, right / of)
    return (
        change
        if share is None or share < 0
        else f"{change} Of what there was to gain: {share:.0%}."
    )


def normalised_gain(before: float, after: float) -> float | None:
    """(after − before) / (1 − before), for shares of right answers in [0, 1]; None if before is 1.

    Hake (1998), "Interactive-engagement versus traditional methods", equation 1.
    """
    return None if before == 1 else (after - before) / (1 - before)


# The file


class Gain(NamedTuple):
    """How a class did in one notebook: shares of right answers, and the normalised gain."""

    notebook: str
    learners: int
    before: float
    after: float
    gain: float | None


def gain(paths: Iterable[str | Path]) -> list[Gain]:
    """One row per notebook, from each learner's `concepts.csv`.

    A learner counts for a notebook with the first answers given before it and the first given
    after it (later ones have seen the explanations), and only if there are both. The gain is that
    of the class: `normalised_gain` of the two means.

    Raises:
        T2IError: for a file that is missing or is not a `concepts.csv`.
    """
    pairs: dict[str, list[tuple[float, float]]] = {}
    for path in map(Path, paths):
        if not path.is_file():
            raise T2IError(f"There is no file {path}: give the path of a learner's concepts.csv.")
        for notebook in sorted({row.notebook for row in _rows(path)}):
            before, after = (_first(path, notebook, when) for when in ("before", "after"))
            if before is not None and after is not None:
                pairs.setdefault(notebook, []).append((before, after))
    table = []
    for notebook, shares in sorted(pairs.items()):
        before, after = (sum(column) / len(shares) for column in zip(*shares, strict=True))
        table.append(Gain(notebook, len(shares), before, after, normalised_gain(before, after)))
    return table


class _Row(NamedTuple):
    notebook: str
    when: str
    share: float
    answers: str


def _rows(path: Path) -> list[_Row]:
    """The rows of a `concepts.csv`, oldest first; none if there is no file."""
    if not path.exists():
        return []
    rows = []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            for entry in csv.DictReader(file, strict=True):
                right, of = int(entry["right"]), int(entry["of"])
                if not (0 <= right <= of and of > 0 and entry["when"] in ("before", "after")):
                    raise ValueError
                rows.append(_Row(entry["notebook"], entry["when"], right / of, entry["answers"]))
    except (ValueError, KeyError, TypeError, csv.Error) as error:
        raise T2IError(
            f"{path} cannot be read as answers to concept questions (row {len(rows) + 1}): its "
            f"columns are {', '.join(COLUMNS)}. Delete the row, or move the file away."
        ) from error
    return rows


def _first(path: Path, notebook: str, when: str) -> float | None:
    """The share that was right the first time, or None if nothing is kept."""
    shares = [row.share for row in _rows(path) if (row.notebook, row.when) == (notebook, when)]
    return shares[0] if shares else None


def _keep(path: Path, notebook: str, when: str, right: int, answers: str) -> None:
    """Append the answers, unless the same ones are the last that are kept (a cell run again)."""
    kept = [row.answers for row in _rows(path) if (row.notebook, row.when) == (notebook, when)]
    if kept[-1:] == [answers]:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            if file.tell() == 0:
                writer.writerow(COLUMNS)
            time = datetime.now(UTC).isoformat(timespec="seconds")
            writer.writerow([notebook, when, right, len(answers), answers, time])
    except OSError as error:
        raise T2IError(f"Answers cannot be kept in {path}: {error.strerror}.") from error
