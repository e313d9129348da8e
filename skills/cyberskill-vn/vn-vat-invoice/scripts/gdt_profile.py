"""The invoice in the tax authority's format (QĐ 1271, PBan 2.1.0), unsigned.

The twin of `src/gdt.ts`; references/gdt-xml-format.md has the tree.
"""

from __future__ import annotations

from invoice import Invoice
from invoice_request import Request
from invoice_totals import LineFigures, money_text
from skill_decimal import decimal_text
from skill_xml_writer import XmlWriter

DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'
VERSION = "2.1.0"
TITLE = "Hóa đơn giá trị gia tăng"
NATURES = {"goods": "1", "promotion": "2", "discount": "3", "note": "4", "special": "5"}
# TLCKhau is in percent, with the four places that a fraction of six leaves.
PERCENT = 100


def gdt_xml(invoice: Invoice) -> str:
    """Write the document."""
    request = invoice.request
    identity = f"HD-{request.form}-{request.serial}-{request.number}"
    xml = XmlWriter().open("HDon").open("DLHDon", {"Id": identity})
    _write_general(xml, request, invoice.provider_mst)
    xml.open("NDHDon")
    _write_seller(xml, invoice)
    _write_buyer(xml, invoice)
    xml.open("DSHHDVu")
    for number, line in enumerate(invoice.figures.lines, start=1):
        _write_line(xml, line, number, request.currency)
    xml.close()
    _write_payment(xml, invoice)
    # The authority gives its code (MCCQT) and the seller signs: both come after this file.
    xml.close().close().open("DSCKS").leaf("NBan", "").close().close()
    return DECLARATION + str(xml)


def _write_general(xml: XmlWriter, request: Request, provider_mst: str | None) -> None:
    rate = request.exchange_rate
    xml.open("TTChung")
    xml.leaf("PBan", VERSION)
    xml.leaf("THDon", TITLE)
    xml.leaf("KHMSHDon", request.form)
    xml.optional_leaf("KHHDon", request.serial)
    xml.optional_leaf("SHDon", request.number)
    xml.optional_leaf("NLap", request.issue_date)
    xml.leaf("HDCTTChinh", "0")
    xml.leaf("DVTTe", request.currency)
    xml.optional_leaf("TGia", None if rate is None else decimal_text(rate))
    xml.leaf("HTTToan", request.payment_method)
    xml.leaf("MSTTCGP", provider_mst or "")
    xml.close()


def _write_seller(xml: XmlWriter, invoice: Invoice) -> None:
    seller = invoice.request.seller
    xml.open("NBan")
    xml.optional_leaf("Ten", seller.name)
    xml.leaf("MST", invoice.seller_mst)
    xml.optional_leaf("DChi", seller.address)
    xml.optional_leaf("SDThoai", seller.phone)
    xml.optional_leaf("DCTDTu", seller.email)
    xml.optional_leaf("STKNHang", seller.bank_account)
    xml.optional_leaf("TNHang", seller.bank_name)
    xml.close()


def _write_buyer(xml: XmlWriter, invoice: Invoice) -> None:
    buyer = invoice.request.buyer
    xml.open("NMua")
    xml.optional_leaf("Ten", buyer.name)
    xml.optional_leaf("MST", invoice.buyer_mst)
    xml.optional_leaf("DChi", buyer.address)
    xml.optional_leaf("SDThoai", buyer.phone)
    xml.optional_leaf("CCCDan", buyer.personal_id)
    xml.optional_leaf("DCTDTu", buyer.email)
    xml.optional_leaf("HVTNMHang", buyer.representative)
    xml.optional_leaf("STKNHang", buyer.bank_account)
    xml.optional_leaf("TNHang", buyer.bank_name)
    xml.close()


def _write_line(xml: XmlWriter, figures: LineFigures, number: int, currency: str) -> None:
    line, rate, discount_rate = figures.line, figures.rate, figures.line.discount_rate
    discounted = discount_rate is not None or line.discount is not None
    xml.open("HHDVu")
    xml.leaf("TChat", NATURES[line.kind])
    xml.leaf("STT", str(number))
    xml.optional_leaf("MHHDVu", line.code)
    xml.leaf("THHDVu", line.item)
    if rate is not None:
        xml.optional_leaf("DVTinh", line.unit)
        xml.leaf("SLuong", decimal_text(line.quantity))
        xml.leaf("DGia", decimal_text(line.unit_price))
        xml.optional_leaf("TLCKhau", None if discount_rate is None else decimal_text(discount_rate * PERCENT))
        xml.optional_leaf("STCKhau", money_text(figures.discount, currency) if discounted else None)
        # A discount stands as a positive amount: its nature says that it is subtracted.
        amount = -figures.amount if line.kind == "discount" else figures.amount
        xml.leaf("ThTien", money_text(amount, currency))
        xml.leaf("TSuat", rate.label)
    xml.close()


def _write_payment(xml: XmlWriter, invoice: Invoice) -> None:
    figures, currency = invoice.figures, invoice.request.currency
    xml.open("TToan").open("THTTLTSuat")
    for label, amount, tax in figures.rates:
        xml.open("LTSuat").leaf("TSuat", label).leaf("ThTien", money_text(amount, currency))
        xml.leaf("TThue", money_text(tax, currency)).close()
    xml.close()
    xml.leaf("TgTCThue", money_text(figures.amount, currency))
    xml.leaf("TgTThue", money_text(figures.tax, currency))
    xml.optional_leaf("TTCKTMai", money_text(figures.discount, currency) if figures.discount else None)
    xml.leaf("TgTTTBSo", money_text(figures.grand, currency))
    xml.leaf("TgTTTBChu", invoice.in_words)
    xml.close()
