"""Runs of skills."""

from __future__ import annotations

from datetime import datetime
from typing import Self, cast

import strawberry
from strawberry.scalars import JSON

from subgraph.audit import ErrorNote, HostCallNote, RecordedInvocation
from subgraph.catalog import short_name
from subgraph.execution.invocation import Executor
from subgraph.execution.invocation import Invocation as ExecutedInvocation

strawberry.enum(
    Executor,
    description="By what a skill is run: its component, its script, or its text alone, for agents to follow.",
)


@strawberry.type(description="Why an invocation did not end well.")
class InvocationError:
    code: str = strawberry.field(
        description="Stable code, such as LIMIT_EXCEEDED or EXECUTION_FAILED. INTERRUPTED: the service ended "
        "while the skill ran, and nobody knows how far it came."
    )
    message: str = strawberry.field(description="What happened, for a person.")

    @classmethod
    def of(cls, error: ErrorNote | None) -> Self | None:
        return None if error is None else cls(code=error.code, message=error.message)


@strawberry.type(description="What a skill asked of the host during a run.")
class HostCall:
    function: str = strawberry.field(description="The capability that it needs, such as read_file.")
    target: str = strawberry.field(description="Path, address or name that it was about; never a content.")
    outcome: str = strawberry.field(description="ok, error, denied, or unknown when the run ended meanwhile.")
    elapsed_us: int = strawberry.field(description="Time that the host took, in microseconds.")

    @classmethod
    def of(cls, note: HostCallNote) -> Self:
        """Present a host call."""
        return cls(
            function=note.function, target=note.target, outcome=note.outcome, elapsed_us=note.elapsed_us
        )


@strawberry.federation.type(keys=["invocationId"], description="A run of a skill, as the ledger has it.")
class Invocation:
    invocation_id: strawberry.ID = strawberry.field(description="Identifies the run.")
    skill_name: str = strawberry.field(description="Short name of the skill.")
    actor: str = strawberry.field(description="Who asked for the run.")
    exit_code: int = strawberry.field(
        description="0; 1 the skill failed, or was cut off; 124 over time or fuel; 126 it tried what was not "
        "granted, or was revoked; 137 over memory, output or host calls."
    )
    started_at: datetime = strawberry.field(description="When the run was asked of a worker.")
    ended_at: datetime = strawberry.field(
        description="When it had ended; of a run that was cut off, when that was found."
    )
    executor: Executor = strawberry.field(description="By what the skill was run.")
    capabilities_granted: list[str] = strawberry.field(
        description="Capabilities that the run had, all of them granted."
    )
    content_hash: str = strawberry.field(description="Hash of the skill's files as they were run.")
    elapsed_us: int = strawberry.field(
        description="Time in the worker, in microseconds; 0 where it was cut off."
    )
    error: InvocationError | None = strawberry.field(description="Null when the exit code is 0.")
    host_call_count: int = strawberry.field(description="Calls of the host's functions that the run made.")
    host_calls: list[HostCall] = strawberry.field(
        description="The first of them. Of a run read from the ledger, without those that were denied or "
        "hand out a credential: they are entries of their own."
    )
    seq: strawberry.ID | None = strawberry.field(
        description="Where the run stands in the audit log, for `before` of the next page. Null in the "
        "answer to invokeSkill."
    )
    result: JSON | None = strawberry.field(
        description="What the skill answered, when it is JSON. Only in the answer to invokeSkill: the "
        "ledger keeps a hash of it."
    )
    stdout: str | None = strawberry.field(
        description="What the skill printed and answered, as text. Only in the answer to invokeSkill."
    )
    stderr: str | None = strawberry.field(
        description="What the skill printed as diagnostics. Only in the answer to invokeSkill."
    )

    @classmethod
    def executed(cls, invocation: ExecutedInvocation) -> Self:
        """Present a run that has just ended."""
        return cls(
            invocation_id=strawberry.ID(str(invocation.invocation_id)),
            skill_name=invocation.skill_name,
            actor=invocation.actor,
            exit_code=invocation.exit_code,
            started_at=invocation.started_at,
            ended_at=invocation.ended_at,
            executor=invocation.executor,
            capabilities_granted=list(invocation.capabilities),
            content_hash=invocation.content_hash,
            elapsed_us=invocation.elapsed_us,
            error=InvocationError.of(invocation.error),
            host_call_count=invocation.host_call_count,
            host_calls=[HostCall.of(note) for note in invocation.host_calls],
            seq=None,
            result=cast("JSON", invocation.result),
            stdout=invocation.stdout,
            stderr=invocation.stderr,
        )

    @classmethod
    def recorded(cls, recorded: RecordedInvocation) -> Self:
        """Present what the ledger keeps of a run."""
        entry = recorded.entry
        return cls(
            invocation_id=strawberry.ID(entry.invocation_id),
            skill_name=short_name(entry.skill),
            actor=entry.actor,
            exit_code=entry.exit_code,
            started_at=entry.started_at,
            ended_at=entry.ended_at,
            executor=Executor(entry.executor),
            capabilities_granted=list(entry.capabilities),
            content_hash=entry.content_hash,
            elapsed_us=entry.elapsed_us,
            error=InvocationError.of(entry.error),
            host_call_count=entry.host_call_count,
            host_calls=[HostCall.of(note) for note in entry.host_calls],
            seq=strawberry.ID(str(recorded.seq)),
            result=None,
            stdout=None,
            stderr=None,
        )
