"""Running a skill."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Annotated

import typer

from subgraph.capabilities import declared_capabilities
from subgraph.catalog import SkillHeader, exact_name
from subgraph.catalog.chain import ChainInvalid, parse_chain
from subgraph.cli.output import say, say_json, tell
from subgraph.cli.session import MISUSED, fail, with_service
from subgraph.execution.invocation import Executor, Invocation
from subgraph.execution.limits import ExitCode
from subgraph.principal import Principal
from subgraph.service import Service


class ExecutorChoice(StrEnum):
    """By what to run a skill."""

    AUTO = "auto"
    WASM = "wasm"
    SCRIPT = "script"
    INLINE = "inline"

    @property
    def executor(self) -> Executor | None:
        """The executor, None to leave it to the skill."""
        return None if self is ExecutorChoice.AUTO else Executor[self.name]


def run(
    skill: Annotated[str, typer.Argument(help="Short name or path of the skill.")],
    input_: Annotated[
        str | None, typer.Option("--input", help="The input, a JSON object; without it, stdin.")
    ] = None,
    executor: Annotated[
        ExecutorChoice, typer.Option(help="By what to run it; auto takes the strongest confinement it has.")
    ] = ExecutorChoice.AUTO,
    capability: Annotated[
        list[str] | None,
        typer.Option(
            help="A capability that the run needs, several times for several; without, all granted."
        ),
    ] = None,
    timeout_ms: Annotated[
        int | None, typer.Option(min=10, help="Wall time in milliseconds; can only shorten what it has.")
    ] = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Write the answer, or why there is none.")
    ] = False,
) -> None:
    """Run a skill and write its answer.

    What is done goes to stderr, the answer to stdout. Ends with the exit code of the skill: 0, 1 its own
    error, 124 over time or fuel, 126 it tried what was not granted, 137 over memory, output or host calls. A
    call that was refused ends with 1. The skill runs alone: `cyberos-cuo dispatch` runs its chain first.
    """
    text = _read_stdin() if input_ is None else input_
    if input_ is None and not text.strip():
        fail("no input: give --input '{...}', or write it to stdin", MISUSED)
    requested = tuple(capability) if capability else None

    async def work(service: Service, principal: Principal) -> Invocation:
        if not quiet:
            await _explain(service, principal, skill, requested)
        return await service.runner.invoke(
            principal, skill, text, requested, executor=executor.executor, timeout_ms=timeout_ms
        )

    invocation = with_service(work, runs_skills=True)
    if not quiet:
        _report(invocation)
    if invocation.error is not None:
        tell("error", f"{invocation.error.code}: {invocation.error.message}")
        if invocation.exit_code == ExitCode.VIOLATION:
            tell("error", "here: cyberos-skill-cli requests, then approve ID; or grant SKILL --all")
    if not quiet and executor is ExecutorChoice.AUTO and invocation.executor is Executor.INLINE:
        tell("invoke", "nothing of it may be run: this is its text, for an agent to follow")
    if invocation.result is not None:
        say_json(invocation.result)
    elif invocation.stdout:
        say(invocation.stdout.rstrip("\n"))
    raise typer.Exit(invocation.exit_code)


def _read_stdin() -> str:
    try:
        return sys.stdin.read()
    except UnicodeDecodeError:
        fail("the input on stdin is not UTF-8", MISUSED)


async def _explain(
    service: Service, principal: Principal, name: str, requested: tuple[str, ...] | None
) -> None:
    header = await service.skills.find(principal, name)
    _tell_of_chain(header)
    declared = " ".join(map(str, declared_capabilities(header.allowed_tools)))
    tell("invoke", f"skill={header.path}")
    tell("broker", f"declared allowed-tools: [{declared}]")
    if requested is None:
        declarations = await service.oversight.declared(principal, name)
        held = [each.grant.capability for each in declarations if each.grant is not None]
        tell("broker", f"requested: all that were granted: [{' '.join(held)}]")
    else:
        tell("broker", f"requested: [{' '.join(requested)}]")


def _tell_of_chain(header: SkillHeader) -> None:
    """Say that the skills which others would be run before it are not, and what runs them."""
    try:
        declared = parse_chain(header.chain)
    except ChainInvalid as error:
        tell("chain", f"it runs alone here; its chain cannot be run: {error}")
        return
    skills = sorted({step.skill for steps in declared.generations for step in steps})
    if skills:
        way = f"cyberos-cuo dispatch {exact_name(header.path)}"
        tell("chain", f"it runs alone here; {way} runs its chain first: {' '.join(skills)}")


def _report(invocation: Invocation) -> None:
    tell("broker", f"ok: the run has [{' '.join(invocation.capabilities)}]")
    if invocation.host_call_count:
        tell("host", f"calls of the host: {invocation.host_call_count}")
    for call in invocation.host_calls:
        tell("host", f"{call.function}({call.target}) {call.outcome}")
    if invocation.stderr:
        tell("skill", invocation.stderr)
    tell(
        "invoke",
        f"executor={invocation.executor.value.lower()}  elapsed_ms={invocation.elapsed_us / 1000:.1f}  "
        f"exit_code={invocation.exit_code}  invocation={invocation.invocation_id}",
    )
