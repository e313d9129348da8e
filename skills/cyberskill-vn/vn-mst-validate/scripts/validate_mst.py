"""Validate a Vietnamese tax code (mã số thuế): the reference implementation of this skill.

Reads the input as JSON from standard input and writes the answer as JSON to standard output. An input that
cannot be read ends with exit code 1 and a message on standard error. For every input the compiled skill
gives the same bytes, so a change here is a change in src/index.ts.
"""

from __future__ import annotations

import sys

sys.dont_write_bytecode = True  # a cache beside the script would be a change of the skill

from skill_input import dump, read_fields, run_as_filter
from tax_code import (
    AS_OF,
    PERSONAL_ID_VALID_FROM,
    REASONS,
    check_digit_fault,
    expected_check_digit,
    normalized,
    recognise,
)

VERIFY = (
    "Checks form and arithmetic alone; confirm with the tax authority that the code is registered and active."
)

# A legitimate input has under 100 characters and one level; the bounds only keep hostile ones cheap.
MAX_CHARACTERS = 4096
MAX_DEPTH = 16


def run(text: str) -> str:
    """Answer one request, JSON text to JSON text; raises InputInvalidError."""
    fields = read_fields(text, MAX_CHARACTERS, MAX_DEPTH, ("mst", "strict"))
    mst = fields.text("mst", MAX_CHARACTERS, ", because a number loses its leading zeros")
    return dump(validate(mst, fields.flag("strict", False)))


def validate(mst: str, strict: bool) -> dict[str, object]:
    """Answer one request; with `strict` a wrong check digit is a refusal."""
    code = recognise(mst)
    if isinstance(code, str):
        return {"ok": False, "format": None, **because(code), "as_of": AS_OF, "verify": VERIFY}

    personal = code.format == "12-digit-personal-id"
    fault = check_digit_fault(code)
    refused = fault if strict else None
    return {
        "ok": refused is None,
        "format": code.format,
        **({} if refused is None else because(refused)),
        "checksum_ok": None if personal else fault is None,
        "expected_check_digit": expected_check_digit(code),
        "warnings": [] if fault is None else [fault],
        "checksum": "not_applicable" if personal else "mod11",
        "normalized": normalized(code),
        "base": code.base,
        "branch": code.branch,
        "valid_from": PERSONAL_ID_VALID_FROM if personal else None,
        "as_of": AS_OF,
        "verify": VERIFY,
    }


def because(reason: str) -> dict[str, object]:
    """Give a reason as its code and its message."""
    return {"reason": reason, "message": REASONS[reason]}


if __name__ == "__main__":
    sys.exit(run_as_filter(run, MAX_CHARACTERS))
