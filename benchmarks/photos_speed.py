"""How fast photographs come to a model, on one core: files, prepared, shards, in turn, in one run.

    python benchmarks/photos_speed.py [ROUNDS]

- ImageFolder: torchvision's, with Resize, CenterCrop and ToTensor, in a DataLoader without workers;
- files: ours, decoded and scaled as `t2i` does it the first time;
- prepared: ours, from the file that was made then, mapped into memory;
- prepared, varied: the same with flip, crop and jitter;
- shards: WebDataset's tar files, decoded as they are read; of files as they are, or scaled.

At 64 pixels from Flickr8k's pictures (128 x 128), at 224 from COCO's (shorter side up to 256). With
it stands what a GPU would ask for, on paper. Writes benchmarks/results/photos_speed.md.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch.utils.data import DataLoader
from torch.utils.flop_counter import FlopCounterMode
from torchvision import transforms
from torchvision.datasets import ImageFolder

from t2i_course import models, recipes
from t2i_course.contract import Condition, RowGenerator, write_whole
from t2i_course.data import augment, captioned_folder, photos, sharding
from t2i_course.data.captioned_folder import Photo
from t2i_course.data.shards import ShardedImages

BATCH = 64
SETS = {64: ("flickr8k", 1024), 224: ("coco", 256)}  # size: source, images a round
# On paper: bf16 peak of one H200 in TFLOP/s (its data sheet), and a share of it that a well-kept
# training of such networks reaches; neither was measured here.
PEAK, SHARE = 989e12, 0.3
PASSES = 20  # over the set, as a diffusion model of photographs wants at least


def unread(captions) -> Condition:
    """In the place of a text encoder."""
    return Condition.none(len(captions))


def batches(data, count: int) -> None:
    for step in range(count // BATCH):
        index = (torch.arange(BATCH) * 7919 + step * BATCH) % len(data)
        data.batch(index, RowGenerator(0, step, rows=BATCH))


def image_folder(listed: list[Photo], size: int, folder: Path) -> Callable[[], None]:
    (folder / "all").mkdir(parents=True)
    for number, photo in enumerate(listed):
        (folder / "all" / f"{number:06d}{photo.file.suffix}").symlink_to(photo.file.resolve())
    prepare = transforms.Compose(
        [transforms.Resize(size), transforms.CenterCrop(size), transforms.ToTensor()]
    )
    loader = DataLoader(ImageFolder(str(folder), prepare), BATCH, shuffle=True)

    def read() -> None:
        for _ in loader:
            pass

    return read


def readers(size: int, root: Path) -> tuple[int, dict[str, Callable[[], None]], float]:
    """The count of images a round, what reads them by name, and the bytes of an image in shards."""
    source, count = SETS[size]
    listed = photos.listed(source, "train", size)[0][:count]
    count = len(listed) // BATCH * BATCH
    listed = listed[:count]
    prepared = photos.prepared(
        listed, size, name=source, split="train", cache=root / "prepared", progress=False
    )
    prepared = replace(prepared, encoder=unread)
    varied = replace(prepared, augmentation=augment.parse("flip,crop=0.6,jitter=0.2"))
    shards = {}
    for name, scaled in {"shards, files as they are": None, "shards, scaled": size}.items():
        folder = root / f"shards-{size}-{scaled}" / "train"
        sharding.write(listed, folder, name=source, split="train", size=scaled, progress=False)
        shards[name] = ShardedImages(folder, size, unread, workers=1)
    scaled = shards["shards, scaled"]
    one = sum(each["bytes"] for each in scaled.index["shards"]) / count
    return count, {
        "ImageFolder": image_folder(listed, size, root / f"folder-{size}"),
        "files": lambda: captioned_folder.as_images(listed, size, name=source, workers=1) and None,
        "prepared": lambda: batches(prepared, count),
        "prepared, varied": lambda: batches(varied, count),
        **{name: (lambda data=data: batches(data, count)) for name, data in shards.items()},
    }, one  # fmt: skip


def flops_an_image(size: int) -> float:
    """Of a training step of the recipe diffusion-photos with pictures of this size."""
    recipe = recipes.recipe("diffusion-photos")
    settings = {**recipe.settings, "image_shape": (3, size, size)}
    family, rows = models.build(recipe.family, settings, 0), 2
    condition = replace(
        Condition.of(torch.zeros(rows, family.settings.condition_dim)),
        tokens=torch.zeros(rows, 16, family.settings.token_dim),
        mask=torch.ones(rows, 16, dtype=torch.bool),
    )
    images = torch.rand(rows, 3, size, size)
    with FlopCounterMode(display=False) as counter:
        loss, _ = family.loss("unet", images, condition, RowGenerator(0, rows=rows))
        loss.backward()
    return counter.get_total_flops() / rows


def on_paper(found: dict[tuple[int, str], float], bytes_224: float) -> list[str]:
    lines = [
        "## On paper: what a training would take", "",
        f"Not measured: no GPU was at hand. {PASSES} passes over the set by `diffusion-photos` "
        f"at 256 pixels ({flops_an_image(256) / 1e9:.1f} GFLOP an image and step, counted by "
        f"`FlopCounterMode`), at {SHARE:.0%} of an H200's {PEAK / 1e12:.0f} TFLOP/s in bf16; "
        f"shards scaled to 256 pixels at {bytes_224 * (256 / 224) ** 2 / 1e3:.0f} kB an image (the "
        "measured 224-pixel ones, by area); cores: as many as decode such shards at that pace, by "
        "the 224-pixel figure above.", "",
        "| set | GPUs | hours | images a second | MB/s from disk | cores |",
        "| --- | --- | --- | --- | --- | --- |",
    ]  # fmt: skip
    a_second = SHARE * PEAK / flops_an_image(256)
    each, per_core = bytes_224 * (256 / 224) ** 2, found[224, "shards, scaled"] * (224 / 256) ** 2
    for name, images in {"COCO train2017": 118_287, "10 million pairs": 10_000_000}.items():
        for gpus in (1, 8, 64):
            pace = gpus * a_second
            lines.append(
                f"| {name} | {gpus} | {PASSES * images / pace / 3600:.2g} | {pace:,.0f} | "
                f"{pace * each / 1e6:,.0f} | {pace / per_core:,.0f} |"
            )
    lines += [
        "",
        "So a network this small is starved by decoding long before it fills a GPU: it wants the "
        "prepared form, of which one core gives "
        f"{found[224, 'prepared']:,.0f} images a second at 224 pixels.",
    ]
    return lines


def main(rounds: int) -> None:
    torch.set_num_threads(1)
    paces: dict[tuple[int, str], list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        counts, sizes = {}, {}
        for size in SETS:
            counts[size], reads, sizes[size] = readers(size, Path(folder))
            for number in range(rounds + 1):
                for name, read in reads.items():
                    start = time.perf_counter()
                    read()
                    if number > 0:  # the first fills the system's cache
                        pace = counts[size] / (time.perf_counter() - start)
                        paces.setdefault((size, name), []).append(pace)
    found = {key: statistics.median(values) for key, values in paces.items()}
    lines = [
        f"# Photographs a second on one core ({rounds} rounds, in turn)", "",
        f"torch {torch.__version__}, batch {BATCH}, files in the system's cache. Median, and in "
        "brackets the ratio to ImageFolder in the same run. "
        + "; ".join(f"{size} pixels: {counts[size]} of {SETS[size][0]}" for size in SETS) + ".", "",
        "| reader | " + " | ".join(f"{size} pixels" for size in SETS) + " |",
        "| --- |" + " --- |" * len(SETS),
    ]  # fmt: skip
    for name in dict.fromkeys(name for _, name in found):
        cells = [
            f"{found[size, name]:,.0f} ({found[size, name] / found[size, 'ImageFolder']:.1f} x)"
            for size in SETS
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    rates = [
        f"{found[size, 'shards, scaled'] * sizes[size] / 1e6:.1f} MB/s at {size} pixels "
        f"({sizes[size] / 1e3:.1f} kB an image)"
        for size in SETS
    ]
    lines += [
        "",
        f"Scaled shards, decoded: {' and '.join(rates)}.",
        "",
        *on_paper(found, sizes[224]),
    ]
    text = "\n".join(lines) + "\n"
    write_whole(Path(__file__).parent / "results" / "photos_speed.md", text)
    print(text)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
