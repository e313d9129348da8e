"""`python -m subgraph.cli`, where the command `cyberos-skill-cli` is not installed."""

from subgraph.cli.app import main

main()
