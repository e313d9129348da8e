// Calendar days without a clock or a time zone. python/skill_dates.py is its twin.

const DATE = /^([0-9]{4})-([0-9]{2})-([0-9]{2})$/;
const MS_A_DAY = 86_400_000;

/** A day as the number of days since 1970-01-01. */
export type Day = number;

/** Reads `YYYY-MM-DD`, from the year 1900 on; null if there is no such day. */
export function dayOf(text: string): Day | null {
  const found = DATE.exec(text);
  if (found === null) return null;
  const [year, month, day] = [Number(found[1]), Number(found[2]), Number(found[3])];
  if (year < 1900 || month < 1 || month > 12 || day < 1 || day > daysIn(year, month)) return null;
  return dayAt(year, month, day);
}

export function dayAt(year: number, month: number, day: number): Day {
  return Date.UTC(year, month - 1, day) / MS_A_DAY;
}

export function dateText(day: Day): string {
  return new Date(day * MS_A_DAY).toISOString().slice(0, 10);
}

/** 1 for Monday to 7 for Sunday. */
export function weekday(day: Day): number {
  return ((((day + 3) % 7) + 7) % 7) + 1;
}

export function daysIn(year: number, month: number): number {
  return dayAt(month === 12 ? year + 1 : year, (month % 12) + 1, 1) - dayAt(year, month, 1);
}
