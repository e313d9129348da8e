"""Frames between the service, its zygote and its workers: a length, then msgpack.

A worker may have been taken over by its guest, so the service checks every reply to the last field and
treats anything unexpected as the end of that worker.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgpack

from subgraph.execution.limits import ExitCode, Limits

HEADER = struct.Struct("<I")

READY, REFUSED = "ready", "refused"
"""What a worker says first: that its confinement is proved, or why it refuses to work."""

HOST_CALL = "host"
"""What a worker says during a run: `["host", name, [arguments]]`. It waits for `["ok", value]` or
`["err", message]`, or for its end."""

HOST_ANSWER_LIMIT = 64 * 1024 * 1024
"""Bound of the frame of an answer, in bytes: the largest that the service gives is a file or a response."""

CONTROL_FRAME_LIMIT = 256 * 1024 * 1024
"""Bound of a frame to the zygote: machine code is three to five times the size of its component."""


class ProtocolError(Exception):
    """The other side sent what the protocol does not have."""


class Call(NamedTuple):
    """One run of a component: its key, the input as JSON text, the limits, and directories for WASI.

    A directory is its place on this machine, its name for the guest, and whether the guest may write.
    """

    key: str
    input: str
    time_ms: int
    memory_bytes: int
    output_bytes: int
    fuel: int | None
    directories: Sequence[tuple[str, str, bool]] = ()

    @classmethod
    def of(
        cls, key: str, input_: str, limits: Limits, directories: Sequence[tuple[str, str, bool]] = ()
    ) -> Call:
        """Build a call under limits."""
        return cls(
            key, input_, limits.time_ms, limits.memory_bytes, limits.output_bytes, limits.fuel, directories
        )


class Reply(NamedTuple):
    """How a run ended.

    `output` is the text that the skill answered with, None when it failed; then `error_code` and
    `error` tell why. `limit` names the limit that was hit (`time`, `fuel`, `memory`, `output`,
    `host_calls`).
    `elapsed_us` is the time inside the worker, `memory_bytes` what the call added to its memory.
    """

    exit_code: int
    output: str | None
    error_code: str | None
    error: str | None
    limit: str | None
    elapsed_us: int
    memory_bytes: int
    stdout: str
    stderr: str

    @classmethod
    def stopped(
        cls, exit_code: ExitCode, error_code: str, error: str, elapsed_us: int, *, limit: str | None = None
    ) -> Reply:
        """Say that the service stopped a run, of whose memory and output it then knows nothing."""
        return cls(int(exit_code), None, error_code, error, limit, elapsed_us, 0, "", "")


_REPLY_TYPES: tuple[tuple[type, ...], ...] = (
    (int,), (str, type(None)), (str, type(None)), (str, type(None)), (str, type(None)),
    (int,), (int,), (str,), (str,),
)  # fmt: skip


class Ending(NamedTuple):
    """How a run can end by what its worker says of it."""

    exit_code: ExitCode
    error_code: str | None
    limit: str | None


ANSWERED = Ending(ExitCode.OK, None, None)
FAILED = Ending(ExitCode.FAILED, "EXECUTION_FAILED", None)
OVER: Mapping[str, Ending] = {
    limit: Ending(exit_code, "LIMIT_EXCEEDED", limit)
    for limit, exit_code in (
        ("time", ExitCode.TIME),
        ("fuel", ExitCode.TIME),
        ("memory", ExitCode.RESOURCE),
        ("output", ExitCode.RESOURCE),
    )
}
"""The end of a run that went over a limit, by the name of the limit."""

_ENDS = frozenset({ANSWERED, FAILED, *OVER.values()})

_ENCODE_BUFFER = 8 * 1024  # bytes; larger messages grow it

# What the audit log and GraphQL can hold; honest measurements are far below.
_ELAPSED_US_LIMIT = 2**31 - 1
_MEMORY_BYTES_LIMIT = 2**53


def encode(message: object) -> bytes:
    """Encode a message as one frame."""
    # The buffer's default size is more than malloc keeps: a mapping made and unmade for each message.
    body: bytes = msgpack.packb(message, buf_size=_ENCODE_BUFFER)
    return HEADER.pack(len(body)) + body


def decode(body: bytes) -> Any:
    """Decode the body of a frame. Raises `ProtocolError`."""
    try:
        return msgpack.unpackb(body)
    except (ValueError, RecursionError) as error:
        raise ProtocolError("not a message") from error


def _decode_bounded(body: bytes, *, lists: int, items: int) -> Any:
    """Decode what has at most so many lists, of so many items each, and no mapping; raises as `decode`.

    A few megabytes of empty lists would become hundreds in memory, so one list too many ends it.
    """
    found = 0

    def count(list_: list[Any]) -> list[Any]:
        nonlocal found
        found += 1
        if found > lists:
            raise ProtocolError("a message is nested")
        return list_

    try:
        return msgpack.unpackb(body, list_hook=count, max_array_len=items, max_map_len=0, max_ext_len=0)
    except (ValueError, RecursionError) as error:
        raise ProtocolError("not a message") from error


class HostCall(NamedTuple):
    """What a guest asks of the service: the name of the function, and its arguments.

    An argument is text, a whole number, or a list of texts.
    """

    name: str
    arguments: tuple[object, ...]


_HOST_CALL_PREFIX = b"\x93" + msgpack.packb(HOST_CALL)
_ARGUMENT_ITEMS_LIMIT = 64
"""Items of one list among the arguments of a host call: the words of a command."""


def is_host_call(body: bytes) -> bool:
    """Whether a worker's frame claims to be a host call; what else it is, is a reply."""
    return body.startswith(_HOST_CALL_PREFIX)


