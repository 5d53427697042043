"""What Linux offers to shut a process in: namespaces, read-only mounts, dropped powers.

Thin wrappers of system calls that Python 3.11 lacks; nothing here imports torch or the rest of the
package. Each raises `OSError` where the system does not offer it.
"""

import ctypes
import os
import platform
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWPID = 0x0002_0000, 0x1000_0000, 0x2000_0000
CLONE_NEWNET, CLONE_NEWIPC, CLONE_NEWUTS = 0x4000_0000, 0x0800_0000, 0x0400_0000
EVERY_ROOM = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS

_NOSUID, _NODEV, _NOEXEC, _BIND, _REC, _PRIVATE = 2, 4, 8, 4096, 16384, 1 << 18
_READ_ONLY, _REMOUNT, _DETACH = 1, 32, 2
_MOUNT_SETATTR, _AT_FDCWD, _AT_RECURSIVE = 442, -100, 0x8000  # numbers of every architecture
_PDEATHSIG, _DUMPABLE, _KEEPCAPS, _SECCOMP, _CAPBSET_DROP = 1, 4, 8, 22, 24
_NO_NEW_PRIVS, _CAP_AMBIENT, _CAPABILITY_VERSION = 38, 47, 0x2008_0522

SYMLINKS_OR_LIBRARIES = ("/lib", "/lib32", "/lib64", "/usr/lib", "/usr/lib32", "/usr/lib64")
FILES = (
    "/etc/ld.so.cache", "/etc/localtime", "/nix/store", "/proc/cpuinfo",
    "/sys/devices/system/cpu",
)  # fmt: skip
DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom")

# Calls that no answer needs: (number on x86_64, number on aarch64). Against other processes,
# programs, networks and mounts; and against memory that the limit on a process does not count.
REFUSED = {
    "execve": (59, 221), "execveat": (322, 281), "ptrace": (101, 117),
    "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "pidfd_getfd": (438, 438),
    "socket": (41, 198), "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41),
    "chroot": (161, 51), "unshare": (272, 97), "setns": (308, 268), "open_tree": (428, 428),
    "move_mount": (429, 429), "fsopen": (430, 430), "fsmount": (432, 432),
    "mount_setattr": (442, 442), "open_by_handle_at": (304, 265), "shmget": (29, 194),
    "memfd_create": (319, 279), "memfd_secret": (447, 447), "msgget": (68, 186),
    "semget": (64, 190), "mq_open": (240, 180), "keyctl": (250, 219), "add_key": (248, 217),
    "request_key": (249, 218), "bpf": (321, 280), "perf_event_open": (298, 241),
    "userfaultfd": (323, 282), "io_uring_setup": (425, 425), "init_module": (175, 105),
    "finit_module": (313, 273), "kexec_load": (246, 104), "personality": (135, 92),
}  # fmt: skip
_ARCHITECTURES = {"x86_64": (0, 0xC000_003E), "aarch64": (1, 0xC000_00B7)}

_libc: Any = ctypes.CDLL(None, use_errno=True) if os.name == "posix" else None


