"""Photographs in WebDataset's form, tar files that are read in stretches: for sets that are larger
than memory, or on a disk that dislikes many small files.

shards/train/
  000000.tar     000000000.jpg  000000000.json  000000000.txt  000000001.jpg …  as any tar has them
  000000.json    where in it each image and each json is, in bytes; written when the tar is whole
  index.json     name, split, and of each shard its count, size and SHA-256; written last

The order of an epoch is a function of (seed, epoch, shard list): the shards are shuffled, and the
images of each `WINDOW` shards in a row among themselves. So a process reads from a few files at a
time, and yet knows for each step which images it is to have, in which shard and at which byte: a
run that is cut anywhere goes on there, with however many processes and threads. Each process takes
its rows of the global batch, and so its share of every shard.
"""

import functools
import json
import mmap
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from t2i_course.contract import Condition, RowGenerator, T2IError, TextEncoder, require, seed_of
from t2i_course.data.augment import Augmentation, augment
from t2i_course.data.captioned import conditions, described, one_of_each
from t2i_course.data.captioned_folder import picture

INDEX, FORMAT = "index.json", 1
WINDOW = 8  # shards whose images are shuffled among themselves
OPEN = 2 * WINDOW  # shards that are held open


def note_of(shard: Path) -> Path:
    """Where it is written what is where in a shard."""
    return shard.with_suffix(".json")


