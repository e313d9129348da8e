"""What a component can import from this service: `cyberos:skill/host` of `schema/skill.wit`.

A worker can do none of it. Each function sends what the guest asked for to the service and waits; the
service checks, does it, records it and answers, or ends the run.
"""

from __future__ import annotations

import os
import socket
from functools import partial
from typing import NamedTuple

from wasmtime import Engine
from wasmtime.component import (
    U32,
    ComponentInstanceType,
    FuncType,
    Linker,
    ListType,
    ResultType,
    String,
)

from subgraph.execution.component_values import (
    Value,
    Values,
    put_result,
    put_text,
    put_texts,
    taken_number,
    taken_text,
    taken_texts,
)
from subgraph.execution.host_function import HostFunction, add_function
from subgraph.execution.protocol import ask_service

HOST_INSTANCE = "cyberos:skill/host@0.1.0"

_TEXT, _NUMBER, _TEXTS, _NOTHING = "string", "u32", "list<string>", "_"


class _Signature(NamedTuple):
    """Parameters, and what the function returns when it succeeds; it fails with a string."""

    parameters: tuple[str, ...]
    ok: str


HOST_FUNCTIONS: dict[str, _Signature] = {
    "read-file": _Signature((_TEXT,), _TEXT),
    "write-file": _Signature((_TEXT, _TEXT), _NOTHING),
    "list-dir": _Signature((_TEXT,), _TEXTS),
    "fetch-url": _Signature((_TEXT,), _TEXT),
    "get-secret": _Signature((_TEXT,), _TEXT),
    "read-env": _Signature((_TEXT,), _TEXT),
    "recall-memory": _Signature((_TEXT, _NUMBER), _TEXTS),
    "exec-command": _Signature((_TEXT, _TEXTS), _TEXT),
    "log": _Signature((_TEXT,), _NOTHING),
}
"""The functions of the interface, as `schema/skill.wit` spells them."""


class HostUnavailable(Exception):
    """A component called the host when no run was under way."""


class HostPort:
    """A worker's end of the way to the service; it is connected once the worker was forked."""

    def __init__(self) -> None:
        self._connection: socket.socket | None = None

    def connect(self, connection: socket.socket) -> None:
        """Use this connection for every call from now on."""
        self._connection = connection

    def ask(self, name: str, arguments: tuple[object, ...]) -> tuple[bool, object]:
        """Ask the service for something; return whether it was done, and the answer or the error.

        Does not return when the service has gone.
        """
        if self._connection is None:
            raise HostUnavailable
        try:
            answer = ask_service(self._connection, name, arguments)
        except OSError:
            answer = None
        if answer is None:
            os._exit(0)
        return answer


def add_host_functions(linker: Linker, port: HostPort) -> None:
    """Offer the whole interface to the components of a linker.

    What a component wants of it must be held to `wrong_host_imports` before: to call a function of another
    type is undefined.
    """
    with linker.root() as root, root.add_instance(HOST_INSTANCE) as instance:
        for name, signature in HOST_FUNCTIONS.items():
            add_function(instance, name, _function(port, name.replace("-", "_"), signature))


def _function(port: HostPort, name: str, signature: _Signature) -> HostFunction:
    takes = [_TAKES[kind] for kind in signature.parameters]

    def called(arguments: Values, result: Value) -> None:
        given = tuple(take(arguments[at]) for at, take in enumerate(takes))
        done, answer = port.ask(name, given)
        kind = signature.ok if done else _TEXT
        put_result(result, None if kind == _NOTHING else partial(_PUTS[kind], answer), ok=done)

    return called


def _put_text(answer: object, value: Value) -> None:
    if not isinstance(answer, str):
        raise TypeError("the service answered with no text")
    put_text(value, answer)


def _put_texts(answer: object, value: Value) -> None:
    if not isinstance(answer, list) or not all(isinstance(each, str) for each in answer):
        raise TypeError("the service answered with no texts")
    put_texts(value, answer)


_TAKES = {_TEXT: taken_text, _TEXTS: taken_texts, _NUMBER: taken_number}
_PUTS = {_TEXT: _put_text, _TEXTS: _put_texts}


def wrong_host_imports(wanted: object, engine: Engine) -> list[str]:
    """Name what a component wants of the interface and does not get: an unknown function, another type."""
    if not isinstance(wanted, ComponentInstanceType):
        return [HOST_INSTANCE]
    return sorted(
        f"{HOST_INSTANCE}#{name}"
        for name, function in wanted.exports(engine).items()
        if not _is(name, function.ty)
    )


def _is(name: str, function: object) -> bool:
    signature = HOST_FUNCTIONS.get(name)
    if signature is None or not isinstance(function, FuncType):
        return False
    result = function.result
    return (
        isinstance(result, ResultType)
        and tuple(_spelling(kind) for _, kind in function.params) == signature.parameters
        and _spelling(result.ok) == signature.ok
        and _spelling(result.err) == _TEXT
    )


def _spelling(kind: object) -> str:
    """Spell a type as WIT does; what the interface does not use is `?`."""
    if kind is None:
        return _NOTHING
    if isinstance(kind, ListType):
        return f"list<{_spelling(kind.element)}>"
    return _TEXT if isinstance(kind, String) else _NUMBER if isinstance(kind, U32) else "?"
