"""`t2i grade` beside nbgrader and otter-grader: hostile submissions, and the cost.

    python benchmarks/grading.py [--only peers|speed|many|nbgrader] [--cases NAME …] [--fresh]

peers: every submission of `tests/grading/hostile.py`, one at a time, by each of the three. The
other graders run in a cage (`cage.py`): its limits on memory and processes are ours, not theirs.
speed: seconds a submission. many: 200 submissions, killed in the middle and resumed. nbgrader: the
released exercises through nbgrader's own commands, and its points beside ours.

otter-grader is installed into an environment of its own under runs/ that shares this one's torch;
`otter run` is what its containers run for each submission. Each part writes its section of
benchmarks/results/grading.md; the peers' part goes on where it was stopped. Linux only.
"""

import argparse
import copy
import csv
import filecmp
import inspect
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path

import matplotlib
import nbformat

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "grading"), str(ROOT / "benchmarks")]

import cage  # noqa: E402
import hostile  # noqa: E402
import known_answers  # noqa: E402

from t2i_course.contract import write_whole  # noqa: E402
from t2i_course.grading import exercise, release  # noqa: E402

RESULTS = ROOT / "benchmarks" / "results" / "grading.md"
WORK = ROOT / "runs" / "grading"
OTTER = "otter-grader[grading]==7.0.0"
SEED = "4711"
CELL, LIMIT = 15, 60  # seconds: nbgrader's for a cell, ours for a submission in a peer
OURS_SECONDS = 2  # process time for a task
TREE = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}  # not another, installed one
# What a submission may see of the grader's environment where nothing hides it.
SECRETS = {"SECRET_OF_THE_GRADER": "x", "T2I_HIDDEN_SEED": SEED}
LEAK = re.compile(r"RuntimeError: FOUND|AssertionError: (FOUND|T2I)|SystemExit: FOUND")
POINTS = {task.function: task.points for task, _ in exercise.find("ex02", hostile.SOLUTIONS).tasks}


@dataclass(frozen=True)
class Outcome:
    """What a grader made of a submission.

    Attributes:
        right: the tasks that got their points, or None where there is no grade.
        how: in a word or two where it did not end as it should: "hung", "grader killed".
        marks: what got out.
    """

    right: frozenset[str] | None
    how: str = ""
    marks: tuple[str, ...] = ()

    def good(self, case: hostile.Case) -> bool:
        """Whether the points are the right ones, the grader is alive, and nothing got out."""
        given = self.right if self.right is not None else frozenset()
        return given == set(case.right) and not self.how and not self.marks

    def cell(self, case: hostile.Case) -> str:
        """In the table; in bold where it is not good."""
        points = "no grade" if self.right is None else str(sum(POINTS[each] for each in self.right))
        if (
            self.right is not None
            and points == str(_points(case))
            and self.right != set(case.right)
        ):
            points += " (other tasks)"
        words = ", ".join(filter(None, [self.how or points, *self.marks]))
        return words if self.good(case) else f"**{words}**"


def _points(case: hostile.Case) -> int:
    return sum(POINTS[task] for task in case.right)


def environment(**more: str) -> dict[str, str]:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # nbgrader calls alembic by name
    return {**os.environ, **TREE, "PATH": path, "TMPDIR": str(WORK), **more}


def ours(
    folder: Path, out: Path, *, name: str = "ex02", seconds: int = OURS_SECONDS, jobs: int = 2
) -> list[str]:
    """The command that grades a folder."""
    return [
        sys.executable, "-m", "t2i_course.cli", "grade", str(folder), "--exercise", name,
        "--seed", SEED, "--seconds", str(seconds), "--memory", "512", "--jobs", str(jobs),
        "--solutions", str(hostile.SOLUTIONS), "--out", str(out),
    ]  # fmt: skip


