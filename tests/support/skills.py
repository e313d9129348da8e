"""Skills in temporary directories, and the service that runs them, inside this process."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import httpx
import orjson
from pydantic import SecretStr
from starlette.applications import Starlette

from subgraph.api.app import build_app
from subgraph.errors import StorageUnavailable
from subgraph.principal import LOCAL_OPERATOR
from subgraph.service import Service
from subgraph.settings import Settings
from tests.support.guests import ECHO, binary
from tests.support.postgres import TEST_SECONDS

T = TypeVar("T")

OPERATOR = LOCAL_OPERATOR

READY_SECONDS = 15.0

JSON = "application/json"
GRAPHQL = "application/graphql-response+json"


@functools.cache
def component(text: str = ECHO) -> bytes:
    """The bytes of a guest, assembled once."""
    return binary(text)


def write_skill(
    root: Path,
    path: str,
    *,
    tools: str = "",
    fields: str = "",
    body: str = "# How to use it\n",
    guest: bytes | None = None,
    files: Mapping[str, bytes] | None = None,
) -> Path:
    """Write a skill at `path` below a root; return its directory. `fields` are lines of front matter."""
    directory = root / path
    directory.mkdir(parents=True, exist_ok=True)
    name = directory.name
    lines = ["---", f"name: {name}", f"description: What {name} does."]
    if tools:
        lines.append(f"allowed-tools: {tools}")
    text = "\n".join([*lines, *fields.splitlines(), "---", body])
    (directory / "SKILL.md").write_text(text, encoding="utf-8")
    if guest is not None:
        (directory / "dist").mkdir(exist_ok=True)
        (directory / "dist" / "skill.wasm").write_bytes(guest)
    for name, data in (files or {}).items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_bytes(data)
    return directory


class SkillSettings(Settings):
    """Settings without the skills that ship with the service: a test sees its own alone."""

    @property
    def builtin_skills_dir(self) -> Path:
        return self.home / "builtin"


def skill_settings(home: Path, dsn: str, **fields: Any) -> SkillSettings:
    """Settings of a service with one worker and the skills below `home / "mine"`, which are trusted."""
    (home / "mine").mkdir(parents=True, exist_ok=True)
    defaults: dict[str, Any] = {"workers": 1, "skill_roots": (home / "mine",)}
    return SkillSettings(home=home, database_url=SecretStr(dsn), **{**defaults, **fields})


class Loop:
    """One event loop for many tests: a service lives on the loop that started it."""

    def __init__(self, runner: asyncio.Runner) -> None:
        self._runner = runner

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Drive a coroutine to its end, within `TEST_SECONDS`."""
        return self._runner.run(asyncio.wait_for(coroutine, TEST_SECONDS))

    @contextmanager
    def entered(self, manager: AbstractAsyncContextManager[T]) -> Iterator[T]:
        """Enter an asynchronous context on this loop, and leave it at the end."""
        value = self.run(manager.__aenter__())
        try:
            yield value
        finally:
            self.run(manager.__aexit__(None, None, None))


@contextmanager
def event_loop() -> Iterator[Loop]:
    """An event loop that lasts for several calls of `run`."""
    with asyncio.Runner() as runner:
        yield Loop(runner)


