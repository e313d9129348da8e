"""How the service starts a Python process of its own: isolated, and with this very package."""

from __future__ import annotations

import sys
from pathlib import Path

_PACKAGE_ROOT = Path(__file__).parents[2]

# Isolated mode ignores the environment and the working directory, from which another `subgraph` could be
# imported; so the place of this one is handed over.
_START = (
    "import runpy, sys; root, module = sys.argv[1:3]; sys.path.insert(0, root); "
    "sys.argv[:3] = [module]; runpy.run_module(module, run_name='__main__', alter_sys=True)"
)


def child_command(module: str, *arguments: str) -> list[str]:
    """Return the command line that runs a module of this package in a process of its own."""
    return [sys.executable, "-I", "-c", _START, str(_PACKAGE_ROOT), module, *arguments]