def read_note(path: Path, wanted: dict[str, type]) -> dict[str, Any]:
    """A json file's values; `T2IError` if it is damaged."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if not all(isinstance(values.get(name), kind) for name, kind in wanted.items()):
            raise ValueError(f"it needs {', '.join(wanted)}")
        return dict(values)
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise T2IError(
            f"{path} is damaged or cut short ({error}): write the shards anew by `t2i data shard`."
        ) from error


@dataclass(frozen=True, eq=False)
class ShardedImages:
    """Images in shards on disk, each with the same number of captions: `contract.Data`.

    Args:
        folder: of a split, with its index.
        size: pixels of a side, to which images are scaled and cropped as they are read.
        encoder, augmentation, source: see `CaptionedImages`.
        workers: threads that read and decode, also ahead of the step that wants it; by default as
            many as torch uses. Nothing depends on how many there are.

    Raises:
        T2IError: if the index is missing or damaged, or a shard is missing or of another size.
    """

    folder: Path
    size: int
    encoder: TextEncoder | None = None
    augmentation: Augmentation | None = None
    source: str = ""
    workers: int | None = None
    index: dict[str, Any] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        require(self.size >= 1, f"The size of images must be at least 1 pixel, not {self.size}.")
        index = read_note(self.folder / INDEX, {"shards": list, "captions": int, "name": str})
        require(
            index.get("format") == FORMAT and len(index["shards"]) > 0,
            f"{self.folder / INDEX} has format {index.get('format')} and {len(index['shards'])} "
            f"shards; this version reads format {FORMAT}. Write the shards anew.",
        )
        for one in index["shards"]:
            path = self.folder / one["file"]
            there = path.stat().st_size if path.is_file() else None
            require(
                there == one["bytes"],
                f"{path} {'is missing' if there is None else f'has {there:,} bytes'} in place of "
                f"{one['bytes']:,}: fetch it again, or write the shards anew.",
            )
        object.__setattr__(self, "index", index)

    def __len__(self) -> int:
        return int(self._starts[-1])

    @property
    def name(self) -> str:
        """The name of the set that was sharded."""
        return str(self.index["name"])

    @property
    def split(self) -> str:
        """Of that set."""
        return str(self.index["split"])

    @property
    def title(self) -> str:
        """Name and split, as a figure's title needs them."""
        return f"{self.name} {self.split}"

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the images that `batch` gives."""
        return 3, self.size, self.size

    def all_captions(self) -> Iterator[str]:
        """Every caption of every image, shard by shard."""
        for i in range(len(self)):
            yield from self._said(i)

    def condition(self, captions: Sequence[str], images: Tensor | None = None) -> Condition:
        """As `CaptionedImages.condition`."""
        return conditions(self.title, self.encoder, captions, images)

    def order(self, seed: int, epoch: int) -> Tensor:
        """See `contract.Data` and this module's head: int64 `[N]`."""
        if (seed, epoch) not in self._orders:
            while len(self._orders) > 1:  # an epoch's and the next one's
                self._orders.pop(next(iter(self._orders)))
            self._orders[seed, epoch] = self._shuffled(seed, epoch)
        return self._orders[seed, epoch]

    def _shuffled(self, seed: int, epoch: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed_of(seed, "shards", epoch))
        starts = torch.from_numpy(self._starts)
        shards = torch.randperm(len(starts) - 1, generator=generator)
        parts = []
        for window in shards.split(WINDOW):
            rows = torch.cat([torch.arange(int(starts[k]), int(starts[k + 1])) for k in window])
            parts.append(rows[torch.randperm(len(rows), generator=generator)])
        return torch.cat(parts)

    def place(self, i: int) -> tuple[str, int]:
        """In which shard's file, and at which byte of it, image i begins."""
        k, (offset, *_) = self._find(i)
        return str(self.index["shards"][k]["file"]), int(offset)

    def ahead(self, index: Tensor) -> None:
        """Begin to read and decode the images that will be wanted next."""
        wanted = index.tolist()
        for i in self._coming.keys() - set(wanted):  # asked for, and then not fetched
            self._coming.pop(i).cancel()
        self._ask(wanted)

    def batch(self, index: Tensor, generator: RowGenerator) -> tuple[Tensor, Condition]:
        """See `contract.Data`; what is drawn is what `CaptionedImages` draws."""
        wanted = index.tolist()
        self._ask(wanted)
        coming = [self._coming[i] for i in wanted]
        for i in set(wanted):
            del self._coming[i]
        pictures, said = zip(*(one.result() for one in coming), strict=True)
        captions = one_of_each(said, generator)
        images = torch.stack(pictures) / 255
        if self.augmentation is not None:
            images = augment(images, captions, self.augmentation, generator)
        return images, self.condition(captions, images)

    def card(self) -> dict[str, Any]:
        """See `contract.Data`."""
        key = [one["sha256"] for one in self.index["shards"]]
        text = self.encoder.sha256 if self.encoder else ""
        return {
            "name": self.name, "split": self.split, "images": len(self),
            "sha256": f"{seed_of(*key, self.size, text):016x}", "shape": list(self.image_shape),
            "stand_in": False, "shards": len(key),
        } | described(self.encoder, self.augmentation, self.source)  # fmt: skip

    def _ask(self, wanted: Sequence[int]) -> None:
        for i in wanted:
            if i not in self._coming:
                self._coming[i] = self._pool.submit(self._sample, i)

    @functools.cached_property
    def _starts(self) -> np.ndarray:
        """The number of each shard's first image, and N."""
        return np.cumsum([0, *(one["samples"] for one in self.index["shards"])], dtype=np.int64)

    @functools.cached_property
    def _orders(self) -> dict[tuple[int, int], Tensor]:
        return {}

    @functools.cached_property
    def _coming(self) -> dict[int, "Future[tuple[Tensor, tuple[str, ...]]]"]:
        return {}

    @functools.cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self.workers or torch.get_num_threads(), "shards")

    @functools.cached_property
    def _open(self) -> "_Open":
        return _Open(self.folder)

    def _find(self, i: int) -> tuple[int, Sequence[int]]:
        """The shard of image i, and where in it the image and its json are."""
        require(0 <= i < len(self), f"{self.title} has no image {i}: it has {len(self)}.")
        k = int(np.searchsorted(self._starts, i, side="right")) - 1
        return k, self._open.get(self.index["shards"][k])[1][i - int(self._starts[k])]

    def _bytes(self, i: int, part: int) -> bytes:
        k, place = self._find(i)
        start, length = place[2 * part : 2 * part + 2]
        return self._open.get(self.index["shards"][k])[0][start : start + length]

    def _said(self, i: int) -> tuple[str, ...]:
        try:
            captions = json.loads(self._bytes(i, 1))["captions"]
            if len(captions) != self.index["captions"]:
                raise ValueError(f"{len(captions)} captions")
            return tuple(map(str, captions))
        except (ValueError, KeyError, TypeError) as error:
            raise self._damaged(i, error) from error

    def _sample(self, i: int) -> tuple[Tensor, tuple[str, ...]]:
        try:
            image = picture(self._bytes(i, 0), self.size)
        except ValueError as error:
            raise self._damaged(i, error) from error
        return image, self._said(i)

    def _damaged(self, i: int, error: Exception) -> T2IError:
        file, place = self.place(i)
        return T2IError(
            f"{self.folder / file} is damaged at byte {place:,}, image {i} ({error}): fetch it "
            "again, or write the shards anew."
        )


class _Open:
    """The shards that are open, mapped, with the places in them; those not used for long go."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, tuple[mmap.mmap, list[list[int]]]] = OrderedDict()

    def get(self, about: dict[str, Any]) -> tuple[mmap.mmap, list[list[int]]]:
        name = str(about["file"])
        with self._lock:
            if name not in self._kept:
                self._kept[name] = self._opened(name, about)
            self._kept.move_to_end(name)
            while len(self._kept) > OPEN:
                self._kept.popitem(last=False)  # closed when the last thread is done with it
            return self._kept[name]

    def _opened(self, name: str, about: dict[str, Any]) -> tuple[mmap.mmap, list[list[int]]]:
        path = self.folder / name
        note = read_note(note_of(path), {"offsets": list, "sha256": str})
        require(
            note["sha256"] == about["sha256"] and len(note["offsets"]) == about["samples"],
            f"{note_of(path)} is of another shard than {INDEX} says: write the shards anew.",
        )
        with open(path, "rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), note["offsets"]
