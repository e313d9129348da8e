"""What is written to a terminal or a pipe. Text of skills is shown so that it can neither hide nor turn."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterable, Sequence
from typing import TextIO

from rich import box
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from subgraph.catalog.showing import shown
from subgraph.cli.wrapping import column_widths, wrapped, wrapped_words

_PIPED_WIDTH = 200  # columns; nobody looks at them, and nothing is to be cut off

_BORDER = 3  # columns of the screen that each column of a table has beside its text

_TAG_WIDTH = 12
_LABEL_WIDTH = 14
_LEAST_TEXT = 20  # columns that a text has beside its label, however narrow the terminal is


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


def say_text(label: str, text: str, *, width: int = _LABEL_WIDTH) -> None:
    """Write a text under a label, in a terminal broken on words; in a pipe it is one line."""
    if sys.stdout.isatty():
        room = max(shutil.get_terminal_size().columns - width, _LEAST_TEXT)
        text = "\n".join(wrapped_words(_visible(text), room))
    say_fact(label, text, width=width)


def say_json(value: object) -> None:
    """Write a value as JSON, in the terminal without characters that hide or turn."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    sys.stdout.write(f"{_visible(text) if sys.stdout.isatty() else text}\n")
    sys.stdout.flush()


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write a table. Its first column has what is copied, which is broken last."""
    console = Console(
        width=None if sys.stdout.isatty() else _PIPED_WIDTH, highlight=False, markup=False, emoji=False
    )
    shown_rows = [columns, *([_visible(cell) for cell in row] for row in rows)]
    room = console.width - _BORDER * len(columns) - 1
    widths = column_widths(list(zip(*shown_rows, strict=True)), room)
    drawn = Table(
        *(Column(name, width=width, overflow="fold") for name, width in zip(columns, widths, strict=True)),
        box=box.ROUNDED,
    )
    for row in shown_rows[1:]:
        cells = zip(row, widths, strict=True)
        drawn.add_row(*(Text("\n".join(wrapped(cell, width))) for cell, width in cells))
    console.print(drawn)


def _visible(text: str) -> str:
    """Replace what a terminal would obey instead of showing it."""
    return shown(text).replace("\r\n", "\n").replace("\r", "\ufffd")
