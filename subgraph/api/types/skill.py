"""Skills of the catalogue."""

from __future__ import annotations

from typing import Self

import strawberry

from subgraph.api.context import Info
from subgraph.api.types.authority import CapabilityChanges, DeclaredCapability
from subgraph.api.types.trust import SkillTrust
from subgraph.capabilities import declared_capabilities
from subgraph.catalog import InstallSource, Level, Problem, SkillHeader, exact_name
from subgraph.execution.invocation import Executor

strawberry.enum(InstallSource, description="Where a skill came from: LOCAL or BUILTIN today.")


@strawberry.type(description="What is wrong with a skill that was found.")
class SkillProblem:
    path: str = strawberry.field(description="Where it was found; empty for a whole root.")
    left_out: bool = strawberry.field(description="Whether the skill cannot be used because of it.")
    field: str | None = strawberry.field(description="Field of the front matter, as far as it is about one.")
    line: int | None = strawberry.field(description="Line of SKILL.md, the first is 1.")
    message: str = strawberry.field(description="What is wrong, and what would be right.")

    @classmethod
    def of(cls, problem: Problem) -> Self:
        """Present a problem."""
        return cls(
            path=problem.path,
            left_out=problem.level is Level.ERROR,
            field=problem.field or None,
            line=problem.line,
            message=problem.message,
        )


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
        skill = await info.context.service.skills.read(info.context.principal, self._exact)
        return skill.content_hash

    @strawberry.field(name="invocationsLast24h", description="Runs that ended in the last 24 hours.")
    async def invocations_last_24h(self, info: Info) -> int:
        return await info.context.invocation_counts.load(self.header.path)

    @strawberry.field(description="Whether the skill is revoked; it then does not run.")
    def revoked(self, info: Info) -> bool:
        context = info.context
        return context.service.oversight.revocation_of(context.principal, self.header.path) is not None

    @strawberry.field(description="Why the skill is revoked, in the words of whoever did it.")
    def revoked_note(self, info: Info) -> str | None:
        context = info.context
        revocation = context.service.oversight.revocation_of(context.principal, self.header.path)
        return None if revocation is None else revocation.note

    @strawberry.field(description="By what the skill can be run under its trust, the preferred one first.")
    async def executors(self, info: Info) -> list[Executor]:
        return await info.context.service.skills.executors_of(info.context.principal, self._exact)

    @strawberry.field(description="How far the skill is trusted, and what one run of it may use.")
    async def trust(self, info: Info) -> SkillTrust:
        oversight = info.context.service.oversight
        return SkillTrust.of(await oversight.trust_of(info.context.principal, self._exact))

    @strawberry.field(description="What the skill could do at most, and what of it was granted.")
    async def capabilities(self, info: Info) -> list[DeclaredCapability]:
        oversight = info.context.service.oversight
        declared = await oversight.declared(info.context.principal, self._exact)
        return [DeclaredCapability.of(each) for each in declared]

    @strawberry.field(description="How what the skill declares differs from what was ever granted to it.")
    async def capability_changes(self, info: Info) -> CapabilityChanges:
        oversight = info.context.service.oversight
        return CapabilityChanges.of(await oversight.changes(info.context.principal, self._exact))

    @strawberry.field(description="What is wrong with the skill's SKILL.md, although it can be used.")
    async def problems(self, info: Info) -> list[SkillProblem]:
        problems = await info.context.service.skills.problems(info.context.principal, self.header.path)
        return [SkillProblem.of(each) for each in problems]

    @strawberry.field(
        description="The instructions as a section of an agent's prompt, escaped so that they cannot end it. "
        "Null, with an error, for a skill that was revoked."
    )
    async def prompt(self, info: Info) -> str | None:
        return await info.context.service.skills.prompt(info.context.principal, self._exact)

    @property
    def _exact(self) -> str:
        return exact_name(self.header.path)
