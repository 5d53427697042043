"""What the engine makes sure of before it trains: processes, family, data, and whose run it is."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from accelerate.state import PartialState
from accelerate.utils import parse_flag_from_env
from torch import nn
from torch.nn.modules.dropout import _DropoutNd

from t2i_course.contract import Data, RowGenerator, T2IError, Trainable, require, unknown
from t2i_course.training import checkpoints
from t2i_course.training.precision import PRECISIONS
from t2i_course.training.settings import TrainSettings


def processes() -> PartialState:
    """Which process of how many this is, as `accelerate launch` set it up.

    Raises:
        T2IError: if several were launched and each would train alone.
    """
    state = PartialState(cpu=parse_flag_from_env("ACCELERATE_USE_CPU"))
    launched = int(os.environ.get("WORLD_SIZE", 1))
    require(
        state.num_processes == launched,
        f"{launched} processes were launched, but each would train alone: there is no GPU. On the "
        "CPU: ACCELERATE_USE_CPU=true accelerate launch --multi_gpu --num_processes "
        f"{launched} -m t2i_course.cli train …",
    )
    return state


def main_process() -> bool:
    """Whether this process, of those that were launched together, writes files and speaks."""
    return int(os.environ.get("RANK", 0)) == 0


def saved_precision(start: Path) -> str:
    """The precision that a saved run was trained in, whatever "auto" would choose here."""
    precision = checkpoints.read_json(start, "card.json").get("precision")
    require(
        precision in PRECISIONS,
        f"{start / 'card.json'} is damaged: its precision is {precision!r}.",
    )
    return str(precision)


def rows_of(state: PartialState, settings: TrainSettings) -> list[range]:
    """The rows of the global batch that this process takes, one range for each micro-batch."""
    parts = state.num_processes * settings.micro_batches
    require(
        settings.batch_size % parts == 0,
        f"batch_size {settings.batch_size} cannot be cut into {state.num_processes} process(es) x "
        f"{settings.micro_batches} micro-batch(es); make it a multiple of {parts}.",
    )
    size = settings.batch_size // parts
    first = state.process_index * settings.micro_batches
    return [
        range((first + i) * size, (first + i + 1) * size) for i in range(settings.micro_batches)
    ]


def check_family(family: Trainable, settings: TrainSettings, state: PartialState) -> None:
    """Raise `T2IError` unless the settings name its networks and they share out its parameters."""
    for name in settings.optimizers:
        if name not in family.networks:
            raise unknown(f"network of {family.name!r}", name, family.networks)
    owned = [p for network in family.networks.values() for p in network.parameters()]
    require(
        len({id(p) for p in owned}) == len(owned) == len(list(family.parameters())),
        f"Every parameter of {family.name!r} must belong to exactly one of its networks.",
    )
    dropout = any(isinstance(m, _DropoutNd) and m.p > 0 for m in family.modules())
    require(
        not dropout,
        f"{family.name!r} uses nn.Dropout, which draws from the global generator, so that the run "
        "could not be repeated or resumed. Draw the mask from the loss's generator.",
    )
    norms = any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in family.modules())
    require(
        not (norms and (settings.micro_batches > 1 or state.num_processes > 1)),
        f"{family.name!r} uses BatchNorm, whose statistics would be those of a part of the batch. "
        "Train it in one process with micro_batches=1 (a smaller batch_size saves memory too), "
        "or build it with GroupNorm.",
    )


def check_data(data: Data, settings: TrainSettings) -> None:
    """Raise `T2IError` unless there are images, float32 `[B, C, H, W]` in [0, 1]."""
    require(len(data) > 0, f"The data {data.name!r} is empty: there is nothing to train on.")
    require(
        settings.batch_size <= len(data),
        f"batch_size {settings.batch_size} is more than the {len(data)} images of {data.name!r}.",
    )
    images, _ = data.batch(torch.zeros(1, dtype=torch.int64), RowGenerator("check", rows=1))
    low, high = images.min().item(), images.max().item()
    require(
        images.ndim == 4 and images.dtype == torch.float32 and low >= 0 and high <= 1,
        f"{data.name!r} must give float32 images [B, C, H, W] in [0, 1]; it gave {images.dtype} "
        f"{list(images.shape)} in [{low:.2f}, {high:.2f}].",
    )


def check_same_run(start: Path, config: dict[str, Any], family: Trainable) -> None:
    """Raise `T2IError` if the checkpoint `start` is of a run with another config.

    A setting that the saved run did not know yet has its default there.
    """
    saved = checkpoints.read_json(start, "config.json")
    settings = family.settings_type.from_dict(saved["family"].get("settings", {}))
    there = {
        "family": {**saved["family"], "settings": settings.to_dict()},
        "training": TrainSettings.from_dict(saved.get("training", {})).to_dict(),
        "data": saved.get("data"),
    }
    here = json.loads(json.dumps(config))  # tuples become lists, as they are there
    there = json.loads(json.dumps(there))
    # How a batch is cut, kept and logged changes nothing that is computed, nor where the same data
    # and the same encoder were found.
    free = {
        "micro_batches", "memory", "checkpoint_every", "keep", "log_every", "source",
        "encoder_source",
    }  # fmt: skip
    for path, old, new in _differences(there, here, ""):
        if path.split(".")[-1] not in free:
            raise T2IError(
                f"{start.parent} holds another run: {path[1:]} is {old!r} there and {new!r} here. "
                "Choose another folder, or remove that one to start anew."
            )


def _differences(there: Any, here: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(there, dict) and isinstance(here, dict):
        for key in sorted(there.keys() | here.keys()):
            yield from _differences(there.get(key), here.get(key), f"{path}.{key}")
    elif there != here:
        yield path, there, here
