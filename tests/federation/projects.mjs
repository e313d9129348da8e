// A neighbour of the skills subgraph: projects that use skills and remember their last invocation.
// Prints `ready <url>`; stops when its standard input closes.

import { readFileSync } from "node:fs";
import { ApolloServer } from "@apollo/server";
import { ApolloServerPluginInlineTraceDisabled } from "@apollo/server/plugin/disabled";
import { startStandaloneServer } from "@apollo/server/standalone";
import { buildSubgraphSchema } from "@apollo/subgraph";
import { parse } from "graphql";
import { LISTEN, ready } from "./lifecycle.mjs";

const projects = new Map([
  ["p-1", { id: "p-1", name: "Invoices", skills: ["vn-mst-validate"], lastRun: null }],
  ["p-2", { id: "p-2", name: "Payroll", skills: ["vn-mst-validate"], lastRun: null }],
  ["p-3", { id: "p-3", name: "Archive", skills: [], lastRun: null }],
]);

const resolvers = {
  Query: { project: (_, { id }) => projects.get(id) ?? null },
  Mutation: {
    recordRun: (_, { projectId, invocationId }) => {
      const project = projects.get(projectId);
      project.lastRun = { invocationId };
      return project;
    },
  },
  Project: { __resolveReference: ({ id }) => projects.get(id) ?? null },
  Skill: { usedBy: ({ name }) => [...projects.values()].filter(({ skills }) => skills.includes(name)) },
};

const typeDefs = parse(readFileSync(new URL("projects.graphql", import.meta.url), "utf8"));
const server = new ApolloServer({
  schema: buildSubgraphSchema({ typeDefs, resolvers }),
  plugins: [ApolloServerPluginInlineTraceDisabled()],
});
const { url } = await startStandaloneServer(server, { listen: LISTEN });
ready(server, url);
