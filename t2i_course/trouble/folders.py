"""Folders: no room, no permission, a file in the way, and paths that this system misreads."""

import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

from t2i_course.places import data_root, runs_root
from t2i_course.trouble.finding import Finding

ROOM = 2  # GB of disk that a run of the course may need
PROBE = 256 * 1024  # bytes that are really written
LONGEST = 260  # characters of a path, on Windows as it comes
DEEPEST = 90  # characters that a run puts below its folder
PORTS = {f"{port}{i}" for port in ("COM", "LPT") for i in range(1, 10)}
RESERVED = {"CON", "PRN", "AUX", "NUL"} | PORTS  # names of devices, on Windows
VARIABLES = ("T2I_DATA", "T2I_RUNS", "T2I_CACHE")


def findings() -> list[Finding]:
    """The runs' folder, the data's, the one for temporary files, and how variables spell them."""
    found = [_folder("runs", runs_root(), "T2I_RUNS", ROOM, fatal=True)]
    for what, folder, variable in (
        ("data folder", data_root(), "T2I_DATA"),
        ("temporary", Path(tempfile.gettempdir()), "TMPDIR"),
    ):
        one = _folder(what, folder, variable, 0.2, fatal=False)
        found += [one] if one.mend else []
    for variable in VARIABLES:
        found += spelling(variable, os.environ.get(variable, ""))
    return found + lengths(runs_root().absolute())


def _folder(what: str, folder: Path, variable: str, room: float, fatal: bool) -> Finding:
    nearest = next(parent for parent in (folder, *folder.absolute().parents) if parent.is_dir())
    if folder.exists() and not folder.is_dir():
        mend = f"Set {variable} to a folder, or move that file away."
        return Finding(what, f"{folder} is a file", mend, fatal)
    wrong = unwritable(nearest)
    if wrong and what == "data folder" and any(folder.glob("*")):
        return Finding(what, f"{folder} is read-only, which is enough for data that is there")
    if wrong:
        mend = f"Set {variable} to a folder that you may write to, on a disk with room."
        return Finding(what, f"{nearest} cannot be written to ({wrong})", mend, fatal)
    free = shutil.disk_usage(nearest).free / 2**30
    mend = (
        "" if free >= room else f"Make room, or set {variable} to another disk: {room} GB are wise."
    )
    return Finding(what, f"{folder}, {free:.0f} GB free", mend)


def unwritable(folder: Path) -> str:
    """Why nothing can be written into `folder`, by writing; "" if it can.

    Permissions do not tell: root may everything but on a read-only disk, a quota has no bits, and
    Windows has other rules.
    """
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"\0" * PROBE)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return error.strerror or str(error)
    return ""


def spelling(variable: str, value: str, windows: bool = os.name == "nt") -> list[Finding]:
    """What is wrong with a path as a variable has it, on Windows or elsewhere."""
    wrong = mend = ""
    names = re.split(r"[\\/]", value)
    if value != value.strip() or value.strip("\"'") != value:
        wrong = "has spaces or quotes at its ends, which belong to the path then"
        mend = "In cmd write `set NAME=C:\\path` without quotes, and nothing before `&&`."
    elif value.startswith("~"):
        wrong, mend = "begins with ~, which only a shell expands", "Write the whole path."
    elif windows and re.search(r'[<>"|?*]', value):
        wrong, mend = "has a character that Windows does not allow", "Choose another folder."
    elif windows and {name.split(".")[0].upper() for name in names} & RESERVED:
        wrong, mend = "has a name that Windows keeps for a device", "Choose another name."
    elif windows and any(name.startswith("OneDrive") for name in names):
        wrong = "lies in OneDrive, which locks and moves files while a run writes them"
        mend = "Choose a folder outside it."
    elif not windows and re.match(r"[A-Za-z]:[\\/]", value):
        inside = value[3:].replace("\\", "/")
        wrong = "is a Windows path, and this is not Windows"
        mend = f"In WSL write /mnt/{value[0].lower()}/{inside}."
    elif not windows and "\\" in value:
        wrong, mend = "has backslashes, which are no separators here", "Write / in their place."
    return [Finding("path", f"{variable}={value!r} {wrong}", mend, True)] if wrong else []


def lengths(
    folder: Path, windows: bool = os.name == "nt", long_allowed: bool | None = None
) -> list[Finding]:
    """A note where a run's files would have paths longer than Windows takes."""
    if not windows or len(str(folder)) + DEEPEST <= LONGEST:
        return []
    if long_allowed if long_allowed is not None else _long_paths():
        return []
    found = f"{folder} is so long that a run's files may pass {LONGEST} characters"
    mend = "Set T2I_RUNS to a short folder such as C:\\t2i, or allow long paths in Windows."
    return [Finding("path", found, mend, True)]


def _long_paths() -> bool:
    if sys.platform != "win32":
        return True
    import winreg

    try:
        with winreg.OpenKey(
            winreg.HKEY_LOCAL_MACHINE, r"SYSTEM\CurrentControlSet\Control\FileSystem"
        ) as key:
            return bool(winreg.QueryValueEx(key, "LongPathsEnabled")[0])
    except OSError:
        return False
