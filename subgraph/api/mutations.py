"""The fields of Mutation."""

from __future__ import annotations

from collections.abc import Mapping

import strawberry
from strawberry import UNSET
from strawberry.scalars import JSON

from subgraph.api.context import Info
from subgraph.api.identifiers import parse_identifier
from subgraph.api.types import (
    CapabilityGrant,
    CapabilityRequest,
    Invocation,
    InvocationResult,
    KeywordBank,
    Persona,
    RoutingDecision,
    RoutingReplay,
    Skill,
    SkillLimitsInput,
    SkillTrust,
)
from subgraph.capabilities import TrustTier
from subgraph.errors import InputInvalid
from subgraph.execution.invocation import Executor


@strawberry.type(description="Runs of skills, and decisions of people about them.")
class Mutation:
    @strawberry.mutation(
        description="Run a skill alone: the skills that its chain has run before it are run by "
        "`routeAndInvoke` and `dispatchSkill`. `input` is a JSON object, or text that holds one. Without "
        "`capabilities` the run has all that were granted; without `executor` the skill's best one runs it. "
        "`timeoutMs` can only shorten its time. A skill that started is an Invocation, however it ended; one "
        "that was refused is an error with a code."
    )
    async def invoke_skill(
        self,
        info: Info,
        name: str,
        input: JSON,  # noqa: A002 - the documented name
        capabilities: list[str] | None = UNSET,
        executor: Executor | None = UNSET,
        timeout_ms: int | None = UNSET,
    ) -> Invocation:
        invocation = await info.context.service.runner.invoke(
            info.context.principal,
            name,
            input,
            None if capabilities is UNSET else capabilities,
            executor=executor or None,
            timeout_ms=None if timeout_ms is UNSET else timeout_ms,
        )
        return Invocation.executed(invocation)

    @strawberry.mutation(
        description="Say which skill a query is for, and run it where nothing is to be asked of a person "
        "first; any other decision is returned as it is. A run that is refused is an error with its code, "
        "and the decision is recorded as failed. `record` false keeps the decision out of the audit log, "
        "not the run. `persona` is that of `route`."
    )
    async def route_and_invoke(
        self, info: Info, query: str, record: bool | None = True, persona: Persona | None = UNSET
    ) -> RoutingDecision:
        done = await info.context.service.dispatcher.route(
            info.context.principal,
            query,
            persona.value if persona else None,
            record=record is not False,
        )
        return RoutingDecision.dispatched(done)

    @strawberry.mutation(
        description="Make a recorded decision again, on the catalogue that it was made on, and compare the "
        "bytes; that is recorded. `query` is needed where the log holds a commitment to it alone."
    )
    async def replay(self, info: Info, request_id: strawberry.ID, query: str | None = UNSET) -> RoutingReplay:
        identifier = parse_identifier(request_id)
        if identifier is None:
            raise InputInvalid("this is no ID of a request")
        log = info.context.service.decision_log
        return RoutingReplay.of(await log.replay(info.context.principal, identifier, query or None))

    @strawberry.mutation(
        description="Run a skill, after its chain, with arguments as decisions name them, such as one whose "
        "question was answered; `invokeSkill` takes a skill's input as it is, runs no chain, and says more "
        "of the run."
    )
    async def dispatch_skill(self, info: Info, skill_name: str, arguments: JSON) -> InvocationResult:
        if not isinstance(arguments, Mapping):
            raise InputInvalid("arguments are a JSON object")
        invocation = await info.context.service.dispatcher.dispatch(
            info.context.principal, skill_name, arguments
        )
        return InvocationResult.executed(invocation)

    @strawberry.mutation(
        description="Make the skills ready that wait for an event, such as `onCommand:pay`, before anybody "
        "calls them; returns those that are."
    )
    async def activate_skills(self, info: Info, event: str) -> list[Skill]:
        headers = await info.context.service.runner.make_ready(info.context.principal, event)
        return [Skill(header=header) for header in headers]

    @strawberry.mutation(
        description="Grant a declared capability for the files that the skill has now. With `contentHash`, "
        "the hash of the files that were reviewed, the grant is refused when they have changed since."
    )
    async def grant_capability(
        self, info: Info, skill_name: str, capability: str, content_hash: str | None = UNSET
    ) -> CapabilityGrant:
        oversight, principal = info.context.service.oversight, info.context.principal
        grant = await oversight.grant(principal, skill_name, capability, content_hash or None)
        return CapabilityGrant(grant=grant)

    @strawberry.mutation(
        description="Grant all that a skill declares and this host knows, at once, as when it was installed. "
        "`contentHash` is that of `grantCapability`."
    )
    async def grant_all_capabilities(
        self, info: Info, skill_name: str, content_hash: str | None = UNSET
    ) -> list[CapabilityGrant]:
        oversight, principal = info.context.service.oversight, info.context.principal
        grants = await oversight.grant_all(principal, skill_name, content_hash or None)
        return [CapabilityGrant(grant=grant) for grant in grants]

    @strawberry.mutation(
        description="Take one capability back from a skill; what runs loses it too. Returns what was taken."
    )
    async def revoke_capability(self, info: Info, skill_name: str, capability: str) -> CapabilityGrant:
        oversight, principal = info.context.service.oversight, info.context.principal
        return CapabilityGrant(grant=await oversight.revoke_capability(principal, skill_name, capability))

    @strawberry.mutation(
        description="Answer a request for a capability that a call has left: grant it, or deny it."
    )
    async def answer_capability_request(
        self, info: Info, request_id: strawberry.ID, approve: bool, note: str | None = UNSET
    ) -> CapabilityRequest:
        identifier = parse_identifier(request_id)
        if identifier is None:
            raise InputInvalid("requestId is no ID of a request; `capabilityRequests` lists them")
        answered = await info.context.service.oversight.answer(
            info.context.principal, identifier, approve=approve, note=note or None
        )
        return CapabilityRequest(request=answered)

    @strawberry.mutation(
        description="Move a skill to another trust tier. More trust is for the files that it has now; the "
        "answer warns of what it opens. `contentHash` is that of `grantCapability`."
    )
    async def set_skill_trust(
        self, info: Info, name: str, tier: TrustTier, content_hash: str | None = UNSET
    ) -> SkillTrust:
        oversight, principal = info.context.service.oversight, info.context.principal
        return SkillTrust.of(await oversight.trust(principal, name, tier, content_hash or None))

    @strawberry.mutation(
        description="Set what one run of a skill may use, in place of all that was set for it before."
    )
    async def set_skill_limits(
        self, info: Info, name: str, limits: SkillLimitsInput, executors: list[Executor] | None = UNSET
    ) -> SkillTrust:
        chosen = None if executors is UNSET or executors is None else frozenset(executors)
        oversight, principal = info.context.service.oversight, info.context.principal
        return SkillTrust.of(await oversight.limit(principal, name, limits.given(), chosen))

    @strawberry.mutation(
        description="Revoke a skill: from now on every call of it is refused, and what runs is stopped."
    )
    async def revoke_skill(self, info: Info, name: str, note: str | None = UNSET) -> Skill:
        oversight, principal = info.context.service.oversight, info.context.principal
        return Skill(header=await oversight.revoke(principal, name, note or None))

    @strawberry.mutation(description="Take the revocation of a skill back; it may run again.")
    async def reinstate_skill(self, info: Info, name: str, note: str | None = UNSET) -> Skill:
        oversight, principal = info.context.service.oversight, info.context.principal
        return Skill(header=await oversight.reinstate(principal, name, note or None))

    @strawberry.mutation(
        description="Lay a file of keywords over the built-in ones, in place of the one before. Its form is "
        "that of `subgraph/routing/keywords.yaml`; a skill that is not installed may be named."
    )
    async def set_keyword_bank(self, info: Info, text: str) -> KeywordBank:
        return KeywordBank.of(await info.context.service.keyword_banks.set(info.context.principal, text))

    @strawberry.mutation(description="Take the operator's keywords away; the built-in ones remain.")
    async def clear_keyword_bank(self, info: Info) -> KeywordBank:
        return KeywordBank.of(await info.context.service.keyword_banks.clear(info.context.principal))

    @strawberry.mutation(
        description="Destroy the key of a subject, who is an actor of the audit trail: its inputs and "
        "outputs can then neither be read nor compared, and proofs hold. False when there was no key."
    )
    async def erase_subject(self, info: Info, subject: str) -> bool:
        return await info.context.service.audit_trail.erase(info.context.principal, subject)
