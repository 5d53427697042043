"""From a folder of submissions to a table of points. Whatever is in the folder.

What has been graded is kept beside the table, by the content of the submission, the seed, the
rules and the version of all that decides: a run that was ended goes on where it was.
"""

import hashlib
import json
import resource
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import psutil

from t2i_course.contract import T2IError, require, write_whole
from t2i_course.grading import feedback, submissions
from t2i_course.grading.asking import SandboxLostError
from t2i_course.grading.exercise import Exercise
from t2i_course.grading.judging import Graded, Rules, judge
from t2i_course.grading.sandbox import Sandbox
from t2i_course.grading.submissions import Entry

WAITING = "waiting"  # found, and not graded yet
KEEPING = threading.Lock()
MEMORY = 8 << 30  # bytes by which the grader's own process may grow


@dataclass(frozen=True)
class Row:
    """An entry of the folder, its state, and what came of it."""

    entry: Entry
    state: str
    graded: Graded | None = None


@dataclass
class Sandboxes:
    """The sandbox of a run; a new one in its place when it has ended."""

    exercise: Exercise
    isolated: bool
    lock: threading.Lock = field(default_factory=threading.Lock)
    current: Sandbox | None = None
    stopped: bool = False

    def get(self, instead_of: Sandbox | None = None) -> Sandbox:
        """The running sandbox, and not `instead_of`."""
        with self.lock:
            if self.stopped:
                raise SandboxLostError("The grading was stopped.")
            if self.current is None or self.current is instead_of:
                if self.current is not None:
                    self.current.close()
                references = [each for task, _ in self.exercise.tasks for each in task.references]
                self.current = Sandbox(references, self.exercise.warm, self.isolated)
            return self.current

    def close(self) -> None:
        """End it for good."""
        with self.lock:
            self.stopped = True
            if self.current is not None:
                self.current.close()


def grade(
    folder: Path, out: Path, exercise: Exercise, rules: Rules, *, jobs: int = 2,
    only: Sequence[str] = (), due: datetime | None = None, roster: Path | None = None,
    fresh: bool = False, say: Callable[[str], None] = print,
) -> list[Row]:  # fmt: skip
    """Grade a folder, and write the table `out` and all that stands beside it, in a folder of the
    same name without its ending: `feedback/`, `gradescope/`, `summary.md`, `nbgrader.csv`,
    `by_hand.md`, and `kept/`.

    Args:
        jobs: submissions at the same time.
        only: students; the others' results are those kept, or `waiting`.
        due: later submissions are marked late.
        roster: see `submissions.read_roster`.
        fresh: grade again what was graded.

    Raises:
        T2IError: if the folder or the roster cannot be read, `out` cannot be written, a student of
            `only` has no submission, or the system offers no isolation.
    """
    require(out.suffix == ".csv", f"The table is a CSV: --out must end in .csv, not {out.name!r}.")
    entries = submissions.find(folder, exercise.name, exercise.stem)
    if roster is not None:
        entries = submissions.with_roster(entries, submissions.read_roster(roster))
    require(bool(entries), f"There is nothing in {folder}.")
    students = {entry.student for entry in entries}
    for name in only:
        require(name in students, f"{name!r} has handed in nothing; see the names in {folder}.")
    beside = out.with_suffix("")
    rows = [Row(entry, entry.state or WAITING) for entry in entries]
    write_whole(beside / "kept" / "README", "Results by content; delete to grade again.\n")
    sandboxes = Sandboxes(exercise, rules.isolated)

    def one(row: Row) -> Row:
        return _row(row, exercise, rules, sandboxes, beside / "kept", fresh, only)

    done = 0
    wanted = [k for k, row in enumerate(rows) if row.state == WAITING]
    pool = ThreadPoolExecutor(max_workers=max(1, jobs))
    limit = _bound_memory()
    try:
        if rules.isolated and wanted:
            sandboxes.get()  # whether the system offers it is known before anything else
        futures = {pool.submit(one, rows[k]): k for k in wanted}
        for future in as_completed(futures):
            row = rows[futures[future]] = future.result()
            done += 1
            if row.graded is not None:
                points = f"{row.graded.points} of {exercise.most}"
                say(f"{done} of {len(wanted)}: {row.entry.student}: {row.state}, {points}")
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        sandboxes.close()
        pool.shutdown(wait=True)
        resource.setrlimit(resource.RLIMIT_AS, limit)
        if done or not wanted:
            _write(rows, out, beside, exercise, rules, due)
    return rows


def _bound_memory() -> tuple[int, int]:
    """Let this process grow by `MEMORY` at most, so that no value that a check computes with takes
    the machine; the limit that was."""
    limit = resource.getrlimit(resource.RLIMIT_AS)
    most = psutil.Process().memory_info().vms + MEMORY
    if limit[0] == resource.RLIM_INFINITY or limit[0] > most:
        resource.setrlimit(resource.RLIMIT_AS, (most, limit[1]))
    return limit


