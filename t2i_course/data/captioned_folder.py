"""A folder of images with captions, in COCO's json or as a csv: a learner's own.

    photos/
      captions.csv          file,caption: a row for each caption, in UTF-8
      beach.jpg  …
or
    photos/
      annotations/captions_train.json     "images": id, file_name; "annotations": image_id, caption
      images/beach.jpg  …
"""

import csv
import io
import json
import os
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil
import torch
from PIL import Image, ImageOps
from torch import Tensor

from t2i_course.contract import T2IError, require
from t2i_course.data.captioned import CaptionedImages
from t2i_course.data.fetching import progress_bar

FILE_COLUMNS = ("file", "file_name", "filename", "image", "image_name", "path", "img")
CAPTION_COLUMNS = ("caption", "captions", "text", "comment", "sentence", "description")
FOLDERS = ("images", "Images", ".")  # where images are looked for, after the captions' split
MOST = 5  # captions an image, unless more are asked for


@dataclass(frozen=True)
class Photo:
    """An image on disk and what people said of it.

    Args:
        file: where it is.
        captions: at least one, as written.
        id: COCO's number of the image; 0 where there is none.
        width, height: as annotated; 0 where they are not.
        license: COCO's number of its licence (4: CC BY, 5: CC BY-SA); 0 where it is not known.
        url: where it was published, which is to stand beside it where it is shown.
    """

    file: Path
    captions: tuple[str, ...] = field(repr=False)
    id: int = 0
    width: int = 0
    height: int = 0
    license: int = 0
    url: str = ""


def load(
    folder: Path,
    size: int,
    *,
    captions: str | None = None,
    K: int | None = None,
    limit: int | None = None,
) -> CaptionedImages:
    """The images of a folder as one set, named after it: see `read` and `as_images`.

    Args:
        limit: at most so many images, the first ones.

    Raises:
        T2IError: as these two do.
    """
    require(limit is None or limit > 0, f"limit must be above 0 or None, not {limit}.")
    return as_images(read(folder, captions)[:limit], size, name=folder.resolve().name, K=K)


def read(folder: Path, captions: str | None = None) -> list[Photo]:
    """The images of a folder, with all their captions, in the order of the captions' file.

    Args:
        captions: the captions' file in the folder; by default the only one that is there:
            `annotations/*.json`, `captions*.json`, `*.csv`, `*.tsv` or `captions*.txt`.

    Raises:
        T2IError: if there is no such file, or more than one; if it is wrong (see `listed`); or if
            an image is missing.
    """
    require(folder.is_dir(), f"{folder} is not a folder: give one with images and captions.")
    file = folder / captions if captions else _captions_file(folder)
    photos = listed(file)
    split = re.sub(r"^captions_?", "", file.stem)
    where = _image_folder(folder, photos, split)
    placed = [replace(photo, file=where / photo.file) for photo in photos]
    missing = [photo.file.name for photo in placed if not photo.file.is_file()]
    require(
        not missing,
        f"{len(missing)} of the {len(photos)} images that {file} names are not in {where}, such as "
        f"{missing[0] if missing else ''}: put them there, or take them out of the file.",
    )
    return placed


def listed(file: Path) -> list[Photo]:
    """What a captions' file says, whether the images are there or not: `file` is the name only.

    Raises:
        T2IError: if it is not UTF-8, damaged, without known fields or columns; if a caption is
            empty, an image has none, is there twice, or would lie outside its folder.
    """
    photos = _json(file) if file.suffix == ".json" else _csv(file)
    require(len(photos) > 0, f"{file} lists no images.")
    names = [os.path.normpath(photo.file) for photo in photos]
    _once(names, "file", file)
    for name, photo in zip(names, photos, strict=True):
        outside = Path(name).anchor or name.split(os.sep)[0] in ("..", ".")
        require(
            not outside,
            f"{file} names {str(photo.file)!r}, which is no file in its folder: give names without "
            "a leading / or ..",
        )
        require(len(photo.captions) > 0, f"{file} has no caption of {name}: write one.")
        require(
            all(text.strip() for text in photo.captions),
            f"{file} has an empty caption of {name}: write it, or take it out.",
        )
    return photos


