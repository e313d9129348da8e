"""The runs that a decision leads to: of a skill alone, or of a chain."""

from __future__ import annotations

from datetime import datetime
from typing import Self, cast

import strawberry
from strawberry.scalars import JSON

from subgraph import routing
from subgraph.api.types.invocation import InvocationError
from subgraph.audit import ChainStepNote, FinishedInvocation, InterruptedInvocation
from subgraph.chain_run import StepRun, StepStatus
from subgraph.execution.invocation import Invocation as ExecutedInvocation

strawberry.enum(
    StepStatus,
    name="ChainStepStatus",
    graphql_name_from="value",
    description="What became of one run of a chain.",
)


@strawberry.type(description="What became of a skill that a decision invoked.")
class InvocationResult:
    exit_code: int = strawberry.field(description="0, or how it failed.")
    stdout: str = strawberry.field(
        description="What the skill printed and answered; empty for a decision that is read from the log."
    )
    stderr: str = strawberry.field(
        description="What the skill printed as diagnostics; empty for a decision that is read from the log."
    )
    started_at: datetime = strawberry.field(description="When it started.")
    ended_at: datetime = strawberry.field(description="When it ended.")
    error: InvocationError | None = strawberry.field(description="Why it failed; null for exit code 0.")

    @classmethod
    def executed(cls, invocation: ExecutedInvocation) -> Self:
        """Present a run that has just ended."""
        return cls(
            exit_code=invocation.exit_code,
            stdout=invocation.stdout or "",
            stderr=invocation.stderr or "",
            started_at=invocation.started_at,
            ended_at=invocation.ended_at,
            error=InvocationError.of(invocation.error),
        )

    @classmethod
    def recorded(cls, entry: FinishedInvocation | InterruptedInvocation) -> Self:
        """Present what the ledger keeps of a run."""
        return cls(
            exit_code=entry.exit_code,
            stdout="",
            stderr="",
            started_at=entry.started_at,
            ended_at=entry.ended_at,
            error=InvocationError.of(entry.error),
        )


@strawberry.type(description="One run of a chain: of a skill that another one has run before it, or of that.")
class ChainStep:
    step_index: int = strawberry.field(description="Its place, from 0; the skill itself is last.")
    step: str = strawberry.field(description="Its name in the chain, such as buyer.")
    skill_name: str = strawberry.field(description="Path of the skill.")
    after: list[int] = strawberry.field(description="The runs that must end before it.")
    status: StepStatus = strawberry.field(description="What became of it.")
    arguments: JSON | None = strawberry.field(
        description="What went into it; null where it was not reached, and for a decision that is read back."
    )
    result: InvocationResult | None = strawberry.field(
        description="How it ended; null where it was not run, and for a decision that is read back."
    )
    invocation_id: strawberry.ID | None = strawberry.field(
        description="Its run; `invocation` has what the log keeps of that."
    )
    code: str | None = strawberry.field(description="Why it failed, such as GRANT_REQUIRED.")

    @classmethod
    def planned(cls, step: routing.PlannedStep, note: ChainStepNote | None = None) -> Self:
        """Present a run that is planned, or what the log keeps of it."""
        return cls(
            step_index=step.index,
            step=step.name,
            skill_name=step.skill_path,
            after=list(step.after),
            status=StepStatus.PLANNED if note is None else StepStatus(note.status),
            arguments=None,
            result=None,
            invocation_id=None
            if note is None or note.invocation_id is None
            else strawberry.ID(note.invocation_id),
            code=None if note is None else note.code,
        )

    @classmethod
    def executed(cls, run: StepRun) -> Self:
        """Present a run that has just ended, or was skipped."""
        presented = cls.planned(run.planned, run.note)
        presented.arguments = None if run.arguments is None else cast("JSON", dict(run.arguments))
        presented.result = None if run.invocation is None else InvocationResult.executed(run.invocation)
        return presented
