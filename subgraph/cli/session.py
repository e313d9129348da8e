"""One command's use of the service: opened, asked as this account, and closed."""

from __future__ import annotations

import asyncio
import os
import pwd
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NoReturn, TypeVar

import typer

from subgraph.cli.output import say
from subgraph.directories import prepare_directories
from subgraph.errors import GrantDenied, SubgraphError
from subgraph.principal import Principal, Scope, account_actor
from subgraph.service import Service
from subgraph.settings import load_settings

REFUSED, MISUSED = 1, 2
"""Exit codes of a command that was refused, and of one that makes no sense."""

_HINTS = {
    "SKILL_NOT_FOUND": "list",
    "SKILL_AMBIGUOUS": "list",
    "SKILL_REVOKED": "reinstate SKILL",
    "GRANT_REQUIRED": "grant SKILL CAPABILITY, or approve ID; requests lists what waits",
    "GRANT_STALE": "inspect SKILL, then grant or revoke-capability",
}
"""What a message, which is made for every surface, means at this one."""

_DENIED_HINT = "grant SKILL CAPABILITY; approve is for what waits"

T = TypeVar("T")


def with_service(
    work: Callable[[Service, Principal], Awaitable[T]],
    *,
    runs_skills: bool = False,
    workspace: Path | None = None,
) -> T:
    """Open the service, do something with it, and close it; `workspace` replaces the configured one.

    What it refuses is said on stderr and ends the process with `REFUSED`.
    """

    service = _service(runs_skills=runs_skills, workspace=workspace)

    async def session() -> T:
        async with service:
            return await work(service, operator())

    try:
        return asyncio.run(session())
    except SubgraphError as error:
        hint = _DENIED_HINT if isinstance(error, GrantDenied) else _HINTS.get(error.code)
        lines = [f"{error.code}: {error.message}", *([f"here: cyberos-skill-cli {hint}"] if hint else [])]
        lines += [] if error.request_id is None else [f"request: {error.request_id}"]
        fail("\n".join(lines), REFUSED)


def _service(*, runs_skills: bool, workspace: Path | None) -> Service:
    """Make the service as the settings say, or end the process with what is wrong with them."""
    try:
        settings = load_settings(os.environ)
        if workspace is not None:
            settings = settings.model_copy(update={"workspace": workspace})
        service = Service(settings, runs_skills=runs_skills, loads_clients=False)
        prepare_directories(settings)
    except ValueError as error:
        fail(str(error), MISUSED)
    return service


def operator() -> Principal:
    """Return who runs this process: whoever may read the service's files may decide as its operator."""
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        name = f"uid-{os.getuid()}"
    return Principal(account_actor(name), frozenset(Scope))


def confirm(consequence: str, *, yes: bool) -> None:
    """Say what will not be undone, and have somebody at a terminal agree; `yes` is for scripts.

    Ends the process with `MISUSED` where there is nobody to ask, and with `REFUSED` for a no.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        fail(
            f"{consequence}\nThere is no terminal to ask at; nothing was done. Give --yes to go on.", MISUSED
        )
    say(consequence, file=sys.stderr)
    if not typer.confirm("Go on?", err=True):
        fail("nothing was done", REFUSED)


def fail(message: str, exit_code: int) -> NoReturn:
    """Say what is wrong on stderr, and end the process."""
    say(message, file=sys.stderr)
    raise typer.Exit(exit_code)
