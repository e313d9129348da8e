// Encodes text as a QR symbol (ISO/IEC 18004): byte mode, error correction level M, the smallest version that holds
// it, and the mask of the lowest penalty. scripts/qr.py is its twin.
//
// The interpreter needs 40 ns for the simplest operation and 100 ns for one on an integer of 3,000 bits. So a symbol
// is one integer, and the eight masked symbols are one too: every operation below does its work on all modules.

import { type Layout, MASKS, MOST_VERSION, dataCodewordsOf, layoutOf } from "./qr-layout.ts";

/** A symbol with its modules as the bits `row * width + column` of an integer. */
export interface QrSymbol {
  readonly version: number;
  readonly mask: number;
  readonly size: number;
  readonly width: number;
  readonly modules: bigint;
}

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));
const PAD = [0xec, 0x11] as const;

// A transfer's text has 82 to 150 characters. Their tables are made before the component is frozen.
const layouts = new Map([5, 6, 7, 8].map((version) => [version, layoutOf(version)]));
const generators = new Map<number, readonly bigint[]>();
for (const { ecCodewords } of layouts.values()) multiplesOf(ecCodewords);

/** Encodes ASCII text; a mask that is given is taken without comparing. */
export function encodeQr(text: string, given: number | null = null): QrSymbol {
  const layout = smallestFor(text.length);
  const data = placed(interleaved(dataCodewords(text, layout), layout), layout);
  const eight = masked(data, layout);
  const mask = given ?? lowest(penalties(eight, layout));
  const { version, size, width } = layout;
  const modules = BigInt.asUintN(size * width, eight >> layout.sections[mask]!);
  return { version, mask, size, width, modules };
}

function smallestFor(characters: number): Layout {
  for (let version = 1; version <= MOST_VERSION; version += 1) {
    // Four bits of mode, eight or sixteen of length, four to end with.
    const overhead = version < 10 ? 2 : 3;
    if (characters + overhead > dataCodewordsOf(version)) continue;
    const layout = layouts.get(version) ?? layoutOf(version);
    layouts.set(version, layout);
    return layout;
  }
  throw new RangeError("the text is too long for a QR symbol");
}

function dataCodewords(text: string, { version, dataCodewords: count }: Layout): number[] {
  const { length } = text;
  const codewords: number[] = version < 10 ? [] : [0x40 | (length >> 12)];
  let rest = version < 10 ? 0x4 : (length >> 8) & 15;
  // Mode and length take up half a codeword too much, so each byte lies across two.
  codewords.push(((rest << 4) | (length >> 4)) & 255);
  rest = length & 15;
  for (let index = 0; index < length; index += 1) {
    const byte = text.charCodeAt(index);
    codewords.push((rest << 4) | (byte >> 4));
    rest = byte & 15;
  }
  codewords.push(rest << 4);
  for (let pad = 0; codewords.length < count; pad ^= 1) codewords.push(PAD[pad]!);
  return codewords;
}

/** All codewords in the order in which they are placed, as one integer. */
function interleaved(data: readonly number[], { blocks, ecCodewords }: Layout): bigint {
  const multiples = multiplesOf(ecCodewords);
  const bits = 8 * ecCodewords;
  const top = BigInt(bits - 8);
  const longest = blocks.at(-1)!;
  const starts: number[] = [];
  const corrections: string[] = [];
  let start = 0;
  for (const length of blocks) {
    starts.push(start);
    let remainder = 0n;
    for (let index = start; index < start + length; index += 1) {
      remainder = BigInt.asUintN(bits, remainder << 8n) ^ multiples[data[index]! ^ Number(remainder >> top)]!;
    }
    corrections.push(remainder.toString(16).padStart(2 * ecCodewords, "0"));
    start += length;
  }
  let digits = "0x";
  for (let index = 0; index < longest; index += 1) {
    for (let block = 0; block < blocks.length; block += 1) {
      if (index < blocks[block]!) digits += HEX[data[starts[block]! + index]!]!;
    }
  }
  for (let index = 0; index < 2 * ecCodewords; index += 2) {
    for (const correction of corrections) digits += correction.slice(index, index + 2);
  }
  return BigInt(digits);
}

/** The generator polynomial of so many error correction codewords, times each element of GF(256). */
function multiplesOf(codewords: number): readonly bigint[] {
  const known = generators.get(codewords);
  if (known !== undefined) return known;
  // Without its first coefficient, which is 1.
  let generator = [1];
  for (let root = 1, power = 0; power < codewords; power += 1, root = times(root, 2)) {
    generator = [...generator, 0].map((coefficient, index) => coefficient ^ times(generator[index - 1] ?? 0, root));
  }
  const multiples = HEX.map((_, factor) =>
    BigInt(`0x${generator.slice(1).map((coefficient) => HEX[times(coefficient, factor)]).join("")}`),
  );
  generators.set(codewords, multiples);
  return multiples;
}