def _checked(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def unshare(flags: int) -> None:
    """Move this process (of `CLONE_NEWPID`, its children) into namespaces of its own."""
    _checked(_libc.unshare(flags), "unshare")


def _prctl(option: int, *values: int) -> int:
    numbers = [ctypes.c_ulong(value) for value in (*values, 0, 0, 0, 0)[:4]]
    return int(_libc.prctl(option, *numbers))


def die_with_parent() -> None:
    """SIGKILL for this process when the one that started it ends."""
    _prctl(_PDEATHSIG, 9)


def hide_memory() -> None:
    """No other process of the same user may look into this one, nor does it leave a core."""
    _prctl(_DUMPABLE, 0)


def mount(source: str, target: str, kind: str = "", flags: int = 0, options: str = "") -> None:
    """mount(2); `kind` may be empty, as for a bind."""
    words = [word.encode() if word else None for word in (source, target, kind)]
    _checked(_libc.mount(*words, ctypes.c_ulong(flags), options.encode()), f"mount {target}")


def mount_scratch(target: str, megabytes: int, files: int) -> None:
    """An empty folder in memory, of so many megabytes and files, from which nothing is executed."""
    options = f"size={megabytes}m,nr_inodes={files},mode=700"
    mount("tmpfs", target, "tmpfs", _NOSUID | _NODEV | _NOEXEC, options)


def _make_read_only(target: str) -> None:
    attributes = struct.pack("=QQQQ", _READ_ONLY | _NOSUID | _NODEV, 0, 0, 0)
    done = _libc.syscall(
        ctypes.c_long(_MOUNT_SETATTR), ctypes.c_long(_AT_FDCWD), target.encode(),
        ctypes.c_long(_AT_RECURSIVE), attributes, ctypes.c_long(len(attributes)),
    )  # fmt: skip
    _checked(done, f"mount_setattr {target}")


def _show(root: str, path: str, device: bool = False) -> None:
    """Make `path` appear under `root`, read-only: a link as a link, else by a bind mount."""
    target = Path(root + path)
    target.parent.mkdir(parents=True, exist_ok=True)
    if os.path.islink(path) and path in SYMLINKS_OR_LIBRARIES:
        target.symlink_to(os.readlink(path))
        return
    if os.path.isdir(path):
        target.mkdir(exist_ok=True)
    else:
        target.touch()
    mount(path, str(target), "", _BIND | _REC)
    if not device:
        _make_read_only(str(target))


def enter_root(root: str, shown: Iterable[str], hidden: Iterable[str], scratch: str) -> None:
    """Make the empty folder `root` this process's whole file system: the system's libraries and
    what is `shown`, read-only, each at its own path, and an empty folder `scratch`.

    Args:
        hidden: folders inside what is shown that shall look empty.
    """
    mount("none", "/", "", _REC | _PRIVATE)
    mount("tmpfs", root, "tmpfs", _NOSUID | _NODEV, "size=4m,mode=755")
    system = [path for path in (*SYMLINKS_OR_LIBRARIES, *FILES) if os.path.lexists(path)]
    # Outer folders first; what lies inside a folder that is shown already is there.
    for path in sorted({*system, *shown}, key=lambda path: path.count("/")):
        if not os.path.lexists(root + path):
            _show(root, path)
    for path in DEVICES:
        _show(root, path, device=True)
    for path in hidden:
        mount("tmpfs", root + path, "tmpfs", _NOSUID | _NODEV | _NOEXEC | _READ_ONLY, "size=4k")
    Path(root + scratch).mkdir(mode=0o700, exist_ok=True)
    os.chdir(root)
    _checked(_libc.pivot_root(b".", b"."), "pivot_root")
    _checked(_libc.umount2(b".", _DETACH), "umount2")
    os.chdir("/")


def close_root() -> None:
    """Make the root itself read-only (what is mounted on it stays as it is)."""
    mount("none", "/", "", _REMOUNT | _BIND | _READ_ONLY | _NOSUID | _NODEV)


def _capset(effective: tuple[int, int], permitted: tuple[int, int]) -> None:
    header = struct.pack("=Ii", _CAPABILITY_VERSION, 0)
    data = struct.pack("=6I", effective[0], permitted[0], 0, effective[1], permitted[1], 0)
    _checked(_libc.capset(header, data), "capset")


def become(user: int) -> None:
    """Take the user and group of that number, and keep the powers over one's own namespaces."""
    header = struct.pack("=Ii", _CAPABILITY_VERSION, 0)
    data = ctypes.create_string_buffer(24)
    _checked(_libc.capget(header, data), "capget")
    _, low, _, _, high, _ = struct.unpack("=6I", data.raw)
    _prctl(_KEEPCAPS, 1)
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    _capset((low, high), (low, high))


def drop_powers() -> None:
    """Give up every capability, for good: no program that this process starts gets one back."""
    for capability in range(64):
        if _prctl(_CAPBSET_DROP, capability) != 0:
            break
    _prctl(_CAP_AMBIENT, 4)
    _capset((0, 0), (0, 0))
    if _prctl(_NO_NEW_PRIVS, 1) != 0:
        raise OSError("this kernel has no PR_SET_NO_NEW_PRIVS")


def refuse_calls(calls: Mapping[str, tuple[int, int]] = REFUSED) -> bool:
    """Let these system calls fail with EPERM from now on; False on an architecture not known.

    A defence beside the namespaces, not in their place. After `drop_powers` only.
    """
    machine = platform.machine()
    if machine not in _ARCHITECTURES:
        return False
    place, architecture = _ARCHITECTURES[machine]
    numbers = sorted(pair[place] for pair in calls.values())
    load, equal, at_least, give = 0x20, 0x15, 0x35, 0x06
    n = len(numbers)
    steps = [
        (load, 0, 0, 4), (equal, 1, 0, architecture), (give, 0, 0, 0x8000_0000),  # else: kill
        (load, 0, 0, 0), (at_least, n + 1, 0, 0x4000_0000),  # x86_64's second table of numbers
        *((equal, n - k, 0, number) for k, number in enumerate(numbers)),
        (give, 0, 0, 0x7FFF_0000), (give, 0, 0, 0x0005_0000 | 1),
    ]  # fmt: skip
    code = b"".join(struct.pack("=HBBI", *step) for step in steps)
    buffer = ctypes.create_string_buffer(code, len(code))
    program = struct.pack("@HP", len(steps), ctypes.addressof(buffer))
    _checked(_libc.prctl(_SECCOMP, ctypes.c_ulong(2), program, 0, 0), "seccomp")
    return True
