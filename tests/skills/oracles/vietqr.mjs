// VietQR strings and QR symbols by other hands: a JSON object in on standard input, one out on standard output.
//
// transfers: [{bin, method, number, amount, memo}] gives for each the strings of both libraries, null where one refuses.
// symbols: [{text, mask}] gives for each the version and the rows of the symbol.
// banks is always there: the names that vietnam-qr-pay has, by BIN.

import { readFileSync } from "node:fs";
import QRCode from "qrcode";
import { BanksObject, QRPay } from "vietnam-qr-pay";
import { generateVietQR } from "vietqr-ts";

const SERVICES = { account: "QRIBFTTA", card: "QRIBFTTC" };

function byQrPay({ bin, method, number, amount, memo }) {
  return QRPay.initVietQR({
    bankBin: bin,
    bankNumber: number,
    service: SERVICES[method],
    ...(amount === null ? {} : { amount: String(amount) }),
    ...(memo === null ? {} : { purpose: memo }),
  }).build();
}

function byVietQrTs({ bin, method, number, amount, memo }) {
  try {
    return generateVietQR({
      bankBin: bin,
      [`${method}Number`]: number,
      serviceCode: SERVICES[method],
      initiationMethod: amount === null ? "11" : "12",
      ...(amount === null ? {} : { amount: String(amount) }),
      ...(memo === null ? {} : { purpose: memo }),
    }).rawData;
  } catch {
    return null;
  }
}

function symbolOf({ text, mask }) {
  const code = QRCode.create([{ data: Buffer.from(text), mode: "byte" }], {
    errorCorrectionLevel: "M",
    maskPattern: mask,
  });
  const { size, data } = code.modules;
  const rows = Array.from({ length: size }, (_, row) => Array.from(data.subarray(row * size, (row + 1) * size)).join(""));
  return { version: code.version, rows };
}

const { transfers = [], symbols = [] } = JSON.parse(readFileSync(0, "utf8"));
const strings = transfers.map((transfer) => [byQrPay(transfer), byVietQrTs(transfer)]);
const banks = Object.fromEntries(Object.values(BanksObject).map(({ bin, shortName }) => [bin, shortName]));
process.stdout.write(JSON.stringify({ strings, symbols: symbols.map(symbolOf), banks }));