def decode_host_call(body: bytes) -> HostCall:
    """Decode a worker's host call. Raises `ProtocolError` for anything else."""
    match _decode_bounded(body, lists=4, items=_ARGUMENT_ITEMS_LIMIT):
        case [_, str(name), list(arguments)] if all(map(_is_argument, arguments)):
            return HostCall(name, tuple(arguments))
    raise ProtocolError("not a host call")


def _is_argument(value: object) -> bool:
    if isinstance(value, list):
        return all(type(item) is str for item in value)
    return type(value) in (str, int)


def decode_reply(body: bytes, limits: Limits) -> Reply:
    """Decode a worker's answer to a call under limits. Raises `ProtocolError` for anything else."""
    fields = _decode_bounded(body, lists=1, items=len(_REPLY_TYPES))
    if type(fields) is not list or len(fields) != len(_REPLY_TYPES):
        raise ProtocolError("not a reply")
    for field, types in zip(fields, _REPLY_TYPES, strict=True):
        if type(field) not in types:
            raise ProtocolError("a field of a reply has another type")
        if type(field) is str and len(field) > limits.output_bytes:
            raise ProtocolError("a field of a reply is over the output limit")
    reply = Reply(*fields)
    if not (0 <= reply.elapsed_us <= _ELAPSED_US_LIMIT and 0 <= reply.memory_bytes <= _MEMORY_BYTES_LIMIT):
        raise ProtocolError("a measurement of a reply is not possible")
    if (reply.exit_code, reply.error_code, reply.limit) not in _ENDS:
        raise ProtocolError("a run cannot end as a reply says")
    failed = reply.exit_code != ExitCode.OK
    if failed == (reply.output is not None) or failed == (reply.error is None):
        raise ProtocolError("a reply contradicts itself")
    return reply


def reply_frame_limit(limits: Limits) -> int:
    """Return how long the body of an honest reply can be, in bytes.

    Three bytes replace each byte of stdout and stderr that is no UTF-8; the result is UTF-8 already.
    """
    return (1 + 3 + 3) * limits.output_bytes + 64 * 1024


def receive(connection: socket.socket, limit: int = CONTROL_FRAME_LIMIT) -> bytes | None:
    """Read the body of one frame from a blocking socket; None when the other side has closed.

    Raises `ProtocolError` for a frame over the limit or cut short.
    """
    header = connection.recv(HEADER.size)
    return _receive_body(connection, header, limit) if header else None


def receive_with_descriptors(connection: socket.socket) -> tuple[bytes | None, list[int]]:
    """Read one frame and at most one descriptor that came with it; raises as `receive`."""
    header, descriptors, _, _ = socket.recv_fds(connection, HEADER.size, 1)
    body = _receive_body(connection, header, CONTROL_FRAME_LIMIT) if header else None
    return body, descriptors


def _receive_body(connection: socket.socket, header: bytes, limit: int) -> bytes:
    if len(header) < HEADER.size:
        header += _receive_exactly(connection, HEADER.size - len(header))
    (length,) = HEADER.unpack(header)
    if length > limit:
        raise ProtocolError("the frame is over its limit")
    return _receive_exactly(connection, length)


def _receive_exactly(connection: socket.socket, length: int) -> bytes:
    data = connection.recv(length)
    if len(data) == length:
        return data
    buffer = bytearray(data)
    while data and len(buffer) < length:
        data = connection.recv(length - len(buffer))
        buffer += data
    if len(buffer) < length:
        raise ProtocolError("the frame was cut short")
    return bytes(buffer)


def ask_service(
    connection: socket.socket, name: str, arguments: Sequence[object]
) -> tuple[bool, object] | None:
    """Make a host call from a worker; return whether it was done, and the answer or the error.

    None when the service has closed the connection. Raises `ProtocolError` for what is no answer.
    """
    connection.sendall(encode([HOST_CALL, name, list(arguments)]))
    body = receive(connection, HOST_ANSWER_LIMIT)
    if body is None:
        return None
    match decode(body):
        case ["ok", value]:
            return True, value
        case ["err", str(message)]:
            return False, message
    raise ProtocolError("not an answer to a host call")
