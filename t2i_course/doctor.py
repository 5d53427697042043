"""What this machine has, what is missing, and the mend for each: `t2i doctor`."""

import importlib.metadata
import os
import platform
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass

from t2i_course import __version__, profiles
from t2i_course.errors import T2IError
from t2i_course.places import data_root, runs_root

PACKAGES = (
    "torch", "torchvision", "open_clip_torch", "accelerate", "safetensors", "torch-fidelity",
    "jupyterlab", "ipywidgets", "nbval", "matplotlib", "tqdm",
)  # fmt: skip
ROOM = 2  # GB of disk that a run of the course may need
MEMORY = 4  # GB of memory that the laptop profile may need


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's report.

    Args:
        what: was looked at.
        found: in words.
        mend: what to do, or "" if all is well.
        fatal: True if the course cannot run before it is mended.
    """

    what: str
    found: str
    mend: str = ""
    fatal: bool = False

    def __str__(self) -> str:
        mark = "ok  " if not self.mend else "MEND" if self.fatal else "note"
        return f"{mark}  {self.what:<13} {self.found}" + (
            f"\n{'':20}{self.mend}" if self.mend else ""
        )


def examine() -> list[Finding]:
    """All findings, worst kept in place: the order is that in which one would mend them."""
    findings: list[Finding] = []
    checks: tuple[Callable[[], list[Finding]], ...] = (
        _python, _packages, _torch, _machine, _profile, _fashion, _zoo, _runs_folder
    )  # fmt: skip
    for check in checks:
        findings += check()
    return findings


def _python() -> list[Finding]:
    in_venv = sys.prefix != sys.base_prefix
    where = "in a virtual environment" if in_venv else "not in a virtual environment"
    mend = (
        "" if in_venv else "If packages clash, make one: `python -m venv .venv` (or `make setup`)."
    )
    version = f"{platform.python_version()} on {platform.system()} {platform.machine()}, {where}"
    return [Finding("python", version, mend), Finding("t2i-course", __version__)]


def _packages() -> list[Finding]:
    findings = []
    for name in PACKAGES:
        try:
            findings.append(Finding(name, importlib.metadata.version(name)))
        except importlib.metadata.PackageNotFoundError:
            findings.append(
                Finding(name, "missing", f"`pip install {name}` (or `make setup`).", True)
            )
    return findings


def _torch() -> list[Finding]:
    try:
        import torch
        import torchvision  # noqa: F401
    except (ImportError, RuntimeError, OSError) as error:
        mend = "Install the pair that fits: `pip install --force-reinstall torch torchvision`."
        return [Finding("torch", f"cannot be imported with torchvision: {error}", mend, True)]
    threads = f"{torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}"
    findings = [Finding("processor", f"{os.cpu_count()} cores, {threads}")]
    if torch.cuda.is_available():
        card = torch.cuda.get_device_properties(0)
        found = f"{torch.cuda.device_count()} x {card.name}, {card.total_memory / 2**30:.0f} GB"
        mend = "" if profiles.current().name == "gpu" else "Set T2I_PROFILE=gpu for the full runs."
        findings.append(Finding("gpu", found, mend))
    elif torch.backends.mps.is_available():
        findings.append(Finding("gpu", "Apple MPS, used for training; scores are made on the CPU"))
    else:
        findings.append(Finding("gpu", "none: the smoke and laptop profiles need none"))
    return findings


def _machine() -> list[Finding]:
    import psutil

    memory = psutil.virtual_memory().available / 2**30
    mend = (
        ""
        if memory >= MEMORY
        else f"Close other programs: the laptop profile may need {MEMORY} GB."
    )
    return [Finding("memory", f"{memory:.1f} GB free", mend)]


def _profile() -> list[Finding]:
    try:
        name = profiles.current().name
    except T2IError as error:
        return [
            Finding("profile", str(error), "Set T2I_PROFILE to one of them, or unset it.", True)
        ]
    return [Finding("profile", f"{name}: {profiles.PROFILES[name]}")]


def _fashion() -> list[Finding]:
    from t2i_course.data import fashion

    wrong = fashion.problem()
    if wrong is None:
        return [Finding("FashionMNIST", f"whole, in {data_root()}")]
    mend = f"{fashion.MEND[0].upper()}{fashion.MEND[1:]}; or {fashion.STAND_IN}."
    return [Finding("FashionMNIST", wrong, mend)]


def _zoo() -> list[Finding]:
    from t2i_course import runs

    names = runs.zoo_names()
    mend = "" if names else "Install the package again: its weights are not there."
    return [Finding("zoo", ", ".join(names) or "empty", mend, fatal=not names)]


def _runs_folder() -> list[Finding]:
    folder = runs_root()
    nearest = next(parent for parent in (folder, *folder.resolve().parents) if parent.is_dir())
    if folder.exists() and not folder.is_dir():
        mend = "Set T2I_RUNS to a folder, or move that file away."
        return [Finding("runs", f"{folder} is a file", mend, True)]
    if not os.access(nearest, os.W_OK):
        mend = "Set T2I_RUNS to a folder that you may write to."
        return [Finding("runs", f"{nearest} cannot be written to", mend, True)]
    free = shutil.disk_usage(nearest).free / 2**30
    mend = (
        "" if free >= ROOM else f"Make room, or set T2I_RUNS to another disk: {ROOM} GB are wise."
    )
    return [Finding("runs", f"{folder}, {free:.0f} GB free", mend)]
