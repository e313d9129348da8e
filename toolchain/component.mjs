// Reads from a component's bytes what it imports. Layout: the component model's binary format, "Binary.md".

const COMPONENT = Buffer.from([0x00, 0x61, 0x73, 0x6d, 0x0d, 0x00, 0x01, 0x00]);
const IMPORT_SECTION = 10;
const SORT_CORE_MODULE = 0x00;
const SORT_TYPE_BOUND = 0x03;
const SORT_LAST = 0x05;

class Reader {
  constructor(bytes) {
    this.bytes = bytes;
    this.at = 0;
  }

  byte() {
    if (this.at >= this.bytes.length) throw new Error("the component ends too early");
    return this.bytes[this.at++];
  }

  u32() {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.byte();
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
    throw new Error("a number in the component is too long");
  }

  take(length) {
    if (length > this.bytes.length - this.at) throw new Error("the component ends too early");
    this.at += length;
    return this.bytes.subarray(this.at - length, this.at);
  }
}

function readImport(reader) {
  if (reader.byte() > 0x01) throw new Error("an import has a name of an unknown kind");
  const name = reader.take(reader.u32()).toString("utf8");
  const sort = reader.byte();
  if (sort > SORT_LAST) throw new Error(`the import ${name} is of an unknown kind`);
  if (sort === SORT_CORE_MODULE) reader.byte();
  const bound = sort === SORT_TYPE_BOUND ? reader.byte() : 0;
  if (bound === 0) reader.u32();
  return name;
}

/** The names of what the outermost component imports, in order. */
export function componentImports(bytes) {
  if (!bytes.subarray(0, COMPONENT.length).equals(COMPONENT)) throw new Error("this is not a component");
  const reader = new Reader(bytes);
  reader.at = COMPONENT.length;
  const names = [];
  while (reader.at < bytes.length) {
    const section = reader.byte();
    const content = new Reader(reader.take(reader.u32()));
    if (section !== IMPORT_SECTION) continue;
    for (let left = content.u32(); left > 0; left -= 1) names.push(readImport(content));
  }
  return names;
}
