// The input. scripts/request.py is the twin.

import { type Day, dayOf } from "cyberos-guest/dates.ts";
import { type Bounds, type Fields, readFields } from "cyberos-guest/input.ts";
import { isXmlText } from "cyberos-guest/xml_writer.ts";

import forms from "../assets/forms.json";
import { type Period, periodOf } from "./period.ts";

const NAMES = [
  "period", "invoices_dir", "taxpayer_mst", "taxpayer_name", "taxpayer_address", "tax_office_code", "tax_office_name",
  "signer", "industry", "carried_in", "imports", "deductible_input_vat", "adjust_down", "adjust_up", "other_deducted",
  "investment_offset", "refund_requested", "no_activity", "amendment", "bad_files", "return_path", "write", "today",
] as const; // prettier-ignore

// A legitimate input has under 2,000 characters and two levels.
const BOUNDS: Bounds = { characters: 16_384, depth: 16 };
const MAX_PATH = 512;
const MAX_TEXT = 400;
const MAX_CODE = 20;
const MAX_DONG = 999_999_999_999_999;
const MAX_AMENDMENTS = 99;

export interface Request {
  readonly period: Period;
  /** The directory as the host takes it, without `./`. */
  readonly directory: string;
  readonly taxpayerMst: string | null;
  readonly name: string | null;
  readonly address: string | null;
  readonly officeCode: string;
  readonly officeName: string;
  readonly signer: string;
  readonly industry: { readonly code: string; readonly name: string };
  readonly carriedIn: bigint | null;
  readonly imports: { readonly amount: bigint; readonly tax: bigint };
  readonly deductible: bigint | null;
  readonly adjustDown: bigint;
  readonly adjustUp: bigint;
  readonly otherDeducted: bigint;
  readonly investmentOffset: bigint;
  readonly refund: bigint;
  readonly noActivity: boolean;
  readonly amendment: number;
  readonly refuseBadFiles: boolean;
  /** As it is given, and as the host takes it. */
  readonly returnPath: string;
  readonly target: string;
  readonly write: boolean;
  readonly today: Day | null;
}

export function readRequest(input: string): Request {
  const fields = readFields(input, BOUNDS, NAMES);
  const period =
    periodOf(fields.text("period", MAX_CODE)) ?? fields.refuse("period", "must be a quarter, 2026-Q2, or a month, 2026-06");
  const directory = plainPath(fields, "invoices_dir", fields.text("invoices_dir", MAX_PATH)).join("/");
  const amendment = fields.has("amendment") ? fields.whole("amendment", 1, MAX_AMENDMENTS) : 0;
  const preset = `./returns/${period.text}${amendment === 0 ? "" : `-B${amendment}`}.xml`;
  const returnPath = fields.optionalText("return_path", MAX_PATH) ?? preset;
  const target = targetOf(fields, returnPath, directory);
  const imports = fields.has("imports") ? fields.object("imports", ["amount", "tax"]) : null;
  return {
    period,
    directory,
    taxpayerMst: fields.optionalText("taxpayer_mst", MAX_TEXT),
    name: xmlText(fields, "taxpayer_name", MAX_TEXT),
    address: xmlText(fields, "taxpayer_address", MAX_TEXT),
    officeCode: xmlText(fields, "tax_office_code", MAX_CODE) ?? "",
    officeName: xmlText(fields, "tax_office_name", MAX_TEXT) ?? "",
    signer: xmlText(fields, "signer", MAX_TEXT) ?? "",
    industry: industryOf(fields),
    carriedIn: fields.has("carried_in") ? dong(fields, "carried_in") : null,
    imports: imports === null ? { amount: 0n, tax: 0n } : { amount: dong(imports, "amount"), tax: dong(imports, "tax") },
    deductible: fields.has("deductible_input_vat") ? dong(fields, "deductible_input_vat") : null,
    adjustDown: optionalDong(fields, "adjust_down"),
    adjustUp: optionalDong(fields, "adjust_up"),
    otherDeducted: optionalDong(fields, "other_deducted"),
    investmentOffset: optionalDong(fields, "investment_offset"),
    refund: optionalDong(fields, "refund_requested"),
    noActivity: fields.flag("no_activity", false),
    amendment,
    refuseBadFiles: fields.choice("bad_files", ["skip", "refuse"], "skip") === "refuse",
    returnPath,
    target,
    write: fields.flag("write", true),
    today: todayOf(fields),
  };
}

function dong(fields: Fields, name: string): bigint {
  return BigInt(fields.whole(name, 0, MAX_DONG));
}

function optionalDong(fields: Fields, name: string): bigint {
  return fields.has(name) ? dong(fields, name) : 0n;
}

function industryOf(fields: Fields): { code: string; name: string } {
  if (!fields.has("industry")) return forms.industry;
  const industry = fields.object("industry", ["code", "name"]);
  const code = xmlText(industry, "code", MAX_CODE) ?? industry.refuse("code", "is missing");
  return { code, name: xmlText(industry, "name", MAX_TEXT) ?? industry.refuse("name", "is missing") };
}

function xmlText(fields: Fields, name: string, most: number): string | null {
  const text = fields.optionalText(name, most);
  if (text !== null && !isXmlText(text)) fields.refuse(name, "has a character that XML cannot have");
  return text;
}

function todayOf(fields: Fields): Day | null {
  if (!fields.has("today")) return null;
  return dayOf(fields.text("today", MAX_CODE)) ?? fields.refuse("today", "must be a date, 2026-07-15");
}

/** Where the return goes: never among the invoices, where it could replace one and would be read as one. */
function targetOf(fields: Fields, path: string, directory: string): string {
  const parts = plainPath(fields, "return_path", path);
  if (!path.endsWith(".xml") || parts.length === 0) fields.refuse("return_path", 'must end in ".xml"');
  if (parts.slice(0, -1).join("/") === directory) fields.refuse("return_path", 'lies in "invoices_dir"');
  return parts.join("/");
}

/** The parts of a path below the workspace. */
function plainPath(fields: Fields, name: string, path: string): string[] {
  const parts = path.split("/").filter((part) => part !== "" && part !== ".");
  if (path === "" || path.startsWith("/") || parts.includes("..") || /[\\\u0000-\u001f\u007f]/.test(path)) {
    fields.refuse(name, 'must be a path below the workspace, without ".."');
  }
  return parts;
}
