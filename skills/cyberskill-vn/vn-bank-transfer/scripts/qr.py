"""Encodes text as a QR symbol (ISO/IEC 18004).

Byte mode, error correction level M, the smallest version that holds the text, and the mask of the lowest
penalty. The twin of `src/qr.ts`, with the same symbols and penalties. It evaluates one mask after the other
and places bits by a table, where the component, whose interpreter is slower, does all at once.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

from qr_layout import VERSIONS, Layout, layout_of

PAD = (0xEC, 0x11)


class Symbol(NamedTuple):
    """A symbol with its modules as the bits `row * width + column` of an integer."""

    version: int
    mask: int
    size: int
    width: int
    modules: int


def encode_qr(text: str, given: int | None = None) -> Symbol:
    """Encode ASCII text of 82 characters or more; a mask that is given is taken without comparing."""
    layout = smallest_for(len(text))
    data = placed(interleaved(data_codewords(text, layout), layout), layout)
    symbols = [data ^ fixed for fixed in layout.fixed]
    if given is None:
        given = min(range(len(symbols)), key=lambda mask: penalty(symbols[mask], layout))
    return Symbol(layout.version, given, layout.size, layout.width, symbols[given])


def smallest_for(characters: int) -> Layout:
    """Return the smallest version that holds so many bytes."""
    for version in VERSIONS:
        layout = layout_of(version)
        # Four bits of mode, eight of length, four to end with.
        if characters + 2 <= layout.data_codewords:
            return layout
    raise ValueError("the text is too long for a QR symbol")


def data_codewords(text: str, layout: Layout) -> bytes:
    """Write the mode, the length, the text, the end, and what fills the rest."""
    data = bytes.fromhex(f"4{len(text):02x}{text.encode('ascii').hex()}0")
    missing = layout.data_codewords - len(data)
    return data + bytes(PAD[index % 2] for index in range(missing))


def interleaved(data: bytes, layout: Layout) -> bytes:
    """Put data and error correction of all blocks in the order in which they are placed."""
    blocks, start = [], 0
    for length in layout.blocks:
        blocks.append(data[start : start + length])
        start += length
    longest = layout.blocks[-1]
    corrections = [correction(block, layout.ec_codewords) for block in blocks]
    mixed = [block[index] for index in range(longest) for block in blocks if index < len(block)]
    mixed += [correction[index] for index in range(layout.ec_codewords) for correction in corrections]
    return bytes(mixed)


def correction(block: bytes, codewords: int) -> bytes:
    """Compute the error correction codewords of a block."""
    multiples = multiples_of(codewords)
    bits = 8 * codewords
    remainder = 0
    for byte in block:
        remainder = (remainder << 8 & (1 << bits) - 1) ^ multiples[byte ^ remainder >> bits - 8]
    return remainder.to_bytes(codewords, "big")


@functools.cache
def multiples_of(codewords: int) -> list[int]:
    """Multiply the generator of so many error correction codewords with each element of GF(256)."""
    generator, root = [1], 1
    for _ in range(codewords):
        padded = [0, *generator, 0]
        generator = [padded[i + 1] ^ times(padded[i], root) for i in range(len(generator) + 1)]
        root = times(root, 2)
    # Without its first coefficient, which is 1.
    return [
        int.from_bytes(bytes(times(coefficient, factor) for coefficient in generator[1:]), "big")
        for factor in range(256)
    ]


def times(left: int, right: int) -> int:
    """Multiply in GF(256) with the polynomial that the standard names."""
    product = 0
    for bit in range(7, -1, -1):
        product = product << 1 ^ (product >> 7) * 0x11D ^ (right >> bit & 1) * left
    return product


def placed(codewords: bytes, layout: Layout) -> int:
    """Bring the bits of codewords to their places."""
    bits = "".join(f"{codeword:08b}" for codeword in codewords)
    modules = ["0"] * (layout.size * layout.width)
    for index, bit in enumerate(bits):
        modules[-1 - layout.places[index]] = bit
    return int("".join(modules), 2)


def penalty(dark: int, layout: Layout) -> int:
    """Return the penalty of a symbol."""
    # Away from the lowest bits, so that what lies before the first modules can be seen.
    ahead = 4 * layout.width
    dark <<= ahead
    across = _Line(dark, 1, layout.row_of_five << ahead, layout.everywhere)
    down = _Line(dark, layout.width, layout.column_of_five << ahead, layout.everywhere)
    # Rule 1: of a run of n modules, n >= 5, the first n - 2.
    points = count(across.runs) + count(down.runs)
    # Rule 2: three for each block of two by two.
    blocks = across.equal & across.equal >> layout.width & down.equal & layout.block_of_four << ahead
    # Rule 3: forty for each 1:1:3:1:1 beside four light modules.
    finders = count(across.finders) + count(down.finders)
    # Rule 4: ten for every 5 % that dark modules are away from a half.
    modules = layout.size * layout.size
    share = abs(20 * count(dark) - 10 * modules) // modules
    return points + 3 * count(blocks) + 40 * finders + 10 * share


class _Line:
    """What rules 1 to 3 look for in rows (`step` 1) or columns (`step` one row), each where it starts."""

    def __init__(self, dark: int, step: int, of_five: int, everywhere: int) -> None:
        change = dark ^ dark >> step
        self.equal = change ^ everywhere
        three = self.equal & self.equal >> step
        fives = three & three >> 2 * step & of_five
        # It has n - 4 places where five start.
        self.runs = fives | fives << step | fives << 2 * step
        dark_to_light = dark & change
        one_light = dark_to_light & (change ^ dark_to_light) >> step
        finder = one_light & (dark & three) >> 2 * step & one_light >> 4 * step
        four_light = three & self.equal >> 2 * step & (dark ^ everywhere)
        self.finders = finder & (four_light >> 7 * step | four_light << 4 * step)


def count(bits: int) -> int:
    """Count the bits that are set."""
    return bin(bits).count("1")  # noqa: FURB161 - Python 3.9 has no int.bit_count
