"""The folders outside the course, where data is read from and runs are written to; and paths as a
user gives and sees them."""

import os
from pathlib import Path

from t2i_course.errors import T2IError


def data_root() -> Path:
    """Where data is looked for and downloaded to: `T2I_DATA`, or a cache folder in the home."""
    return Path(os.environ.get("T2I_DATA") or Path.home() / ".cache" / "t2i-course")


def cache_root() -> Path:
    """Where what is made of data is kept, such as captions' embeddings: `T2I_CACHE`, or a cache
    folder in the home."""
    return Path(os.environ.get("T2I_CACHE") or Path.home() / ".cache" / "t2i-course")


def shown(path: Path) -> str:
    """The path as a command shows it: from the current folder, where it is inside."""
    whole, here = path.resolve(), Path.cwd()
    return whole.relative_to(here).as_posix() if whole.is_relative_to(here) else path.as_posix()


def picture(out: Path) -> Path:
    """`out` if it is a PNG's name; else `T2IError`."""
    if out.suffix != ".png":
        raise T2IError(f"The picture is a PNG: --out must end in .png, not {out.name!r}.")
    return out


def runs_root() -> Path:
    """Where runs are kept: `T2I_RUNS`, or the folder `runs` of the current one."""
    return Path(os.environ.get("T2I_RUNS") or "runs")
