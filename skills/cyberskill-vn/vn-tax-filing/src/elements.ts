// Fields of an invoice's elements, by local name. scripts/elements.py is the twin.

import { type Day, dayOf } from "cyberos-guest/dates.ts";
import { type Decimal, decimalOf } from "cyberos-guest/decimal.ts";
import { hasMoreCharacters } from "cyberos-guest/input.ts";
import { type XmlElement, localName } from "cyberos-guest/xml_reader.ts";

/** Characters of a name or an address, as the invoice format has it. */
const MAX_TEXT = 400;

const WHOLE = /^[0-9]{1,15}$/;

/** Why a file is not counted: a code, and the field if one is to blame. */
export class FileFault extends Error {
  readonly reason: string;
  readonly field: string | null;

  constructor(reason: string, field: string | null = null) {
    super(reason);
    this.reason = reason;
    this.field = field;
  }
}

/** The children of one element. Which of two alike counts would be a guess, so neither may be asked for. */
export class Elements {
  readonly #found = new Map<string, XmlElement | null>();
  readonly #place: string;

  constructor(element: XmlElement, place: string) {
    this.#place = place;
    const found = this.#found;
    const { children } = element;
    for (const child of children) found.set(child.name.includes(":") ? localName(child) : child.name, child);
    if (found.size < children.length) this.#markRepeated(children);
  }

  #markRepeated(children: readonly XmlElement[]): void {
    for (const child of children) {
      const name = localName(child);
      if (this.#found.get(name) !== child) this.#found.set(name, null);
    }
  }

  optional(name: string): XmlElement | undefined {
    const child = this.#found.get(name);
    if (child === null) throw new FileFault("field_repeated", this.#place + name);
    return child;
  }

  element(name: string): XmlElement {
    return this.optional(name) ?? this.#missing(name);
  }

  inside(name: string): Elements {
    return new Elements(this.element(name), `${this.#place}${name}/`);
  }

  /** The text without the blanks around it; null if there is none. */
  optionalText(name: string): string | null {
    const child = this.optional(name);
    const text = child === undefined ? "" : trimmed(child.text);
    if (text === "") return null;
    if (hasMoreCharacters(text, MAX_TEXT)) this.invalid(name);
    return text;
  }

  text(name: string): string {
    return this.optionalText(name) ?? this.#missing(name);
  }

  number(name: string): Decimal {
    const text = this.text(name);
    // Nearly all are whole numbers, and there are a dozen in an invoice.
    if (WHOLE.test(text)) return BigInt(`${text}000000`);
    return decimalOf(text) ?? this.invalid(name);
  }

  /** A number, 0 if there is none. */
  optionalNumber(name: string): Decimal {
    return this.optionalText(name) === null ? 0n : this.number(name);
  }

  date(name: string): Day {
    return dayOf(this.text(name)) ?? this.invalid(name);
  }

  matching(name: string, pattern: RegExp): string {
    const text = this.text(name);
    return pattern.test(text) ? text : this.invalid(name);
  }

  invalid(name: string): never {
    throw new FileFault("field_invalid", this.#place + name);
  }

  #missing(name: string): never {
    throw new FileFault("field_missing", this.#place + name);
  }
}

function trimmed(text: string): string {
  let start = 0;
  let end = text.length;
  while (start < end && isBlankCode(text.charCodeAt(start))) start += 1;
  while (end > start && isBlankCode(text.charCodeAt(end - 1))) end -= 1;
  return start === 0 && end === text.length ? text : text.slice(start, end);
}

function isBlankCode(code: number): boolean {
  return code === 0x20 || code === 0x0a || code === 0x09;
}
