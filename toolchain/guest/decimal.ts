// Exact decimals with six places, as whole numbers of millionths. python/skill_decimal.py is its twin.

/** A number in millionths: 1.5 is 1500000n. */
export type Decimal = bigint;

export const ONE: Decimal = 1_000_000n;

const PLACES = 6;
const DIGITS = /^(-?)([0-9]{1,15})(?:\.([0-9]{1,6}))?$/;

/** Takes a number of JSON, or its digits as text; null if it is neither or has more digits than fit. */
export function decimalOf(value: unknown): Decimal | null {
  // The shortest digits that give the number back; numbers that need an exponent have too many of them.
  const found = DIGITS.exec(typeof value === "number" ? String(value) : typeof value === "string" ? value : "");
  if (found === null) return null;
  const [, sign, whole = "", fraction = ""] = found;
  const millionths = BigInt(whole + fraction.padEnd(PLACES, "0"));
  return sign === "-" ? -millionths : millionths;
}

/** Divides and rounds to a whole number, halves away from zero. The divisor is positive. */
export function divideRounded(dividend: bigint, divisor: bigint): bigint {
  const doubled = 2n * (dividend < 0n ? -dividend : dividend) + divisor;
  const quotient = doubled / (2n * divisor);
  return dividend < 0n ? -quotient : quotient;
}

/** Multiplies two decimals; the product has six places again, its last one rounded. */
export function multiply(left: Decimal, right: Decimal): Decimal {
  return divideRounded(left * right, ONE);
}

/** Rounds to a whole number. */
export function rounded(decimal: Decimal): bigint {
  return divideRounded(decimal, ONE);
}

/** Writes the digits, without zeros at the end of the fraction. */
export function decimalText(decimal: Decimal): string {
  const digits = (decimal < 0n ? -decimal : decimal).toString().padStart(PLACES + 1, "0");
  const fraction = digits.slice(-PLACES).replace(/0+$/, "");
  return (decimal < 0n ? "-" : "") + digits.slice(0, -PLACES) + (fraction === "" ? "" : `.${fraction}`);
}
