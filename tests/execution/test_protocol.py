from __future__ import annotations

import os
import socket
import struct
import threading
from collections.abc import Iterator
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from subgraph.execution.limits import Limits
from subgraph.execution.protocol import (
    CONTROL_FRAME_LIMIT,
    HEADER,
    Call,
    ProtocolError,
    Reply,
    decode,
    decode_reply,
    encode,
    receive,
    receive_with_descriptors,
    reply_frame_limit,
)

LIMITS = Limits(time_ms=1000, memory_bytes=1 << 20, output_bytes=1024)

OK = Reply(0, "answer", None, None, None, 12, 34, "out", "err")
FAILED = Reply(1, None, "EXECUTION_FAILED", "no", None, 12, 34, "", "")

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=50)
number = st.integers(0, 2**63 - 1)
messages = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | text | st.binary(max_size=50),
    lambda inner: st.lists(inner, max_size=5),
    max_leaves=20,
)


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(10)
        theirs.settimeout(10)
        yield ours, theirs


def body_of(message: object) -> bytes:
    return encode(message)[HEADER.size :]


def changed(reply: Reply, **fields: Any) -> list[Any]:
    return list(reply._replace(**fields))


@given(messages)
def test_a_message_comes_back_as_it_was(message: object) -> None:
    frame = encode(message)
    assert HEADER.unpack_from(frame) == (len(frame) - HEADER.size,)
    assert decode(frame[HEADER.size :]) == message


directories = st.lists(st.tuples(text, text, st.booleans()).map(list))


@given(st.builds(Call, text, text, number, number, number, st.none() | number, directories))
def test_a_call_comes_back_as_it_was(call: Call) -> None:
    assert Call(*decode(body_of(call))) == call


failures = st.sampled_from(
    [
        (1, "EXECUTION_FAILED", None),
        (124, "LIMIT_EXCEEDED", "time"),
        (137, "LIMIT_EXCEEDED", "memory"),
        (137, "LIMIT_EXCEEDED", "output"),
    ]
)
measurement = st.integers(0, 2**31 - 1)


@st.composite
def honest_replies(draw: st.DrawFn) -> Reply:
    measured = draw(measurement), draw(measurement), draw(text), draw(text)
    if draw(st.booleans()):
        return Reply(0, draw(text), None, None, None, *measured)
    exit_code, error_code, limit = draw(failures)
    return Reply(exit_code, None, error_code, draw(text), limit, *measured)


@given(honest_replies())
def test_an_honest_reply_comes_back_as_it_was(reply: Reply) -> None:
    assert decode_reply(body_of(reply), LIMITS) == reply


@given(st.binary(max_size=200))
def test_bytes_of_a_stranger_are_a_protocol_error_or_a_message(body: bytes) -> None:
    try:
        decode(body)
    except ProtocolError:
        return


