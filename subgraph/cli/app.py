"""The commands, put together."""

from __future__ import annotations

import logging
from collections.abc import Callable

import typer

from subgraph.cli import audit, authoring, catalogue, decisions, history, log_checks, running
from subgraph.cli.version import options

app = typer.Typer(
    name="cyberos-skill-cli",
    help="List, check and run Agent Skills, and decide what they may do. It works on the same catalogue, "
    "grants and audit trail as the service, by the same CYBEROS_* settings; the service need not run.",
    epilog="docs/cli.md explains every command.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

COMMANDS = (
    catalogue.list_,
    catalogue.inspect,
    catalogue.validate,
    catalogue.prompt,
    running.run,
    decisions.grant,
    decisions.revoke_capability,
    decisions.requests,
    decisions.approve,
    decisions.deny,
    decisions.revoke,
    decisions.reinstate,
    decisions.trust,
    decisions.limits,
    history.view,
    history.kpis,
    authoring.new,
    authoring.build,
    authoring.fixtures,
)


def name_of(command: Callable[..., None]) -> str:
    """Name a command as it is typed; a trailing underscore keeps it apart from a name of Python's."""
    return command.__name__.rstrip("_").replace("_", "-")


for command in COMMANDS:
    app.command(name_of(command))(command)


audit.app.command()(log_checks.verify)
audit.app.command()(log_checks.fsck)
app.add_typer(audit.app, name="audit")


app.callback()(options)


def main() -> None:
    """Run the command line; ends the process: 0, 1 when it was refused, 2 for a mistake in the command.

    `run` ends with the exit code of the skill.
    """
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    app()


if __name__ == "__main__":
    main()
