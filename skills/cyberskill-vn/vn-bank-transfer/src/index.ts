// Writes a VietQR and a draft of a transfer, and reads a VietQR. scripts/bank_transfer.py is the reference: for every
// input the two give the same bytes, so a change here is a change there.

import { type Bounds, type Fields, readFields } from "cyberos-guest/input.ts";
import { AS_OF, type Bank, bankOf } from "./banks.ts";
import { MOST_CHARACTERS, decode } from "./decode.ts";
import { drawn } from "./picture.ts";
import { NOTHING, type Plain, plain } from "./plain-text.ts";
import { encodeQr } from "./qr.ts";
import { MOST_ACCOUNT, MOST_AMOUNT, MOST_MEMO, type Method, SERVICE, vietQr } from "./vietqr.ts";

// A legitimate input has under 1,000 characters and one level; the bounds only keep hostile ones cheap.
const BOUNDS: Bounds = { characters: 4096, depth: 16 };
const MOST_BANK = 40;
const MOST_TEXT = 500;
const MOST_NAME = 50;

const WRITING = ["bank", "account", "card", "amount_vnd", "memo", "account_name", "picture"] as const;

const NEXT_ACTION =
  "Hand this to a person, who checks the bank, the number, the holder's name and the amount, approves the transfer and " +
  "executes it in the bank's own application; this skill never does.";
const VERIFY =
  "Checks form alone; confirm with the bank that the account exists and whose it is, and that the BIN is still the bank's.";

interface Request {
  readonly bank: Bank;
  readonly method: Method;
  readonly number: string;
  readonly amount: number | null;
  readonly memo: Plain;
  readonly name: Plain;
  readonly picture: boolean;
}

export function run(input: string): string {
  const fields = readFields(input, BOUNDS, [...WRITING, "decode"]);
  return JSON.stringify(fields.has("decode") ? reading(fields) : writing(requestOf(fields)));
}

function reading(fields: Fields): object {
  if (WRITING.some((name) => fields.has(name))) fields.refuse("decode", "must stand alone");
  return decode(fields.text("decode", MOST_CHARACTERS));
}

function requestOf(fields: Fields): Request {
  const bank = fields.text("bank", MOST_BANK, ", because a BIN is no quantity");
  if (fields.has("account") === fields.has("card")) {
    fields.refuse("account", 'or the field "card" must be given, and not both');
  }
  const method: Method = fields.has("card") ? "card" : "account";
  const number = fields.text(method, MOST_ACCOUNT, ", because a number loses its leading zeros");
  if (method === "account" && !/^[0-9A-Za-z]+$/.test(number)) fields.refuse(method, "must have letters and digits alone");
  if (method === "card" && !/^([0-9]{16}|[0-9]{19})$/.test(number)) fields.refuse(method, "must have 16 or 19 digits");
  const memo = fields.optionalText("memo", MOST_TEXT);
  const name = fields.optionalText("account_name", MOST_TEXT);
  return {
    method,
    number,
    amount: fields.has("amount_vnd") ? fields.whole("amount_vnd", 1, MOST_AMOUNT) : null,
    memo: memo === null ? NOTHING : plain(memo, MOST_MEMO),
    name: name === null ? NOTHING : plain(name, MOST_NAME),
    picture: fields.flag("picture", false),
    bank: bankOf(bank),
  };
}

function writing(request: Request): object {
  const { bank, method, number, amount, memo } = request;
  const code = vietQr({ bin: bank.bank_bin, method, number, amount, memo: memo.text });
  return {
    vietqr_emv: code,
    napas_payload: {
      service: "napas247",
      method,
      service_code: SERVICE[method],
      beneficiary: { ...bank, [method]: number },
      amount_vnd: amount,
      currency: "VND",
      memo: memo.text,
      status: "draft",
      requires_human_approval: true,
    },
    render_url: renderUrl(request),
    warnings: warningsOf(request),
    next_action: NEXT_ACTION,
    as_of: AS_OF,
    verify: VERIFY,
    ...(request.picture ? { assets: [pictureOf(code, request)] } : {}),
  };
}

/** The address of a picture at a public service; null for a card, whose number does not belong in an address. */
function renderUrl({ bank, method, number, amount, memo, name }: Request): string | null {
  if (method === "card") return null;
  const given: string[] = [];
  if (amount !== null) given.push(`amount=${amount}`);
  if (memo.text !== null) given.push(`addInfo=${encodeURIComponent(memo.text)}`);
  if (name.text !== null) given.push(`accountName=${encodeURIComponent(name.text.toUpperCase())}`);
  const address = `https://img.vietqr.io/image/${bank.bank_code}-${number}-compact2.png`;
  return given.length === 0 ? address : `${address}?${given.join("&")}`;
}

function warningsOf({ method, number, memo, name }: Request): string[] {
  const warnings: string[] = [];
  if (method === "card" && number.length === 16 && !passesLuhn(number)) warnings.push("card_luhn_mismatch");
  if (memo.folded) warnings.push("memo_folded");
  if (memo.cut) warnings.push("memo_cut");
  if (name.cut) warnings.push("account_name_cut");
  return warnings;
}

function passesLuhn(card: string): boolean {
  let sum = 0;
  for (let index = 0; index < card.length; index += 1) {
    const digit = Number(card.charAt(card.length - 1 - index));
    sum += index % 2 === 0 ? digit : digit < 5 ? 2 * digit : 2 * digit - 9;
  }
  return sum % 10 === 0;
}

function pictureOf(code: string, { bank, method, number, amount }: Request): object {
  const sum = amount === null ? "" : `, ${amount} VND`;
  return {
    name: "vietqr.svg",
    media_type: "image/svg+xml",
    content: drawn(encodeQr(code), `VietQR: ${bank.bank_name}, ${method} ${number}${sum}`),
  };
}
