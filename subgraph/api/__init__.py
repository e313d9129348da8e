"""GraphQL over HTTP: a federation subgraph, GraphiQL, and the probes of an orchestrator."""
