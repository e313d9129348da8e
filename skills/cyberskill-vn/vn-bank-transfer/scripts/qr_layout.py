"""Where everything of a QR symbol lies (ISO/IEC 18004, error correction level M), as masks of integers.

The twin of `src/qr-layout.ts`. A symbol is one integer: module (row, column) is bit `row * width + column`.
Beside it lie four light columns: as far as the rules of the masks look, and so that a shift by one module or
one row never takes a module to another place of the symbol.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

VERSIONS = range(5, 9)
"""The shortest text of a transfer has 82 characters; version 8 holds 152, and the longest has 150."""

# Level M, by version: error correction codewords of each block, and the number of blocks.
EC_CODEWORDS = (10, 16, 26, 18, 24, 16, 18, 22)
BLOCKS = (1, 1, 1, 2, 2, 4, 4, 4)

FORMAT_GENERATOR = 0x537
FORMAT_MASK = 0x5412
VERSION_GENERATOR = 0x1F25
LIGHT_COLUMNS = 4

MASK_PERIOD = 12
"""Each mask repeats itself after so many rows."""

MASK_PATTERNS: tuple[Callable[[int, int], bool], ...] = (
    lambda i, j: (i + j) % 2 == 0,
    lambda i, _: i % 2 == 0,
    lambda _, j: j % 3 == 0,
    lambda i, j: (i + j) % 3 == 0,
    lambda i, j: (i // 2 + j // 3) % 2 == 0,
    lambda i, j: i * j % 2 + i * j % 3 == 0,
    lambda i, j: (i * j % 2 + i * j % 3) % 2 == 0,
    lambda i, j: ((i + j) % 2 + i * j % 3) % 2 == 0,
)

Place = tuple[int, int]
Modules = dict[Place, bool]


class Layout(NamedTuple):
    """All that symbols of one version have in common."""

    version: int
    size: int
    width: int
    blocks: tuple[int, ...]
    """Data codewords of each block, shorter ones first."""
    data_codewords: int
    ec_codewords: int
    places: tuple[int, ...]
    """The bits that data fills, in the order in which it does."""
    fixed: tuple[int, ...]
    """For each mask what is not data: function patterns, format and version information, the mask itself."""
    everywhere: int
    row_of_five: int
    column_of_five: int
    block_of_four: int
    """Where five modules in a row, in a column, and a block of two by two can start."""


@functools.cache
def layout_of(version: int) -> Layout:
    """Lay out symbols of a version."""
    size = 4 * version + 17
    width = size + LIGHT_COLUMNS
    patterns = function_patterns(version, size)
    places = tuple(row * width + column for row, column in data_places(size) if (row, column) not in patterns)
    codewords = len(places) // 8
    ec_codewords, count = EC_CODEWORDS[version - 1], BLOCKS[version - 1]
    function = bits_of(patterns, width)
    data = sum(1 << place for place in places)

    def in_symbol(rows: int, columns: int) -> int:
        return sum(((1 << columns) - 1) << row * width for row in range(rows))

    return Layout(
        version,
        size,
        width,
        tuple((codewords + index) // count - ec_codewords for index in range(count)),
        codewords - count * ec_codewords,
        ec_codewords,
        places,
        tuple(
            function | mask_bits(mask, size, width) & data | bits_of(format_modules(number, size), width)
            for number, mask in enumerate(MASK_PATTERNS)
        ),
        (1 << (size + 2 * LIGHT_COLUMNS) * width) - 1,
        in_symbol(size, size - 4),
        in_symbol(size - 4, size),
        in_symbol(size - 1, size - 1),
    )


def function_patterns(version: int, size: int) -> Modules:
    """Return the modules that no data fills: dark or light, light too where the format will stand."""
    modules: Modules = {}

    def square(row: int, column: int, reach: int, light: tuple[int, ...]) -> None:
        for i in range(-reach, reach + 1):
            for j in range(-reach, reach + 1):
                if 0 <= row + i < size and 0 <= column + j < size:
                    modules[row + i, column + j] = max(abs(i), abs(j)) not in light

    for index in range(size):
        modules[6, index] = modules[index, 6] = index % 2 == 0
    centres, last = alignment_places(version, size), size - 7
    for row in centres:
        for column in centres:
            if (row, column) not in ((6, 6), (6, last), (last, 6)):
                square(row, column, 2, (1,))
    for row, column in ((3, 3), (3, size - 4), (size - 4, 3)):
        square(row, column, 4, (2, 4))
    modules.update(dict.fromkeys(format_modules(0, size), False))
    modules[size - 8, 8] = True
    if version >= 7:
        bits = version << 12 | remainder_of(version << 12, VERSION_GENERATOR)
        for bit in range(18):
            near, far = bit // 3, size - 11 + bit % 3
            modules[near, far] = modules[far, near] = bool(bits >> bit & 1)
    return modules


def alignment_places(version: int, size: int) -> list[int]:
    """Return the rows, which are the columns too, of the centres of alignment patterns."""
    if version == 1:
        return []
    count = version // 7 + 2
    step = 2 * -(-(version * 4 + 4) // (2 * count - 2))
    return [6, *(size - 7 - step * index for index in range(count - 1))]


def format_modules(mask: int, size: int) -> Modules:
    """Return the format information, which stands twice: level M has the bits 00, so it tells the mask."""
    bits = (mask << 10 | remainder_of(mask << 10, FORMAT_GENERATOR)) ^ FORMAT_MASK
    modules: Modules = {}
    for bit in range(15):
        down = bit if bit < 6 else bit + 1 if bit < 8 else size - 15 + bit
        across = size - 1 - bit if bit < 8 else 7 if bit == 8 else 14 - bit
        modules[down, 8] = modules[8, across] = bool(bits >> bit & 1)
    return modules


def remainder_of(value: int, generator: int) -> int:
    """Divide polynomials over GF(2)."""
    degree = generator.bit_length()
    while value.bit_length() >= degree:
        value ^= generator << value.bit_length() - degree
    return value


def data_places(size: int) -> list[Place]:
    """Return the way of codewords: strips of two columns from the right, alternately up and down."""
    rights = [*range(size - 1, 6, -2), 5, 3, 1]
    way = []
    for strip, right in enumerate(rights):
        rows = range(size) if strip % 2 else range(size - 1, -1, -1)
        way += [(row, column) for row in rows for column in (right, right - 1)]
    return way


def mask_bits(mask: Callable[[int, int], bool], size: int, width: int) -> int:
    """Return the modules of a symbol that a mask turns over."""
    rows = [sum(mask(row, column) << column for column in range(size)) for row in range(MASK_PERIOD)]
    return sum(rows[row % MASK_PERIOD] << row * width for row in range(size))


def bits_of(modules: Modules, width: int) -> int:
    """Return the dark ones of some modules as bits."""
    return sum(dark << row * width + column for (row, column), dark in modules.items())
