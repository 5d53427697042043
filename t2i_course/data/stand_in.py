"""Drawn pictures in COCO's form, for a machine without photographs: the stand-in of notebooks 11
to 14. The pictures are those of `shapes`, a little wider than high, as photographs are.

    stand-in/
      annotations/captions_train2017.json   captions_val2017.json
      train2017/000000000000.png  …         val2017/000000000000.png  …

Nothing is asked of a network and nothing stays: a temporary folder holds it as long as the process
lives. What is made of it is called "stand-in", so that titles and tables say so.
"""

import json
import os
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from t2i_course.contract import require, write_whole
from t2i_course.data import photos
from t2i_course.data.captions import captions
from t2i_course.data.shapes import GROUND, SIDES, draw, scene

NAME = "stand-in"
SPLITS = {"train2017": "train", "val2017": "test"}  # of COCO's names: of the scenes
LICENCES = {  # COCO's own list, so that what reads it has something to read
    1: "Attribution-NonCommercial-ShareAlike License",
    2: "Attribution-NonCommercial License",
    3: "Attribution-NonCommercial-NoDerivs License",
    4: "Attribution License",
    5: "Attribution-ShareAlike License",
    6: "Attribution-NoDerivs License",
}
WIDER = 1.25  # width over height
MADE = 1_500_000_000  # the files' time: prepared once, they are known again


def source(*names: str, train: int = 200, val: int = 120, side: int = 64) -> str:
    """The first of these sets of photographs that is where data is looked for; else the stand-in,
    as `ready` makes it. Either is what `photos.load` takes."""
    for name in names:
        folder = photos.find(name)
        if folder is not None and photos.is_captioned(folder):
            return name
    return ready(train, val, side)


def ready(train: int = 200, val: int = 120, side: int = 64) -> str:
    """The path of a stand-in in a temporary folder, made once a process and gone with it."""
    return str(Path(_home(train, val, side).name) / NAME)


@cache
def _home(train: int, val: int, side: int) -> "tempfile.TemporaryDirectory[str]":
    home = tempfile.TemporaryDirectory(prefix="t2i-")
    write(Path(home.name) / NAME, train, val, side)
    return home


def write(folder: Path, train: int = 200, val: int = 120, side: int = 64) -> Path:
    """Draw the pictures and write them with their captions' files; the same bytes each time.

    Args:
        folder: is made; named otherwise than "stand-in", its pictures do not say what they are.
        train, val: numbers of pictures; the latter are scenes that the former do not have.
        side: their height, 32 or 64 pixels.

    Raises:
        T2IError: for another side or number, or if the folder cannot be written.
    """
    require(side in SIDES, f"The stand-in is drawn with a side of 32 or 64 pixels, not {side}.")
    require(min(train, val) >= 1, f"Each split needs a picture: not {train} and {val}.")
    for (name, split), count in zip(SPLITS.items(), (train, val), strict=True):
        (folder / name).mkdir(parents=True, exist_ok=True)
        images: list[dict[str, Any]] = []
        said: list[dict[str, Any]] = []
        for k in range(count):
            one = scene(k, split=split)
            file = f"{k:012d}.png"
            width = _write_wide(folder / name / file, draw(one, side))
            number = k if name == "train2017" else train + k
            images.append(
                {"id": number, "file_name": file, "width": width, "height": side,
                 "license": 1 + (k + 3) % len(LICENCES), "coco_url": f"{NAME}:{name}/{file}"}
            )  # fmt: skip
            said += [
                {"id": 5 * number + i, "image_id": number, "caption": text}
                for i, text in enumerate(captions(one, k))
            ]
        content = {
            "info": {"description": "Drawn by the course in the form of COCO 2017: no photographs"},
            "licenses": [{"id": k, "name": name} for k, name in LICENCES.items()],
            "images": images,
            "annotations": said,
        }
        write_whole(folder / "annotations" / f"captions_{name}.json", json.dumps(content) + "\n")
    return folder


def _write_wide(path: Path, drawing: np.ndarray) -> int:
    """Write a drawing uint8 `[3, side, side]` with ground on both sides of it; its width."""
    side = drawing.shape[1]
    left = round((WIDER - 1) * side / 2)
    wide = Image.new("RGB", (side + 2 * left, side), GROUND)
    wide.paste(Image.fromarray(drawing.transpose(1, 2, 0)), (left, 0))
    wide.save(path)
    os.utime(path, (MADE, MADE))
    return wide.width
