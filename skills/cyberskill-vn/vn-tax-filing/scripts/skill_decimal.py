"""Exact decimals with six places, as whole numbers of millionths: 1.5 is 1500000.

The twin of the guest library's `decimal.ts`.
"""

from __future__ import annotations

import re
from decimal import Decimal

ONE = 1_000_000

_PLACES = 6
_DIGITS = re.compile(r"(-?)([0-9]{1,15})(?:\.([0-9]{1,6}))?")


def decimal_of(value: object) -> int | None:
    """Take a number of JSON, or its digits as text; None if it is neither or has more digits than fit."""
    if isinstance(value, float):
        # JavaScript writes whole numbers without a point, and the sign of zero not at all.
        text = str(int(value)) if value.is_integer() else format(Decimal(repr(value)), "f")
    else:
        text = value if isinstance(value, str) else ""
    found = _DIGITS.fullmatch(text)
    if found is None:
        return None
    sign, whole, fraction = found.group(1), found.group(2), found.group(3) or ""
    millionths = int(whole + fraction.ljust(_PLACES, "0"))
    return -millionths if sign else millionths


def divide_rounded(dividend: int, divisor: int) -> int:
    """Divide and round to a whole number, halves away from zero. The divisor is positive."""
    quotient = (2 * abs(dividend) + divisor) // (2 * divisor)
    return -quotient if dividend < 0 else quotient


def multiply(left: int, right: int) -> int:
    """Multiply two decimals; the product has six places again, its last one rounded."""
    return divide_rounded(left * right, ONE)


def rounded(decimal: int) -> int:
    """Round to a whole number."""
    return divide_rounded(decimal, ONE)


def decimal_text(decimal: int) -> str:
    """Write the digits, without zeros at the end of the fraction."""
    digits = str(abs(decimal)).rjust(_PLACES + 1, "0")
    fraction = digits[-_PLACES:].rstrip("0")
    return ("-" if decimal < 0 else "") + digits[:-_PLACES] + (f".{fraction}" if fraction else "")
