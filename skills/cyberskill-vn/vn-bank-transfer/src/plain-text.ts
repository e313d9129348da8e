// Folds text to what a transfer can carry: ASCII letters, digits, blanks and a few marks. scripts/plain_text.py is
// its twin.

export interface Plain {
  /** Null if nothing is left. */
  readonly text: string | null;
  /** Something other than blanks changed or went. */
  readonly folded: boolean;
  readonly cut: boolean;
}

export const NOTHING: Plain = { text: null, folded: false, cut: false };

/** Takes accents off, turns what is not allowed into blanks, joins runs of them, and keeps the first characters. */
export function plain(given: string, most: number): Plain {
  const bare = given
    .normalize("NFD")
    // The marks of Latin letters. Engines differ in which others they know; those become blanks like any letter.
    .replace(/[\u0300-\u036f]/g, "")
    .replace(/\u0111/g, "d")
    .replace(/\u0110/g, "D")
    .replace(/[^A-Za-z0-9 ._/:-]/g, " ");
  const text = joined(bare);
  const kept = text.slice(0, most).replace(/ $/, "");
  return { text: kept === "" ? null : kept, folded: text !== joined(given), cut: text.length > most };
}

function joined(text: string): string {
  return text.replace(/ +/g, " ").replace(/^ | $/g, "");
}
