"""The return as XML in the shape of 01/GTGT.

The twin of `src/return-xml.ts`; references/gdt-q-return-schema-v3.md has the table of elements.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from filing_period import FORMS
from request import Request
from skill_dates import date_text
from skill_xml_writer import XmlWriter

# Indicators that stand in an element of their own; the others stand between them.
_GROUPS = (
    (None, ("ct21", "ct22")),
    ("GiaTriVaThueGTGTHHDVMuaVao", ("ct23", "ct24")),
    ("HangHoaDichVuNhapKhau", ("ct23a", "ct24a")),
    (None, ("ct25", "ct26")),
    ("HHDVBRaChiuThueGTGT", ("ct27", "ct28")),
    (None, ("ct29",)),
    ("HHDVBRaChiuTSuat5", ("ct30", "ct31")),
    ("HHDVBRaChiuTSuat10", ("ct32", "ct33")),
    (None, ("ct32a",)),
    ("TongDThuVaThueGTGTHHDVBRa", ("ct34", "ct35")),
    (None, ("ct36", "ct37", "ct38", "ct39a", "ct40a", "ct40b", "ct40", "ct41", "ct42", "ct43")),
)
_NO_ADDRESS_PARTS = (
    *("phuongXa", "maHuyenNNT", "tenHuyenNNT", "maTinhNNT", "tenTinhNNT", "dthoaiNNT", "faxNNT", "emailNNT"),
)


class Taxpayer(NamedTuple):
    """Who files."""

    mst: str
    name: str | None
    address: str | None


def return_xml(request: Request, taxpayer: Taxpayer, indicators: Mapping[str, int]) -> str:
    """Write the return."""
    xml = XmlWriter()
    xml.open("HSoThueDTu", {"xmlns": FORMS["namespace"]}).open("HSoKhaiThue", {"id": "_NODE_TO_SIGN"})
    _write_general(xml, request, taxpayer)
    code, name = request.industry
    xml.open("CTieuTKhaiChinh").leaf("ma_NganhNghe", code).leaf("ten_NganhNghe", name)
    xml.leaf("tieuMucHachToan", FORMS["accounting_code"]).leaf("Header", "")
    for group, names in _GROUPS:
        if group is not None:
            xml.open(group)
        for indicator in names:
            xml.leaf(indicator, str(indicators[indicator]))
        if group is not None:
            xml.close()
    # The signature is for whoever files.
    xml.close().leaf("PLuc", "").close().leaf("CKyDTu", "").close()
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{xml}'


def _write_general(xml: XmlWriter, request: Request, taxpayer: Taxpayer) -> None:
    xml.open("TTinChung").open("TTinDVu").leaf("maDVu", "CYBEROS").leaf("tenDVu", "vn-tax-filing")
    xml.leaf("pbanDVu", "0.1.0").leaf("ttinNhaCCapDVu", "CyberOS").close()
    xml.open("TTinTKhaiThue").open("TKhaiThue").leaf("maTKhai", FORMS["code"]).leaf(
        "tenTKhai", FORMS["title"]
    )
    xml.leaf("moTaBMau", FORMS["description"]).leaf("pbanTKhaiXML", FORMS["xml_version"])
    xml.leaf("loaiTKhai", "B" if request.amendment else "C").leaf("soLan", str(request.amendment))
    _write_period(xml, request)
    xml.leaf("maCQTNoiNop", request.office_code).leaf("tenCQTNoiNop", request.office_name)
    xml.leaf("ngayLapTKhai", "" if request.today is None else date_text(request.today))
    xml.open("GiaHan").leaf("maLyDoGiaHan", "").leaf("lyDoGiaHan", "").close()
    xml.leaf("nguoiKy", request.signer).leaf("ngayKy", "").leaf("nganhNgheKD", "").close()
    xml.open("NNT").leaf("mst", taxpayer.mst).leaf("tenNNT", taxpayer.name or "")
    xml.leaf("dchiNNT", taxpayer.address or "")
    for name in _NO_ADDRESS_PARTS:
        xml.leaf(name, "")
    xml.close().close().close()


def _write_period(xml: XmlWriter, request: Request) -> None:
    period = request.period
    month = "" if period.quarterly else period.on_form
    xml.open("KyKKhaiThue").leaf("kieuKy", "Q" if period.quarterly else "M").leaf("kyKKhai", period.on_form)
    xml.leaf("kyKKhaiTuNgay", _on_form(period.first)).leaf("kyKKhaiDenNgay", _on_form(period.last))
    xml.leaf("kyKKhaiTuThang", month).leaf("kyKKhaiDenThang", month).close()


def _on_form(day: int) -> str:
    """Write a day as the form does: `30/06/2026`."""
    return "/".join(reversed(date_text(day).split("-")))
