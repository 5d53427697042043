"""Training in a process of its own, so that a notebook stays usable, and may be closed, meanwhile.

It is `t2i train` as in a terminal, in a session of its own: neither the notebook's stop button nor
the end of its kernel ends it.
"""

import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from t2i_course.contract import T2IError
from t2i_course.places import runs_root

OUTPUT = "output.txt"  # in the run's folder: what the process said


@dataclass(frozen=True)
class Beside:
    """A training that was started by `train`.

    Attributes:
        folder: of the run.
    """

    folder: Path
    _process: subprocess.Popen[bytes] = field(repr=False)

    @property
    def running(self) -> bool:
        """Whether the process is still there."""
        return self._process.poll() is None

    def stop(self) -> None:
        """Ask it to save and stop, as Ctrl-C does; returns at once.

        On Windows, where another process cannot be sent Ctrl-C, it is ended, and the run goes on
        from its last checkpoint.
        """
        if self.running:
            self._process.send_signal(signal.SIGTERM)

    def wait(self, seconds: float | None = None) -> int:
        """Wait for its end; the exit code of `t2i train`: 0, or 130 if it was stopped.

        Raises:
            T2IError: if it has not ended after so many seconds; it goes on.
        """
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise T2IError(
                f"The training in {self.folder} goes on after {seconds:g} seconds."
            ) from None


def train(name: str, *options: str, run: str | None = None) -> Beside:
    """Start `t2i train NAME OPTIONS` beside this process; the same call goes on with a stopped run.

    Args:
        name: of the recipe, see `t2i train --help`.
        options: of the command line, such as "--minutes", "5".
        run: the folder's name in the folder of runs; by default the recipe's.

    Raises:
        T2IError: if the folder cannot be written to. (What is wrong with the options is said in
            output.txt in the folder, and by `panels.training_monitor`.)
    """
    folder = (runs_root() / (run or name)).absolute()
    command = [sys.executable, "-m", "t2i_course.cli", "train", name, "--run", str(folder)]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / OUTPUT, "wb") as output:
            process = subprocess.Popen(
                [*command, *options], stdin=subprocess.DEVNULL, stdout=output,
                stderr=subprocess.STDOUT, start_new_session=os.name != "nt",
            )  # fmt: skip
    except OSError as error:
        raise T2IError(f"{folder} cannot be a run's folder ({error}). Choose another.") from error
    return Beside(folder, process)


def last_words(folder: Path) -> str:
    """The last line that the process in a run's folder said, or ""."""
    try:
        text = (folder / OUTPUT).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    lines = text.replace("\r", "\n").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "")
