// Draws a QR symbol as SVG: each row one line that is lifted over light modules. scripts/picture.py is its twin.

import { type QrSymbol } from "./qr.ts";

/** Light modules around a symbol, as the standard asks. */
const QUIET = 4;

// How the pen crosses eight modules: for each value of a byte whose lowest bit is the leftmost of them. At the end of
// a row it is not lifted once more.
const ACROSS = Array.from({ length: 256 }, (_, byte) => strokes(byte));
const TO_THE_END = ACROSS.map((path) => path.replace(/m[0-9] 0$/, ""));
const BEYOND = ACROSS.map(() => "");

/** For each byte of a row how it is crossed, for symbols of each size. */
const CROSSINGS = new Map([37, 41, 45, 49].map((size) => [size, crossings(size)]));
const MOVES = Array.from({ length: 49 }, (_, row) => `M${QUIET} ${QUIET + row}.5`);

function crossings(size: number): string[][] {
  const last = size >> 3;
  const mask = (1 << (size & 7)) - 1;
  const atTheEnd = ACROSS.map((_, byte) => TO_THE_END[byte & mask]!);
  return Array.from({ length: 7 }, (_, byte) => (byte < last ? ACROSS : byte === last ? atTheEnd : BEYOND));
}

export function drawn({ size, width, modules }: QrSymbol, title: string): string {
  const rows = new BigUint64Array(size);
  // What is beyond 64 bits is dropped, and what is beyond the row not drawn.
  for (let row = 0, shift = 0n, step = BigInt(width); row < size; row += 1, shift += step) rows[row] = modules >> shift;
  const bytes = new Uint8Array(rows.buffer);
  const [a, b, c, d, e, f, g] = CROSSINGS.get(size) as [string[], string[], string[], string[], string[], string[], string[]];
  const path: string[] = [];
  for (let row = 0, at = 0; row < size; row += 1, at += 8) {
    // One call for a row: calls are what costs here.
    path.push(
      MOVES[row]!,
      a[bytes[at]!]!,
      b[bytes[at + 1]!]!,
      c[bytes[at + 2]!]!,
      d[bytes[at + 3]!]!,
      e[bytes[at + 4]!]!,
      f[bytes[at + 5]!]!,
      g[bytes[at + 6]!]!,
    );
  }
  const side = size + 2 * QUIET;
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${side} ${side}" shape-rendering="crispEdges" role="img">` +
    `<title>${escaped(title)}</title><path fill="#fff" d="M0 0h${side}v${side}H0z"/>` +
    `<path stroke="#000" d="${path.join("")}"/></svg>`
  );
}

function strokes(byte: number): string {
  const digits = byte.toString(2).padStart(8, "0");
  const runs = [...digits].reverse().join("").match(/0+|1+/g)!;
  return runs.map((run) => (run.startsWith("1") ? `h${run.length}` : `m${run.length} 0`)).join("");
}

function escaped(text: string): string {
  return text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
}
