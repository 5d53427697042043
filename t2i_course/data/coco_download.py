"""Fetching COCO 2017: only the images that are wanted, verified, and kept whole or not at all.

See `data.coco` for where they are kept, and for their licences.
"""

import csv
import io
import os
import zipfile
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock, Timeout
from PIL import Image
from tqdm import tqdm

from t2i_course.contract import T2IError, require, write_whole
from t2i_course.data.captioned_folder import Photo, decoded, listed
from t2i_course.data.coco import SPLITS, known_split, read_missing, subset
from t2i_course.data.fetching import (
    Fetcher,
    FetchError,
    Fetching,
    opened_archive,
    progress_bar,
)
from t2i_course.places import data_root

URL = "http://images.cocodataset.org"  # or what T2I_COCO_URL says, with the same paths under it
ANNOTATIONS = "annotations_trainval2017.zip"  # 241 MB
LARGEST = 50_000_000  # bytes of an image
# What reading a member of an archive may raise.
DAMAGED = (KeyError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True)
class Fetched:
    """What `download` did.

    Args:
        folder: of the images.
        wanted: images of the split that were asked for.
        there: that had been there before.
        broken: reasons by file name, of those that could not be had.
    """

    folder: Path
    wanted: int
    there: int
    broken: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        have = self.wanted - len(self.broken)
        text = f"{have:,} of {self.wanted:,} images are in {self.folder}"
        if self.broken:
            text += (
                f"; {len(self.broken):,} could not be had and are listed in missing.csv there: the "
                "same command tries them again"
            )
        return text + "."


def download(
    split: str,
    fraction: float = 1.0,
    *,
    size: int | None = None,
    png: bool = False,
    seed: int = 0,
    archive: bool = False,
    root: Path | None = None,
    url: str | None = None,
    how: Fetching | None = None,
    progress: bool = True,
) -> Fetched:
    """Fetch COCO's annotations and the images wanted; what is there and whole is not fetched again.

    Each image is verified (it decodes, and is as large as annotated) before it gets its name.
    Interrupted or killed, the same call goes on. One process a folder.

    Args:
        split: "train" or "val".
        fraction, seed: see `subset`.
        size: shorter side to which larger images are scaled on arrival (bicubic, as JPEG of quality
            95 without chroma subsampling); None keeps them as published.
        png: keep scaled images as PNG instead, without loss.
        archive: fetch the whole split in one file (train: 18 GB, val: 0.8 GB), which is kept as
            `coco/SPLIT2017.zip` and used where it is there, in place of image by image.
        root: the folder that holds `coco`; by default where data is looked for.
        url: in place of COCO's server, or `T2I_COCO_URL`.

    Raises:
        T2IError: if nothing can be had, the annotations or an archive are damaged, the archive
            would write outside of its folder, or the disk does not allow it.
    """
    base = (url or os.environ.get("T2I_COCO_URL") or URL).rstrip("/")
    require(base.startswith(("http://", "https://")), f"{base!r} is no http address of COCO.")
    require(size is None or size >= 1, f"The size of images must be at least 1 pixel, not {size}.")
    require(size is not None or not png, "PNG is for scaled images: give a size too.")
    folder = (root or data_root()) / "coco"
    where = folder / (f"{known_split(split)}2017" + (f"-{size}" if size else ""))
    fetcher = Fetcher(how or Fetching())
    try:
        where.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock", timeout=0):
            wanted = subset(_annotations(folder, split, base, fetcher, progress), fraction, seed)
            for aside in where.glob(".*-[0-9]*"):  # of a writer that was killed
                aside.unlink()
            kept = [_Kept(photo, where, size, png) for photo in wanted]
            todo = [one for one in kept if not one.whole()]
            for one in todo:
                one.path.unlink(missing_ok=True)  # cut short, or of another size
            there = len(kept) - len(todo)
            with progress_bar(f"coco {split}", "image", progress, len(kept), there) as bar:
                if archive and todo:
                    path = folder / f"{split}2017.zip"
                    if not path.is_file():
                        _get_file(f"{base}/zips/{path.name}", path, fetcher, progress)
                    with opened_archive(path) as members:
                        broken = _each(todo, lambda one: one.unpack(members, split), fetcher, bar)
                else:
                    under = f"{base}/{split}2017"
                    broken = _each(todo, lambda one: one.fetch(under, fetcher), fetcher, bar)
            _write_missing(where, base, split, [one.photo.file.name for one in kept], broken)
    except Timeout as error:
        raise T2IError(
            f"Another process is fetching COCO into {folder}: wait for it, or stop it."
        ) from error
    except OSError as error:
        raise T2IError(f"COCO cannot be kept in {folder} ({error}). Set T2I_DATA.") from error
    reason = next(iter(broken.values()), "")
    require(len(broken) < len(kept), f"None of the {len(kept)} images could be had ({reason}).")
    return Fetched(where, len(kept), there, broken)


