// Reads a skill's input: one JSON object, strictly. python/skill_input.py is its twin; for every text the two
// accept the same and refuse in the same words.

import { type Decimal, decimalOf } from "./decimal.ts";

/** What is wrong with an input, for the caller; the message is all of it. */
export class InputInvalid extends Error {
  constructor(detail: string) {
    super(`input_invalid: ${detail}`);
  }
}

export interface Bounds {
  /** Characters (code points) of the whole text. */
  readonly characters: number;
  /** Levels of objects and lists. */
  readonly depth: number;
}

/** Reads a text as an object that has no other fields than those named. */
export function readFields(text: string, bounds: Bounds, names: readonly string[]): Fields {
  if (hasMoreCharacters(text, bounds.characters)) {
    throw new InputInvalid(`the input has more than ${bounds.characters} characters`);
  }
  if (nestsDeeper(text, bounds.depth)) {
    throw new InputInvalid(`the input nests deeper than ${bounds.depth} levels`);
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new InputInvalid("the input is not valid JSON");
  }
  if (!isObject(value)) throw new InputInvalid("the input must be a JSON object");
  return new Fields(value, "", names);
}

/** The fields of one object of the input. A field that is null counts as absent. */
export class Fields {
  readonly #values: ReadonlyMap<string, unknown>;
  readonly #place: string;

  constructor(value: object, place: string, names: readonly string[]) {
    this.#values = new Map(Object.entries(value));
    this.#place = place;
    for (const name of this.#values.keys()) {
      if (!names.includes(name)) {
        const where = place === "" ? "" : ` in "${place.slice(0, -1)}"`;
        throw new InputInvalid(`there is an unknown field${where}; the fields are ${listed(names)}`);
      }
    }
  }

  has(name: string): boolean {
    return (this.#values.get(name) ?? null) !== null;
  }

  /** Throws that a field is not as it should be. */
  refuse(name: string, what: string): never {
    throw new InputInvalid(`the field "${this.#place}${name}" ${what}`);
  }

  text(name: string, most: number, why = ""): string {
    const value = this.#required(name);
    if (typeof value !== "string") this.refuse(name, `must be a string${why}`);
    if (!value.isWellFormed()) this.refuse(name, "has half of a surrogate pair");
    if (hasMoreCharacters(value, most)) this.refuse(name, `has more than ${most} characters`);
    return value;
  }

  optionalText(name: string, most: number, why = ""): string | null {
    return this.has(name) ? this.text(name, most, why) : null;
  }

  flag(name: string, absent: boolean): boolean {
    if (!this.has(name)) return absent;
    const value = this.#values.get(name);
    if (typeof value !== "boolean") this.refuse(name, "must be true or false");
    return value;
  }

  choice<T extends string>(name: string, choices: readonly T[], absent: T | null): T {
    if (!this.has(name) && absent !== null) return absent;
    const value = this.#required(name);
    for (const choice of choices) if (value === choice) return choice;
    return this.refuse(name, `must be one of ${listed(choices)}`);
  }

  /** A number, or its digits as text, of at most 15 digits before the point and 6 after it. */
  decimal(name: string): Decimal {
    const decimal = decimalOf(this.#required(name));
    if (decimal === null) {
      this.refuse(name, "must be a number, of at most 15 digits before the point and 6 after it");
    }
    return decimal;
  }

  optionalDecimal(name: string): Decimal | null {
    return this.has(name) ? this.decimal(name) : null;
  }

  whole(name: string, least: number, most: number): number {
    const value = this.#required(name);
    if (typeof value !== "number" || !Number.isInteger(value) || value < least || value > most) {
      this.refuse(name, `must be a whole number from ${least} to ${most}`);
    }
    return value;
  }

  object(name: string, names: readonly string[]): Fields {
    const value = this.#required(name);
    if (!isObject(value)) this.refuse(name, "must be an object");
    return new Fields(value, `${this.#place}${name}.`, names);
  }

  /** A list of objects that have the same fields. */
  objects(name: string, names: readonly string[], most: number): Fields[] {
    const value = this.#required(name);
    if (!Array.isArray(value)) this.refuse(name, "must be a list");
    if (value.length > most) this.refuse(name, `has more than ${most} entries`);
    return value.map((entry: unknown, index) => {
      const place = `${name}[${index}]`;
      if (!isObject(entry)) return this.refuse(place, "must be an object");
      return new Fields(entry, `${this.#place}${place}.`, names);
    });
  }

  #required(name: string): unknown {
    const value = this.#values.get(name) ?? null;
    if (value === null) throw new InputInvalid(`the field "${this.#place}${name}" is missing`);
    return value;
  }
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function listed(names: readonly string[]): string {
  const quoted = names.map((name) => `"${name}"`);
  return quoted.length < 2 ? quoted.join("") : `${quoted.slice(0, -1).join(", ")} and ${quoted.at(-1)}`;
}

export function hasMoreCharacters(text: string, limit: number): boolean {
  if (text.length <= limit) return false;
  // A character takes at most two UTF-16 units.
  if (text.length > 2 * limit) return true;
  let count = 0;
  for (const _ of text) count += 1;
  return count > limit;
}

// Before parsing, because parsers differ in how deep they can go and in how they fail beyond.
function nestsDeeper(text: string, limit: number): boolean {
  let depth = 0;
  // One match for each string, bracket or brace: the engine looks at the rest faster than a loop here would.
  for (const [token] of text.matchAll(/"[^"\\]*(?:\\[\s\S][^"\\]*)*"?|[[\]{}]/g)) {
    if (token === "{" || token === "[") {
      depth += 1;
      if (depth > limit) return true;
    } else if (token === "}" || token === "]") {
      depth -= 1;
    }
  }
  return false;
}
