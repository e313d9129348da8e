// Writes a VietQR string: EMVCo's tags, lengths and values, as Napas fills them. scripts/vietqr.py is its twin.

export const GUID = "A000000727";
export const CURRENCY = "704";
export const COUNTRY = "VN";
export const REUSABLE = "11";
export const ONE_TIME = "12";
export const SERVICE = { account: "QRIBFTTA", card: "QRIBFTTC" } as const;
export type Method = keyof typeof SERVICE;

export const MOST_ACCOUNT = 19;
export const MOST_AMOUNT = 9_999_999_999_999;
export const MOST_MEMO = 25;

export interface Transfer {
  readonly bin: string;
  readonly method: Method;
  /** The account or card number. */
  readonly number: string;
  readonly amount: number | null;
  readonly memo: string | null;
}

export function vietQr({ bin, method, number, amount, memo }: Transfer): string {
  const beneficiary = field("00", bin) + field("01", number);
  const text =
    field("00", "01") +
    field("01", amount === null ? REUSABLE : ONE_TIME) +
    field("38", field("00", GUID) + field("01", beneficiary) + field("02", SERVICE[method])) +
    field("53", CURRENCY) +
    (amount === null ? "" : field("54", String(amount))) +
    field("58", COUNTRY) +
    (memo === null ? "" : field("62", field("08", memo))) +
    "6304";
  return text + crcOf(text);
}

function field(tag: string, value: string): string {
  return `${tag}${value.length < 10 ? "0" : ""}${value.length}${value}`;
}

const CRC_POLYNOMIAL = 0x1021;
const CRC_TABLE = Array.from({ length: 256 }, (_, byte) => {
  let crc = byte << 8;
  for (let bit = 0; bit < 8; bit += 1) crc = crc & 0x8000 ? (crc << 1) ^ CRC_POLYNOMIAL : crc << 1;
  return crc & 0xffff;
});

/** CRC-16/CCITT-FALSE of ASCII text, in four capital hexadecimal digits. */
export function crcOf(text: string): string {
  let crc = 0xffff;
  for (let index = 0; index < text.length; index += 1) {
    crc = ((crc & 255) << 8) ^ CRC_TABLE[(crc >> 8) ^ text.charCodeAt(index)]!;
  }
  return crc.toString(16).toUpperCase().padStart(4, "0");
}
