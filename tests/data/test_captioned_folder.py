"""Folders of images with captions: what is read, and what is refused with which word."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from t2i_course.contract import T2IError
from t2i_course.data.captioned_folder import (
    Photo,
    as_images,
    decoded,
    listed,
    load,
    picture,
    read,
)
from t2i_course.places import data_root


def slope(width: int = 30, height: int = 20) -> Image.Image:
    """Red grows to the right, green downwards."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, :, 0] = np.linspace(0, 255, width)
    pixels[:, :, 1] = np.linspace(0, 255, height)[:, None]
    return Image.fromarray(pixels)


@pytest.fixture
def folder(tmp_path):
    for name in ("a.png", "b.jpg", "c.png"):
        slope().save(tmp_path / name)
    return tmp_path


CSV = 'file,caption\na.png,One.\nb.jpg,Two.\na.png,Three.\nc.png,"Four, and a comma"\n'


def coco_json(**changes) -> str:
    names = {1: "a.png", 2: "b.jpg", 3: "c.png"}
    said = [(1, "One."), (2, "Two."), (1, "Three."), (3, "Four, and a comma")]
    content = {
        "images": [{"id": k, "file_name": n, "license": 4} for k, n in names.items()],
        "annotations": [{"image_id": k, "caption": c} for k, c in said],
    }
    return json.dumps(content | changes)


@pytest.mark.parametrize(
    "write",
    [
        lambda f: (f / "captions.csv").write_text(CSV),
        lambda f: (f / "x.csv").write_text(CSV.replace("file,caption", "Image_Name , Text")),
        lambda f: (f / "x.csv").write_bytes(b"\xef\xbb\xbf" + CSV.replace("\n", "\r\n").encode()),
        lambda f: (f / "captions.txt").write_text(
            "image|no|comment\na.png|0|One.\nb.jpg|0|Two.\na.png|1|Three.\n"
            "c.png|0|Four, and a comma\n"
        ),
        lambda f: (f / "x.csv").write_text(
            "caption;n;path\nOne.;1;a.png\nTwo.;2;b.jpg\n\nThree.;3;a.png\n"
            "Four, and a comma;4;c.png\n"
        ),
        lambda f: (f / "captions.json").write_text(coco_json()),
    ],
    ids=["csv", "other names", "from a spreadsheet", "bars", "semicolons", "json"],
)  # fmt: skip
def test_every_form_gives_the_same_captions_in_the_files_order(folder, write):
    write(folder)
    photos = read(folder)
    assert [(photo.file.name, photo.captions) for photo in photos] == [
        ("a.png", ("One.", "Three.")), ("b.jpg", ("Two.",)), ("c.png", ("Four, and a comma",))
    ]  # fmt: skip
    data = load(folder, 10)
    assert data.name == folder.name and data.images.shape == (3, 3, 10, 10)
    assert data.captions == [("One.", "Three."), ("Two.", "Two."), ("Four, and a comma",) * 2]
    assert load(folder, 10, K=1).captions[0] == ("One.",)
    assert load(folder, 10, K=3, limit=1).captions == [("One.", "Three.", "One.")]


def test_images_are_found_beside_the_captions_or_below(folder):
    (folder / "annotations").mkdir()
    (folder / "annotations/captions_train.json").write_text(coco_json())
    assert read(folder)[0].file == folder / "./a.png"
    for below in ("images", "train"):
        (folder / below).mkdir()
        for name in ("a.png", "b.jpg", "c.png"):
            slope().save(folder / below / name)
        assert read(folder)[0].file == folder / below / "a.png"
    assert read(folder)[0].license == 4


