"""What skills there are, what they say, and by what they can be run."""

from __future__ import annotations

from subgraph.capabilities import Authority, Broker
from subgraph.catalog import ActivatedSkill, Catalog, Problem, SkillHeader
from subgraph.catalog.prompt import available_skills, skill_prompt
from subgraph.execution.invocation import Executor
from subgraph.execution.invoker import Invoker
from subgraph.principal import Principal, Scope


class Skills:
    """Reads of the catalogue. Each method needs `skill:read`, and raises `Forbidden` without it."""

    def __init__(self, catalog: Catalog, authority: Authority, broker: Broker, invoker: Invoker) -> None:
        self._catalog = catalog
        self._authority = authority
        self._broker = broker
        self._invoker = invoker

    async def all(
        self, principal: Principal, *, region: str | None = None, has_wasm: bool | None = None
    ) -> list[SkillHeader]:
        """List skills in the order of their paths."""
        principal.require(Scope.READ)
        return [
            header
            for header in await self._catalog.current_headers()
            if (region is None or header.region == region)
            and (has_wasm is None or header.has_component == has_wasm)
        ]

    async def find(self, principal: Principal, name: str) -> SkillHeader:
        """Find a skill by path or short name. Raises `SkillNotFound`, `SkillAmbiguous`."""
        principal.require(Scope.READ)
        return await self._catalog.current(name)

    async def problems(self, principal: Principal, path: str | None = None) -> list[Problem]:
        """List what is wrong with skills that were found or left out, or with one."""
        principal.require(Scope.READ)
        return self._catalog.problems() if path is None else self._catalog.problems_of(path)

    async def read(self, principal: Principal, name: str) -> ActivatedSkill:
        """Read a skill's files. Raises `SourceInvalid` when they are no longer a skill."""
        principal.require(Scope.READ)
        return await self._catalog.activate(name)

    async def executors_of(self, principal: Principal, name: str) -> list[Executor]:
        """Say by what a skill can be run under its trust, the preferred one first."""
        self._authority.ensure_current()
        return self._invoker.executors_of(await self.read(principal, name))

    async def available(self, principal: Principal) -> str:
        """List the skills that may run as an agent's prompt does, `<available_skills>`."""
        principal.require(Scope.READ)
        self._authority.ensure_current()
        headers = await self._catalog.current_headers()
        return available_skills(each for each in headers if self._authority.revocation_of(each.path) is None)

    async def prompt(self, principal: Principal, name: str) -> str:
        """Return a skill's instructions as a section of an agent's prompt.

        Raises `SkillRevoked`: nobody is to follow the instructions of a skill that may not run.
        """
        principal.require(Scope.READ)
        self._authority.ensure_current()
        skill = await self._catalog.activate(name)
        self._broker.check_not_revoked(skill.header.path)
        return skill_prompt(skill)
