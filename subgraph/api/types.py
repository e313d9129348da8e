"""The types of the schema. Names, fields and nullability are an interface that other teams compose."""

from __future__ import annotations

from datetime import datetime
from typing import Self, cast

import strawberry
from strawberry.scalars import JSON

from subgraph.api.context import Info
from subgraph.audit import ErrorNote, FinishedInvocation
from subgraph.capabilities import Grant, declared_capabilities
from subgraph.catalog import InstallSource, SkillHeader, exact_name
from subgraph.execution.invocation import Executor
from subgraph.execution.invocation import Invocation as ExecutedInvocation

strawberry.enum(InstallSource, description="Where a skill came from: LOCAL or BUILTIN today.")
strawberry.enum(Executor, description="By what a skill was run: WASM today.")


@strawberry.federation.type(keys=["name"], description="An Agent Skill of the catalogue.")
class Skill:
    header: strawberry.Private[SkillHeader]

    @strawberry.field(description="Short name, equal to the skill's directory.")
    def name(self) -> str:
        return self.header.name

    @strawberry.field(description="Path in the catalogue; unique, and accepted wherever a name is.")
    def path(self) -> str:
        return self.header.path

    @strawberry.field(description="Version that the skill states, as it is written.")
    def version(self) -> str | None:
        return self.header.version

    @strawberry.field(description="What the skill does and when to use it.")
    def description(self) -> str:
        return self.header.description

    @strawberry.field(description="Licence that the skill states.")
    def license(self) -> str | None:
        return self.header.license

    @strawberry.field(description="Market that the skill is for, such as VN; null when it is for all.")
    def region(self) -> str | None:
        return self.header.region

    @strawberry.field(description="Capabilities that the skill declares: what it could be granted at most.")
    def allowed_tools(self) -> list[str]:
        return [str(capability) for capability in declared_capabilities(self.header.allowed_tools)]

    @strawberry.field(description="Whether the skill has a WebAssembly component.")
    def has_wasm(self) -> bool:
        return self.header.has_component

    @strawberry.field(description="Where the skill came from.")
    def install_source(self) -> InstallSource:
        return self.header.source

    @strawberry.field(description="Hash over every file of the skill; grants are bound to it.")
    async def content_hash(self, info: Info) -> str:
        skill = await info.context.service.activated(info.context.principal, exact_name(self.header.path))
        return skill.content_hash

    @strawberry.field(name="invocationsLast24h", description="Runs that ended in the last 24 hours.")
    async def invocations_last_24h(self, info: Info) -> int:
        return await info.context.invocation_counts.load(self.header.path)

    @strawberry.field(description="Whether the skill is revoked; it then does not run.")
    def revoked(self, info: Info) -> bool:
        context = info.context
        return context.service.revocation_of(context.principal, self.header.path) is not None

    @strawberry.field(description="Why the skill is revoked, in the words of whoever did it.")
    def revoked_note(self, info: Info) -> str | None:
        context = info.context
        revocation = context.service.revocation_of(context.principal, self.header.path)
        return None if revocation is None else revocation.note


@strawberry.type(description="Why an invocation did not end well.")
class InvocationError:
    code: str = strawberry.field(description="Stable code, such as LIMIT_EXCEEDED or EXECUTION_FAILED.")
    message: str = strawberry.field(description="What happened, for a person.")

    @classmethod
    def of(cls, error: ErrorNote | None) -> Self | None:
        return None if error is None else cls(code=error.code, message=error.message)


@strawberry.federation.type(keys=["invocationId"], description="A run of a skill, as the ledger has it.")
class Invocation:
    invocation_id: strawberry.ID = strawberry.field(description="Identifies the run.")
    skill_name: str = strawberry.field(description="Short name of the skill.")
    actor: str = strawberry.field(description="Who asked for the run.")
    exit_code: int = strawberry.field(
        description="0; 1 the skill failed; 124 over time; 137 over memory or output."
    )
    started_at: datetime = strawberry.field(description="When the run was asked of a worker.")
    ended_at: datetime = strawberry.field(description="When it had ended.")
    executor: Executor = strawberry.field(description="By what the skill was run.")
    capabilities_granted: list[str] = strawberry.field(
        description="Capabilities that were requested for the run, all of them granted."
    )
    content_hash: str = strawberry.field(description="Hash of the skill's files as they were run.")
    elapsed_us: int = strawberry.field(description="Time in the worker, in microseconds.")
    error: InvocationError | None = strawberry.field(description="Null when the exit code is 0.")
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
            result=cast("JSON", invocation.result),
            stdout=invocation.stdout,
            stderr=invocation.stderr,
        )

    @classmethod
    def recorded(cls, entry: FinishedInvocation) -> Self:
        """Present what the ledger keeps of a run."""
        return cls(
            invocation_id=strawberry.ID(entry.invocation_id),
            skill_name=_short_name(entry.skill),
            actor=entry.actor,
            exit_code=entry.exit_code,
            started_at=entry.started_at,
            ended_at=entry.ended_at,
            executor=Executor(entry.executor),
            capabilities_granted=list(entry.capabilities),
            content_hash=entry.content_hash,
            elapsed_us=entry.elapsed_us,
            error=InvocationError.of(entry.error),
            result=None,
            stdout=None,
            stderr=None,
        )


@strawberry.federation.type(
    keys=["skillName", "skillName capability"],
    description="A person's approval of a capability, for the files that the skill had then.",
)
class CapabilityGrant:
    grant: strawberry.Private[Grant]

    @strawberry.field(description="Short name of the skill.")
    def skill_name(self) -> str:
        return _short_name(self.grant.skill_path)

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
        return await info.context.service.is_valid(self.grant)


def _short_name(path: str) -> str:
    """A skill's short name is the last part of its path (agentskills.io: name equals directory)."""
    return path.rpartition("/")[2]
