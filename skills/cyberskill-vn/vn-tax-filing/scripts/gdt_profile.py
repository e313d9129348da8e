"""An invoice in the tax authority's format (QĐ 1271).

The twin of `src/gdt.ts`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from elements import Elements, FileFault
from invoice import (
    Group,
    Invoice,
    Line,
    Party,
    buyer_mst,
    check_groups,
    check_same,
    exchange_rate,
    in_dong,
    rate_of,
    seller_mst,
    tolerance_for,
)
from skill_xml_reader import XmlElement, local_name

_FORM = re.compile("[0-9]")
_VAT_INVOICE = "1"
_SERIAL = re.compile("[0-9A-Za-z/]{1,12}")
_SERIAL_LENGTH = 6
_NUMBER = re.compile("[0-9]{1,8}")
_CURRENCY = re.compile("[A-Z]{3}")

# A point before three digits is more often one of thousands: 25.000 is not 25 đồng.
_EXCHANGE_RATE = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,2})?")

# Less than `\S` takes here: what `\S` of both twins takes.
_NOT_BLANK = re.compile(
    "[^\u0009-\u000d\u001c-\u0020\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff]"
)

# What a line is. A promotion and a note add nothing to the totals; goods, services (1) and specials (5) do.
_NATURE = re.compile("[1-5]")
_PROMOTION = "2"
_DISCOUNT = "3"
_NOTE = "4"

_RELATION = re.compile("[12]")
_ADJUSTS = "2"


def invoice_in(root: XmlElement) -> XmlElement:
    """Return the invoice in what a provider sends: alone, or in an envelope."""
    element = root
    if local_name(element) == "TDiep":
        element = Elements(element, "TDiep/").element("DLieu")
    if local_name(element) == "DLieu":
        invoices = [child for child in element.children if local_name(child) == "HDon"]
        if len(invoices) > 1:
            raise FileFault("several_invoices")
        element = invoices[0] if invoices else element
    if local_name(element) != "HDon":
        raise FileFault("root_unknown")
    return element


def read_gdt(hdon: XmlElement) -> Invoice:
    """Read an invoice; raises FileFault."""
    invoice = Elements(hdon, "")
    data = invoice.inside("DLHDon")
    general = data.inside("TTChung")
    content = data.inside("NDHDon")
    if general.matching("KHMSHDon", _FORM) != _VAT_INVOICE:
        raise FileFault("not_a_vat_invoice")

    draft = not _is_signed(invoice)
    seller_fields = content.inside("NBan")
    seller = seller_mst(seller_fields, "MST")
    buyer = content.inside("NMua")
    date = general.date("NLap")
    currency = general.matching("DVTTe", _CURRENCY)
    if currency != "VND":
        general.matching("TGia", _EXCHANGE_RATE)
    identity = _identity_of(general, seller, draft)
    seller_party = _party_of(seller_fields, seller)
    buyer_name, buyer_address = buyer.optional_text("Ten"), buyer.optional_text("DChi")
    buyer_party = Party(buyer_mst(buyer, "MST"), buyer_name, buyer_address)
    replaces, adjusts = _relation_of(general, seller)
    return Invoice(
        profile="gdt",
        seller=seller_party,
        buyer=buyer_party,
        date=date,
        identity=identity,
        replaces=replaces,
        adjusts=adjusts,
        draft=draft,
        groups=in_dong(_read_groups(content, currency), exchange_rate(general, currency, "TGia")),
    )


def _party_of(fields: Elements, mst: str) -> Party:
    return Party(mst, fields.optional_text("Ten"), fields.optional_text("DChi"))


def _is_signed(invoice: Elements) -> bool:
    """Tell whether the seller signed, as far as one sees: the signature itself is not verified."""
    signatures = invoice.optional("DSCKS")
    own = None if signatures is None else Elements(signatures, "DSCKS/").optional("NBan")
    pending = [] if own is None else list(own.children)
    while pending:
        element = pending.pop()
        if local_name(element) == "SignatureValue" and _NOT_BLANK.search(element.text):
            return True
        pending.extend(element.children)
    return False


def _identity_of(general: Elements, seller: str, draft: bool) -> str | None:
    """Return what names an invoice; a draft may lack its serial and number, which come last."""
    if draft and (general.optional_text("KHHDon") is None or general.optional_text("SHDon") is None):
        return None
    serial = _serial_in(general, "KHHDon", _VAT_INVOICE)
    return f"{seller} {_VAT_INVOICE} {serial} {_number_in(general, 'SHDon')}"


def _relation_of(general: Elements, seller: str) -> tuple[str | None, bool]:
    """Return what an invoice replaces, and whether it adjusts one."""
    if general.optional("TTHDLQuan") is None:
        return None, False
    related = general.inside("TTHDLQuan")
    if related.matching("TCHDon", _RELATION) == _ADJUSTS:
        return None, True
    form = related.matching("KHMSHDCLQuan", _FORM)
    serial = _serial_in(related, "KHHDCLQuan", form)
    return f"{seller} {form} {serial} {_number_in(related, 'SHDCLQuan')}", False


def _serial_in(fields: Elements, name: str, form: str) -> str:
    """Return a serial in capitals, and without the digit of the form that some write before it."""
    serial = fields.matching(name, _SERIAL).upper()
    return serial[1:] if len(serial) == _SERIAL_LENGTH + 1 and serial.startswith(form) else serial


def _number_in(fields: Elements, name: str) -> str:
    return str(int(fields.matching(name, _NUMBER)))


def _read_groups(content: Elements, currency: str) -> list[Group]:
    lines = _read_lines(content.element("DSHHDVu"))
    payment = content.inside("TToan")
    groups: list[Group] = []
    rates = payment.optional("THTTLTSuat")
    for child in rates.children if rates else ():
        if not _is_named(child, "LTSuat"):
            continue
        fields = Elements(child, "LTSuat/")
        rate = rate_of(fields, "TSuat")
        # Where there is no tax, some leave the field out.
        tax = fields.optional_number("TThue") if rate.charged == 0 else fields.number("TThue")
        groups.append(Group(rate, fields.number("ThTien"), tax))
    tolerance = tolerance_for(currency, len(lines))
    check_groups(lines, groups, tolerance, "LTSuat")
    _check_totals(payment, groups, tolerance)
    return groups


def _read_lines(items: XmlElement) -> list[Line]:
    lines: list[Line] = []
    found = False
    for child in items.children:
        if not _is_named(child, "HHDVu"):
            continue
        found = True
        fields = Elements(child, "HHDVu/")
        nature = fields.matching("TChat", _NATURE)
        if nature in (_NOTE, _PROMOTION):
            continue
        rate = None if fields.optional_text("TSuat") is None else rate_of(fields, "TSuat")
        amount = fields.number("ThTien")
        lines.append(Line(rate, -amount if nature == _DISCOUNT else amount, None))
    if not found:
        raise FileFault("field_missing", "HHDVu")
    return lines


def _is_named(element: XmlElement, name: str) -> bool:
    """Tell whether an element has a name.

    One that differs by case alone would be left out unseen, so it is refused.
    """
    written = local_name(element)
    if written == name:
        return True
    if written.isascii() and written.lower() == name.lower():
        raise FileFault("field_invalid", name)
    return False


def _check_totals(payment: Elements, groups: Sequence[Group], tolerance: int) -> None:
    amount, tax = sum(group.amount for group in groups), sum(group.tax for group in groups)
    stated = payment.number("TgTCThue")
    # Some write what is not taxable beside the total, some within it.
    apart = payment.optional_number("TGTKCThue")
    whole = stated + apart if abs(amount - stated) > tolerance else stated
    check_same(whole, amount, tolerance, "TToan/TgTCThue")
    check_same(payment.number("TgTThue"), tax, tolerance, "TToan/TgTThue")
