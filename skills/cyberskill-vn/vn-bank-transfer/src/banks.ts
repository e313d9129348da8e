// The banks that a transfer can go to, by code, by other names and by BIN. scripts/banks.py is its twin, and
// assets/banks.json the table of both.

import table from "../assets/banks.json";

export const AS_OF = table.as_of;

export interface Bank {
  readonly bank_code: string | null;
  readonly bank_bin: string;
  readonly bank_name: string | null;
}

const byBin = new Map<string, Bank>();
const byName = new Map<string, Bank>();
const ambiguous = new Map<string, string>();
for (const { code, bin, name, aliases } of table.banks) {
  const bank: Bank = { bank_code: code, bank_bin: bin, bank_name: name };
  byBin.set(bin, bank);
  for (const known of [code, name, ...aliases]) byName.set(upper(known), bank);
}
for (const { code, banks } of table.ambiguous) {
  const both = banks.map((known) => byName.get(known)!).map((bank) => `${bank.bank_name} (${bank.bank_bin})`);
  ambiguous.set(code, both.join(" or "));
}

/** The bank of a code, another name or a BIN; throws an Error that starts with a code if there is not exactly one. */
export function bankOf(given: string): Bank {
  const key = upper(given.replace(/^ +| +$/g, ""));
  const bank = byBin.get(key) ?? byName.get(key);
  if (bank !== undefined) return bank;
  const both = ambiguous.get(key);
  if (both !== undefined) throw new Error(`bank_ambiguous: ${key} can be ${both}; give the BIN of the one you mean`);
  throw new Error("bank_unknown: no bank of the table has this code, name or BIN");
}

export function bankOfBin(bin: string): Bank {
  return byBin.get(bin) ?? { bank_code: null, bank_bin: bin, bank_name: null };
}

// Of ASCII alone: other letters would match a code in one language's rules and not in another's.
function upper(text: string): string {
  return text.replace(/[a-z]+/g, (letters) => letters.toUpperCase());
}
