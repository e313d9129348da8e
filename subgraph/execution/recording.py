"""What becomes of a run, written to the ledger: that it was refused, that it starts, how it ended."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from subgraph.audit import (
    ErrorNote,
    FinishedInvocation,
    FurtherHostCalls,
    HostCallNote,
    Ledger,
    RefusedInvocation,
    StartedInvocation,
)
from subgraph.audit.payloads import MAX_SEALED_BYTES, Part, SubjectKey
from subgraph.capabilities import Capability, TrustTier
from subgraph.catalog import ActivatedSkill
from subgraph.errors import Overloaded, StorageUnavailable, SubgraphError
from subgraph.execution.executors import Run
from subgraph.execution.invocation import (
    Executor,
    Invocation,
    InvocationRequest,
    RunIdentity,
    parse_output,
)
from subgraph.execution.limits import ExitCode, Limits
from subgraph.execution.protocol import Reply

_PAGES_AT_ONCE = 32

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class AdmittedRun:
    """A run that passed every check, until it has ended. `version` is that of the decisions it rests
    on, `key` that of the caller."""

    identity: RunIdentity
    skill: ActivatedSkill
    request: InvocationRequest
    capabilities: tuple[Capability, ...]
    tier: TrustTier
    limits: Limits
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


class RunRecorder:
    """Writes the entries about runs. Each method raises `StorageUnavailable` and `Overloaded`."""

    def __init__(self, ledger: Ledger, *, seals: bool) -> None:
        self._ledger = ledger
        self._seals = seals

    def ensure_writable(self) -> None:
        """Raise `StorageUnavailable` when no entry could be written now."""
        self._ledger.ensure_writable()

    async def refused(
        self,
        skill: ActivatedSkill,
        request: InvocationRequest,
        refusal: SubgraphError,
        identity: RunIdentity | None = None,
    ) -> None:
        """Record that a skill did not run; `identity` is that of a run that was said to start."""
        await self._ledger.append(
            RefusedInvocation(
                actor=request.actor,
                skill=skill.header.path,
                content_hash=skill.content_hash,
                invocation_id=None if identity is None else str(identity.invocation_id),
                code=refusal.code,
                message=refusal.message,
                capabilities=request.capabilities or (),
            )
        )

    async def starts(self, admitted: AdmittedRun) -> None:
        """Record that a run which may change something outside is about to begin."""
        await self._ledger.append(
            StartedInvocation(
                actor=admitted.identity.actor,
                skill=admitted.skill.header.path,
                content_hash=admitted.skill.content_hash,
                invocation_id=str(admitted.identity.invocation_id),
                executor=admitted.executor.value,
                key_id=admitted.key.key_id,
                input_commitment=_committed(admitted, Part.INPUT, admitted.request.input),
                capabilities=tuple(map(str, admitted.capabilities)),
            )
        )

    async def finished(
        self,
        invocation: Invocation,
        admitted: AdmittedRun,
        reply: Reply,
        host_calls: tuple[HostCallNote, ...],
        further_calls: Sequence[FurtherHostCalls],
    ) -> None:
        """Record how a run ended, after the host calls for which that entry has no room.

        Raises `StorageUnavailable` with what it means for the caller.
        """
        entry = FinishedInvocation(
            actor=invocation.actor,
            skill=invocation.skill_path,
            content_hash=invocation.content_hash,
            invocation_id=str(invocation.invocation_id),
            executor=invocation.executor.value,
            exit_code=invocation.exit_code,
            started_at=invocation.started_at,
            ended_at=invocation.ended_at,
            elapsed_us=invocation.elapsed_us,
            key_id=admitted.key.key_id,
            input_commitment=_committed(admitted, Part.INPUT, admitted.request.input),
            output_commitment=None
            if reply.output is None
            else _committed(admitted, Part.OUTPUT, reply.output),
            sealed=_sealed(admitted, reply.output) if self._seals else None,
            capabilities=invocation.capabilities,
            limits_hit=() if reply.limit is None else (reply.limit,),
            memory_bytes=invocation.memory_bytes,
            error=invocation.error,
            host_calls=host_calls,
            host_call_count=invocation.host_call_count,
        )
        try:
            # In turns: the queue of the ledger is for all runs, and has room for so many at once.
            for first in range(0, len(further_calls), _PAGES_AT_ONCE):
                await asyncio.gather(*map(self._ledger.append, further_calls[first : first + _PAGES_AT_ONCE]))
            await self._ledger.append(entry)
        except (StorageUnavailable, Overloaded) as error:
            logger.exception("invocation %s ran and could not be recorded", invocation.invocation_id)
            raise StorageUnavailable(
                "the skill ran, but the database could not record it, so its answer is withheld; "
                "make sure that running it twice is harmless, and try again"
            ) from error


def _committed(admitted: AdmittedRun, part: Part, text: str) -> str:
    return admitted.key.commitment(str(admitted.identity.invocation_id), part, text.encode())


def _sealed(admitted: AdmittedRun, output: str | None) -> dict[str, dict[str, object] | None]:
    """Encrypt input and output; None stands for one that is too long for an entry."""
    parts = {Part.INPUT: admitted.request.input} | ({} if output is None else {Part.OUTPUT: output})
    invocation_id = str(admitted.identity.invocation_id)
    encoded = {part: text.encode() for part, text in parts.items()}
    return {
        part.value: admitted.key.seal(invocation_id, part, data) if len(data) <= MAX_SEALED_BYTES else None
        for part, data in encoded.items()
    }
