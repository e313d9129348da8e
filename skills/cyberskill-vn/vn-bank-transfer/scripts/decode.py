"""Reads a VietQR string and tells what is wrong with it.

The twin of `src/decode.ts`.
"""

from __future__ import annotations

import re
from typing import Any

from banks import AS_OF, bank_of_bin
from plain_text import plain
from vietqr import COUNTRY, CURRENCY, GUID, MOST_MEMO, ONE_TIME, REUSABLE, SERVICE, crc_of

MOST_CHARACTERS = 512
VERIFY = (
    "Reads what the code says; confirm the bank and the holder's name in the bank's own application before "
    "money moves."
)

REASONS = {
    "empty": "there is nothing to read",
    "unexpected_character": "a VietQR has printable ASCII characters alone",
    "bad_length": "a tag or a length is not two digits, or a length is not that of what follows",
    "trailing_bytes": "something follows the check sum, which ends a VietQR",
    "duplicate_tag": "a tag stands twice at the same level",
    "crc_missing": "tag 63 with the four digits of the check sum is missing at the end",
    "crc_mismatch": "the check sum is not that of the text",
    "unknown_format": "tag 00 is not 01, the only format there is",
    "unknown_initiation": "tag 01 is neither 11 for a reusable code nor 12 for one payment",
    "unknown_guid": "tag 38 does not name Napas, so this is another scheme's code",
    "unknown_service": "the service is neither a transfer to an account nor one to a card",
    "bad_beneficiary": "the beneficiary is not a BIN of six digits with an account or card number",
    "foreign_currency": "the currency is not 704, the Vietnamese đồng",
    "foreign_country": "the country is not VN",
    "bad_amount": "the amount is not one to thirteen digits without a zero in front",
}

Field = dict[str, Any]
"""`id`, `length` and `value`, and for some tags their own `fields`."""

NESTED = frozenset(["38", "38.01", "62"])
"""Tags whose values have tags of their own, by the way to them."""


def decode(text: str) -> dict[str, object]:
    """Answer what a VietQR says, or why it is none."""
    fields, fault = _read_all(text)
    end = fields[-1] if fields else None
    expected: str | None = None
    crc_ok: bool | None = None
    warnings: list[str] = []
    if fault is None and end is not None and end["id"] == "63" and end["length"] == 4:
        expected = crc_of(text[:-4])
        crc_ok = end["value"].upper() == expected
        if crc_ok and end["value"] != expected:
            warnings.append("crc_lower_case")
    if fault is None:
        fault = "crc_missing" if crc_ok is None else None if crc_ok else "crc_mismatch"
    found = fault or _meaning(fields, warnings)
    checks = {
        "crc_ok": crc_ok,
        "expected_crc": expected,
        "fields": fields,
        "warnings": warnings,
        "as_of": AS_OF,
        "verify": VERIFY,
    }
    if isinstance(found, str):
        return {"ok": False, "reason": found, "message": REASONS[found], **checks}
    return {"ok": True, **found, **checks}


def _read_all(text: str) -> tuple[list[Field], str | None]:
    if not text:
        return [], "empty"
    if not re.fullmatch("[ -~]*", text):
        return [], "unexpected_character"
    return _read_fields(text, "")


def _read_fields(text: str, way: str) -> tuple[list[Field], str | None]:
    """Read the fields of one level, up to the first that is not as it should be."""
    fields: list[Field] = []
    seen: set[str] = set()
    start = 0
    while start < len(text):
        if not way and "63" in seen:
            return fields, "trailing_bytes"
        head = text[start : start + 4]
        if not re.fullmatch("[0-9]{4}", head):
            return fields, "bad_length"
        id_, length = head[:2], int(head[2:])
        value = text[start + 4 : start + 4 + length]
        if len(value) < length:
            return fields, "bad_length"
        if id_ in seen:
            return fields, "duplicate_tag"
        seen.add(id_)
        field: Field = {"id": id_, "length": length, "value": value}
        fields.append(field)
        if way + id_ in NESTED:
            field["fields"], fault = _read_fields(value, f"{way}{id_}.")
            if fault:
                return fields, fault
        start += 4 + length
    return fields, None


def _meaning(fields: list[Field], warnings: list[str]) -> dict[str, object] | str:
    """Tell what a VietQR says, or why it is none."""
    root = _by_tag(fields)
    scheme = _by_tag(root.get("38", {}).get("fields", []))
    beneficiary = _by_tag(scheme.get("01", {}).get("fields", []))
    additional = _by_tag(root.get("62", {}).get("fields", []))

    initiation, service = _value(root, "01"), _value(scheme, "02")
    bin_, number = _value(beneficiary, "00") or "", _value(beneficiary, "01") or ""
    amount, memo = _value(root, "54"), _value(additional, "08")
    method = "card" if service == SERVICE["card"] else "account"
    form = "[0-9]{16}|[0-9]{19}" if method == "card" else "[0-9A-Za-z]{1,19}"

    faults = {
        "unknown_format": _value(root, "00") != "01",
        "unknown_initiation": initiation not in (None, REUSABLE, ONE_TIME),
        "unknown_guid": _value(scheme, "00") != GUID,
        "unknown_service": service not in SERVICE.values(),
        "bad_beneficiary": not re.fullmatch("[0-9]{6}", bin_) or not re.fullmatch(form, number),
        "foreign_currency": _value(root, "53") != CURRENCY,
        "foreign_country": _value(root, "58") != COUNTRY,
        "bad_amount": amount is not None and not re.fullmatch("[1-9][0-9]{0,12}", amount),
    }
    for reason, holds in faults.items():
        if holds:
            return reason

    bank = bank_of_bin(bin_)
    remarks = {
        "unknown_bin": bank.bank_code is None,
        "initiation_missing": initiation is None,
        "reusable_with_amount": initiation == REUSABLE and amount is not None,
        "one_time_without_amount": initiation == ONE_TIME and amount is None,
        "memo_not_plain": memo is not None and plain(memo, MOST_MEMO).text != memo,
    }
    warnings.extend(remark for remark, holds in remarks.items() if holds)
    return {
        "bank": bank._asdict(),
        method: number,
        "amount_vnd": None if amount is None else int(amount),
        "memo": memo,
        "one_time": initiation == ONE_TIME,
    }


def _value(level: dict[str, Field], tag: str) -> str | None:
    found: str | None = level.get(tag, {}).get("value")
    return found


def _by_tag(fields: list[Field]) -> dict[str, Field]:
    return {field["id"]: field for field in fields}
