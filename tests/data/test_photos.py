"""Photographs by name: splits that hold, and a prepared form that is what was in the files."""

import json
import shutil

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from photographs import folder_of

from t2i_course.contract import RowGenerator, T2IError
from t2i_course.data import captioned_folder, photos
from t2i_course.data.captioned_folder import as_images, read
from t2i_course.places import data_root

FLICKR = data_root() / "flickr8k"


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A folder of data with one set in it, "mine"."""
    monkeypatch.setenv("T2I_DATA", str(tmp_path / "data"))
    folder_of(tmp_path / "data" / "mine", 25)
    return tmp_path / "data"


def names(data):
    return {one.captions for one in data} if isinstance(data, list) else set(data.captions)


@settings(deadline=None)
@given(st.sets(st.text(min_size=1), min_size=2, max_size=60), st.randoms())
def test_who_is_held_out_depends_on_no_order_and_hardly_on_the_others(stems, random):
    stems = sorted(stems)
    held = dict(zip(stems, photos.held_out(stems, 5), strict=True))
    assert sum(held.values()) == max(1, min(5, len(stems) // 5))
    shuffled = random.sample(stems, len(stems))
    assert dict(zip(shuffled, photos.held_out(shuffled, 5), strict=True)) == held
    if len(stems) > 30:  # five of them either way: one more takes at most one's place
        more = dict(
            zip([*stems, "one more"], photos.held_out([*stems, "one more"], 5), strict=True)
        )
        assert sum(held[one] and not more[one] for one in stems) <= 1


def test_a_folders_splits_are_apart_and_whole_and_their_pixels_those_of_the_files(root):
    train, test = (photos.load("mine", split, 16) for split in photos.SPLITS)
    assert (len(train), len(test)) == (20, 5) and names(train).isdisjoint(names(test))
    everything = read(root / "mine")
    assert names(train) | names(test) == {one.captions for one in everything}
    for data in (train, test):
        plain = as_images([p for p in everything if p.captions in names(data)], 16, name="x")
        assert torch.equal(data.images, plain.images) and data.captions == plain.captions
    assert (train.name, train.split, train.source) == ("mine", "train", "mine")
    assert photos.load(str(root / "mine"), "test", 16).source == str(root / "mine")


def test_official_splits_stand(root):
    folder_of(root / "mine", 25)
    whole = root / "mine/annotations/captions_train.json"
    content = json.loads(whole.read_text())
    for name, kept in (("captions_train.json", range(3, 25)), ("captions_val.json", range(3))):
        part = {
            "images": [one for one in content["images"] if one["id"] in kept],
            "annotations": [one for one in content["annotations"] if one["image_id"] in kept],
        }
        (root / "mine/annotations" / name).write_text(json.dumps(part))
    assert len(photos.load("mine", "train", 8)) == 22 and len(photos.load("mine", "test", 8)) == 3


def test_what_is_prepared_is_mapped_and_not_decoded_again_until_a_file_changes(root, monkeypatch):
    first = photos.load("mine", "train", 16)
    decode = captioned_folder.picture
    monkeypatch.setattr(captioned_folder, "picture", lambda *_: 1 / 0)
    again = photos.load("mine", "train", 16)
    assert torch.equal(again.images, first.images) and again.sha256 == first.sha256
    assert again.card() == first.card()
    monkeypatch.setattr(captioned_folder, "picture", decode)
    changed = read(root / "mine")[0].file
    shutil.copy(read(root / "mine")[1].file, changed)
    both = [photos.load("mine", split, 16) for split in photos.SPLITS]
    assert both[0].sha256 != first.sha256 or both[1].sha256 != first.sha256
    images, _ = first[:4], again.images[0]
    assert images.sha256 != first[1:5].sha256  # a part has a fingerprint of its own


def test_a_preparation_that_is_cut_off_leaves_nothing_that_counts(root, monkeypatch, tmp_path):
    decode, calls = captioned_folder.picture, []

    def interrupted(*words):
        calls.append(1)
        if len(calls) > 5:
            raise KeyboardInterrupt
        return decode(*words)

    monkeypatch.setattr(captioned_folder, "picture", interrupted)
    with pytest.raises(KeyboardInterrupt):
        photos.load("mine", "train", 16)
    monkeypatch.setattr(captioned_folder, "picture", decode)
    left = [path.suffix for path in (tmp_path / "cache/prepared").iterdir()]
    assert set(left) <= {".lock"}
    plain = as_images(photos.listed("mine", "train")[0], 16, name="x")
    assert torch.equal(photos.load("mine", "train", 16).images, plain.images)


def test_the_fingerprint_tells_captions_and_sizes_apart(root):
    first = photos.load("mine", "train", 16).sha256
    assert photos.load("mine", "train", 8).sha256 != first
    file = root / "mine/annotations/captions_train.json"
    file.write_text(file.read_text().replace("circle", "ring"))
    assert photos.load("mine", "train", 16).sha256 != first


def test_coco_by_fraction_is_a_part_of_its_training_images(root):
    for name in ("train", "val"):
        folder_of(root / "coco", 20, name=f"captions_{name}2017.json")
        (root / "coco/images").rename(root / f"coco/{name}2017")
    whole, half = (photos.load(source, "train", 8) for source in ("coco", "coco:0.5"))
    assert len(whole) == 20 and len(half) == 10 and names(half) < names(whole)
    assert len(photos.load("coco:0.5", "test", 8)) == 20 and half.source == "coco:0.5"
    for source in ("coco:x", "coco:0", "coco:1.5"):
        with pytest.raises(T2IError, match="fraction"):
            photos.load(source, "train", 8)


def test_what_is_not_there_is_said_in_a_sentence(root, tmp_path):
    with pytest.raises(T2IError, match="which has coco, mine"):
        photos.load("yours", "train")
    with pytest.raises(T2IError, match="split"):
        photos.load("mine", "validation")
    (root / "empty").mkdir()
    with pytest.raises(T2IError, match="has no captions"):
        photos.load("empty", "train")
    assert not photos.known("yours") and photos.known("mine") and photos.known("coco:0.1")
    with pytest.raises(T2IError, match="T2I_CACHE"):
        (tmp_path / "cache").write_text("in the way")
        photos.load("mine", "train")


@pytest.mark.skipif(not FLICKR.is_dir(), reason="Flickr8k is not here (see T2I_DATA)")
def test_of_flickr8k_a_thousand_are_held_out_and_each_has_five_captions():
    train, test = (photos.listed("flickr8k", split)[0] for split in photos.SPLITS)
    assert (len(train), len(test)) == (6075, 1000)
    assert {len(one.captions) for one in train} == {5}
    data = photos.prepared(test[:50], 64, name="x", split="test", cache=photos.cache_root())
    images, _ = data.pixels(slice(0, 4)), RowGenerator(rows=1)
    assert images.shape == (4, 3, 64, 64) and images.std() > 0.15
