"""The one way in: whoever asks for a run of a skill goes through every check here, in this order."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Collection, Coroutine, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

from subgraph.audit import Ledger, SubjectKeys
from subgraph.capabilities import Authority, Broker, Capability, TrustTier, parse_capability
from subgraph.catalog import ActivatedSkill, Catalog, Snapshots
from subgraph.errors import (
    CapabilityDenied,
    ExecutionFailed,
    GrantRequired,
    GrantStale,
    SkillRevoked,
    SourceInvalid,
    StorageUnavailable,
    SubgraphError,
)
from subgraph.execution.admission import AdmittedRun
from subgraph.execution.executors import Order, SkillExecutor
from subgraph.execution.granted_directories import reads_own_files
from subgraph.execution.host import HostServices
from subgraph.execution.host_session import HostSession
from subgraph.execution.invocation import Executor, Invocation, InvocationRequest, RunIdentity
from subgraph.execution.limits import ExitCode, Limits
from subgraph.execution.protocol import Reply
from subgraph.execution.recording import RunRecorder
from subgraph.execution.tiers import RunPolicy, TierPolicies

_REFUSALS = (SkillRevoked, CapabilityDenied, GrantStale, GrantRequired)
"""Refusals that the audit trail keeps: somebody asked for what nobody allowed."""

_BY_PREFERENCE = (Executor.WASM, Executor.SCRIPT, Executor.INLINE)
"""What a skill is run by when nobody says: the strongest confinement that it can run in."""


SHUTDOWN_SECONDS = 8.0
"""How long runs may go on when the service is stopped; others are then stopped, and recorded as failed."""


class Invoker:
    """Runs skills. Use it as an async context manager: its end waits for the runs that have started."""

    def __init__(
        self,
        *,
        catalog: Catalog,
        authority: Authority,
        broker: Broker,
        executors: Mapping[Executor, SkillExecutor],
        policies: TierPolicies,
        services: HostServices,
        snapshots: Snapshots,
        ledger: Ledger,
        subjects: SubjectKeys,
        landlock: bool,
    ) -> None:
        self._catalog = catalog
        self._authority = authority
        self._broker = broker
        self._executors = executors
        self._policies = policies
        self._services = services
        self._snapshots = snapshots
        self._ledger = ledger
        self._subjects = subjects
        self._recorder = RunRecorder(ledger, seals=subjects.encrypts)
        self._landlock = landlock
        self._running: dict[asyncio.Task[Invocation], AdmittedRun] = {}
        authority.when_changed(self._stop_what_may_not_run)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._running:
            return
        _, pending = await asyncio.wait(self._running, timeout=SHUTDOWN_SECONDS)
        for task in pending:
            admitted = self._running.get(task)
            if admitted is not None and not admitted.ended and admitted.objection is None:
                admitted.objection = ExecutionFailed("the service was stopped while the skill ran")
                task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)

    async def invoke(self, request: InvocationRequest) -> Invocation:
        """Run a skill once; return when how it ended is durable in the ledger.

        1. The skill as its files are at this moment.
        2. The broker: not revoked, requested ⊆ declared ⊆ granted for these files. Refusals are recorded, and
           an operator is asked for what nobody has granted yet.
        3. The executor is one that the skill's trust tier allows. A skill that the operator did not choose
           runs only where the kernel confines it in full.
        4. The ledger can take the entry, and there is a key for what it says of input and output.
        5. What every run of the skill needs is done: workers have the component, say. Whoever asks for a
           skill whose component cannot be run is recorded: an attack on the compiler looks like that.
        6. If the run may change something outside, an entry says so first. From here on a caller that goes
           away no longer matters: how it ends will be recorded.
        7. The run.
        8. The entry is durable before the caller has the answer.

        Raises a `SubgraphError` when the skill was refused before it started. When the entry could not be
        written, raises `StorageUnavailable` although the skill ran: an answer nobody could account for
        is withheld.
        """
        # 1.
        skill = await self._catalog.activate(request.skill)
        # 2.
        version = self._authority.version
        capabilities = await self._admitted(skill, request, frozenset())
        # 3.
        tier = self._broker.tier(skill)
        policy = self._policy(skill, tier)
        executor = self._choose(skill, request.executor, policy, tier)
        # 4.
        self._recorder.ensure_writable()
        key = await self._subjects.of(request.actor)
        # 5.
        try:
            run = await self._executors[executor].prepare(skill, policy.profile)
        except (SourceInvalid, ExecutionFailed) as failure:
            await self._recorder.refused(skill, request, failure)
            raise
        admitted = AdmittedRun(
            identity=RunIdentity(uuid.uuid4(), request.actor),
            skill=skill,
            request=request,
            capabilities=capabilities,
            tier=tier,
            limits=_shortened(policy.limits, request.timeout_ms),
            executor=executor,
            run=run,
            version=version,
            key=key,
        )
        session = await self._session(admitted)
        # 6. to 8.
        return await self._detached(self._run(admitted, session), admitted)

    async def check(self, request: InvocationRequest, needed: Collection[str] | None) -> None:
        """Refuse a skill as step 2 of `invoke` does, and one that has nothing granted of what it needs.

        `needed` are names of capabilities that it declares, None for all of them; a text that agents follow
        needs none of this host. Nothing is run.
        """
        skill = await self._catalog.activate(request.skill)
        if next(self._possible(skill, self._policy(skill, self._broker.tier(skill))), Executor.INLINE) is (
            Executor.INLINE
        ):
            needed = ()
        await self._admitted(skill, request, needed)

    async def _admitted(
        self, skill: ActivatedSkill, request: InvocationRequest, needed: Collection[str] | None
    ) -> tuple[Capability, ...]:
        """Return the capabilities that a run may use; a refusal is recorded."""
        requested: tuple[Capability, ...] = ()
        try:
            if request.capabilities is not None:
                requested = tuple(map(parse_capability, request.capabilities))
            capabilities = self._broker.check(skill, None if request.capabilities is None else requested)
            self._broker.check_held(skill, needed)
        except _REFUSALS as refusal:
            await self._recorder.refused(skill, request, refusal)
            if isinstance(refusal, GrantRequired | GrantStale):
                held = self._broker.lacking(skill, needed)
                await self._ask_operator(skill, (*requested, *held), request.actor)
            raise
        return capabilities

    async def make_ready(self, name: str) -> bool:
        """Do what every run of a skill needs before anybody calls it; say whether it could be run now.

        Raises as `Catalog.activate`, and `SourceInvalid` and `ExecutionFailed` as executors do.
        """
        skill = await self._catalog.activate(name)
        tier = self._broker.tier(skill)
        policy = self._policy(skill, tier)
        if self._authority.revocation_of(skill.header.path) is not None:
            return False
        executor = self._choose(skill, None, policy, tier)
        await self._executors[executor].prepare(skill, policy.profile)
        return True

    def _policy(self, skill: ActivatedSkill, tier: TrustTier) -> RunPolicy:
        decision = self._authority.limits_of(skill.header.path)
        return self._policies.of(tier, decision, skill.content_hash)

    async def _detached(self, run: Coroutine[Any, Any, Invocation], admitted: AdmittedRun) -> Invocation:
        task = asyncio.get_running_loop().create_task(run)
        self._running[task] = admitted
        task.add_done_callback(self._forget)
        return await asyncio.shield(task)

    def _forget(self, done: asyncio.Task[Invocation]) -> None:
        self._running.pop(done, None)
        if not done.cancelled():
            done.exception()  # whoever asked may have gone; it was recorded, and is nothing for the log

    def _choose(
        self, skill: ActivatedSkill, wanted: Executor | None, policy: RunPolicy, tier: TrustTier
    ) -> Executor:
        """Choose the executor. Raises `ExecutionFailed` when the skill cannot run, or must not."""
        path = skill.header.path
        choice = wanted or next(self._possible(skill, policy), Executor.INLINE)
        if choice not in policy.executors:
            allowed = ", ".join(sorted(each.value for each in policy.executors)) or "nothing"
            raise ExecutionFailed(
                f"{path} is {tier.value} and may be run by {allowed}, not by {choice.value}; an operator can "
                "change its trust or its limits"
            )
        if not self._executors[choice].can_run(skill):
            raise ExecutionFailed(f"{path} has nothing to run by {choice.value}")
        if not self._confinable(choice, tier):
            raise ExecutionFailed(
                f"{path} is not trusted, and this kernel has no Landlock to confine it with; "
                "use a kernel with Landlock (5.13 or newer), or add the skill to CYBEROS_SKILL_ROOTS"
            )
        return choice

    def executors_of(self, skill: ActivatedSkill) -> list[Executor]:
        """Return by what a skill can be run under its trust, in the order of preference."""
        tier = self._broker.tier(skill)
        possible = self._possible(skill, self._policy(skill, tier))
        return [each for each in possible if self._confinable(each, tier)]

    def _possible(self, skill: ActivatedSkill, policy: RunPolicy) -> Iterator[Executor]:
        for each in _BY_PREFERENCE:
            if each in policy.executors and self._executors[each].can_run(skill):
                yield each

    def _confinable(self, executor: Executor, tier: TrustTier) -> bool:
        return executor is Executor.INLINE or self._landlock or tier.trusted

    async def _run(self, admitted: AdmittedRun, session: HostSession) -> Invocation:
        order = Order(
            admitted.skill,
            admitted.request.input,
            admitted.limits,
            admitted.capabilities,
            session,
            admitted.note_start,
        )
        try:
            reply = await self._until_ended(admitted, order)
        except asyncio.CancelledError:
            if admitted.objection is None:
                raise
            reply = await self._end_of_stopped(admitted, admitted.objection)
        except SubgraphError as error:
            if admitted.started_at is None or not isinstance(error, StorageUnavailable):
                # An entry that says that it starts must not be the last that is heard of it.
                if admitted.has_effects or isinstance(error, _REFUSALS):
                    await self._recorder.refused(
                        admitted.skill, admitted.request, error, _announced(admitted)
                    )
                raise
            # A host call that could not be checked or recorded: those before it were done, and are recorded.
            reply = admitted.stopped(ExitCode.FAILED, error)
        # 8.
        if reply.error is not None:
            reply = reply._replace(error=session.redact(reply.error))
        invocation = admitted.outcome(reply, session.made, session.count)
        await self._recorder.finished(invocation, admitted, reply, session.notes, session.further_calls())
        if session.lacking is not None:
            # The run has ended for want of it. What cannot be asked now is asked by the next one.
            with suppress(StorageUnavailable):
                await self._request(admitted.skill, session.lacking, admitted.identity.actor)
        return invocation

    async def _until_ended(self, admitted: AdmittedRun, order: Order) -> Reply:
        """Run the skill. A decision of an operator stops this, not the recording that comes after it."""
        try:
            # 6.
            if admitted.has_effects:
                await self._recorder.starts(admitted)
            # 7. A decision that came while the run was prepared has found nothing to stop.
            objection = self._objection(admitted)
            if objection is not None:
                raise objection
            return await admitted.run(order)
        finally:
            admitted.ended = True

    async def _session(self, admitted: AdmittedRun) -> HostSession:
        # What a run reads of its own files are the bytes that were granted, not those that lie there now.
        directory = admitted.skill.header.directory
        if any(map(reads_own_files, admitted.capabilities)):
            directory = await self._snapshots.of(admitted.skill)
        return HostSession(
            admitted,
            broker=self._broker,
            services=self._services,
            ledger=self._ledger,
            skill_directory=directory,
        )

    def _stop_what_may_not_run(self) -> None:
        """Stop every run that an operator has decided against since it was admitted, waiting or running."""
        for task, admitted in self._running.items():
            if admitted.ended or admitted.objection is not None:
                continue
            admitted.objection = self._objection(admitted)
            if admitted.objection is not None:
                task.cancel()

    def _objection(self, admitted: AdmittedRun) -> SubgraphError | None:
        """Say what speaks against a run now: a revocation, a grant that was taken back, less trust."""
        if admitted.version == self._authority.version:
            return None  # nobody has decided anything since it was admitted
        skill = admitted.skill
        try:
            self._broker.check_not_revoked(skill.header.path)
        except SkillRevoked as revoked:
            return revoked
        for capability in self._broker.missing(skill, admitted.capabilities):
            return CapabilityDenied(f"{capability} was taken back from {skill.header.path}")
        tier = self._broker.tier(skill)
        policy = self._policy(skill, tier)
        if admitted.tier.is_above(tier) or admitted.executor not in policy.executors:
            return CapabilityDenied(
                f"{skill.header.path} is {tier.value} now and was {admitted.tier.value}, or may no longer be "
                f"run by {admitted.executor.value}"
            )
        return None

    async def _end_of_stopped(self, admitted: AdmittedRun, objection: SubgraphError) -> Reply:
        """Say how a run ended that an operator's decision stopped. Raises it for one that had not started."""
        task = asyncio.current_task()
        if task is not None:
            task.uncancel()
        if admitted.started_at is None:
            await self._recorder.refused(admitted.skill, admitted.request, objection, _announced(admitted))
            raise objection
        failed = isinstance(objection, ExecutionFailed)
        return admitted.stopped(ExitCode.FAILED if failed else ExitCode.VIOLATION, objection)

    async def _ask_operator(
        self, skill: ActivatedSkill, requested: tuple[Capability, ...], actor: str
    ) -> None:
        """Leave a request for every capability that a call lacked."""
        lacking = dict.fromkeys((*self._broker.missing(skill, requested), *self._broker.stale(skill)))
        for capability in lacking:
            await self._request(skill, capability, actor)

    async def _request(self, skill: ActivatedSkill, capability: Capability, actor: str) -> None:
        await self._authority.request(skill.header.path, str(capability), skill.content_hash, actor)


def _shortened(limits: Limits, timeout_ms: int | None) -> Limits:
    if timeout_ms is None or timeout_ms >= limits.time_ms:
        return limits
    return replace(limits, time_ms=timeout_ms)


def _announced(admitted: AdmittedRun) -> RunIdentity | None:
    """Return the identity of a run about which an entry says that it starts."""
    return admitted.identity if admitted.has_effects else None
