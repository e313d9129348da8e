"""What becomes of a run, written to the ledger: that it was refused, that it starts, how it ended."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from subgraph.audit import (
    FinishedInvocation,
    FurtherHostCalls,
    HostCallNote,
    Ledger,
    RefusedInvocation,
    StartedInvocation,
)
from subgraph.audit.payloads import MAX_SEALED_BYTES, Part
from subgraph.catalog import ActivatedSkill
from subgraph.errors import Overloaded, StorageUnavailable, SubgraphError
from subgraph.execution.admission import AdmittedRun
from subgraph.execution.invocation import Invocation, InvocationRequest, RunIdentity
from subgraph.execution.protocol import Reply

_PAGES_AT_ONCE = 32

logger = logging.getLogger(__name__)


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
