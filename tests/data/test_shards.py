"""Shards: tar files that any reader takes, and a stream that knows where it is."""

import io
import json
import os
import signal
import subprocess
import sys
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from photographs import folder_of
from PIL import Image

from t2i_course.contract import RowGenerator, T2IError
from t2i_course.data import photos, sharding, shards
from t2i_course.data.captioned_folder import as_images, captions_of, read
from t2i_course.data.shards import ShardedImages
from t2i_course.training.engine import batch_indices

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return folder_of(tmp_path_factory.mktemp("photos") / "mine", 23)


def written(folder: Path, out: Path, **how) -> Path:
    how = {"size": 16, "samples": 4, "png": True} | how
    sharding.write(read(folder), out, name="mine", split="train", progress=False, **how)
    return out


@pytest.fixture(scope="module")
def whole(folder, tmp_path_factory):
    """23 images in six shards, without loss."""
    return written(folder, tmp_path_factory.mktemp("shards") / "train")


def test_any_tar_reader_finds_each_sample_in_webdatasets_form(folder, whole):
    """Oracle: the library tarfile, and the folder."""
    expected = read(folder)
    number = 0
    for k in range(6):
        with tarfile.open(whole / f"{k:06d}.tar") as tar:
            members = tar.getmembers()
            offsets = json.loads((whole / f"{k:06d}.json").read_text())["offsets"]
            for row, first in enumerate(range(0, len(members), 3)):
                key = f"{number:09d}"
                group = members[first : first + 3]
                assert [one.name for one in group] == [f"{key}.png", f"{key}.json", f"{key}.txt"]
                assert offsets[row] == [n for one in group[:2] for n in (one.offset_data, one.size)]
                image, about, text = (tar.extractfile(one).read() for one in group)
                assert min(Image.open(io.BytesIO(image)).size) == 16
                about = json.loads(about)
                assert tuple(about["captions"]) == expected[number].captions
                assert about["file"] == expected[number].file.name and about["license"] == 4
                assert text.decode() == expected[number].captions[0]
                number += 1
    assert number == 23


def test_a_batch_is_the_folders_own(folder, whole):
    """Oracle: the same images in memory."""
    data, memory = ShardedImages(whole, 16), as_images(read(folder), 16, name="mine", split="train")
    assert len(data) == 23 and list(data.all_captions()) == list(memory.all_captions())
    index = torch.tensor([22, 0, 7, 7, 3, 4])
    got, want = {}, {}
    for set_, found in ((data, got), (memory, want)):
        object.__setattr__(set_, "condition", lambda said, _, found=found: found.update(said=said))
        found["images"], _ = set_.batch(index, RowGenerator(5, rows=6))
    assert torch.equal(got["images"], want["images"]) and got["said"] == want["said"]
    assert (data.name, data.title, data.image_shape) == ("mine", "mine train", (3, 16, 16))


def test_an_epochs_order_is_of_seed_epoch_and_shards_and_reads_from_few_at_a_time(
    whole, monkeypatch
):
    monkeypatch.setattr(shards, "WINDOW", 2)
    data = ShardedImages(whole, 16)
    orders = [data.order(seed, epoch) for seed, epoch in ((0, 0), (0, 1), (1, 0), (0, 0))]
    for order in orders:
        assert sorted(order.tolist()) == list(range(23))
    assert torch.equal(orders[0], orders[3]) and torch.equal(
        orders[0], ShardedImages(whole, 16, workers=7).order(0, 0)
    )
    assert not torch.equal(orders[0], orders[1]) and not torch.equal(orders[0], orders[2])
    files = [data.place(i)[0] for i in orders[0].tolist()]
    sizes = {one["file"]: one["samples"] for one in data.index["shards"]}
    while files:  # two shards are done before the next two begin
        two = list(dict.fromkeys(files))[:2]
        done = sum(sizes[name] for name in two)
        assert set(files[:done]) == set(two) and set(two).isdisjoint(files[done:])
        files = files[done:]
    steps = torch.cat([batch_indices(0, step, 5, 23, data.order) for step in range(9)])
    assert torch.equal(steps[:23], orders[0]) and torch.equal(steps[23:45], orders[1][:22])


