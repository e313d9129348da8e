"""Deciding what skills may do, and looking at what was decided."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated
from uuid import UUID

import typer

from subgraph.capabilities import CapabilityRequest, Grant, RequestState, TrustTier, parse_capability
from subgraph.capabilities.vocabulary import describe
from subgraph.catalog import exact_name
from subgraph.cli.catalogue import AsJson, named_limits
from subgraph.cli.output import say, say_json, table
from subgraph.cli.session import MISUSED, fail, with_service
from subgraph.errors import InputInvalid, SubgraphError
from subgraph.execution.invocation import Executor
from subgraph.oversight import SkillTrust
from subgraph.principal import Principal
from subgraph.service import Service
from subgraph.settings import MIB

SkillName = Annotated[str, typer.Argument(help="Short name or path of the skill.")]
Note = Annotated[str | None, typer.Option(help="Why; kept in the audit trail.")]
Reviewed = Annotated[
    str | None,
    typer.Option(
        "--reviewed", metavar="HASH", help="Content hash that was reviewed: refuse if it has changed since."
    ),
]


def grant(
    skill: SkillName,
    capability: Annotated[
        str | None, typer.Argument(help="A capability that it declares, such as 'read_file(invoices/**)'.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All that it declares.")] = False,
    reviewed: Reviewed = None,
) -> None:
    """Grant a capability, or all, for the files that the skill has now."""
    if (capability is None) is not everything:
        fail("name one capability, or --all", MISUSED)

    async def work(service: Service, principal: Principal) -> list[Grant]:
        if capability is None:
            return await service.oversight.grant_all(principal, skill, reviewed)
        return [await service.oversight.grant(principal, skill, capability, reviewed)]

    grants = with_service(work)
    for each in grants:
        what = describe(parse_capability(each.capability))
        say(f"granted {each.capability} to {each.skill_path}: it {what}")
    if not grants:
        say("it declares nothing that could be granted")


def revoke_capability(
    skill: SkillName, capability: Annotated[str, typer.Argument(help="As it was granted.")]
) -> None:
    """Take one capability back; a run that has it loses it too."""

    async def work(service: Service, principal: Principal) -> Grant:
        return await service.oversight.revoke_capability(principal, skill, capability)

    taken = with_service(work)
    say(f"{taken.skill_path} no longer has {taken.capability}")


class State(StrEnum):
    """What became of a request; `all` for each of them."""

    PENDING = "pending"
    APPROVED = "approved"
    DENIED = "denied"
    ALL = "all"


def requests(
    state: Annotated[State, typer.Option(help="Which ones.")] = State.PENDING, as_json: AsJson = False
) -> None:
    """List requests for capabilities that calls have left, for you to answer.

    IDs are shown as far as it takes to tell them apart; `approve` and `deny` take that. JSON has them whole.
    """
    wanted = None if state is State.ALL else RequestState(state.value)

    async def work(service: Service, principal: Principal) -> list[tuple[CapabilityRequest, bool]]:
        requests = await service.oversight.requests(principal, wanted)
        return [(each, await _is_current(service, principal, each)) for each in requests]

    answers = with_service(work)
    found = [each for each, _ in answers]
    if as_json:
        say_json(
            [
                {
                    "id": str(each.request_id),
                    "skill": each.skill_path,
                    "capability": each.capability,
                    "content_hash": each.content_hash,
                    "requested_by": each.requested_by,
                    "requested_at": each.requested_at,
                    "state": each.state.value,
                    "answered_by": each.answered_by,
                    "note": each.note,
                }
                for each in found
            ]
        )
        return
    short = _short_ids(found)
    table(
        ("id", "skill", "capability", "requested by", "state"),
        (
            (
                short[each.request_id],
                each.skill_path,
                each.capability,
                each.requested_by,
                each.state.value if current else f"{each.state.value}, files changed since",
            )
            for each, current in answers
        ),
    )
    say(f"\n{len(found)} {'request' if len(found) == 1 else 'requests'}")
    if any(each.state is RequestState.PENDING for each in found):
        say("answer with approve ID or deny ID")


_SHORT_ID = 8
"""Digits of an ID that are shown at least: what fits beside all else, and is likely to stay the only one."""


def _short_ids(requests: Sequence[CapabilityRequest]) -> dict[UUID, str]:
    """Shorten the IDs to beginnings of one length that no other one of these has."""
    ids = {each.request_id for each in requests}
    longest = len(str(UUID(int=0)))
    length = next(
        (n for n in range(_SHORT_ID, longest) if len({str(each)[:n] for each in ids}) == len(ids)), longest
    )
    return {each: str(each)[:length] for each in ids}


async def _is_current(service: Service, principal: Principal, request: CapabilityRequest) -> bool:
    """Whether a request is for the files that its skill has now."""
    try:
        skill = await service.skills.read(principal, exact_name(request.skill_path))
    except SubgraphError:
        return False
    return skill.content_hash == request.content_hash


RequestId = Annotated[
    str, typer.Argument(help="ID of the request, or how it begins; `requests` lists them.", metavar="ID")
]


def approve(request: RequestId, note: Note = None) -> None:
    """Grant what a request asks for."""
    _answer(request, True, note)


def deny(request: RequestId, note: Note = None) -> None:
    """Say no to a request; the same call is then told so, and nobody is asked again."""
    _answer(request, False, note)


def _answer(beginning: str, approved: bool, note: str | None) -> None:
    async def work(service: Service, principal: Principal) -> CapabilityRequest:
        waiting = await service.oversight.requests(principal, RequestState.PENDING)
        found = [each for each in waiting if str(each.request_id).startswith(beginning.lower())]
        if len(found) != 1:
            many = "several requests begin so" if found else "no request with this ID waits for an answer"
            raise InputInvalid(f"{many}; `requests` lists them. What was denied can be granted all the same")
        return await service.oversight.answer(principal, found[0].request_id, approve=approved, note=note)

    answered = with_service(work)
    say(f"{answered.state.value}: {answered.capability} for {answered.skill_path}")


def revoke(skill: SkillName, note: Note = None) -> None:
    """Revoke a skill: every call of it is refused from now on, and what runs is stopped."""

    async def work(service: Service, principal: Principal) -> str:
        return (await service.oversight.revoke(principal, skill, note)).path

    say(f"revoked {with_service(work)}")


def reinstate(skill: SkillName, note: Note = None) -> None:
    """Take the revocation of a skill back."""

    async def work(service: Service, principal: Principal) -> str:
        return (await service.oversight.reinstate(principal, skill, note)).path

    say(f"reinstated {with_service(work)}")


class TierChoice(StrEnum):
    """Tiers that can be decided; builtin is for the skills that are."""

    BUILTIN = "builtin"
    LOCAL = "local"
    VERIFIED = "verified"
    UNTRUSTED = "untrusted"


def trust(
    skill: SkillName,
    tier: Annotated[
        TierChoice,
        typer.Argument(
            help="How far it is trusted from now on; builtin gives a skill that ships with the service "
            "its own tier back."
        ),
    ],
    reviewed: Reviewed = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
) -> None:
    """Move a skill to another trust tier, after saying what that opens."""
    wanted = TrustTier[tier.name]

    async def work(service: Service, principal: Principal) -> SkillTrust | None:
        shown = (await service.skills.read(principal, skill)).content_hash
        if (await service.oversight.trust_of(principal, skill)).tier is wanted:
            return None
        say(await service.oversight.what_trust_opens(principal, skill, wanted))
        if not yes and not typer.confirm("Go on?"):
            return None
        # Not what lies there once somebody has answered, but what the question was about.
        return await service.oversight.trust(principal, skill, wanted, reviewed or shown)

    decided = with_service(work)
    say("nothing was changed" if decided is None else f"it is {decided.tier.value} now")


class OnlyExecutor(StrEnum):
    """By what alone a skill may run: each that there is."""

    WASM = "wasm"
    SCRIPT = "script"
    INLINE = "inline"


def limits(
    skill: SkillName,
    time_ms: Annotated[int | None, typer.Option(min=10, help="Wall time, in milliseconds.")] = None,
    memory_mib: Annotated[int | None, typer.Option(min=1, help="Memory, in MiB.")] = None,
    output_bytes: Annotated[int | None, typer.Option(min=1024, help="Answer and output, in bytes.")] = None,
    fuel: Annotated[int | None, typer.Option(min=1, help="Computing, in units of Wasmtime.")] = None,
    host_calls: Annotated[int | None, typer.Option(min=0, help="Calls of the host's functions.")] = None,
    executor: Annotated[
        list[OnlyExecutor] | None,
        typer.Option(
            help="By what alone it may run, several times for several; without, all of its trust tier."
        ),
    ] = None,
    reset: Annotated[bool, typer.Option("--reset", help="As its trust tier has it.")] = False,
) -> None:
    """Set what one run of a skill may use, in place of all that was set for it before."""
    chosen = {
        "time_ms": time_ms,
        "memory_bytes": None if memory_mib is None else memory_mib * MIB,
        "output_bytes": output_bytes,
        "fuel": fuel,
        "host_calls": host_calls,
    }
    given = {name: value for name, value in chosen.items() if value is not None}
    if reset is bool(given or executor):
        fail("name limits and executors, or --reset, not both", MISUSED)
    executors = None if not executor else frozenset(Executor[each.name] for each in executor)

    async def work(service: Service, principal: Principal) -> SkillTrust:
        return await service.oversight.limit(principal, skill, given, executors)

    policy = with_service(work).policy
    names = " ".join(sorted(each.value.lower() for each in policy.executors))
    values = "  ".join(
        f"{name}={'uncounted' if value is None else value}"
        for name, value in named_limits(policy.limits).items()
    )
    say(f"{values}  executors={names}")


_SINCE = re.compile(r"([1-9][0-9]{0,5})([mhd])")
_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}


def parse_since(text: str, now: datetime) -> datetime:
    """Read `7d`, `24h`, `30m` before now, or a date or time of ISO 8601, in UTC where it names no zone."""
    found = _SINCE.fullmatch(text)
    try:
        if found:
            return now - int(found[1]) * _UNITS[found[2]]
        moment = datetime.fromisoformat(text)
        return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        fail(f"{text!r} is no time: write 30m, 24h, 7d, or a date as 2026-11-01", MISUSED)
