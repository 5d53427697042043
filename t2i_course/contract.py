"""What every room may import: settings, conditions, random numbers, families, data and features.

Nothing here knows a data set, a network or a metric. What passes between the rooms:

- images: float32 `[B, C, H, W]` in [0, 1], the only range outside `models/`;
- conditions: `Condition`, one row an image; random numbers: `RowGenerator`, of the row alone;
- features: `Features`, from images to vectors, and text: `TextEncoder`, from captions to
  conditions, each with a name and the hash of its weights.
"""

import dataclasses
import hashlib
import operator
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import MISSING, dataclass, field
from functools import cached_property
from pathlib import Path
from types import UnionType
from typing import Any, ClassVar, Protocol, Self, Union, get_args, get_origin, get_type_hints

import torch
from torch import Tensor, nn

from t2i_course.errors import T2IError, unknown

__all__ = [
    "Condition", "Data", "Family", "Features", "RowGenerator", "Settings", "T2IError",
    "TextEncoder", "Trainable", "file_sha256", "require", "seed_of", "seeded_init",
    "tensors_sha256", "unknown", "write_whole",
]  # fmt: skip


def require(condition: bool, message: str) -> None:
    """Raise `T2IError(message)` unless `condition` holds."""
    if not condition:
        raise T2IError(message)


class Settings:
    """Base of the frozen dataclasses that hold a model's or a run's settings.

    Values are checked in `__post_init__`; `from_dict` refuses an unknown field instead of
    swallowing it, and rebuilds nested settings and tuples from plain JSON values.
    """

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, nested settings included."""
        return dataclasses.asdict(self)  # type: ignore[call-overload]

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Settings from plain JSON values.

        Raises:
            T2IError: for an unknown or a missing field, or a value of another type.
        """
        require(isinstance(values, Mapping), f"{cls.__name__} needs named values, not {values!r}.")
        hints = get_type_hints(cls)
        fields = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
        for name in values:
            if name not in fields:
                raise unknown(f"setting of {cls.__name__}", name, fields)
        for name, one in fields.items():
            optional = one.default is not MISSING or one.default_factory is not MISSING
            require(optional or name in values, f"{cls.__name__} needs a value for {name}.")
        return cls(**{name: _revive(name, hints[name], value) for name, value in values.items()})


def _revive(name: str, hint: Any, value: Any) -> Any:
    """A JSON `value` in the type that `hint` names; `T2IError` if it is of another."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (UnionType, Union):
        return None if value is None else _revive(name, inner[0], value)
    if origin is dict and isinstance(value, Mapping):
        return {key: _revive(f"{name}.{key}", inner[1], item) for key, item in value.items()}
    if origin is tuple and isinstance(value, list | tuple):
        kinds = inner[:1] * len(value) if inner[1:] == (...,) else inner
        if len(value) == len(kinds):
            return tuple(_revive(name, kind, item) for kind, item in zip(kinds, value, strict=True))
    if isinstance(hint, type) and issubclass(hint, Settings):
        return hint.from_dict(value)
    kind = (int, float) if hint is float else hint
    if not origin and isinstance(value, kind) and isinstance(value, bool) == (hint is bool):
        return value
    raise T2IError(f"{name} must be of type {getattr(hint, '__name__', hint)}, not {value!r}.")


@dataclass(frozen=True)
class Condition:
    """What an image is to show: one row per image of a batch.

    Args:
        present: `[B]` bool; False selects the family's learned null for that row.
        vector: `[B, D]`: a one-hot label or a pooled text embedding, or None.
        tokens: `[B, T_txt, D_tok]`: features of each token, or None.
        mask: `[B, T_txt]` bool, True where `tokens` holds a token and not padding, or None.

    Raises:
        T2IError: if the parts disagree on B or have the wrong number of dimensions.
    """

    present: Tensor
    vector: Tensor | None = None
    tokens: Tensor | None = None
    mask: Tensor | None = None

    def __post_init__(self) -> None:
        B = len(self)
        for name, dims in (("present", 1), ("vector", 2), ("tokens", 3), ("mask", 2)):
            part = getattr(self, name)
            if part is not None and (part.ndim != dims or len(part) != B):
                raise T2IError(
                    f"Condition.{name} must have {dims} dimension(s) and {B} rows, one per image; "
                    f"it has shape {list(part.shape)}."
                )
        require(
            (self.tokens is None) == (self.mask is None),
            "Condition.tokens and Condition.mask come together: the mask marks the real tokens.",
        )

    @classmethod
    def none(cls, n: int) -> "Condition":
        """The condition of `n` images that nothing conditions."""
        return cls(present=torch.zeros(n, dtype=torch.bool))

    @classmethod
    def of(cls, vector: Tensor) -> "Condition":
        """The condition whose rows are the vectors `[B, D]`, all present."""
        return cls(
            present=torch.ones(len(vector), dtype=torch.bool, device=vector.device), vector=vector
        )

    def __len__(self) -> int:
        return len(self.present)

    def _map(self, function: Callable[[Tensor], Tensor]) -> "Condition":
        parts = (self.present, self.vector, self.tokens, self.mask)
        return Condition(*(None if part is None else function(part) for part in parts))  # type: ignore[arg-type]

    def to(self, device: torch.device | str) -> "Condition":
        """The same condition on `device`."""
        return self._map(lambda part: part.to(device, non_blocking=True))

    def __getitem__(self, rows: slice | Tensor) -> "Condition":
        """The rows that a slice, an index tensor or a boolean tensor selects."""
        return self._map(lambda part: part[rows])

    def repeat(self, times: int) -> "Condition":
        """Each row `times` times in a row: `[B, …] -> [B * times, …]`."""
        return self._map(lambda part: part.repeat_interleave(times, dim=0))

    def drop(self, dropped: Tensor) -> "Condition":
        """The same condition with the rows where `dropped` `[B]` is True marked absent."""
        return dataclasses.replace(self, present=self.present & ~dropped)


def seed_of(*key: int | str) -> int:
    """A 63-bit seed that depends on every part of `key` and is the same on every machine."""
    plain = tuple(part if isinstance(part, str) else operator.index(part) for part in key)
    digest = hashlib.blake2b(repr(plain).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file's content, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def tensors_sha256(tensors: Mapping[str, Tensor]) -> str:
    """The SHA-256 of named tensors: names, shapes, types and bytes, in hexadecimal."""
    digest = hashlib.sha256()
    for name, value in sorted(tensors.items()):
        array = value.detach().cpu().contiguous().numpy()
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file so that it is there whole or not at all: aside, synced, then renamed.

    Raises:
        T2IError: if the disk or the folder does not allow it; what was there before stays.
    """
    aside = path.with_name(f".{path.name}-{os.getpid()}") if path.name else path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(aside, "wb") as file:
            file.write(content if isinstance(content, bytes) else content.encode())
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    except OSError as error:
        if aside.is_file():
            aside.unlink()
        raise T2IError(f"{path} cannot be written ({error}). Choose another place.") from error


