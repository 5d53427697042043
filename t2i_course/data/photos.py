"""Photographs with captions as training and judging take them: found by name or path, split, and
kept prepared, one memory-mapped file for a size.

cache/prepared/
  flickr8k-train-64-0123456789abcdef.npy    uint8 [N, 3, 64, 64]; the key is of the files it is of
  flickr8k-train-64-0123456789abcdef.json   its SHA-256, written last
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock

from t2i_course.contract import T2IError, file_sha256, require, seed_of, unknown, write_whole
from t2i_course.data import coco
from t2i_course.data.captioned import CaptionedImages
from t2i_course.data.captioned_folder import (
    Photo,
    as_images,
    captions_files,
    captions_of,
    read,
)
from t2i_course.data.shards import INDEX, ShardedImages
from t2i_course.places import cache_root, data_root

SPLITS = ("train", "test")
HELD_OUT = 1000  # images of a folder without official splits, or a fifth of a small one
OFFICIAL = {"train": ("train",), "test": ("test", "val")}  # words in captions' files, best first
SIZE = 64  # pixels, where no model says


def known(source: str) -> bool:
    """Whether `load` would look for photographs under this name or path."""
    return coco_fraction(source) is not None or find(source) is not None


def names() -> list[str]:
    """The folders with captions where data is looked for; COCO is always one of them."""
    root = data_root()
    folders = sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
    return ["coco", *(one.name for one in folders if one.name != "coco" and is_captioned(one))]


def is_captioned(folder: Path) -> bool:
    """Whether a folder has what may be captions, or is one of shards."""
    return (folder / "train" / INDEX).is_file() or bool(captions_files(folder))


def load(
    source: str, split: str, size: int = SIZE, cache: Path | None = None
) -> CaptionedImages | ShardedImages:
    """Photographs with their captions, prepared for a size.

    Args:
        source: "coco"; "coco:0.1" for that fraction of its training images; a folder where data is
            looked for, such as "flickr8k"; the path of a folder (see `captioned_folder`), or of one
            that `t2i data shard` wrote.
        split: "train" or "test". Where there are no official ones, 1,000 images (or a fifth, if
            that is less) are held out by a hash of their files' names.
        size: pixels of a side; a set of shards is scaled as it is read.
        cache: where prepared images are kept; by default the folder `prepared` of the cache.

    Raises:
        T2IError: if there is no such folder or split, or the images are not there or damaged.
    """
    if split not in SPLITS:
        raise unknown("split of photographs", split, SPLITS)
    folder = find(source)
    if folder is not None and (folder / split / INDEX).is_file():
        return ShardedImages(folder / split, size, source=source)
    photos, name = listed(source, split, size)
    return prepared(
        photos,
        size,
        name=name,
        split=split,
        source=source,
        cache=cache or cache_root() / "prepared",
    )


def listed(source: str, split: str, size: int = 0) -> tuple[list[Photo], str]:
    """The photos of a split, with all their captions, from files that are large enough for `size`
    where there are some; and the set's name."""
    fraction = coco_fraction(source)
    if fraction is not None:
        require(0 < fraction <= 1, f"{source!r}: the fraction must be above 0 and at most 1.")
        official = "train" if split == "train" else "val"
        kept = fraction if split == "train" else 1.0
        return coco.photos(official, at_least=size, fraction=kept), "coco"
    folder = find(source)
    if folder is None:
        raise T2IError(
            f"There are no photographs {source!r}: it is no folder here or in {data_root()} (which "
            f"has {', '.join(names())}). Give the path of a folder with images and captions."
        )
    return of_split(folder, split), folder.resolve().name


def find(source: str) -> Path | None:
    """The folder of that path, or of that name where data is looked for."""
    candidates = (Path(source), data_root() / source)
    if Path(source).name == source:  # a bare name is one of the data's first
        candidates = candidates[::-1]
    return next((path for path in candidates if path.is_dir()), None)


