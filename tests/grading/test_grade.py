"""From a folder of submissions to a table of points: what comes of every kind of submission."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from datetime import datetime
from pathlib import Path

import hostile
import pytest
from click.testing import CliRunner

from t2i_course.cli import cli
from t2i_course.errors import T2IError
from t2i_course.grading import exercise, grade, judging, release, sandbox
from t2i_course.grading.judging import Graded, Rules, Verdict
from t2i_course.grading.submissions import Entry

SOURCES = sorted(hostile.SOLUTIONS.glob("ex*.ipynb"))
RULES = Rules(5, seconds=1, memory_mb=256)


@pytest.fixture(scope="module")
def ex02():
    return exercise.find("ex02", hostile.SOLUTIONS)


@pytest.fixture(scope="module")
def box():
    """One sandbox for the tests that need the system's isolation, with the stubs of all tasks."""
    found = [exercise.find(path.name[:4], path.parent) for path in SOURCES]
    references = [task.reference for of in found for task, _ in of.tasks if task.reference]
    try:
        with sandbox.Sandbox(references, sorted({each for of in found for each in of.warm})) as box:
            yield box
    except T2IError as error:
        if "--trust-submissions" not in str(error):
            raise
        pytest.skip(str(error))


def table(path: Path) -> dict[str, dict[str, str]]:
    """The rows of a table by submission."""
    with open(path, encoding="utf-8", newline="") as file:
        return {row["submission"]: row for row in csv.DictReader(file)}


def graded(folder: Path, out: Path, of, rules: Rules = RULES, **how) -> dict[str, dict[str, str]]:
    grade.grade(folder, out, of, rules, say=lambda words: None, **how)
    return table(out)