def _json(file: Path) -> list[Photo]:
    """The images of a json in COCO's form."""
    try:
        content = json.loads(_text(file))
        images = [(one["id"], str(one["file_name"]), one) for one in content["images"]]
        said = [(one["image_id"], str(one["caption"])) for one in content["annotations"]]
        captions: dict[Any, list[str]] = {image: [] for image, _, _ in images}
        strangers = [image for image, _ in said if image not in captions]
    except (ValueError, RecursionError) as error:
        raise T2IError(
            f"{file} is no JSON ({error}). Remove it, and write or fetch it anew."
        ) from error
    except (KeyError, TypeError) as error:
        raise T2IError(
            f'{file} is not in COCO\'s form ({error!r}): it needs "images" with id and file_name, '
            'and "annotations" with image_id and caption.'
        ) from error
    _once([image for image, _, _ in images], "image id", file)
    require(
        not strangers,
        f"{file} has captions of images that it does not list, such as id "
        f"{next(iter(strangers), None)!r}: add them to its images.",
    )
    for image, caption in said:
        captions[image].append(caption)
    return [
        Photo(
            Path(name), tuple(captions[image]), _number(one, "id"), _number(one, "width"),
            _number(one, "height"), _number(one, "license"),
            str(one.get("flickr_url") or one.get("coco_url") or ""),
        )
        for image, name, one in images
    ]  # fmt: skip


def _csv(file: Path) -> list[Photo]:
    """The images of a csv with a row for each caption; commas, semicolons, tabs or bars between."""
    text = _text(file)
    header = text.partition("\n")[0]
    mark = max(",;\t|", key=header.count)
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=mark, strict=True))
    except csv.Error as error:
        raise T2IError(f"{file} cannot be read as a csv ({error}). Save it anew.") from error
    require(len(rows) > 1, f"{file} has no row under its header: add a file and its caption.")
    columns = [name.strip().lower() for name in rows[0]]
    _once([name for name in columns if name], "column", file)
    found = []
    for kind, known in (("file", FILE_COLUMNS), ("caption", CAPTION_COLUMNS)):
        column = next((name for name in known if name in columns), "")
        require(
            column != "",
            f"{file} has no column of the {kind}: its columns are {', '.join(rows[0])}; name one "
            f"of them {' or '.join(known)}.",
        )
        found.append(columns.index(column))
    captions: dict[str, list[str]] = {}
    for number, row in enumerate(rows[1:], 2):
        if not row:  # a blank line
            continue
        require(
            len(row) == len(columns),
            f"Row {number} of {file} has {len(row)} fields in place of {len(columns)}: a caption "
            "with the separator in it needs quotation marks around it.",
        )
        name, caption = row[found[0]].strip(), row[found[1]]
        require(name != "", f"Row {number} of {file} names no file.")
        require(caption.strip() != "", f"Row {number} of {file} has an empty caption: write one.")
        captions.setdefault(name, []).append(caption)
    return [Photo(Path(name), tuple(each)) for name, each in captions.items()]


def as_images(
    photos: Sequence[Photo],
    size: int,
    *,
    name: str,
    split: str = "all",
    K: int | None = None,
    workers: int | None = None,
    into: Tensor | None = None,
    progress: bool = False,
) -> CaptionedImages:
    """Photos read, scaled and cropped, as images in memory: uint8 `[N, 3, size, size]`.

    Args:
        size: see `picture`.
        K: captions an image: the first K; an image with fewer repeats its own from the first on.
            By default as many as the most that an image has, at most 5.
        workers: threads that read; by default as many as torch uses.
        into: where the images are put, such as a file that is mapped; by default new memory.
        progress: show a bar with the time left.

    Raises:
        T2IError: for no photos, a size or K below 1, too little memory, or images that cannot be
            read: all of them are counted, and the first named.
    """
    require(len(photos) > 0, f"There are no images in {name}.")
    require(size >= 1, f"The size of images must be at least 1 pixel, not {size}.")
    require(K is None or K >= 1, f"K, the captions an image, must be at least 1, not {K}.")
    needed, free = 3 * size**2 * len(photos), psutil.virtual_memory().available
    require(
        into is not None or needed < free,
        f"{len(photos):,} images of {size}x{size} take {needed / 1e9:.1f} GB, and {free / 1e9:.1f} "
        "GB are free: take fewer, or a smaller size.",
    )
    shape = (len(photos), 3, size, size)
    images = torch.empty(shape, dtype=torch.uint8) if into is None else into
    wrong: list[str] = []

    def fill(row: int) -> None:
        try:
            images[row] = picture(photos[row].file, size)
        except ValueError as error:
            wrong.append(f"{photos[row].file} ({error})")

    with (
        ThreadPoolExecutor(workers or torch.get_num_threads()) as pool,
        progress_bar(name, "image", progress, len(photos), 0) as bar,
    ):
        for _ in pool.map(fill, range(len(photos))):
            bar.update()
    require(
        not wrong,
        f"{len(wrong)} of {len(photos)} images cannot be read, such as "
        f"{min(wrong, default='')}: replace them, or take them out of the captions' file.",
    )
    return CaptionedImages(name, split, images, captions_of(photos, K))


