"""A cage for another grader while it runs hostile submissions: this machine outlives them.

`shut_in` runs a command in user, mount, process and network namespaces of its own, as a user
without rights, with a bounded home in memory, and under limits on memory, processes and files. The
namespaces are those of `t2i_course.grading.isolation`; unlike our grader's sandbox the cage has a
loopback network, a shell and `/proc`, since kernels need them. Linux only.
"""

import base64
import contextlib
import fcntl
import io
import json
import os
import resource
import signal
import socket
import struct
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from t2i_course.grading import isolation

HOME = "/home/grader"
USER = 61_018  # where this is root; more than one cage at a time: each its own, by `number`
SYSTEM = (
    "/proc",
    "/bin",
    "/usr/bin",
    "/etc/passwd",
    "/etc/hosts",
    "/etc/nsswitch.conf",
    "/etc/fonts",
)
MS_REC, MS_PRIVATE = 16384, 1 << 18
MEMORY = 8 << 30  # bytes of address space, of one process
PROCESSES, FILE_MB, HOME_MB, HOME_FILES = 200, 64, 512, 200_000
KEPT = 32 << 20  # bytes of a file that is brought out
LOG = 20_000  # bytes of what the command says, from its end


@dataclass(frozen=True)
class Ended:
    """What became of a command.

    Attributes:
        code: its exit code, minus the signal that ended it, or None where time did.
        seconds: on the wall.
        left: processes that it left running.
        changed: files under the home and /tmp that are new, other or gone.
        files: those asked for, by name, where they are there.
        log: the end of what it said.
    """

    code: int | None
    seconds: float
    left: int
    changed: tuple[str, ...]
    files: dict[str, bytes]
    log: str


def shut_in(
    command: Sequence[str], home: Path, *, seconds: float, shown: Sequence[str],
    env: dict[str, str], kept: Sequence[str] = (), inside: str = "", number: int = 0,
) -> Ended:  # fmt: skip
    """Run a command in a cage.

    Args:
        home: a folder whose copy is the command's home.
        seconds: on the wall, after which it is killed with all that it started.
        shown: folders that it can read.
        kept: files of the home to bring out.
        inside: the folder of the home where it starts.
        number: of the cage: no two at a time have the same.

    Raises:
        OSError: if the system offers no namespaces.
    """
    how = {
        "command": list(command), "home": str(home.resolve()), "seconds": seconds,
        "shown": [str(Path(path).resolve()) for path in shown], "env": env, "kept": list(kept),
        "inside": inside, "user": USER + number,
    }  # fmt: skip
    root = tempfile.mkdtemp(prefix="cage-")  # the launcher's namespace has mounts on it
    try:
        done = subprocess.run(
            [sys.executable, __file__], input=json.dumps({**how, "root": root}), text=True,
            capture_output=True, timeout=seconds + 120,
        )  # fmt: skip
    finally:
        os.rmdir(root)  # never a recursive removal: what was mounted there is the machine's own
    if done.returncode != 0:
        raise OSError(f"no cage: {done.stderr.strip()[-300:]}")
    told = json.loads(done.stdout)
    files = {name: base64.b64decode(data) for name, data in told.pop("files").items()}
    return Ended(files=files, changed=tuple(told.pop("changed")), **told)


def main() -> None:
    """The launcher: enters the namespaces and waits for their first process."""
    isolation.die_with_parent()
    how = json.load(sys.stdin)
    user, group = os.geteuid(), os.getegid()
    if user:
        isolation.unshare(isolation.CLONE_NEWUSER)
        how["user"] = 1000
        maps = {"setgroups": "deny", "uid_map": f"1000 {user} 1", "gid_map": f"1000 {group} 1"}
        for name, text in maps.items():
            Path(f"/proc/self/{name}").write_text(text)
    isolation.unshare(isolation.EVERY_ROOM)
    first = os.fork()
    if first == 0:
        _keep(how["root"], how)
    sys.exit(abs(os.waitstatus_to_exitcode(os.waitpid(first, 0)[1])))


