"""FashionMNIST and its stand-in: what is read, what is refused, and the mend for each."""

import gzip
import hashlib
import http.server
import os
import struct
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.datasets import FashionMNIST

from t2i_course.contract import RowGenerator, T2IError
from t2i_course.data import fashion
from t2i_course.data.labelled import LabelledImages
from t2i_course.places import data_root

REAL = fashion.problem() is None
needs_real = pytest.mark.skipif(not REAL, reason="FashionMNIST is not here (set T2I_DATA)")


@needs_real
def test_the_real_set_is_read_whole_as_one_tensor():
    """Oracle: torchvision, image by image."""
    for split, count in (("train", 60_000), ("test", 10_000)):
        data = fashion.load(split, "fashion")
        assert data.images.shape == (count, 1, 28, 28) and not data.stand_in
        theirs = FashionMNIST(str(data_root()), train=split == "train")
        assert tuple(theirs.classes) == data.classes
        for i in (0, 17, count - 1):
            picture, label = theirs[i]
            assert np.array_equal(data.images[i, 0], np.asarray(picture))
            assert data.labels[i] == label
        assert data.labels.bincount().tolist() == [count // 10] * 10
    valid = fashion.load("valid", "fashion")
    assert torch.equal(valid.images, fashion.load("train", "fashion").images[-5000:])


def test_the_stand_in_has_the_same_interface_and_says_what_it_is(monkeypatch):
    monkeypatch.setenv("T2I_STAND_IN", "1")
    data = fashion.load("train", limit=40)
    assert (data.images.shape, data.classes) == ((40, 1, 28, 28), fashion.CLASSES)
    assert data.stand_in and "stand-in" in data.title and data.card()["stand_in"] is True
    test = fashion.load("test", "sketches", limit=40)
    assert not torch.equal(test.images, data.images)
    assert fashion.load("test", "sketches", limit=20).images.equal(test.images[:20])


def test_a_batch_is_pixels_in_range_with_one_hot_conditions():
    data = fashion.load("train", "sketches", limit=30)
    index = torch.tensor([3, 3, 29])
    images, condition = data.batch(index, RowGenerator(rows=3))
    assert images.dtype == torch.float32 and images.shape == (3, 1, 28, 28)
    assert torch.equal((images * 255).round().byte(), data.images[index])
    assert condition.vector.argmax(1).equal(data.labels[index])
    assert condition.vector.sum(1).eq(1).all() and condition.present.all()


def test_each_class_finds_the_first_images_of_every_class_or_says_there_are_too_few():
    data = fashion.load("train", "sketches", limit=200)
    found = data.each_class(3)
    assert found.shape == (10, 3)
    for k, index in enumerate(found):
        assert index.tolist() == [i for i, label in enumerate(data.labels) if label == k][:3]
    with pytest.raises(T2IError, match="has only 20 images of a class, not 21"):
        data.each_class(21)


def test_auto_takes_the_stand_in_only_where_it_was_asked_for(monkeypatch, tmp_path):
    monkeypatch.setenv("T2I_DATA", str(tmp_path))
    with pytest.raises(T2IError) as error:
        fashion.load("train")
    for part in (str(tmp_path), "t2i data fashion", "T2I_STAND_IN=1"):
        assert part in str(error.value)
    monkeypatch.setenv("T2I_PROFILE", "smoke")
    assert fashion.load("train", limit=10).stand_in
    with pytest.raises(T2IError, match="t2i data fashion"):
        fashion.load("train", "fashion")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(("trian",), "Did you mean 'train'"), (("test", "fashon"), "Did you mean 'fashion'"),
     (("test", "sketches", -1), "limit must be above 0")],
)  # fmt: skip
def test_a_name_that_does_not_exist_is_an_error(arguments, message):
    split, source, limit = (*arguments, None, None)[:3] if len(arguments) < 3 else arguments
    with pytest.raises(T2IError, match=message):
        fashion.load(split, source or "auto", limit=limit)


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """A root with links to the real files, to be spoilt one at a time."""
    if not REAL:
        pytest.skip("FashionMNIST is not here (set T2I_DATA)")
    raw = tmp_path / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for name in fashion.FILES:
        (raw / name).symlink_to((data_root() / "FashionMNIST" / "raw" / name).resolve())
    monkeypatch.setenv("T2I_DATA", str(tmp_path))
    return raw


