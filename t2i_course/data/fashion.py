"""FashionMNIST, checked and held as one tensor, and its drawn stand-in under the same labels.

Xiao, Rasul and Vollgraf 2017, "Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine
Learning Algorithms" (arXiv 1708.07747); MIT licence.
"""

import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from t2i_course import profiles
from t2i_course.contract import T2IError, file_sha256, require, unknown
from t2i_course.data.labelled import LabelledImages
from t2i_course.data.sketches import CLASSES, sketches
from t2i_course.places import data_root

SOURCES = ("auto", "fashion", "sketches")
SPLITS = ("train", "valid", "test")
VALID = 5_000  # the last training images, kept for choosing settings

# Each file of FashionMNIST/raw: size in bytes and SHA-256 of the published content, unpacked.
FILES = {
    "train-images-idx3-ubyte": (
        47_040_016, "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"),
    "train-labels-idx1-ubyte": (
        60_008, "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"),
    "t10k-images-idx3-ubyte": (
        7_840_016, "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"),
    "t10k-labels-idx1-ubyte": (
        10_008, "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"),
}  # fmt: skip

MEND = "`t2i data fashion` downloads it anew (30 MB)"
STAND_IN = "set T2I_STAND_IN=1 (or say source='sketches') to go on with the drawn stand-in"


def load(
    split: str, source: str = "auto", *, limit: int | None = None, seed: int = 0
) -> LabelledImages:
    """FashionMNIST or its stand-in: images `[N, 1, 28, 28]` with one-hot conditions of size 10.

    Args:
        split: "train" (60,000), "valid" (the last 5,000 of them) or "test" (10,000).
        source: "fashion", "sketches" (as many drawn images; 2,000 and 1,000 in the smoke profile),
            or "auto": FashionMNIST; the drawn ones only where T2I_STAND_IN=1 asks for them, or the
            profile is smoke and FashionMNIST is not there.
        limit: at most so many images, the first ones.
        seed: of the drawn images.

    Raises:
        T2IError: if FashionMNIST is wanted and missing, cut short or damaged: the message names
            the file, what is wrong and the command that mends it.
    """
    if split not in SPLITS:
        raise unknown("split", split, SPLITS)
    if source not in SOURCES:
        raise unknown("source of FashionMNIST", source, SOURCES)
    require(limit is None or limit > 0, f"limit must be above 0 or None, not {limit}.")
    if source == "auto":
        source = asked_for()
    if source == "sketches":
        return _sketches(split, limit, seed)
    return _fashion(split, limit)


def problem(root: Path | None = None) -> str | None:
    """What is wrong with the FashionMNIST in `root`, in one sentence, or None if it is whole."""
    raw = (root or data_root()) / "FashionMNIST" / "raw"
    for name, (size, digest) in FILES.items():
        path = raw / name
        if not path.is_file():
            return f"FashionMNIST was looked for in {raw}, and {name} is not there."
        if path.stat().st_size != size:
            wrong = "is cut short" if path.stat().st_size < size else "is too long"
            return f"{path} {wrong}: {path.stat().st_size:,} bytes in place of {size:,}."
        if file_sha256(path) != digest:
            return f"{path} is damaged: it has the right size but not the published content."
    return None


def download(root: Path | None = None) -> Path:
    """Fetch FashionMNIST into `root` with torchvision, check it, and put it in place whole.

    Does nothing if it is there and whole; a damaged copy is replaced.

    Returns:
        The folder that holds `FashionMNIST/raw`.

    Raises:
        T2IError: if the network, the server or the disk does not allow it.
    """
    root = root or data_root()
    if problem(root) is None:
        return root
    from torchvision.datasets import FashionMNIST

    aside = root / f".downloading-{os.getpid()}"
    try:
        aside.mkdir(parents=True, exist_ok=True)
        with _timeout(30):
            FashionMNIST(str(aside), download=True)
        wrong = problem(aside)
        if wrong:
            raise RuntimeError(wrong)
        raw = root / "FashionMNIST" / "raw"
        raw.mkdir(parents=True, exist_ok=True)
        for name in FILES:
            os.replace(aside / "FashionMNIST" / "raw" / name, raw / name)
    except (OSError, RuntimeError, EOFError, ValueError, AssertionError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise T2IError(
            f"FashionMNIST could not be downloaded to {root} ({reason}). Try again later; or "
            f"copy the folder FashionMNIST of a machine that has it there; or {STAND_IN}."
        ) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return root


def asked_for() -> str:
    """The source that "auto" stands for here and now: "fashion" or "sketches"."""
    if os.environ.get("T2I_STAND_IN", "").lower() in ("1", "true", "yes"):
        return "sketches"
    missing = not (data_root() / "FashionMNIST").is_dir()
    return "sketches" if missing and profiles.current().name == "smoke" else "fashion"


def _fashion(split: str, limit: int | None) -> LabelledImages:
    wrong = problem()
    require(wrong is None, f"{wrong} {MEND}; {STAND_IN}.")
    from torchvision.datasets import FashionMNIST

    try:
        data = FashionMNIST(str(data_root()), train=split != "test", download=False)
    except (OSError, RuntimeError, ValueError, AssertionError) as error:
        raise T2IError(
            f"FashionMNIST in {data_root()} cannot be read ({error}). {MEND}."
        ) from error
    images, labels = data.data[:, None], data.targets
    if split == "valid":
        images, labels = images[-VALID:], labels[-VALID:]
    return LabelledImages("fashion", split, images, labels, CLASSES, torch.eye(10))[:limit]


def _sketches(split: str, limit: int | None, seed: int) -> LabelledImages:
    # Drawing 60,000 takes some ten seconds, which the smoke profile does not have.
    train, test = profiles.current().pick(
        smoke=(2_000, 1_000), laptop=(60_000, 10_000), gpu=(60_000, 10_000)
    )
    rows = {
        "train": (0, train),
        "valid": (train - train // 12, train),
        "test": (train, train + test),
    }
    start, stop = rows[split]
    if limit is not None:
        stop = min(stop, start + limit)
    images, labels = sketches(start, stop, seed)
    tensors = torch.from_numpy(images)[:, None], torch.from_numpy(labels)
    return LabelledImages("sketches", split, *tensors, CLASSES, torch.eye(10), stand_in=True)


@contextmanager
def _timeout(seconds: float) -> Iterator[None]:
    """A server that goes silent must not hold a learner for ever; torchvision sets no limit."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
