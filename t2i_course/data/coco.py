"""COCO 2017 with its captions, whole or a fraction of it, as `data.coco_download` fetches it.

    coco/
      annotations/captions_val2017.json   official, five captions or more an image
      val2017/000000000139.jpg            as published
      val2017-64/000000000139.jpg         prepared: shorter side 64
      val2017-64/missing.csv              what could not be had, and why

Lin et al. 2014, "Microsoft COCO: Common Objects in Context" (arXiv 1405.0312); Chen et al. 2015,
"Microsoft COCO Captions" (arXiv 1504.00325). The captions are CC BY 4.0; each image has a licence
of its own, whose number is in `Photo.license`: show only those in `SHOWABLE`, with `Photo.url`
beside them.
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from t2i_course.contract import require, seed_of, unknown
from t2i_course.data.captioned import CaptionedImages
from t2i_course.data.captioned_folder import Photo, as_images, listed
from t2i_course.places import data_root

SPLITS = ("train", "val")  # 118,287 and 5,000 images
SHOWABLE = (4, 5)  # licences: CC BY, CC BY-SA


def load(
    split: str,
    size: int,
    *,
    fraction: float = 1.0,
    seed: int = 0,
    K: int | None = None,
    limit: int | None = None,
    root: Path | None = None,
) -> CaptionedImages:
    """COCO's images with their captions in memory, uint8 `[N, 3, size, size]`, in the order of the
    annotations; those that `missing.csv` lists are left out.

    Args:
        split: "train" or "val".
        size, K: see `captioned_folder.as_images`.
        fraction, seed: see `subset`.
        limit: at most so many images, the first ones.
        root: the folder that holds `coco`; by default where data is looked for.

    Raises:
        T2IError: if images are wanted and not there: the message names the command that fetches
            them; and as `as_images` does.
    """
    require(limit is None or limit > 0, f"limit must be above 0 or None, not {limit}.")
    chosen = photos(split, at_least=size, fraction=fraction, seed=seed, root=root)
    return as_images(chosen[:limit], size, name="coco", split=split, K=K)


def photos(
    split: str,
    *,
    at_least: int = 0,
    fraction: float = 1.0,
    seed: int = 0,
    root: Path | None = None,
) -> list[Photo]:
    """The images as `load` reads them, with licence and address, from the folder that holds most
    of them; of equals the one with the smallest shorter side that is `at_least` so large.

    Raises:
        T2IError: as `load` does.
    """
    folder = (root or data_root()) / "coco"
    split = known_split(split)
    chosen = f" --fraction {fraction:g}" * (fraction < 1) + f" --seed {seed}" * (seed != 0)
    command = f"`t2i data coco --split {split}{chosen}"
    file = folder / "annotations" / f"captions_{split}2017.json"
    require(
        file.is_file(),
        f"COCO was looked for in {folder}, and {file.name} is not there. {command} --size "
        f"{max(at_least, 64)}` fetches it with the images.",
    )
    wanted = subset(listed(file), fraction, seed)
    places = (*prepared_folders(folder, split, at_least), folder / f"{split}2017")
    found = {where: _found(wanted, where) for where in places}
    where = max(places, key=lambda one: len(found[one]))  # the first of equals
    missing = read_missing(where)
    there = {photo.id for photo in found[where]}
    absent = sum(photo.id not in there and photo.file.name not in missing for photo in wanted)
    size = _size_of(where) if there else max(at_least, 64)
    require(
        absent == 0,
        f"{absent:,} of the {len(wanted):,} images wanted are not in {where}: {command}"
        + (f" --size {size}" if size else "")
        + "` fetches them, and only them.",
    )
    return found[where]


def subset(images: Sequence[Photo], fraction: float, seed: int = 0) -> list[Photo]:
    """A fraction of the images (rounded, at least one), in their own order: those with the smallest
    hashes of seed and image id. So a smaller fraction is part of a larger one.

    Raises:
        T2IError: for a fraction that is not in (0, 1].
    """
    require(0 < fraction <= 1, f"The fraction must be above 0 and at most 1, not {fraction}.")
    count = max(1, round(fraction * len(images)))
    order = sorted(range(len(images)), key=lambda i: seed_of("coco", seed, images[i].id))
    return [images[i] for i in sorted(order[:count])]


def status(root: Path | None = None) -> str:
    """What of COCO is there, in words: images by folder."""
    folder = (root or data_root()) / "coco"
    counts = []
    for split in SPLITS:
        for one in (folder / f"{split}2017", *prepared_folders(folder, split)):
            if one.is_dir():
                count = sum(1 for path in one.iterdir() if path.suffix in (".jpg", ".png"))
                counts += [f"{one.name}: {count:,} images"] * (count > 0)
    if counts:
        return ", ".join(counts)
    return (
        "not there: `t2i data coco --split val --fraction 0.1 --size 64` fetches 500 images of "
        f"5,000 into {folder} (`--split train`: of 118,287)."
    )


def known_split(split: str) -> str:
    """The split itself; `T2IError` if COCO has none of that name."""
    if split not in SPLITS:
        raise unknown("split of COCO", split, SPLITS)
    return split


def _found(wanted: Sequence[Photo], folder: Path) -> list[Photo]:
    """Those of the images that the folder has, as published or as PNG."""
    files = {path.name: path for path in folder.iterdir()} if folder.is_dir() else {}
    names = [(photo, photo.file.name, f"{photo.file.stem}.png") for photo in wanted]
    found = [(photo, files.get(name) or files.get(png)) for photo, name, png in names]
    return [replace(photo, file=path) for photo, path in found if path is not None]


def _size_of(folder: Path) -> int:
    """The shorter side of a folder's images; 0 if they are as published."""
    size = folder.name.partition("-")[2]
    return int(size) if size.isdecimal() else 0


def prepared_folders(folder: Path, split: str, at_least: int = 1) -> list[Path]:
    """The folders of scaled images that are large enough, smallest first."""
    found = [path for path in folder.glob(f"{split}2017-*") if _size_of(path) >= max(1, at_least)]
    return sorted(found, key=_size_of)


def read_missing(folder: Path) -> dict[str, tuple[str, str]]:
    """Address and reason by file name of what could not be had."""
    try:
        text = (folder / "missing.csv").read_text(encoding="utf-8")
        rows = list(csv.DictReader(io.StringIO(text)))
        return {row["file"]: (row["url"], row["reason"]) for row in rows}
    except (OSError, ValueError, KeyError):
        return {}
