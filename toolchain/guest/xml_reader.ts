// Reads XML 1.0 into a tree, strictly and without a document type. python/skill_xml_reader.py is its twin: for every
// text the two give the same tree, or the same code.
//
// One pattern takes nearly all tags of real documents, and an element that has text alone as a whole: where code is
// interpreted, a match costs less than the operations that it replaces. What the pattern leaves is read step by step,
// so it may take too little and never too much.

import { isXmlText } from "./xml_writer.ts";

export type XmlCode =
  | "too_long"
  | "too_many_tags"
  | "character"
  | "declaration"
  | "encoding"
  | "doctype"
  | "processing_instruction"
  | "markup"
  | "entity"
  | "tag"
  | "attribute"
  | "duplicate_attribute"
  | "nesting"
  | "depth"
  | "unclosed"
  | "outside";

/** Why a text is not read; the message is the code. */
export class XmlRefused extends Error {
  readonly code: XmlCode;

  constructor(code: XmlCode) {
    super(code);
    this.code = code;
  }
}

export interface XmlElement {
  /** As it is written: prefixes are not resolved. */
  readonly name: string;
  readonly attributes: ReadonlyMap<string, string>;
  readonly children: readonly XmlElement[];
  /** The text that is right in it, without that of its children. */
  readonly text: string;
}

/** Of a document, with its comments and sections: what a tree of them takes stays within a guest's memory. */
export const MAX_TAGS = 100_000;

/** Elements in each other. */
export const MAX_DEPTH = 32;

/** Of one element; the widest that real documents have is a dozen. */
export const MAX_ATTRIBUTES = 64;

/** Characters of a name. */
export const MAX_NAME = 256;

// Of Unicode's first plane alone; names of documents that are meant for programs are letters of ASCII.
const STARTS =
  ":A-Z_a-z\\u00c0-\\u00d6\\u00d8-\\u00f6\\u00f8-\\u02ff\\u0370-\\u037d\\u037f-\\u1fff\\u200c\\u200d\\u2070-\\u218f\\u2c00-\\u2fef\\u3001-\\ud7ff\\uf900-\\ufdcf\\ufdf0-\\ufffd";
const NAME = new RegExp(`^[${STARTS}][-.0-9\\u00b7\\u0300-\\u036f\\u203f\\u2040${STARTS}]*`);
const DECLARATION =
  /^<\?xml[ \t\n]+version[ \t\n]*=[ \t\n]*(?:"1\.0"|'1\.0')(?:[ \t\n]+encoding[ \t\n]*=[ \t\n]*(?:"([A-Za-z0-9._-]{1,40})"|'([A-Za-z0-9._-]{1,40})'))?(?:[ \t\n]+standalone[ \t\n]*=[ \t\n]*(?:"(?:yes|no)"|'(?:yes|no)'))?[ \t\n]*\?>/;
const REFERENCE = /&(?:#0*([0-9]{1,7})|#x0*([0-9A-Fa-f]{1,6})|(amp|lt|gt|quot|apos));|&/g;
// A start tag that is a name alone, the text after it and, if there is nothing else in the element, its end tag; or an
// end tag and the text after it. Left are texts that need a closer look, with a reference or the end of a section, and
// names of more than `MAX_NAME` characters.
const TAG = /<(?:([A-Za-z_][-.:\w]{0,255})>([^<&\]]*)(?:<\/\1>([^<&\]]*))?|\/([A-Za-z_][-.:\w]{0,255})>([^<&\]]*))(?=<)/y;
// Runs to the first character of another kind, and has no end to go back from.
const LEGAL = /[^\u0000-\u0008\u000b-\u001f\ufffe\uffff]*/y;
const ENTITIES: Readonly<Record<string, string>> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'" };
const BLANKS = /[ \t\n]*/y;
const NO_ATTRIBUTES: ReadonlyMap<string, string> = new Map();
const NO_CHILDREN: readonly XmlElement[] = [];

/** An element while it is read. */
interface Open {
  name: string;
  attributes: ReadonlyMap<string, string>;
  children: XmlElement[];
  pieces: string[];
}

/** Reads a document of at most that many bytes of UTF-8. Throws `XmlRefused`. */
export function readXml(given: string, bytes: number): XmlElement {
  if (hasMoreBytes(given, bytes)) throw new XmlRefused("too_long");
  let text = given.startsWith("\ufeff") ? given.slice(1) : given;
  if (!isLegal(text)) {
    text = text.replace(/\r\n?/g, "\n");
    if (!isLegal(text)) throw new XmlRefused("character");
  }
  const start = declarationEnd(text);
  if (text.length >= MAX_TAGS && text.split("<").length > MAX_TAGS) throw new XmlRefused("too_many_tags");
  return new Reader(text, start).document();
}

/** The name without its prefix. */
export function localName({ name }: XmlElement): string {
  return name.slice(name.lastIndexOf(":") + 1);
}

