"""What a component written in Python may ask of the service: the functions that a script has under this name.

A function that `allowed-tools` does not declare is not there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from componentize_py_types import Err

try:
    from wit_world.imports import host
except ImportError:
    host = None


class HostError(Exception):
    """The service did not do what the skill asked for; the message says why."""


def _asking(function: Callable[..., Any]) -> Callable[..., Any]:
    def ask(*arguments: object) -> Any:
        try:
            return function(*arguments)
        except Err as error:
            raise HostError(error.value) from None

    return ask


for _name in (
    "read_file", "write_file", "list_dir", "fetch_url", "get_secret", "read_env", "recall_memory",
    "exec_command", "log",
):  # fmt: skip
    if hasattr(host, _name):
        globals()[_name] = _asking(getattr(host, _name))
