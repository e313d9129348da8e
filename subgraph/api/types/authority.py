"""What people granted, what was asked of them, and what a skill could be granted."""

from __future__ import annotations

from datetime import datetime
from typing import Self

import strawberry

from subgraph.api.context import Info
from subgraph.capabilities import CapabilityChanges as Changes
from subgraph.capabilities import CapabilityRequest as Request
from subgraph.capabilities import Grant, RequestState
from subgraph.catalog import short_name
from subgraph.oversight import DeclaredCapability as Declared

strawberry.enum(
    RequestState, name="CapabilityRequestState", description="What became of a request for a capability."
)


@strawberry.federation.type(
    keys=["skillName", "skillName capability"],
    description="A person's approval of a capability, for the files that the skill had then.",
)
class CapabilityGrant:
    grant: strawberry.Private[Grant]

    @strawberry.field(description="Short name of the skill.")
    def skill_name(self) -> str:
        return short_name(self.grant.skill_path)

    @strawberry.field(description="What was granted.")
    def capability(self) -> str:
        return self.grant.capability

    @strawberry.field(description="Who granted it.")
    def granted_by(self) -> str:
        return self.grant.granted_by

    @strawberry.field(description="When it was granted.")
    def granted_at(self) -> datetime:
        return self.grant.granted_at

    @strawberry.field(description="Hash of the skill's files when it was granted.")
    def content_hash_at_grant(self) -> str:
        return self.grant.content_hash

    @strawberry.field(description="Whether the skill's files are still those; if not, calls are refused.")
    async def still_valid(self, info: Info) -> bool:
        return await info.context.service.oversight.is_valid(self.grant)


@strawberry.type(
    description="A call needed a capability that nobody had granted, for the files that the skill had then."
)
class CapabilityRequest:
    request: strawberry.Private[Request]

    @strawberry.field(description="Identifies the request.")
    def request_id(self) -> strawberry.ID:
        return strawberry.ID(str(self.request.request_id))

    @strawberry.field(description="Short name of the skill.")
    def skill_name(self) -> str:
        return short_name(self.request.skill_path)

    @strawberry.field(description="Path of the skill.")
    def skill_path(self) -> str:
        return self.request.skill_path

    @strawberry.field(description="What was asked for.")
    def capability(self) -> str:
        return self.request.capability

    @strawberry.field(description="Hash of the skill's files when it was asked for.")
    def content_hash(self) -> str:
        return self.request.content_hash

    @strawberry.field(description="Whose call needed it.")
    def requested_by(self) -> str:
        return self.request.requested_by

    @strawberry.field(description="When it was asked for first.")
    def requested_at(self) -> datetime:
        return self.request.requested_at

    @strawberry.field(description="Whether it waits for an answer, or which one it had.")
    def state(self) -> RequestState:
        return self.request.state

    @strawberry.field(description="Who answered.")
    def answered_by(self) -> str | None:
        return self.request.answered_by

    @strawberry.field(description="When it was answered.")
    def answered_at(self) -> datetime | None:
        return self.request.answered_at

    @strawberry.field(description="Why, in the words of whoever answered.")
    def note(self) -> str | None:
        return self.request.note


@strawberry.type(description="What a skill declares in allowed-tools, and what became of it.")
class DeclaredCapability:
    capability: str = strawberry.field(description="As the skill declares it.")
    description: str = strawberry.field(description="What the skill could do with it at most.")
    problem: str | None = strawberry.field(
        description="Why this host cannot grant it; null when it can be granted."
    )
    granted: bool = strawberry.field(description="Whether it is granted for the files the skill has now.")
    grant: CapabilityGrant | None = strawberry.field(
        description="The grant that covers it, for callers with skill:audit."
    )
    request: CapabilityRequest | None = strawberry.field(
        description="The request for it that a call has left, for callers with skill:audit."
    )

    @classmethod
    def of(cls, declared: Declared) -> Self:
        """Present what a skill declares."""
        return cls(
            capability=str(declared.capability),
            description=declared.description,
            problem=declared.problem,
            granted=declared.is_granted,
            grant=None if declared.grant is None else CapabilityGrant(grant=declared.grant),
            request=None if declared.request is None else CapabilityRequest(request=declared.request),
        )


@strawberry.type(description="How what a skill declares now differs from what was ever granted to it.")
class CapabilityChanges:
    added: list[str] = strawberry.field(description="Declared now, and covered by no grant, old or new.")
    removed: list[str] = strawberry.field(description="Granted once, and declared no longer.")
    kept: list[str] = strawberry.field(
        description="Declared now, and granted for these or for earlier files."
    )

    @classmethod
    def of(cls, changes: Changes) -> Self:
        """Present a difference."""
        return cls(
            added=[str(each) for each in changes.added],
            removed=[str(each) for each in changes.removed],
            kept=[str(each) for each in changes.kept],
        )
