"""What is in a folder of submissions: whose, which counts, and what can be read of it.

Names come from whoever wrote the files. A link is never followed, nothing but a regular file is
ever opened, and whatever is there gets an entry.
"""

import csv
import hashlib
import os
import re
import stat
import unicodedata
from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from t2i_course.errors import T2IError

LARGEST = 100 << 20  # bytes of a submission
FILES, DEPTH = 2000, 4  # looked at in one student's folder
LITTER = {".DS_Store", "Thumbs.db", "desktop.ini", ".ipynb_checkpoints", "__MACOSX"}
STUDENT_COLUMNS = ("student", "student_id", "id", "name", "username", "email")


@dataclass(frozen=True)
class Entry:
    """A submission, or what stands in the place of one.

    Attributes:
        student: whose it is, by its name.
        name: of the file, from the folder of submissions.
        path: the file to read, or None.
        state: "" for one to grade, else "unreadable", "empty", "superseded" or "missing".
        note: why, in a sentence.
        when: seconds since the epoch of its handing in, or 0.
    """

    student: str
    name: str
    path: Path | None
    state: str = ""
    note: str = ""
    when: float = 0.0


class UnfitFileError(Exception):
    """What is there is no file, or not one that may be read: in words."""


def printable(name: str) -> str:
    """A file's name in one line of text, whatever its bytes are."""
    text = os.fsencode(name).decode("utf-8", errors="backslashreplace")
    text = unicodedata.normalize("NFC", text)
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def student_of(name: str, stem: str) -> str:
    """Whose a file or folder of this name is.

    "anna_ex03.ipynb", "anna_ex03_one_hot_cvae (1).ipynb" and the folder "anna" are anna's.

    Args:
        stem: of the exercise's notebook, such as "ex03_one_hot_cvae".
    """
    whole = re.sub(r"(\.ipynb|\.json|\.txt)+$", "", printable(name), flags=re.IGNORECASE)
    whole = re.sub(r"(\s*\(\d+\)|\s*- Copy|-Copy\d+)+$", "", whole)
    whole = re.sub(r"_\d+_assignsubmission_file_?$", "", whole)  # Moodle's folders
    left = whole.replace(stem, "") if stem in whole else whole
    left = re.sub(r"(?<=.)[\s_.\-]+ex\d\d([\s_.\-].*)?$", "", left, flags=re.IGNORECASE)
    return left.strip(" _.-") or whole.strip() or "?"


def find(folder: Path, exercise: str, stem: str) -> list[Entry]:
    """An entry for everything in the folder, by student; of a student's files the newest counts.

    A folder in it is a student's, with the notebooks anywhere inside (nbgrader's `submitted/` is
    such a folder of folders).

    Raises:
        T2IError: if the folder itself cannot be read.
    """
    try:
        with os.scandir(folder) as listing:
            given = sorted(listing, key=lambda each: each.name)
    except OSError as error:
        raise T2IError(f"The folder of submissions {folder} cannot be read ({error}).") from error
    found: list[Entry] = []
    for each in given:
        if each.name in LITTER:
            continue
        if each.is_dir(follow_symlinks=False):
            found += _of_folder(each, exercise, stem)
        else:
            found.append(_entry(each, student_of(each.name, stem), each.name, exercise))
    return sorted(_newest(found), key=lambda each: (each.student, each.name))


def _of_folder(given: os.DirEntry, exercise: str, stem: str) -> list[Entry]:
    student = student_of(given.name, stem)
    files: list[os.DirEntry] = []
    waiting, seen = [(given.path, 1)], 0
    while waiting and seen < FILES:
        place, depth = waiting.pop()
        try:
            with os.scandir(place) as listing:
                inside = sorted(listing, key=lambda each: each.name)
        except OSError as error:
            return [Entry(student, printable(given.name), None, "unreadable", _why(error))]
        for each in inside[: FILES - seen]:
            seen += 1
            if each.name in LITTER:
                continue
            if each.is_dir(follow_symlinks=False):
                if depth < DEPTH:
                    waiting.append((each.path, depth + 1))
            elif each.name.lower().endswith(".ipynb") and not _of_another(each.name, exercise):
                files.append(each)
    if not files:
        note = f"The folder holds no notebook of {exercise}."
        return [Entry(student, printable(given.name), None, "unreadable", note)]
    parent = os.path.dirname(given.path)
    return [_entry(each, student, os.path.relpath(each.path, parent), exercise) for each in files]


def exercise_in(folder: Path) -> str:
    """The exercise that the folder's notebooks are of, by their names or else their cells' ids.

    Raises:
        T2IError: if none is named, or more than one.
    """
    if not folder.is_dir():
        raise T2IError(f"The folder of submissions {folder} cannot be read: there is none.")
    names: set[str] = set()
    files: list[str] = []
    for place, folders, inside in os.walk(folder):
        folders[:] = sorted(set(folders) - LITTER)[:FILES]
        files += [os.path.join(place, name) for name in sorted(inside) if name not in LITTER]
        names |= {each for name in inside for each in _named(name)}
        if len(files) > 10 * FILES:
            break
    if not names:
        counts: Counter[str] = Counter()
        for file in files[:100]:
            try:
                ids = re.findall(rb'"(ex\d\d)-\w+"', read(Path(file)))
            except UnfitFileError:
                continue
            counts.update(each.decode() for each, _ in Counter(ids).most_common(1))
        names = {each for each, _ in counts.most_common(1)}
    if len(names) != 1:
        found = f"notebooks of {', '.join(sorted(names))}" if names else "no exercise by its name"
        raise T2IError(f"{folder} holds {found}: say which with --exercise, such as ex03.")
    return names.pop()