def rows(path: Path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def empty(name: str) -> Path:
    """A new folder of that name under `WORK`."""
    path = WORK / name
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path


# The hostile set


Save = Callable[[str, Outcome], None]


def by_ours(cases: Sequence[hostile.Case], save: Save) -> None:
    folder = empty("ours")
    given = folder / "in"
    given.mkdir()
    for case in cases:
        case.write(given, case.name)
    (folder / "canary").write_text("whole")
    before = sorted(str(path) for path in given.rglob("*"))
    subprocess.run(
        ours(given, folder / "out.csv"), check=True, env=environment(**SECRETS), cwd=folder,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    unharmed = (
        before == sorted(str(path) for path in given.rglob("*"))
        and sorted(os.listdir(folder)) == ["canary", "in", "out", "out.csv"]
        and (folder / "canary").read_text() == "whole"
    )
    assert unharmed, "a submission wrote outside its sandbox"
    assert not _workers(), "a worker outlived the grader"
    for row in rows(folder / "out.csv"):
        page = (folder / "out" / "feedback" / f"{row['student']}.md").read_text(encoding="utf-8")
        right = frozenset(task for task in POINTS if row[f"ex02-{task}"] not in ("", "0"))
        marks = ("read outside",) if LEAK.search(page) else ()
        save(row["student"], Outcome(right, marks=marks))


def _workers() -> list[str]:
    """The processes of sandboxes of ours, by the folder that stands in their command lines."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if f"{WORK}/t2i-grade-".encode() in path.read_bytes():
                found.append(path.parent.name)
        except OSError:
            continue
    return found


def course(folder: Path, name: str) -> None:
    """A course folder of nbgrader's with the exercise released in it."""
    sources = empty("sources")
    release.release(hostile.SOLUTIONS, sources, with_solutions=True)
    [source] = sources.glob(f"{name}_*.ipynb")
    (folder / "source" / name).mkdir(parents=True, exist_ok=True)
    shutil.copy(source, folder / "source" / name)
    settings = ("CourseDirectory.course_id = 't2i'", "Execute.iopub_timeout = 60")
    text = "\n".join(["c = get_config()", *(f"c.{each}" for each in settings), ""])
    (folder / "nbgrader_config.py").write_text(text)
    _quiet(nbgrader("generate_assignment", name), folder)


def nbgrader(*words: str) -> list[str]:
    return [sys.executable, "-m", "nbgrader", *words]


def _quiet(command: Sequence[str], cwd: Path) -> None:
    done = subprocess.run(
        command, cwd=cwd, env=environment(T2I_HIDDEN_SEED=SEED), capture_output=True, text=True
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]


def shown() -> list[str]:
    """What a peer needs to see of this machine."""
    folders = (sys.prefix, sys.base_prefix, WORK / "otter", ROOT / "t2i_course")
    return [str(path) for path in folders if os.path.isdir(path)]


def busy() -> float:
    """By how much longer things take because others use this machine too."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def by_nbgrader(cases: Sequence[hostile.Case], save: Save) -> None:
    template = empty("nbgrader")
    course(template, "ex02")
    neighbour = template / "submitted" / "neighbour" / "ex02"
    neighbour.mkdir(parents=True)
    hostile.save(hostile.honest(), neighbour, "ex02_vae")

    def one(case: hostile.Case, number: int) -> Outcome:
        own = f"submitted/{case.name}/ex02"
        autograded = f"autograded/{case.name}/ex02/ex02_vae.ipynb"

        def write(home: Path) -> None:
            shutil.copytree(template, home, dirs_exist_ok=True)
            if case.name == "in-a-folder":  # nbgrader's own way of handing in
                case.write(home / "submitted", case.name)
                return
            (home / own).mkdir(parents=True)
            case.write(home / own, "ex02_vae")

        limit = f"--Execute.timeout={round(CELL * busy())}"
        command = nbgrader("autograde", "ex02", "--student", case.name, limit)
        ended = _caged(write, command, number, kept=["gradebook.db", autograded])
        right = None
        if ended.code == 0:
            right = _booked(ended.files.get("gradebook.db", b""), case.name)
        outputs = _outputs(ended.files.get(autograded, b"")) + ended.log
        mine = ("autograded", "gradebook.db")
        return _outcome(ended, right, outputs, mine)

    _two_at_a_time(one, cases, save)


def _booked(database: bytes, student: str) -> frozenset[str] | None:
    """The tasks with points in a gradebook."""
    from nbgrader.api import Gradebook, MissingEntry

    with tempfile.NamedTemporaryFile(suffix=".db") as file:
        file.write(database)
        file.flush()
        try:
            with Gradebook(f"sqlite:///{file.name}") as book:
                found = book.find_submission("ex02", student)
                grades = [grade for notebook in found.notebooks for grade in notebook.grades]
                scores = {grade.name: grade.auto_score for grade in grades}
        except MissingEntry:
            return None
    return frozenset(
        task for task, points in POINTS.items() if scores.get(f"ex02-{task}-check") == points
    )


def _outputs(notebook: bytes) -> str:
    """The texts of a notebook's outputs."""
    try:
        cells = nbformat.reads(notebook.decode(), as_version=4).cells
    except Exception:
        return ""
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    parts = [
        part
        for output in outputs
        for part in (output.get("text", ""), output.get("evalue", ""), *output.get("traceback", []))
    ]
    return "\n".join(re.sub(r"\x1b\[[0-9;]*m", "", part) for part in parts)


@cache
def otter() -> str:
    """The Python of an environment that has otter-grader, and else what this one has."""
    folder = WORK / "otter"
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():
        subprocess.run(
            [sys.executable, "-m", "venv", "--clear", "--without-pip", str(folder)], check=True
        )
        python_of = f"python{sys.version_info.major}.{sys.version_info.minor}"
        own = folder / "lib" / python_of / "site-packages" / "shared.pth"
        own.write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
        pins = ["-c", str(ROOT / "constraints.txt")]
        command = [str(python), "-m", "pip", "install", "--quiet", *pins, OTTER]
        subprocess.run(command, check=True)
        (folder / "ready").touch()
    return str(python)


def autograder(folder: Path) -> None:
    """`autograder.zip` in a folder, of the same checks with the same seed."""
    (folder / "tests").mkdir()
    for task, points in POINTS.items():
        code = (
            ">>> from t2i_course.grading.checking import Answer as Answered\n"
            ">>> from t2i_course.grading.checks import ex02 as checks\n"
            f">>> checks.check_{task}.run(Answered({task}), {SEED})\n"
        )
        test = {
            "name": f"ex02-{task}", "points": points,
            "suites": [{"cases": [{"code": code, "hidden": True}], "type": "doctest"}],
        }  # fmt: skip
        text = f"OK_FORMAT = True\ntest = {test!r}\n"
        (folder / "tests" / f"{task}.py").write_text(text)
    words = ["generate", "-t", "tests", "--no-config", "--no-requirements", "--no-environment"]
    _quiet([otter(), "-m", "otter", *words], folder)


def otter_run(name: str) -> list[str]:
    return [otter(), "-m", "otter", "run", "--no-logo", name]


def by_otter(cases: Sequence[hostile.Case], save: Save) -> None:
    template = empty("otter-course")
    autograder(template)
    shutil.rmtree(template / "tests")  # they are in the archive
    hostile.save(hostile.honest(), template, "neighbour")

    def one(case: hostile.Case, number: int) -> Outcome:
        ending = ".json" if case.name == "another-ending" else ".ipynb"
        if case.name == "in-a-folder":  # it takes a notebook's path, or an archive
            return Outcome(None, "cannot be given")

        def write(home: Path) -> None:
            shutil.copytree(template, home, dirs_exist_ok=True)
            case.write(home, case.name)

        command = otter_run(f"{case.name}{ending}")
        ended = _caged(write, command, number, kept=["results.json"])
        right, said = None, ended.log
        if ended.code == 0:
            results = json.loads(ended.files.get("results.json", b'{"tests": []}'))
            said += json.dumps(results)
            scores = {each["name"]: each.get("score", 0) for each in results["tests"]}
            if "Autograder Failed" not in scores:
                right = frozenset(task for task in POINTS if scores.get(f"ex02-{task}"))
        return _outcome(ended, right, said, ("results.json",))

    _two_at_a_time(one, cases, save)


def _caged(
    write: Callable[[Path], None], command: list[str], number: int, kept: Sequence[str]
) -> cage.Ended:
    path = f"{sys.prefix}/bin:/usr/bin:/bin"
    with tempfile.TemporaryDirectory(dir=WORK) as folder:
        write(Path(folder))
        fonts = Path(folder) / ".cache" / "matplotlib"  # which takes seconds to make
        shutil.copytree(matplotlib.get_cachedir(), fonts)
        return cage.shut_in(
            command, Path(folder), seconds=LIMIT * busy(), shown=shown(), kept=kept, number=number,
            env={"PATH": path, "LANG": "C.UTF-8", **TREE, **SECRETS},
        )  # fmt: skip


def _outcome(
    ended: cage.Ended, right: frozenset[str] | None, said: str, mine: Sequence[str]
) -> Outcome:
    """From what is left of a peer's run.

    Args:
        mine: what the peer itself writes in its home.
    """
    own = (".cache", ".config", ".ipython", ".jupyter", ".local", *mine)
    outside = [
        path for path in ended.changed
        if not path.removeprefix(f"{cage.HOME}/").startswith(own)
        and not path.startswith(("/tmp/log", "/tmp/tmp"))
    ]  # fmt: skip
    how = "hung" if ended.code is None else "grader killed" if ended.code < 0 else ""
    marks = []
    if LEAK.search(said):
        marks.append("read outside")
    if outside and ended.code is not None:
        marks.append("wrote outside")
    if ended.left:
        marks.append("left a process")
    return Outcome(right, how, tuple(marks))


def _two_at_a_time(
    one: Callable[[hostile.Case, int], Outcome], cases: Sequence[hostile.Case], save: Save
) -> None:
    """Two cages, with the numbers 0 and 1."""
    left, saving = list(cases), threading.Lock()

    def work(number: int) -> None:
        while left:
            case = left.pop(0)
            outcome = one(case, number)
            with saving:
                save(case.name, outcome)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(work, range(2)))


def _plain(outcome: Outcome) -> list:
    right = None if outcome.right is None else sorted(outcome.right)
    return [right, outcome.how, outcome.marks]


def _stored(path: Path) -> dict[str, dict[str, Outcome]]:
    return {
        title: {
            name: Outcome(None if right is None else frozenset(right), how, tuple(marks))
            for name, (right, how, marks) in outcomes.items()
        }
        for title, outcomes in json.loads(path.read_text()).items()
    }


def peers(names: Sequence[str] = (), fresh: bool = False) -> str:
    """The table of the hostile set. What was run before is kept, but for these names."""
    store = WORK / "peers.json"
    cases = hostile.CASES
    found = _stored(store) if store.exists() and not fresh else {}
    graders = {"ours": by_ours, "nbgrader": by_nbgrader, "otter-grader": by_otter}
    for title, grade in graders.items():
        old = found.setdefault(title, {})

        def save(name: str, outcome: Outcome, title: str = title) -> None:
            found[title][name] = outcome
            values = {of: {k: _plain(v) for k, v in each.items()} for of, each in found.items()}
            write_whole(store, json.dumps(values, indent=1) + "\n")
            print(f"{title}: {name}: {outcome}", flush=True)

        wanted = [case for case in cases if case.name in names or case.name not in old]
        if wanted:
            grade(sorted(wanted, key=lambda case: case.ended), save)  # the slowest last
    lines = [
        f"{len(cases)} submissions of exercise 02, {sum(POINTS.values())} points by the checks, "
        "each alone. *Right* is the points for what is right in it. nbgrader and otter-grader "
        f"run as a user without rights, without network, with {cage.MEMORY >> 30} GB a process, "
        f"{cage.PROCESSES} processes and {cage.FILE_MB} MB a file: limits of this benchmark, which "
        f"they do not set. nbgrader's own limit is {CELL} s a cell; *hung*: killed from outside "
        f"after {LIMIT} s (both longer in proportion to the machine's load), where a "
        "batch of nbgrader's would stand still; *grader killed*: its own process was ended, and a "
        "batch with it; *no grade*: it gave an error in place of points, "
        "and the others go on. *read outside*: it read a secret of the grader's environment or a "
        "file of the machine; *wrote outside*: it changed something outside of its own folder; "
        "*left a process*: one was running after the grader had ended. Bold: not what is right "
        "(where nothing is right, *no grade* is as good as 0).", "",
        "That an answer which only calls the package's function gets nothing (`the-package`, "
        "`only-an-import`) is a rule of this course that the others do not know; an answer that "
        "was turned into text nbgrader turns back, which one may prefer. The cage has no network, "
        "so `network` says nothing about them. The set was written for our grader: attacks on a "
        "peer's own files (nbgrader's gradebook, otter's pickle of results) are not in it.", "",
        *_summary(cases, found), "",
        "| submission | right | " + " | ".join(found) + " |", "| --- " * (2 + len(found)) + "|",
    ]  # fmt: skip
    for case in cases:
        outcomes = [of.get(case.name) for of in found.values()]
        cells = [outcome.cell(case) if outcome else "not run" for outcome in outcomes]
        lines.append("| " + " | ".join([case.name, str(_points(case)), *cells]) + " |")
    return "\n".join(lines)


def _summary(cases: Sequence[hostile.Case], found: dict[str, dict[str, Outcome]]) -> Iterable[str]:
    yield "| | " + " | ".join(found) + " |"
    yield "| --- " * (1 + len(found)) + "|"
    yield "| run | " + " | ".join(str(len(of)) for of in found.values()) + " |"
    counts: dict[str, Callable[[hostile.Case, Outcome], bool]] = {
        "as it should be": lambda case, of: of.good(case),
        "hung": lambda case, of: of.how == "hung",
        "grader killed": lambda case, of: of.how == "grader killed",
        "no grade where points are due": lambda case, of: (
            of.right is None and not of.how and bool(case.right)
        ),
        "too few points": lambda case, of: of.right is not None and of.right < set(case.right),
        "points for what is wrong": lambda case, of: bool((of.right or set()) - set(case.right)),
        "read outside": lambda case, of: "read outside" in of.marks,
        "wrote outside": lambda case, of: "wrote outside" in of.marks,
        "left a process": lambda case, of: "left a process" in of.marks,
        "cannot be given": lambda case, of: of.how == "cannot be given",
    }
    for title, counted in counts.items():
        numbers = [
            sum(counted(case, of[case.name]) for case in cases if case.name in of)
            for of in found.values()
        ]
        yield f"| {title} | " + " | ".join(map(str, numbers)) + " |"


# What it costs


def timed(command: Sequence[str], cwd: Path, **env: str) -> tuple[float, float]:
    """Seconds on the wall, and of process time with all that it waited for."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(command, cwd=cwd, env=environment(**env), check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.monotonic() - start, cpu


def numbered(k: int) -> nbformat.NotebookNode:
    """The solution of exercise 02 in what learners get, with bytes of its own."""
    notebook = copy.deepcopy(_solved())
    notebook.cells.append(nbformat.v4.new_markdown_cell(f"Student {k}.", id=f"note{k}"))
    return notebook


@cache
def _solved() -> nbformat.NotebookNode:
    return students_of("ex02")["all"]


def speed(many: int = 20, few: int = 5) -> str:
    """The table of seconds a submission."""
    folder = empty("speed")
    given = folder / "in"
    given.mkdir()
    for k in range(many):
        hostile.save(numbered(k), given, f"student{k}")
    took = {"ours": (many, "one run", *timed(ours(given, folder / "out.csv", seconds=20), folder))}
    assert {row["total"] for row in rows(folder / "out.csv")} == {str(sum(POINTS.values()))}

    school = empty("speed-nbgrader")
    course(school, "ex02")
    for k in range(few):
        (school / "submitted" / f"student{k}" / "ex02").mkdir(parents=True)
        hostile.save(numbered(k), school / "submitted" / f"student{k}" / "ex02", "ex02_vae")
    seconds = timed(nbgrader("autograde", "ex02"), school, T2I_HIDDEN_SEED=SEED)
    took["nbgrader"] = (few, "one run", *seconds)

    autograder(school)
    for k in range(few):
        hostile.save(numbered(k), school, f"student{k}")
    each = [timed(otter_run(f"student{k}.ipynb"), school) for k in range(few)]
    wall, cpu = (sum(seconds) for seconds in zip(*each, strict=True))
    took["otter-grader"] = (few, "a run each, in turn", wall, cpu)

    lines = [
        "The honest solution of the whole of exercise 02, each with a comment of its own, one "
        f"thread of torch, {os.cpu_count()} cores, the start of the program included. nbgrader "
        "grades one at a time; `t2i grade` as many as there are cores, each task in a process "
        "of its own, and imports torch once. nbgrader and otter-grader also run the other cells (a "
        "figure of a trained model), which `t2i grade` does not need to. The machine was shared: "
        f"load {os.getloadavg()[0]:.1f} at the end; process time is the steadier column.", "",
        "| grader | submissions | how | s on the wall, each | s of process time, each |",
        "| --- | --- | --- | --- | --- |",
    ]  # fmt: skip
    for title, (count, how, wall, cpu) in took.items():
        lines.append(f"| {title} | {count} | {how} | {wall / count:.2f} | {cpu / count:.2f} |")
    return "\n".join(lines)


# Killed and resumed

MIXED = (
    "loop", "sleep", "recursion", "memory-at-once", "fork-bomb", "flood-of-output", "sys-exit",
    "os-exit", "kill-all", "segmentation-fault", "patched-comparisons", "the-package",
    "files-of-others", "forged-results", "nan", "syntax-error", "deleted-cell", "untagged-cells",
    "broken-json", "a-folder",
)  # fmt: skip


def class_of(folder: Path, students: int) -> Counter[str]:
    """A class's submissions: of ten six right, three not, one of the hostile set."""
    folder.mkdir()
    known = {case.name: case for case in hostile.CASES}
    kinds: Counter[str] = Counter()
    for k in range(students):
        name, notebook = f"student{k:03}", numbered(k)
        kind = ["right"] * 6 + ["a slip", "a stub", "half done", "hostile"]
        kinds[kind[k % 10]] += 1
        if k % 10 == 9:
            known[MIXED[k // 10 % len(MIXED)]].write(folder, name)
            continue
        if k % 10 == 6:
            hostile.cell_of(notebook, hostile.FIRST).source = hostile.WRONG
        elif k % 10 == 7:
            hostile.cell_of(notebook, hostile.FIRST).source = hostile.STUB
        elif k % 10 == 8:
            for task in hostile.TASKS[2:]:
                notebook.cells.remove(hostile.cell_of(notebook, f"ex02-{task}"))
        hostile.save(notebook, folder, name)
    return kinds


def many(students: int = 200) -> str:
    """The section on a class that is graded twice, once with a kill in the middle."""
    folder = empty("many")
    kinds = class_of(folder / "in", students)
    whole, _ = timed(ours(folder / "in", folder / "whole.csv"), folder)
    start = time.monotonic()
    with subprocess.Popen(
        ours(folder / "in", folder / "broken.csv"), cwd=folder, env=environment(), text=True,
        stdout=subprocess.PIPE, start_new_session=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith(f"{students // 2} of"):
                break
        os.killpg(process.pid, signal.SIGKILL)
    first = time.monotonic() - start
    kept = len(list((folder / "broken" / "kept").glob("*.json")))
    until = time.monotonic() + 20
    while _workers() and time.monotonic() < until:
        time.sleep(0.1)
    orphans = len(_workers())
    second, _ = timed(ours(folder / "in", folder / "broken.csv"), folder)
    same = (folder / "whole.csv").read_bytes() == (folder / "broken.csv").read_bytes()
    beside = [
        path.relative_to(folder / "whole")
        for path in sorted((folder / "whole").rglob("*"))
        if path.is_file()
    ]
    others = filecmp.cmpfiles(folder / "whole", folder / "broken", map(str, beside), shallow=False)
    written = rows(folder / "whole.csv")
    states = Counter(row["state"] for row in written)
    told = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
    mixture = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
    return "\n".join([
        f"{students} whole notebooks of exercise 02 ({mixture}), two at a time, {OURS_SECONDS} s "
        f"of process time a task. SIGKILL to the whole group after {students // 2} rows; then the "
        "same command again.", "",
        "| | |", "| --- | --- |",
        f"| uninterrupted, s | {whole:.0f} |",
        f"| until killed, s | {first:.0f} |",
        f"| resumed, s | {second:.0f} |",
        f"| results kept when killed | {kept} |",
        f"| processes left by the killed run | {orphans} |",
        f"| rows, of {students} | {len(written)} ({told}) |",
        f"| the table is the same, byte for byte | {'yes' if same else '**no**'} |",
        f"| files beside it that are the same | {len(others[0])} of {len(beside)} |",
    ])  # fmt: skip


# nbgrader on the released exercises

RELEASED = ("ex02", "ex05", "ex08")


def students_of(name: str) -> dict[str, nbformat.NotebookNode]:
    """Honest submissions of an exercise, written into what learners get."""
    path = next(hostile.SOLUTIONS.glob(f"{name}_*.ipynb"))
    solved = {cell.id: cell for cell in release.pick(release.read(path)).cells}
    tasks = [task for task, _ in exercise.find(name, hostile.SOLUTIONS).tasks]
    known_answers.load(name)
    slips = {
        task.name: [
            known.answer for known in known_answers.WRONG
            if known.task == task.name and known.variant == 1
        ]
        for task in tasks
    }  # fmt: skip

    def handed_in(kind: Callable[[int], str]) -> nbformat.NotebookNode:
        notebook = nbformat.reads(release.exercise_text(path), as_version=4)
        for k, task in enumerate(tasks):
            cell = hostile.cell_of(notebook, task.name)
            if kind(k) == "right":
                lines = solved[task.name].source.split("\n")
                cell.source = "\n".join(line for line in lines if "### " not in line)
            elif kind(k) == "wrong":
                answer = slips[task.name][k % len(slips[task.name])]
                lines = [line for line in inspect.getsource(answer).split("\n") if line[:1] != "@"]
                cell.source = "\n".join([*lines, f"{task.function} = {answer.__name__}"])
        return notebook

    return {
        "all": handed_in(lambda k: "right"),
        "nothing": handed_in(lambda k: "stub"),
        "slips": handed_in(lambda k: "wrong"),
        "mixed": handed_in(lambda k: ("right", "wrong", "stub")[k % 3]),
    }


def released() -> str:
    """The table of nbgrader's points and ours."""
    lines = [
        "`t2i release --with-solutions`, then `nbgrader generate_assignment`, `autograde` and "
        "`export`, with the seed that `t2i grade` had; points by the checks.", "",
        "| exercise | submission | nbgrader | ours |", "| --- | --- | --- | --- |",
    ]  # fmt: skip
    for name in RELEASED:
        school = empty(f"released-{name}")
        course(school, name)
        (school / "in").mkdir()
        stem = next((school / "source" / name).glob("*.ipynb")).stem
        for student, notebook in students_of(name).items():
            (school / "submitted" / student / name).mkdir(parents=True)
            hostile.save(notebook, school / "submitted" / student / name, stem)
            hostile.save(notebook, school / "in", student)
        _quiet(nbgrader("autograde", name), school)
        _quiet(nbgrader("export"), school)
        _quiet(ours(school / "in", school / "ours.csv", name=name, seconds=20), school)
        theirs = {row["student_id"]: float(row["score"]) for row in rows(school / "grades.csv")}
        for row in rows(school / "ours" / "nbgrader.csv"):
            student, own = row["student_id"], float(row["score"])
            given = theirs[student]
            mark = "" if given == own else " (**not the same**)"
            lines.append(f"| {name} | {student} | {given:g} | {own:g}{mark} |")
    return "\n".join(lines)


PARTS = {
    "peers": "Hostile submissions",
    "speed": "Seconds a submission",
    "many": "A class, killed in the middle and resumed",
    "nbgrader": "nbgrader's own commands on the released exercises",
}
PEERS = f"nbgrader {version('nbgrader')} and {OTTER.replace('[grading]==', ' ')}"
HEAD = f"# Grading: `t2i grade`, {PEERS}"


def keep(part: str, text: str) -> None:
    """Write a part's section into the results; the others stay."""
    old = RESULTS.read_text(encoding="utf-8").split("\n## ")[1:] if RESULTS.exists() else []
    sections = dict(each.split("\n", 1) for each in old) | {PARTS[part]: f"\n{text}"}
    whole = [
        f"## {title}\n\n{sections[title].strip()}" for title in PARTS.values() if title in sections
    ]
    write_whole(RESULTS, "\n\n".join([HEAD, *whole]) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=PARTS)
    parser.add_argument("--cases", nargs="+", default=[], help="of the hostile set: these again")
    parser.add_argument("--fresh", action="store_true", help="the whole hostile set again")
    wanted = parser.parse_args()
    WORK.mkdir(parents=True, exist_ok=True)
    parts = {
        "peers": lambda: peers(wanted.cases, wanted.fresh), "speed": speed, "many": many,
        "nbgrader": released,
    }  # fmt: skip
    only = "peers" if wanted.cases or wanted.fresh else wanted.only
    for part in [only] if only else PARTS:
        keep(part, parts[part]())


if __name__ == "__main__":
    main()
