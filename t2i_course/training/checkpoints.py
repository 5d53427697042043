"""Checkpoints that survive a kill, a full disk and a stranger: whole folders, no pickle.

run/
  latest               one line: step-000500
  step-000500/         written aside, synced, then renamed
    weights.safetensors  optimizer.safetensors  [ema.safetensors]
    config.json          format, family, settings: what is needed to build it again
    card.json            data, steps, seconds, memory, versions, and each file's SHA-256
"""

import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from t2i_course.contract import T2IError, file_sha256, require, write_whole

FORMAT = 1
WANTED: dict[str, dict[str, type]] = {
    "config.json": {"family": dict},
    "card.json": {"files": dict, "step": int},
}
NAME = re.compile(r"step-\d{6,}")
PICKLES = {".pt", ".pth", ".bin", ".ckpt", ".pkl", ".pickle"}


def write(
    run: Path,
    step: int,
    tensors: Mapping[str, Mapping[str, Tensor]],
    config: Mapping[str, Any],
    card: Mapping[str, Any],
    keep: int = 2,
) -> Path:
    """Write `run/step-XXXXXX`, point `run/latest` at it, and remove all but the newest `keep`.

    A process killed anywhere in here leaves `latest` on a whole checkpoint.

    Args:
        tensors: for each file's name (without ending), tensors by name.
        config, card: JSON values; `format` and the files' hashes are added.

    Raises:
        T2IError: if the disk is full or the folder cannot be written; what was there stays.
    """
    final = run / f"step-{step:06d}"
    if run.is_dir() and latest(run) == final:
        return final
    aside = run / f".writing-{final.name}-{os.getpid()}"
    try:
        run.mkdir(parents=True, exist_ok=True)
        for leftover in run.glob(".writing-*"):  # of a process that was killed; see `alone_in`
            shutil.rmtree(leftover)
        aside.mkdir()
        for name, values in tensors.items():
            on_cpu = {
                key: value.detach().cpu().contiguous().clone() for key, value in values.items()
            }
            save_file(on_cpu, aside / f"{name}.safetensors")
        files = {path.name: file_sha256(path) for path in sorted(aside.iterdir())}
        _write_json(aside / "config.json", {"format": FORMAT, **config})
        _write_json(aside / "card.json", {**card, "files": files})
        for path in (*aside.iterdir(), aside):
            _sync(path)
        if final.exists():  # of a process that was killed before it could move `latest`
            shutil.rmtree(final)
        aside.rename(final)
        write_whole(run / "latest", final.name + "\n")
        _sync(run)
    except (OSError, SafetensorError, T2IError) as error:
        shutil.rmtree(aside, ignore_errors=True)
        safe = latest(run) if run.is_dir() else None
        raise T2IError(
            f"The checkpoint of step {step} could not be written to {run} ({error}). "
            + (
                f"{safe.name} is whole and still the latest. "
                if safe
                else "No earlier one is there. "
            )
            + "Make room or choose another folder, then run the same command again."
        ) from error
    _prune(run, keep, final)
    return final


def latest(run: Path) -> Path | None:
    """The newest whole checkpoint of a run's folder, or None if it has none.

    Raises:
        T2IError: if `latest` names a folder that is not there.
    """
    pointer = Path(run) / "latest"
    if not pointer.is_file():
        return None
    name = pointer.read_bytes()[:100].decode(errors="replace").strip()
    folder = Path(run) / name
    require(
        bool(NAME.fullmatch(name)) and folder.is_dir() and not folder.is_symlink(),
        f"{pointer} names {name!r}, which is not a checkpoint's folder beside it. Write the name "
        f"of a whole step-… folder into it, or remove the run's folder and train again.",
    )
    return folder


def find(path: Path | str) -> Path:
    """The checkpoint that `path` means: a checkpoint itself, or the latest of a run's folder.

    Raises:
        T2IError: if there is none, or if `path` is a pickle, which is never loaded.
    """
    path = Path(path)
    if path.suffix in PICKLES:
        raise T2IError(
            f"{path} is a pickle, and a pickle can run any code when it is opened: it is not "
            "loaded. Give a run's or a checkpoint's folder (step-…), whose weights are safetensors."
        )
    require(
        path.is_dir(),
        f"There is no run and no checkpoint at {path}. `t2i train NAME --run {path}` makes one.",
    )
    if (path / "config.json").is_file():
        return path
    checkpoint = latest(path)
    if checkpoint is None:
        strangers = sorted(p.name for p in path.iterdir() if p.suffix in PICKLES)
        raise T2IError(
            f"{path} holds no checkpoint (no file `latest`, no config.json)."
            + (f" It holds {strangers[0]}, a pickle, which is never loaded." if strangers else "")
            + " Give the folder of a run or of a checkpoint (step-…)."
        )
    return checkpoint