@given(messages)
def test_another_message_is_no_reply(message: object) -> None:
    with pytest.raises(ProtocolError):
        decode_reply(body_of(message), LIMITS)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc1",  # a byte that msgpack never uses
        body_of(OK) + b"\x00",
        body_of(OK)[:-1],
        b"\xdd\xff\xff\xff\xff",  # an array of four thousand million
        b"\xdb\xff\xff\xff\xff",  # a string of as many bytes
        b"\x91" * 100_000,  # depth
        b"\xa2\xff\xfe",  # a string that is no UTF-8
        b"\x81\x90\x00",  # a map whose key is a list
        b"\xd6\xff\x00\x00\x00\x00",  # a time stamp
    ],
)
def test_a_reply_that_is_no_message_is_a_protocol_error(body: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode_reply(body, LIMITS)


def test_a_reply_of_another_length_is_a_protocol_error() -> None:
    others: list[object] = [[], list(OK)[:-1], [*OK, ""], {}, "reply", 0, None]
    for fields in others:
        with pytest.raises(ProtocolError):
            decode_reply(body_of(fields), LIMITS)


@pytest.mark.parametrize("field", Reply._fields)
@pytest.mark.parametrize("reply", [OK, FAILED])
@pytest.mark.parametrize(
    "value", [True, False, 1.0, b"bytes", [], ["text"], {}, {"a": "b"}, msgpack.Timestamp(0), None, 7, "text"]
)
def test_a_field_of_another_type_is_a_protocol_error(field: str, reply: Reply, value: object) -> None:
    expected = {
        "exit_code": (int,), "elapsed_us": (int,), "memory_bytes": (int,), "stdout": (str,), "stderr": (str,),
    }.get(field, (str, type(None)))  # fmt: skip
    if type(value) in expected:
        return
    with pytest.raises(ProtocolError):
        decode_reply(body_of(changed(reply, **{field: value})), LIMITS)


@pytest.mark.parametrize("field", ["output", "stdout", "stderr"])
def test_a_text_over_the_limit_is_a_protocol_error(field: str) -> None:
    longest = "x" * LIMITS.output_bytes
    assert decode_reply(body_of(changed(OK, **{field: longest})), LIMITS)
    with pytest.raises(ProtocolError):
        decode_reply(body_of(changed(OK, **{field: longest + "x"})), LIMITS)


@pytest.mark.parametrize("field", ["error", "error_code", "limit", "stdout", "stderr"])
def test_an_error_over_the_limit_is_a_protocol_error(field: str) -> None:
    with pytest.raises(ProtocolError):
        decode_reply(body_of(changed(FAILED, **{field: "x" * (LIMITS.output_bytes + 1)})), LIMITS)


@pytest.mark.parametrize("field", ["elapsed_us", "memory_bytes"])
@given(value=st.integers(-(2**63), -1) | st.integers(2**53 + 1, 2**64 - 1))
def test_an_impossible_measurement_is_a_protocol_error(field: str, value: int) -> None:
    with pytest.raises(ProtocolError):
        decode_reply(body_of(changed(OK, **{field: value})), LIMITS)


@pytest.mark.parametrize(
    "fields",
    [
        changed(OK, output=None),
        changed(OK, exit_code=1),
        changed(OK, error="and yet"),
        changed(OK, error_code="EXECUTION_FAILED"),
        changed(FAILED, exit_code=0),
        changed(FAILED, error=None),
        changed(FAILED, error_code=None),
        changed(FAILED, output="and yet"),
        changed(OK, limit="time"),
        changed(FAILED, limit="time"),
        changed(FAILED, exit_code=2**31),
        changed(FAILED, exit_code=-1),
        changed(FAILED, exit_code=126, error_code="CAPABILITY_DENIED"),
        changed(FAILED, error_code="UNAUTHENTICATED"),
        changed(FAILED, exit_code=124, error_code="LIMIT_EXCEEDED", limit="patience"),
        changed(FAILED, exit_code=137, error_code="LIMIT_EXCEEDED", limit="time"),
    ],
)
def test_a_reply_that_contradicts_itself_is_a_protocol_error(fields: list[Any]) -> None:
    with pytest.raises(ProtocolError):
        decode_reply(body_of(fields), LIMITS)


def test_the_longest_honest_reply_fits_its_frame() -> None:
    replaced = b"\xff".decode(errors="replace") * LIMITS.output_bytes
    fields = changed(OK, output="x" * LIMITS.output_bytes, stdout=replaced, stderr=replaced)
    assert len(body_of(fields)) <= reply_frame_limit(LIMITS)
    assert decode_reply(body_of(fields), LIMITS).stdout == replaced


def test_frames_arrive_in_pieces_and_in_order(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    large = "x" * 3_000_000
    stream = encode("first") + encode(large) + encode([])

    def send() -> None:
        for start in range(8):
            theirs.sendall(stream[start : start + 1])
        theirs.sendall(stream[8:])
        theirs.shutdown(socket.SHUT_WR)

    sender = threading.Thread(target=send)
    sender.start()
    bodies = [receive(ours) for _ in range(4)]
    sender.join()
    assert [decode(body) for body in bodies if body is not None] == ["first", large, []]
    assert bodies[3] is None


@given(st.data())
def test_a_frame_cut_short_is_a_protocol_error(data: st.DataObject) -> None:
    frame = encode("some message")
    length = data.draw(st.integers(1, len(frame) - 1))
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(frame[:length])
        theirs.shutdown(socket.SHUT_WR)
        with pytest.raises(ProtocolError, match="cut short"):
            receive(ours)


def test_a_frame_over_its_limit_is_refused_before_it_is_read(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = pair
    theirs.sendall(encode(b"1234") + struct.pack("<I", 7) + struct.pack("<I", CONTROL_FRAME_LIMIT + 1))
    assert receive(ours, limit=6) is not None
    with pytest.raises(ProtocolError, match="over its limit"):
        receive(ours, limit=6)
    with pytest.raises(ProtocolError, match="over its limit"):
        receive_with_descriptors(ours)


def test_a_descriptor_travels_with_its_frame(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    reading, writing = os.pipe()
    socket.send_fds(theirs, [encode(["fork"])], [writing])
    os.close(writing)
    body, descriptors = receive_with_descriptors(ours)
    assert body is not None
    assert decode(body) == ["fork"]
    (descriptor,) = descriptors
    os.write(descriptor, b"there")
    os.close(descriptor)
    assert os.read(reading, 16) == b"there"
    os.close(reading)
    theirs.close()
    assert receive_with_descriptors(ours) == (None, [])


def test_nested_lists_end_a_reply_before_they_fill_memory() -> None:
    bomb = b"\x99" + b"\x90" * 1_000_000
    with pytest.raises(ProtocolError, match="nested"):
        decode_reply(bomb, LIMITS)
