"""The Vietnamese tax code (mã số thuế): its forms and its check digit.

The twin of `src/tax-code.ts` of vn-mst-validate. Other skills that check tax codes carry the same file.
"""

from __future__ import annotations

import re
from typing import NamedTuple

AS_OF = "2026-11-20"
PERSONAL_ID_VALID_FROM = "2025-07-01"

WEIGHTS = (31, 29, 23, 19, 17, 13, 7, 5, 3)
BASE_LENGTH = 10
BRANCH_LENGTH = 13
PERSONAL_ID_LENGTH = 12
ASCII_SPACE = " \t\n\v\f\r"

REASONS = {
    "empty": "the tax code is empty",
    "unexpected_character": "a tax code has only the digits 0 to 9 and, before a branch number, one hyphen",
    "misplaced_hyphen": "the only place for a hyphen is after the tenth digit, before a branch number",
    "wrong_length": "a tax code has 10 digits, 13 with a branch number, or the 12 of a personal ID",
    "all_zero": "a tax code is never all zeros",
    "serial_zero": "the third to ninth digits count from 0000001",
    "branch_zero": "branch numbers run from 001 to 999",
    "check_digit_mismatch": "the tenth digit is not the check digit of the first nine",
    "check_digit_impossible": "no tax code starts with these nine digits, because they have no check digit",
}


class TaxCode(NamedTuple):
    """A recognised tax code in its parts."""

    format: str
    base: str
    branch: str | None


def recognise(given: str) -> TaxCode | str:
    """Take a tax code apart, or give the reason why it is none; blanks of ASCII at both ends do not count."""
    text = given.strip(ASCII_SPACE)
    if not text:
        return "empty"
    if not re.fullmatch("[0-9-]+", text):
        return "unexpected_character"
    hyphen = text.find("-")
    if hyphen != -1 and (hyphen != BASE_LENGTH or text.rfind("-") != hyphen):
        return "misplaced_hyphen"
    digits = text.replace("-", "")
    if len(digits) == PERSONAL_ID_LENGTH and hyphen == -1:
        return "all_zero" if is_zero(digits) else TaxCode("12-digit-personal-id", digits, None)
    if len(digits) != BRANCH_LENGTH and (len(digits) != BASE_LENGTH or hyphen != -1):
        return "wrong_length"
    base, branch = digits[:BASE_LENGTH], digits[BASE_LENGTH:]
    if is_zero(base):
        return "all_zero"
    if is_zero(base[2:9]):
        return "serial_zero"
    if not branch:
        return TaxCode("10-digit", base, None)
    return "branch_zero" if is_zero(branch) else TaxCode("13-digit-branch", base, branch)


def is_zero(digits: str) -> bool:
    """Tell whether every digit is 0."""
    return not digits.strip("0")


def check_digit_fault(code: TaxCode) -> str | None:
    """Tell what is wrong with the check digit of a tax code; None if it is right, or if none is due."""
    expected = expected_check_digit(code)
    if code.format == "12-digit-personal-id" or code.base[-1] == expected:
        return None
    return "check_digit_impossible" if expected is None else "check_digit_mismatch"


def expected_check_digit(code: TaxCode) -> str | None:
    """Compute the tenth digit that the first nine ask for; None where none fits or none is due."""
    if code.format == "12-digit-personal-id":
        return None
    remainder = sum(weight * int(code.base[index]) for index, weight in enumerate(WEIGHTS)) % 11
    # The rule gives 10, which is no digit: such a code is never issued.
    return None if remainder == 0 else str(10 - remainder)


def normalized(code: TaxCode) -> str:
    """Write a code as it is written: a hyphen before the branch number."""
    return code.base if code.branch is None else f"{code.base}-{code.branch}"
