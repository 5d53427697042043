"""COCO fetched from a server that misbehaves, and read again; captioned folders are beside it."""

import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from misbehaving import COUNT, SIDES, Server, annotations, jpeg, name, zipped
from PIL import Image

from t2i_course import cli
from t2i_course.contract import T2IError
from t2i_course.data import coco
from t2i_course.data.captioned_folder import Photo
from t2i_course.data.coco_download import ANNOTATIONS, download
from t2i_course.data.fetching import Fetcher, FetchError, Fetching, _retry_after
from t2i_course.places import data_root

QUICK = Fetching(workers=4, attempts=3, timeout=20, backoff=0.02, patience=3, give_up=6)
IMPATIENT = replace(QUICK, timeout=0.4, attempts=4)  # where the server stalls
STALLS = ("stall", "drip")
NAMES = [name(k) for k in range(COUNT)]
ZIP = f"/annotations/{ANNOTATIONS}"


def path(k: int) -> str:
    return f"/val2017/{name(k)}"


@pytest.fixture
def server():
    said = json.dumps(annotations()).encode()
    files = {path(k): jpeg(k) for k in range(COUNT)}
    files[ZIP] = zipped({f"annotations/captions_{one}2017.json": said for one in ("train", "val")})
    files["/zips/val2017.zip"] = zipped({path(k)[1:]: jpeg(k) for k in range(COUNT)})
    one = Server(files)
    yield one
    one.stop()


@pytest.fixture
def fetch(server, tmp_path):
    def call(fraction=1.0, how=QUICK, **changes):
        return download(
            "val", fraction, root=tmp_path, url=server.url, how=how, progress=False, **changes
        )

    return call


def kept(folder) -> dict[str, bytes]:
    """What is under a final name; what else there may be is the lock and the list."""
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.suffix in (".jpg", ".png")}


def listing(folder) -> dict[str, str]:
    with open(folder / "missing.csv", encoding="utf-8", newline="") as file:
        return {row["file"]: row["reason"] for row in csv.DictReader(file)}


def test_a_fraction_is_fetched_byte_for_byte_and_never_twice(server, fetch, tmp_path):
    result = fetch(0.25)
    wanted = [photo.file.name for photo in coco.photos("val", fraction=0.25, root=tmp_path)]
    assert len(wanted) == 3 and result.broken == {} and result.wanted == 3
    assert kept(result.folder) == {one: server.files[f"/val2017/{one}"] for one in wanted}
    assert sorted(os.listdir(result.folder)) == sorted(wanted)
    assert sorted(os.listdir(tmp_path / "coco/annotations")) == [
        "captions_train2017.json", "captions_val2017.json"
    ]  # fmt: skip
    assert fetch(0.5).there == 3 and fetch().there == 6
    assert max(server.asked.values()) == 1 and len(kept(result.folder)) == COUNT


@given(
    st.lists(st.integers(1, 10**9), min_size=1, max_size=40, unique=True),
    st.floats(0.01, 1), st.floats(0.01, 1), st.integers(0, 5),
)  # fmt: skip
def test_a_smaller_fraction_is_part_of_a_larger_one(ids, one, other, seed):
    photos = [Photo(None, ("a",), id=each) for each in ids]
    small, large = (coco.subset(photos, f, seed) for f in sorted((one, other)))
    assert {photo.id for photo in small} <= {photo.id for photo in large}
    assert len(large) == max(1, round(max(one, other) * len(ids)))
    assert [photo.id for photo in large] == [each for each in ids if each in {p.id for p in large}]


def test_another_seed_chooses_others():
    photos = [Photo(None, ("a",), id=k) for k in range(1000)]
    one, other = ({p.id for p in coco.subset(photos, 0.1, seed)} for seed in (0, 1))
    assert 0 < len(one & other) < 30  # 10 expected by chance


