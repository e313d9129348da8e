// The tax rates, as numbers and as the labels of the GDT format. scripts/invoice_rates.py is the twin.

import { type Decimal, decimalOf } from "cyberos-guest/decimal.ts";

import table from "../assets/tax-rates.json";
import { Refused, type WarningCode, refused } from "./refusals.ts";

export const AS_OF = table.as_of;

export interface Rate {
  readonly label: string;
  /** Null where no tax is computed, which is something else than a rate of zero. */
  readonly rate: Decimal | null;
  readonly warning: WarningCode | null;
}

interface Entry extends Rate {
  readonly from: string | null;
  readonly to: string | null;
}

const ENTRIES: readonly Entry[] = table.rates.map(({ label, rate, valid_from, valid_to, warning }) => ({
  label,
  rate: rate === null ? null : decimalOf(rate),
  warning: warning as WarningCode | null,
  from: valid_from,
  to: valid_to,
}));
const BY_LABEL: ReadonlyMap<string, Entry> = new Map(ENTRIES.map((entry) => [entry.label, entry]));
const BY_RATE: ReadonlyMap<Decimal | null, Entry> = new Map(
  ENTRIES.filter(({ rate }) => rate !== null).map((entry) => [entry.rate, entry]),
);
const OTHER = /^KHAC:([0-9]{2}\.[0-9]{2})%$/;

/** Finds the rate that a line names, if it is in force on that day; throws Refused. */
export function rateOf(given: Decimal | string, date: string, field: string): Rate {
  const entry = typeof given === "string" ? BY_LABEL.get(given) : BY_RATE.get(given);
  if (entry === undefined) return otherRate(given, field);
  // Days as YYYY-MM-DD sort as text.
  if ((entry.from !== null && date < entry.from) || (entry.to !== null && date > entry.to)) {
    const window = `from ${entry.from ?? "any day"} to ${entry.to ?? "any day"}`;
    throw new Refused("rate_not_in_force", field, `${entry.label} is not in force on ${date}, but ${window}`);
  }
  return entry;
}

function otherRate(given: Decimal | string, field: string): Rate {
  const found = typeof given === "string" ? OTHER.exec(given) : null;
  const percent = found === null ? null : decimalOf(found[1]);
  if (found === null || percent === null) throw refused("rate_not_known", field);
  const rate = percent / 100n;
  // Or else KHAC:08.00% would be a way round the dates of 8%.
  if (BY_RATE.has(rate)) throw refused("rate_has_label", field);
  return { label: found[0], rate, warning: "other_rate" };
}
