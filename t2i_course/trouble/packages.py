"""Packages: what is missing or too old, and torch and torchvision that do not fit.

`python -m t2i_course.trouble.packages` installs what is missing and leaves the torch that is there
as it is: for machines that come with their own, such as Colab's and Kaggle's.
"""

import importlib
import importlib.metadata
import platform
import re
import subprocess
import sys

from t2i_course import __version__
from t2i_course.trouble.finding import Finding

OLDEST = (3, 11)
# What is asked for where the package was not installed but only put on the path.
PLAIN = (
    "torch>=2.11", "torchvision>=0.26", "open_clip_torch", "accelerate", "safetensors",
    "torch-fidelity", "matplotlib", "tqdm", "click", "jupyterlab", "ipywidgets",
)  # fmt: skip
HELD = ("torch", "torchvision")  # never replaced in passing: their builds are the machine's
# What a rented notebook brings in its own form, and what only this course's checks need.
RENTED = ("jupyterlab", "jupyter_client", "nbclient", "nbval", "ipython")
SHOWN = ("torch", "torchvision", "jupyterlab")
# What a failed import says, and what it means.
CLUES = (
    (r"WinError 126|c10\.dll|fbgemm", "Install Microsoft's Visual C++ Redistributable (x64)."),
    (r"libcu|libnv", "This torch is for CUDA and its libraries are damaged: install it again."),
)


def version(text: str) -> tuple[int, ...]:
    """The numbers of a version: "2.11.0+cpu" is (2, 11, 0); what follows a letter is left out."""
    return tuple(int(part) for part in re.match(r"[\d.]*", text)[0].split(".") if part)  # type: ignore[index]


def wanted() -> list[tuple[str, str]]:
    """What the installed package asks for, without extras: (name, lowest version or "")."""
    try:
        lines = importlib.metadata.requires("t2i-course") or []
    except importlib.metadata.PackageNotFoundError:
        lines = list(PLAIN)
    plain = [line for line in lines if "extra ==" not in line]
    parsed = [re.match(r"\s*([\w.-]+)[^>]*(?:>=\s*([\d.]+))?", line) for line in plain]
    return [(found[1], found[2] or "") for found in parsed if found]


def missing() -> list[str]:
    """What must be installed or is too old, as pip takes it."""
    lacking = []
    for name, lowest in wanted():
        try:
            have = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            have = ""
        if not have or version(have) < version(lowest):
            lacking.append(f"{name}>={lowest}" if lowest else name)
    return lacking


def install(names: list[str], *options: str) -> tuple[str, ...]:
    """The command that installs `names` and keeps the torch and torchvision that are there."""
    asked = {re.split("[>=<]", each)[0] for each in names}
    held = []
    for name in HELD:
        try:
            there = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        if name not in asked:
            held.append(f"{name}=={there}")
    return (sys.executable, "-m", "pip", "install", *options, *names, *held)


def findings() -> list[Finding]:
    """Python, the package, what it needs, and whether torch and torchvision fit."""
    return [*_python(), *_needed(), *_pair()]


def _python() -> list[Finding]:
    in_venv = sys.prefix != sys.base_prefix
    where = "in a virtual environment" if in_venv else "not in a virtual environment"
    text = f"{platform.python_version()} on {platform.system()} {platform.machine()}, {where}"
    mend, fatal = "", False
    if sys.version_info[:2] < OLDEST:
        mend, fatal = "The course needs Python 3.11 or newer: make a new environment with it.", True
    elif sys.maxsize < 2**32:
        mend, fatal = "This Python has 32 bits, and torch needs 64: install the 64-bit one.", True
    elif not in_venv:
        mend = "If packages clash, make one: `python -m venv .venv` (or `make setup`)."
    return [Finding("python", text, mend, fatal), Finding("t2i-course", __version__)]


def _needed() -> list[Finding]:
    found = []
    lacking = {re.split("[>=]", each)[0]: each for each in missing()}
    for name, lowest in wanted():
        if name in lacking:
            there = _version_of(name)
            say = f"{there} is too old, {lowest} is needed" if there else "missing"
            command = install([lacking[name]])
            mend = f"`pip install {name}` (or `make setup`)."
            found.append(Finding(name, say, mend, True, command))
        elif name in SHOWN:
            found.append(Finding(name, _version_of(name)))
    if not lacking:
        found.append(Finding("packages", f"all {len(wanted())} that the course asks for"))
    return found


def _version_of(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _pair() -> list[Finding]:
    """Whether torchvision was made for this torch: by what it asks for, then by importing both."""
    torch, vision = _version_of("torch"), _version_of("torchvision")
    if not torch or not vision:
        return []
    mend = "Install the pair that fits."
    command = install([f"torch=={torch.split('+')[0]}", "torchvision"], "--force-reinstall")
    asked = _asked_torch()
    if asked and not _fits(torch, *asked):
        what = f"torchvision {vision} was made for torch {asked[1]}, and torch is {torch}"
        return [Finding("torch", what, mend, True, command)]
    builds = [each.partition("+")[2] for each in (torch, vision)]
    if all(builds) and builds[0] != builds[1]:
        what = f"torch {torch} and torchvision {vision} are builds for different devices"
        return [Finding("torch", what, mend, True, command)]
    try:
        importlib.import_module("torch")
        importlib.import_module("torchvision")
    except Exception as error:  # whatever a broken installation raises
        for clue, other in CLUES:
            if re.search(clue, str(error)):
                mend = other
        return [
            Finding("torch", f"cannot be imported with torchvision: {error}", mend, True, command)
        ]
    return []


def _asked_torch() -> tuple[str, str] | None:
    """What torchvision's own metadata says of torch: ("==" or ">=", version)."""
    for line in importlib.metadata.requires("torchvision") or []:
        found = re.match(r"torch\s*\(?\s*(==|>=)\s*([\d.]+)", line)
        if found:
            return found[1], found[2]
    return None


def _fits(torch: str, sign: str, asked: str) -> bool:
    return version(torch) >= version(asked) if sign == ">=" else version(torch) == version(asked)


def main() -> int:
    """Install what is missing beside the torch, and the Jupyter, that are there."""
    by_name = {re.split("[>=]", each)[0]: each for each in missing()}
    for name in HELD:
        if name in by_name:
            print(f"{name} {_version_of(name)} stays, though the course asks for {by_name[name]}")
    lacking = [each for name, each in by_name.items() if name not in (*HELD, *RENTED)]
    return subprocess.run(install(lacking, "-q")).returncode if lacking else 0


if __name__ == "__main__":
    sys.exit(main())
