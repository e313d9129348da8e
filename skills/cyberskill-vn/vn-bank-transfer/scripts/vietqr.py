"""Writes a VietQR string: EMVCo's tags, lengths and values, as Napas fills them.

The twin of `src/vietqr.ts`.
"""

from __future__ import annotations

import binascii
from typing import NamedTuple

GUID = "A000000727"
CURRENCY = "704"
COUNTRY = "VN"
REUSABLE = "11"
ONE_TIME = "12"
SERVICE = {"account": "QRIBFTTA", "card": "QRIBFTTC"}

MOST_ACCOUNT = 19
MOST_AMOUNT = 9_999_999_999_999
MOST_MEMO = 25


class Transfer(NamedTuple):
    """What a VietQR says; `number` is that of the account or of the card."""

    bin: str
    method: str
    number: str
    amount: int | None
    memo: str | None


def viet_qr(transfer: Transfer) -> str:
    """Write a transfer as a VietQR string."""
    amount, memo = transfer.amount, transfer.memo
    beneficiary = _field("00", transfer.bin) + _field("01", transfer.number)
    text = (
        _field("00", "01")
        + _field("01", REUSABLE if amount is None else ONE_TIME)
        + _field(
            "38", _field("00", GUID) + _field("01", beneficiary) + _field("02", SERVICE[transfer.method])
        )
        + _field("53", CURRENCY)
        + ("" if amount is None else _field("54", str(amount)))
        + _field("58", COUNTRY)
        + ("" if memo is None else _field("62", _field("08", memo)))
        + "6304"
    )
    return text + crc_of(text)


def _field(tag: str, value: str) -> str:
    return f"{tag}{len(value):02}{value}"


def crc_of(text: str) -> str:
    """Compute CRC-16/CCITT-FALSE of ASCII text, in four capital hexadecimal digits."""
    return f"{binascii.crc_hqx(text.encode('ascii'), 0xFFFF):04X}"
