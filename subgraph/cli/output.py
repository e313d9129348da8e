"""What is written to a terminal or a pipe. Text of skills is shown so that it can neither hide nor turn."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import TextIO

from rich import box
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from subgraph.catalog.showing import shown

_PIPED_WIDTH = 200  # columns; nobody looks at them, and nothing is to be cut off

_TAG_WIDTH = 12
_LABEL_WIDTH = 14


def say(text: str = "", *, file: TextIO | None = None) -> None:
    """Write a line."""
    print(_visible(text), file=file or sys.stdout, flush=True)


def tell(tag: str, text: str) -> None:
    """Write about what is done, on stderr: stdout is for the answer. Each line has the tag."""
    for line in text.splitlines() or [""]:
        say(f"{f'[{tag}]':<{_TAG_WIDTH}} {line}", file=sys.stderr)


def say_step(tag: str, text: str, *, failed: bool = False) -> None:
    """Write about what was done, where that is the answer; what failed goes to stderr."""
    for line in text.splitlines() or [""]:
        say(f"{f'[{tag}]':<{_TAG_WIDTH}} {line}", file=sys.stderr if failed else sys.stdout)


def say_fact(label: str, value: str, *, width: int = _LABEL_WIDTH) -> None:
    """Write what is known under a label; further lines are indented, and pass for no other fact."""
    first, *others = value.splitlines() or [""]
    for start, line in ((label, first), *(("", line) for line in others)):
        say(f"{start:<{width}}{line}")


def say_json(value: object) -> None:
    """Write a value as JSON, in the terminal without characters that hide or turn."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    sys.stdout.write(f"{_visible(text) if sys.stdout.isatty() else text}\n")
    sys.stdout.flush()


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write a table."""
    console = Console(
        width=None if sys.stdout.isatty() else _PIPED_WIDTH, highlight=False, markup=False, emoji=False
    )
    drawn = Table(*(Column(name, overflow="fold") for name in columns), box=box.ROUNDED)
    for row in rows:
        drawn.add_row(*(Text(_visible(cell)) for cell in row))
    console.print(drawn)


def _visible(text: str) -> str:
    """Replace what a terminal would obey instead of showing it."""
    return shown(text).replace("\r\n", "\n").replace("\r", "\ufffd")