@pytest.mark.parametrize(
    "trouble", ["drop", "stall", "drip", "500", "503", "429", "short", "unsaid", "wrong", "page",
                "other"],
)  # fmt: skip
def test_what_goes_wrong_once_is_tried_again(server, fetch, trouble):
    """Oracle: the server's files, each asked for twice where there was trouble."""
    for k in range(0, 8, 2):
        server.trouble[path(k)] = [trouble, ""]
    stalls = trouble in STALLS
    result = fetch(how=IMPATIENT if stalls else QUICK)
    assert result.broken == {}
    assert kept(result.folder) == {name(k): jpeg(k) for k in range(COUNT)}
    asked = [server.asked[path(k)] for k in range(8)]
    assert asked == [2, 1] * 4 or (stalls and min(asked[::2]) >= 2)  # a busy machine stalls too
    assert not (result.folder / "missing.csv").exists()


@pytest.mark.parametrize(
    ("trouble", "attempts", "reason"),
    [
        ("404", 1, "the server answered 404 Not Found"), ("403", 1, "403 Forbidden"),
        ("500", 3, "500"), ("drop", 3, "closed connection"), ("stall", 4, "timed out"),
        ("drip", 4, "stalled|timed out"), ("short", 3, "cut short"), ("unsaid", 3, "(?i)truncated"),
        ("wrong", 3, "no image"), ("page", 3, "no image"), ("other", 3, "16x16 pixels in place of"),
    ],
)  # fmt: skip
def test_what_stays_broken_is_skipped_listed_and_tried_again_next_time(
    server, fetch, trouble, attempts, reason
):
    server.trouble[path(3)] = [trouble]
    result = fetch(how=IMPATIENT if trouble in STALLS else QUICK)
    assert sorted(kept(result.folder)) == NAMES[:3] + NAMES[4:]
    assert server.asked[path(3)] == attempts
    assert list(result.broken) == [name(3)] and re.search(reason, result.broken[name(3)])
    assert listing(result.folder) == result.broken and "1 could not be had" in str(result)
    assert sorted(os.listdir(result.folder)) == sorted([*kept(result.folder), "missing.csv"])
    server.trouble[path(3)] = [""]
    assert fetch().broken == {} and sorted(kept(result.folder)) == NAMES
    assert not (result.folder / "missing.csv").exists()


def test_what_is_listed_is_left_out_and_what_is_only_absent_is_an_error(server, fetch, tmp_path):
    server.trouble[path(3)] = ["404"]
    fetch()
    assert len(coco.load("val", 16, root=tmp_path)) == COUNT - 1
    (tmp_path / "coco/val2017" / name(5)).unlink()
    with pytest.raises(T2IError, match="1 of the 12 images.*`t2i data coco --split val` fetches"):
        coco.load("val", 16, root=tmp_path)


def test_a_list_keeps_what_a_smaller_call_did_not_ask_for(server, fetch, tmp_path):
    fetch()
    small = {photo.file.name for photo in coco.photos("val", fraction=0.25, root=tmp_path)}
    outside = next(k for k in range(COUNT) if name(k) not in small)
    (tmp_path / "coco/val2017" / name(outside)).unlink()
    server.trouble[path(outside)] = ["404"]
    folder = fetch().folder
    fetch(0.25)
    assert list(listing(folder)) == [name(outside)]


@pytest.mark.parametrize("after", ["1", "date"])
def test_a_server_that_asks_to_wait_is_left_alone_by_all(server, fetch, after):
    """Oracle: the server's clock: nobody asks again before it said so."""
    server.trouble[path(0)] = [f"429 {after}", ""]
    for k in range(1, COUNT):
        server.trouble[path(k)] = ["late"]  # so that a busy machine has time to hear of the 429
    assert fetch(how=replace(QUICK, workers=2)).broken == {}
    first, second = server.times[path(0)]
    assert second - first >= 0.98
    before = [k for k in range(1, COUNT) if server.times[path(k)][0] < second]
    assert len(before) <= COUNT // 2  # those that were on their way


