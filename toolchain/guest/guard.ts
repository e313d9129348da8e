/** What a skill exports: JSON text in, text out; an `Error` that it throws is its error message. */
export type Run = (input: string) => string;

const PREFIX = "skill_failed: ";

/** Wraps a skill's `run` so that whatever it does becomes an answer or an error message, not a trap. */
export function guard(skill: Run): Run {
  return (input) => {
    let answer: unknown;
    try {
      answer = skill(input);
    } catch (thrown) {
      // The bindings turn a thrown string into the error message; any other kind of value traps.
      throw messageOf(thrown);
    }
    if (typeof answer !== "string") throw `${PREFIX}run returned ${kindOf(answer)} where text is due`;
    if (!answer.isWellFormed()) throw `${PREFIX}run returned text with a lone surrogate`;
    return answer;
  };
}

function messageOf(thrown: unknown): string {
  try {
    if (typeof thrown === "string") return thrown.toWellFormed();
    if (thrown instanceof Error) {
      // A refused host call carries the service's message as its payload.
      const payload: unknown = (thrown as { payload?: unknown }).payload;
      const message: unknown = typeof payload === "string" ? payload : thrown.message;
      if (typeof message === "string") return message.toWellFormed();
    }
    return `${PREFIX}run threw ${kindOf(thrown)} where an Error is due`;
  } catch {
    return `${PREFIX}run threw an Error whose message cannot be read`;
  }
}

function kindOf(value: unknown): string {
  if (value === null) return "null";
  if (typeof value === "undefined") return "undefined";
  if (value instanceof Promise) return "a Promise";
  return typeof value === "object" ? "an object" : `a ${typeof value}`;
}
