"""Write a VietQR and a draft of a transfer, or read a VietQR: the reference implementation of this skill.

Reads the input as JSON from standard input and writes the answer as JSON to standard output. An input that
cannot be read ends with exit code 1 and a message on standard error. For every input the compiled skill
gives the same bytes, so a change here is a change in src/index.ts.
"""

from __future__ import annotations

import re
import sys
from typing import NamedTuple
from urllib.parse import quote

sys.dont_write_bytecode = True  # a cache beside the script would be a change of the skill

from banks import AS_OF, Bank, bank_of
from decode import MOST_CHARACTERS, decode
from picture import drawn
from plain_text import NOTHING, Plain, plain
from qr import encode_qr
from skill_input import Fields, dump, read_fields, run_as_filter
from vietqr import MOST_ACCOUNT, MOST_AMOUNT, MOST_MEMO, SERVICE, Transfer, viet_qr

# A legitimate input has under 1,000 characters and one level; the bounds only keep hostile ones cheap.
MAX_CHARACTERS = 4096
MAX_DEPTH = 16
MOST_BANK = 40
MOST_TEXT = 500
MOST_NAME = 50

WRITING = ("bank", "account", "card", "amount_vnd", "memo", "account_name", "picture")

NEXT_ACTION = (
    "Hand this to a person, who checks the bank, the number, the holder's name and the amount, approves the "
    "transfer and executes it in the bank's own application; this skill never does."
)
VERIFY = (
    "Checks form alone; confirm with the bank that the account exists and whose it is, and that the BIN is "
    "still the bank's."
)


class Request(NamedTuple):
    """A transfer as it is asked for."""

    bank: Bank
    method: str
    number: str
    amount: int | None
    memo: Plain
    name: Plain
    picture: bool


def run(text: str) -> str:
    """Answer one request, JSON text to JSON text; raises InputInvalidError or SkillError."""
    fields = read_fields(text, MAX_CHARACTERS, MAX_DEPTH, (*WRITING, "decode"))
    return dump(reading(fields) if fields.has("decode") else writing(request_of(fields)))


def reading(fields: Fields) -> dict[str, object]:
    """Answer what a VietQR says."""
    if any(fields.has(name) for name in WRITING):
        fields.refuse("decode", "must stand alone")
    return decode(fields.text("decode", MOST_CHARACTERS))


def request_of(fields: Fields) -> Request:
    """Read a transfer from the input."""
    bank = fields.text("bank", MOST_BANK, ", because a BIN is no quantity")
    if fields.has("account") == fields.has("card"):
        fields.refuse("account", 'or the field "card" must be given, and not both')
    method = "card" if fields.has("card") else "account"
    number = fields.text(method, MOST_ACCOUNT, ", because a number loses its leading zeros")
    if method == "account" and not re.fullmatch("[0-9A-Za-z]+", number):
        fields.refuse(method, "must have letters and digits alone")
    if method == "card" and not re.fullmatch("[0-9]{16}|[0-9]{19}", number):
        fields.refuse(method, "must have 16 or 19 digits")
    memo = fields.optional_text("memo", MOST_TEXT)
    name = fields.optional_text("account_name", MOST_TEXT)
    return Request(
        method=method,
        number=number,
        amount=fields.whole("amount_vnd", 1, MOST_AMOUNT) if fields.has("amount_vnd") else None,
        memo=NOTHING if memo is None else plain(memo, MOST_MEMO),
        name=NOTHING if name is None else plain(name, MOST_NAME),
        picture=fields.flag("picture", False),
        bank=bank_of(bank),
    )


def writing(request: Request) -> dict[str, object]:
    """Answer a transfer with its VietQR, its draft and its picture."""
    bank, method, number, amount, memo, _, picture = request
    code = viet_qr(Transfer(bank.bank_bin, method, number, amount, memo.text))
    return {
        "vietqr_emv": code,
        "napas_payload": {
            "service": "napas247",
            "method": method,
            "service_code": SERVICE[method],
            "beneficiary": {**bank._asdict(), method: number},
            "amount_vnd": amount,
            "currency": "VND",
            "memo": memo.text,
            "status": "draft",
            "requires_human_approval": True,
        },
        "render_url": render_url(request),
        "warnings": warnings_of(request),
        "next_action": NEXT_ACTION,
        "as_of": AS_OF,
        "verify": VERIFY,
        **({"assets": [picture_of(code, request)]} if picture else {}),
    }


def render_url(request: Request) -> str | None:
    """Return the address of a picture at a public service; None for a card, whose number stays out of it."""
    bank, method, number, amount, memo, name, _ = request
    if method == "card":
        return None
    given = [] if amount is None else [f"amount={amount}"]
    if memo.text is not None:
        given.append(f"addInfo={quote(memo.text, safe='')}")
    if name.text is not None:
        given.append(f"accountName={quote(name.text.upper(), safe='')}")
    address = f"https://img.vietqr.io/image/{bank.bank_code}-{number}-compact2.png"
    return f"{address}?{'&'.join(given)}" if given else address


def warnings_of(request: Request) -> list[str]:
    """Name what a person should know of the request."""
    remarks = {
        "card_luhn_mismatch": request.method == "card"
        and len(request.number) == 16
        and not passes_luhn(request.number),
        "memo_folded": request.memo.folded,
        "memo_cut": request.memo.cut,
        "account_name_cut": request.name.cut,
    }
    return [remark for remark, holds in remarks.items() if holds]


def passes_luhn(card: str) -> bool:
    """Tell whether the last digit of a card number is its check digit."""
    digits = [int(digit) for digit in reversed(card)]
    doubled = [2 * digit if digit < 5 else 2 * digit - 9 for digit in digits[1::2]]
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0


def picture_of(code: str, request: Request) -> dict[str, object]:
    """Draw a VietQR for the answer."""
    amount = "" if request.amount is None else f", {request.amount} VND"
    title = f"VietQR: {request.bank.bank_name}, {request.method} {request.number}{amount}"
    return {
        "name": "vietqr.svg",
        "media_type": "image/svg+xml",
        "content": drawn(encode_qr(code), title),
    }


if __name__ == "__main__":
    sys.exit(run_as_filter(run, MAX_CHARACTERS))
