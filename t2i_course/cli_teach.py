"""The commands for instructors. Nothing heavy is imported until a command needs it."""

import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import click

from t2i_course.places import shown

SOLUTIONS = click.option(
    "--solutions", default="solutions", show_default=True, type=click.Path(path_type=Path),
    help="Where the solution notebooks are.",
)  # fmt: skip


@click.command()
@click.option(
    "--variant", default=1, show_default=True, type=click.IntRange(1),
    help="Of the tasks that have a second form.",
)  # fmt: skip
@click.option(
    "--out", default="exercises", show_default=True, type=click.Path(path_type=Path),
    help="Where the exercises go.",
)  # fmt: skip
@SOLUTIONS
@click.option(
    "--with-solutions", is_flag=True,
    help="Keep solutions and hidden tests: the notebooks for nbgrader's own source folder.",
)  # fmt: skip
def release(variant: int, out: Path, solutions: Path, with_solutions: bool) -> None:
    """For instructors: make the exercises from the solution notebooks.

    The same bytes at each run. Needs the extra `teach`. Example, for a term after the solutions
    were handed out:

    \b
        t2i release --variant 2 --out next-term
    """
    from t2i_course.grading import release as releasing

    paths = releasing.release(solutions, out, variant, with_solutions=with_solutions)
    click.echo(f"Released: {len(paths)} notebooks, in {shown(out)}.")


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--seed", type=click.IntRange(0), required=True, help="Of the hidden inputs.")
@click.option("--exercise", help="Such as ex03; by default what FOLDER holds.")
@click.option(
    "--out", default="grades.csv", show_default=True, type=click.Path(path_type=Path),
    help="The table; feedback and the rest go into a folder of its name.",
)  # fmt: skip
@click.option(
    "--variant", default=1, show_default=True, type=click.IntRange(1), help="That was handed out."
)
@click.option("--jobs", type=click.IntRange(1), help="At the same time; by default one a core.")
@click.option("--seconds", default=20.0, show_default=True, help="Of process time for each task.")
@click.option("--memory", default=2048, show_default=True, help="MB for each task, beside torch.")
@click.option("--only", multiple=True, metavar="STUDENT", help="Grade these, keep the others.")
@click.option(
    "--late", "due", type=click.DateTime(["%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M", "%Y-%m-%d"]),
    help="The deadline, as 2026-11-30T23:59: what came later is marked so.",
)  # fmt: skip
@click.option(
    "--roster", type=click.Path(path_type=Path), help="A list of students: who is missing?"
)
@click.option("--fresh", is_flag=True, help="Grade again what was graded already.")
@SOLUTIONS
@click.option(
    "--trust-submissions", is_flag=True,
    help="Run them without isolation, where the system offers none.",
)  # fmt: skip
def grade(
    folder: Path, seed: int, exercise: str | None, out: Path, variant: int, jobs: int | None,
    seconds: float, memory: int, trust_submissions: bool, solutions: Path, **how: Any,
) -> None:  # fmt: skip
    """For instructors: grade the notebooks in FOLDER, none of which is trusted.

    One row for whatever is in the folder; points, state and feedback for each. Interrupted, the
    same command goes on where it was. Example:

    \b
        t2i grade submitted --seed 4711 --out grades.csv
    """
    from t2i_course.grading import exercise as exercises
    from t2i_course.grading import grade as grading
    from t2i_course.grading import submissions
    from t2i_course.grading.judging import Rules

    rules = Rules(seed, variant, seconds, memory, isolated=not trust_submissions)
    name = exercise or submissions.exercise_in(folder)
    found = exercises.find(name, solutions, variant)
    try:
        rows = grading.grade(
            folder, out, found, rules, jobs=jobs or os.cpu_count() or 1, say=click.echo, **how
        )
    except KeyboardInterrupt:
        click.echo("Stopped. What was graded is kept: the same command goes on.", err=True)
        sys.exit(130)
    states = Counter(row.state for row in rows)
    told = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
    click.echo(f"{told}. The table: {shown(out)}; the rest: {shown(out.with_suffix(''))}.")
