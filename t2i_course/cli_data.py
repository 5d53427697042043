"""The command `t2i data`. Nothing heavy is imported until it is needed."""

import sys
from pathlib import Path
from typing import Any

import click

from t2i_course.errors import T2IError, unknown
from t2i_course.places import cache_root, data_root, shown

NAMES = ("fashion", "coco", "shard")


@click.command()
@click.argument("name", required=False)
@click.argument("folder", required=False)
@click.option("--split", help="Of COCO: train, or val (the default).")
@click.option("--fraction", type=float, help="Of COCO's split, such as 0.1; by default all of it.")
@click.option("--size", type=int, help="Scale images to this shorter side.")
@click.option("--png", is_flag=True, help="Keep scaled images without loss.")
@click.option("--archive", is_flag=True, help="Fetch COCO's split in one file, 0.8 or 18 GB.")
@click.option("--seed", type=int, help="Of the fraction; 0 by default.")
@click.option("--workers", type=int, help="Images fetched or read at the same time.")
@click.option("--out", type=click.Path(path_type=Path), help="Where shards go.")
@click.option("--samples", type=int, help="Images a shard; 1000 by default.")
def data(name: str | None, folder: str | None, workers: int | None, **how: Any) -> None:
    """Say what data is there, fetch and check the data NAME (fashion or coco), or write the images
    and captions of FOLDER as shards (shard), which `t2i train --data` reads as a stream.

    Interrupted, the same command goes on. Examples:

    \b
        t2i data coco --split val --fraction 0.1 --size 64
        t2i data shard flickr8k --out shards --size 72
    """
    chosen = {key: value for key, value in how.items() if value not in (None, False)}
    if name is None:
        _say()
        return
    if name not in NAMES:
        raise unknown("data to fetch", name, NAMES)
    if folder is not None and name != "shard":
        raise T2IError(f"`t2i data {name}` takes no folder: its place is under {data_root()}.")
    try:
        if name == "shard":
            _shard(folder, workers, **chosen)
        elif name == "coco":
            _only(name, chosen, ("split", "fraction", "size", "png", "archive", "seed"))
            from t2i_course.data import coco_download
            from t2i_course.data.fetching import Fetching

            fetching = Fetching() if workers is None else Fetching(workers=workers)
            split = chosen.pop("split", "val")
            click.echo(coco_download.download(split, **chosen, how=fetching))
        else:
            if chosen or workers is not None:
                raise T2IError("FashionMNIST comes whole: `t2i data fashion` takes no options.")
            from t2i_course.data import fashion

            click.echo(f"FashionMNIST is whole, in {fashion.download()}.")
    except KeyboardInterrupt:
        click.echo("Stopped. What has come is kept: the same command goes on.", err=True)
        sys.exit(130)


def _say() -> None:
    from t2i_course.data import coco, fashion, photos

    wrong = fashion.problem()
    click.echo(f"Data is looked for in {data_root()}; what is made of it is in {cache_root()}.")
    click.echo(f"fashion   {'whole' if wrong is None else f'{wrong} {fashion.MEND}.'}")
    click.echo(f"coco      {coco.status()}")
    for name in photos.names():
        if name != "coco":
            click.echo(f"{name:<9} a folder of photographs with captions")
    click.echo("sketches  drawn by the package whenever they are asked for")
    click.echo("shapes    drawn too, with captions")


def _shard(
    folder: str | None, workers: int | None, out: Path | None = None, size: int | None = None,
    **how: Any,
) -> None:  # fmt: skip
    if folder is None or out is None:
        raise T2IError("Say which folder and where to: `t2i data shard flickr8k --out shards`.")
    _only("shard", how, ("png", "samples"))
    from t2i_course.data import photos, sharding

    for split in photos.SPLITS:
        chosen, name = photos.listed(folder, split, size or 0)
        shards = sharding.write(
            chosen, out / split, name=name, split=split, size=size, workers=workers, **how
        )
        click.echo(f"{split}: {len(chosen):,} images in {shards:,} shards, in {shown(out / split)}")


def _only(name: str, chosen: dict[str, Any], known: tuple[str, ...]) -> None:
    for option in chosen:
        if option not in known:
            raise T2IError(f"`t2i data {name}` has no --{option}: see `t2i data --help`.")