@contextmanager
def seeded_init(seed: int) -> Iterator[None]:
    """Inside the block torch's layers draw their first weights from `seed`; the global generator,
    which they use, is put back afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of(seed, "init"))
        yield


class RowGenerator:
    """Random numbers for some rows of a global batch; a row's depend on (key, row) only.

    So a batch drawn whole, in micro-batches or by several processes gets the same numbers. Draws
    are made on the CPU in fixed blocks of 32 rows, each block from a generator of its own, and
    moved to `device`: the same draws on every device, at the price of one copy.

    Args:
        key: what the numbers are a function of, such as a seed, a step and a network's name.
        rows: the rows' places in the global batch (or a count: the first so many).
        device: where the numbers are wanted.

    Two calls with the same shape give different numbers; the order of calls matters.
    """

    BLOCK = 32

    def __init__(self, *key: int | str, rows: range | int, device: torch.device | str = "cpu"):
        self.key = key
        self.rows = range(rows) if isinstance(rows, int) else rows
        require(self.rows.step == 1, f"rows must be consecutive, not {self.rows}.")
        self.device = torch.device(device)

    @cached_property
    def _generators(self) -> list[torch.Generator]:
        blocks = range(self.rows.start // self.BLOCK, -(-self.rows.stop // self.BLOCK))
        return [torch.Generator().manual_seed(seed_of(*self.key, block)) for block in blocks]

    def _draw(self, function: Callable[..., Tensor], shape: tuple[int, ...]) -> Tensor:
        blocks = [function((self.BLOCK, *shape), generator=g) for g in self._generators]
        drawn = torch.cat(blocks) if blocks else torch.empty(0, *shape)
        offset = self.rows.start % self.BLOCK
        return drawn[offset : offset + len(self.rows)].to(self.device, non_blocking=True)

    def normal(self, *shape: int) -> Tensor:
        """Standard normal numbers, float32 `[B, *shape]`."""
        return self._draw(torch.randn, shape)

    def uniform(self, *shape: int) -> Tensor:
        """Uniform numbers in [0, 1), float32 `[B, *shape]`."""
        return self._draw(torch.rand, shape)

    def integers(self, low: int, high: int, *shape: int) -> Tensor:
        """Uniform integers from `low` to `high - 1`, int64 `[B, *shape]`."""
        return self._draw(
            lambda size, generator: torch.randint(low, high, size, generator=generator), shape
        )


class Data(Protocol):
    """Images with their conditions, by index: what the engine trains on.

    Two more methods are used where there are any, by data that is not held in memory:
    `order(seed, epoch)` gives the order in which an epoch shows the images, int64 `[N]`, in place
    of one that is drawn; `ahead(index)` says which are wanted next, so that they can be fetched.
    """

    @property
    def name(self) -> str: ...

    def __len__(self) -> int: ...

    def batch(self, index: Tensor, generator: RowGenerator) -> tuple[Tensor, Condition]:
        """Images `[B, C, H, W]` in [0, 1] and conditions for the int64 indices `[B]`.

        Whatever is drawn (a flip, one of five captions) comes from `generator`.
        """
        ...

    def card(self) -> dict[str, Any]:
        """What a run's card says of the data: name, split, count, and whether it is a stand-in."""
        ...


