// The invoice in the tax authority's format (QĐ 1271, PBan 2.1.0), unsigned. scripts/gdt_profile.py is the twin;
// references/gdt-xml-format.md has the tree.

import { decimalText } from "cyberos-guest/decimal.ts";
import { XmlWriter } from "cyberos-guest/xml_writer.ts";

import type { Invoice } from "./invoice.ts";
import type { Kind, Request } from "./request.ts";
import type { LineFigures } from "./totals.ts";
import { moneyText } from "./totals.ts";

const DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n';
const VERSION = "2.1.0";
const TITLE = "Hóa đơn giá trị gia tăng";
const NATURES: Readonly<Record<Kind, string>> = { goods: "1", promotion: "2", discount: "3", note: "4", special: "5" };
// TLCKhau is in percent, with the four places that a fraction of six leaves.
const PERCENT = 100n;

export function gdtXml(invoice: Invoice): string {
  const { form, serial, number } = invoice.request;
  const xml = new XmlWriter().open("HDon").open("DLHDon", { Id: `HD-${form}-${serial}-${number}` });
  writeGeneral(xml, invoice.request, invoice.providerMst);
  xml.open("NDHDon");
  writeSeller(xml, invoice);
  writeBuyer(xml, invoice);
  xml.open("DSHHDVu");
  invoice.figures.lines.forEach((line, index) => writeLine(xml, line, index + 1, invoice.request.currency));
  xml.close();
  writePayment(xml, invoice);
  // The authority gives its code (MCCQT) and the seller signs: both come after this file.
  xml.close().close().open("DSCKS").leaf("NBan", "").close().close();
  return DECLARATION + xml.toString();
}

function writeGeneral(xml: XmlWriter, request: Request, providerMst: string | null): void {
  xml
    .open("TTChung")
    .leaf("PBan", VERSION)
    .leaf("THDon", TITLE)
    .leaf("KHMSHDon", request.form)
    .optionalLeaf("KHHDon", request.serial)
    .optionalLeaf("SHDon", request.number)
    .optionalLeaf("NLap", request.issueDate)
    .leaf("HDCTTChinh", "0")
    .leaf("DVTTe", request.currency)
    .optionalLeaf("TGia", request.exchangeRate === null ? null : decimalText(request.exchangeRate))
    .leaf("HTTToan", request.paymentMethod)
    .leaf("MSTTCGP", providerMst ?? "")
    .close();
}

function writeSeller(xml: XmlWriter, { request: { seller }, sellerMst }: Invoice): void {
  xml
    .open("NBan")
    .optionalLeaf("Ten", seller.name)
    .leaf("MST", sellerMst)
    .optionalLeaf("DChi", seller.address)
    .optionalLeaf("SDThoai", seller.phone)
    .optionalLeaf("DCTDTu", seller.email)
    .optionalLeaf("STKNHang", seller.bankAccount)
    .optionalLeaf("TNHang", seller.bankName)
    .close();
}

function writeBuyer(xml: XmlWriter, { request: { buyer }, buyerMst }: Invoice): void {
  xml
    .open("NMua")
    .optionalLeaf("Ten", buyer.name)
    .optionalLeaf("MST", buyerMst)
    .optionalLeaf("DChi", buyer.address)
    .optionalLeaf("SDThoai", buyer.phone)
    .optionalLeaf("CCCDan", buyer.personalId)
    .optionalLeaf("DCTDTu", buyer.email)
    .optionalLeaf("HVTNMHang", buyer.representative)
    .optionalLeaf("STKNHang", buyer.bankAccount)
    .optionalLeaf("TNHang", buyer.bankName)
    .close();
}

function writeLine(xml: XmlWriter, figures: LineFigures, number: number, currency: string): void {
  const { line, rate, discount, amount } = figures;
  const discounted = line.discountRate !== null || line.discount !== null;
  xml
    .open("HHDVu")
    .leaf("TChat", NATURES[line.kind])
    .leaf("STT", String(number))
    .optionalLeaf("MHHDVu", line.code)
    .leaf("THHDVu", line.item);
  if (rate !== null) {
    xml
      .optionalLeaf("DVTinh", line.unit)
      .leaf("SLuong", decimalText(line.quantity))
      .leaf("DGia", decimalText(line.unitPrice))
      .optionalLeaf("TLCKhau", line.discountRate === null ? null : decimalText(line.discountRate * PERCENT))
      .optionalLeaf("STCKhau", discounted ? moneyText(discount, currency) : null)
      // A discount stands as a positive amount: its nature says that it is subtracted.
      .leaf("ThTien", moneyText(line.kind === "discount" ? -amount : amount, currency))
      .leaf("TSuat", rate.label);
  }
  xml.close();
}

function writePayment(xml: XmlWriter, { request: { currency }, figures, inWords }: Invoice): void {
  const money = (amount: bigint): string => moneyText(amount, currency);
  xml.open("TToan").open("THTTLTSuat");
  for (const { label, amount, tax } of figures.rates) {
    xml.open("LTSuat").leaf("TSuat", label).leaf("ThTien", money(amount)).leaf("TThue", money(tax)).close();
  }
  xml
    .close()
    .leaf("TgTCThue", money(figures.amount))
    .leaf("TgTThue", money(figures.tax))
    .optionalLeaf("TTCKTMai", figures.discount === 0n ? null : money(figures.discount))
    .leaf("TgTTTBSo", money(figures.grand))
    .leaf("TgTTTBChu", inWords)
    .close();
}