class Run:
    """All hostile submissions, graded once."""

    def __init__(self, folder: Path, of):
        hostile.write_all(folder / "in")
        self.before = sorted(os.listdir(folder / "in"))
        rows = grade.grade(folder / "in", folder / "out.csv", of, RULES, say=lambda words: None)
        self.rows = {row.entry.student: row for row in rows}
        self.folder, self.table = folder, table(folder / "out.csv")

    def page(self, student: str) -> str:
        return (self.folder / "out" / "feedback" / f"{student}.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def run(tmp_path_factory, ex02, box):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grade.Sandboxes, "get", lambda *_: box)
        patch.setattr(judging, "READING_MB", 256)
        found = Run(tmp_path_factory.mktemp("hostile"), ex02)
    return found  # the patches end here: other tests share this module


@pytest.mark.slow
@pytest.mark.parametrize("case", hostile.CASES, ids=lambda case: case.name)
def test_whatever_is_handed_in_gets_the_points_for_what_is_right_in_it(run, case, ex02):
    row = run.rows[case.name]
    verdicts = row.graded.verdicts if row.graded else ()
    got = {each.task.removeprefix("ex02-") for each in verdicts if each.outcome == "right"}
    assert got == set(case.right), verdicts
    assert row.state in case.state.split("|")
    points = sum(task.points for task, _ in ex02.tasks if task.function in case.right)
    [line] = [each for each in run.table.values() if each["student"] == case.name]
    assert (line["total"], line["state"], line["isolation"]) == (
        str(points),
        row.state,
        "namespaces",
    )
    assert case.says in run.page(case.name)
    assert "FOUND" not in run.page(case.name)
    results = json.loads(
        (run.folder / "out" / "gradescope" / case.name / "results.json").read_text()
    )
    assert results["score"] == points and len(results["tests"]) == len(ex02.tasks)
    assert sum(each["score"] for each in results["tests"]) == points


@pytest.mark.slow
def test_no_row_is_lost_and_nothing_got_out(run):
    assert len(run.table) == len(hostile.CASES) == len(run.rows)
    assert sorted(os.listdir(run.folder / "in")) == run.before
    assert sorted(os.listdir(run.folder)) == ["in", "out", "out.csv"]
    left = [path for path in Path("/proc").glob("[0-9]*/cmdline") if _of_a_worker(path)]
    assert len(left) <= 2  # the sandbox that the tests share


def _of_a_worker(path: Path) -> bool:
    try:
        return b"t2i-grade-" in path.read_bytes()  # the sandbox's folder
    except OSError:
        return False


@pytest.mark.slow
def test_feedback_shows_a_learners_text_as_text(run):
    page = run.page("an-error-with-markup")
    block = page.split("````text\n")[1].split("\n````")[0]
    assert "``` <script>alert(1)</script>" in block and "\x1b" not in page


@pytest.mark.slow
def test_the_other_files_say_the_same_points(run, ex02):
    with open(run.folder / "out" / "nbgrader.csv", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert {each["student_id"]: float(each["score"]) for each in lines} == {
        each["student"]: float(each["total"]) for each in run.table.values()
    }
    assert {each["assignment"] for each in lines} == {ex02.stem}
    summary = (run.folder / "out" / "summary.md").read_text(encoding="utf-8")
    assert f"# ex02: {len(hostile.CASES)} submissions" in summary
    assert "Hardest: ex02-reparameterise." in summary
    assert "honest" not in summary and "fork-bomb" not in summary
    assert "ex02-why" in (run.folder / "out" / "by_hand.md").read_text(encoding="utf-8")


def write(folder: Path, name: str, source: str = hostile.RIGHT, when: float = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    notebook = hostile.honest()
    hostile.cell_of(notebook, hostile.FIRST).source = source
    # Only the first answer is graded: the others are left out to be quick.
    notebook.cells = [cell for cell in notebook.cells if cell.id in (hostile.FIRST, "ex02-imports")]
    hostile.save(notebook, folder, name)
    if when:
        os.utime(folder / f"{name}.ipynb", (when, when))


@pytest.fixture
def judged(monkeypatch):
    """Judging without a sandbox, counted: a submission is right if it holds the right answer."""
    seen = Counter()

    def judge(raw, of, rules, box):
        seen[raw] += 1
        right = b"(0.5 * logvar).exp()" in raw
        verdicts = tuple(
            Verdict(task.name, "right" if right else "wrong", task.points * right, task.points)
            for task, _ in of.tasks
        )
        return Graded("graded", verdicts, {}, ())

    monkeypatch.setattr(grade, "judge", judge)
    monkeypatch.setattr(grade.Sandboxes, "get", lambda *_: None)
    return seen


ODD = [b"-rf", b"=1+1", b"@sum", b"a\nb", "ünï".encode(), b"\xff\xfe", b"x" * 200, b"$(reboot)",
       b"a b", b"A B", b"..", b"con", b"`<script>`", b"|"]  # fmt: skip


def test_odd_file_names_get_rows_and_files_that_harm_nobody(tmp_path, ex02, judged):
    for name in ODD:
        write(tmp_path / "in", os.fsdecode(name))
    rows = graded(tmp_path / "in", tmp_path / "out.csv", ex02)
    assert len(rows) == len(ODD)
    assert all(row["total"] == "14" for row in rows.values())
    for row in rows.values():
        assert not any(cell.startswith(("=", "+", "-", "@")) for cell in row.values())
    pages = os.listdir(tmp_path / "out" / "feedback")
    assert len({page.lower() for page in pages}) == len(ODD)
    assert sorted(os.listdir(tmp_path)) == ["in", "out", "out.csv"]


def test_of_two_files_the_newest_counts_and_the_other_has_a_row(tmp_path, ex02, judged):
    write(tmp_path / "in", "anna_ex02", hostile.WRONG, when=1000)
    write(tmp_path / "in", "anna (1)", hostile.RIGHT, when=2000)
    rows = graded(tmp_path / "in", tmp_path / "out.csv", ex02)
    old, new = rows["anna_ex02.ipynb"], rows["anna (1).ipynb"]
    assert (old["state"], old["total"]) == ("superseded", "")
    assert (new["state"], new["total"]) == ("graded", "14")
    assert "newer" in old["notes"]
    page = (tmp_path / "out" / "feedback" / "anna.md").read_text()
    assert "14 of 14" in page and judged.total() == 1


def test_what_was_graded_is_not_graded_again_unless_something_that_decides_has_changed(
    tmp_path, ex02, judged
):
    for name, source in (("anna", hostile.RIGHT), ("ben", hostile.WRONG)):
        write(tmp_path / "in", name, source)
    first = graded(tmp_path / "in", tmp_path / "out.csv", ex02)
    assert graded(tmp_path / "in", tmp_path / "out.csv", ex02) == first
    assert judged.total() == 2
    write(tmp_path / "in", "ben", hostile.RIGHT)
    assert graded(tmp_path / "in", tmp_path / "out.csv", ex02)["ben.ipynb"]["total"] == "14"
    assert judged.total() == 2  # the same bytes as anna's
    graded(tmp_path / "in", tmp_path / "out.csv", ex02, fresh=True)
    assert judged.total() == 4
    graded(tmp_path / "in", tmp_path / "out.csv", ex02, Rules(6))
    assert judged.total() >= 5
    for kept in (tmp_path / "out" / "kept").glob("*.json"):
        kept.write_text("{")
    assert graded(tmp_path / "in", tmp_path / "out.csv", ex02)["ben.ipynb"]["total"] == "14"


def test_only_grades_some_and_keeps_the_others(tmp_path, ex02, judged):
    for name in ("anna", "ben"):
        write(tmp_path / "in", name, f"# {name}\n{hostile.RIGHT}")
    rows = graded(tmp_path / "in", tmp_path / "out.csv", ex02, only=["ben"])
    assert (rows["anna.ipynb"]["state"], rows["anna.ipynb"]["total"]) == ("waiting", "")
    assert rows["ben.ipynb"]["total"] == "14"
    rows = graded(tmp_path / "in", tmp_path / "out.csv", ex02, only=["anna"])
    assert [row["total"] for row in rows.values()] == ["14", "14"] and judged.total() == 2
    with pytest.raises(T2IError, match="'cid' has handed in nothing"):
        graded(tmp_path / "in", tmp_path / "out.csv", ex02, only=["cid"])


def test_a_roster_names_who_is_missing_and_a_deadline_who_is_late(tmp_path, ex02, judged):
    due = datetime(2026, 11, 30, 12, 0)
    write(tmp_path / "in", "anna", when=due.timestamp() - 60)
    write(tmp_path / "in", "ben", when=due.timestamp() + 5400)
    (tmp_path / "roster.txt").write_text("anna\nben\ncid\n")
    rows = graded(
        tmp_path / "in", tmp_path / "out.csv", ex02, roster=tmp_path / "roster.txt", due=due
    )
    states = {row["student"]: (row["state"], row["late"], row["total"]) for row in rows.values()}
    assert states == {
        "anna": ("graded", "", "14"), "ben": ("graded", "1.5 h", "14"), "cid": ("missing", "", "0"),
    }  # fmt: skip
    assert "1.5 h late" in (tmp_path / "out" / "feedback" / "ben.md").read_text()


def test_a_sandbox_that_ends_is_replaced_and_what_ends_two_is_not_kept(tmp_path, ex02, monkeypatch):
    made = []

    class Fake:
        def __init__(self, *_):
            made.append(self)

        def close(self):
            pass

    def judge(raw, of, rules, box):
        if b"bad" in raw or box is made[0]:
            raise grade.SandboxLostError("gone")
        return Graded("empty")

    monkeypatch.setattr(grade, "Sandbox", Fake)
    monkeypatch.setattr(grade, "judge", judge)
    write(tmp_path / "in", "anna", "bad")
    write(tmp_path / "in", "ben", "good")
    rows = graded(tmp_path / "in", tmp_path / "out.csv", ex02, jobs=1)
    assert [row["state"] for row in rows.values()] == ["unreadable", "empty"]
    assert "ended twice" in rows["anna.ipynb"]["notes"] and len(made) <= 4
    assert len(list((tmp_path / "out" / "kept").glob("*.json"))) == 1


def test_an_error_of_a_check_is_an_error_and_what_was_graded_stays(tmp_path, ex02, monkeypatch):
    def judge(raw, of, rules, box):
        if b"bad" in raw:
            raise T2IError("A check gives an answer a set, which cannot cross.")
        return Graded("empty")

    monkeypatch.setattr(grade, "judge", judge)
    monkeypatch.setattr(grade.Sandboxes, "get", lambda *_: None)
    write(tmp_path / "in", "anna", "good")
    write(tmp_path / "in", "ben", "bad")
    with pytest.raises(T2IError, match="cannot cross"):
        graded(tmp_path / "in", tmp_path / "out.csv", ex02, jobs=1)
    states = {row["student"]: row["state"] for row in table(tmp_path / "out.csv").values()}
    assert states == {"anna": "empty", "ben": "waiting"}


def invoke(*words: object):
    return CliRunner().invoke(cli, ["grade", *map(str, words)], catch_exceptions=False)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "cannot be read"),
        (["in", "--out", "table.txt"], "must end in .csv"),
        (["in", "--exercise", "ex99"], "no exercise named 'ex99'"),
        (["in", "--variant", "9"], "has a variant 9"),
        (["in", "--solutions", "nowhere"], "no solution notebook"),
        (["in", "--seconds", "0"], "--seconds must be"),
        (["in", "--memory", "1"], "--memory must be"),
        (["in", "--roster", "nowhere"], "roster"),
        (["empty", "--exercise", "ex02"], "nothing in"),
    ],
)
def test_what_an_instructor_gets_wrong_is_said_in_a_sentence(
    tmp_path, monkeypatch, judged, words, message
):
    write(tmp_path / "in", "anna")
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    if "--solutions" not in words:
        words = [*words, "--solutions", hostile.SOLUTIONS]
    with pytest.raises(T2IError, match=message):
        invoke(*words, "--seed", "3")


