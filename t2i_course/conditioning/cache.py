"""Embeddings of captions on disk, computed once: memory-mapped, and safe with several writers.

A folder belongs to one encoder: its name and its weights' hash are the folder's name, and within it
a caption's own hash is its key. Captions are kept in shards, each one file that is written aside,
synced, renamed and never changed again:

embeddings/clip-tiny-0123456789abcdef/   pooled vectors only; tokens have a folder of their own
  shard-….npy       keys, sorted; then vectors, float16 `[n, D]`; then tokens, where there are any
  .lock             held while small shards are made one

A killed writer leaves at most a file aside, two writers leave two shards, and a reader sees a shard
whole or not at all. What is read is what was stored: float16, so that a caption's condition is the
same whether it was just computed or found.
"""

import hashlib
import mmap
import os
import re
import time
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock, Timeout
from torch import Tensor
from tqdm import tqdm

from t2i_course.contract import Condition, T2IError, TextEncoder, require
from t2i_course.places import cache_root

ENCODED = 8192  # captions in a shard at most, and lost by a kill at most
SMALL, MANY = 4_000_000, 16  # so many shards, each of fewer bytes, are made one
READ = 512  # rows whose pages are held: Linux maps 64 KB round each row that is touched
STALE = 3600  # seconds after which a file aside is a killed writer's


def cached(
    encoder: TextEncoder,
    root: Path | None = None,
    captions: Iterable[str] = (),
    progress: bool = False,
) -> TextEncoder:
    """The same encoder, its conditions kept on disk; those it gives are on the CPU.

    Args:
        encoder: with tokens (`token_dim` above 0) these are kept too, each caption's cut to its
            length: some forty times the space of the vector alone.
        root: by default the folder `embeddings` of `places.cache_root`.
        captions: those that will be wanted: what is missing of them is computed now.
        progress: show a bar while they are.

    Raises:
        T2IError: if the folder cannot be written or a shard in it is damaged.
    """
    cache = Cache(folder_of(encoder, root or cache_root() / "embeddings"), encoder)
    cache.fill(captions, progress)
    return replace(encoder, function=cache)


def remembered(encoder: TextEncoder) -> TextEncoder:
    """The same encoder, its conditions kept in memory in half precision: for captions that come
    again and again while a model is trained. With tokens a caption takes some kilobytes."""
    known: dict[str, tuple[Tensor, Tensor | None]] = {}

    def conditions(captions: list[str]) -> Condition:
        missing = list(dict.fromkeys(one for one in captions if one not in known))
        if missing:
            found = encoder(missing)
            assert found.vector is not None
            for k, caption in enumerate(missing):
                tokens = None
                if found.tokens is not None and found.mask is not None:
                    tokens = found.tokens[k, found.mask[k]].half()
                known[caption] = found.vector[k].half(), tokens
        condition = Condition.of(torch.stack([known[one][0] for one in captions]).float())
        texts = [text for one in captions if (text := known[one][1]) is not None]
        if not texts:
            return condition
        padded = torch.nn.utils.rnn.pad_sequence(texts, batch_first=True)
        lengths = torch.tensor([len(text) for text in texts], device=padded.device)
        mask = torch.arange(padded.shape[1], device=padded.device) < lengths[:, None]
        return Condition(condition.present, condition.vector, padded.float(), mask)

    return replace(encoder, function=conditions)


def folder_of(encoder: TextEncoder, root: Path) -> Path:
    """Where an encoder's shards are."""
    name = re.sub(r"[^\w.-]+", "-", encoder.name)
    return root / f"{name}-{encoder.sha256[:16]}{'-tokens' if encoder.token_dim else ''}"