def test_resuming_goes_to_the_shard_and_byte_where_the_image_is(whole):
    data = ShardedImages(whole, 16)
    file, byte = data.place(13)
    with tarfile.open(whole / file) as tar:
        assert file == "000003.tar"
        assert tar.getmember("000000013.png").offset_data == byte


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("ahead", [False, True])
def test_neither_threads_nor_reading_ahead_change_a_batch(whole, workers, ahead):
    one, data = ShardedImages(whole, 16, workers=1), ShardedImages(whole, 16, workers=workers)
    for set_ in (one, data):
        object.__setattr__(set_, "condition", lambda said, _: said)
    for step in range(3):
        index = batch_indices(0, step, 8, 23, data.order)
        if ahead:  # in two parts, as micro-batches take them; and some that nobody fetches
            data.ahead(torch.cat([index, torch.tensor([1, 2])]))
        for rows in (slice(0, 5), slice(5, 8)):
            want, got = (
                each.batch(index[rows], RowGenerator(step, rows=range(8)[rows]))
                for each in (one, data)
            )
            assert torch.equal(want[0], got[0]) and want[1] == got[1]
    assert len(data._coming) == (len({1, 2} - set(index.tolist())) if ahead else 0)


def test_writing_goes_on_where_it_was_cut_off_and_ends_with_the_same_bytes(
    folder, whole, tmp_path, monkeypatch
):
    content, calls = sharding._content, []

    def interrupted(*words):
        calls.append(1)
        if len(calls) == 11:
            raise KeyboardInterrupt
        return content(*words)

    out = tmp_path / "train"
    monkeypatch.setattr(sharding, "_content", interrupted)
    with pytest.raises(KeyboardInterrupt):
        written(folder, out, workers=1)
    assert not (out / "index.json").exists()
    with pytest.raises(T2IError, match=r"index\.json is damaged"):
        ShardedImages(out, 16)
    kept = (out / "000001.tar").stat()
    monkeypatch.setattr(sharding, "_content", content)
    written(folder, out)
    assert (out / "000001.tar").stat().st_mtime_ns == kept.st_mtime_ns  # not written again
    for path in sorted(whole.glob("*.tar")):
        assert (out / path.name).read_bytes() == path.read_bytes()
    assert (out / "index.json").read_text() == (whole / "index.json").read_text()
    written(folder, out, samples=10)  # in fewer shards: those that are left over go
    assert sorted(path.name for path in out.glob("*.tar")) == [f"{k:06d}.tar" for k in range(3)]
    assert len(ShardedImages(out, 16)) == 23


def test_files_are_kept_as_they_are_unless_a_size_is_asked_for(folder, tmp_path):
    out = written(folder, tmp_path / "as they are", size=None, png=False, samples=100)
    with tarfile.open(out / "000000.tar") as tar:
        first = tar.extractfile("000000000.png").read()
    assert first == read(folder)[0].file.read_bytes()
    out = written(folder, tmp_path / "jpeg", png=False)
    data, memory = ShardedImages(out, 16), as_images(read(folder), 16, name="x")
    object.__setattr__(data, "condition", lambda said, _: said)
    images, _ = data.batch(torch.arange(23), RowGenerator(rows=23))
    assert 0 < (images - memory.pixels()).abs().mean() < 0.03