@pytest.mark.slow
def test_without_namespaces_it_grades_nothing_unless_submissions_are_trusted(tmp_path, monkeypatch):
    monkeypatch.setattr(sandbox.Sandbox, "_map", lambda self, pid: False)
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "in", "anna")
    words = ["in", "--seed", 3, "--solutions", hostile.SOLUTIONS]
    with pytest.raises(T2IError, match="--trust-submissions"):
        invoke(*words)
    assert not Path("grades.csv").exists()
    result = invoke(*words, "--trust-submissions")
    assert result.exit_code == 0, result.output
    [row] = table(Path("grades.csv")).values()
    assert (row["isolation"], row["total"]) == ("none", "2")


@pytest.mark.slow
def test_killed_in_the_middle_and_run_again_it_ends_with_the_table_of_an_unbroken_run(
    tmp_path, box
):
    for k in range(6):
        write(tmp_path / "in", f"student{k}", hostile.RIGHT + f"# {k}\n" * k)
    command = [
        sys.executable, "-m", "t2i_course.cli", "grade", "in", "--seed", "3", "--jobs", "1",
        "--solutions", str(hostile.SOLUTIONS), "--out",
    ]  # fmt: skip
    with subprocess.Popen([*command, "broken.csv"], cwd=tmp_path, text=True,
                          stdout=subprocess.PIPE) as process:  # fmt: skip
        assert process.stdout is not None
        assert "1 of 6" in process.stdout.readline()
        children = workers_of(process.pid)
        process.send_signal(signal.SIGKILL)
    kept = list((tmp_path / "broken" / "kept").glob("*.json"))
    assert 1 <= len(kept) < 6
    until = time.monotonic() + 20
    while any(Path(f"/proc/{pid}").exists() for pid in children):
        assert time.monotonic() < until, "a worker outlived the grader"
        time.sleep(0.1)
    for out in ("broken.csv", "whole.csv"):
        subprocess.run([*command, out], cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / "broken.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    shutil.rmtree(tmp_path / "broken")


def workers_of(pid: int) -> list[int]:
    """The processes under one, as the system tells."""
    try:
        words = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [each for word in words for each in (int(word), *workers_of(int(word)))]


@pytest.mark.slow
@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_each_exercises_own_solution_gets_all_points_in_the_sandbox(
    tmp_path, path, box, monkeypatch
):
    monkeypatch.setattr(grade.Sandboxes, "get", lambda *_: box)
    source = release.read(path)
    for variant in sorted(release.variants(source)):
        of = exercise.find(path.name[:4], path.parent, variant)
        (tmp_path / "in").mkdir(exist_ok=True)
        text = release.as_text(release.pick(source, variant))
        (tmp_path / "in" / f"solution{variant}.ipynb").write_text(text, encoding="utf-8")
        rules = Rules(variant, variant=variant)
        rows = grade.grade(tmp_path / "in", tmp_path / "out.csv", of, rules, say=lambda words: None)
        row = next(row for row in rows if row.entry.student == f"solution{variant}")
        wrong = [each for each in row.graded.verdicts if each.outcome != "right"]
        assert row.state == "graded" and not wrong, wrong


def test_the_summary_of_nobody_is_a_page(ex02):
    from t2i_course.grading import feedback

    rows = [(Entry("anna", "", None, "missing"), "missing", None)]
    assert "1 missing" in feedback.summary(rows, ex02)
