"""What a host call is asked for: its arguments checked, and its target in one form."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from subgraph.capabilities.patterns import (
    PatternError,
    VirtualPath,
    check_command,
    check_variable,
    normalise_path,
)
from subgraph.capabilities.urls import normalise_url
from subgraph.execution.host.commands import ARGUMENTS_BYTES_LIMIT, ARGUMENTS_LIMIT
from subgraph.execution.host.errors import HostCallInvalid
from subgraph.execution.host.memory import QUERY_LIMIT, RESULTS_LIMIT

NOTES: Final = "notes"
"""The target of every `recall_memory`: its query may hold what people told the skill."""

SERVICE_LOG: Final = "log"
"""The target of every `log`."""


@dataclass(frozen=True, slots=True)
class _Shape:
    """Types of the arguments, in order, and how the target is read from the first."""

    types: tuple[str, ...]
    target: Callable[[str], str]


def _path(text: str) -> str:
    return str(normalise_path(text))


def _url(text: str) -> str:
    return str(normalise_url(text))


HOST_FUNCTIONS: Mapping[str, _Shape] = MappingProxyType({
    "read_file": _Shape(("text",), _path),
    "write_file": _Shape(("text", "text"), _path),
    "list_dir": _Shape(("text",), _path),
    "fetch_url": _Shape(("text",), _url),
    "get_secret": _Shape(("text",), check_variable),
    "read_env": _Shape(("text",), check_variable),
    "recall_memory": _Shape(("text", "number"), lambda query: NOTES),
    "exec_command": _Shape(("text", "texts"), check_command),
    "log": _Shape(("text",), lambda message: SERVICE_LOG),
})  # fmt: skip
"""Every host function by the name of its capability; `log` needs none."""


def check_arguments(name: str, arguments: Sequence[object]) -> None:
    """Raise `HostCallInvalid` when a function is unknown or its arguments have other types or bounds."""
    shape = HOST_FUNCTIONS.get(name)
    if shape is None:
        raise HostCallInvalid("there is no such host function")
    if len(arguments) != len(shape.types):
        raise HostCallInvalid(f"{name} takes {len(shape.types)} arguments")
    for kind, value in zip(shape.types, arguments, strict=True):
        if not _has_type(kind, value):
            raise HostCallInvalid(f"{name} takes other types of arguments, and text without lone surrogates")
    if name == "recall_memory":
        query, limit = arguments
        if not isinstance(limit, int) or not 1 <= limit <= RESULTS_LIMIT:
            raise HostCallInvalid(f"the limit is not within 1 and {RESULTS_LIMIT}")
        if not isinstance(query, str) or len(query) > QUERY_LIMIT:
            raise HostCallInvalid(f"the query has more than {QUERY_LIMIT} characters")
    if name == "exec_command":
        _check_command_arguments(arguments[1])


def _has_type(kind: str, value: object) -> bool:
    if kind == "number":
        return isinstance(value, int) and not isinstance(value, bool)
    if kind == "texts":
        return isinstance(value, list | tuple) and all(_is_text(one) for one in value)
    return _is_text(value)


def _is_text(value: object) -> bool:
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_command_arguments(value: object) -> None:
    texts = [str(one) for one in value] if isinstance(value, list | tuple) else []
    if len(texts) > ARGUMENTS_LIMIT or sum(len(one.encode()) for one in texts) > ARGUMENTS_BYTES_LIMIT:
        raise HostCallInvalid(
            f"a command takes at most {ARGUMENTS_LIMIT} arguments of {ARGUMENTS_BYTES_LIMIT} bytes together"
        )
    if any("\0" in one for one in texts):
        raise HostCallInvalid("an argument of a command holds a zero byte")


def target_of(name: str, arguments: Sequence[object]) -> str:
    """Return what a call is about, in the one form that is checked and used.

    A virtual path, an address, a name, or a fixed word; never a secret's value or the content of a file.
    An address has its query: record `recorded_target` instead. Raises `HostCallInvalid`.
    """
    check_arguments(name, arguments)
    try:
        return HOST_FUNCTIONS[name].target(str(arguments[0]))
    except PatternError as error:
        raise HostCallInvalid(str(error)) from None


def recorded_target(name: str, target: str) -> str:
    """Return a target as it is shown and recorded: the query of an address is cut off."""
    return normalise_url(target).recorded if name == "fetch_url" else target


def path_of(target: str) -> VirtualPath:
    """Read the target of a file function."""
    return normalise_path(target)