def spoil(raw: Path, name: str, change) -> None:
    content = (raw / name).read_bytes()
    (raw / name).unlink()
    changed = change(content)
    if changed is not None:
        (raw / name).write_bytes(changed)


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        (lambda content: content[:-100], "cut short: 9,908 bytes in place of 10,008"),
        (lambda content: content + b"x", "too long"),
        (lambda content: content[:5000] + b"\x01\x02\x03" + content[5003:], "damaged"),
        (lambda content: b"\0" * len(content), "damaged"),
        (lambda content: None, "is not there"),
    ],
)
def test_a_spoilt_file_is_named_with_what_is_wrong_and_the_mend(copied, change, wrong):
    name = "t10k-labels-idx1-ubyte"
    assert fashion.problem() is None
    spoil(copied, name, change)
    with pytest.raises(T2IError) as error:
        fashion.load("test", "fashion")
    for part in (name, wrong, "t2i data fashion"):
        assert part in str(error.value)


class Mirror(http.server.BaseHTTPRequestHandler):
    """Serves made-up FashionMNIST archives and misbehaves as `trouble` says."""

    files: dict[str, bytes] = {}  # noqa: RUF012
    trouble = ""
    asked: list[str] = []  # noqa: RUF012

    def do_GET(self):
        name = self.path.rsplit("/", 1)[-1]
        Mirror.asked.append(name)
        content = Mirror.files[name]
        if Mirror.trouble == "404":
            self.send_error(404)
            return
        if Mirror.trouble == "wrong bytes":
            content = bytes(reversed(content))
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if Mirror.trouble == "cut short":
            content = content[: len(content) // 2]
        self.wfile.write(content)

    def log_message(self, *_):
        pass


@pytest.fixture
def mirror(monkeypatch, tmp_path):
    """A local server in the place of FashionMNIST's, with small files in the same form."""
    images = struct.pack(">iiii", 2051, 2, 28, 28) + bytes(2 * 28 * 28)
    labels = struct.pack(">ii", 2049, 2) + bytes([3, 4])
    contents = {name: images if "images" in name else labels for name in fashion.FILES}
    Mirror.files = {f"{name}.gz": gzip.compress(data, mtime=0) for name, data in contents.items()}
    Mirror.trouble, Mirror.asked = "", []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Mirror)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sizes = {n: (len(d), hashlib.sha256(d).hexdigest()) for n, d in contents.items()}
    monkeypatch.setattr(fashion, "FILES", sizes)
    monkeypatch.setattr(FashionMNIST, "mirrors", [f"http://127.0.0.1:{server.server_port}/"])
    sums = [(name, hashlib.md5(data).hexdigest()) for name, data in Mirror.files.items()]
    monkeypatch.setattr(FashionMNIST, "resources", sums)
    yield tmp_path / "data"
    server.shutdown()


def test_download_puts_whole_files_in_place_and_does_not_ask_twice(mirror):
    fashion.download(mirror)
    raw = mirror / "FashionMNIST" / "raw"
    assert sorted(path.name for path in raw.iterdir()) == sorted(fashion.FILES)
    assert os.listdir(mirror) == ["FashionMNIST"]
    asked = len(Mirror.asked)
    assert asked >= 4
    fashion.download(mirror)
    assert len(Mirror.asked) == asked


def test_download_mends_a_damaged_copy(mirror):
    fashion.download(mirror)
    path = mirror / "FashionMNIST" / "raw" / next(iter(fashion.FILES))
    path.write_bytes(b"half")
    fashion.download(mirror)
    assert fashion.problem(mirror) is None


@pytest.mark.parametrize("trouble", ["404", "wrong bytes", "cut short"])
def test_a_server_in_trouble_is_one_sentence_and_leaves_nothing_half_written(mirror, trouble):
    Mirror.trouble = trouble
    with pytest.raises(T2IError, match="could not be downloaded.*T2I_STAND_IN=1"):
        fashion.download(mirror)
    assert list(mirror.iterdir()) == []
    Mirror.trouble = ""
    fashion.download(mirror)
    assert fashion.problem(mirror) is None


def test_a_folder_that_cannot_be_made_is_an_error(mirror, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(T2IError, match="could not be downloaded"):
        fashion.download(tmp_path / "file" / "data")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": torch.zeros(3, 1, 2, 2)}, "must be uint8"),
        ({"labels": torch.zeros(4, dtype=torch.int64)}, "3 images and labels of shape"),
        ({"vectors": torch.eye(3)}, "2 classes and 3 condition vectors"),
    ],
)
def test_labelled_images_that_do_not_fit_are_an_error(change, message):
    parts = {
        "name": "x", "split": "train", "images": torch.zeros(3, 1, 2, 2, dtype=torch.uint8),
        "labels": torch.zeros(3, dtype=torch.int64), "classes": ("a", "b"), "vectors": torch.eye(2),
    }  # fmt: skip
    with pytest.raises(T2IError, match=message):
        LabelledImages(**{**parts, **change})
