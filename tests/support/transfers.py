"""Transfers for the tests of vn-bank-transfer, what other libraries make of them, and pictures read back."""

from __future__ import annotations

import json
import random
import re
import subprocess
import xml.etree.ElementTree as ET
from typing import Any

from hypothesis import strategies as st

from tests.support.npm import npm_ci, require
from tests.support.toolchain import ROOT

ORACLES = ROOT / "tests" / "skills" / "oracles"
ORACLE_SECONDS = 60
DIGITS = "0123456789"
PLAIN = "ABCXYZabcxyz0123456789 ._/:-"
QUIET = 4

Modules = list[list[int]]
"""Rows of a QR symbol, 1 for a dark module."""


def ask_oracles(**request: object) -> dict[str, Any]:
    """Ask the libraries of `oracles/`; `vietqr.mjs` says what."""
    npm_ci(ORACLES)
    done = subprocess.run(
        [require("node"), ORACLES / "vietqr.mjs"],
        input=json.dumps(request).encode(),
        capture_output=True,
        timeout=ORACLE_SECONDS,
        check=True,
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def generated(count: int, seed: int, bins: list[str]) -> list[dict[str, Any]]:
    """Transfers of all lengths and kinds, as the oracles take them."""
    choice = random.Random(seed)  # noqa: S311
    transfers = []
    for _ in range(count):
        method = choice.choice(["account", "account", "account", "card"])
        length = choice.choice([16, 19]) if method == "card" else choice.randint(1, 19)
        memo = " ".join("".join(choice.choices(PLAIN, k=choice.randint(0, 25))).split())
        transfers.append(
            {
                "bin": choice.choice(bins),
                "method": method,
                "number": "".join(choice.choices(DIGITS, k=length)),
                "amount": choice.randint(1, 10 ** choice.randint(1, 13) - 1)
                if choice.random() < 0.7
                else None,
                "memo": memo or None,
            }
        )
    return transfers


def asked(transfer: dict[str, Any], **fields: object) -> dict[str, Any]:
    """A transfer as the skill takes it."""
    return {
        "bank": transfer["bin"],
        transfer["method"]: transfer["number"],
        "amount_vnd": transfer["amount"],
        "memo": transfer["memo"],
        **fields,
    }


def raster(svg: str) -> Modules:
    """Follow the pen of a picture of this skill, and give the modules without the quiet zone."""
    root = ET.fromstring(svg)  # noqa: S314
    side = int(root.attrib["viewBox"].split()[2])
    _, background, strokes = root
    assert background.attrib == {"fill": "#fff", "d": f"M0 0h{side}v{side}H0z"}
    dots = [[0] * side for _ in range(side)]
    x = y = 0
    for move, right in re.findall(r"([Mmh])([0-9. ]+)", strokes.attrib["d"]):
        if move == "M":
            x, y = (int(float(number)) for number in right.split())
        elif move == "m":
            x += int(right.removesuffix(" 0"))
        else:
            dots[y][x : x + int(right)] = [1] * int(right)
            x += int(right)
    inner = slice(QUIET, side - QUIET)
    assert sum(map(sum, dots)) == sum(sum(row[inner]) for row in dots[inner])
    return [row[inner] for row in dots[inner]]


def mask_of(modules: Modules) -> int:
    """Read the mask from the format information."""
    bits = [modules[8][column] for column in (0, 1, 2, 3, 4)]
    number = int("".join(map(str, bits)), 2) ^ 0b10101
    assert number < 8, "the two upper bits are those of level M"
    return number


def penalty(modules: Modules) -> int:
    """The penalty of a symbol, rule by rule, one module after the other."""
    size = len(modules)
    lines = ["".join(map(str, line)) for line in [*modules, *zip(*modules, strict=True)]]
    points = sum(len(run) - 2 for line in lines for run in re.findall("0{5,}|1{5,}", line))
    for row in range(size - 1):
        for column in range(size - 1):
            block = {modules[row + i][column + j] for i in (0, 1) for j in (0, 1)}
            points += 3 if len(block) == 1 else 0
    for line in lines:
        beside = f"0000{line}0000"
        for start in range(4, 4 + size - 6):
            if beside[start : start + 7] == "1011101":
                points += 40 if "0000" in (beside[start - 4 : start], beside[start + 7 : start + 11]) else 0
    dark = sum(map(sum, modules))
    return points + 10 * (abs(20 * dark - 10 * size * size) // (size * size))


def unpacked(symbol: Any) -> Modules:
    """Rows of a symbol of the reference."""
    return [
        [symbol.modules >> row * symbol.width + column & 1 for column in range(symbol.size)]
        for row in range(symbol.size)
    ]


MEMOS = st.text(PLAIN, min_size=1, max_size=25).map(lambda text: " ".join(text.split())).filter(bool)


def requests_of(bins: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    """Requests to write a VietQR whose memos stay as they are."""
    return st.fixed_dictionaries(
        {"bank": st.sampled_from(bins)},
        optional={"amount_vnd": st.integers(1, 9_999_999_999_999), "memo": MEMOS},
    ).flatmap(
        lambda fields: st.one_of(
            st.text(DIGITS + "abcXYZ", min_size=1, max_size=19).map(
                lambda number: {**fields, "account": number}
            ),
            st.sampled_from([16, 19])
            .flatmap(lambda length: st.text(DIGITS, min_size=length, max_size=length))
            .map(lambda number: {**fields, "card": number}),
        )
    )
