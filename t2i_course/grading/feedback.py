"""What is written of a graded submission: for the learner, for Gradescope, for nbgrader, for the
instructor. Texts of learners are shown as text, never as markup."""

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from t2i_course.grading.exercise import Exercise
from t2i_course.grading.judging import Graded, Verdict
from t2i_course.grading.submissions import Entry

MARKS = {"right": "right", "not yet": "not written yet", "absent": "not found"}
NBGRADER = (
    "assignment", "duedate", "timestamp", "student_id", "last_name", "first_name", "email",
    "raw_score", "late_submission_penalty", "score", "max_score",
)  # fmt: skip


def clean(text: str, longest: int = 4000) -> str:
    """A learner's text without control characters, cut."""
    text = text.encode("utf-8", errors="backslashreplace").decode()
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
    text = "".join(c if c.isprintable() or c == "\n" else "�" for c in text)
    return text if len(text) <= longest else text[:longest] + "\n… (cut)"


def fenced(text: str) -> str:
    """A block of Markdown that shows the text as it is, whatever it holds."""
    text = clean(text)
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{fence}text\n{text}\n{fence}"


def inline(text: str) -> str:
    """A text in a line or a table's cell of Markdown, without meaning to it."""
    return re.sub(r"([\\`*_{}\[\]<>#|~&!$])", r"\\\1", clean(text, 300).replace("\n", " "))


def page(entry: Entry, graded: Graded | None, exercise: Exercise, late: str) -> str:
    """The feedback for a learner, in Markdown."""
    lines = [f"# {exercise.name}: {inline(entry.student)}", ""]
    if graded is None or not graded.verdicts:
        notes = [entry.note, *(graded.notes if graded else ())]
        lines += ["Nothing could be graded.", "", *(inline(note) for note in notes if note)]
        return "\n".join([*lines, ""])
    lines += [f"**{graded.points} of {exercise.most} points** by the checks.", ""]
    lines += [f"- {inline(note)}" for note in (entry.note, late, *graded.notes) if note]
    for verdict in graded.verdicts:
        mark = MARKS.get(verdict.outcome, "not right" if verdict.layer else verdict.outcome)
        lines += ["", f"## {verdict.task}: {mark}, {verdict.points} of {verdict.most}", ""]
        lines += [f"- {inline(note)}" for note in verdict.notes]
        if verdict.words:
            lines += ["", fenced(verdict.words)]
        if verdict.output:
            lines += ["", "What it printed:", "", fenced(verdict.output)]
    for question in exercise.questions:
        lines += ["", f"## {question.name}: graded by hand, of {question.points:g}"]
    return "\n".join([*lines, ""])


def gradescope(graded: Graded | None, exercise: Exercise, note: str) -> str:
    """Gradescope's results.json. Every task is in it, also of what could not be graded."""
    verdicts = graded.verdicts if graded else ()
    tests = [_test(verdict) for verdict in verdicts] or [
        {"name": task.name, "score": 0, "max_score": task.points, "output": "", "status": "failed"}
        for task, _ in exercise.tasks
    ]
    notes = [note, *(graded.notes if graded else ())]
    result = {
        "score": graded.points if graded else 0,
        "max_score": exercise.most,
        "output": clean(" ".join(each for each in notes if each)),
        "output_format": "text",
        "test_output_format": "text",
        "visibility": "visible",
        "stdout_visibility": "hidden",
        "tests": tests,
    }
    return json.dumps(result, indent=1, ensure_ascii=False) + "\n"


def _test(verdict: Verdict) -> dict[str, object]:
    return {
        "name": verdict.task,
        "score": verdict.points,
        "max_score": verdict.most,
        "status": "passed" if verdict.outcome == "right" else "failed",
        "output": clean("\n".join([*verdict.notes, verdict.words])),
    }


def table(rows: Iterable[Sequence[object]]) -> str:
    """Rows as CSV; a text that a spreadsheet would compute is quoted with an apostrophe."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for row in rows:
        words = ["" if cell is None else str(cell) for cell in row]
        writer.writerow(["'" + word if word[:1] in "=+-@\t\r" and word else word for word in words])
    return text.getvalue()


def nbgrader(rows: Iterable[tuple[Entry, Graded | None]], exercise: Exercise, due: str = "") -> str:
    """The gradebook in the columns of `nbgrader export`, a line for each student."""
    lines: list[Sequence[object]] = [NBGRADER]
    for entry, graded in rows:
        when = datetime.fromtimestamp(entry.when, UTC).replace(tzinfo=None) if entry.when else ""
        points = float(graded.points if graded else 0)
        most = float(exercise.most + sum(question.points for question in exercise.questions))
        lines.append(
            (exercise.stem, due, when, entry.student, "", "", "", points, 0.0, points, most)
        )  # fmt: skip
    return table(lines)


def by_hand(rows: Iterable[tuple[Entry, Graded | None]], exercise: Exercise) -> str:
    """All answers in words, question by question, for an instructor to read in one go."""
    rows = [(entry, graded) for entry, graded in rows if graded and graded.prose]
    lines = [f"# {exercise.name}: to grade by hand", ""]
    for question in exercise.questions:
        lines += [f"## {question.name} ({question.points:g} points)", ""]
        for entry, graded in rows:
            text = (graded.prose or {}).get(question.name, "") if graded else ""
            if text.strip():
                lines += [f"### {inline(entry.student)}", "", fenced(text), ""]
    return "\n".join(lines)


def summary(rows: Sequence[tuple[Entry, str, Graded | None]], exercise: Exercise) -> str:
    """The page for the instructor: how the class did, task by task; no names on it.

    Args:
        rows: with the state of each.
    """
    graded = [result for _, _, result in rows if result is not None and result.verdicts]
    states = Counter(state for _, state, _ in rows)
    lines = [
        f"# {exercise.name}: {len(rows)} submissions", "",
        ", ".join(f"{count} {state}" for state, count in sorted(states.items())) + ".", "",
        "## Tasks", "",
        "Who has it right, of those graded; in which layer the others fell; hardest first.", "",
        "| task | points | right | contract | property | oracle | not yet | absent | ended |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]  # fmt: skip
    columns = list(zip(*(result.verdicts for result in graded), strict=True))
    parts = []
    for verdicts in columns:
        of = Counter(each.outcome for each in verdicts)
        layers = Counter(each.layer for each in verdicts)
        share = of["right"] / len(verdicts)
        ended = of["timed out"] + of["crashed"] + of["forged"]
        counts = [layers["contract"], layers["property"], layers["oracle"]]
        cells = [verdicts[0].task, verdicts[0].most, f"{_bar(share)} {share:.0%}", *counts,
                 of["not yet"], of["absent"], ended]  # fmt: skip
        parts.append((share, "| " + " | ".join(map(str, cells)) + " |"))
    lines += [line for _, line in sorted(parts, key=lambda part: part[0])]
    if graded:
        hardest = min(parts)[1].split("|")[1].strip()
        mean = sum(result.points for result in graded) / len(graded)
        lines += ["", f"Hardest: {hardest}. Mean: {mean:.2f} of {exercise.most} points.", ""]
        lines += ["## Points", "", "| points | submissions | |", "| --- | --- | --- |"]
        totals = Counter(result.points for result in graded)
        most = max(totals.values())
        lines += [
            f"| {points} | {totals[points]} | {_bar(totals[points] / most)} |"
            for points in range(exercise.most + 1)
            if totals[points]
        ]
    return "\n".join([*lines, ""])


def _bar(share: float) -> str:
    full = round(20 * share)
    return "█" * full + "░" * (20 - full)
