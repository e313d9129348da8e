// Writes XML 1.0, indented by two blanks. python/skill_xml_writer.py is its twin.

const ILLEGAL = /[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/u;
const SPECIAL = /[&<>\r]/;
const ESCAPES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "\t": "&#9;",
  "\n": "&#10;",
  "\r": "&#13;",
};

/** Whether a text can stand in XML at all: most control characters cannot, escaped or not. */
export function isXmlText(text: string): boolean {
  return !ILLEGAL.test(text);
}

export type Attributes = Readonly<Record<string, string>>;

export class XmlWriter {
  readonly #lines: string[] = [];
  readonly #open: string[] = [];

  /** Starts an element that has elements; its attributes come in the order given. */
  open(name: string, attributes?: Attributes): this {
    this.#lines.push(`${this.#indent()}<${name}${attributesText(attributes)}>`);
    this.#open.push(name);
    return this;
  }

  /** Writes an element that has text. */
  leaf(name: string, text: string, attributes?: Attributes): this {
    this.#lines.push(`${this.#indent()}<${name}${attributesText(attributes)}>${escaped(text)}</${name}>`);
    return this;
  }

  /** Writes an element that has text, or nothing where there is none. */
  optionalLeaf(name: string, text: string | null): this {
    return text === null ? this : this.leaf(name, text);
  }

  close(): this {
    const name = this.#open.pop();
    if (name === undefined) throw new Error("every element is closed");
    this.#lines.push(`${this.#indent()}</${name}>`);
    return this;
  }

  toString(): string {
    if (this.#open.length > 0) throw new Error("an element is open");
    return `${this.#lines.join("\n")}\n`;
  }

  #indent(): string {
    return "  ".repeat(this.#open.length);
  }
}

function attributesText(attributes: Attributes | undefined): string {
  if (attributes === undefined) return "";
  return Object.entries(attributes)
    .map(([name, value]) => ` ${name}="${value.replace(/[&<>"\t\n\r]/g, escape)}"`)
    .join("");
}

/** A text as it stands in an element. */
export function escaped(text: string): string {
  // A line end is data here, and a carriage return would be read as one.
  return SPECIAL.test(text) ? text.replace(/[&<>\r]/g, escape) : text;
}

function escape(character: string): string {
  return ESCAPES[character] ?? character;
}