def _keep(root: str, how: dict[str, Any]) -> NoReturn:
    """The first process of the cage: furnishes it, runs the command, ends all, tells."""
    status = 1
    try:
        isolation.die_with_parent()
        packed = io.BytesIO()  # the host's folder is out of sight when the home is there
        with tarfile.open(fileobj=packed, mode="w") as archive:
            archive.add(how["home"], ".")
        system = [path for path in SYSTEM if os.path.exists(path)]
        isolation.mount("none", "/", "", MS_REC | MS_PRIVATE)
        isolation.mount("proc", "/proc", "proc")  # of this namespace, before the old one is gone
        isolation.enter_root(root, [*system, *how["shown"]], (), "/home")
        os.makedirs("/tmp", exist_ok=True)
        for path in ("/home", "/tmp"):
            isolation.mount_scratch(path, HOME_MB, HOME_FILES)
        isolation.close_root()
        _loopback()
        packed.seek(0)
        with tarfile.open(fileobj=packed) as archive:
            archive.extraction_filter = lambda member, path: member  # links and pipes as they are
            archive.extractall(HOME)
        if os.geteuid() == 0:
            for path, folders, files in os.walk("/home"):
                for name in (".", *folders, *files):
                    os.chown(
                        os.path.join(path, name), how["user"], how["user"], follow_symlinks=False
                    )
            os.chown("/tmp", how["user"], how["user"])
        before, start = _seen(), time.monotonic()
        runner = os.fork()
        if runner == 0:
            _run(how)
        code, late = _wait(runner, start + how["seconds"])
        took = time.monotonic() - start
        time.sleep(1)
        left = sum(name.isdigit() and name != "1" and _alive(name) for name in os.listdir("/proc"))
        _end_all()
        after = _seen()
        changed = sorted({path for path in before | after if before.get(path) != after.get(path)})
        log = Path("/tmp/log").read_bytes()[-LOG:].decode(errors="replace")
        brought: dict[str, str] = {}
        for name in how["kept"]:
            path = os.path.join(HOME, name)
            if os.path.isfile(path) and not os.path.islink(path) and os.path.getsize(path) < KEPT:
                brought[name] = base64.b64encode(Path(path).read_bytes()).decode()
        told = {
            "code": None if late else code, "seconds": took, "left": 0 if late else left,
            "changed": changed[:200], "files": brought, "log": log,
        }  # fmt: skip
        sys.stdout.write(json.dumps(told))
        sys.stdout.flush()
        status = 0
    except BaseException as error:
        sys.stderr.write(f"{type(error).__name__}: {error}")
        sys.stderr.flush()
    finally:
        os._exit(status)


def _loopback() -> None:
    """Raise the network interface `lo` of this namespace."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sH14x", b"lo", 0x1 | 0x40)  # IFF_UP, IFF_RUNNING
        fcntl.ioctl(any_socket, 0x8914, request)  # SIOCSIFFLAGS


def _run(how: dict[str, Any]) -> NoReturn:
    try:
        os.setsid()
        log = os.open("/tmp/log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for number, target in ((nothing, 0), (log, 1), (log, 2)):
            os.dup2(number, target)
        os.closerange(3, 1 << 16)
        for name, value in (
            ("AS", MEMORY), ("NPROC", PROCESSES), ("FSIZE", FILE_MB << 20), ("CORE", 0),
        ):  # fmt: skip
            resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (value, value))
        if os.geteuid() == 0:
            os.setgroups([])
            isolation.become(how["user"])
        isolation.drop_powers()
        os.chdir(os.path.join(HOME, how["inside"]))
        os.execve(how["command"][0], how["command"], {"HOME": HOME, **how["env"]})
    except BaseException as error:
        os.write(2, f"{type(error).__name__}: {error}".encode())
    finally:
        os._exit(127)


def _wait(runner: int, until: float) -> tuple[int, bool]:
    """The runner's exit code, and whether its time was up first; others that end are reaped."""
    while time.monotonic() < until:
        try:
            ended, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return -1, False
        if ended == runner:
            return os.waitstatus_to_exitcode(status), False
        if ended == 0:
            time.sleep(0.05)
    return 0, True


def _alive(name: str) -> bool:
    try:
        return Path(f"/proc/{name}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def _end_all() -> None:
    """SIGKILL to every process of the cage but this one, until there is none."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        with contextlib.suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.05)


def _seen() -> dict[str, tuple[int, int, int]]:
    """Size, time of change and kind of all that is in the home and in /tmp."""
    found = {}
    for top in ("/home", "/tmp"):
        for path, folders, files in os.walk(top):
            for name in (*folders, *files):
                about = os.lstat(os.path.join(path, name))
                stamp = 0 if name in folders else about.st_mtime_ns
                size = 0 if name in folders else about.st_size
                found[os.path.join(path, name)] = (size, stamp, about.st_mode)
    return found


if __name__ == "__main__":
    main()
