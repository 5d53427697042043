"""Writing photographs as shards: see `data.shards` for their form."""

import io
import json
import os
import tarfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from PIL import Image

from t2i_course.contract import T2IError, file_sha256, require, seed_of, write_whole
from t2i_course.data.captioned_folder import Photo, captions_of, decoded
from t2i_course.data.fetching import progress_bar
from t2i_course.data.shards import FORMAT, INDEX, note_of, read_note

SAMPLES = 1000  # images a shard, unless asked otherwise
HEADER = 512  # bytes before a member's content (POSIX ustar)


def write(
    photos: Sequence[Photo],
    folder: Path,
    *,
    name: str,
    split: str,
    size: int | None = None,
    samples: int = SAMPLES,
    png: bool = False,
    workers: int | None = None,
    progress: bool = True,
) -> int:
    """Write photos as shards into a folder; how many shards there are. Interrupted or killed, the
    same call goes on: a shard that is whole and of the same photos is not written again.

    Args:
        photos: in their order; each gets the same number of captions (`captions_of`).
        folder: of this split.
        name, split: of the set.
        size: shorter side to which larger images are scaled (bicubic, as JPEG of quality 95 without
            chroma subsampling); None keeps each file as it is.
        samples: images a shard, at least 1; the last has the rest.
        png: keep scaled images as PNG instead, without loss.
        workers: threads that read and scale; by default as many as torch uses.
        progress: show a bar with the time left.

    Raises:
        T2IError: for no photos, a size or a count below 1, an image that cannot be read (it is
            named), or a folder that cannot be written.
    """
    require(len(photos) > 0, f"There are no images in {name}: nothing to write.")
    require(samples >= 1, f"A shard holds at least 1 image, not {samples}.")
    require(size is None or size >= 1, f"The size of images must be at least 1 pixel, not {size}.")
    require(size is not None or not png, "PNG is for scaled images: give a size too.")
    captions = captions_of(photos)
    shards = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (
            FileLock(folder / ".lock", timeout=0),
            ThreadPoolExecutor(workers or torch.get_num_threads()) as pool,
            progress_bar(f"{name} {split}", "image", progress, len(photos), 0) as bar,
        ):
            (folder / INDEX).unlink(missing_ok=True)  # until all shards are there again
            for first in range(0, len(photos), samples):
                part = slice(first, first + samples)
                path = folder / f"{first // samples:06d}.tar"
                shards.append(_shard(photos[part], captions[part], path, first, size, png, pool))
                bar.update(len(photos[part]))
            for path in folder.glob("[0-9]*.tar"):  # of an earlier set that had more shards
                if path.name not in {one["file"] for one in shards} and note_of(path).exists():
                    path.unlink()
                    note_of(path).unlink()
            index = {
                "format": FORMAT, "name": name, "split": split, "size": size,
                "captions": len(captions[0]), "shards": shards,
            }  # fmt: skip
            write_whole(folder / INDEX, json.dumps(index, indent=1) + "\n")
    except Timeout as error:
        raise T2IError(f"Another process is writing shards into {folder}: wait for it.") from error
    except OSError as error:
        raise T2IError(
            f"Shards cannot be written to {folder} ({error}). What is whole is kept: make room, or "
            "choose another place by --out."
        ) from error
    return len(shards)


def _shard(
    photos: Sequence[Photo], captions: Sequence[tuple[str, ...]], path: Path, first: int,
    size: int | None, png: bool, pool: ThreadPoolExecutor,
) -> dict[str, Any]:  # fmt: skip
    """One shard, written unless it is there: what the index says of it."""
    stats = [photo.file.stat() for photo in photos]
    files = [
        (str(photo.file.name), one.st_size, one.st_mtime_ns)
        for photo, one in zip(photos, stats, strict=True)
    ]
    key = f"{seed_of(repr(files), repr(captions), first, size or 0, int(png)):016x}"
    found = _written(path, key)
    if found is not None:
        return found
    aside = path.with_name(f".{path.name}")  # of a killed process too: the lock is ours
    offsets = []
    with open(aside, "wb") as file:
        with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
            contents = pool.map(lambda photo: _content(photo, size, png), photos)
            for number, (photo, said, (kind, content)) in enumerate(
                zip(photos, captions, contents, strict=True), start=first
            ):
                about = {
                    "captions": said, "file": photo.file.name, "id": photo.id,
                    "license": photo.license, "url": photo.url,
                }  # fmt: skip
                text = json.dumps(about, ensure_ascii=False).encode()
                places = []
                for end, part in ((kind, content), ("json", text), ("txt", said[0].encode())):
                    member = tarfile.TarInfo(f"{number:09d}.{end}")
                    member.size = len(part)
                    places += [tar.offset + HEADER, len(part)]
                    tar.addfile(member, io.BytesIO(part))
                offsets.append(places[:4])
        file.flush()
        os.fsync(file.fileno())
    os.replace(aside, path)
    found = {
        "file": path.name, "samples": len(photos), "bytes": path.stat().st_size,
        "sha256": file_sha256(path),
    }  # fmt: skip
    write_whole(note_of(path), json.dumps({**found, "key": key, "offsets": offsets}) + "\n")
    return found


def _written(path: Path, key: str) -> dict[str, Any] | None:
    """What the index says of a shard that is there, whole and of the same photos; else None."""
    try:
        note = read_note(note_of(path), {"key": str, "sha256": str, "offsets": list})
        if note["key"] == key and file_sha256(path) == note["sha256"]:
            return {name: note[name] for name in ("file", "samples", "bytes", "sha256")}
    except (T2IError, OSError, KeyError):  # it is not there, or damaged
        pass
    return None


def _content(photo: Photo, size: int | None, png: bool) -> tuple[str, bytes]:
    """The ending and the bytes under which an image is kept."""
    try:
        content = photo.file.read_bytes()
        image = decoded(content)
    except ValueError as error:
        raise T2IError(
            f"{photo.file} cannot be read ({error}): replace it, or take it out of the captions' "
            "file."
        ) from error
    short = min(image.size)
    if size is None or (size >= short and not png):
        return photo.file.suffix.lower().lstrip(".").replace("jpeg", "jpg") or "jpg", content
    scaled = image
    if size < short:
        width, height = (size * side // short for side in image.size)
        scaled = image.resize((width, height), Image.Resampling.BICUBIC)
    file = io.BytesIO()
    if png:
        scaled.save(file, "PNG")
        return "png", file.getvalue()
    scaled.save(file, "JPEG", quality=95, subsampling=0)
    return "jpg", file.getvalue()
