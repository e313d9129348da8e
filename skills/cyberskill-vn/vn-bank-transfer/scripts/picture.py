"""Draws a QR symbol as SVG: each row one line that is lifted over light modules.

The twin of `src/picture.ts`.
"""

from __future__ import annotations

import re

from qr import Symbol

QUIET = 4
"""Light modules around a symbol, as the standard asks."""


def _strokes(byte: int) -> str:
    runs = re.findall("0+|1+", f"{byte:08b}"[::-1])
    return "".join(f"h{len(run)}" if run[0] == "1" else f"m{len(run)} 0" for run in runs)


# How the pen crosses eight modules: for each value of a byte whose lowest bit is the leftmost of them. At the
# end of a row it is not lifted once more.
_ACROSS = [_strokes(byte) for byte in range(256)]
_TO_THE_END = [re.sub("m[0-9] 0$", "", path) for path in _ACROSS]


def drawn(symbol: Symbol, title: str) -> str:
    """Draw a symbol; its title is what a screen reader reads out."""
    size = symbol.size
    path = []
    for row in range(size):
        bits = symbol.modules >> row * symbol.width & (1 << size) - 1
        *bytes_, last = bits.to_bytes(size // 8 + 1, "little")
        path.append(f"M{QUIET} {QUIET + row}.5")
        path.extend(_ACROSS[byte] for byte in bytes_)
        path.append(_TO_THE_END[last])
    side = size + 2 * QUIET
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {side} {side}" shape-rendering="crispEdges" '
        f'role="img"><title>{_escaped(title)}</title><path fill="#fff" d="M0 0h{side}v{side}H0z"/>'
        f'<path stroke="#000" d="{"".join(path)}"/></svg>'
    )


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