def coco_fraction(source: str) -> float | None:
    """Which fraction of COCO is meant; None for another source."""
    name, colon, fraction = source.partition(":")
    if name != "coco":
        return None
    try:
        return float(fraction) if colon else 1.0
    except ValueError as error:
        raise T2IError(f"{source!r}: write a fraction of COCO as coco:0.1.") from error


def of_split(folder: Path, split: str) -> list[Photo]:
    """The photos of a folder's split: by its captions' files' names where they say, else by the
    images' names.

    Raises:
        T2IError: as `captioned_folder.read`, or if there is one image only.
    """
    files = captions_files(folder)
    named = {
        one: [path for word in words for path in files if word in path.stem.lower()]
        for one, words in OFFICIAL.items()
    }
    if all(named.values()):
        return read(folder, named[split][0].relative_to(folder).as_posix())
    photos = read(folder)
    require(len(photos) > 1, f"{folder} has one image only: none could be held out.")
    held = held_out([photo.file.stem for photo in photos])
    return [photo for photo, out in zip(photos, held, strict=True) if out == (split == "test")]


def held_out(stems: Sequence[str], count: int = HELD_OUT) -> list[bool]:
    """Which files are held out, by their names without ending: those with the smallest hashes, so
    that it does not depend on their order, nor (by much) on which others there are."""
    count = max(1, min(count, len(stems) // 5))
    order = sorted(range(len(stems)), key=lambda i: (seed_of("held out", stems[i]), i))
    chosen = set(order[:count])
    return [i in chosen for i in range(len(stems))]


def prepared(
    photos: Sequence[Photo],
    size: int,
    *,
    name: str,
    split: str,
    cache: Path,
    source: str = "",
    progress: bool = True,
) -> CaptionedImages:
    """As `captioned_folder.as_images`, but made once and mapped from then on.

    What is in the files is known by their names, sizes and times; a file that changes makes the set
    be prepared anew. A killed process leaves nothing that counts, and of several at the same time
    one prepares.

    Raises:
        T2IError: as `as_images`, or if the cache cannot be written.
    """
    try:
        stats = [photo.file.stat() for photo in photos]
    except OSError as error:
        raise T2IError(f"An image cannot be read ({error}).") from error
    files = [
        (photo.file.name, one.st_size, one.st_mtime_ns)
        for photo, one in zip(photos, stats, strict=True)
    ]
    path = cache / f"{name}-{split}-{size}-{seed_of(size, repr(files)):016x}.npy"
    note = path.with_suffix(".json")
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock")):
            if not note.is_file():
                _prepare(photos, size, name, path, progress and len(photos) > 1000)
                write_whole(note, json.dumps({"sha256": file_sha256(path)}) + "\n")
        images = np.load(path, mmap_mode="c")  # copy on write, which torch asks for; none is made
        sha256 = str(json.loads(note.read_text(encoding="utf-8"))["sha256"])
    except (OSError, ValueError, KeyError) as error:
        raise T2IError(
            f"Prepared images cannot be kept in {path} ({error}). Remove what is there, make room, "
            "or set T2I_CACHE to a folder that can be written to."
        ) from error
    return CaptionedImages(
        name, split, torch.from_numpy(images), captions_of(photos),
        source=source, images_sha256=sha256,
    )  # fmt: skip


def _prepare(photos: Sequence[Photo], size: int, name: str, path: Path, progress: bool) -> None:
    """Write the images as one array, aside and then renamed."""
    aside = path.with_name(f".{path.name}")  # of a killed process too: the lock is ours
    shape = (len(photos), 3, size, size)
    try:
        mapped = np.lib.format.open_memmap(aside, "w+", np.uint8, shape)
        as_images(photos, size, name=name, into=torch.from_numpy(mapped), progress=progress)
        mapped.flush()
        del mapped
        with open(aside, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)
