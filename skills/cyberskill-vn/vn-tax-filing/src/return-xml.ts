// The return as XML in the shape of 01/GTGT. scripts/return_xml.py is the twin;
// references/gdt-q-return-schema-v3.md has the table of elements.

import { type Day, dateText } from "cyberos-guest/dates.ts";
import { XmlWriter } from "cyberos-guest/xml_writer.ts";

import forms from "../assets/forms.json";
import type { Indicators } from "./indicators.ts";
import type { Request } from "./request.ts";

export interface Taxpayer {
  readonly mst: string;
  readonly name: string | null;
  readonly address: string | null;
}

// Indicators that stand in an element of their own; the others stand between them.
const GROUPS: readonly (readonly [string | null, readonly (keyof Indicators)[]])[] = [
  [null, ["ct21", "ct22"]],
  ["GiaTriVaThueGTGTHHDVMuaVao", ["ct23", "ct24"]],
  ["HangHoaDichVuNhapKhau", ["ct23a", "ct24a"]],
  [null, ["ct25", "ct26"]],
  ["HHDVBRaChiuThueGTGT", ["ct27", "ct28"]],
  [null, ["ct29"]],
  ["HHDVBRaChiuTSuat5", ["ct30", "ct31"]],
  ["HHDVBRaChiuTSuat10", ["ct32", "ct33"]],
  [null, ["ct32a"]],
  ["TongDThuVaThueGTGTHHDVBRa", ["ct34", "ct35"]],
  [null, ["ct36", "ct37", "ct38", "ct39a", "ct40a", "ct40b", "ct40", "ct41", "ct42", "ct43"]],
];
const NO_ADDRESS_PARTS = [
  "phuongXa", "maHuyenNNT", "tenHuyenNNT", "maTinhNNT", "tenTinhNNT", "dthoaiNNT", "faxNNT", "emailNNT",
]; // prettier-ignore

export function returnXml(request: Request, taxpayer: Taxpayer, indicators: Indicators): string {
  const xml = new XmlWriter();
  xml.open("HSoThueDTu", { xmlns: forms.namespace }).open("HSoKhaiThue", { id: "_NODE_TO_SIGN" });
  writeGeneral(xml, request, taxpayer);
  xml
    .open("CTieuTKhaiChinh")
    .leaf("ma_NganhNghe", request.industry.code)
    .leaf("ten_NganhNghe", request.industry.name)
    .leaf("tieuMucHachToan", forms.accounting_code)
    .leaf("Header", "");
  for (const [group, names] of GROUPS) {
    if (group !== null) xml.open(group);
    for (const name of names) xml.leaf(name, indicators[name].toString());
    if (group !== null) xml.close();
  }
  // The signature is for whoever files.
  xml.close().leaf("PLuc", "").close().leaf("CKyDTu", "").close();
  return `<?xml version="1.0" encoding="UTF-8"?>\n${xml.toString()}`;
}

function writeGeneral(xml: XmlWriter, request: Request, taxpayer: Taxpayer): void {
  xml
    .open("TTinChung")
    .open("TTinDVu")
    .leaf("maDVu", "CYBEROS")
    .leaf("tenDVu", "vn-tax-filing")
    .leaf("pbanDVu", "0.1.0")
    .leaf("ttinNhaCCapDVu", "CyberOS")
    .close()
    .open("TTinTKhaiThue")
    .open("TKhaiThue")
    .leaf("maTKhai", forms.code)
    .leaf("tenTKhai", forms.title)
    .leaf("moTaBMau", forms.description)
    .leaf("pbanTKhaiXML", forms.xml_version)
    .leaf("loaiTKhai", request.amendment === 0 ? "C" : "B")
    .leaf("soLan", String(request.amendment));
  writePeriod(xml, request);
  xml
    .leaf("maCQTNoiNop", request.officeCode)
    .leaf("tenCQTNoiNop", request.officeName)
    .leaf("ngayLapTKhai", request.today === null ? "" : dateText(request.today))
    .open("GiaHan")
    .leaf("maLyDoGiaHan", "")
    .leaf("lyDoGiaHan", "")
    .close()
    .leaf("nguoiKy", request.signer)
    .leaf("ngayKy", "")
    .leaf("nganhNgheKD", "")
    .close()
    .open("NNT")
    .leaf("mst", taxpayer.mst)
    .leaf("tenNNT", taxpayer.name ?? "")
    .leaf("dchiNNT", taxpayer.address ?? "");
  for (const name of NO_ADDRESS_PARTS) xml.leaf(name, "");
  xml.close().close().close();
}

function writePeriod(xml: XmlWriter, { period }: Request): void {
  const month = period.quarterly ? "" : period.onForm;
  xml
    .open("KyKKhaiThue")
    .leaf("kieuKy", period.quarterly ? "Q" : "M")
    .leaf("kyKKhai", period.onForm)
    .leaf("kyKKhaiTuNgay", onForm(period.first))
    .leaf("kyKKhaiDenNgay", onForm(period.last))
    .leaf("kyKKhaiTuThang", month)
    .leaf("kyKKhaiDenThang", month)
    .close();
}

/** A day as the form writes it: `30/06/2026`. */
function onForm(day: Day): string {
  return dateText(day).split("-").reverse().join("/");
}
