// The WIT contract that one skill is compiled against: schema/skill.wit less what the skill does not use.

export const HOST = "cyberos:skill/host@0.1.0";
export const PURE_WORLD = "pure-skill";

const USING_WORLD = "skill";

// esbuild writes an import that it leaves alone as one statement, at the start of the text or after another.
const NAMED_IMPORT = /(?:^|[;}\n])import\s*\{([^{}]*)\}\s*from\s*"([^"]+)"/g;

const kebabCase = (name) => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

/** The host functions, in WIT spelling and sorted, that a bundle imports by name. */
export function hostFunctionsOf(code, imports) {
  for (const { path, kind } of imports) {
    if (path !== HOST) throw new Error(`${path} is not a module that a skill can import; the host is ${HOST}`);
    if (kind !== "import-statement") throw new Error(`import ${HOST} by a statement, not by ${kind}`);
  }
  const names = new Set();
  let statements = 0;
  for (const [, list, path] of code.matchAll(NAMED_IMPORT)) {
    if (path !== HOST) continue;
    statements += 1;
    for (const item of list.split(",")) names.add(kebabCase(item.trim().split(/\s+as\s+/)[0]));
  }
  if (statements < imports.length) throw new Error(`import the functions of ${HOST} by their names`);
  return [...names].sort();
}

/** The text and the world of the contract for a skill that uses these host functions. */
export function contractFor(wit, functions) {
  if (functions.length === 0) return { wit, world: PURE_WORLD };
  const host = /^interface host \{\n([\s\S]*?)^\}/m.exec(wit);
  if (!host) throw new Error("schema/skill.wit has no `interface host`");
  const declared = new Map(
    [...host[1].matchAll(/^\s*([a-z][a-z0-9-]*): func\(.*;$/gm)].map(([line, name]) => [name, line]),
  );
  const kept = functions.map((name) => {
    const line = declared.get(name);
    if (!line) throw new Error(`the host has no function ${name}`);
    return line;
  });
  const trimmed = `interface host {\n${kept.join("\n")}\n}`;
  return { wit: wit.replace(host[0], () => trimmed), world: USING_WORLD };
}
