"""Devices: a card that torch cannot use, and how CUDA and MPS differ from the CPU."""

import os
import platform
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from t2i_course.trouble.finding import Finding

ENOUGH = 6  # GB of a card's memory for the gpu profile
CPU = "Set CUDA_VISIBLE_DEVICES=-1 to train on the CPU meanwhile."


@dataclass(frozen=True)
class Card:
    """A CUDA device: its name, memory in GB, and compute capability such as (8, 6)."""

    name: str
    memory: float
    capability: tuple[int, int]


@dataclass(frozen=True)
class Devices:
    """What torch and the system say of this machine's devices."""

    torch: str  # version
    cuda: str | None  # that torch was built for
    cards: tuple[Card, ...] = ()
    architectures: tuple[str, ...] = ()  # that torch holds code for, such as "sm_86"
    nvidia: bool = False  # whether the system knows an NVIDIA card
    hidden: bool = False  # by CUDA_VISIBLE_DEVICES
    system: str = "Linux"
    rosetta: bool = False  # an Intel Python on Apple's processor
    mps_built: bool = False
    mps: bool = False


def seen() -> Devices:
    """This machine's."""
    import torch

    available = torch.cuda.is_available()
    cards = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
    return Devices(
        torch=torch.__version__,
        cuda=torch.version.cuda,
        cards=tuple(Card(c.name, c.total_memory / 2**30, (c.major, c.minor)) for c in cards)
        if available
        else (),
        architectures=tuple(torch.cuda.get_arch_list()) if available else (),
        nvidia=bool(shutil.which("nvidia-smi")) or Path("/proc/driver/nvidia").exists(),
        hidden=os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"),
        system=platform.system(),
        rosetta=_rosetta(),
        mps_built=torch.backends.mps.is_built(),
        mps=torch.backends.mps.is_available(),
    )


def _rosetta() -> bool:
    if platform.system() != "Darwin" or platform.machine() != "x86_64":
        return False
    asked = ["sysctl", "-n", "sysctl.proc_translated"]
    return subprocess.run(asked, capture_output=True, text=True).stdout.strip() == "1"


def findings(here: Devices, profile: str) -> list[Finding]:
    """What the devices are good for in this profile, and the mend for one that lies idle."""
    if here.cards:
        return _cards(here, profile)
    if here.hidden and here.nvidia:
        mend = "Unset CUDA_VISIBLE_DEVICES to use it." if profile == "gpu" else ""
        return [Finding("gpu", "hidden by CUDA_VISIBLE_DEVICES: the CPU is used", mend)]
    if here.nvidia and here.cuda is None:
        mend = "Install torch for CUDA, as its site says for this driver."
        return [Finding("gpu", f"an NVIDIA card, but torch {here.torch} is for the CPU only", mend)]
    if here.nvidia:
        what = f"an NVIDIA card whose driver is too old for torch {here.torch} (CUDA {here.cuda})"
        return [Finding("gpu", what, "Update the driver, or install torch for an older CUDA.")]
    if here.rosetta:
        what = "Apple's processor, but this Python is an Intel one, which sees no MPS"
        return [Finding("gpu", what, "Install an arm64 Python and make the environment anew.")]
    if here.mps:
        what = (
            "Apple MPS, used for training; scores and whatever needs float64 are made on the CPU. "
            "The same seed draws the same picture within 2/255 of a CPU's"
        )
        return [Finding("gpu", what)]
    if here.system == "Darwin" and here.mps_built:
        what = "MPS is not offered by this macOS"
        return [Finding("gpu", what, "Update macOS to 14 or newer, or use the CPU.")]
    what = "none: the smoke and laptop profiles need none"
    mend = (
        "Set T2I_PROFILE=laptop: the gpu profile takes days on a CPU." if profile == "gpu" else ""
    )
    return [Finding("gpu", what, mend)]


def _cards(here: Devices, profile: str) -> list[Finding]:
    card = here.cards[0]
    what = f"{len(here.cards)} x {card.name}, {card.memory:.0f} GB"
    known = [_capability(name) for name in here.architectures]
    oldest = min((each for each in known if each), default=(0, 0))
    if card.capability < oldest:
        need = ".".join(map(str, card.capability))
        what += f": torch {here.torch} holds no code for its compute capability {need}"
        return [Finding("gpu", what, f"Install an older torch for CUDA that does. {CPU}", True)]
    if card.memory < ENOUGH and profile == "gpu":
        mend = f"The gpu profile is made for {ENOUGH} GB: use laptop, or --micro-batches 4."
        return [Finding("gpu", what, mend)]
    return [Finding("gpu", what, "" if profile == "gpu" else "Set T2I_PROFILE=gpu for full runs.")]


def _capability(architecture: str) -> tuple[int, int] | None:
    """Of "sm_86" (8, 6), of "sm_120a" (12, 0)."""
    found = re.match(r"(?:sm|compute)_(\d+)(\d)", architecture)
    return (int(found[1]), int(found[2])) if found else None
