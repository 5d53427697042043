"""A copy of the course for a learner who installed the package: `t2i copy-course FOLDER`.

The wheel carries notebooks and exercises inside the package; a checkout has them at its root. The
README stays there: its links and commands are those of a checkout. A learner's work is never
overwritten: what was changed since it was copied stays, and the new version goes beside it.
"""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

import t2i_course
from t2i_course import __version__
from t2i_course.contract import T2IError, require, write_whole
from t2i_course.trouble.notebooks import STAMP

PACKAGE = Path(t2i_course.__file__).parent
WHAT = ("notebooks/*.ipynb", "notebooks/*.md", "exercises/*.ipynb")
NEXT = """\
The course is in {folder}. Next:
    python -m jupyterlab {folder}/notebooks/00_start_here.ipynb
After notebook NN open exercises/exNN_….ipynb in the same JupyterLab: nothing is handed in, the
checks answer there. The model answers are not copied: they are in the course's repository, in its
folder solutions/."""


@dataclass
class Copied:
    """What a copy did: paths below its folder.

    Args:
        written: new files, and files that the learner had not touched.
        same: files that were there as they are.
        kept: the learner's changed files, each with the name that the new version got.
    """

    written: list[str] = field(default_factory=list)
    same: list[str] = field(default_factory=list)
    kept: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        lines = [f"{len(self.written)} files written, {len(self.same)} were there already."]
        if self.kept:
            lines.append("You have changed these, so they stay; the new version lies beside each:")
            lines += [f"  {name}  ->  {beside}" for name, beside in self.kept.items()]
        return "\n".join(lines)


def source() -> Path:
    """The folder that notebooks and exercises are copied from.

    Raises:
        T2IError: if the package was installed without them.
    """
    for folder in (PACKAGE / "course", PACKAGE.parent):
        if (folder / "notebooks" / "00_start_here.ipynb").is_file():
            return folder
    raise T2IError(
        f"{PACKAGE} holds no notebooks: the package was installed without them. Install the wheel "
        "(`make wheel`), or work in a checkout of the course."
    )


def copy_course(folder: Path, origin: Path | None = None) -> Copied:
    """Write notebooks and exercises into `folder`, and keep whatever a learner changed.

    Args:
        folder: is made if it is not there.
        origin: what is copied from; by default `source()`.

    Raises:
        T2IError: if `folder` is a file, is the course itself, or cannot be written.
    """
    origin = origin or source()
    require(not folder.is_file(), f"{folder} is a file: name a folder to copy the course to.")
    require(
        folder.resolve() != origin.resolve(),
        f"{folder} is the course itself: name another folder to copy it to.",
    )
    hashes = _stamped(folder / STAMP)
    done = Copied()
    for path in sorted(path for pattern in WHAT for path in origin.glob(pattern)):
        name = path.relative_to(origin).as_posix()
        content = path.read_bytes()
        where = _place(folder, name, content, hashes)
        if where.is_file() and where.read_bytes() == content:
            done.same.append(name)
        else:
            write_whole(where, content)
            if where == folder / name:
                done.written.append(name)
        if where != folder / name:
            done.kept[name] = where.relative_to(folder).as_posix()
        hashes[where.relative_to(folder).as_posix()] = hashlib.sha256(content).hexdigest()
    stamp = {"version": __version__, "files": dict(sorted(hashes.items()))}
    write_whole(folder / STAMP, json.dumps(stamp, indent=1) + "\n")
    return done


def _place(folder: Path, name: str, content: bytes, hashes: dict[str, str]) -> Path:
    """Where `content` may go: its own name, or the first beside it that is no learner's file."""
    path = folder / name
    for attempt in range(1, 1000):
        if not path.exists():
            return path
        there = path.read_bytes() if path.is_file() else None
        if there is not None and (
            there == content or hashlib.sha256(there).hexdigest() == hashes.get(_key(path, folder))
        ):
            return path
        tail = __version__ if attempt == 1 else f"{__version__}-{attempt}"
        path = (folder / name).with_name(f"{Path(name).stem}.new-{tail}{Path(name).suffix}")
    raise T2IError(f"{folder / name} has a thousand versions beside it: remove some.")


def _key(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()


def _stamped(stamp: Path) -> dict[str, str]:
    """The SHA-256 of each file as it was copied; empty where nothing can be read."""
    try:
        files = json.loads(stamp.read_text(encoding="utf-8"))["files"]
        return {str(name): str(value) for name, value in files.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
