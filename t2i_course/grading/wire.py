"""Plain values between the grader and a worker that it does not trust: never a pickle.

A message is one value of None, bool, int, float, str, tensors, generators, lists, tuples and dicts
(and, towards the worker, functions). It crosses as a frame: the lengths of two parts
(little-endian, 4 and 8 bytes), the value as JSON, then the tensors' bytes one after the other.
Whatever comes from the other side is checked against its own sizes and against `Limits` before it
is used.
"""

import json
import math
import socket
import struct
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (
        torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64,
        torch.float16, torch.bfloat16, torch.float32, torch.float64,
        torch.complex64, torch.complex128,
    )
}  # fmt: skip
_NAMES = {dtype: name for name, dtype in DTYPES.items()}
_LENGTHS = struct.Struct("<IQ")
_INT64 = 2**63


class WireError(Exception):
    """What came is no message, or is too large; or the value cannot cross."""


class TooLateError(WireError):
    """The other side took longer than the deadline."""


class ClosedError(WireError):
    """The other side has closed its end."""


@dataclass(frozen=True)
class Limits:
    """How large a message may be: bytes of text and of tensors, how many values its lists hold and
    how deep they nest."""

    text: int = 8 << 20
    tensors: int = 64 << 20
    values: int = 100_000
    depth: int = 24


LARGE = Limits(text=64 << 20, tensors=512 << 20, values=10_000_000)  # from the grader, trusted


def pack(
    value: Any, function: Callable[[Any], int] | None = None, limits: Limits = Limits()
) -> bytes:
    """The frame of a value.

    Args:
        function: gives the number by which a function is known to the other side; without it
            functions cannot cross.

    Raises:
        WireError: for a value of another kind, with its type's name, or one beyond the limits.
    """
    parts: list[bytes] = []
    size = count = 0

    def tensor(value: Tensor) -> dict[str, Any]:
        nonlocal size
        size += value.numel() * value.element_size()
        if size > limits.tensors:
            raise WireError(f"tensors of more than {limits.tensors >> 20} MB")
        if value.layout != torch.strided or value.dtype not in _NAMES:
            raise WireError(f"a tensor of layout {value.layout} and type {value.dtype}")
        whole = value.detach().cpu().resolve_conj().resolve_neg().contiguous()
        parts.append(whole.reshape(-1).view(torch.uint8).numpy().tobytes())
        return {"t": "tensor", "dtype": _NAMES[whole.dtype], "shape": list(whole.shape)}

    def tagged(value: Any, depth: int) -> Any:
        nonlocal count
        count += 1
        if depth > limits.depth or count > limits.values:
            raise WireError("lists that are too long or nest too deep")
        if isinstance(value, Tensor):
            return tensor(value)
        if value is None or type(value) in (bool, float, str):
            return value
        if type(value) is int:
            if not -_INT64 <= value < _INT64:
                raise WireError("an int beyond 64 bits")
            return value
        if type(value) is list:
            return [tagged(each, depth + 1) for each in value]
        if isinstance(value, tuple):
            return {"t": "tuple", "of": [tagged(each, depth + 1) for each in value]}
        if type(value) is dict:
            pairs = [
                [tagged(key, depth + 1), tagged(each, depth + 1)] for key, each in value.items()
            ]
            return {"t": "dict", "of": pairs}
        if isinstance(value, torch.Generator):
            return {"t": "generator", "of": tensor(value.get_state())}
        if function is not None and callable(value):
            return {"t": "function", "of": function(value)}
        raise WireError(f"an object of type {type(value).__name__}")

    text = json.dumps(tagged(value, 0)).encode()
    payload = b"".join(parts)
    return _LENGTHS.pack(len(text), len(payload)) + text + payload


