"""The one way in: whoever asks for a run of a skill goes through every check here, in this order."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import uuid
from collections.abc import Coroutine
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, NamedTuple, Self

from subgraph.audit import ErrorNote, FinishedInvocation, Ledger, RefusedInvocation
from subgraph.capabilities import Broker, Capability, parse_capability
from subgraph.catalog import ActivatedSkill, Catalog
from subgraph.errors import (
    CapabilityDenied,
    ExecutionFailed,
    GrantRequired,
    GrantStale,
    Overloaded,
    SkillRevoked,
    StorageUnavailable,
)
from subgraph.execution.engine import machine_code_key
from subgraph.execution.invocation import Executor, Invocation, InvocationRequest, parse_output
from subgraph.execution.limits import Limits
from subgraph.execution.machine_code import MachineCodeCache
from subgraph.execution.pool import WorkerPool
from subgraph.execution.protocol import Reply
from subgraph.single_flight import SingleFlight

_REFUSALS = (SkillRevoked, CapabilityDenied, GrantStale, GrantRequired)
"""Refusals that the audit trail keeps: somebody asked for what nobody allowed."""


class _Prepared(NamedTuple):
    """The component of a skill that workers have: its digest, and the key of its machine code."""

    component: str
    key: str


logger = logging.getLogger(__name__)


class Invoker:
    """Runs skills. Use it as an async context manager: its end waits for the runs that have started."""

    def __init__(
        self,
        *,
        catalog: Catalog,
        broker: Broker,
        machine_code: MachineCodeCache,
        pool: WorkerPool,
        ledger: Ledger,
        limits: Limits,
        landlock: bool,
    ) -> None:
        self._catalog = catalog
        self._broker = broker
        self._machine_code = machine_code
        self._pool = pool
        self._ledger = ledger
        self._limits = limits
        self._landlock = landlock
        self._running: set[asyncio.Task[Invocation]] = set()
        self._preparing: SingleFlight[str, str] = SingleFlight()
        self._prepared: dict[str, _Prepared] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.gather(*self._running, return_exceptions=True)

    async def invoke(self, request: InvocationRequest) -> Invocation:
        """Run a skill once; return when how it ended is durable in the ledger.

        1. The skill as its files are at this moment.
        2. The broker: not revoked, requested ⊆ declared ⊆ granted for these files. Refusals are recorded.
        3. A skill that the operator did not choose runs only where the kernel confines it in full.
        4. The ledger can take the entry.
        5. Workers have the component.
        6. The run. From here on a caller that goes away no longer matters: it will be recorded.
        7. The entry is durable before the caller has the answer.

        Raises a `SubgraphError` when the skill was refused before it started. When the entry could not be
        written, raises `StorageUnavailable` although the skill ran: an answer nobody could account for
        is withheld.
        """
        # 1.
        skill = await self._catalog.activate(request.skill)
        # 2.
        try:
            capabilities = tuple(map(parse_capability, request.capabilities))
            self._broker.check(skill, capabilities)
        except _REFUSALS as refusal:
            await self._record_refusal(skill, request, refusal)
            raise
        # 3.
        if not self._landlock and not skill.header.trusted:
            raise ExecutionFailed(
                f"{skill.header.path} is not trusted, and this kernel has no Landlock to confine it with; "
                "use a kernel with Landlock (5.13 or newer), or add the skill to CYBEROS_SKILL_ROOTS"
            )
        # 4.
        self._ledger.ensure_writable()
        # 5.
        key = await self._prepare(skill)
        # 6. and 7.
        return await self._detached(self._run(skill, key, request, capabilities))

    async def _detached(self, run: Coroutine[Any, Any, Invocation]) -> Invocation:
        task = asyncio.get_running_loop().create_task(run)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return await asyncio.shield(task)

    async def _record_refusal(
        self,
        skill: ActivatedSkill,
        request: InvocationRequest,
        refusal: SkillRevoked | CapabilityDenied | GrantStale | GrantRequired,
    ) -> None:
        await self._ledger.append(
            RefusedInvocation(
                actor=request.actor,
                skill=skill.header.path,
                content_hash=skill.content_hash,
                code=refusal.code,
                message=refusal.message,
                capabilities=request.capabilities,
            )
        )

    async def _prepare(self, skill: ActivatedSkill) -> str:
        """Have workers load the skill's component; return its key. Costs nothing after the first time."""
        digest = skill.component_digest
        path = skill.header.path
        if digest is None:
            raise ExecutionFailed(f"{path} has no component to run; build dist/skill.wasm")
        prepared = self._prepared.get(path)
        if prepared is not None and prepared.component == digest and self._pool.is_loaded(prepared.key):
            return prepared.key
        key = await self._preparing.run(digest, lambda: self._load(skill, digest))
        self._prepared[path] = _Prepared(digest, key)
        if prepared is not None and all(other.key != prepared.key for other in self._prepared.values()):
            await self._pool.unload(prepared.key)
        return key

    async def _load(self, skill: ActivatedSkill, digest: str) -> str:
        key = machine_code_key(digest)
        if not self._pool.is_loaded(key):
            component = await asyncio.to_thread(skill.component)
            await self._pool.load(key, await self._machine_code.get(key, component))
        return key

    async def _run(
        self,
        skill: ActivatedSkill,
        key: str,
        request: InvocationRequest,
        capabilities: tuple[Capability, ...],
    ) -> Invocation:
        started_at = datetime.now(UTC)
        reply = await self._pool.call(key, request.input, self._limits)
        invocation = _invocation(skill, request.actor, capabilities, reply, started_at)
        await self._record(invocation, request, reply)
        return invocation

    async def _record(self, invocation: Invocation, request: InvocationRequest, reply: Reply) -> None:
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
            input_sha256=_sha256(request.input),
            output_sha256=None if reply.output is None else _sha256(reply.output),
            capabilities=invocation.capabilities,
            limits_hit=() if reply.limit is None else (reply.limit,),
            memory_bytes=invocation.memory_bytes,
            error=invocation.error,
        )
        try:
            await self._ledger.append(entry)
        except (StorageUnavailable, Overloaded) as error:
            logger.exception("invocation %s ran and could not be recorded", invocation.invocation_id)
            raise StorageUnavailable(
                "the skill ran, but the database could not record it, so its answer is withheld; "
                "make sure that running it twice is harmless, and try again"
            ) from error


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _invocation(
    skill: ActivatedSkill,
    actor: str,
    capabilities: tuple[Capability, ...],
    reply: Reply,
    started_at: datetime,
) -> Invocation:
    error = None
    if reply.error is not None and reply.error_code is not None:
        error = ErrorNote(code=reply.error_code, message=reply.error)
    return Invocation(
        invocation_id=uuid.uuid4(),
        skill_name=skill.header.name,
        skill_path=skill.header.path,
        content_hash=skill.content_hash,
        actor=actor,
        executor=Executor.WASM,
        exit_code=reply.exit_code,
        started_at=started_at,
        ended_at=datetime.now(UTC),
        elapsed_us=reply.elapsed_us,
        memory_bytes=reply.memory_bytes,
        capabilities=tuple(map(str, capabilities)),
        error=error,
        result=None if reply.output is None else parse_output(reply.output),
        stdout=reply.stdout + (reply.output or ""),
        stderr=reply.stderr,
    )
