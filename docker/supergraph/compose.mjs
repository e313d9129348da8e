// Composes the subgraphs that a rover supergraph.yaml names into one supergraph schema, without a network.
//
//   node compose.mjs supergraph.yaml [supergraph.graphql]
//
// Schema files are relative to the yaml file, as rover reads them. Without an output file the schema goes
// to standard output. Exits 1 with every composition error if the subgraphs do not fit together.

import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, resolve } from "node:path";
import { composeServices } from "@apollo/composition";
import { parse as parseGraphQL } from "graphql";
import { parse as parseYaml } from "yaml";

const COMPOSER_VERSION = createRequire(import.meta.url)("@apollo/composition/package.json").version;

class ConfigurationError extends Error {}

/** Refuse a `federation_version` that is not this composer's: `2` takes any, `=2.1.3` that one alone. */
function checkVersion(wanted) {
  const version = String(wanted ?? "2");
  const major = COMPOSER_VERSION.split(".")[0];
  if (version === major || version === `=${COMPOSER_VERSION}`) return;
  throw new ConfigurationError(
    `federation_version is ${version}, but the installed composer is =${COMPOSER_VERSION}`,
  );
}

function readSubgraph(name, subgraph, directory) {
  const { routing_url: url, schema } = subgraph ?? {};
  if (typeof url !== "string") throw new ConfigurationError(`subgraph ${name} has no routing_url`);
  if (typeof schema?.file !== "string") throw new ConfigurationError(`subgraph ${name} has no schema.file`);
  const path = resolve(directory, schema.file);
  return { name, url, typeDefs: parseGraphQL(readFileSync(path, "utf8")) };
}

function readSubgraphs(path) {
  const configuration = parseYaml(readFileSync(path, "utf8"));
  checkVersion(configuration?.federation_version);
  const subgraphs = Object.entries(configuration?.subgraphs ?? {});
  if (subgraphs.length === 0) throw new ConfigurationError(`${path} names no subgraph`);
  return subgraphs.map(([name, subgraph]) => readSubgraph(name, subgraph, dirname(resolve(path))));
}

/** Write by rename: a router that watches the file never reads half a schema. */
function write(path, text) {
  const temporary = `${path}.${process.pid}`;
  writeFileSync(temporary, text);
  renameSync(temporary, path);
}

function main([input, output]) {
  if (input === undefined) throw new ConfigurationError("usage: node compose.mjs supergraph.yaml [output]");
  const { errors, supergraphSdl } = composeServices(readSubgraphs(input));
  if (errors?.length) {
    for (const error of errors) console.error(`${error.extensions?.code ?? "ERROR"}: ${error.message}`);
    return 1;
  }
  if (output === undefined) process.stdout.write(supergraphSdl);
  else write(output, supergraphSdl);
  return 0;
}

try {
  process.exitCode = main(process.argv.slice(2));
} catch (error) {
  console.error(`${error.name === "Error" ? "error" : error.name}: ${error.message}`);
  process.exitCode = 1;
}
