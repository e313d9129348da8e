// The indicators of 01/GTGT and their formulas, in whole đồng. scripts/indicators.py is the twin;
// references/gdt-q-return-schema-v3.md names each.

/** What a taxpayer states or invoices add up to; the other indicators follow from it. */
export interface Basis {
  /** No activity in the period. */
  readonly ct21: boolean;
  readonly ct22: bigint;
  readonly ct23: bigint;
  readonly ct24: bigint;
  readonly ct23a: bigint;
  readonly ct24a: bigint;
  readonly ct25: bigint;
  readonly ct26: bigint;
  readonly ct29: bigint;
  readonly ct30: bigint;
  readonly ct31: bigint;
  readonly ct32: bigint;
  readonly ct33: bigint;
  readonly ct32a: bigint;
  readonly ct37: bigint;
  readonly ct38: bigint;
  readonly ct39a: bigint;
  readonly ct40b: bigint;
  readonly ct42: bigint;
}

/** In the order of the form. */
export const INDICATORS = [
  "ct21", "ct22", "ct23", "ct24", "ct23a", "ct24a", "ct25", "ct26", "ct27", "ct28", "ct29", "ct30", "ct31", "ct32", "ct33",
  "ct32a", "ct34", "ct35", "ct36", "ct37", "ct38", "ct39a", "ct40a", "ct40b", "ct40", "ct41", "ct42", "ct43",
] as const; // prettier-ignore

export type Indicators = Readonly<Record<(typeof INDICATORS)[number], bigint>>;

/** Computes what follows; whether 40b and 42 are within 40a and 41 is for the caller to see. */
export function indicatorsOf(basis: Basis): Indicators {
  const { ct22, ct25, ct26, ct29, ct30, ct31, ct32, ct33, ct32a, ct37, ct38, ct39a, ct40b, ct42 } = basis;
  const ct27 = ct29 + ct30 + ct32 + ct32a;
  const ct28 = ct31 + ct33;
  const ct34 = ct26 + ct27;
  const ct35 = ct28;
  const ct36 = ct35 - ct25;
  const balance = ct36 - ct22 + ct37 - ct38 - ct39a;
  const ct40a = balance > 0n ? balance : 0n;
  const ct41 = balance < 0n ? -balance : 0n;
  return {
    ct21: basis.ct21 ? 1n : 0n,
    ct22,
    ct23: basis.ct23,
    ct24: basis.ct24,
    ct23a: basis.ct23a,
    ct24a: basis.ct24a,
    ct25, ct26, ct27, ct28, ct29, ct30, ct31, ct32, ct33, ct32a, ct34, ct35, ct36, ct37, ct38, ct39a, ct40a, ct40b,
    ct40: ct40a - ct40b,
    ct41,
    ct42,
    ct43: ct41 - ct42,
  };
}