def _row(
    row: Row, exercise: Exercise, rules: Rules, sandboxes: Sandboxes, kept: Path, fresh: bool,
    only: Sequence[str],
) -> Row:  # fmt: skip
    entry = row.entry
    assert entry.path is not None
    try:
        raw = submissions.read(entry.path)
    except submissions.UnfitFileError as error:
        return Row(entry, "unreadable", Graded("unreadable", notes=(str(error),)))
    path = kept / f"{_key(raw, exercise, rules)}.json"
    mine = not only or entry.student in only
    old = None if fresh and mine else _kept(path)
    if old is not None:
        return Row(entry, old.state, old)
    if not mine:
        return row
    graded = _judged(raw, exercise, rules, sandboxes)
    if graded is None:  # not kept: it may be the machine's fault
        notes = ("The sandbox ended twice while this was graded.",)
        return Row(entry, "unreadable", Graded("unreadable", notes=notes))
    with KEEPING:  # two submissions may hold the same bytes
        write_whole(path, json.dumps(graded.to_dict(), indent=1) + "\n")
    return Row(entry, graded.state, graded)


def _judged(raw: bytes, exercise: Exercise, rules: Rules, sandboxes: Sandboxes) -> Graded | None:
    sandbox = sandboxes.get()
    try:
        return judge(raw, exercise, rules, sandbox)
    except SandboxLostError:
        sandbox = sandboxes.get(instead_of=sandbox)
    try:
        return judge(raw, exercise, rules, sandbox)
    except SandboxLostError:
        sandboxes.get(instead_of=sandbox)
    return None


def _key(raw: bytes, exercise: Exercise, rules: Rules) -> str:
    digest = hashlib.sha256(exercise.version.encode())
    digest.update(json.dumps(rules.to_dict(), sort_keys=True).encode())
    digest.update(raw)
    return digest.hexdigest()


def _kept(path: Path) -> Graded | None:
    try:
        return Graded.from_dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, T2IError):
        return None


def _late(entry: Entry, due: datetime | None) -> str:
    """How late a submission is, in hours; "" if it is not."""
    hours = (entry.when - due.timestamp()) / 3600 if due and entry.when else 0
    return f"{hours:.1f} h" if hours > 0 else ""


def _write(
    rows: list[Row], out: Path, beside: Path, exercise: Exercise, rules: Rules,
    due: datetime | None,
) -> None:  # fmt: skip
    """The table and all that stands beside it."""
    tasks = [task.name for task, _ in exercise.tasks]
    questions = [question.name for question in exercise.questions]
    lines: list[Sequence[object]] = [
        ("student", "submission", "state", *tasks, "total", "max", *questions, "late",
         "isolation", "notes"),
    ]  # fmt: skip
    slugs = submissions.slugs([row.entry.student for row in rows])
    isolation = "namespaces" if rules.isolated else "none"
    for row in rows:
        graded, late = row.graded, _late(row.entry, due)
        points: list[object] = [each.points for each in graded.verdicts] if graded else []
        open_, total = row.state in (WAITING, "superseded"), graded.points if graded else 0
        noted = [
            f"{verdict.task}: {note}" for verdict in (graded.verdicts if graded else ())
            for note in verdict.notes
        ]  # fmt: skip
        notes = [row.entry.note, *(graded.notes if graded else ()), *noted]
        lines.append(
            (row.entry.student, row.entry.name, row.state,
             *(points or ["" if open_ else 0] * len(tasks)), "" if open_ else total, exercise.most,
             *[""] * len(questions), late, isolation,
             feedback.clean(" ".join(note for note in notes if note)))
        )  # fmt: skip
    write_whole(out, feedback.table(lines))
    counted = _counted(rows)
    for row in counted:
        name, late = slugs[row.entry.student], _late(row.entry, due)
        said = f"Handed in {late} late." if late else ""
        text = feedback.page(row.entry, row.graded, exercise, said)
        write_whole(beside / "feedback" / f"{name}.md", text)
        results = feedback.gradescope(row.graded, exercise, row.entry.note)
        write_whole(beside / "gradescope" / name / "results.json", results)
    pairs = [(row.entry, row.graded) for row in counted]
    deadline = due.isoformat(" ") if due else ""
    write_whole(beside / "nbgrader.csv", feedback.nbgrader(pairs, exercise, deadline))
    write_whole(beside / "by_hand.md", feedback.by_hand(pairs, exercise))
    listed = [(row.entry, row.state, row.graded) for row in rows]
    write_whole(beside / "summary.md", feedback.summary(listed, exercise))


def _counted(rows: list[Row]) -> list[Row]:
    """One row for each student: the one that counts."""
    best: dict[str, Row] = {}
    for row in rows:
        old = best.get(row.entry.student)
        if row.state != "superseded" and (old is None or (old.graded is None and row.graded)):
            best[row.entry.student] = row
    return list(best.values())
