"""The process that has imported everything and forks a worker for each task: inside the sandbox.

    grader ── control ── launcher > zygote (pid 1, no network, a file system of its own)
                                     ├ keeper > worker (pid 1 of its own again; a learner's code)
                                     └ keeper > worker

The launcher enters the namespaces; the zygote builds the file system, imports torch once and then
forks; a keeper enters a second set of namespaces, starts the worker there, keeps what it prints
and ends it when its time is up or the grader lets go of the lifeline. A worker's memory is a copy
of the zygote's, which was never told a seed, a name or an answer.

Without isolation (`--trust-submissions`) the same processes run without the namespaces.
"""

import gc
import importlib
import json
import os
import resource
import select
import shutil
import signal
import socket
import sys
import tempfile
import time
import traceback
from typing import Any, NoReturn

from t2i_course.grading import isolation

USER = 1000  # inside; outside it is the grader's own, or a nobody's where that is root
SCRATCH = "/scratch"
OUTPUT = 4000  # characters of what a worker prints that are kept
MESSAGE = 1 << 16  # bytes of a message on the control socket
FILES, FILE_MB, SCRATCH_MB, SCRATCH_FILES = 64, 16, 32, 1000


def send(control: socket.socket, **message: Any) -> None:
    """A message on the control socket (one packet)."""
    control.send(json.dumps(message).encode())


def main() -> NoReturn:
    """The launcher: `python -c … FD`, with the control socket at that descriptor."""
    control = socket.socket(fileno=int(sys.argv[1]))
    how = json.loads(control.recv(MESSAGE))
    if how["isolated"]:
        try:
            _shut_in(control, how)
        except OSError as error:
            send(control, refused=str(error))
            os._exit(1)
    child = os.fork()
    if child == 0:
        _run(control, how)
    send(control, pid=child)
    control.close()
    os.waitpid(child, 0)
    os._exit(0)


def _shut_in(control: socket.socket, how: dict[str, Any]) -> None:
    isolation.unshare(isolation.CLONE_NEWUSER)
    send(control, unshared=True)
    if not json.loads(control.recv(MESSAGE))["mapped"]:
        raise OSError("no user of another namespace could be mapped")
    if how["root"]:
        os.setgroups([])
    try:
        with open("/proc/sys/user/max_user_namespaces", "w") as file:
            file.write("0")
    except OSError:  # a read-only /proc/sys; the refused calls stand in the way instead
        pass
    isolation.unshare(isolation.EVERY_ROOM)


