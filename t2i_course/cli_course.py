"""The commands that set a learner up. Nothing heavy is imported until a command needs it."""

import sys
from pathlib import Path

import click

from t2i_course.places import shown


@click.command()
@click.option("--mend", is_flag=True, help="Run what can be mended by a command, then look again.")
def doctor(mend: bool) -> None:
    """Say what this machine has, what is missing, and the mend for each.

    Exit code 1 if something must be mended before the course can run.
    """
    from t2i_course.doctor import examine, mend_all

    findings = examine()
    for finding in findings:
        click.echo(str(finding))
    if mend and any(finding.mend and finding.command for finding in findings):
        sys.exit(mend_all(findings, click.echo))
    if any(finding.fatal for finding in findings):
        sys.exit(1)


@click.command("copy-course")
@click.argument("folder", type=click.Path(path_type=Path))
def copy_course(folder: Path) -> None:
    """Copy notebooks and exercises into FOLDER, to work in.

    The same command after an update brings the new versions. What you have changed stays: the new
    version goes beside it, and its name is said.
    """
    from t2i_course import copying

    click.echo(str(copying.copy_course(folder)))
    click.echo(copying.NEXT.format(folder=shown(folder)))
