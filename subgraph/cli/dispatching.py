"""Running a skill by name after those that it has run before it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from subgraph.chain_run import ChainRun
from subgraph.cli.formats import AsFormat, Format
from subgraph.cli.output import say_json
from subgraph.cli.routed import run_as_json, say_run, tell_error
from subgraph.cli.session import MISUSED, REFUSED, fail, with_service
from subgraph.principal import Principal
from subgraph.service import Service

_STDIN = "-"
_FILE = "@"


def dispatch(
    skill: Annotated[str, typer.Argument(help="Short name or path of the skill.")],
    arguments: Annotated[
        str | None,
        typer.Option(
            metavar="JSON|-|@FILE",
            help="A JSON object, - for stdin, or a file; without it, stdin. They are named as `route` does.",
        ),
    ] = None,
    format_: AsFormat = Format.TEXT,
) -> None:
    """Run a skill after the skills that it has run before it, its chain.

    It is what `route --invoke` does with the skill that it picks, for one that you name. Ends with the exit
    code of the skill, and with 1 where a step of the chain stopped it. Each run is recorded, as every run is.
    """
    given = _read(_STDIN if arguments is None else arguments)

    async def work(service: Service, principal: Principal) -> ChainRun:
        return await service.dispatcher.dispatch_chain(principal, skill, given)

    done = with_service(work, runs_skills=True)
    if format_ is Format.JSON:
        say_json({"skillName": done.steps[-1].planned.skill_path, **run_as_json(done)})
    else:
        say_run(done)
    tell_error(done.error)
    raise typer.Exit(REFUSED if done.invocation is None else done.invocation.exit_code)


def _read(source: str) -> dict[str, Any]:
    """Read a JSON object from where it is; the service looks at its size and depth."""
    try:
        if source == _STDIN:
            source = sys.stdin.read()
        elif source.startswith(_FILE):
            source = Path(source.removeprefix(_FILE)).read_bytes().decode()
        if not source.strip():
            fail("no arguments: give --arguments '{...}', or write them to stdin", MISUSED)
        given = json.loads(source)
    except OSError as error:
        fail(f"{error.filename}: {error.strerror}", MISUSED)
    except UnicodeDecodeError:
        fail("the arguments are not UTF-8", MISUSED)
    except (ValueError, RecursionError) as error:
        fail(f"the arguments are not JSON: {error}", MISUSED)
    if not isinstance(given, dict):
        fail("arguments are a JSON object", MISUSED)
    return given
