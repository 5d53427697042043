"""The stand-in for photographs: drawn, in COCO's form, and true to its captions."""

import json

import pytest

from t2i_course.contract import T2IError
from t2i_course.data import coco, photos, stand_in
from t2i_course.data.claims import verdict
from t2i_course.data.parsing import parse
from t2i_course.data.reader import read
from t2i_course.data.shapes import scene


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    stand_in.write(root / "stand-in", train=12, val=7, side=32)
    return root


def test_every_caption_is_true_of_its_picture_as_it_is_loaded(root):
    """Oracle: the exact reader of drawings, on what comes out of the photographs' own loader."""
    for split, count in (("train", 12), ("test", 7)):
        data = photos.load(str(root / "stand-in"), split, 32, cache=root / "cache")
        assert len(data) == count and data.title == f"stand-in {split}"
        for image, captions in zip(data.images.numpy(), data.captions, strict=True):
            assert len(captions) == 5
            assert all(verdict(parse(text), read(image)).all for text in captions)


def test_the_two_splits_show_different_scenes(root):
    assert [scene(k) for k in range(7)] != [scene(k, split="test") for k in range(7)]
    texts = [
        {text for photo in photos.listed(str(root / "stand-in"), split)[0]
         for text in photo.captions[:1]}
        for split in photos.SPLITS
    ]  # fmt: skip
    assert len(texts[0] & texts[1]) <= 1


def test_it_is_read_as_coco_is(root):
    """Oracle: COCO's own loader, given the folder under COCO's name."""
    stand_in.write(root / "coco", train=3, val=2, side=64)
    found = coco.photos("val", root=root)
    assert len(found) == 2 and found[0].width == 80 and found[0].height == 64
    assert {photo.license for photo in coco.photos("train", root=root)} & set(coco.SHOWABLE)
    assert all(photo.url.startswith("stand-in:") for photo in found)


def test_it_is_the_same_bytes_each_time_and_prepared_once(root, tmp_path):
    again = stand_in.write(tmp_path / "stand-in", train=12, val=7, side=32)
    files = sorted(path.relative_to(again) for path in again.rglob("*.*"))
    assert len(files) == 12 + 7 + 2
    for file in files:
        assert (again / file).read_bytes() == (root / "stand-in" / file).read_bytes()
    for folder in (root / "stand-in", again):
        photos.load(str(folder), "train", 32, cache=tmp_path / "cache")
    assert len(list((tmp_path / "cache").glob("*.npy"))) == 1


def test_the_first_set_that_is_there_is_taken_and_else_the_stand_in(root, monkeypatch, tmp_path):
    monkeypatch.setenv("T2I_DATA", str(tmp_path))
    made = stand_in.source("coco", "flickr8k", train=2, val=2, side=32)
    assert photos.load(made, "test", 32).title == "stand-in test"
    assert stand_in.source(train=2, val=2, side=32) == made  # made once
    (tmp_path / "coco").mkdir()
    (tmp_path / "flickr8k").mkdir()
    (tmp_path / "flickr8k" / "captions.csv").write_text("file,caption\na.png,a dog\n")
    assert stand_in.source("coco", "flickr8k") == "flickr8k"


def test_it_says_that_it_is_drawn_and_refuses_what_cannot_be(root, tmp_path):
    content = json.loads((root / "stand-in" / "annotations" / "captions_val2017.json").read_text())
    assert "no photographs" in content["info"]["description"]
    with pytest.raises(T2IError, match="32 or 64"):
        stand_in.write(tmp_path, side=48)
    with pytest.raises(T2IError, match="needs a picture"):
        stand_in.write(tmp_path, train=0)