def read_json(checkpoint: Path, name: str) -> dict[str, Any]:
    """`config.json` or `card.json` of a checkpoint.

    Raises:
        T2IError: if it is missing, cut short, or of a newer format.
    """
    path = Path(checkpoint) / name
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise T2IError(f"{path} cannot be read ({error}): use another checkpoint.") from None
    except (ValueError, RecursionError) as error:
        raise T2IError(
            f"{path} is damaged or cut short ({error}). Use another checkpoint."
        ) from error
    require(isinstance(values, dict), f"{path} must hold one JSON object.")
    if name == "config.json":
        require(
            values.get("format") == FORMAT,
            f"{path} has format {values.get('format')}; this version of t2i_course reads "
            f"{FORMAT}. Install the version that wrote it (its card.json says which).",
        )
    for key, kind in WANTED[name].items():
        require(
            isinstance(values.get(key), kind),
            f"{path} is damaged: its {key!r} is {values.get(key)!r}. Use another checkpoint.",
        )
    return values


def read_tensors(checkpoint: Path, name: str) -> dict[str, Tensor]:
    """The tensors of `name`.safetensors, checked against the card's hash.

    Raises:
        T2IError: if the file is missing, cut short or changed; it is named.
    """
    path = Path(checkpoint) / f"{name}.safetensors"
    require(path.is_file(), f"{path} is missing, so the checkpoint cannot be used.")
    card = read_json(checkpoint, "card.json")
    try:
        tensors = load_file(path)
    except SafetensorError as error:
        raise T2IError(
            f"{path} is cut short or damaged ({error}). Use another checkpoint of the same run, or "
            "train again."
        ) from error
    require(
        file_sha256(path) == card["files"].get(path.name),
        f"{path} is not the file that its card.json describes (the SHA-256 differs): it was "
        "changed or damaged. Use another checkpoint of the same run, or train again.",
    )
    return tensors


def pack_optimizer(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """An optimizer's state as tensors by "parameter.key", such as "3.exp_avg"."""
    state = optimizer.state_dict()["state"]
    return {
        f"{i}.{key}": torch.as_tensor(v) for i, entry in state.items() for key, v in entry.items()
    }


def unpack_optimizer(optimizer: torch.optim.Optimizer, packed: Mapping[str, Tensor]) -> None:
    """Give an optimizer the state that `pack_optimizer` took; its settings stay as they are.

    What is of a parameter's shape is laid out in memory as the parameter is, channels last or not:
    a fused optimizer walks both as they lie.
    """
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in packed.items():
        i, key = name.split(".", 1)
        like = parameters[int(i)]
        if value.shape == like.shape:
            value = torch.empty_like(like, dtype=value.dtype, device=value.device).copy_(value)
        state.setdefault(int(i), {})[key] = value
    optimizer.load_state_dict(
        {"state": state, "param_groups": optimizer.state_dict()["param_groups"]}
    )


def _write_json(path: Path, values: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _sync(path: Path) -> None:
    if path.is_dir() and os.name == "nt":  # Windows cannot open a folder
        return
    handle = os.open(path, os.O_RDONLY if os.name != "nt" else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _prune(run: Path, keep: int, newest: Path) -> None:
    """Remove all but the newest checkpoints; whatever else lies in the folder is the user's."""
    old = [path for path in run.iterdir() if NAME.fullmatch(path.name) and path != newest]
    old.sort(key=lambda path: int(path.name.removeprefix("step-")))
    for path in old[: max(0, len(old) - (keep - 1))]:
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def alone_in(run: Path) -> Iterator[None]:
    """Inside the block no other process trains in the run's folder; its death ends the block too.

    Raises:
        T2IError: if one does, or if the folder cannot be made.
    """
    try:
        run.mkdir(parents=True, exist_ok=True)
        lock = FileLock(run / ".lock")
        lock.acquire(timeout=0)
    except Timeout:
        raise T2IError(
            f"Another process is training in {run}. Wait for it, stop it, or choose another folder."
        ) from None
    except OSError as error:
        raise T2IError(f"{run} cannot be a run's folder ({error}). Choose another.") from error
    try:
        yield
    finally:
        lock.release()
