// Where everything of a QR symbol lies (ISO/IEC 18004, error correction level M), as bit masks of big integers.
//
// A symbol is one integer: module (row, column) is bit `row * width + column`. Beside and below it lie four light
// columns and rows: as far as the rules of the masks look, and so that a shift by one module or one row never takes a
// module to another place of the symbol.

export const MASKS = 8;
const GAP = 4;

/** Rows and columns of the square that codewords are sorted in: the next power of two. */
const SQUARE = 64;
const SQUARE_BITS = 6;

// Level M, by version: error correction codewords of each block, and the number of blocks. Version 8 holds 152 bytes;
// the longest text of a transfer has 150.
const EC_CODEWORDS = [10, 16, 26, 18, 24, 16, 18, 22] as const;
const BLOCKS = [1, 1, 1, 2, 2, 4, 4, 4] as const;

const FORMAT_GENERATOR = 0x537;
const FORMAT_MASK = 0x5412;
const VERSION_GENERATOR = 0x1f25;

/** One step in which some bits stay and some move up, or down. */
export interface Deposit {
  readonly distance: bigint;
  readonly stay: bigint;
  readonly move: bigint;
}

/** One step in which the bits of `low` change places with those `distance` above them. */
export interface Swap {
  readonly distance: bigint;
  readonly low: bigint;
}

export interface Layout {
  readonly version: number;
  readonly size: number;
  readonly width: number;
  readonly blocks: number;
  readonly dataCodewords: number;
  readonly ecCodewords: number;
  /** The blocks that have a data codeword more than the others, and their bytes among all error correction. */
  readonly longer: number;
  readonly ofLonger: bigint;
  /** For each data codeword where it comes in the order of placing, counted from the last codeword. */
  readonly order: Uint8Array;
  /** Bits of the encoding region that no codeword fills. */
  readonly remainder: bigint;
  /** Opens the gaps where function patterns lie. */
  readonly deposits: readonly Deposit[];
  /** Turns columns, as codewords fill them, into rows. */
  readonly swaps: readonly Swap[];
  /** Columns right of the vertical timing pattern, after the swaps, and how far all columns are too high. */
  readonly right: bigint;
  readonly surplus: bigint;
  /** Takes the columns out of the rows that the symbol has not. */
  readonly closings: readonly Deposit[];

  // Eight symbols, one for each mask, in one integer.
  readonly sectionBits: number;
  /** Where the part of each symbol starts, and in each part its first row. */
  readonly sections: readonly bigint[];
  readonly first: bigint;
  /** What is not data: function patterns, format and version information, and the masks themselves. */
  readonly fixed: bigint;
  readonly everywhere: bigint;
  /** Where five modules in a row, in a column, and a block of two by two can start. */
  readonly rowOfFive: bigint;
  readonly columnOfFive: bigint;
  readonly blockOfFour: bigint;
  /** Fields of 2, 4, 8 and 16 bits, each with its lower half set. */
  readonly halves: readonly [bigint, bigint, bigint, bigint];
}

type Predicate = (row: number, column: number) => boolean;
type Modules = readonly (boolean | undefined)[];

const MASK_PATTERNS: readonly Predicate[] = [
  (i, j) => (i + j) % 2 === 0,
  (i) => i % 2 === 0,
  (_, j) => j % 3 === 0,
  (i, j) => (i + j) % 3 === 0,
  (i, j) => ((i >> 1) + Math.floor(j / 3)) % 2 === 0,
  (i, j) => ((i * j) % 2) + ((i * j) % 3) === 0,
  (i, j) => (((i * j) % 2) + ((i * j) % 3)) % 2 === 0,
  (i, j) => (((i + j) % 2) + ((i * j) % 3)) % 2 === 0,
];