class Reader {
  readonly #text: string;
  // Of the next `<`, or the end of the text.
  #position: number;
  readonly #stack: Open[] = [];
  #current: Open = { name: "", attributes: NO_ATTRIBUTES, children: [], pieces: [] };

  constructor(text: string, start: number) {
    this.#text = text;
    this.#position = start;
  }

  document(): XmlElement {
    const { length } = this.#text;
    this.#addText(this.#upToTag());
    while (this.#position < length) {
      this.#plainTags();
      this.#position += 1;
      const piece = this.#upToTag();
      const first = piece.charCodeAt(0);
      if (first === 0x2f) this.#endTag(piece);
      else if (first === 0x21) this.#special(piece);
      else if (first === 0x3f) throw new XmlRefused("processing_instruction");
      else this.#startTag(piece);
    }
    const [root] = this.#current.children;
    if (this.#stack.length > 0 || root === undefined) throw new XmlRefused("unclosed");
    return root;
  }

  /** The text up to the next `<`, or to the end. */
  #upToTag(): string {
    const start = this.#position;
    const end = this.#text.indexOf("<", start);
    this.#position = end === -1 ? this.#text.length : end;
    return this.#text.slice(start, this.#position);
  }

  /** Takes tags as long as the pattern matches, within the root. */
  #plainTags(): void {
    const text = this.#text;
    const stack = this.#stack;
    let current = this.#current;
    let { children } = current;
    let position = this.#position;
    TAG.lastIndex = position;
    for (let depth = stack.length; depth > 0; position = TAG.lastIndex) {
      const found = TAG.exec(text);
      if (found === null) break;
      const name = found[1];
      if (name === undefined) {
        const parent = stack[depth - 1];
        if (found[4] !== current.name || depth === 1 || parent === undefined) break;
        parent.children.push(elementOf(current));
        stack.length = depth -= 1;
        current = parent;
        children = current.children;
        if (found[5]) current.pieces.push(found[5]);
        continue;
      }
      if (depth === MAX_DEPTH) break;
      const after = found[3];
      if (after !== undefined) {
        children.push({ name, attributes: NO_ATTRIBUTES, children: NO_CHILDREN, text: found[2] ?? "" });
        if (after !== "") current.pieces.push(after);
      } else {
        depth = stack.push(current);
        children = [];
        current = { name, attributes: NO_ATTRIBUTES, children, pieces: found[2] ? [found[2]] : [] };
      }
    }
    this.#position = position;
    this.#current = current;
  }

  #startTag(piece: string): void {
    const name = nameAt(piece, 0);
    if (piece.charAt(name.length) !== ">") {
      this.#tagWithMore(piece, name);
      return;
    }
    this.#open(name, NO_ATTRIBUTES);
    this.#addText(piece.slice(name.length + 1));
  }

  /** Reads a start tag that is not a name alone. */
  #tagWithMore(piece: string, name: string): void {
    let position = name.length;
    let attributes: Map<string, string> | null = null;
    for (;;) {
      const next = afterBlanks(piece, position);
      const character = piece.charAt(next);
      if (character === ">") {
        this.#open(name, attributes ?? NO_ATTRIBUTES);
        this.#addText(piece.slice(next + 1));
        return;
      }
      if (character === "/" && piece.charAt(next + 1) === ">") {
        this.#open(name, attributes ?? NO_ATTRIBUTES);
        this.#close();
        this.#addText(piece.slice(next + 2));
        return;
      }
      if (next === position || character === "") throw new XmlRefused("tag");
      attributes ??= new Map();
      position = this.#attribute(piece, next, attributes);
    }
  }

  #attribute(piece: string, start: number, attributes: Map<string, string>): number {
    const name = nameAt(piece, start);
    const equals = afterBlanks(piece, start + name.length);
    const quoteAt = afterBlanks(piece, equals + 1);
    const quote = piece.charAt(quoteAt);
    if (piece.charAt(equals) !== "=" || (quote !== '"' && quote !== "'")) throw new XmlRefused("attribute");
    const end = piece.indexOf(quote, quoteAt + 1);
    // Without an end the value goes on after a `<`, which may not stand in it.
    if (end === -1 || attributes.size === MAX_ATTRIBUTES) throw new XmlRefused("attribute");
    if (attributes.has(name)) throw new XmlRefused("duplicate_attribute");
    // A blank that is written as such is a space; one that is written as a reference stays what it is.
    attributes.set(name, piece.slice(quoteAt + 1, end).replace(/[\t\n]/g, " ").replace(REFERENCE, referenced));
    return end + 1;
  }

  #endTag(piece: string): void {
    const { name } = this.#current;
    const end = piece.indexOf(">");
    if (end === -1) throw new XmlRefused("tag");
    // An end tag may have blanks before its end.
    const last = name.length + 1;
    if (!piece.startsWith(name, 1) || (last !== end && afterBlanks(piece, last) !== end)) {
      throw new XmlRefused("nesting");
    }
    this.#close();
    this.#addText(piece.slice(end + 1));
  }

  /** Comments, sections of text, and what there may not be. */
  #special(piece: string): void {
    if (piece.startsWith("!--")) {
      const comment = this.#upTo("--", piece, 3);
      if (!comment.after.startsWith(">")) throw new XmlRefused("markup");
      this.#addText(comment.after.slice(1));
    } else if (piece.startsWith("![CDATA[")) {
      const section = this.#upTo("]]>", piece, 8);
      if (this.#stack.length === 0) throw new XmlRefused("outside");
      this.#current.pieces.push(section.before);
      this.#addText(section.after);
    } else {
      throw new XmlRefused(piece.startsWith("!DOCTYPE") ? "doctype" : "markup");
    }
  }

  /** What stands before a mark and what after it, which may be pieces away. */
  #upTo(mark: string, first: string, start: number): { before: string; after: string } {
    const parts: string[] = [];
    let piece = first.slice(start);
    for (;;) {
      const end = piece.indexOf(mark);
      if (end !== -1) {
        parts.push(piece.slice(0, end));
        return { before: parts.join("<"), after: piece.slice(end + mark.length) };
      }
      parts.push(piece);
      if (this.#position === this.#text.length) throw new XmlRefused("unclosed");
      this.#position += 1;
      piece = this.#upToTag();
    }
  }

  #open(name: string, attributes: ReadonlyMap<string, string>): void {
    this.#checkPlace();
    this.#stack.push(this.#current);
    this.#current = { name, attributes, children: [], pieces: [] };
  }

  #close(): void {
    const parent = this.#stack.pop();
    if (parent === undefined) throw new XmlRefused("nesting");
    parent.children.push(elementOf(this.#current));
    this.#current = parent;
  }

  #checkPlace(): void {
    const depth = this.#stack.length;
    if (depth === 0 && this.#current.children.length > 0) throw new XmlRefused("outside");
    if (depth >= MAX_DEPTH) throw new XmlRefused("depth");
  }

  #addText(piece: string): void {
    if (piece === "") return;
    if (this.#stack.length > 0) this.#current.pieces.push(decoded(piece));
    else if (!/^[ \t\n]*$/.test(piece)) throw new XmlRefused("outside");
  }
}

