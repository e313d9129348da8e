// A federation gateway on loopback: node gateway.mjs supergraph.graphql
// Prints `ready <url>`; stops when its standard input closes.

import { readFileSync } from "node:fs";
import { ApolloGateway } from "@apollo/gateway";
import { ApolloServer } from "@apollo/server";
import { startStandaloneServer } from "@apollo/server/standalone";
import { LISTEN, ready } from "./lifecycle.mjs";

const gateway = new ApolloGateway({ supergraphSdl: readFileSync(process.argv[2], "utf8") });
const server = new ApolloServer({ gateway });
const { url } = await startStandaloneServer(server, { listen: LISTEN });
ready(server, url);
