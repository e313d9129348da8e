// The return as XML in the shape of 01/GTGT. scripts/return_xml.py is the twin;
// references/gdt-q-return-schema-v3.md has the table of elements.

import { type Day, dateText } from "cyberos-guest/dates.ts";
import { XmlWriter, escaped } from "cyberos-guest/xml_writer.ts";

import forms from "../assets/forms.json";
import { type Indicators, INDICATORS } from "./indicators.ts";
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

// What every return has alike is written once, when the component is built, with a hole for each text that differs.
const HOLE = "\ue000";
const HEAD = [
  "loaiTKhai", "soLan", "kieuKy", "kyKKhai", "kyKKhaiTuNgay", "kyKKhaiDenNgay", "kyKKhaiTuThang", "kyKKhaiDenThang",
  "maCQTNoiNop", "tenCQTNoiNop", "ngayLapTKhai", "nguoiKy", "mst", "tenNNT", "dchiNNT", "ma_NganhNghe", "ten_NganhNghe",
] as const; // prettier-ignore
const NAMES: readonly (Head | keyof Indicators)[] = [...HEAD, ...INDICATORS];
const PIECES = template().split(HOLE);

type Head = (typeof HEAD)[number];

export function returnXml(request: Request, taxpayer: Taxpayer, indicators: Indicators): string {
  const head = headOf(request, taxpayer);
  const texts: Readonly<Record<string, string | bigint>> = { ...indicators, ...head };
  let xml = PIECES[0] ?? "";
  NAMES.forEach((name, index) => {
    const text = texts[name] ?? "";
    xml += (typeof text === "string" ? escaped(text) : text.toString()) + (PIECES[index + 1] ?? "");
  });
  return xml;
}

function headOf(request: Request, taxpayer: Taxpayer): Record<Head, string> {
  const { period, amendment, industry } = request;
  const month = period.quarterly ? "" : period.onForm;
  return {
    loaiTKhai: amendment === 0 ? "C" : "B",
    soLan: String(amendment),
    kieuKy: period.quarterly ? "Q" : "M",
    kyKKhai: period.onForm,
    kyKKhaiTuNgay: onForm(period.first),
    kyKKhaiDenNgay: onForm(period.last),
    kyKKhaiTuThang: month,
    kyKKhaiDenThang: month,
    maCQTNoiNop: request.officeCode,
    tenCQTNoiNop: request.officeName,
    ngayLapTKhai: request.today === null ? "" : dateText(request.today),
    nguoiKy: request.signer,
    mst: taxpayer.mst,
    tenNNT: taxpayer.name ?? "",
    dchiNNT: taxpayer.address ?? "",
    ma_NganhNghe: industry.code,
    ten_NganhNghe: industry.name,
  };
}

/** The return with holes in the order of `NAMES`. */
function template(): string {
  const xml = new XmlWriter();
  xml.open("HSoThueDTu", { xmlns: forms.namespace }).open("HSoKhaiThue", { id: "_NODE_TO_SIGN" });
  writeGeneral(xml);
  xml.open("CTieuTKhaiChinh").leaf("ma_NganhNghe", HOLE).leaf("ten_NganhNghe", HOLE);
  xml.leaf("tieuMucHachToan", forms.accounting_code).leaf("Header", "");
  for (const [group, names] of GROUPS) {
    if (group !== null) xml.open(group);
    for (const name of names) xml.leaf(name, HOLE);
    if (group !== null) xml.close();
  }
  // The signature is for whoever files.
  xml.close().leaf("PLuc", "").close().leaf("CKyDTu", "").close();
  return `<?xml version="1.0" encoding="UTF-8"?>\n${xml.toString()}`;
}

function writeGeneral(xml: XmlWriter): void {
  xml.open("TTinChung").open("TTinDVu").leaf("maDVu", "CYBEROS").leaf("tenDVu", "vn-tax-filing");
  xml.leaf("pbanDVu", "0.1.0").leaf("ttinNhaCCapDVu", "CyberOS").close();
  xml.open("TTinTKhaiThue").open("TKhaiThue").leaf("maTKhai", forms.code).leaf("tenTKhai", forms.title);
  xml.leaf("moTaBMau", forms.description).leaf("pbanTKhaiXML", forms.xml_version);
  xml.leaf("loaiTKhai", HOLE).leaf("soLan", HOLE).open("KyKKhaiThue").leaf("kieuKy", HOLE).leaf("kyKKhai", HOLE);
  xml.leaf("kyKKhaiTuNgay", HOLE).leaf("kyKKhaiDenNgay", HOLE);
  xml.leaf("kyKKhaiTuThang", HOLE).leaf("kyKKhaiDenThang", HOLE).close();
  xml.leaf("maCQTNoiNop", HOLE).leaf("tenCQTNoiNop", HOLE).leaf("ngayLapTKhai", HOLE);
  xml.open("GiaHan").leaf("maLyDoGiaHan", "").leaf("lyDoGiaHan", "").close();
  xml.leaf("nguoiKy", HOLE).leaf("ngayKy", "").leaf("nganhNgheKD", "").close();
  xml.open("NNT").leaf("mst", HOLE).leaf("tenNNT", HOLE).leaf("dchiNNT", HOLE);
  for (const name of NO_ADDRESS_PARTS) xml.leaf(name, "");
  xml.close().close().close();
}

/** A day as the form writes it: `30/06/2026`. */
function onForm(day: Day): string {
  return dateText(day).split("-").reverse().join("/");
}
