"""What this machine has, what is missing, and the mend for each: `t2i doctor`."""

import os
import subprocess
import sys
from collections.abc import Callable

from t2i_course import profiles
from t2i_course.errors import T2IError
from t2i_course.places import data_root
from t2i_course.trouble import devices, folders, network, notebooks, packages
from t2i_course.trouble.finding import Finding, mend

__all__ = ["Finding", "examine", "mend_all"]

MEMORY = 4  # GB of memory that the laptop profile may need


def examine() -> list[Finding]:
    """All findings, worst kept in place: the order is that in which one would mend them."""
    checks: tuple[Callable[[], list[Finding]], ...] = (
        packages.findings, notebooks.findings, _processor, _machine, _profile, _fashion, _zoo,
        folders.findings, network.findings,
    )  # fmt: skip
    findings: list[Finding] = []
    for check in checks:
        findings += check()
    return findings


def mend_all(findings: list[Finding], say: Callable[[str], None] = print) -> int:
    """Run what can be mended by a command, then look again in a fresh process.

    Returns:
        The exit code of that second look: 1 if something fatal is left.
    """
    mend(findings, lambda command: subprocess.run(command).returncode, say)
    again = (sys.executable, "-m", "t2i_course.cli", "doctor")
    return subprocess.run(again).returncode


def _processor() -> list[Finding]:
    try:
        import torch

        threads = f"{torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}"
        here = devices.seen()
    except Exception:  # packages.py says what is wrong with torch
        return []
    try:
        profile = profiles.current().name
    except T2IError:
        profile = "laptop"
    processor = Finding("processor", f"{os.cpu_count()} cores, {threads}")
    return [processor, *devices.findings(here, profile)]


def _machine() -> list[Finding]:
    try:
        import psutil
    except ImportError:
        return []
    memory = psutil.virtual_memory().available / 2**30
    short = f"Close other programs: the laptop profile may need {MEMORY} GB."
    return [Finding("memory", f"{memory:.1f} GB free", "" if memory >= MEMORY else short)]


def _profile() -> list[Finding]:
    try:
        name = profiles.current().name
    except T2IError as error:
        return [
            Finding("profile", str(error), "Set T2I_PROFILE to one of them, or unset it.", True)
        ]
    return [Finding("profile", f"{name}: {profiles.PROFILES[name]}")]


def _fashion() -> list[Finding]:
    try:
        from t2i_course.data import fashion
    except Exception:  # torch or NumPy is broken: packages.py says it
        return []
    wrong = fashion.problem()
    if wrong is None:
        return [Finding("FashionMNIST", f"whole, in {data_root()}")]
    mend = f"{fashion.MEND[0].upper()}{fashion.MEND[1:]}; or {fashion.STAND_IN}."
    return [Finding("FashionMNIST", wrong, mend)]


def _zoo() -> list[Finding]:
    try:
        from t2i_course import runs
    except Exception:  # as above
        return []
    names = runs.zoo_names()
    mend = "" if names else "Install the package again: its weights are not there."
    return [Finding("zoo", ", ".join(names) or "empty", mend, fatal=not names)]