def unpack(
    text: bytes, payload: bytes | bytearray, limits: Limits = Limits(),
    function: Callable[[int], Any] | None = None,
) -> Any:  # fmt: skip
    """The value of a frame's two parts.

    Args:
        function: gives what stands here for a function of the other side, where that is the
            grader; without it functions and generators (whose state is not checked) are refused.

    Raises:
        WireError: for anything that `pack` would not have written.
    """
    given = memoryview(payload)
    at = count = 0

    def tensor(tag: dict[str, Any]) -> Tensor:
        nonlocal at
        name, shape = tag.get("dtype"), tag.get("shape")
        if not isinstance(name, str) or name not in DTYPES:
            raise WireError("a tensor of an unknown type")
        if type(shape) is not list or len(shape) > 16:
            raise WireError("a tensor of no shape")
        if any(type(n) is not int or not 0 <= n < _INT64 for n in shape):
            raise WireError("a tensor of no shape")
        dtype = DTYPES[name]
        size = math.prod(shape) * dtype.itemsize
        if size > len(given) - at or max(shape, default=0) >= _INT64 // 16:
            raise WireError("a tensor larger than its bytes")
        raw = bytearray(given[at : at + size])
        at += size
        if not raw:
            return torch.empty(shape, dtype=dtype)
        flat = torch.frombuffer(raw, dtype=torch.uint8)
        return (flat != 0 if dtype is torch.bool else flat.view(dtype)).reshape(shape)

    def untagged(value: Any, depth: int) -> Any:
        nonlocal count
        count += 1
        if depth > limits.depth or count > limits.values:
            raise WireError("lists that are too long or nest too deep")
        if value is None or type(value) in (bool, float, str):
            return value
        if type(value) is int:
            if not -_INT64 <= value < _INT64:
                raise WireError("a number beyond 64 bits")
            return value
        if type(value) is list:
            return [untagged(each, depth + 1) for each in value]
        if type(value) is not dict:
            raise WireError("a value of an unknown kind")
        kind, of = value.get("t"), value.get("of")
        if kind == "tensor":
            return tensor(value)
        if kind == "tuple" and type(of) is list:
            return tuple(untagged(each, depth + 1) for each in of)
        if kind == "dict" and type(of) is list:
            return dict(pair(each, depth + 1) for each in of)
        if function is not None and kind == "generator" and type(of) is dict:
            return torch.Generator().set_state(tensor(of))
        if function is not None and kind == "function" and type(of) is int:
            return function(of)
        raise WireError("a value of an unknown kind")

    def pair(value: Any, depth: int) -> tuple[Any, Any]:
        if type(value) is not list or len(value) != 2 or not isinstance(value[0], str | int):
            raise WireError("a dict whose entries are no pairs")
        return untagged(value[0], depth), untagged(value[1], depth)

    try:
        value = untagged(json.loads(text.decode()), 0)
    except (ValueError, RecursionError, RuntimeError, OverflowError) as error:
        raise WireError(f"no message ({type(error).__name__})") from None
    if at != len(given):
        raise WireError("bytes that belong to no tensor")
    return value


class Wire:
    """One end of a connection: whole messages, each before a deadline.

    Args:
        connection: a stream.
        limits, outgoing: for what comes in and goes out.
        deadline: of `time.monotonic()`, or None to wait for ever.
    """

    def __init__(
        self, connection: socket.socket, limits: Limits = Limits(), outgoing: Limits = Limits(),
        deadline: float | None = None,
    ):  # fmt: skip
        self.connection, self.deadline = connection, deadline
        self.limits, self.outgoing = limits, outgoing

    def send(self, value: Any, function: Callable[[Any], int] | None = None) -> None:
        """Send a value; `WireError` if it cannot cross or the other side is gone or too slow."""
        self.send_frame(pack(value, function, self.outgoing))

    def send_frame(self, frame: bytes) -> None:
        """Send what `pack` made."""
        left = memoryview(frame)
        while left:
            self._wait()
            try:
                left = left[self.connection.send(left[: 1 << 20]) :]
            except TimeoutError:
                continue
            except OSError:
                raise ClosedError("the connection is closed") from None

    def receive(self, function: Callable[[int], Any] | None = None) -> Any:
        """The next value."""
        text, payload = _LENGTHS.unpack(self._exactly(_LENGTHS.size))
        if text > self.limits.text or payload > self.limits.tensors:
            raise WireError(f"a message of {text + payload} bytes")
        return unpack(self._exactly(text), self._exactly(payload), self.limits, function)

    def _exactly(self, size: int) -> bytes:
        parts = bytearray()
        while len(parts) < size:
            self._wait()
            try:
                part = self.connection.recv(min(size - len(parts), 1 << 20))
            except TimeoutError:
                continue
            except OSError:
                part = b""
            if not part:
                raise ClosedError("the connection is closed")
            parts += part
        return bytes(parts)

    def _wait(self) -> None:
        """Let the next call on the connection wait for no longer than the deadline."""
        if self.deadline is None:
            return
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TooLateError("the time is up")
        self.connection.settimeout(left)


assert sys.byteorder == "little", "tensors cross as little-endian bytes"
