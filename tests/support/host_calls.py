"""A skill that makes the host calls which its input names."""

from __future__ import annotations

from functools import cache
from typing import Any

from tests.support.toolchain import ROOT, build_skill

Call = list[Any]
"""A capability's name and the arguments of its function: `["read_file", "a.txt"]`."""


@cache
def host_caller() -> bytes:
    """The component, built by the project's toolchain."""
    return build_skill(ROOT / "tests" / "support" / "host_caller").read_bytes()


def calls(*made: Call) -> dict[str, object]:
    """The input that has it make these calls."""
    return {"calls": list(made)}
