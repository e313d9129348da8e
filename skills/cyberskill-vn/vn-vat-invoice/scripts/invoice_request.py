"""Reads what is asked for: the shape of every field, not yet whether an invoice can be made of it.

The twin of `src/request.ts`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from skill_dates import day_of
from skill_decimal import ONE
from skill_input import Fields, InputInvalidError, read_fields
from skill_xml_writer import is_xml_text

# A thousand lines with the longest names have 650,000 characters.
MAX_CHARACTERS = 1_000_000
MAX_DEPTH = 16
MAX_LINES = 1000
MAX_PATH = 200
# TGia has seven digits, two of them after the point.
MAX_EXCHANGE_RATE = 99_999_990_000
HUNDREDTH = 10_000

FIELDS = (
    "buyer_mst", "seller_mst", "provider_mst", "buyer", "seller", "lines", "profile", "rounding",
    "issue_date", "form", "serial", "number", "payment_method", "currency", "exchange_rate", "strict",
    "output", "output_path",
)  # fmt: skip
SELLER_FIELDS = ("name", "address", "phone", "email", "bank_account", "bank_name")
BUYER_FIELDS = (*SELLER_FIELDS, "personal_id", "representative")
LINE_FIELDS = (
    "item", "code", "unit", "qty", "unit_price", "tax_rate", "kind", "discount_rate", "discount",
)  # fmt: skip
KINDS = ("goods", "promotion", "discount", "note", "special")

# An absolute path, one with an empty segment, or one that leads out of the directory that was granted.
_BAD_PATH = re.compile(r"^/|//|\\|\.\.|[\0-\x1f]")
_XML_PATH = re.compile(r"[^/]\.xml\Z")


class Party(NamedTuple):
    """What is told of the buyer or the seller."""

    name: str | None
    address: str | None
    phone: str | None
    email: str | None
    bank_account: str | None
    bank_name: str | None
    personal_id: str | None
    representative: str | None


class Line(NamedTuple):
    """One line as given. `place` is `lines[0]`, for messages; `tax_rate` is None for a note."""

    place: str
    kind: str
    item: str
    code: str | None
    unit: str | None
    quantity: int
    unit_price: int
    tax_rate: int | str | None
    discount_rate: int | None
    discount: int | None


class Request(NamedTuple):
    """All that is asked for."""

    buyer_mst: str | None
    seller_mst: str
    provider_mst: str | None
    buyer: Party
    seller: Party
    lines: list[Line]
    profile: str
    rounding: str
    issue_date: str | None
    form: str
    serial: str | None
    number: str | None
    payment_method: str
    currency: str
    exchange_rate: int | None
    strict: bool
    output: str
    output_path: str | None


def read_request(text: str) -> Request:
    """Read a request; raises InputInvalidError."""
    fields = read_fields(text, MAX_CHARACTERS, MAX_DEPTH, FIELDS)
    profile = fields.choice("profile", ("simple", "gdt"), "simple")
    gdt = profile == "gdt"
    currency = "VND"
    if fields.has("currency"):
        currency = matching(fields, "currency", "[A-Z]{3}", "three letters A to Z")
    return Request(
        buyer_mst=fields.optional_text("buyer_mst", 100),
        seller_mst=fields.text("seller_mst", 100, ", because a number loses its leading zeros"),
        provider_mst=fields.optional_text("provider_mst", 100),
        buyer=read_party(fields, "buyer", BUYER_FIELDS, False),
        seller=read_party(fields, "seller", SELLER_FIELDS, gdt),
        lines=read_lines(fields),
        profile=profile,
        rounding=fields.choice("rounding", ("line", "rate_group"), "rate_group" if gdt else "line"),
        issue_date=read_date(fields, gdt),
        form=fields.choice("form", ("1",), "1"),
        serial=optional_matching(fields, "serial", "[0-9A-Z]{6}", "six characters 0 to 9 or A to Z", gdt),
        number=optional_matching(fields, "number", "[0-9]{1,8}", "one to eight digits", gdt),
        payment_method=optional_xml_text(fields, "payment_method", 50) or "TM/CK",
        currency=currency,
        exchange_rate=read_exchange_rate(fields, currency),
        strict=fields.flag("strict", False),
        output=fields.choice("output", ("xml", "json"), "json" if gdt else "xml"),
        output_path=read_path(fields),
    )


def read_party(fields: Fields, role: str, names: Sequence[str], named: bool) -> Party:
    """Read the buyer or the seller; where a name is required, so is the object that has it."""
    party = fields.object(role, names) if fields.has(role) or named else None

    def text(name: str, most: int) -> str | None:
        return None if party is None or name not in names else optional_xml_text(party, name, most)

    def required(name: str, most: int) -> str | None:
        return xml_text(party, name, most) if party is not None and named else text(name, most)

    identified = party if "personal_id" in names else None
    return Party(
        name=required("name", 400),
        address=required("address", 400),
        phone=text("phone", 20),
        email=text("email", 50),
        bank_account=text("bank_account", 30),
        bank_name=text("bank_name", 400),
        personal_id=None
        if identified is None
        else optional_matching(identified, "personal_id", "[0-9]{12}", "twelve digits", False),
        representative=text("representative", 100),
    )


def read_lines(fields: Fields) -> list[Line]:
    """Read the lines, of which there is at least one."""
    lines = fields.objects("lines", LINE_FIELDS, MAX_LINES)
    if not lines:
        fields.refuse("lines", "has no entry")
    return [read_line(line, f"lines[{index}]") for index, line in enumerate(lines)]


def read_line(line: Fields, place: str) -> Line:
    """Read one line."""
    kind = line.choice("kind", KINDS, "goods")
    item, code = xml_text(line, "item", 500), optional_xml_text(line, "code", 50)
    if kind not in ("goods", "special"):
        refuse_all(line, ("discount_rate", "discount"), "is for goods and services")
    if kind == "note":
        refuse_all(line, ("unit", "qty", "unit_price", "tax_rate"), "has no place in a note")
        return Line(place, kind, item, code, None, 0, 0, None, None, None)
    discount_rate = line.optional_decimal("discount_rate")
    if discount_rate is not None and not 0 <= discount_rate < ONE:
        line.refuse("discount_rate", "must be a fraction, at least 0 and less than 1")
    if discount_rate is not None and line.has("discount"):
        line.refuse("discount", 'is given beside "discount_rate"')
    return Line(
        place,
        kind,
        item,
        code,
        unit=optional_xml_text(line, "unit", 50),
        quantity=line.decimal("qty"),
        unit_price=line.decimal("unit_price"),
        tax_rate=read_tax_rate(line),
        discount_rate=discount_rate,
        discount=line.optional_decimal("discount"),
    )


def refuse_all(fields: Fields, names: Sequence[str], why: str) -> None:
    """Raise if one of these fields is given."""
    for name in names:
        if fields.has(name):
            fields.refuse(name, why)


def read_tax_rate(line: Fields) -> int | str:
    """Read a number, or its digits as text, or the label of a rate."""
    try:
        return line.decimal("tax_rate")
    except InputInvalidError:
        if not line.has("tax_rate"):
            raise
        return line.text("tax_rate", 50, " or a number with at most 6 places")


def read_date(fields: Fields, required: bool) -> str | None:
    """Read the issue date."""
    if not required and not fields.has("issue_date"):
        return None
    date = fields.text("issue_date", 50)
    if day_of(date) is None:
        fields.refuse("issue_date", "must be a day as YYYY-MM-DD")
    return date


def read_exchange_rate(fields: Fields, currency: str) -> int | None:
    """Read how many đồng a unit of the currency is."""
    if currency == "VND":
        if fields.has("exchange_rate"):
            fields.refuse("exchange_rate", "is for other currencies than VND")
        return None
    rate = fields.decimal("exchange_rate")
    if not 0 < rate <= MAX_EXCHANGE_RATE or rate % HUNDREDTH:
        fields.refuse("exchange_rate", "must be more than 0, at most 99999.99, with at most 2 places")
    return rate


def read_path(fields: Fields) -> str | None:
    """Read where the XML goes."""
    path = optional_xml_text(fields, "output_path", MAX_PATH)
    if path is not None and (_BAD_PATH.search(path) or not _XML_PATH.search(path)):
        fields.refuse("output_path", 'must be a relative path that ends in ".xml", without ".."')
    return path


def matching(fields: Fields, name: str, pattern: str, what: str) -> str:
    """Read a text of a certain form."""
    text = fields.text(name, 100)
    if re.fullmatch(pattern, text) is None:
        fields.refuse(name, f"must be {what}")
    return text


def optional_matching(fields: Fields, name: str, pattern: str, what: str, required: bool) -> str | None:
    """Read a text of a certain form, None where there is none and none is required."""
    return matching(fields, name, pattern, what) if required or fields.has(name) else None


def xml_text(fields: Fields, name: str, most: int) -> str:
    """Read a text that can stand in XML."""
    text = fields.text(name, most)
    if not text:
        fields.refuse(name, "is empty")
    if not is_xml_text(text):
        fields.refuse(name, "has a character that XML cannot hold")
    return text


def optional_xml_text(fields: Fields, name: str, most: int) -> str | None:
    """Read a text that can stand in XML, None where there is none."""
    return xml_text(fields, name, most) if fields.has(name) else None
