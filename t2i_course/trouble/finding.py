"""What the doctor says: one finding, with its mend."""

import shlex
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's report.

    Args:
        what: was looked at.
        found: in words.
        mend: what to do, or "" if all is well.
        fatal: True if the course cannot run before it is mended.
        command: what `t2i doctor --mend` runs; () where a person must decide.
    """

    what: str
    found: str
    mend: str = ""
    fatal: bool = False
    command: tuple[str, ...] = ()

    def __str__(self) -> str:
        mark = "ok  " if not self.mend else "MEND" if self.fatal else "note"
        lines = [f"{mark}  {self.what:<13} {self.found}"]
        if self.mend:
            lines.append(f"{'':20}{self.mend}")
        if self.command:
            lines.append(f"{'':20}`t2i doctor --mend` does it: {shlex.join(self.command)}")
        return "\n".join(lines)


def mend(
    findings: list[Finding], run: Callable[[tuple[str, ...]], int], say: Callable[[str], None]
) -> int:
    """Run the commands of what can be mended so, each once.

    Args:
        run: a command to its exit code.
        say: what prints a line.

    Returns:
        How many commands failed.
    """
    failed = 0
    commands = dict.fromkeys(found.command for found in findings if found.mend and found.command)
    for command in commands:
        say(f"$ {shlex.join(command)}")
        failed += run(command) != 0
    return failed