class RunningService(Loop):
    """A service that runs, where its skills lie, and what its ledger holds."""

    def __init__(self, runner: asyncio.Runner, service: Service, settings: Settings) -> None:
        super().__init__(runner)
        self.service = service
        self.settings = settings
        self.skills = next(iter(settings.skill_roots), settings.installed_skills_dir)
        self._connection: asyncpg.Connection[asyncpg.Record] | None = None

    def write(self, path: str, **what: Any) -> Path:
        """Write a skill and have the service find it."""
        directory = write_skill(self.skills, path, **what)
        self.run(self.service._catalog.scan())
        return directory

    def entries(self, skill: str | None = None) -> list[dict[str, Any]]:
        """The ledger's entries in order, all of them or those of one skill."""
        assert self.settings.database_url is not None
        return self.run(self._entries(self.settings.database_url.get_secret_value(), skill))

    async def _entries(self, dsn: str, skill: str | None) -> list[dict[str, Any]]:
        query = "SELECT entry FROM audit.entry WHERE $1::text IS NULL OR skill_path = $1 ORDER BY seq"
        try:
            rows = await (await self._reader(dsn)).fetch(query, skill)
        except (asyncpg.PostgresConnectionError, asyncpg.InterfaceError, asyncpg.AdminShutdownError):
            rows = await (await self._reader(dsn, anew=True)).fetch(query, skill)
        return [orjson.loads(row["entry"]) for row in rows]

    async def _reader(self, dsn: str, *, anew: bool = False) -> asyncpg.Connection[asyncpg.Record]:
        """A connection beside those of the service; one that a test has cut is replaced."""
        if self._connection is None or self._connection.is_closed() or anew:
            self._connection = await asyncpg.connect(dsn, timeout=5)
        return self._connection

    async def ready_again(self) -> None:
        """Wait until the service is ready: after an outage, or after a test that stood still for so long that
        the service no longer trusts what it knew."""
        async with asyncio.timeout(READY_SECONDS):
            while True:
                try:
                    return await self.service.check_ready()
                except StorageUnavailable:
                    await asyncio.sleep(0.02)

    async def leave(self) -> None:
        """End what reads the ledger."""
        if self._connection is not None:
            self._connection.terminate()


@contextmanager
def service_in_process(settings: Settings) -> Iterator[RunningService]:
    """Run the service on an event loop of this process."""
    with asyncio.Runner() as runner:
        loop = Loop(runner)
        with loop.entered(Service(settings)) as service:
            running = RunningService(runner, service, settings)
            try:
                yield running
            finally:
                running.run(running.leave())


STANDSTILL_SECONDS = 1.0
"""After which an application that stood still has to catch up: it no longer trusts what it knew."""

CATCH_UP_SECONDS = 5.0


class Client:
    """Requests to an application in this process, without a socket.

    Between two requests the application stands still, which no service does.
    """

    def __init__(self, loop: Loop, application: Starlette, settings: Settings) -> None:
        self._loop = loop
        self._answered_at = time.monotonic()
        self._application = application
        self.skills = (
            next(iter(settings.skill_roots), settings.installed_skills_dir)
            if settings.skill_roots
            else settings.home
        )

    def request(
        self, method: str, path: str = "/graphql", *, url: str = "http://127.0.0.1:8000", **what: Any
    ) -> httpx.Response:
        """Send one request."""

        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(self._application)
            async with httpx.AsyncClient(transport=transport, base_url=url) as client:
                await self._catch_up(client)
                return await client.request(method, path, **what)

        try:
            return self._loop.run(send())
        finally:
            self._answered_at = time.monotonic()

    async def _catch_up(self, client: httpx.AsyncClient) -> None:
        deadline = time.monotonic() + CATCH_UP_SECONDS
        while self._answered_at + STANDSTILL_SECONDS < time.monotonic() < deadline:
            if (await client.get("/readyz")).status_code == HTTPStatus.OK:
                return
            await asyncio.sleep(0.02)

    def post(self, body: object, *, headers: Mapping[str, str] | None = None) -> httpx.Response:
        """Post JSON (an object to encode, or bytes as they are) and ask for GraphQL's own media type."""
        content = body if isinstance(body, bytes) else orjson.dumps(body)
        merged = {"content-type": JSON, "accept": GRAPHQL, **(headers or {})}
        return self.request("POST", content=content, headers=merged)

    def query(self, document: str, **variables: Any) -> dict[str, Any]:
        """Execute a document; the whole answer."""
        answer: dict[str, Any] = self.post({"query": document, "variables": variables}).json()
        return answer

    def data(self, document: str, **variables: Any) -> dict[str, Any]:
        """Execute a document that must succeed; its data."""
        answer = self.query(document, **variables)
        assert "errors" not in answer, answer
        data: dict[str, Any] = answer["data"]
        return data

    def code(self, document: str, **variables: Any) -> str:
        """Execute a document that must fail with one error; its code."""
        (error,) = self.query(document, **variables)["errors"]
        return str(error["extensions"]["code"])


@contextmanager
def application(settings: Settings) -> Iterator[Client]:
    """The whole application on an event loop of this process, its service started."""
    app = build_app(settings)
    with event_loop() as loop, loop.entered(app.router.lifespan_context(app)):
        yield Client(loop, app, settings)