function elementOf({ name, attributes, children, pieces }: Open): XmlElement {
  return { name, attributes, children, text: pieces.length === 0 ? "" : pieces.join("") };
}

function decoded(piece: string): string {
  if (piece.includes("]]>")) throw new XmlRefused("markup");
  return piece.includes("&") ? piece.replace(REFERENCE, referenced) : piece;
}

function nameAt(piece: string, start: number): string {
  const name = NAME.exec(piece.slice(start, start + MAX_NAME + 1))?.[0];
  if (name === undefined || name.length > MAX_NAME) throw new XmlRefused("tag");
  return name;
}

function afterBlanks(piece: string, start: number): number {
  BLANKS.lastIndex = start;
  return start + (BLANKS.exec(piece)?.[0].length ?? 0);
}

/** Whether all characters are those of XML; a return, which is one as well, is to be replaced before. */
function isLegal(text: string): boolean {
  LEGAL.lastIndex = 0;
  LEGAL.test(text);
  return LEGAL.lastIndex === text.length && text.isWellFormed();
}

/** Where the XML declaration ends, 0 if there is none. */
function declarationEnd(text: string): number {
  if (!/^<\?xml[ \t\n]/.test(text)) return 0;
  const found = DECLARATION.exec(text);
  if (found === null) throw new XmlRefused("declaration");
  const encoding = found[1] ?? found[2];
  if (encoding !== undefined && !/^utf-8$/i.test(encoding)) throw new XmlRefused("encoding");
  return found[0].length;
}

function referenced(_whole: string, decimal?: string, hexadecimal?: string, entity?: string): string {
  if (entity !== undefined) return ENTITIES[entity] ?? "";
  const code = decimal !== undefined ? parseInt(decimal, 10) : hexadecimal !== undefined ? parseInt(hexadecimal, 16) : -1;
  if (code === -1) throw new XmlRefused("entity");
  // Half of a surrogate pair makes a text that is none.
  if (code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) throw new XmlRefused("character");
  const character = String.fromCodePoint(code);
  if (!isXmlText(character)) throw new XmlRefused("character");
  return character;
}

function hasMoreBytes(text: string, limit: number): boolean {
  // A unit of UTF-16 takes one to three bytes of UTF-8, both halves of a pair four.
  if (text.length > limit) return true;
  if (3 * text.length <= limit) return false;
  let bytes = 0;
  for (const character of text) {
    const code = character.codePointAt(0) ?? 0;
    bytes += code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
  }
  return bytes > limit;
}
