"""The grader's side of the sandbox: starts it, and asks it for workers."""

import contextlib
import json
import os
import shutil
import site
import socket
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from t2i_course.contract import T2IError
from t2i_course.grading import stubs, zygote
from t2i_course.grading.asking import SandboxLostError, Worker, told
from t2i_course.grading.wire import LARGE, Wire, WireError

NOBODY = 61_017  # the user of a worker whose grader is root, as the system outside sees it
STARTING = 120.0  # seconds that importing torch may take
REFUSED = (
    "This system does not let the grader shut a submission in ({why}). Grade on Linux where "
    "`unshare -Urmpn true` works, or, if you trust every submission, with --trust-submissions."
)


class Sandbox:
    """A zygote, and the workers that it forks. Use as a context; threads may share it.

    Args:
        references: "module:function" of each task, stubbed in the workers' copy of the package.
        warm: modules to import once.
        isolated: with namespaces; False only for submissions that are trusted.

    Raises:
        T2IError: if the system does not offer the namespaces.
    """

    def __init__(self, references: Sequence[str], warm: Sequence[str] = (), isolated: bool = True):
        self.isolated, self.root = isolated, isolated and os.geteuid() == 0
        self.folder = Path(tempfile.mkdtemp(prefix="t2i-grade-")).resolve()
        self.lock = threading.Lock()
        self.closed = False
        try:
            (self.folder / "root").mkdir()
            stubs.copy_package(self.folder / "course", references)
            self._start(list(warm))
            if isolated:
                with self.worker(seconds=20, memory_mb=512, probe=True):
                    pass
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "Sandbox":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def ended(self) -> bool:
        """Whether it answers no more."""
        return self.closed or self.process.poll() is not None

    def close(self) -> None:
        """End every worker and the sandbox."""
        self.closed = True
        if hasattr(self, "control"):
            self.control.close()
        if hasattr(self, "process"):
            try:
                self.process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.said.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _start(self, warm: list[str]) -> None:
        packages = [
            os.path.realpath(path)
            for path in (*sys.path, *site.getsitepackages())
            if path.rstrip("/").endswith(("site-packages", "dist-packages")) and os.path.isdir(path)
        ]
        course = str(self.folder / "course")
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.control.settimeout(STARTING)
        words = (
            f"import sys; sys.path[:0] = [{course!r}]; sys.path += {packages!r}\n"
            "from t2i_course.grading import zygote; zygote.main()"
        )
        self.said = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the sandbox)
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-B", "-c", words, str(theirs.fileno())],
            pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=self.said,
            stderr=subprocess.STDOUT, start_new_session=True, cwd="/", env=_environment(),
        )  # fmt: skip
        theirs.close()
        base = sys.base_prefix
        libraries = [
            f"{base}/lib",
            *(sysconfig.get_path(name) for name in ("stdlib", "platstdlib")),
        ]
        shown = {course, *packages, *filter(os.path.isdir, libraries)}
        installed = [f"{path}/t2i_course" for path in packages]
        zygote.send(
            self.control, isolated=self.isolated, root=self.root, folder=str(self.folder / "root"),
            shown=sorted(shown), hidden=[path for path in installed if os.path.isdir(path)],
            warm=warm,
        )  # fmt: skip
        if self.isolated:
            self._hear("unshared")
            zygote.send(self.control, mapped=self._map(self.process.pid))
        self._hear("warm")

    def _hear(self, word: str) -> None:
        """Read the zygote's messages up to the one that holds `word`."""
        while True:
            try:
                data = self.control.recv(zygote.MESSAGE)
            except OSError as error:
                data, why = b"", str(error)
            else:
                why = "it ended"
            message = json.loads(data) if data else {}
            if word in message:
                return
            if not message or "refused" in message:
                if "refused" not in message and not self.closed:
                    self.process.wait(timeout=5)
                    self.said.seek(0)
                    lines = self.said.read().decode(errors="replace").split("\n")
                    why = next((line for line in reversed(lines) if line.strip()), why)
                raise T2IError(REFUSED.format(why=message.get("refused", why)))
            self.pid = message.get("pid", 0)

    def _map(self, pid: int) -> bool:
        """Give the launcher's namespace its users: the grader's own, or where that is root also a
        nobody's, since the system does not limit root's processes."""
        user, group = os.geteuid(), os.getegid()
        inside = "0 0 1\n{0} {1} 1\n" if self.root else "{0} {2} 1\n"
        try:
            if not self.root:
                Path(f"/proc/{pid}/setgroups").write_text("deny")
            for name, own in (("uid_map", user), ("gid_map", group)):
                text = inside.format(zygote.USER, NOBODY, own)
                Path(f"/proc/{pid}/{name}").write_text(text)
        except OSError:
            return False
        return True

    def _size(self) -> int:
        """Bytes of address space that the zygote has and each worker starts with."""
        try:
            pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[0])
            return pages * os.sysconf("SC_PAGE_SIZE")
        except (OSError, ValueError):
            return 8 << 30

    @contextlib.contextmanager
    def worker(self, seconds: float, memory_mb: int, probe: bool = False) -> "Iterator[Worker]":
        """A fresh worker, ended with the context.

        Args:
            seconds: of process time for its whole life; three times as long on the wall.
            memory_mb: beside what torch takes.

        Raises:
            SandboxLostError: if it did not start.
        """
        wall = 3 * seconds + 2
        ours, theirs = socket.socketpair()
        lifeline, held = socket.socketpair()
        job = {
            "cpu": max(1, round(seconds)), "wall": wall, "probe": probe,
            "memory": self._size() + (memory_mb << 20) if sys.platform == "linux" else None,
        }  # fmt: skip
        with ours, lifeline, theirs, held:
            try:
                with self.lock:
                    socket.send_fds(
                        self.control, [json.dumps(job).encode()], [theirs.fileno(), held.fileno()]
                    )
                theirs.close()
                held.close()
                wire = Wire(ours, outgoing=LARGE, deadline=time.monotonic() + 30)
                hello = wire.receive()["hello"]
            except (OSError, WireError) as error:
                why = told(lifeline).get("broken", error)
                if probe:
                    raise T2IError(REFUSED.format(why=why)) from None
                raise SandboxLostError(
                    f"The sandbox did not start a worker ({why}). Run the same command again: it "
                    "goes on where it was."
                ) from None
            if probe and hello is not False:
                raise T2IError(REFUSED.format(why="a submission could start processes"))
            wire.deadline = time.monotonic() + wall + 2
            yield Worker(wire, lifeline, seconds, lambda: self.ended)


def _environment() -> dict[str, str]:
    """All that a worker knows of the environment."""
    ones = ("OMP_NUM_THREADS", "OMP_THREAD_LIMIT", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    return dict.fromkeys(ones, "1") | {
        "PATH": "", "LANG": "C.UTF-8", "PYTHONHASHSEED": "0", "MPLBACKEND": "agg"
    }  # fmt: skip