def test_what_is_damaged_is_named_and_mended_by_writing_again(folder, whole, tmp_path):
    out = written(folder, tmp_path / "train")
    data = ShardedImages(out, 16)
    with pytest.raises(T2IError, match="no image 23"):
        data.place(23)
    with open(out / "000002.tar", "r+b") as file:  # the first image's bytes are not one any more
        file.seek(data.place(8)[1])
        file.write(b"x" * 30)
    with pytest.raises(T2IError, match=r"000002\.tar is damaged at byte 512, image 8"):
        ShardedImages(out, 16).batch(torch.tensor([8]), RowGenerator(rows=1))
    (out / "000003.json").write_text("{}")
    with pytest.raises(T2IError, match=r"000003\.json is damaged"):
        ShardedImages(out, 16).place(12)
    with open(out / "000004.tar", "r+b") as file:
        file.truncate(100)
    with pytest.raises(T2IError, match=r"000004\.tar has 100 bytes in place of"):
        ShardedImages(out, 16)
    (out / "000004.tar").unlink()
    with pytest.raises(T2IError, match=r"000004\.tar is missing"):
        ShardedImages(out, 16)
    written(folder, out)  # anew: all that was damaged is mended
    for path in sorted(whole.glob("*.tar")):
        assert (out / path.name).read_bytes() == path.read_bytes()
    (out / "index.json").write_text('{"format": 9, "shards": [], "captions": 5, "name": "x"}')
    with pytest.raises(T2IError, match="has format 9"):
        ShardedImages(out, 16)


@pytest.mark.parametrize(("how", "message"), [
    ({"samples": 0}, "at least 1 image"), ({"size": 0}, "at least 1 pixel"),
    ({"size": None}, "PNG is for scaled images"),
])  # fmt: skip
def test_what_cannot_be_written_is_said(folder, tmp_path, how, message):
    with pytest.raises(T2IError, match=message):
        written(folder, tmp_path / "x", **how)


def test_an_unreadable_image_is_named_and_a_blocked_place_too(tmp_path):
    folder = folder_of(tmp_path / "mine", 6)
    (folder / "images/photo 004.png").write_bytes(b"no image")
    with pytest.raises(T2IError, match=r"photo 004\.png cannot be read"):
        written(folder, tmp_path / "out")
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(T2IError, match="cannot be written to"):
        written(folder, tmp_path / "file")


def test_the_card_and_the_fingerprint_are_of_shards_and_size(whole):
    data = ShardedImages(whole, 16, source="there")
    card = data.card()
    assert (card["images"], card["shards"], card["source"]) == (23, 6, "there")
    assert replace(data, workers=5).card() == card
    assert ShardedImages(whole, 12).card()["sha256"] != card["sha256"]


def test_a_folder_of_shards_is_found_by_its_path_with_both_splits(folder, tmp_path, monkeypatch):
    for split in photos.SPLITS:
        chosen, name = photos.listed(str(folder), split)
        sharding.write(chosen, tmp_path / "s" / split, name=name, split=split, progress=False)
    found = [photos.load(str(tmp_path / "s"), split, 16) for split in photos.SPLITS]
    assert [len(one) for one in found] == [19, 4]
    said = [set(one.all_captions()) for one in found]
    assert set(next(iter(captions_of(read(folder))))) <= said[0] | said[1]


@pytest.mark.slow
def test_a_killed_run_goes_on_at_the_same_sample_with_other_threads(whole, tmp_path):
    """SIGKILL in the middle of the second epoch; oracle: the run that nobody killed."""
    from t2i_course.training import checkpoints

    def run(name: str, workers: int, kill: int) -> int:
        words = [str(whole), str(tmp_path / name), str(workers), str(kill)]
        script = HERE.parent / "training" / "stream.py"
        environment = {**os.environ, "PYTHONPATH": str(HERE.parent)}
        return subprocess.run([sys.executable, script, *words], env=environment).returncode

    assert run("unbroken", 1, -1) == 0
    assert run("killed", 3, 7) == -signal.SIGKILL
    assert checkpoints.latest(tmp_path / "killed").name == "step-000005"
    assert run("killed", 2, -1) == 0
    weights = [
        checkpoints.read_tensors(checkpoints.find(tmp_path / name), "weights")
        for name in ("unbroken", "killed")
    ]
    for key, value in weights[0].items():
        assert torch.equal(value, weights[1][key]), key
