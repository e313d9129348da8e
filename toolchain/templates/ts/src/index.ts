// `cyberos-skill-cli build` compiles this to dist/skill.wasm, and `fixtures` runs its cases. A skill has no clock and no
// chance: take both as input. It has the host's functions where allowed-tools in SKILL.md declares them:
//
//   import { readFile } from "cyberos:skill/host@0.1.0";

import { readFields } from "cyberos-guest/input.ts";

const GREETINGS = { vi: "Xin chào", en: "Hello" };

export function run(input: string): string {
  const fields = readFields(input, { characters: 4096, depth: 4 }, ["name", "language"]);
  const name = fields.text("name", 200);
  const language = fields.choice("language", ["vi", "en"], "vi");
  return JSON.stringify({ greeting: `${GREETINGS[language]} ${name}` });
}
