"""The composition root: every part, put together once. Surfaces call it and hold no rule themselves."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Self
from uuid import UUID

from subgraph.audit import FinishedInvocation, Ledger, count_invocations, find_invocations
from subgraph.capabilities import Authority, Broker, Grant, Revocation, parse_capability
from subgraph.catalog import ActivatedSkill, Catalog, InstallSource, SkillHeader, SkillRoot, exact_name
from subgraph.errors import ExecutionFailed, GrantStale, InputInvalid, SubgraphError
from subgraph.execution.compilation import Compiler
from subgraph.execution.confinement import landlock_available
from subgraph.execution.invocation import Invocation, InvocationRequest, encode_input
from subgraph.execution.invoker import Invoker
from subgraph.execution.limits import Limits
from subgraph.execution.machine_code import MachineCodeCache
from subgraph.execution.pool import WorkerPool
from subgraph.principal import Principal, Scope
from subgraph.settings import Settings
from subgraph.storage import Database

_PING_SECONDS = 2.0
_NOTE_LIMIT = 2000  # characters, as many as the audit trail keeps of it
_REQUESTED_LIMIT = 64  # capabilities in one request; the vocabulary has eight names

logger = logging.getLogger(__name__)


class Service:
    """The whole service. `async with Service(settings) as service:` starts and stops every part.

    A method that takes a principal names the scope that it needs, and raises `Forbidden` without it.
    Whatever needs the database raises `StorageUnavailable` when it cannot be reached.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        landlock = landlock_available()
        if not landlock:
            logger.warning(
                "this kernel has no Landlock: seccomp alone confines skills, and skills that are not trusted "
                "are refused"
            )
        self._database = Database(settings)
        self._ledger = Ledger(self._database)
        self._authority = Authority(self._database)
        self._broker = Broker(self._authority)
        self._catalog = Catalog(_roots(settings))
        self._pool = WorkerPool(settings.workers, queue_limit=settings.queue_limit, landlock=landlock)
        self._invoker = Invoker(
            catalog=self._catalog,
            broker=self._broker,
            machine_code=MachineCodeCache(
                settings.machine_code_dir, self._database, Compiler(landlock=landlock)
            ),
            pool=self._pool,
            ledger=self._ledger,
            limits=Limits(settings.time_limit_ms, settings.memory_limit_bytes, settings.output_limit_bytes),
            landlock=landlock,
        )
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            # The pool starts its workers in the background, while the database starts.
            await stack.enter_async_context(self._pool)
            await stack.enter_async_context(self._database)
            await stack.enter_async_context(self._ledger)
            await stack.enter_async_context(self._authority)
            await self._catalog.scan()
            await stack.enter_async_context(self._invoker)
            await self._pool.started()
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def skills(
        self, principal: Principal, *, region: str | None = None, has_wasm: bool | None = None
    ) -> list[SkillHeader]:
        """List skills in the order of their paths (`skill:read`)."""
        principal.require(Scope.READ)
        return [
            header
            for header in await self._catalog.current_headers()
            if (region is None or header.region == region)
            and (has_wasm is None or header.has_component == has_wasm)
        ]

    async def skill(self, principal: Principal, name: str) -> SkillHeader:
        """Find a skill by path or short name (`skill:read`). Raises `SkillNotFound`, `SkillAmbiguous`."""
        principal.require(Scope.READ)
        return await self._catalog.current(name)

    async def activated(self, principal: Principal, name: str) -> ActivatedSkill:
        """Read a skill's files (`skill:read`). Raises `SourceInvalid` when they are no longer a skill."""
        principal.require(Scope.READ)
        return await self._catalog.activate(name)

    async def count_invocations(self, principal: Principal, paths: Sequence[str]) -> dict[str, int]:
        """Count the invocations of skills in the last 24 hours, in one query (`skill:read`)."""
        principal.require(Scope.READ)
        return await count_invocations(self._database, paths, datetime.now(UTC) - timedelta(hours=24))

    def revocation_of(self, principal: Principal, path: str) -> Revocation | None:
        """Return the revocation of a skill, if there is one (`skill:read`)."""
        principal.require(Scope.READ)
        self._authority.ensure_current()
        return self._authority.revocation_of(path)

    async def grants(self, principal: Principal, name: str | None = None) -> list[Grant]:
        """List the newest grant of each capability, of one skill or of all (`skill:audit`)."""
        principal.require(Scope.AUDIT)
        self._authority.ensure_current()
        if name is None:
            return self._authority.all_grants()
        return list(self._authority.grants_of(self._catalog.get(name).path).values())

    async def is_valid(self, grant: Grant) -> bool:
        """Whether a grant is for the bytes that its skill has now; False when the skill is gone."""
        try:
            skill = await self._catalog.activate(exact_name(grant.skill_path))
        except SubgraphError:
            return False
        return self._broker.is_valid(skill, grant)

    async def invocations(
        self, principal: Principal, invocation_ids: Sequence[UUID]
    ) -> dict[UUID, FinishedInvocation]:
        """Find what the ledger keeps of invocations, in one query (`skill:audit`)."""
        principal.require(Scope.AUDIT)
        return await find_invocations(self._database, invocation_ids)

    async def invoke(
        self, principal: Principal, name: str, value: object, capabilities: Sequence[str] = ()
    ) -> Invocation:
        """Run a skill (`skill:invoke`); see `Invoker.invoke` and `encode_input` for what is refused."""
        principal.require(Scope.INVOKE)
        if len(capabilities) > _REQUESTED_LIMIT:
            raise InputInvalid(f"more than {_REQUESTED_LIMIT} capabilities in one request")
        input_ = encode_input(value, self.settings.input_limit_bytes)
        request = InvocationRequest(name, input_, principal.actor, tuple(capabilities))
        return await self._invoker.invoke(request)

    async def grant(
        self, principal: Principal, name: str, capability: str, reviewed_hash: str | None = None
    ) -> Grant:
        """Grant a declared capability for the bytes that the skill has now (`skill:grant`).

        Raises `GrantStale` when those are not the ones of `reviewed_hash`, and `CapabilityDenied`.
        """
        principal.require(Scope.GRANT)
        parsed = parse_capability(capability)
        skill = await self._catalog.activate(name, anew=True)
        self._broker.check_declared(skill, parsed)
        if reviewed_hash not in (None, skill.content_hash):
            raise GrantStale(f"{skill.header.path} is not what was reviewed: it has {skill.content_hash} now")
        return await self._authority.grant(
            skill.header.path, str(parsed), skill.content_hash, principal.actor
        )

    async def revoke(self, principal: Principal, name: str, note: str | None) -> SkillHeader:
        """Revoke a skill (`skill:grant`): from now on every call of it is refused.

        Revoking it again keeps the first note. Raises `InputInvalid` for a note that cannot be kept as it is.
        """
        principal.require(Scope.GRANT)
        _check_note(note or "")
        header = self._catalog.get(name)
        content_hash = await self._content_hash(header)
        await self._authority.revoke(header.path, note or "", content_hash, principal.actor)
        return header

    async def reinstate(self, principal: Principal, name: str, note: str | None) -> SkillHeader:
        """Take the revocation of a skill back (`skill:grant`). Raises `InputInvalid` as `revoke`."""
        principal.require(Scope.GRANT)
        _check_note(note or "")
        header = self._catalog.get(name)
        content_hash = await self._content_hash(header)
        await self._authority.reinstate(header.path, note or "", content_hash, principal.actor)
        return header

    async def _content_hash(self, header: SkillHeader) -> str:
        """Hash a skill's files; empty when they are broken, which is no reason to let it run."""
        try:
            return (await self._catalog.activate(exact_name(header.path))).content_hash
        except SubgraphError:
            return ""

    async def check_ready(self) -> None:
        """Return when a call would be served now; raises what it would be refused with."""
        await self._database.ping(_PING_SECONDS)
        self._ledger.ensure_writable()
        self._authority.ensure_current()
        if self._pool.ready == 0:
            raise self._pool.failure or ExecutionFailed("no worker process is ready yet")


def _check_note(note: str) -> None:
    try:
        note.encode()
    except UnicodeEncodeError:
        raise InputInvalid("the note holds half of a surrogate pair, which no UTF-8 text can") from None
    if "\0" in note or len(note) > _NOTE_LIMIT:
        raise InputInvalid(f"the note must have at most {_NOTE_LIMIT} characters, none of them U+0000")


def _roots(settings: Settings) -> list[SkillRoot]:
    return [
        SkillRoot(settings.builtin_skills_dir, InstallSource.BUILTIN, trusted=True),
        *(SkillRoot(root, InstallSource.LOCAL, trusted=True) for root in settings.skill_roots),
        SkillRoot(settings.installed_skills_dir, InstallSource.LOCAL, trusted=False),
    ]
