"""What is asked of the invoker, and what it answers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from uuid import UUID

import orjson

from subgraph.audit import ErrorNote, HostCallNote
from subgraph.errors import InputInvalid

DEPTH_LIMIT = 128
"""Nesting of a skill's input; an interpreter inside a component has a small stack to read it with."""


class Executor(Enum):
    """By what a skill was run."""

    WASM = "WASM"
    SCRIPT = "SCRIPT"
    INLINE = "INLINE"


@dataclass(frozen=True, slots=True)
class InvocationRequest:
    """A call of a skill: its path or short name, its input as JSON text, who asks, and for what.

    `capabilities` are as the caller wrote them; None asks for all that were granted. `executor` None leaves
    the choice to the skill. `timeout_ms` can shorten the time that the skill may take.
    """

    skill: str
    input: str
    actor: str
    capabilities: tuple[str, ...] | None = None
    executor: Executor | None = None
    timeout_ms: int | None = None


@dataclass(frozen=True, slots=True)
class RunIdentity:
    """Which run it is, and who asked for it."""

    invocation_id: UUID
    actor: str


@dataclass(frozen=True, slots=True)
class Invocation:
    """A skill that started, and how it ended; `elapsed_us` in microseconds, `memory_bytes` in bytes.

    `stdout` is what the skill printed and answered, `result` the same as JSON, None when it is not.
    Only the answer to the call itself has these three texts: the ledger keeps their hashes. `host_calls` are
    the first of `host_call_count`.
    """

    invocation_id: UUID
    skill_name: str
    skill_path: str
    content_hash: str
    actor: str
    executor: Executor
    exit_code: int
    started_at: datetime
    ended_at: datetime
    elapsed_us: int
    memory_bytes: int | None
    capabilities: tuple[str, ...]
    error: ErrorNote | None
    host_calls: tuple[HostCallNote, ...] = ()
    host_call_count: int = 0
    result: object = None
    stdout: str | None = None
    stderr: str | None = None


def encode_input(value: object, limit: int) -> str:
    """Encode the input of a skill as JSON text.

    `value` is a JSON object, or text that holds one, which is passed on as it is. Raises `InputInvalid`
    for anything else, for more than `limit` bytes and for more than `DEPTH_LIMIT` levels.
    """
    if isinstance(value, str):
        _check_size(value, limit)
        parsed = _parse(value)
        _check_object(parsed, "text that holds something else")
        _check_depth(parsed, value)
        return value
    _check_object(value, f"a JSON {_KINDS.get(type(value), 'value')}")
    try:
        # Not orjson, which writes infinity as null and no integer beyond 64 bits.
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise InputInvalid(f"the input cannot be written as JSON: {error}") from error
    _check_size(text, limit)
    _check_depth(value, text)
    return text


_KINDS = {list: "list", int: "number", float: "number", bool: "boolean", type(None): "null"}


def _check_size(text: str, limit: int) -> None:
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise InputInvalid("the input holds half of a surrogate pair, which no UTF-8 text can") from None
    if size > limit:
        raise InputInvalid(f"the input has {size} bytes, over the limit of {limit}")


def _check_depth(value: object, text: str) -> None:
    if text.count("{") + text.count("[") <= DEPTH_LIMIT:
        return
    level = [value]
    for _ in range(DEPTH_LIMIT):
        level = [child for container in level for child in _children(container)]
        if not level:
            return
    raise InputInvalid(f"the input is nested deeper than {DEPTH_LIMIT} levels")


def _children(container: object) -> list[object]:
    """Return the objects and lists right inside one."""
    if isinstance(container, Mapping):
        return [child for child in container.values() if isinstance(child, Mapping | list)]
    return (
        [child for child in container if isinstance(child, Mapping | list)]
        if isinstance(container, list)
        else []
    )


def _parse(text: str) -> object:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise InputInvalid(f"the input is not JSON: {error}") from error


def _check_object(value: object, found: str) -> None:
    if not isinstance(value, Mapping):
        raise InputInvalid(f"the input must be a JSON object, or text that holds one; it is {found}")


_SURELY_WRITABLE_DEPTH = 200
"""Nesting that needs no check: orjson reads 1,024 levels, and writes 254 with the response around them."""


def parse_output(text: str) -> object:
    """Read what a skill answered as JSON; None when it is not JSON, or nested too deeply to pass on."""
    try:
        value = orjson.loads(text)
        if text.count("[") + text.count("{") > _SURELY_WRITABLE_DEPTH:
            orjson.dumps([[[[value]]]])
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        return None
    return value