export function layoutOf(version: number): Layout {
  const size = 4 * version + 17;
  const patterns = functionPatterns(version, size);
  const isData: Predicate = (row, column) => patterns[row * size + column] === undefined;
  const free = freeModules(version);
  const ecCodewords = EC_CODEWORDS[version - 1]!;
  const blocks = BLOCKS[version - 1]!;
  const dataCodewords = dataCodewordsOf(version);
  return {
    version,
    size,
    width: size + GAP,
    blocks,
    dataCodewords,
    ecCodewords,
    longer: dataCodewords % blocks,
    ofLonger: bitsWhere(8 * blocks * ecCodewords, (bit) => (bit >> 3) % blocks < dataCodewords % blocks),
    order: orderOf(dataCodewords, blocks, free >> 3),
    remainder: BigInt(free & 7),
    deposits: depositSteps(size, isData),
    swaps: swapSteps(),
    right: bitsWhere(SQUARE * SQUARE, (bit) => bit % SQUARE >= SQUARE - (size - 7)),
    surplus: BigInt(SQUARE - size + 1),
    closings: closingSteps(size),
    ...eightSymbols(size, patterns),
  };
}

/** Blocks give a codeword each in turn; the longer ones, which come last, give the last ones. */
function orderOf(dataCodewords: number, blocks: number, codewords: number): Uint8Array {
  const short = Math.floor(dataCodewords / blocks);
  const longer = dataCodewords % blocks;
  const order: number[] = [];
  for (let block = 0; block < blocks; block += 1) {
    for (let index = 0; index < short; index += 1) order.push(codewords - 1 - (index * blocks + block));
    if (block >= blocks - longer) order.push(codewords - 1 - (short * blocks + block - (blocks - longer)));
  }
  return Uint8Array.from(order);
}

function dataCodewordsOf(version: number): number {
  return (freeModules(version) >> 3) - EC_CODEWORDS[version - 1]! * BLOCKS[version - 1]!;
}

/** Modules that no function pattern and no format or version information takes. */
function freeModules(version: number): number {
  const size = 4 * version + 17;
  const finders = 3 * 64 + 31;
  const timing = 2 * (size - 16);
  const lines = alignmentPlaces(version, size).length;
  // All but three places have an alignment pattern; those on the timing patterns share five modules with them.
  const alignments = lines === 0 ? 0 : 25 * (lines * lines - 3) - 2 * 5 * (lines - 2);
  return size * size - finders - timing - alignments - (version < 7 ? 0 : 36);
}

/** The function patterns of a symbol: undefined where data goes, light where the format will stand. */
function functionPatterns(version: number, size: number): Modules {
  const modules = new Array<boolean | undefined>(size * size).fill(undefined);
  const set = (row: number, column: number, dark: boolean): void => {
    if (row >= 0 && row < size && column >= 0 && column < size) modules[row * size + column] = dark;
  };
  const square = (row: number, column: number, reach: number, light: readonly number[]): void => {
    for (let i = -reach; i <= reach; i += 1) {
      for (let j = -reach; j <= reach; j += 1) {
        set(row + i, column + j, !light.includes(Math.max(Math.abs(i), Math.abs(j))));
      }
    }
  };
  for (let index = 0; index < size; index += 1) {
    set(6, index, index % 2 === 0);
    set(index, 6, index % 2 === 0);
  }
  const places = alignmentPlaces(version, size);
  const last = size - 7;
  for (const row of places) {
    for (const column of places) {
      const atFinder = (row === 6 && (column === 6 || column === last)) || (row === last && column === 6);
      if (!atFinder) square(row, column, 2, [1]);
    }
  }
  for (const [row, column] of [[3, 3], [3, size - 4], [size - 4, 3]] as const) square(row, column, 4, [2, 4]);
  for (const [row, column] of formatPlaces(size).flat()) set(row, column, false);
  set(size - 8, 8, true);
  if (version >= 7) {
    const bits = (version << 12) | remainderOf(version << 12, VERSION_GENERATOR, 12);
    for (let bit = 0; bit < 18; bit += 1) {
      const [near, far] = [Math.floor(bit / 3), size - 11 + (bit % 3)];
      const dark = ((bits >> bit) & 1) === 1;
      set(near, far, dark);
      set(far, near, dark);
    }
  }
  return modules;
}

