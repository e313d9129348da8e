"""The module `cyberos_host`, by which a script asks the service for what it cannot do itself."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any

from subgraph.execution.protocol import ProtocolError, ask_service

MODULE = "cyberos_host"


class HostError(Exception):
    """The service did not do what the script asked for; the message says why."""


def host_module(connection: socket.socket) -> ModuleType:
    """Make the module; each call asks the service and waits. What it does not do raises `HostError`."""

    def ask(name: str, *arguments: object) -> Any:
        answer = ask_service(connection, name, arguments)
        if answer is None:
            raise ProtocolError("the service has closed the connection")
        done, value = answer
        if not done:
            raise HostError(value)
        return value

    module = ModuleType(MODULE, "What the service does for a script, if its capabilities allow it.")
    for function in _functions(ask):
        function.__module__ = MODULE
        setattr(module, function.__name__, function)
    error: Any = HostError
    error.__module__ = MODULE
    error.__qualname__ = "HostError"
    module.__dict__["HostError"] = error
    return module


def install(connection: socket.socket) -> None:
    """Make the module importable in this process."""
    sys.modules[MODULE] = host_module(connection)


def _functions(ask: Callable[..., Any]) -> Iterable[Callable[..., Any]]:
    def read_file(path: str) -> str:
        """Return the text of a file."""
        text: str = ask("read_file", _text(path, "path"))
        return text

    def write_file(path: str, content: str) -> None:
        """Write a text to a file."""
        ask("write_file", _text(path, "path"), _text(content, "content"))

    def list_dir(path: str) -> list[str]:
        """Return the names in a directory."""
        return list(ask("list_dir", _text(path, "path")))

    def fetch_url(url: str) -> str:
        """Return the text at an address."""
        text: str = ask("fetch_url", _text(url, "url"))
        return text

    def get_secret(name: str) -> str:
        """Return a secret."""
        value: str = ask("get_secret", _text(name, "name"))
        return value

    def read_env(name: str) -> str:
        """Return a variable of the environment."""
        value: str = ask("read_env", _text(name, "name"))
        return value

    def recall_memory(query: str, limit: int = 5) -> list[str]:
        """Return what was remembered about a query, the best first."""
        return list(ask("recall_memory", _text(query, "query"), int(limit)))

    def exec_command(name: str, arguments: Iterable[str] = ()) -> str:
        """Run a command that the operator has named; return what it printed."""
        texts = [_text(argument, "argument") for argument in arguments]
        output: str = ask("exec_command", _text(name, "name"), texts)
        return output

    def log(message: str) -> None:
        """Write a line to the log of this run."""
        ask("log", _text(message, "message"))

    return (
        read_file, write_file, list_dir, fetch_url, get_secret, read_env, recall_memory, exec_command, log,
    )  # fmt: skip


def _text(value: object, name: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, not {type(value).__name__}")
    value.encode()  # a lone surrogate is the script's mistake, and no frame can hold it
    return value
