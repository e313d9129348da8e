"""A run that was admitted: what was found about it, and what becomes of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from subgraph.audit import ErrorNote, HostCallNote
from subgraph.audit.payloads import SubjectKey
from subgraph.capabilities import Capability, TrustTier
from subgraph.catalog import ActivatedSkill
from subgraph.errors import SubgraphError
from subgraph.execution.executors import Run
from subgraph.execution.invocation import Executor, Invocation, InvocationRequest, RunIdentity, parse_output
from subgraph.execution.limits import ExitCode, Limits
from subgraph.execution.protocol import Reply


@dataclass(slots=True)
class Admission:
    """What the checks found about a run: whose it is, of which bytes, under which trust and limits.

    `capabilities` are all that it may use.
    """

    identity: RunIdentity
    skill: ActivatedSkill
    capabilities: tuple[Capability, ...]
    tier: TrustTier
    limits: Limits


@dataclass(slots=True)
class AdmittedRun(Admission):
    """A run that passed every check, until it has ended. `version` is that of the decisions it rests
    on, `key` that of the caller."""

    request: InvocationRequest
    executor: Executor
    run: Run
    version: int
    key: SubjectKey
    started_at: datetime | None = None
    objection: SubgraphError | None = None
    ended: bool = False
    """Whether nothing of it runs any more: a revocation then finds nothing to stop, and it is recorded."""

    def note_start(self) -> None:
        """Remember when a process took it."""
        self.started_at = datetime.now(UTC)

    def stopped(self, exit_code: ExitCode, error: SubgraphError) -> Reply:
        """Say how a run ended that the service stopped after a process had taken it."""
        started_at = self.started_at or datetime.now(UTC)
        elapsed_us = (datetime.now(UTC) - started_at) // timedelta(microseconds=1)
        return Reply.stopped(exit_code, error.code, error.message, elapsed_us)

    @property
    def has_effects(self) -> bool:
        """Whether it may change or tell something outside."""
        return any(each.has_effects for each in self.capabilities)

    def outcome(self, reply: Reply, host_calls: tuple[HostCallNote, ...], count: int) -> Invocation:
        """Say how it ended, and the first of so many host calls that it made."""
        error = None
        if reply.error is not None and reply.error_code is not None:
            error = ErrorNote(code=reply.error_code, message=reply.error)
        ended_at = datetime.now(UTC)
        return Invocation(
            invocation_id=self.identity.invocation_id,
            skill_name=self.skill.header.name,
            skill_path=self.skill.header.path,
            content_hash=self.skill.content_hash,
            actor=self.identity.actor,
            executor=self.executor,
            exit_code=reply.exit_code,
            started_at=self.started_at or ended_at,
            ended_at=ended_at,
            elapsed_us=reply.elapsed_us,
            memory_bytes=reply.memory_bytes,
            capabilities=tuple(map(str, self.capabilities)),
            error=error,
            host_calls=host_calls,
            host_call_count=count,
            result=None if reply.output is None else parse_output(reply.output),
            stdout=reply.stdout + (reply.output or ""),
            stderr=reply.stderr,
        )
