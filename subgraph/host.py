"""The host inside another Python program: the same catalogue, checks, sandbox and audit trail, no server."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from subgraph.catalog import SkillHeader
from subgraph.directories import prepare_directories
from subgraph.execution.invocation import Executor, Invocation
from subgraph.oversight import Oversight
from subgraph.principal import LOCAL_OPERATOR, Principal
from subgraph.service import Service
from subgraph.settings import Settings, load_settings


class SkillHost:
    """Runs the skills below some directories.

    ```python
    async with SkillHost("./skills") as host:
        invocation = await host.execute_skill("my-skill", {"input": "data"}, timeout_ms=5000)
    ```

    `directories` hold skills of your own, trusted as those of `CYBEROS_SKILL_ROOTS` are, in whose place they
    come; builtin and installed skills are there as well. All else is as the `CYBEROS_*` settings have it, or
    `settings` where they are given. What is done is recorded as done by `actor`. Raises `ValueError` for
    settings that cannot be, directories that cannot be made or written to among them.
    """

    def __init__(
        self, *directories: str | Path, settings: Settings | None = None, actor: str | None = None
    ) -> None:
        chosen = load_settings(os.environ) if settings is None else settings
        if directories:
            roots = tuple(Path(directory).expanduser().absolute() for directory in directories)
            chosen = chosen.model_copy(update={"skill_roots": roots})
        self._principal: Principal = LOCAL_OPERATOR if actor is None else replace(LOCAL_OPERATOR, actor=actor)
        self._settings = chosen
        self._service = Service(chosen, loads_clients=False)

    async def __aenter__(self) -> Self:
        prepare_directories(self._settings)
        await self._service.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._service.__aexit__(kind, error, trace)

    @property
    def principal(self) -> Principal:
        """As whom this program asks; the methods of `oversight` want it."""
        return self._principal

    @property
    def oversight(self) -> Oversight:
        """Grants, requests for them, trust, limits and revocations."""
        return self._service.oversight

    async def skills(self, *, region: str | None = None) -> list[SkillHeader]:
        """List the skills that there are, in the order of their paths."""
        return await self._service.skills.all(self._principal, region=region)

    async def execute_skill(
        self,
        name: str,
        input: Mapping[str, object] | str,  # noqa: A002 - the name that callers of other hosts know
        *,
        timeout_ms: int | None = None,
        executor: Executor | None = None,
        capabilities: Sequence[str] | None = None,
    ) -> Invocation:
        """Run a skill by its short name or path; return how it ended: `result`, `exit_code`, `error`.

        `input` is a JSON object, or text that holds one. `timeout_ms` can only shorten its time. Without
        `capabilities` it has all that were granted to it. Raises a `SubgraphError` with a code for a call
        that was refused before the skill ran: `SkillNotFound`, `GrantRequired`, `SkillRevoked`...
        """
        return await self._service.runner.invoke(
            self._principal, name, input, capabilities, executor=executor, timeout_ms=timeout_ms
        )

    async def available_skills(self) -> str:
        """List the skills for an agent's prompt, as the XML block `<available_skills>`."""
        return await self._service.skills.available(self._principal)

    async def skill_prompt(self, name: str) -> str:
        """Return a skill's instructions as a section of an agent's prompt, which they cannot end."""
        return await self._service.skills.prompt(self._principal, name)