class Trainable(nn.Module, ABC):
    """What the engine can train: networks, and for each the loss that its optimizer lowers."""

    name: ClassVar[str]  # the name in the closed table of models/__init__.py
    settings_type: ClassVar[type[Settings]]
    settings: Any  # an instance of settings_type
    seed: int = 0  # of the first weights

    @abstractmethod
    def __init__(self, settings: Any = None, seed: int = 0):
        """A model with fresh weights drawn from `seed`; None means the default settings."""
        super().__init__()

    @property
    @abstractmethod
    def networks(self) -> dict[str, nn.Module]:
        """The networks in the order of their updates; each gets one optimizer."""

    @abstractmethod
    def loss(
        self, name: str, images: Tensor, condition: Condition, generator: RowGenerator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss that updates `networks[name]`, and numbers to log beside it.

        Args:
            name: a key of `networks`.
            images: `[B, C, H, W]` in [0, 1].
            condition: B rows.
            generator: the only source of random numbers.

        Returns:
            The mean over the B rows (a scalar, so that micro-batches average to the batch), and
            scalars by name, means over the rows too.
        """

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return next(self.parameters()).device


class Family(Trainable):
    """A generative family: a `Trainable` that draws images."""

    sampling_type: ClassVar[type[Settings]]  # of the settings that `sample` takes
    image_shape: tuple[int, int, int]  # (C, H, W)
    conditional: ClassVar[bool] = False  # whether it looks at the condition at all

    @abstractmethod
    def sample(self, condition: Condition, generator: RowGenerator, settings: Any = None) -> Tensor:
        """Images `[B, C, H, W]` in [0, 1] for the B rows of `condition`, on the family's device.

        `settings` is an instance of `sampling_type`, or None for its defaults.
        """


@dataclass(frozen=True)
class Features:
    """From images to feature vectors, as metrics see them: a function with a name and a hash.

    Args:
        name: such as "features-fashion".
        sha256: of the weights, so that two scores are compared only if they mean the same.
        dim: D.
        function: images `[B, C, H, W]` in [0, 1] to features `[B, D]`.
        resize: what the function does to images of another size, in words.
    """

    name: str
    sha256: str
    dim: int
    function: Callable[[Tensor], Tensor] = field(repr=False)
    resize: str = "none"

    def __call__(self, images: Tensor) -> Tensor:
        features = self.function(images)
        require(
            features.shape == (len(images), self.dim),
            f"Features {self.name!r} promised [{len(images)}, {self.dim}] and gave "
            f"{list(features.shape)}.",
        )
        return features


@dataclass(frozen=True)
class TextEncoder:
    """From captions to conditions, as data and command line see it: a function with a name and a
    hash. Frozen: the same caption is always the same condition.

    Args:
        name: such as "clip-tiny", by which `conditioning.clip.load` finds it again.
        sha256: of the weights.
        dim: D of the conditions' vectors.
        token_dim: D_tok of their tokens; 0 for an encoder that gives none.
        function: captions to their conditions, all present.
        source: by which it is found again, if not by its name: see `runs.load_text`.
        of_images: conditions of images `[B, C, H, W]`, to train on in the captions' place; or None.
    """

    name: str
    sha256: str
    dim: int
    token_dim: int
    function: Callable[[list[str]], Condition] = field(repr=False)
    source: str = ""
    of_images: Callable[[Tensor], Condition] | None = field(default=None, repr=False)

    def __call__(self, captions: list[str]) -> Condition:
        condition = self.function(captions)
        shape = None if condition.vector is None else list(condition.vector.shape)
        require(
            shape == [len(captions), self.dim],
            f"Text encoder {self.name!r} promised [{len(captions)}, {self.dim}] and gave {shape}.",
        )
        return condition
