"""Validate a Vietnamese tax code (mã số thuế): the reference implementation of this skill.

Reads the input as JSON from standard input and writes the answer as JSON to standard output. An input that
cannot be read ends with exit code 1 and a message on standard error. For every input the compiled skill
gives the same bytes, so a change here is a change in src/index.ts.
"""

from __future__ import annotations

import json
import re
import sys
from typing import NamedTuple, NoReturn

AS_OF = "2026-11-20"
PERSONAL_ID_VALID_FROM = "2025-07-01"
VERIFY = (
    "Checks form and arithmetic alone; confirm with the tax authority that the code is registered and active."
)

# A legitimate input has under 100 characters and one level; the bounds only keep hostile ones cheap.
MAX_CHARACTERS = 4096
MAX_DEPTH = 16
MAX_UTF8_BYTES = 4 * MAX_CHARACTERS

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


class InputInvalidError(ValueError):
    """The input is not what the skill takes."""

    def __init__(self, detail: str) -> None:
        super().__init__(f"input_invalid: {detail}")


class Request(NamedTuple):
    """A tax code as given, and whether a wrong check digit is a refusal."""

    mst: str
    strict: bool


class TaxCode(NamedTuple):
    """A recognised tax code in its parts."""

    format: str
    base: str
    branch: str | None


def run(text: str) -> str:
    """Answer one request, JSON text to JSON text; raises InputInvalidError."""
    return json.dumps(validate(read_request(text)), ensure_ascii=False, separators=(",", ":"))


def read_request(text: str) -> Request:
    """Read the input as strictly as the compiled skill does."""
    if len(text) > MAX_CHARACTERS:
        raise InputInvalidError(f"the input has more than {MAX_CHARACTERS} characters")
    if nests_deeper(text, MAX_DEPTH):
        raise InputInvalidError(f"the input nests deeper than {MAX_DEPTH} levels")
    try:
        # No field is a number: reading none also avoids Python's own limit on their digits.
        fields = json.loads(
            text, parse_int=skip_number, parse_float=skip_number, parse_constant=refuse_constant
        )
    except ValueError:
        raise InputInvalidError("the input is not valid JSON") from None
    if not isinstance(fields, dict):
        raise InputInvalidError("the input must be a JSON object")
    if not fields.keys() <= {"mst", "strict"}:
        raise InputInvalidError('there is an unknown field; the fields are "mst" and "strict"')
    if "mst" not in fields:
        raise InputInvalidError('the field "mst" is missing')
    if not isinstance(fields["mst"], str):
        raise InputInvalidError('the field "mst" must be a string, because a number loses its leading zeros')
    strict = fields.get("strict", False)
    if not isinstance(strict, bool):
        raise InputInvalidError('the field "strict" must be true or false')
    return Request(fields["mst"], strict)


def skip_number(_digits: str) -> float:
    """Stand in for a number whose value does not matter."""
    return 0.0


def refuse_constant(name: str) -> NoReturn:
    """Refuse NaN and the infinities, which Python reads and JSON does not have."""
    raise ValueError(name)


def nests_deeper(text: str, limit: int) -> bool:
    """Tell before parsing, because parsers differ in how deep they can go and in how they fail beyond."""
    depth = 0
    quoted = False
    escaped = False
    for character in text:
        if escaped:
            escaped = False
        elif quoted:
            escaped = character == "\\"
            quoted = character != '"'
        elif character == '"':
            quoted = True
        elif character in "{[":
            depth += 1
            if depth > limit:
                return True
        elif character in "}]":
            depth -= 1
    return False


def validate(request: Request) -> dict[str, object]:
    """Answer one request."""
    code = recognise(request.mst.strip(ASCII_SPACE))
    if isinstance(code, str):
        return {"ok": False, "format": None, **because(code), "as_of": AS_OF, "verify": VERIFY}

    personal = code.format == "12-digit-personal-id"
    expected = None if personal else check_digit(code.base)
    fault = None if personal or code.base[-1] == expected else fault_of(expected)
    refused = fault if request.strict else None
    return {
        "ok": refused is None,
        "format": code.format,
        **({} if refused is None else because(refused)),
        "checksum_ok": None if personal else fault is None,
        "expected_check_digit": expected,
        "warnings": [] if fault is None else [fault],
        "checksum": "not_applicable" if personal else "mod11",
        "normalized": code.base if code.branch is None else f"{code.base}-{code.branch}",
        "base": code.base,
        "branch": code.branch,
        "valid_from": PERSONAL_ID_VALID_FROM if personal else None,
        "as_of": AS_OF,
        "verify": VERIFY,
    }


def because(reason: str) -> dict[str, object]:
    """Give a reason as its code and its message."""
    return {"reason": reason, "message": REASONS[reason]}


def fault_of(expected: str | None) -> str:
    """Name what is wrong with a check digit."""
    return "check_digit_impossible" if expected is None else "check_digit_mismatch"


def recognise(text: str) -> TaxCode | str:
    """Take a tax code apart, or give the reason why it is none."""
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


def check_digit(base: str) -> str | None:
    """Compute the tenth digit from the first nine; None where the rule gives 10, which is never issued."""
    remainder = sum(weight * int(base[index]) for index, weight in enumerate(WEIGHTS)) % 11
    return None if remainder == 0 else str(10 - remainder)


def read_standard_input() -> str:
    """Read the whole input, within its bound."""
    raw = sys.stdin.buffer.read(MAX_UTF8_BYTES + 1)
    if len(raw) > MAX_UTF8_BYTES:
        raise InputInvalidError(f"the input has more than {MAX_CHARACTERS} characters")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise InputInvalidError("the input is not valid JSON") from None


def main() -> int:
    """Run as a filter; the line end on a terminal is for its reader and no part of the answer."""
    try:
        answer = run(read_standard_input())
    except InputInvalidError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.buffer.write(answer.encode("utf-8"))
    if sys.stdout.isatty():
        sys.stdout.buffer.write(b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