def test_a_server_that_asks_for_more_than_patience_is_not_waited_for(server, fetch):
    server.trouble[path(0)] = ["429 3600"]
    result = fetch()
    assert "come back after 3600 s" in result.broken[name(0)] and server.asked[path(0)] == 1


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(None, None), ("7", 7), ("-1", 0), ("0", 0), ("soon", None), ("", None),
     ("Wed, 21 Oct 2015 07:28:00 GMT", 0)],
)  # fmt: skip
def test_retry_after_is_read_as_the_rfc_has_it(value, seconds):
    assert _retry_after(value) == seconds


def test_a_server_that_gives_nothing_is_given_up_on(server, fetch, tmp_path):
    for k in range(COUNT):
        server.trouble[path(k)] = ["500"]
    with pytest.raises(T2IError, match="6 images in a row could not be had.*500.*T2I_COCO_URL"):
        fetch()
    assert kept(tmp_path / "coco/val2017") == {}
    server.stop()
    with pytest.raises(T2IError, match="None of the 3 images could be had.*refused"):
        fetch(0.25)


@pytest.mark.parametrize("png", [False, True])
def test_images_are_scaled_on_arrival_and_known_again(server, fetch, tmp_path, png):
    """Oracle: Pillow's own resize, exact in PNG, within JPEG's rounding else."""
    folder = fetch(size=20, png=png).folder
    assert folder.name == "val2017-20"
    for k in range(3):
        width, height = SIDES[k]
        image = Image.open(folder / (name(k)[:-3] + ("png" if png else "jpg")))
        assert image.size == tuple(20 * side // min(width, height) for side in (width, height))
        original = Image.open(io.BytesIO(server.files[path(k)])).convert("RGB")
        theirs = np.asarray(original.resize(image.size, Image.Resampling.BICUBIC), int)
        assert np.abs(np.asarray(image, int) - theirs).mean() <= (0 if png else 3)
    assert fetch(size=20, png=png).there == COUNT and max(server.asked.values()) == 1
    data = coco.load("val", 16, root=tmp_path)
    assert data.images.shape == (COUNT, 3, 16, 16) and len(data.captions[0]) == 5
    with pytest.raises(T2IError, match="12 of the 12 .*--size 64` fetches"):
        coco.load("val", 21, root=tmp_path)


def test_images_smaller_than_the_size_are_kept_as_published(server, fetch):
    folder = fetch(0.5, size=500).folder
    assert all(content == server.files[f"/val2017/{one}"] for one, content in kept(folder).items())


@pytest.mark.parametrize("damage", ["cut", "other", "text"])
def test_a_damaged_file_that_is_there_is_fetched_anew(server, fetch, damage):
    folder = fetch(0.5).folder
    victim = sorted(kept(folder))[2]
    whole = (folder / victim).read_bytes()
    spoilt = {"cut": whole[:-200], "other": jpeg(1, side=(9, 9)), "text": b"no image at all"}
    (folder / victim).write_bytes(spoilt[damage])
    server.trouble[f"/val2017/{victim}"] = ["404"]
    assert list(fetch(0.5).broken) == [victim] and not (folder / victim).exists()
    server.trouble[f"/val2017/{victim}"] = [""]
    fetch(0.5)
    assert (folder / victim).read_bytes() == whole


def test_an_archive_in_place_of_single_images(server, fetch, tmp_path):
    server.trouble["/zips/val2017.zip"] = ["short", ""]
    folder = fetch(0.5, archive=True).folder
    assert len(kept(folder)) == 6 and not any(p.startswith("/val2017/") for p in server.asked)
    half = len(server.files["/zips/val2017.zip"]) // 2
    assert server.ranges == [f"bytes={half}-"]  # it went on where it was cut
    fetch(archive=True)
    assert kept(folder) == {name(k): jpeg(k) for k in range(COUNT)}
    assert server.asked["/zips/val2017.zip"] == 2 and (tmp_path / "coco/val2017.zip").is_file()


@pytest.mark.parametrize("again", ["", "whole", "416"])
def test_a_large_file_goes_on_in_another_process_or_begins_anew(server, tmp_path, again):
    """A server that knows no ranges sends all of it; one that has nothing more says 416."""
    content = server.files[ZIP]
    part = tmp_path / ".x.zip.part"
    part.write_bytes({"": content[:100], "whole": content[:100], "416": content + b"?"}[again])
    server.trouble[ZIP] = [again if again == "whole" else ""]
    Fetcher(QUICK).get_file(server.url + ZIP, tmp_path / "x.zip")
    assert (tmp_path / "x.zip").read_bytes() == content and not part.exists()
    part.write_bytes(content)  # killed before the last step
    Fetcher(QUICK).get_file(server.url + ZIP, tmp_path / "x.zip")
    assert (tmp_path / "x.zip").read_bytes() == content and not part.exists()


def test_a_large_file_that_does_not_come_is_kept_as_far_as_it_came(server, tmp_path):
    server.trouble[ZIP] = ["short", "500"]
    with pytest.raises(FetchError, match="500"):
        Fetcher(QUICK).get_file(server.url + ZIP, tmp_path / "x.zip")
    half = len(server.files[ZIP]) // 2
    assert (tmp_path / ".x.zip.part").stat().st_size == half and not (tmp_path / "x.zip").exists()


def evil(member: str, link: bool = False) -> bytes:
    info = zipfile.ZipInfo("x")
    info.filename = member  # as it is: the class would mend it
    info.external_attr = (0o120777 if link else 0o100644) << 16
    return zipped({info: b"/etc" if link else b"evil", "val2017/a.jpg": b""})  # type: ignore[dict-item]


@pytest.mark.parametrize(
    "content",
    [evil("../evil.jpg"), evil("val2017/../../evil.jpg"), evil("/evil.jpg"), evil("C:/evil.jpg"),
     evil("val2017/x.jpg", link=True), evil("..\\evil.jpg")],
    ids=["above", "above from within", "absolute", "drive", "link", "backslash"],
)  # fmt: skip
def test_an_archive_that_would_write_outside_its_folder_is_refused(
    server, fetch, tmp_path, content
):
    fetch(0.1)
    before = sorted(p for p in tmp_path.rglob("*") if p.is_file())
    server.files["/zips/val2017.zip"] = content
    with pytest.raises(T2IError, match="refused: its member .* outside of its folder"):
        fetch(archive=True)
    archive = tmp_path / "coco/val2017.zip"
    assert sorted(p for p in tmp_path.rglob("*") if p.is_file()) == sorted([*before, archive])
    assert not list(tmp_path.parent.glob("evil*"))


@pytest.mark.parametrize(
    ("content", "message"),
    [(evil("../evil.json"), "refused"), (b"no zip", "no whole zip"),
     (zipped({"x": b""}), "came damaged"),
     (zipped({f"annotations/captions_{s}2017.json": b"{" for s in ("val", "train")}), "no JSON")],
    ids=["evil", "no zip", "empty", "no json"],
)  # fmt: skip
def test_wrong_annotations_are_an_error(server, fetch, tmp_path, content, message):
    server.files[ZIP] = content
    with pytest.raises(T2IError, match=message):
        fetch()
    assert not list(tmp_path.rglob("*.zip*"))


def test_a_damaged_member_of_an_archive_is_listed(server, fetch):
    whole = server.files["/zips/val2017.zip"]
    place = whole.index(jpeg(4)) + 50
    server.files["/zips/val2017.zip"] = whole[:place] + b"XX" + whole[place + 2 :]
    result = fetch(archive=True)
    assert list(result.broken) == [name(4)] and "in the archive" in result.broken[name(4)]
    assert fetch().broken == {}  # by itself


def test_a_killed_process_leaves_only_whole_images_and_the_next_one_completes(server, tmp_path):
    """Oracle: the server's files, and that it was asked again only for what was not there."""
    server.hold_after = 6  # the annotations and five images
    code = (
        "from t2i_course.data import coco_download as c; "
        f"c.download('val', size=20, root=__import__('pathlib').Path({str(tmp_path)!r}), "
        f"how=c.Fetching(workers=2), progress=False)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], env={**os.environ, "T2I_COCO_URL": server.url}
    )
    folder = tmp_path / "coco/val2017-20"
    try:
        deadline = time.monotonic() + 300
        while not folder.is_dir() or len(kept(folder)) < 5:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    there = kept(folder)
    assert len(there) == 5
    (folder / f".{name(9)}-999999").write_bytes(b"half")  # as a writer leaves it
    before = server.asked.copy()
    server.hold_after = 10**9
    result = download("val", size=20, root=tmp_path, url=server.url, how=QUICK, progress=False)
    assert result.there == len(there) and sorted(os.listdir(folder)) == NAMES
    asked = {one for one in NAMES if (server.asked - before)[f"/val2017/{one}"]}
    assert asked == set(NAMES) - set(there)
    for one, content in kept(folder).items():
        assert min(Image.open(folder / one).size) == 20 and there.get(one, content) == content


def test_only_one_process_fetches_into_a_folder(fetch, tmp_path):
    from filelock import FileLock

    fetch(0.1)
    with FileLock(tmp_path / "coco/.lock"), pytest.raises(T2IError, match="Another process"):
        fetch()


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"fraction": 0.0}, "above 0 and at most 1"), ({"fraction": float("nan")}, "above 0 and"),
     ({"size": 0}, "at least 1 pixel"), ({"png": True}, "give a size")],
)  # fmt: skip
def test_wishes_that_cannot_be_met_are_an_error(fetch, changes, message):
    with pytest.raises(T2IError, match=message):
        fetch(**changes)


