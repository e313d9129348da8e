"""Agent Skills as confined WebAssembly behind one GraphQL federation subgraph."""

__version__ = "0.1.0"