def captions_of(photos: Sequence[Photo], K: int | None = None) -> list[tuple[str, ...]]:
    """K captions of each photo, as `as_images` says."""
    kept = K or min(MOST, max(len(one.captions) for one in photos))
    return [tuple(one.captions[k % len(one.captions)] for k in range(kept)) for one in photos]


def picture(source: Path | bytes, size: int) -> Tensor:
    """One image as uint8 `[3, size, size]`: its shorter side scaled to `size` (bicubic, with
    antialiasing), its middle kept.

    A JPEG at least four times as large is decoded at a half, a quarter or an eighth of its size
    (libjpeg's scaled transform): twice as fast, for a difference of about one level of 255.

    Raises:
        ValueError: if it cannot be read, with the reason.
    """
    from torchvision.transforms import v2

    image = decoded(source, at_least=2 * size)
    scaled = v2.functional.resize(image, [size], v2.InterpolationMode.BICUBIC)
    return v2.functional.pil_to_tensor(v2.functional.center_crop(scaled, [size, size]))


def decoded(
    source: Path | bytes, at_least: int | None = None, expected: tuple[int, int] | None = None
) -> Image.Image:
    """An image as people see it: upright, RGB, on white where it is transparent.

    Args:
        at_least: its shorter side may be decoded smaller, but not below so many pixels.
        expected: width and height that it must have in the file.

    Raises:
        ValueError: if it cannot be read or has another size, with the reason.
    """
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
            if expected is not None and image.size != expected:
                raise ValueError(
                    f"{image.width}x{image.height} pixels in place of {expected[0]}x{expected[1]}"
                )
            if image.mode.startswith(("I", "F")):
                raise ValueError(f"more than 8 bits a channel, {image.mode}: save it with 8")
            if at_least is not None:
                # draft() never goes below the size asked for; of a JPEG only, others ignore it.
                scale = at_least / min(image.size)
                if scale < 1:
                    image.draft("RGB", tuple(round(side * scale) for side in image.size))  # type: ignore[arg-type]
            image.load()
            upright = ImageOps.exif_transpose(image)
            if upright.has_transparency_data:
                white = Image.new("RGBA", upright.size, "white")
                return Image.alpha_composite(white, upright.convert("RGBA")).convert("RGB")
            return upright.convert("RGB")
    except ValueError:
        raise
    except Exception as error:  # whatever a decoder raises on bytes that nobody vouches for
        reason = "no image" if isinstance(error, Image.UnidentifiedImageError) else str(error)
        raise ValueError(reason or type(error).__name__) from error


def captions_files(folder: Path) -> list[Path]:
    """The files in a folder that may hold captions, sorted."""
    patterns = ("annotations/*.json", "captions*.json", "*.csv", "*.tsv", "captions*.txt")
    return sorted({path for pattern in patterns for path in folder.glob(pattern)})


def _captions_file(folder: Path) -> Path:
    found = captions_files(folder)
    require(
        len(found) > 0,
        f"{folder} has no captions: put captions.csv there, with the columns file and caption, "
        "or annotations/captions.json in COCO's form.",
    )
    names = [path.relative_to(folder).as_posix() for path in found]
    require(len(found) == 1, f"{folder} has several captions' files: say which, of {names}.")
    return found[0]


def _text(file: Path) -> str:
    try:
        return file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise T2IError(f"Line {line} of {file} is not UTF-8: save the file as UTF-8.") from error
    except OSError as error:
        raise T2IError(f"{file} cannot be read ({error.strerror}).") from error


def _image_folder(folder: Path, photos: Sequence[Photo], split: str) -> Path:
    """The first folder that holds one of the first images."""
    for candidate in dict.fromkeys((split, *FOLDERS)):
        if any((folder / candidate / photo.file).is_file() for photo in photos[:100]):
            return folder / candidate
    return folder


def _number(values: dict[str, Any], name: str) -> int:
    value = values.get(name, 0)
    return value if isinstance(value, int) else 0


def _once(names: Sequence[Any], kind: str, file: Path) -> None:
    seen: set[Any] = set()
    for name in names:
        require(name not in seen, f"{file} has the {kind} {name!r} twice: keep one.")
        seen.add(name)