def test_the_command_fetches_says_where_and_lists(server, tmp_path, monkeypatch):
    monkeypatch.setenv("T2I_DATA", str(tmp_path))
    monkeypatch.setenv("T2I_COCO_URL", server.url)

    def t2i(*arguments):
        result = CliRunner().invoke(cli.cli, ["data", *arguments])
        return str(result.exception) if isinstance(result.exception, T2IError) else result.output

    assert "t2i data coco --split val --fraction 0.1" in t2i()
    server.trouble[path(2)] = ["404"]
    said = t2i("coco", "--split", "val", "--fraction", "1", "--size", "20", "--workers", "2")
    assert "11 of 12 images are in" in said and "1 could not be had" in said
    assert "val2017-20: 11 images" in t2i()
    assert "Did you mean 'val'" in t2i("coco", "--split", "vla")
    assert "Did you mean 'coco'" in t2i("cocoo") and "no options" in t2i("fashion", "--size", "3")
    monkeypatch.setenv("T2I_COCO_URL", "file:///etc")
    assert "no http address" in t2i("coco")
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("T2I_DATA", str(tmp_path / "file"))
    monkeypatch.setenv("T2I_COCO_URL", server.url)
    assert "cannot be kept" in t2i("coco")


REAL = (data_root() / "coco/val2017").is_dir()


@pytest.mark.skipif(not REAL, reason="COCO is not here (set T2I_DATA)")
def test_the_real_images_are_read_with_their_official_captions():
    photos = coco.photos("val", fraction=0.2)
    official = json.loads((data_root() / "coco/annotations/captions_val2017.json").read_text())
    by_id = {one["id"]: one for one in official["images"]}
    for photo in photos:
        said = [a["caption"] for a in official["annotations"] if a["image_id"] == photo.id]
        assert list(photo.captions) == said and photo.license == by_id[photo.id]["license"]
    data = coco.load("val", 64, fraction=0.2)
    assert data.images.shape == (len(photos), 3, 64, 64) and data.images.dtype == torch.uint8
    assert data.images.float().std() > 40 and data.title == "coco val"
