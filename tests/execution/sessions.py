"""Sessions of host calls on a real ledger: one skill for each test, and what it was granted."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import asyncpg
import orjson
import pytest

from subgraph.audit import Ledger
from subgraph.capabilities import Authority, Broker, TrustTier, parse_capability
from subgraph.catalog import ActivatedSkill, Catalog, InstallSource, SkillRoot
from subgraph.execution.admission import Admission
from subgraph.execution.host import HostServices
from subgraph.execution.host_session import HostSession
from subgraph.execution.invocation import RunIdentity
from subgraph.execution.limits import Limits
from subgraph.execution.protocol import HostCall
from subgraph.execution.worker_process import RunEnds
from tests.support.skills import Loop, write_skill

LIMITS = Limits(time_ms=20_000, memory_bytes=1 << 20, output_bytes=1000, host_calls=5)
SECRET = "S3cret/Token+With=signs"
ENVIRONMENT = {"SKILL_SECRET_TAX": SECRET, "SKILL_SECRET_OTHER": "other", "API_KEY": "key", "COMPANY": "An"}


class Office:
    """What all sessions of this module share."""

    def __init__(self, dsn: str, loop: Loop, authority: Authority, ledger: Ledger) -> None:
        self.dsn = dsn
        self.loop = loop
        self.authority = authority
        self.ledger = ledger


class Desk:
    """One skill, what it was granted, and a session of it."""

    def __init__(self, office: Office, root: Path, name: str) -> None:
        self.office = office
        self.root = root
        self.path = f"a/{name[5:55].replace('_', '-').strip('-')}"
        self.workspace = root / "workspace"
        self.commands = root / "commands"
        for folder in (self.workspace, self.commands):
            folder.mkdir()
        self.identity = RunIdentity(uuid.uuid4(), "ann")
        self.catalog = Catalog([SkillRoot(root / "skills", InstallSource.LOCAL, trusted=True)])

    def run(self, coroutine: Any) -> Any:
        return self.office.loop.run(coroutine)

    def session(
        self,
        *capabilities: str,
        declared: str | None = None,
        granted: Sequence[str] | None = None,
        tier: TrustTier = TrustTier.LOCAL,
        limits: Limits = LIMITS,
    ) -> Session:
        """Open a session with capabilities, which are declared and granted unless something else is said."""
        write_skill(self.root / "skills", self.path, tools=declared or " ".join(capabilities))
        self.run(self.catalog.scan())
        skill: ActivatedSkill = self.run(self.catalog.activate(self.path))
        given = capabilities if granted is None else granted
        if given:
            self.run(self.office.authority.grant(self.path, list(given), skill.content_hash, "bob"))
        self.run(self.office.authority.refresh())
        services = HostServices(self.workspace, None, None, self.commands, ENVIRONMENT)
        self.run(services.__aenter__())
        session = HostSession(
            Admission(self.identity, skill, tuple(map(parse_capability, capabilities)), tier, limits),
            broker=Broker(self.office.authority),
            services=services,
            ledger=self.office.ledger,
            skill_directory=self.root / "skills" / self.path,
        )
        return Session(self, session, services)

    def entries(self) -> list[dict[str, Any]]:
        """The ledger's entries about this run, in order."""

        async def fetch() -> list[dict[str, Any]]:
            connection = await asyncpg.connect(self.office.dsn, timeout=5)
            try:
                rows = await connection.fetch("SELECT entry FROM audit.entry ORDER BY seq")
            finally:
                await connection.close()
            return [orjson.loads(row["entry"]) for row in rows]

        found: list[dict[str, Any]] = self.run(fetch())
        return [entry for entry in found if entry.get("invocationId") == str(self.identity.invocation_id)]


class Session:
    """A session that is driven from tests that are not coroutines."""

    def __init__(self, desk: Desk, session: HostSession, services: HostServices) -> None:
        self.desk = desk
        self.session = session
        self._services = services

    def call(self, name: str, *arguments: object) -> list[object]:
        async def serve() -> list[object]:
            served = self.session(HostCall(name, arguments))
            return served if isinstance(served, list) else await served

        answer: list[object] = self.desk.run(serve())
        return answer

    def ends(self, name: str, *arguments: object) -> RunEnds:
        with pytest.raises(RunEnds) as caught:
            self.call(name, *arguments)
        return caught.value

    def close(self) -> None:
        self.desk.run(self._services.__aexit__(None, None, None))

    @property
    def noted(self) -> list[tuple[str, str, str]]:
        return [(note.function, note.target, note.outcome) for note in self.session.notes]
