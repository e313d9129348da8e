// The steps of building a TypeScript skill that JavaScript tools take, for subgraph/authoring/typescript.py:
//
//   node typescript.mjs bundle <skill-dir>                             prints {code, imports, inputs} as JSON
//   node typescript.mjs componentize <wit> <world> <code> <component>  writes the component
//
// `inputs` are the files that the code was made of, relative to the skill.

import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const TOOLCHAIN = fileURLToPath(new URL(".", import.meta.url));

// Left to the bindings, and without side effects: an import that is not used is dropped.
const hostModules = {
  name: "host-modules",
  setup({ onResolve }) {
    onResolve({ filter: /^cyberos:/ }, ({ path }) => ({ path, external: true, sideEffects: false }));
  },
};

async function bundle(skill) {
  const { build } = await import("esbuild");
  const entry = [
    'import { guard } from "cyberos-guest/index.ts";',
    'import { run as skill } from "./src/index.ts";',
    "export const run = guard(skill);",
  ];
  const result = await build({
    stdin: { contents: entry.join("\n"), resolveDir: skill, sourcefile: "entry.ts", loader: "ts" },
    absWorkingDir: skill,
    alias: { "cyberos-guest": join(TOOLCHAIN, "guest") },
    bundle: true,
    charset: "utf8",
    format: "esm",
    legalComments: "none",
    logLevel: "silent",
    metafile: true,
    minifyWhitespace: true,
    platform: "neutral",
    plugins: [hostModules],
    target: "es2023",
    tsconfigRaw: { compilerOptions: { strict: true } },
    write: false,
  });
  const [output] = Object.values(result.metafile.outputs);
  const inputs = Object.keys(result.metafile.inputs).filter((path) => path !== "entry.ts");
  process.stdout.write(JSON.stringify({ code: result.outputFiles[0].text, imports: output.imports, inputs }));
}

async function componentizeCode(witPath, world, code, output) {
  const { componentize } = await import("componentize-qjs");
  const jsSource = await readFile(code, "utf8");
  const { component } = await componentize({ witPath, jsSource, world, sync: true, stubWasi: true });
  await writeFile(output, component);
}

const STEPS = { bundle, componentize: componentizeCode };

const [step, ...parameters] = process.argv.slice(2);
try {
  await STEPS[step](...parameters);
} catch (error) {
  console.error(error.message.trim());
  process.exitCode = 1;
}
