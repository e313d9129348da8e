// Bundles GraphiQL into subgraph/api/static/graphiql/: the page, and under assets/ one script, one style
// sheet and the fonts, each with its content's digest in its name.
//
//   node web/graphiql/build.mjs [--force]
//
// Installs this directory's locked packages first if they are missing or older than the lock, and does
// nothing at all when the inputs are those of the bundle that is already there.
//
// GraphiQL 4, not 5: version 5 edits with Monaco, which needs three web workers, injects style elements
// (so the page would have to allow inline styles) and weighs 7.5 MB where CodeMirror's page weighs 1.8.
// Nothing here uses what version 5 adds.

import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const HERE = dirname(fileURLToPath(import.meta.url));
const OUT = join(HERE, "..", "..", "subgraph", "api", "static", "graphiql");
const LOCK = join(HERE, "package-lock.json");
const EMBEDDED_FONT = /url\((["']?)data:font\/(\w+);base64,([A-Za-z0-9+/=]+)\1\)/g;

function digest(content) {
  return createHash("sha256").update(content).digest("hex").slice(0, 16);
}

function inputsDigest() {
  const sources = readdirSync(join(HERE, "src")).sort().map((name) => join(HERE, "src", name));
  const hash = createHash("sha256");
  for (const path of [fileURLToPath(import.meta.url), LOCK, ...sources]) {
    const content = readFileSync(path);
    hash.update(`${content.length}\n`).update(content);
  }
  return hash.digest("hex");
}

function isBuilt(stamp) {
  const path = join(OUT, "stamp");
  return existsSync(path) && readFileSync(path, "utf8") === stamp;
}

function installPackages() {
  const installed = join(HERE, "node_modules", ".package-lock.json");
  if (existsSync(installed) && statSync(installed).mtimeMs >= statSync(LOCK).mtimeMs) return;
  execFileSync("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund"], { cwd: HERE, stdio: "inherit" });
}

async function bundle() {
  const { build } = await import("esbuild");
  const { outputFiles } = await build({
    entryPoints: { graphiql: join(HERE, "src", "page.jsx") },
    outdir: HERE,
    write: false,
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    jsx: "automatic",
    alias: { "react-style-singleton": join(HERE, "src", "styles.js") },
    charset: "utf8",
    legalComments: "eof",
    define: { "process.env.NODE_ENV": '"production"' },
    logLevel: "warning",
  });
  const text = (suffix) => outputFiles.find((file) => file.path.endsWith(suffix)).text;
  return { script: text(".js"), style: text(".css") };
}

/** Take the fonts out of the style sheet: the page then loads those it needs, and allows no data: fonts. */
function extractFonts(style, directory) {
  return style.replace(EMBEDDED_FONT, (_, quote, format, base64) => {
    const font = Buffer.from(base64, "base64");
    const name = `font-${digest(font)}.${format}`;
    writeFileSync(join(directory, name), font);
    return `url(${name})`;
  });
}

function writeBundle(directory, { script, style }, stamp) {
  const assets = join(directory, "assets");
  mkdirSync(assets, { recursive: true });
  const linked = extractFonts(style, assets);
  const scriptName = `graphiql-${digest(script)}.js`;
  const styleName = `graphiql-${digest(linked)}.css`;
  writeFileSync(join(assets, scriptName), script);
  writeFileSync(join(assets, styleName), linked);
  // Relative addresses, from /graphql to /graphiql/: they hold behind a proxy that adds a prefix.
  const page = readFileSync(join(HERE, "src", "index.html"), "utf8")
    .replace("%STYLE%", `graphiql/${styleName}`)
    .replace("%SCRIPT%", `graphiql/${scriptName}`);
  writeFileSync(join(directory, "index.html"), page);
  writeFileSync(join(directory, "stamp"), stamp);
}

/** Put `directory` in the place of the last bundle by renames, so that no reader meets half of one. */
function publish(directory, stamp) {
  const previous = `${directory}.previous`;
  try {
    if (existsSync(OUT)) renameSync(OUT, previous);
    renameSync(directory, OUT);
  } catch (error) {
    if (!isBuilt(stamp)) throw error; // else another build of the same inputs was quicker
  } finally {
    rmSync(previous, { recursive: true, force: true });
  }
}

async function main() {
  const stamp = inputsDigest();
  if (!process.argv.includes("--force") && isBuilt(stamp)) return;
  installPackages();
  const directory = `${OUT}.${process.pid}`;
  try {
    writeBundle(directory, await bundle(), stamp);
    publish(directory, stamp);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
  const assets = readdirSync(join(OUT, "assets"));
  const bytes = assets.reduce((total, name) => total + statSync(join(OUT, "assets", name)).size, 0);
  console.log(`GraphiQL: ${assets.length} assets, ${(bytes / 1e6).toFixed(2)} MB`);
}

await main();
