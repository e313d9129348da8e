"""Read a Vietnamese citizen ID and prepare a request to VNeID: the reference implementation of this skill.

Reads the input as JSON from standard input and writes the answer as JSON to standard output. An input that
cannot be read ends with exit code 1 and a message on standard error. For every input the compiled skill
gives the same bytes, so a change here is a change in src/index.ts.
"""

from __future__ import annotations

import sys
from typing import NamedTuple

sys.dont_write_bytecode = True  # a cache beside the script would be a change of the skill

from citizen_id import AS_OF, ASCII_SPACE, REASONS, CitizenId, citizen_id_of
from skill_dates import day_of
from skill_input import Fields, dump, read_fields, run_as_filter

# A legitimate input has under 1,000 characters and one level; the bounds only keep hostile ones cheap.
MAX_CHARACTERS = 4096
MAX_DEPTH = 16
MOST_NAME = 100
MOST_PURPOSE = 200
MOST_REFERENCE = 100
DATE_CHARACTERS = 10

FIELDS = ("cccd", "reference_date", "purpose", "consent_reference", "full_name", "date_of_birth")

LEGAL_BASIS = "Law 91/2025/QH15 and Decree 356/2025"
NEXT_ACTION = (
    "POST to https://vneid.gov.vn/api/v2/verify (requires consent flow): before anything is sent, the "
    "caller has the person's consent to this one purpose on record; this skill neither asks for it nor sends "
    "anything."
)
VERIFY = (
    "Reads what the digits say; only the authority can tell whether the card was issued, to whom, and "
    "whether it is valid."
)


class Request(NamedTuple):
    """A citizen ID with what is known beside it."""

    cccd: str
    reference_date: str
    purpose: str | None
    consent_reference: str | None
    full_name: str | None
    date_of_birth: str | None


def run(text: str) -> str:
    """Answer one request, JSON text to JSON text; raises InputInvalidError."""
    fields = read_fields(text, MAX_CHARACTERS, MAX_DEPTH, FIELDS)
    request = Request(
        cccd=fields.text("cccd", MAX_CHARACTERS, ", because a number loses its leading zeros"),
        reference_date=date_of(fields, "reference_date") or AS_OF,
        purpose=filled(fields, "purpose", MOST_PURPOSE),
        consent_reference=filled(fields, "consent_reference", MOST_REFERENCE),
        full_name=filled(fields, "full_name", MOST_NAME),
        date_of_birth=date_of(fields, "date_of_birth"),
    )
    return dump(check(request))


def filled(fields: Fields, name: str, most: int) -> str | None:
    """Return a text that has more than blanks; None otherwise."""
    text = fields.optional_text(name, most)
    return text if text is not None and text.strip(ASCII_SPACE) else None


def date_of(fields: Fields, name: str) -> str | None:
    """Return a day as it is written, None where there is none."""
    if not fields.has(name):
        return None
    text = fields.text(name, DATE_CHARACTERS)
    if day_of(text) is None:
        fields.refuse(name, "must be a day from 1900 on, written YYYY-MM-DD")
    return text


def check(request: Request) -> dict[str, object]:
    """Answer one request."""
    citizen = citizen_id_of(request.cccd)
    if isinstance(citizen, str):
        return {
            "valid": False,
            "structure": None,
            "reason": citizen,
            "message": REASONS[citizen],
            "checksum": "not_applicable",
            "as_of": AS_OF,
            "verify": VERIFY,
        }
    consent = {"required": True, "reference": request.consent_reference, "legal_basis": LEGAL_BASIS}
    return {
        "valid": True,
        "structure": {
            "province_code": citizen.province_code,
            "year_of_birth_century": citizen.century,
            "gender_code": "0" if citizen.gender == "male" else "1",
            "province_name": citizen.province_name,
            "gender": citizen.gender,
            "birth_year": citizen.birth_year,
            "serial": citizen.serial,
        },
        "checksum": "not_applicable",
        "warnings": warnings_of(citizen, request),
        "vneid_request_payload": {
            "citizen_id": citizen.digits,
            "full_name": request.full_name,
            "date_of_birth": request.date_of_birth,
            "purpose": request.purpose,
            "consent": consent,
        },
        "needs": [name for name in ("consent_reference", "purpose") if getattr(request, name) is None],
        "next_action": NEXT_ACTION,
        "as_of": AS_OF,
        "verify": VERIFY,
    }


def warnings_of(citizen: CitizenId, request: Request) -> list[str]:
    """Name what a person should know of a citizen ID."""
    born = request.date_of_birth
    remarks = {
        "province_unknown": citizen.province_name is None,
        "birth_year_in_future": citizen.birth_year > year_of(request.reference_date),
        "birth_year_mismatch": born is not None and year_of(born) != citizen.birth_year,
    }
    return [remark for remark, holds in remarks.items() if holds]


def year_of(date: str) -> int:
    """Return the year of a day that is written YYYY-MM-DD."""
    return int(date[:4])


if __name__ == "__main__":
    sys.exit(run_as_filter(run, MAX_CHARACTERS))
