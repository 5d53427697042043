"""The cache of embeddings, with writers that are killed, two at once, or long gone."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from cache_writer import D, caption, embed, encoder
from hypothesis import given, settings
from hypothesis import strategies as st

from t2i_course.conditioning import cache
from t2i_course.contract import Condition
from t2i_course.errors import T2IError

WRITER = Path(__file__).with_name("cache_writer.py")


def start(folder: Path, *arguments: int | str) -> subprocess.Popen:
    command = [sys.executable, WRITER, folder, *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    return process


def refuse(captions: list[str]) -> Condition:
    raise AssertionError(f"{len(captions)} captions are encoded again")


def check(folder: Path, numbers: range, tokens: bool = False, function: object = None) -> None:
    """All of these captions are there, right, and none is encoded again."""
    kept = cache.cached(encoder(tokens, function or refuse), folder)
    captions = [caption(number) for number in numbers]
    found, oracle = kept(captions), embed(captions, tokens)
    assert torch.equal(found.vector, oracle.vector)
    if tokens:
        assert torch.equal(found.tokens, oracle.tokens) and torch.equal(found.mask, oracle.mask)


def test_what_one_process_encoded_another_one_finds(tmp_path) -> None:
    """Oracle: the encoder itself; the second process's encoder refuses to work."""
    assert start(tmp_path, 0, 50, 7, "tokens").wait() == 0
    check(tmp_path, range(50), tokens=True)
    check(tmp_path, range(13, 2, -1), tokens=True)
    with pytest.raises(AssertionError, match="1 captions are encoded again"):
        check(tmp_path, range(49, 51), tokens=True)
    with pytest.raises(AssertionError, match="50 captions are encoded again"):
        check(tmp_path, range(50))  # vectors alone have a cache of their own


@settings(max_examples=30, deadline=None)
@given(batches=st.lists(st.lists(st.sampled_from("abcdefgh") | st.text(), max_size=9), max_size=30))
def test_any_batches_get_their_own_embeddings_in_their_order(tmp_path_factory, batches) -> None:
    """Oracle: the encoder; with repeated captions, empty ones, empty batches and many shards."""
    kept = cache.Cache(tmp_path_factory.mktemp("cache"), encoder())
    for captions in batches:
        assert torch.equal(kept(captions).vector, embed(captions).vector)
    assert len(kept) == len({text for captions in batches for text in captions})
    assert len(list(kept.folder.glob("shard-*"))) < cache.MANY


def test_killed_writers_leave_whole_shards(tmp_path) -> None:
    """Killed in the midst of writing and joining shards; what they had not stored is encoded."""
    writers = [start(tmp_path, first, 100_000, 3, "tokens") for first in (0, 1)]
    for writer in writers:
        time.sleep(0.15)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
    here: list[str] = []
    fresh = encoder(True, lambda captions: here.extend(captions) or embed(captions, True))
    kept = cache.Cache(cache.folder_of(fresh, tmp_path), fresh)
    before = len(kept)
    captions = [caption(number) for number in range(before + 10)]
    found, oracle = kept(captions), embed(captions, True)
    assert before > 3 and len(here) < len(captions)
    assert torch.equal(found.vector, oracle.vector) and torch.equal(found.tokens, oracle.tokens)


@pytest.mark.slow
def test_two_writers_and_a_reader_at_once_lose_nothing(tmp_path) -> None:
    """They overlap by half, and join small shards under each other's feet."""
    writers = [start(tmp_path, 0, 400, 2), start(tmp_path, 200, 600, 3)]
    kept = cache.cached(encoder(), tmp_path)
    while any(writer.poll() is None for writer in writers):
        captions = [caption(number) for number in range(0, 600, 37)]
        assert torch.equal(kept(captions).vector, embed(captions).vector)
    assert [writer.wait() for writer in writers] == [0, 0]
    check(tmp_path, range(600))
    assert len(list(tmp_path.glob("*/shard-*"))) < 3 * cache.MANY


def test_another_model_or_other_weights_have_a_folder_of_their_own(tmp_path) -> None:
    folders = {cache.folder_of(encoder(tokens), tmp_path) for tokens in (False, True)} | {
        cache.folder_of(cache.TextEncoder("toy/one", "cd" * 32, D, 0, embed), tmp_path)
    }
    assert len(folders) == 3
    assert all(path.parent == tmp_path and "toy-one" in path.name for path in folders)


def test_old_files_aside_go_and_young_ones_stay(tmp_path) -> None:
    kept = cache.Cache(tmp_path, encoder())
    old, young = tmp_path / ".writing-old", tmp_path / ".writing-young"
    for path in (old, young):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))
    for number in range(cache.MANY + 1):
        kept([caption(number)])
    assert not old.exists() and young.exists()


def test_a_damaged_shard_and_a_folder_that_is_a_file_are_one_sentence(tmp_path) -> None:
    kept = cache.Cache(tmp_path / "whole", encoder())
    kept(["a"])
    shard = next(kept.folder.glob("shard-*"))
    shard.write_bytes(shard.read_bytes()[:-3])
    with pytest.raises(T2IError, match=r"shard-.* is damaged .*: remove it"):
        cache.Cache(kept.folder, encoder())
    (tmp_path / "file").write_text("")
    with pytest.raises(T2IError, match="cannot be kept"):
        cache.Cache(tmp_path / "file", encoder())(["a"])
