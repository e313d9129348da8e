// An amount of money in Vietnamese words. scripts/amount_words.py is the twin; references/amount-in-words.md has
// the rules.

const DIGITS = ["không", "một", "hai", "ba", "bốn", "năm", "sáu", "bảy", "tám", "chín"] as const;
const SCALES = ["", " nghìn", " triệu"] as const;
const BILLION = 1_000_000_000n;

/** Reads whole đồng, or hundredths of any other currency, of at most 18 digits. */
export function amountInWords(amount: bigint, currency: string): string {
  const words = currency === "VND" ? `${wholeWords(amount)} đồng` : `${withHundredths(amount)} ${currency}`;
  return words.charAt(0).toUpperCase() + words.slice(1);
}

function withHundredths(amount: bigint): string {
  const hundredths = Number(amount % 100n);
  const whole = wholeWords(amount / 100n);
  if (hundredths === 0) return whole;
  // Both digits are read, so that 0.5 and 0.05 differ: "năm mươi" and "không năm".
  return `${whole} phẩy ${hundredths < 10 ? `không ${digit(hundredths)}` : twoDigits(hundredths)}`;
}

function wholeWords(number: bigint): string {
  return number === 0n ? DIGITS[0] : read(number, false);
}

/** `inside`: something stands before this part, so that its hundreds are read even where they are zero. */
function read(number: bigint, inside: boolean): string {
  if (number >= BILLION) {
    const rest = number % BILLION;
    const billions = `${read(number / BILLION, inside)} tỷ`;
    return rest === 0n ? billions : `${billions} ${read(rest, true)}`;
  }
  const parts: string[] = [];
  for (let scale = 2, rest = Number(number); scale >= 0; scale -= 1) {
    const group = Math.floor(rest / 1000 ** scale);
    rest %= 1000 ** scale;
    if (group > 0) parts.push(threeDigits(group, inside || parts.length > 0) + SCALES[scale]);
  }
  return parts.join(" ");
}

function threeDigits(number: number, inside: boolean): string {
  const hundreds = Math.floor(number / 100);
  const rest = number % 100;
  if (hundreds === 0 && !inside) return twoDigits(rest);
  const start = `${digit(hundreds)} trăm`;
  if (rest === 0) return start;
  return `${start} ${rest < 10 ? `lẻ ${digit(rest)}` : twoDigits(rest)}`;
}

function twoDigits(number: number): string {
  const tens = Math.floor(number / 10);
  const ones = number % 10;
  if (tens === 0) return digit(ones);
  const start = tens === 1 ? "mười" : `${digit(tens)} mươi`;
  if (ones === 0) return start;
  if (ones === 5) return `${start} lăm`;
  if (tens > 1 && ones === 1) return `${start} mốt`;
  if (tens > 1 && ones === 4) return `${start} tư`;
  return `${start} ${digit(ones)}`;
}

function digit(value: number): string {
  return DIGITS[value] ?? "";
}