function alignmentPlaces(version: number, size: number): number[] {
  if (version === 1) return [];
  const count = Math.floor(version / 7) + 2;
  const step = 2 * Math.ceil((version * 4 + 4) / (2 * count - 2));
  return [6, ...Array.from({ length: count - 1 }, (_, index) => size - 7 - step * index)];
}

/** Both places of each of the 15 bits of the format information, from the lowest bit up. */
function formatPlaces(size: number): [number, number][][] {
  return Array.from({ length: 15 }, (_, bit) => {
    const down = bit < 6 ? bit : bit < 8 ? bit + 1 : size - 15 + bit;
    const across = bit < 8 ? size - 1 - bit : bit === 8 ? 7 : 14 - bit;
    return [[down, 8], [8, across]];
  });
}

function remainderOf(value: number, generator: number, degree: number): number {
  let rest = value;
  for (let bit = 31 - Math.clz32(rest); bit >= degree; bit -= 1) {
    if ((rest >> bit) & 1) rest ^= generator << (bit - degree);
  }
  return rest;
}

type EightSymbols = Pick<
  Layout,
  | "sectionBits"
  | "sections"
  | "first"
  | "fixed"
  | "everywhere"
  | "rowOfFive"
  | "columnOfFive"
  | "blockOfFour"
  | "halves"
>;

function eightSymbols(size: number, patterns: Modules): EightSymbols {
  const width = size + GAP;
  const symbols = MASK_PATTERNS.map((mask, number) => symbolOf(size, patterns, mask, number));
  // Fields of 16 bits, in which modules are counted, do not reach from one symbol into the next.
  const sectionBits = Math.ceil((width * width) / 16) * 16;
  const all = MASKS * sectionBits;
  const first = GAP * width;
  const inSymbols = (holds: (row: number, column: number, number: number) => boolean): bigint =>
    bitsWhere(all + first, (bit) => {
      const own = (bit - first) % sectionBits;
      const [row, column] = [Math.floor(own / width), own % width];
      return own >= 0 && row < size && column < size && holds(row, column, Math.floor((bit - first) / sectionBits));
    });
  const fields = [1, 2, 4, 8].map((half) => bitsWhere(all, (bit) => bit % (2 * half) < half));
  return {
    sectionBits,
    sections: symbols.map((_, number) => BigInt(number * sectionBits)),
    first: BigInt(first),
    fixed: inSymbols((row, column, number) => symbols[number]![row * size + column]!),
    everywhere: bitsWhere(all + 2 * first, () => true),
    rowOfFive: inSymbols((_, column) => column <= size - 5),
    columnOfFive: inSymbols((row) => row <= size - 5),
    blockOfFour: inSymbols((row, column) => row <= size - 2 && column <= size - 2),
    halves: [fields[0]!, fields[1]!, fields[2]!, fields[3]!],
  };
}

/** All that is dark in a symbol without data: its function patterns, its format and its mask. */
function symbolOf(size: number, patterns: Modules, mask: Predicate, number: number): boolean[] {
  const modules = patterns.map((dark, index) => dark ?? mask(Math.floor(index / size), index % size));
  // Level M has the bits 00, so that the mask's number is all of the format's data.
  const format = ((number << 10) | remainderOf(number << 10, FORMAT_GENERATOR, 10)) ^ FORMAT_MASK;
  formatPlaces(size).forEach((places, bit) => {
    for (const [row, column] of places) modules[row * size + column] = ((format >> bit) & 1) === 1;
  });
  return modules;
}