@settings(max_examples=15, deadline=None)
@given(
    st.lists(
        st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1).filter(str.strip),
        min_size=1, max_size=4,
    )
)  # fmt: skip
def test_captions_are_kept_as_they_are_written(tmp_path_factory, captions):
    """Oracle: what was put into the file, in both forms."""
    file = tmp_path_factory.mktemp("f") / "captions.csv"
    quoted = ['"' + text.replace('"', '""') + '"' for text in captions]
    file.write_text("file,caption\n" + "".join(f"a.png,{q}\n" for q in quoted), encoding="utf-8")
    assert listed(file)[0].captions == tuple(captions)
    file = file.with_suffix(".json")
    said = [{"image_id": 1, "caption": text} for text in captions]
    file.write_text(json.dumps({"images": [{"id": 1, "file_name": "a"}], "annotations": said}))
    assert listed(file)[0].captions == tuple(captions)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("name,words\na.png,One.\n", "no column of the file: its columns are name, words"),
        ("file,words\na.png,One.\n", "no column of the caption: its columns are file, words"),
        ("file,caption,caption\na.png,x,y\n", "column 'caption' twice"),
        ("file,caption\n", "no row under its header"),
        ("", "no row under its header"),
        ("file,caption\na.png,One.\nb.jpg,  \n", "Row 3 .*an empty caption"),
        ("file,caption\na.png,One.\n,Two.\n", "Row 3 .*names no file"),
        ("file,caption\na.png,One, two.\n", "Row 2 .*3 fields in place of 2.*quotation"),
        ("file,caption\na.png,\"One\n", "cannot be read as a csv"),
        ("file,caption\na.png,One.\n./a.png,Two.\n", "the file 'a.png' twice"),
        ("file,caption\n../a.png,One.\n", "names '../a.png', which is no file in its folder"),
        ("file,caption\n/etc/a.png,One.\n", "no file in its folder"),
        ("file,caption\na.png,One.\nd.png,Two.\ne.png,x\n", "2 of the 3 images .*such as d.png"),
        ("file,caption\na.png,caf\xe9\n".encode("latin-1"), "Line 2 .*is not UTF-8"),
    ],
)  # fmt: skip
def test_a_csv_that_is_wrong_is_an_error_that_says_where(folder, content, message):
    content = content if isinstance(content, bytes) else content.encode()
    (folder / "captions.csv").write_bytes(content)
    with pytest.raises(T2IError, match=message):
        load(folder, 8)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        ("[]", "not in COCO's form"),
        (json.dumps({"images": []}), "not in COCO's form.*annotations"),
        (coco_json(images=[]), "captions of images that it does not list, such as id 1"),
        (json.dumps({"images": [], "annotations": []}), "lists no images"),
        (coco_json(annotations=[{"image_id": 1, "caption": "x"}]), "no caption of b.jpg"),
        (coco_json(images=[{"id": 1, "file_name": "a.png"}] * 2), "image id 1 twice"),
        (coco_json(images=[{"id": k, "file_name": "a.png"} for k in (1, 2, 3)]),
         "file 'a.png' twice"),
        (coco_json(annotations=[{"image_id": k, "caption": " "} for k in (1, 2, 3)]),
         "an empty caption of a.png"),
        (coco_json().replace("c.png", "d.png"), "1 of the 3 images .*such as d.png"),
    ],
)  # fmt: skip
def test_a_json_that_is_wrong_is_an_error_that_says_where(folder, content, message):
    (folder / "captions.json").write_text(content)
    with pytest.raises(T2IError, match=message):
        load(folder, 8)


def test_a_folder_without_captions_or_with_too_many_is_an_error(folder):
    with pytest.raises(T2IError, match="has no captions: put captions.csv there"):
        read(folder)
    (folder / "captions.csv").write_text(CSV)
    (folder / "other.csv").write_text("x")
    with pytest.raises(T2IError, match="several captions' files: say which, of .*other.csv"):
        read(folder)
    assert len(read(folder, "captions.csv")) == 3
    with pytest.raises(T2IError, match="cannot be read"):
        read(folder, "gone.csv")
    with pytest.raises(T2IError, match="is not a folder"):
        read(folder / "a.png")


