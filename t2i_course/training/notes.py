"""Small JSON files beside a run: how it came about, and results that need not be made again."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from t2i_course.contract import write_whole
from t2i_course.training import checkpoints, checks


def note(run: Path, **values: Any) -> None:
    """Write `run/run.json`, which says how the run came about; the first sitting's word stands.

    Raises:
        T2IError: if another process trains in that folder, or it cannot be made.
    """
    if not checks.main_process():
        return
    with checkpoints.alone_in(run):
        if not (run / "latest").exists():
            started = datetime.now(UTC).isoformat(timespec="seconds")
            text = json.dumps({"started": started, **values}, indent=2)
            write_whole(run / "run.json", text + "\n")


def noted(run: Path) -> dict[str, Any]:
    """What `note` wrote for that run; nothing for a folder that the command line did not make, or
    for a damaged note, which is no reason to refuse the run."""
    return kept(run / "run.json") or {}


def kept(path: Path, **key: Any) -> dict[str, Any] | None:
    """The JSON object in a file, if it has these entries; None if it was never written, is damaged,
    or is of something else, and so has to be made anew."""
    try:
        found = dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    wanted = json.loads(json.dumps(key))  # tuples become lists, as they are there
    return found if wanted == {name: found.get(name) for name in wanted} else None
