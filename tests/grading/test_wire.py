"""What crosses between the grader and a worker that it does not trust."""

import contextlib
import json
import socket
import struct
import threading
import time

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from t2i_course.grading.wire import (
    DTYPES,
    ClosedError,
    Limits,
    TooLateError,
    Wire,
    WireError,
    pack,
    unpack,
)

LENGTHS = struct.Struct("<IQ")


def parts(frame: bytes) -> tuple[bytes, bytes]:
    text, payload = LENGTHS.unpack(frame[:12])
    assert len(frame) == 12 + text + payload
    return frame[12 : 12 + text], frame[12 + text :]


def crossed(value):
    return unpack(*parts(pack(value)), function=int)


def tensors():
    shapes = st.lists(st.integers(0, 4), max_size=3)
    return st.builds(
        lambda name, shape, seed: torch.randint(
            0, 2, shape, generator=torch.Generator().manual_seed(seed)
        ).to(DTYPES[name]),
        st.sampled_from(sorted(DTYPES)), shapes, st.integers(0, 99),
    )  # fmt: skip


leaves = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text()
values = st.recursive(
    leaves | tensors(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text() | st.integers(-5, 5), inner, max_size=3)
    ),
    max_leaves=8,
)


def alike(a, b) -> bool:
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and a.shape == b.shape and torch.equal(a, b)
    if type(a) in (list, tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(alike, a, b))
    if type(a) is dict:
        return list(a) == list(b) and all(alike(a[key], b[key]) for key in a)
    return type(a) is type(b) and (a == b or (a != a and b != b))


@given(values)
def test_a_value_comes_out_as_it_went_in(value):
    assert alike(value, crossed(value))


@given(values, st.data())
def test_a_frame_with_any_byte_changed_is_a_value_or_a_wire_error(value, data):
    text, payload = map(bytearray, parts(pack(value)))
    place = data.draw(st.integers(0, len(text) - 1))
    text[place] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, 3))
    with contextlib.suppress(WireError):
        unpack(bytes(text), payload[: len(payload) - cut])


def test_not_a_number_infinity_and_signed_zero_keep_their_bits():
    given_ = torch.tensor([float("nan"), float("inf"), -0.0])
    assert torch.equal(crossed(given_).view(torch.int32), given_.view(torch.int32))


def test_a_generator_goes_on_where_it_was():
    generator = torch.Generator().manual_seed(3)
    torch.randn(5, generator=generator)
    other = crossed([generator])[0]
    assert torch.equal(torch.randn(7, generator=generator), torch.randn(7, generator=other))


def test_a_view_crosses_as_what_it_shows():
    base = torch.arange(12.0).reshape(3, 4)
    for view in (base.T, base[:, ::2], torch.complex(base, base).conj(), base[0].expand(5, 4)):
        assert torch.equal(crossed(view), view)


@pytest.mark.parametrize(
    "message",
    [
        {"t": "tensor", "dtype": "float32", "shape": [2**62, 4]},
        {"t": "tensor", "dtype": "float32", "shape": [-1]},
        {"t": "tensor", "dtype": "float32", "shape": [True]},
        {"t": "tensor", "dtype": "float32", "shape": [1] * 99},
        {"t": "tensor", "dtype": "float32", "shape": [0, 2**62, 2**62]},
        {"t": "tensor", "dtype": "object", "shape": []},
        {"t": "tensor", "dtype": ["float32"], "shape": []},
        {"t": "tensor"},
        {"t": "generator", "of": {"dtype": "uint8", "shape": [3]}},
        {"t": "generator", "of": {"dtype": "float32", "shape": [0]}},
        {"t": "dict", "of": [[[], 1]]},
        {"t": "dict", "of": [[1, 2, 3]]},
        {"t": "dict", "of": [[{"t": "tuple", "of": []}, 1]]},
        {"t": "tuple", "of": 3},
        {"t": "function", "of": 0},
        {"t": ["tensor"]},
        {"no": "tag"},
        10**30,
    ],
)
def test_what_pack_never_writes_is_refused(message):
    with pytest.raises(WireError):
        unpack(json.dumps(message).encode(), b"abc")


@pytest.mark.parametrize(
    "text", [b"[" * 100_000, b"", b"\xff\xfe", b"1" * 5000, b"{", b"nul", b'{"t":NaN}']
)
def test_text_that_is_no_message_is_refused(text):
    with pytest.raises(WireError):
        unpack(text, b"")


def test_bytes_that_belong_to_no_tensor_are_refused():
    with pytest.raises(WireError, match="belong to no tensor"):
        unpack(b"1", b"x")


def test_a_bool_tensor_holds_only_true_and_false_whatever_its_bytes_are():
    tag = {"t": "tensor", "dtype": "bool", "shape": [3]}
    value = unpack(json.dumps(tag).encode(), bytes([0, 1, 200]))
    assert value.view(torch.uint8).tolist() == [0, 1, 1]


@pytest.mark.parametrize(
    "value",
    [object(), {1}, b"x", lambda: 0, 2**63, torch.ones(3).to_sparse(), torch.float32, 1j,
     torch.zeros(17 << 20)],
)  # fmt: skip
def test_what_cannot_cross_is_said_and_not_sent(value):
    with pytest.raises(WireError):
        pack(value)


def test_a_message_larger_than_the_limits_is_refused_before_it_is_read():
    ours, theirs = socket.socketpair()
    theirs.sendall(LENGTHS.pack(2**31, 0))
    with pytest.raises(WireError, match="a message of"):
        Wire(ours).receive()
    theirs.sendall(LENGTHS.pack(1, 2**62))
    with pytest.raises(WireError, match="a message of"):
        Wire(ours).receive()


def test_lists_beyond_the_limits_are_refused_on_both_sides():
    few = Limits(values=10, depth=3)
    for value in (list(range(20)), [[[[[1]]]]]):
        with pytest.raises(WireError):
            pack(value, limits=few)
        with pytest.raises(WireError):
            unpack(json.dumps(value).encode(), b"", few)


def test_a_message_that_drips_ends_at_the_deadline():
    ours, theirs = socket.socketpair()
    stop = threading.Event()

    def drip():
        theirs.send(LENGTHS.pack(1000, 0))
        while not stop.wait(0.02):
            theirs.send(b" ")

    thread = threading.Thread(target=drip)
    thread.start()
    with pytest.raises(TooLateError):
        Wire(ours, deadline=time.monotonic() + 0.2).receive()
    stop.set()
    thread.join()


def test_a_side_that_reads_nothing_ends_at_the_deadline_too():
    ours, _theirs = socket.socketpair()
    with pytest.raises(TooLateError):
        Wire(ours, deadline=time.monotonic() + 0.2).send(torch.zeros(1 << 22))


def test_an_end_within_a_message_is_an_end():
    ours, theirs = socket.socketpair()
    theirs.sendall(LENGTHS.pack(1000, 0) + b"{")
    theirs.close()
    with pytest.raises(ClosedError):
        Wire(ours).receive()
