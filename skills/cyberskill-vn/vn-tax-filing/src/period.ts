// The period of a return, its last day for filing, and the form in force. scripts/filing_period.py is the twin.

import { type Day, dateText, dayAt, dayOf, daysIn, weekday } from "cyberos-guest/dates.ts";

import forms from "../assets/forms.json";
import holidays from "../assets/holidays.json";

const PERIOD = /^(20[0-9]{2})-(?:Q([1-4])|(0[1-9]|1[0-2]))$/;
const SATURDAY = 6;
const DAY_OF_MONTHLY = 20;

const HOLIDAYS: ReadonlySet<string> = new Set(Object.values(holidays.years).flatMap((days) => days.map((day) => day.date)));
const YEARS: ReadonlySet<string> = new Set(Object.keys(holidays.years));
const IN_FORCE = forms.in_force.map((entry) => ({
  from: entry.periods_from === null ? -Infinity : (dayOf(entry.periods_from) ?? NaN),
  version: entry.form_version,
  notReady: entry.not_ready,
}));

export interface Period {
  /** As it is given. */
  readonly text: string;
  readonly quarterly: boolean;
  /** As the form writes it: `2/2026` or `06/2026`. */
  readonly onForm: string;
  readonly first: Day;
  readonly last: Day;
  readonly year: number;
  readonly lastMonth: number;
}

export interface Deadline {
  readonly date: string;
  readonly rule: string;
  readonly movedFrom: string | null;
  readonly day: Day;
  /** The calendar of the year is known. */
  readonly certain: boolean;
}

/** Reads `2026-Q2` or `2026-06`; null if it is neither. */
export function periodOf(text: string): Period | null {
  const found = PERIOD.exec(text);
  if (found === null) return null;
  const year = Number(found[1]);
  const quarter = found[2];
  const lastMonth = quarter === undefined ? Number(found[3]) : 3 * Number(quarter);
  return {
    text,
    quarterly: quarter !== undefined,
    onForm: `${quarter ?? found[3]}/${year}`,
    first: dayAt(year, quarter === undefined ? lastMonth : lastMonth - 2, 1),
    last: dayAt(year, lastMonth, daysIn(year, lastMonth)),
    year,
    lastMonth,
  };
}

/** The last day for filing: one that is a working day. */
export function deadlineOf({ quarterly, year, lastMonth }: Period): Deadline {
  const month = (lastMonth % 12) + 1;
  const ofYear = lastMonth === 12 ? year + 1 : year;
  const due = dayAt(ofYear, month, quarterly ? daysIn(ofYear, month) : DAY_OF_MONTHLY);
  let day = due;
  while (weekday(day) >= SATURDAY || HOLIDAYS.has(dateText(day))) day += 1;
  return {
    day,
    date: dateText(day),
    rule: quarterly ? "last day of the first month of the next quarter" : "20th of the next month",
    movedFrom: day === due ? null : dateText(due),
    certain: YEARS.has(dateText(due).slice(0, 4)) && YEARS.has(dateText(day).slice(0, 4)),
  };
}

/** What the form for a period is, and what keeps the return from being ready, if anything. */
export function formFor({ last }: Period): { version: string; notReady: string | null } {
  const found = IN_FORCE.findLast(({ from }) => last >= from);
  if (found === undefined) throw new Error("the first form is open at its start");
  return found;
}
