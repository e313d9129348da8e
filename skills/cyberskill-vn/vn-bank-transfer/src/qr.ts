// Encodes text as a QR symbol (ISO/IEC 18004): byte mode, error correction level M, the smallest version that holds
// it, and the mask of the lowest penalty. scripts/qr.py is its twin.
//
// The interpreter needs 40 ns for the simplest operation and 100 ns for one on an integer of 3,000 bits. So a symbol
// is one integer, and the eight masked symbols are one too: every operation below does its work on all modules.

import { type Layout, MASKS, layoutOf } from "./qr-layout.ts";

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

// The shortest transfer has 82 characters. The tables are made before the component is frozen.
const layouts = new Map([5, 6, 7, 8].map((version) => [version, layoutOf(version)]));
const multiples = new Map([...layouts.values()].map((layout) => [layout.version, multiplesOf(layout)]));

/** Encodes ASCII text of 82 characters or more. */
export function encodeQr(text: string): QrSymbol {
  const layout = smallestFor(text.length);
  const data = placed(codewordsOf(text, layout), layout);
  const eight = masked(data, layout);
  const mask = lowest(penalties(eight, layout));
  const { version, size, width } = layout;
  const modules = BigInt.asUintN(size * width, eight >> (layout.sections[mask]! + layout.first));
  return { version, mask, size, width, modules };
}

function smallestFor(characters: number): Layout {
  for (const layout of layouts.values()) {
    // Four bits of mode, eight of length, four to end with.
    if (characters + 2 <= layout.dataCodewords) return layout;
  }
  throw new RangeError("the text is too long for a QR symbol");
}

/** All codewords in the order in which they are placed, as one integer. */
function codewordsOf(text: string, layout: Layout): bigint {
  const { version, blocks, order, dataCodewords, ecCodewords } = layout;
  const { length } = text;
  // The last codeword first, so that the bytes are those of an integer.
  const words = new BigUint64Array((dataCodewords + blocks * ecCodewords + 7) >> 3);
  const bytes = new Uint8Array(words.buffer);
  // Mode and length take up half a codeword too much, so each byte lies across two.
  bytes[order[0]!] = 0x40 | (length >> 4);
  let rest = length << 4;
  for (let index = 0; index < length; index += 1) {
    const byte = text.charCodeAt(index);
    bytes[order[index + 1]!] = rest | (byte >> 4);
    rest = byte << 4;
  }
  bytes[order[length + 1]!] = rest;
  for (let index = length + 2, pad = 0; index < dataCodewords; index += 1, pad ^= 1) bytes[order[index]!] = PAD[pad]!;
  let integer = 0n;
  for (let index = words.length - 1; index >= 0; index -= 1) integer = (integer << 64n) | words[index]!;
  return integer | correction(bytes, layout, multiples.get(version)!);
}

/** The error correction codewords of all blocks, each of which gives a byte in turn. */
function correction(bytes: Uint8Array, layout: Layout, table: readonly bigint[]): bigint {
  const { blocks, longer, ofLonger, dataCodewords, ecCodewords } = layout;
  const bits = 8 * blocks * ecCodewords;
  const top = BigInt(bits - 8 * blocks);
  const step = BigInt(8 * blocks);
  let remainder = 0n;
  let last = dataCodewords + blocks * ecCodewords - blocks;
  for (let round = Math.floor(dataCodewords / blocks); round > 0; round -= 1, last -= blocks) {
    let word = Number(remainder >> top);
    remainder = BigInt.asUintN(bits, remainder << step);
    for (let block = 0; block < blocks; block += 1, word >>>= 8) {
      remainder ^= table[(block << 8) | ((word & 255) ^ bytes[last + block]!)]!;
    }
  }
  if (longer === 0) return remainder;
  let word = Number(remainder >> top);
  let further = remainder << step;
  for (let block = 0; block < longer; block += 1, word >>>= 8) {
    further ^= table[(block << 8) | ((word & 255) ^ bytes[last + blocks - longer + block]!)]!;
  }
  return (remainder & ~ofLonger) | (further & ofLonger);
}

/** The generator polynomial times each element of GF(256), for each block from the last to the first. */
function multiplesOf({ blocks, ecCodewords }: Layout): bigint[] {
  let generator = [1];
  for (let root = 1, power = 0; power < ecCodewords; power += 1, root = times(root, 2)) {
    generator = [...generator, 0].map((coefficient, index) => coefficient ^ times(generator[index - 1] ?? 0, root));
  }
  const others = "00".repeat(blocks - 1);
  const table: bigint[] = [];
  for (let block = 0; block < blocks; block += 1) {
    for (let factor = 0; factor < 256; factor += 1) {
      // Without the first coefficient, which is 1.
      const digits = generator.slice(1).map((coefficient) => others + HEX[times(coefficient, factor)]!);
      table.push(BigInt(`0x${digits.join("")}`) << BigInt(8 * block));
    }
  }
  return table;
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
  const right = bits & layout.right;
  bits = ((bits ^ right) | (right << 1n)) >> layout.surplus;
  for (const { distance, stay, move } of layout.closings) bits = (bits & stay) | ((bits >> distance) & move);
  return bits;
}

/** The symbol under each of the masks, one above the other. */
function masked(data: bigint, { first, sections, fixed }: Layout): bigint {
  let eight = data << first;
  for (let symbols = 1; symbols < MASKS; symbols *= 2) eight |= eight << sections[symbols]!;
  return eight ^ fixed;
}

function lowest(penalties: readonly number[]): number {
  return penalties.indexOf(Math.min(...penalties));
}

/** The penalty of each of the eight symbols. */
function penalties(eight: bigint, layout: Layout): number[] {
  const across = patternsAlong(eight, 1n, layout.rowOfFive, layout);
  const down = patternsAlong(eight, BigInt(layout.width), layout.columnOfFive, layout);
  // Rule 1: of a run of n modules, n >= 5, the first n - 2.
  const runs = inFours(across.runs, layout) + inFours(down.runs, layout);
  // Rule 2: three for each block of two by two.
  const blocks = across.equal & (across.equal >> BigInt(layout.width)) & down.equal & layout.blockOfFour;
  const points = inEights(runs, layout) + 3n * inEights(inFours(blocks, layout), layout);
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
  readonly runs: bigint;
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
    // It has n - 4 places where five start.
    runs: fives | (fives << step) | (fives << twice),
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

function sumOf(fields: bigint, number: number, { sections, sectionBits }: Layout): number {
  return Number(BigInt.asUintN(sectionBits, fields >> sections[number]!) % 65535n);
}