def test_images_that_cannot_be_read_are_counted_and_named(folder):
    (folder / "captions.csv").write_text(CSV)
    (folder / "b.jpg").write_bytes((folder / "b.jpg").read_bytes()[:-50])
    (folder / "c.png").write_text("no image")
    with pytest.raises(T2IError, match=r"2 of 3 images cannot be read, such as .*b.jpg \(.*trunc"):
        load(folder, 8)
    changes = {"size": 0}, {"size": 10**6}, {"K": 0}, {"limit": 0}
    messages = "1 pixel", "GB are free", "at least 1", "above 0"
    for change, message in zip(changes, messages, strict=True):
        with pytest.raises(T2IError, match=message):
            load(folder, **{"size": 8, **change})
    with pytest.raises(T2IError, match="no images in x"):
        as_images([], 8, name="x")


def test_a_picture_is_scaled_by_its_shorter_side_and_cut_in_the_middle(tmp_path):
    """Oracle: Pillow, step by step."""
    slope(90, 40).save(tmp_path / "x.png")
    theirs = slope(90, 40).resize((45, 20), Image.Resampling.BICUBIC).crop((12, 0, 32, 20))
    ours = picture(tmp_path / "x.png", 20)
    assert torch.equal(ours.permute(1, 2, 0), torch.from_numpy(np.array(theirs)))


def test_a_large_jpeg_decoded_small_is_the_same_picture(tmp_path):
    """Oracle: decoded whole, scaled by Pillow; the mean difference within a level of 255."""
    noise = np.random.default_rng(0).integers(0, 60, (480, 640, 3))
    whole = Image.fromarray((np.array(slope(640, 480), int) * 3 // 4 + noise).astype(np.uint8))
    whole.save(tmp_path / "x.jpg", quality=95)
    loaded = Image.open(tmp_path / "x.jpg")
    theirs = loaded.resize((85, 64), Image.Resampling.BICUBIC)
    ours = picture(tmp_path / "x.jpg", 64).permute(1, 2, 0).numpy().astype(int)
    cut = np.array(theirs.crop((10, 0, 74, 64)), int)
    assert np.abs(ours - cut).mean() < 1.0
    small = decoded(tmp_path / "x.jpg", at_least=128)
    assert 128 <= min(small.size) < 480


def test_photos_are_upright_rgb_and_on_white(tmp_path):
    """Oracle: the pixels that a viewer shows."""
    turned = Image.Exif()
    turned[0x0112] = 6  # taken with the camera on its side
    slope(30, 20).save(tmp_path / "turned.png", exif=turned)
    assert np.array_equal(np.array(decoded(tmp_path / "turned.png")),
                          np.rot90(np.array(slope(30, 20)), -1))  # fmt: skip
    clear = slope(4, 4).convert("RGBA")
    clear.putalpha(0)
    clear.save(tmp_path / "clear.png")
    assert (np.array(decoded(tmp_path / "clear.png")) == 255).all()
    for mode in ("L", "1", "P", "CMYK", "LA"):
        file = tmp_path / f"{mode}.{'tif' if mode == 'CMYK' else 'png'}"
        slope().convert(mode).save(file)
        assert picture(file, 8).shape == (3, 8, 8)
    Image.fromarray(np.full((9, 9), 40_000, np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(ValueError, match="more than 8 bits"):
        decoded(tmp_path / "deep.png")


def test_the_threads_that_read_change_nothing(folder):
    photos = [Photo(folder / name, ("x",)) for name in ("a.png", "b.jpg", "c.png")] * 5
    one, four = (as_images(photos, 9, name="x", workers=n).images for n in (1, 4))
    assert torch.equal(one, four)


FLICKR = data_root() / "flickr8k"


@pytest.mark.skipif(not FLICKR.is_dir(), reason="Flickr8k is not here (see T2I_DATA)")
def test_the_real_folder_is_read_by_the_same_reader():
    """Oracle: its json, entry by entry."""
    photos = read(FLICKR)
    official = json.loads((FLICKR / "annotations/captions_train.json").read_text())
    assert [p.file.name for p in photos] == [one["file_name"] for one in official["images"]]
    assert sum(len(p.captions) for p in photos) == len(official["annotations"])
    data = load(FLICKR, 64, limit=20)
    assert data.images.shape == (20, 3, 64, 64) and data.images.float().std() > 40
    assert (
        list(data.captions[0])
        == [a["caption"] for a in official["annotations"] if a["image_id"] == photos[0].id][:5]
    )
