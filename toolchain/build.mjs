// Compiles skills written in TypeScript to WebAssembly components:
//
//   node toolchain/build.mjs <skill-dir>…
//
// Each <skill-dir>/src/index.ts exports `run(input: string): string` and becomes <skill-dir>/dist/skill.wasm.
// The component can import no host function but those that the code names; one that names none is built
// against the world that has no import at all. A skill whose code, contract and tools are those of its last
// build is left as it is. The stamp that tells lives in build/, because dist/ is part of what is published.

import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

import { componentize } from "componentize-qjs";
import { build } from "esbuild";

import { componentImports } from "./component.mjs";
import { HOST, PURE_WORLD, contractFor, hostFunctionsOf } from "./contract.mjs";

const TOOLCHAIN = fileURLToPath(new URL(".", import.meta.url));
const REPOSITORY = resolve(TOOLCHAIN, "..");
const STAMPS = join(REPOSITORY, "build", "toolchain");
const TOOLS = ["componentize-qjs", "esbuild"];

const sha256 = (...parts) => parts.reduce((hash, part) => hash.update(part), createHash("sha256")).digest("hex");

// Left to the bindings, and without side effects: an import that is not used is dropped.
const hostModules = {
  name: "host-modules",
  setup({ onResolve }) {
    onResolve({ filter: /^cyberos:/ }, ({ path }) => ({ path, external: true, sideEffects: false }));
  },
};

async function bundle(skill) {
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
  return { code: result.outputFiles[0].text, imports: output.imports };
}

async function toolVersions() {
  const versions = TOOLS.map(async (name) => {
    const manifest = await readFile(join(TOOLCHAIN, "node_modules", name, "package.json"), "utf8");
    return `${name}@${JSON.parse(manifest).version}`;
  });
  return (await Promise.all(versions)).join(" ");
}

async function isCurrent(stampPath, key, outputPath) {
  try {
    const stamp = JSON.parse(await readFile(stampPath, "utf8"));
    return stamp.key === key && stamp.component === sha256(await readFile(outputPath));
  } catch {
    return false; // A missing or damaged stamp or component only means that it is built again.
  }
}

// Readers see the old file or the new one, and never a part of it.
async function writeAtomically(path, content) {
  const temporary = `${path}.${process.pid}.tmp`;
  try {
    await writeFile(temporary, content);
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

async function compile(code, contract) {
  const folder = await mkdtemp(join(STAMPS, "wit-"));
  try {
    const witPath = join(folder, "skill.wit");
    await writeFile(witPath, contract.wit);
    const { component } = await componentize({
      witPath,
      jsSource: code,
      world: contract.world,
      sync: true,
      stubWasi: true,
    });
    return component;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function buildSkill(directory) {
  const started = performance.now();
  const skill = resolve(directory);
  if (!(await stat(join(skill, "src", "index.ts")).catch(() => null))) {
    throw new Error(`there is no src/index.ts in ${directory}`);
  }
  const { code, imports } = await bundle(skill);
  const functions = hostFunctionsOf(code, imports);
  const contract = contractFor(await readFile(join(REPOSITORY, "schema", "skill.wit"), "utf8"), functions);

  const output = join(skill, "dist", "skill.wasm");
  const key = sha256([await toolVersions(), contract.world, contract.wit, code].join("\0"));
  const stamp = join(STAMPS, `${basename(skill)}-${sha256(skill).slice(0, 12)}.json`);
  if (await isCurrent(stamp, key, output)) return `${directory}: unchanged`;

  await mkdir(STAMPS, { recursive: true });
  await mkdir(join(skill, "dist"), { recursive: true });
  const component = await compile(code, contract);
  const found = componentImports(component);
  const expected = contract.world === PURE_WORLD ? [] : [HOST];
  if (JSON.stringify(found) !== JSON.stringify(expected)) {
    throw new Error(`the component imports [${found}] where [${expected}] is due`);
  }
  await writeAtomically(output, component);
  await writeAtomically(stamp, `${JSON.stringify({ key, component: sha256(component) })}\n`);

  const seconds = ((performance.now() - started) / 1000).toFixed(2);
  const reach = functions.length ? `imports ${functions.join(", ")}` : "imports nothing";
  return `${directory}: ${component.length} bytes, ${reach}, ${seconds} s`;
}

const directories = process.argv.slice(2);
if (directories.length === 0) {
  console.error("usage: node toolchain/build.mjs <skill-dir>…");
  process.exitCode = 2;
}
for (const directory of directories) {
  try {
    console.log(await buildSkill(directory));
  } catch (error) {
    console.error(`${directory}: ${error.message.trim()}`);
    process.exitCode = 1;
  }
}
