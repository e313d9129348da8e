"""The fields of Mutation."""

from __future__ import annotations

import strawberry
from strawberry import UNSET
from strawberry.scalars import JSON

from subgraph.api.context import Info
from subgraph.api.types import CapabilityGrant, Invocation, Skill


@strawberry.type(description="Runs of skills, and decisions of people about them.")
class Mutation:
    @strawberry.mutation(
        description="Run a skill. `input` is a JSON object, or text that holds one. A skill that started is "
        "an Invocation, however it ended; one that was refused is an error with a code."
    )
    async def invoke_skill(
        self,
        info: Info,
        name: str,
        input: JSON,  # noqa: A002 - the documented name
        capabilities: list[str] | None = UNSET,
    ) -> Invocation:
        service, principal = info.context.service, info.context.principal
        return Invocation.executed(await service.invoke(principal, name, input, capabilities or ()))

    @strawberry.mutation(
        description="Grant a declared capability for the files that the skill has now. With `contentHash`, "
        "the hash of the files that were reviewed, the grant is refused when they have changed since."
    )
    async def grant_capability(
        self, info: Info, skill_name: str, capability: str, content_hash: str | None = UNSET
    ) -> CapabilityGrant:
        service, principal = info.context.service, info.context.principal
        grant = await service.grant(principal, skill_name, capability, content_hash or None)
        return CapabilityGrant(grant=grant)

    @strawberry.mutation(description="Revoke a skill: from now on every call of it is refused.")
    async def revoke_skill(self, info: Info, name: str, note: str | None = UNSET) -> Skill:
        return Skill(header=await info.context.service.revoke(info.context.principal, name, note or None))

    @strawberry.mutation(description="Take the revocation of a skill back; it may run again.")
    async def reinstate_skill(self, info: Info, name: str, note: str | None = UNSET) -> Skill:
        service, principal = info.context.service, info.context.principal
        return Skill(header=await service.reinstate(principal, name, note or None))