class Cache:
    """One encoder's embeddings on disk; called with captions it gives their conditions.

    Args:
        folder: see `folder_of`.
        encoder: what computes those that are missing.
    """

    def __init__(self, folder: Path, encoder: TextEncoder):
        self.folder, self.encoder = folder, encoder
        self._shards: dict[str, _Shard] = {}
        self._read = 0  # rows since the pages were last given back
        self._refresh()

    def __len__(self) -> int:
        """How many captions there are (those that two writers both wrote count twice)."""
        return sum(len(shard.high) for shard in self._shards.values())

    def __call__(self, captions: list[str]) -> Condition:
        """The captions' conditions; what is missing is computed and kept."""
        keys = keys_of(captions)
        for encode in (False, True, False, True, False):
            shards, rows = self._find(keys)
            if (shards >= 0).all():
                return self._gather(shards, rows)
            if encode:
                missing = list(dict.fromkeys(captions[i] for i in np.flatnonzero(shards < 0)))
                for first in range(0, len(missing), ENCODED):
                    part = missing[first : first + ENCODED]
                    self._add(part, self.encoder(part))
            else:  # another writer may have it; or a listing missed a shard that was just replaced
                self._refresh()
        raise T2IError(f"What is written to {self.folder} does not stay there: choose another.")

    def fill(self, captions: Iterable[str], progress: bool = False) -> None:
        """Compute and keep what is missing of these captions; of several processes that want to,
        one does at a time."""
        every = list(dict.fromkeys(captions))
        if not every or not (self._find(keys_of(every))[0] < 0).any():
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.folder / ".filling")
            lock.acquire()
        except OSError as error:
            raise T2IError(
                f"Embeddings cannot be kept in {self.folder} ({error}). Set T2I_CACHE to a folder "
                "that can be written to."
            ) from error
        try:
            self._refresh()
            missing = [every[i] for i in np.flatnonzero(self._find(keys_of(every))[0] < 0)]
            with tqdm(
                total=len(missing), desc=f"encode by {self.encoder.name}", unit="caption",
                disable=not progress or len(missing) < ENCODED, mininterval=1,
            ) as bar:  # fmt: skip
                step = ENCODED // 4 if self.encoder.token_dim else ENCODED  # tokens take memory
                for first in range(0, len(missing), step):
                    part = missing[first : first + step]
                    self._add(part, self.encoder(part))
                    bar.update(len(part))
        finally:
            lock.release()

    def _find(self, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """For each key `[N, 2]` the number of its shard (−1: none) and its row there."""
        shards, rows = np.full(len(keys), -1), np.zeros(len(keys), np.int64)
        for number, shard in enumerate(self._shards.values()):
            row = np.minimum(np.searchsorted(shard.high, keys[:, 0]), len(shard.high) - 1)
            here = (shard.high[row] == keys[:, 0]) & (shard.low[row] == keys[:, 1]) & (shards < 0)
            shards[here], rows[here] = number, row[here]
        return shards, rows

    def _gather(self, shards: np.ndarray, rows: np.ndarray) -> Condition:
        each = list(self._shards.values())
        vectors = np.empty((len(rows), self.encoder.dim), np.float16)
        for first in range(0, len(rows), READ):
            part = slice(first, first + READ)
            for number in np.unique(shards[part]):
                here = first + np.flatnonzero(shards[part] == number)
                vectors[here] = each[number].vectors[rows[here]]
            self._read += len(rows[part])
            if self._read >= READ:
                self._read = 0
                for shard in each:
                    shard.release()
        condition = Condition.of(torch.from_numpy(vectors).float())
        if not self.encoder.token_dim:
            return condition
        found = [each[number].tokens(row) for number, row in zip(shards, rows, strict=True)]
        lengths = torch.tensor([len(one) for one in found], dtype=torch.int64)
        T = int(lengths.max()) if found else 0
        tokens = torch.zeros(len(found), T, self.encoder.token_dim)
        for out, one in zip(tokens, found, strict=True):
            out[: len(one)] = torch.from_numpy(np.array(one, np.float32))
        mask = torch.arange(T) < lengths[:, None]
        return Condition(condition.present, condition.vector, tokens, mask)

    def _add(self, captions: Sequence[str], condition: Condition) -> None:
        """Write a shard of different captions that are not there yet."""
        assert condition.vector is not None
        keys = keys_of(captions)
        order = np.argsort(keys[:, 0])
        arrays = [keys[order, 0], keys[order, 1], _half(condition.vector)[order]]
        if self.encoder.token_dim:
            assert condition.tokens is not None and condition.mask is not None
            rows, mask = condition.tokens[order], condition.mask[order]
            starts = np.concatenate([[0], mask.sum(1).cumsum(0).cpu().numpy()])
            arrays += [starts, _half(rows[mask])]  # [n + 1], [ΣT, D_tok]
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._write(arrays)
            self._refresh()
            self._merge()
        except OSError as error:
            raise T2IError(
                f"Embeddings cannot be kept in {self.folder} ({error}). Make room, or choose "
                "another place for the cache."
            ) from error

    def _write(self, arrays: list[np.ndarray]) -> None:
        name = f"{time.time_ns():020d}-{uuid.uuid4().hex[:8]}"
        aside = self.folder / f".writing-{name}"
        try:
            with open(aside, "wb") as file:
                for array in arrays:
                    np.save(file, array)
                file.flush()
                os.fsync(file.fileno())
            os.replace(aside, self.folder / f"shard-{name}.npy")
        finally:
            aside.unlink(missing_ok=True)

    def _refresh(self) -> None:
        """Map the shards that have come, forget those that were made one with others."""
        for _ in range(10):  # a shard may go between the listing and the opening
            names = sorted(path.name for path in self.folder.glob("shard-*.npy"))
            self._shards = {name: s for name, s in self._shards.items() if name in names}
            try:
                for name in names:
                    if name not in self._shards:
                        self._shards[name] = _Shard(self.folder / name, self.encoder)
                return
            except FileNotFoundError:
                continue
        raise T2IError(f"The shards in {self.folder} keep changing: try again later.")

    def _merge(self) -> None:
        """Make many small shards one, unless another process is at it; remove old files aside."""
        small = [s for s in self._shards.values() if s.path.stat().st_size < SMALL]
        if len(small) < MANY:
            return
        try:
            with FileLock(self.folder / ".lock", timeout=0):
                small = [s for s in small if s.path.exists()]
                if len(small) > 1:
                    self._write(_joined(small))
                    for shard in small:
                        del self._shards[shard.path.name]
                        shard.path.unlink()
                for path in self.folder.glob(".writing-*"):
                    if time.time() - path.stat().st_mtime > STALE:
                        path.unlink(missing_ok=True)
        except (Timeout, PermissionError):  # another process; or Windows, where a map holds a file
            pass
        self._refresh()


class _Shard:
    """One file, memory-mapped: opening it reads its arrays' headers only."""

    def __init__(self, path: Path, encoder: TextEncoder):
        self.path = path
        try:
            arrays = _mapped(path)
            self.high, self.low, self.vectors = arrays[:3]
            self.starts = arrays[3] if len(arrays) == 5 else None
            self.states = arrays[4] if len(arrays) == 5 else None
        except (ValueError, IndexError) as error:
            raise T2IError(
                f"{path} is damaged ({error}): remove it, and its captions are encoded again."
            ) from error
        require(
            self.vectors.shape == (len(self.high), encoder.dim)
            and (self.states is not None) == (encoder.token_dim > 0),
            f"{path} does not hold embeddings of {encoder.name}: remove it.",
        )

    def release(self) -> None:
        """Give the pages that were read back to the system, which may keep them in its own cache;
        the keys' stay."""
        if hasattr(mmap, "MADV_DONTNEED"):
            for array in (self.vectors, self.states):
                if array is not None and array.size:
                    array._mmap.madvise(mmap.MADV_DONTNEED)

    def tokens(self, row: int) -> np.ndarray:
        """The tokens `[T, D_tok]` of one caption."""
        assert self.starts is not None and self.states is not None
        return self.states[self.starts[row] : self.starts[row + 1]]


def keys_of(captions: Sequence[str]) -> np.ndarray:
    """The captions' keys, uint64 `[N, 2]`: 128 bits of their BLAKE2b hashes."""
    digests = b"".join(hashlib.blake2b(text.encode(), digest_size=16).digest() for text in captions)
    return np.frombuffer(digests, "<u8").reshape(-1, 2)


def _half(values: Tensor) -> np.ndarray:
    return values.detach().cpu().half().numpy()


def _mapped(path: Path) -> list[Any]:
    """The arrays that `np.save` wrote one after the other into a file, mapped."""
    arrays: list[Any] = []
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        offset = 0
        while offset < size:
            file.seek(offset)
            np.lib.format.read_magic(file)
            shape, _, dtype = np.lib.format.read_array_header_1_0(file)
            offset = file.tell()
            arrays.append(np.memmap(path, dtype, "r", offset, shape))
            offset += arrays[-1].nbytes
    return arrays


def _joined(shards: list[_Shard]) -> list[np.ndarray]:
    """The arrays of the shard that holds what these do, each caption once."""
    high, first = np.unique(np.concatenate([shard.high for shard in shards]), return_index=True)
    low, vectors = (
        np.concatenate([getattr(shard, name) for shard in shards])[first]
        for name in ("low", "vectors")
    )
    if shards[0].states is None:
        return [high, low, vectors]
    tokens = [shard.tokens(row) for shard in shards for row in range(len(shard.high))]
    kept = [tokens[i] for i in first]
    starts = np.cumsum([0, *map(len, kept)])
    return [high, low, vectors, starts, np.concatenate(kept)]
