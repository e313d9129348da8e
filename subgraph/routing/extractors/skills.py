"""What each skill needs of a query: its own input fields, out of what stands there."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from subgraph.routing.extractors.accounts import Accounts, accounts, unread
from subgraph.routing.extractors.amounts import amounts
from subgraph.routing.extractors.banks import banks
from subgraph.routing.extractors.cccd import citizen_ids
from subgraph.routing.extractors.days import Day, days
from subgraph.routing.extractors.memos import directories, items, memos, vietqr
from subgraph.routing.extractors.mst import tax_codes
from subgraph.routing.extractors.periods import periods
from subgraph.routing.extractors.rates import rates
from subgraph.routing.extractors.text import Text

Arguments = dict[str, object]


class Fields(NamedTuple):
    """What was found, what of it can be read in two ways, and what the skill needs besides."""

    arguments: Arguments
    ambiguous: list[str]
    needed: tuple[str, ...]

    def put(self, name: str, values: Iterable[object], *, unclear: bool = False) -> None:
        """Take the one value of a field; several, an unclear one or None are for the user to settle."""
        distinct = list(dict.fromkeys(values))
        if len(distinct) > 1 or (unclear and distinct) or None in distinct:
            self.ambiguous.append(name)
        elif distinct:
            self.arguments[name] = distinct[0]


def _fields(*needed: str) -> Fields:
    return Fields({}, [], needed)


def _mst_validate(text: Text) -> Fields:
    fields = _fields("mst")
    rest = text.without(day.span for day in days(text))
    codes = tax_codes(rest.without(one.span for one in amounts(rest)))
    fields.put("mst", (*codes.own, *codes.seller, *codes.buyer), unclear=codes.unclear)
    if not fields.arguments and not fields.ambiguous:
        # Somebody who asks for a tax code to be checked may well mean the twelve digits of a person.
        ids = citizen_ids(rest)
        fields.put("mst", ids.values, unclear=ids.unclear)
    return fields


def _citizen_id(text: Text) -> Fields:
    fields = _fields("cccd")
    dated = days(text)
    ids = citizen_ids(text.without(day.span for day in dated))
    fields.put("cccd", ids.values, unclear=ids.unclear)
    fields.put("date_of_birth", _births(dated))
    return fields


def _births(dated: list[Day]) -> list[str | None]:
    """Return days that are called dates of birth: another may be that of the card."""
    return [day.value for day in dated if day.birth]


_READING = re.compile(
    r"(?<!\w)(?:decode|giai ma|doc (?:ma|chuoi|vietqr|qr)|read (?:this|the) (?:qr|vietqr|code))(?!\w)"
)


def _bank_transfer(text: Text) -> Fields:
    code = vietqr(text)
    if code is not None:
        return Fields({"decode": code.value}, [], ("decode",))
    remarks = memos(text)
    rest = text.without(memo.span for memo in remarks)
    rest = rest.without(day.span for day in days(rest))
    sums = amounts(rest)
    rest = rest.without(one.span for one in sums)
    known = banks(rest)
    rest = rest.without(known.spans)
    numbers = accounts(rest)
    if _READING.search(text.folded) and not known.codes and not numbers.accounts:
        return _fields("decode")
    fields = _fields("bank", "account")
    fields.put("bank", [*known.codes, *([None] if known.unclear else [])])
    _put_numbers(fields, numbers)
    # A number beside the account that nobody named is perhaps the amount, perhaps not.
    spare = [None for _ in unread(rest.without(numbers.spans))] if not sums else []
    fields.put("amount_vnd", [*(one.value for one in sums), *spare])
    fields.put("memo", (memo.value for memo in remarks))
    return fields


def _put_numbers(fields: Fields, numbers: Accounts) -> None:
    if numbers.cards and numbers.accounts:
        fields.ambiguous.append("account")
    elif numbers.cards:
        fields.put("card", numbers.cards)
    else:
        fields.put("account", numbers.accounts, unclear=numbers.unclear)


# The amount of a line is that before tax.
_GROSS = re.compile(
    r"(?<!\w)(?:(?:da |bao |da bao )?gom(?: ca| luon)?|incl|including|inclusive of)\.? "
    r"(?:[0-9]{1,2} ?% )?(?:thue|vat|gtgt|tax)(?!\w)"
)
_TAX_BEFORE = re.compile(r"(?<!\w)(?:thue|tax)(?: vat| gtgt)? {1,2}(?:la |of )?\Z")
_ANOTHER_BEFORE = re.compile(
    r"(?:hoa don so|so hoa don|invoice(?: no\.?| number)?) {0,2}[0-9]+,? {1,2}(?:ngay )?\Z"
)
_REACH = 40


def _is_of_another(text: Text, day: Day) -> bool:
    """Tell whether a day is that of an invoice that is named by its number, or of a birth."""
    start = max(0, day.span.start - _REACH)
    return day.birth or _ANOTHER_BEFORE.search(text.folded, start, day.span.start) is not None


def _vat_invoice(text: Text) -> Fields:
    fields = _fields("seller_mst", "item", "amount_vnd", "tax_rate")
    goods = items(text)
    rest = text.without(item.span for item in goods)
    dated = days(rest)
    rest = rest.without(day.span for day in dated)
    sums = amounts(rest)
    rest = rest.without(one.span for one in sums)
    codes = tax_codes(rest)
    fields.put("mst", (*codes.own, *codes.buyer), unclear=codes.unclear)
    fields.put("seller_mst", codes.seller, unclear=codes.unclear)
    gross = _GROSS.search(rest.folded) is not None or any(
        _TAX_BEFORE.search(rest.folded, max(0, one.span.start - _REACH), one.span.start) for one in sums
    )
    fields.put("amount_vnd", (one.value for one in sums), unclear=gross)
    fields.put("tax_rate", rates(rest.without(codes.spans)))
    fields.put("item", (item.value for item in goods))
    fields.put("issue_date", (day.value for day in dated if not _is_of_another(text, day)))
    return fields


_RETURNS = "returns"  # where the skill writes, and so not where it reads


def _tax_filing(text: Text) -> Fields:
    fields = _fields("period", "invoices_dir")
    paths = directories(text)
    rest = text.without(path.span for path in paths)
    rest = rest.without(day.span for day in days(rest))
    said = periods(rest)
    values = dict.fromkeys(one.value for one in said)
    if list(values) != [None]:  # a period without its year is asked for, like one that is not there
        fields.put("period", values)
    codes = tax_codes(rest.without(one.span for one in said))
    fields.put("taxpayer_mst", (*codes.own, *codes.seller, *codes.buyer), unclear=codes.unclear)
    fields.put("invoices_dir", (path.value for path in paths if path.value.strip("./") != _RETURNS))
    return fields


EXTRACTORS: Mapping[str, Callable[[Text], Fields]] = {
    "vn-mst-validate": _mst_validate,
    "vn-vat-invoice": _vat_invoice,
    "vn-bank-transfer": _bank_transfer,
    "vneid-integration": _citizen_id,
    "vn-tax-filing": _tax_filing,
}


def invoice_input(arguments: Mapping[str, object]) -> Arguments:
    """Return the input of vn-vat-invoice: `mst` is the buyer's, and the amount is one line before tax."""
    rest = dict(arguments)
    result: Arguments = {}
    if "mst" in rest:
        result["buyer_mst"] = rest.pop("mst")
    line: Arguments = {"qty": 1}
    for name, field in (("item", "item"), ("amount_vnd", "unit_price"), ("tax_rate", "tax_rate")):
        if name in rest:
            line[field] = rest.pop(name)
    if len(line) > 1:
        result["lines"] = [line]
    return {**result, **rest}
