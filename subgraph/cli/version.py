"""`--version`, before the commands of every program."""

from __future__ import annotations

from typing import Annotated

import typer

from subgraph import __version__


def _print(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


Version = Annotated[
    bool, typer.Option("--version", callback=_print, is_eager=True, help="Print the version and end.")
]


def options(version: Version = False) -> None:
    """Take what stands before a command."""