def _named(name: str) -> list[str]:
    return re.findall(r"(?<![a-z0-9])ex\d\d(?!\d)", name.lower())


def _of_another(name: str, exercise: str) -> bool:
    said = _named(name)
    return bool(said) and exercise not in said


def _entry(given: os.DirEntry, student: str, name: str, exercise: str) -> Entry:
    shown = printable(name)
    try:
        about = given.stat(follow_symlinks=False)
    except OSError as error:
        return Entry(student, shown, None, "unreadable", _why(error))
    note = _unfit(about)
    if note:
        return Entry(student, shown, None, "unreadable", note)
    if _of_another(given.name, exercise):
        note = f"By its name it is another exercise's, not {exercise}."
        return Entry(student, shown, None, "unreadable", note)
    path = Path(given.path)
    stamp = _stamp(path.parent) if os.sep in name else 0.0
    return Entry(student, shown, path, when=stamp or about.st_mtime)


def _unfit(about: os.stat_result) -> str:
    kinds = {
        stat.S_ISLNK: "a link", stat.S_ISDIR: "a folder", stat.S_ISFIFO: "a pipe",
        stat.S_ISSOCK: "a socket", stat.S_ISBLK: "a device", stat.S_ISCHR: "a device",
    }  # fmt: skip
    for test, words in kinds.items():
        if test(about.st_mode):
            return f"It is {words}, not a file."
    if about.st_size > LARGEST:
        return f"It is larger than {LARGEST >> 20} MB."
    return ""


def _stamp(folder: Path) -> float:
    """The time in nbgrader's timestamp.txt beside a submission, or 0."""
    try:
        words = read(folder / "timestamp.txt", 200).decode().split()
        when = datetime.fromisoformat(" ".join(words[:2]))
        zone = words[2] if len(words) > 2 else "UTC"
        known = UTC if zone == "UTC" or when.tzinfo is None else when.tzinfo
        return when.replace(tzinfo=known).timestamp()
    except (UnfitFileError, ValueError, OverflowError):
        return 0.0


def read(path: Path, largest: int = LARGEST) -> bytes:
    """The bytes of a regular file; it does not wait for a pipe, nor follow a link.

    Raises:
        UnfitFileError: with a sentence.
    """
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise UnfitFileError(_why(error)) from None
    try:
        note = _unfit(os.fstat(file))
        if note:
            raise UnfitFileError(note)
        with open(file, "rb", closefd=False) as opened:
            data = opened.read(largest + 1)
    except OSError as error:
        raise UnfitFileError(_why(error)) from None
    finally:
        os.close(file)
    if len(data) > largest:
        raise UnfitFileError(f"It is larger than {largest} bytes.")
    return data


def _why(error: OSError) -> str:
    return f"It cannot be read ({error.strerror})."


def _newest(entries: list[Entry]) -> list[Entry]:
    """The same entries, those that a newer one of the same student replaces marked so."""
    last: dict[str, Entry] = {}
    for each in entries:
        old = last.get(each.student)
        if each.path and (old is None or (each.when, each.name) > (old.when, old.name)):
            last[each.student] = each
    return [
        replace(each, state="superseded", note=f"{last[each.student].name} is newer and counts.")
        if each.path and last[each.student] is not each
        else each
        for each in entries
    ]


def read_roster(path: Path) -> list[str]:
    """The students of a roster: a text file with one a line, or a CSV with a column of ids (one
    of `STUDENT_COLUMNS`, as nbgrader's students.csv).

    Raises:
        T2IError: if it cannot be read or names nobody.
    """
    try:
        rows = list(csv.reader(path.read_text(encoding="utf-8-sig").splitlines()))
    except (OSError, ValueError, csv.Error) as error:
        raise T2IError(f"The roster {path} cannot be read ({error}).") from error
    head = [word.strip().lower() for word in rows[0]] if rows else []
    column = next((head.index(name) for name in STUDENT_COLUMNS if name in head), None)
    body = rows if column is None else rows[1:]
    place = column or 0
    names = [unicodedata.normalize("NFC", row[place].strip()) for row in body if len(row) > place]
    names = [name for name in names if name]
    if not names:
        raise T2IError(f"The roster {path} names nobody: one student a line, or a column student.")
    twice = [name for name, n in Counter(names).items() if n > 1]
    if twice:
        raise T2IError(f"The roster {path} names {twice[0]!r} twice.")
    return names


def with_roster(entries: list[Entry], roster: list[str]) -> list[Entry]:
    """The entries and one more, `missing`, for each student of the roster without one; entries
    of nobody in the roster say so."""
    known, there = set(roster), {each.student for each in entries}
    noted = [
        each
        if each.student in known
        else replace(each, note=f"{each.note} Not in the roster.".strip())
        for each in entries
    ]
    missing = [
        Entry(name, "", None, "missing", "Nothing was handed in.")
        for name in roster
        if name not in there
    ]
    return sorted([*noted, *missing], key=lambda each: (each.student, each.name))


def slugs(names: list[str]) -> dict[str, str]:
    """For each name a file's name (without ending) that is safe anywhere and no other's, also
    where capitals do not count."""
    plain = {name: re.sub(r"[^\w.\-]+", "_", name).strip("._-")[:60] or "student" for name in names}
    uses = Counter(slug.lower() for slug in plain.values())
    return {
        name: slug
        if uses[slug.lower()] == 1 and slug == name
        else f"{slug}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
        for name, slug in plain.items()
    }