@dataclass(frozen=True)
class _Kept:
    """One image and the form in which it is kept."""

    photo: Photo
    folder: Path
    size: int | None
    png: bool

    @property
    def path(self) -> Path:
        name = self.photo.file.name
        return self.folder / (f"{Path(name).stem}.png" if self.png else name)

    @property
    def shape(self) -> tuple[int, int]:
        """Width and height of what is kept."""
        width, height = self.photo.width, self.photo.height
        short = min(width, height)
        if self.size is None or self.size >= short:
            return width, height
        # Rounded down, as torchvision's Resize does: what is read is then the same either way.
        return self.size * width // short, self.size * height // short

    def whole(self) -> bool:
        """Whether the file is there, as large as it must be, and not cut short."""
        try:
            with open(self.path, "rb") as file:
                with Image.open(file) as image:
                    sides = image.size
                file.seek(-12, os.SEEK_END)
                end = file.read()
            if sorted(sides) != sorted(self.shape):  # sorted: EXIF may have turned it
                return False
            if not end.endswith((b"\xff\xd9", b"IEND\xaeB`\x82")):
                decoded(self.path)  # some cameras write more after a picture's end
            return True
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            return False

    def fetch(self, under: str, fetcher: Fetcher) -> None:
        name = self.photo.file.name
        write_whole(self.path, fetcher.get(f"{under}/{name}", self.prepared, LARGEST))

    def unpack(self, members: zipfile.ZipFile, split: str) -> None:
        try:
            member = members.getinfo(f"{split}2017/{self.photo.file.name}")
            if member.file_size > LARGEST:
                raise ValueError(f"more than {LARGEST:,} bytes")
            content = self.prepared(members.read(member))
        except (*DAMAGED, ValueError) as error:
            raise FetchError(f"in the archive: {error}") from error
        write_whole(self.path, content)

    def prepared(self, content: bytes) -> bytes:
        """The bytes to keep; ValueError if `content` is not the image that is annotated."""
        annotated = (self.photo.width, self.photo.height)
        image = decoded(content, expected=annotated)
        if self.shape == annotated and not self.png:
            return content
        turned = image.size != annotated
        scaled = image.resize(self.shape[::-1] if turned else self.shape, Image.Resampling.BICUBIC)
        file = io.BytesIO()
        if self.png:
            scaled.save(file, "PNG")
        else:
            scaled.save(file, "JPEG", quality=95, subsampling=0)
        return file.getvalue()


def _each(
    todo: Sequence[_Kept], do: Callable[[_Kept], None], fetcher: Fetcher, bar: tqdm
) -> dict[str, str]:
    """`do` with each image, several at a time; the reasons of those that stay broken."""
    broken: dict[str, str] = {}
    in_a_row = 0
    pool = ThreadPoolExecutor(fetcher.how.workers)
    try:
        futures = {pool.submit(do, one): one for one in todo}
        for future in as_completed(futures):
            try:
                future.result()
                in_a_row = 0
            except FetchError as error:
                broken[futures[future].photo.file.name] = str(error)
                in_a_row += 1
                require(
                    in_a_row < fetcher.how.give_up,
                    f"{in_a_row} images in a row could not be had (the last: {error}). What has "
                    "come is kept: run the same command later, or set T2I_COCO_URL to a mirror.",
                )
            bar.update()
    except BaseException:  # Ctrl-C too: the threads are not to go on in the background
        fetcher.stop()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
    return broken


def _annotations(
    folder: Path, split: str, base: str, fetcher: Fetcher, progress: bool
) -> list[Photo]:
    """The images that COCO annotates, from the official file, which is fetched if need be."""
    file = folder / "annotations" / f"captions_{split}2017.json"
    if not file.is_file():
        path = folder / "annotations" / ANNOTATIONS
        _get_file(f"{base}/annotations/{ANNOTATIONS}", path, fetcher, progress)
        try:
            with opened_archive(path) as members:
                for each in SPLITS:
                    name = f"captions_{each}2017.json"
                    write_whole(file.with_name(name), members.read(f"annotations/{name}"))
        except DAMAGED as error:
            raise T2IError(
                f"COCO's annotations came damaged ({error}): run the same command again."
            ) from error
        finally:
            path.unlink(missing_ok=True)
    photos = listed(file)
    sized = all(photo.width > 0 and photo.height > 0 for photo in photos)
    plain = all(photo.file.name == str(photo.file) for photo in photos)
    require(sized and plain, f"{file} is not COCO's: remove it, and it is fetched anew.")
    return photos


def _get_file(url: str, path: Path, fetcher: Fetcher, progress: bool) -> None:
    try:
        fetcher.get_file(url, path, progress)
    except FetchError as error:
        raise T2IError(
            f"{url} could not be fetched ({error}). What has come is kept: run the same command "
            "later, or set T2I_COCO_URL to a mirror."
        ) from error


def _write_missing(
    folder: Path, base: str, split: str, wanted: Sequence[str], broken: dict[str, str]
) -> None:
    """Put down what is broken; what this call did not want stays as it was put down before."""
    rows = {name: row for name, row in read_missing(folder).items() if name not in set(wanted)}
    rows |= {name: (f"{base}/{split}2017/{name}", reason) for name, reason in broken.items()}
    if not rows:
        (folder / "missing.csv").unlink(missing_ok=True)
        return
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(["file", "url", "reason"])
    writer.writerows([name, *row] for name, row in sorted(rows.items()))
    write_whole(folder / "missing.csv", text.getvalue())
