"""What does not fit a terminal is broken where it can still be read and copied."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import termios

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from subgraph.cli.wrapping import column_widths, wrapped, wrapped_words
from tests.support.toolchain import ROOT

VIETNAMESE = "Lập hóa đơn giá trị gia tăng, hóa đơn điện tử từ các dòng hàng"


def test_words_stay_whole_and_marks_count_for_nothing() -> None:
    assert wrapped(VIETNAMESE, 20) == [
        "Lập hóa đơn giá trị",
        "gia tăng, hóa đơn",
        "điện tử từ các dòng",
        "hàng",
    ]
    assert wrapped("no break", 8) == ["no break"]


def test_a_name_breaks_after_its_marks_and_a_digest_anywhere() -> None:
    assert wrapped("cyberskill-vn/vn-tax-filing", 16) == ["cyberskill-vn/", "vn-tax-filing"]
    assert wrapped("0123456789", 4) == ["0123", "4567", "89"]
    assert wrapped_words("is 0123456789", 4) == ["is", "0123456789"]


@given(st.text(st.characters(codec="utf-8", exclude_categories=["C", "M", "Zl", "Zp"])), st.integers(2, 30))
def test_nothing_is_lost_and_nothing_sticks_out(text: str, width: int) -> None:
    lines = wrapped(text, width)
    assert "".join("".join(lines).split()) == "".join(text.split())
    assert all(cell_len(line) <= width for line in lines)


CELL = st.text("ab -/", max_size=30)


@given(st.lists(st.tuples(CELL, CELL, CELL), min_size=1, max_size=5), st.integers(3, 90))
def test_columns_keep_within_their_room(rows: list[tuple[str, str, str]], room: int) -> None:
    columns = list(zip(*rows, strict=True))
    widths = column_widths(columns, room)
    assert sum(widths) <= room
    assert all(1 <= width <= max(1, *map(len, cells)) for width, cells in zip(widths, columns, strict=True))


def test_names_that_are_copied_are_broken_last() -> None:
    columns = [["cuo/cpo/chain-selector"], ["read_file(notes/**)"], ["a word or two"]]
    assert column_widths(columns, 100) == [22, 19, 13]
    assert column_widths(columns, 48)[:2] == [22, 19]
    assert column_widths(columns, 40)[0] == 22
    assert column_widths(columns, 30)[0] < 22


def test_a_terminal_of_80_columns_is_enough_and_a_pipe_has_whole_lines() -> None:
    shown = in_terminal("-c", PRINTS)
    assert max(map(cell_len, shown)) <= 80
    assert any("│ cuo/cpo/chain-selector │" in line for line in shown)
    piped = subprocess.run(
        [sys.executable, "-c", PRINTS], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    assert piped.stdout.splitlines()[0] == f"description   {VIETNAMESE * 9}"


PRINTS = f"""
from subgraph.cli.output import say_text, table
say_text("description", {VIETNAMESE * 9!r})
table(("name", "what"), [("cuo/cpo/chain-selector", {VIETNAMESE * 9!r})])
"""


def in_terminal(*words: str) -> list[str]:
    """Run Python in a terminal of 80 columns, and return the lines that it shows."""
    ours, theirs = pty.openpty()
    try:
        termios.tcsetwinsize(theirs, (50, 80))
        environment = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "LINES"}}
        with subprocess.Popen(
            [sys.executable, *words],
            cwd=ROOT,
            stdin=theirs,
            stdout=theirs,
            env=environment | {"TERM": "dumb"},
        ) as process:
            os.close(theirs)
            shown = b""
            while True:
                try:
                    data = os.read(ours, 4096)
                except OSError:  # EIO: nobody writes to it any more
                    break
                if not data:
                    break
                shown += data
        assert process.returncode == 0
    finally:
        os.close(ours)
    return shown.decode().splitlines()