def _run(control: socket.socket, how: dict[str, Any]) -> NoReturn:
    """The zygote: builds the file system, imports, forks. Never returns into the launcher."""
    status = 1
    try:
        if how["isolated"]:
            isolation.die_with_parent()
            isolation.enter_root(how["folder"], how["shown"], how["hidden"], SCRATCH)
            if how["root"]:
                isolation.become(USER)
            isolation.mount_scratch(SCRATCH, SCRATCH_MB, SCRATCH_FILES)
            isolation.close_root()
            isolation.hide_memory()
        _forking(control, how)
        status = 0
    except OSError as error:
        send(control, refused=str(error))
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def _forking(control: socket.socket, how: dict[str, Any]) -> None:
    if how["isolated"]:
        os.environ |= dict.fromkeys(("HOME", "TMPDIR", "MPLCONFIGDIR"), SCRATCH)
        os.chdir(SCRATCH)
    import torch

    from t2i_course.grading import worker

    torch.set_num_threads(1)
    for name in how["warm"]:
        try:
            importlib.import_module(name)
        except Exception:  # the worker that needs it says so
            continue
    worker.warm()
    gc.collect()
    gc.freeze()
    send(control, warm=True)
    while True:
        data, descriptors, _, _ = socket.recv_fds(control, MESSAGE, 8)
        if not data:  # the grader has ended
            return
        job = json.loads(data)
        if os.fork() == 0:
            control.close()
            _keep(job, how, *descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        while True:  # keepers that have ended
            try:
                if os.waitpid(-1, os.WNOHANG)[0] == 0:
                    break
            except ChildProcessError:
                break


def _keep(job: dict[str, Any], how: dict[str, Any], wire: int, lifeline: int) -> NoReturn:
    """The keeper of one worker. Ends with a report on the lifeline."""
    report: dict[str, Any] = {}
    folder = ""
    try:
        os.setsid()
        if how["isolated"]:
            isolation.unshare(isolation.EVERY_ROOM)
            isolation.mount_scratch(SCRATCH, SCRATCH_MB, SCRATCH_FILES)
        else:
            folder = tempfile.mkdtemp(prefix="t2i-grade-")
        reading, writing = os.pipe()
        worker = os.fork()
        if worker == 0:
            _work(job, how, folder or SCRATCH, wire, writing)
        os.close(wire)
        os.close(writing)
        report |= _watch(worker, reading, lifeline, job["wall"], how["isolated"])
    except OSError as error:
        report["broken"] = str(error)
    finally:
        if folder:
            shutil.rmtree(folder, ignore_errors=True)
        try:
            os.set_blocking(lifeline, False)
            os.write(lifeline, json.dumps(report).encode())
        except OSError:
            pass
        os._exit(0)


def _watch(worker: int, reading: int, lifeline: int, wall: float, isolated: bool) -> dict[str, Any]:
    """Keep the start of what the worker prints until it ends, its time is up, or the grader lets
    go; then end it and all that it started."""
    until, kept, late = time.monotonic() + wall, bytearray(), False
    sources = [reading, lifeline]
    while True:
        left = until - time.monotonic()
        late = left <= 0
        ready = [] if late else select.select(sources, [], [], min(left, 0.2))[0]
        if reading in ready:
            part = os.read(reading, 1 << 16)
            kept += part[: max(0, OUTPUT - len(kept))]
            if not part:
                sources.remove(reading)
        ended, status, usage = os.wait4(worker, os.WNOHANG)
        if ended:
            break
        if late or lifeline in ready:
            _end(worker, isolated)
            _, status, usage = os.wait4(worker, 0)
            break
    if not isolated:
        _end(worker, isolated)  # what it left behind in its group
    while reading in sources and len(kept) < OUTPUT and select.select([reading], [], [], 0)[0]:
        part = os.read(reading, OUTPUT - len(kept))
        if not part:
            break
        kept += part
    cpu = usage.ru_utime + usage.ru_stime
    exit_code = os.waitstatus_to_exitcode(status)
    output = kept.decode("utf-8", errors="replace")
    return {"late": late, "exit": exit_code, "cpu": cpu, "output": output}


def _end(worker: int, isolated: bool) -> None:
    """SIGKILL: to the first process of a namespace, which takes all others with it, or to the
    group of processes."""
    try:
        os.kill(worker, signal.SIGKILL)
        if not isolated:
            os.killpg(worker, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass


def _work(
    job: dict[str, Any], how: dict[str, Any], folder: str, wire: int, output: int
) -> NoReturn:
    """The worker: shuts every door behind itself, then serves."""
    try:
        os.setsid()
        os.dup2(output, 1)
        os.dup2(output, 2)
        connection = socket.socket(fileno=os.dup2(wire, 3))
        os.closerange(4, 1 << 16)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        os.chdir(folder)
        for name in ("HOME", "TMPDIR", "MPLCONFIGDIR"):
            os.environ[name] = folder
        tempfile.tempdir = folder
        _limit(job, how["isolated"])
        if how["isolated"]:
            isolation.die_with_parent()
            isolation.drop_powers()
            isolation.refuse_calls()
            isolation.hide_memory()
        from t2i_course.grading import wire as wires
        from t2i_course.grading import worker

        wires.Wire(connection).send({"hello": _can_fork() if job.get("probe") else None})
        worker.serve(connection)
    finally:
        os._exit(1)


def _limit(job: dict[str, Any], isolated: bool) -> None:
    limits = {
        "RLIMIT_AS": job["memory"], "RLIMIT_CPU": job["cpu"], "RLIMIT_FSIZE": FILE_MB << 20,
        "RLIMIT_NOFILE": FILES, "RLIMIT_CORE": 0, "RLIMIT_MSGQUEUE": 0, "RLIMIT_MEMLOCK": 0,
    }  # fmt: skip
    if isolated:
        limits["RLIMIT_NPROC"] = 0  # neither processes nor threads beside this one
    for name, value in limits.items():
        kind = getattr(resource, name, None)
        if kind is None or value is None:
            continue
        most = resource.getrlimit(kind)[1]
        value = value if most == resource.RLIM_INFINITY else min(value, most)
        resource.setrlimit(kind, (value, value))


def _can_fork() -> bool:
    try:
        child = os.fork()
    except OSError:
        return False
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    return True