/** Multiplies in GF(256) with the polynomial that the standard names. */
function times(left: number, right: number): number {
  let product = 0;
  for (let bit = 7; bit >= 0; bit -= 1) {
    product = (product << 1) ^ ((product >> 7) * 0x11d) ^ (((right >> bit) & 1) * left);
  }
  return product;
}

function placed(codewords: bigint, layout: Layout): bigint {
  let bits = codewords << layout.remainder;
  for (const { distance, stay, move } of layout.deposits) bits = (bits & stay) | ((bits << distance) & move);
  for (const { distance, low } of layout.swaps) {
    const changed = (bits ^ (bits >> distance)) & low;
    bits ^= changed ^ (changed << distance);
  }
  return (bits + (bits & layout.right)) >> layout.surplus;
}

/** The symbol under each of the masks, one above the other. */
function masked(data: bigint, { sections, sectionBits, fixed }: Layout): bigint {
  let eight = data << sections[0]!;
  for (let symbols = 1; symbols < MASKS; symbols *= 2) eight |= eight << BigInt(symbols * sectionBits);
  return eight ^ fixed;
}

function lowest(penalties: readonly number[]): number {
  return penalties.indexOf(Math.min(...penalties));
}

/** The penalty of each of the eight symbols. */
export function penalties(eight: bigint, layout: Layout): number[] {
  const across = patternsAlong(eight, 1n, layout.rowOfFive, layout);
  const down = patternsAlong(eight, BigInt(layout.width), layout.columnOfFive, layout);
  // Rule 1: a run of n modules, n >= 5, has n - 4 places where five start, and two ends. 3 + (n - 5) is their sum.
  const ones = [across.fives, across.ends, down.fives, down.ends].map((board) => inFours(board, layout));
  // Rule 2: three for each block of two by two.
  const blocks = across.equal & (across.equal >> BigInt(layout.width)) & down.equal & layout.blockOfFour;
  const points =
    inEights(ones[0]! + ones[1]!, layout) +
    inEights(ones[2]! + ones[3]!, layout) +
    3n * inEights(inFours(blocks, layout), layout);
  // Rule 3: forty for each 1:1:3:1:1 beside four light modules.
  const finders = inEights(inFours(across.finders, layout) + inFours(down.finders, layout), layout);
  const sums = inSixteens(points, layout) + 40n * inSixteens(finders, layout);
  const dark = inSixteens(inEights(inFours(eight, layout), layout), layout);
  const modules = layout.size * layout.size;
  return layout.sections.map((_, number) => {
    // Rule 4: ten for every 5 % that dark modules are away from a half.
    const share = Math.floor(Math.abs(20 * sumOf(dark, number, layout) - 10 * modules) / modules);
    return sumOf(sums, number, layout) + 10 * share;
  });
}

interface Patterns {
  readonly equal: bigint;
  readonly fives: bigint;
  readonly ends: bigint;
  readonly finders: bigint;
}

/** What rules 1 to 3 look for in rows (`step` 1) or columns (`step` one row), each at the place where it starts. */
function patternsAlong(dark: bigint, step: bigint, ofFive: bigint, { everywhere }: Layout): Patterns {
  const twice = 2n * step;
  const four = 4n * step;
  const change = dark ^ (dark >> step);
  const equal = change ^ everywhere;
  const three = equal & (equal >> step);
  const equalLater = equal >> twice;
  const fives = three & (three >> twice) & ofFive;
  const darkToLight = dark & change;
  const oneLight = darkToLight & ((change ^ darkToLight) >> step);
  const finder = oneLight & ((dark & three) >> twice) & (oneLight >> four);
  const fourLight = three & equalLater & (dark ^ everywhere);
  return {
    equal,
    fives,
    ends: fives ^ (fives << step),
    finders: finder & ((fourLight >> (7n * step)) | (fourLight << four)),
  };
}

// Bits are counted in fields that double: of 4 bits, of 8, of 16.

function inFours(bits: bigint, { halves: [ones, twos] }: Layout): bigint {
  const pairs = bits - ((bits >> 1n) & ones);
  return (pairs & twos) + ((pairs >> 2n) & twos);
}

function inEights(fields: bigint, { halves: [, , fours] }: Layout): bigint {
  return (fields & fours) + ((fields >> 4n) & fours);
}

function inSixteens(fields: bigint, { halves: [, , , eights] }: Layout): bigint {
  return (fields & eights) + ((fields >> 8n) & eights);
}

function sumOf(fields: bigint, number: number, { sectionBits }: Layout): number {
  return Number(BigInt.asUintN(sectionBits, fields >> BigInt(number * sectionBits)) % 65535n);
}