// Codewords fill a symbol in strips of two columns, from the right one to the left, alternately upwards and
// downwards. Before the swaps a strip is one run of bits, `row * 2 + side`, with its rows upside down where it goes
// downwards, so that the whole symbol is filled from the highest bit to the lowest.

function depositSteps(size: number, isData: Predicate): Deposit[] {
  const places: number[] = [];
  for (let right = size - 1, strip = SQUARE / 2 - 1; right > 0; right -= right === 8 ? 3 : 2, strip -= 1) {
    const upwards = strip % 2 === 1;
    for (let index = 0; index < size; index += 1) {
      const row = upwards ? size - 1 - index : index;
      const place = 2 * (strip * SQUARE + (upwards ? row : SQUARE - 1 - row));
      if (isData(row, right)) places.push(place + 1);
      if (isData(row, right - 1)) places.push(place);
    }
  }
  places.reverse();
  const steps: Deposit[] = [];
  let now = places.map((_, index) => index);
  for (let distance = (SQUARE * SQUARE) / 2; distance >= 1; distance /= 2) {
    const moves = now.map((place, index) => places[index]! - place >= distance);
    now = now.map((place, index) => (moves[index] ? place + distance : place));
    if (moves.includes(true)) steps.push(depositOf(distance, now, moves));
  }
  return steps;
}

/** Takes the surplus columns of the square out of each row: rows with an odd number first, then every other pair. */
function closingSteps(size: number): Deposit[] {
  const surplus = SQUARE - size - GAP;
  const rows = Array.from({ length: size }, (_, row) => row);
  return Array.from({ length: SQUARE_BITS }, (_, bit) => {
    const moves = rows.map((row) => ((row >> bit) & 1) === 1);
    const starts = rows.map((row) => row * SQUARE - surplus * (row % (2 << bit)));
    const places = starts.flatMap((start) => rows.map((column) => start + column));
    const moving = moves.flatMap((moved) => rows.map(() => moved));
    return depositOf(surplus << bit, places, moving);
  });
}

function depositOf(distance: number, places: readonly number[], moves: readonly boolean[]): Deposit {
  const stays = places.filter((_, index) => !moves[index]);
  const moved = places.filter((_, index) => moves[index]);
  const [stay, move] = [stays, moved].map((some) => {
    const set = new Set(some);
    return bitsWhere(SQUARE * SQUARE, (bit) => set.has(bit));
  });
  return { distance: BigInt(distance), stay: stay!, move: move! };
}

function swapSteps(): Swap[] {
  const bits = SQUARE_BITS;
  const all = SQUARE * SQUARE;
  const one = (place: number, bit: number): boolean => ((place >> bit) & 1) === 1;
  const steps: Swap[] = [];
  // The rows of strips with an even number are upside down.
  for (let row = 1; row <= bits; row += 1) {
    steps.push({
      distance: 1n << BigInt(row),
      low: bitsWhere(all, (place) => !one(place, row) && !one(place, bits + 1)),
    });
  }
  // Of a place's bits, from the lowest: side, row, strip. Side, strip, row is what it takes.
  const order = Array.from({ length: 2 * bits }, (_, bit) => bit);
  const wanted = [0, ...order.slice(bits + 1), ...order.slice(1, bits + 1)];
  for (let bit = 1; bit < order.length; bit += 1) {
    const from = order.indexOf(wanted[bit]!);
    if (from === bit) continue;
    [order[bit], order[from]] = [order[from]!, order[bit]!];
    steps.push({
      distance: (1n << BigInt(from)) - (1n << BigInt(bit)),
      low: bitsWhere(all, (place) => one(place, bit) && !one(place, from)),
    });
  }
  return steps;
}

/** An integer of so many bits, with those set for which `holds`. */
function bitsWhere(count: number, holds: (bit: number) => boolean): bigint {
  let digits = "";
  for (let bit = count - 1; bit >= 0; bit -= 1) digits += holds(bit) ? "1" : "0";
  return BigInt(`0b${digits}`);
}
