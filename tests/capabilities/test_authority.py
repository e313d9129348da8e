"""Grants and revocations in PostgreSQL: durable with their audit entry, and seen by other replicas."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import asyncpg
import pytest

from subgraph.audit import CreatedGrant
from subgraph.capabilities import Authority, grants
from subgraph.errors import StorageUnavailable
from subgraph.storage import Database
from tests.support.postgres import empty_database, execute, run, settings_for, until

OLD, NEW = "sha256:" + "a" * 64, "sha256:" + "b" * 64


@pytest.fixture(autouse=True)
def quick_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grants, "POLL_SECONDS", 0.02)


@pytest.fixture(scope="module")
def shared(server: str) -> Iterator[str]:
    with empty_database(server) as address:
        yield address


async def count(dsn: str, table: str) -> Any:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(f"SELECT count(*) FROM {table}")  # noqa: S608 - named by the test
    finally:
        await connection.close()


def test_a_grant_is_known_at_once_and_after_a_restart(shared: str) -> None:
    async def scenario() -> None:
        async with Database(settings_for(shared)) as database:
            async with Authority(database) as authority:
                grant = await authority.grant("a/restart", "read_file", OLD, "ann")
                assert authority.grants_of("a/restart") == {"read_file": grant}
            async with Authority(database) as authority:
                assert authority.grants_of("a/restart") == {"read_file": grant}
                assert (grant.content_hash, grant.granted_by) == (OLD, "ann")
                assert authority.grants_of("a/other") == {}

    run(scenario())


def test_the_newest_grant_of_each_capability_counts(shared: str) -> None:
    async def scenario() -> None:
        async with Database(settings_for(shared)) as database, Authority(database) as authority:
            await authority.grant("a/newest", "write_file", OLD, "ann")
            await authority.grant("a/newest", "read_file", OLD, "ann")
            await authority.grant("a/newest", "read_file", NEW, "bob")
            newest = authority.grants_of("a/newest")
            assert {name: grant.content_hash for name, grant in newest.items()} == {
                "read_file": NEW,
                "write_file": OLD,
            }
            mine = [grant for grant in authority.all_grants() if grant.skill_path == "a/newest"]
            assert [grant.capability for grant in mine] == ["read_file", "write_file"]

    run(scenario())


def test_another_replica_sees_grants_and_revocations(shared: str) -> None:
    async def scenario() -> None:
        async with (
            Database(settings_for(shared)) as database,
            Authority(database) as here,
            Authority(database) as there,
        ):
            grant = await here.grant("a/replica", "read_file", OLD, "ann")
            await until(lambda: there.grants_of("a/replica") == {"read_file": grant})
            revocation = await there.revoke("a/replica", "it leaks", OLD, "bob")
            assert there.revocation_of("a/replica") == revocation
            await until(lambda: here.revocation_of("a/replica") == revocation)
            assert (revocation.note, revocation.revoked_by) == ("it leaks", "bob")

    run(scenario())


def test_revoking_again_keeps_the_first_reason(shared: str) -> None:
    async def scenario() -> None:
        async with Database(settings_for(shared)) as database, Authority(database) as authority:
            first = await authority.revoke("a/twice", "one", OLD, "ann")
            assert await authority.revoke("a/twice", "two", OLD, "bob") == first

    run(scenario())


class HeldDatabase(Database):
    """Holds the first reader of revocations until it is let go."""

    def __init__(self, dsn: str) -> None:
        super().__init__(settings_for(dsn))
        self.held = asyncio.Event()
        self.go_on = asyncio.Event()
        self.hold = False

    async def fetch(self, name: str, *args: object) -> list[asyncpg.Record]:
        rows = await super().fetch(name, *args)
        if name == "revocation_list" and self.hold:
            self.hold = False
            self.held.set()
            await self.go_on.wait()
        return rows


def test_a_slow_look_never_brings_back_what_was_before_a_revocation(dsn: str) -> None:
    async def scenario() -> None:
        async with HeldDatabase(dsn) as database:
            authority = Authority(database)
            await authority.refresh()
            await execute(dsn, "UPDATE cache_version SET version = version + 1")
            database.hold = True
            slow = asyncio.create_task(authority.refresh())
            await database.held.wait()
            revoking = asyncio.create_task(authority.revoke("a/one", "", OLD, "ann"))
            await asyncio.wait([revoking], timeout=0.1)
            database.go_on.set()
            await asyncio.gather(slow, revoking)
            assert authority.revocation_of("a/one") is not None

    run(scenario())


@pytest.mark.parametrize("act", ["grant", "revoke"])
def test_without_its_audit_entry_nothing_is_decided(dsn: str, act: str) -> None:
    async def scenario() -> None:
        async with Database(settings_for(dsn)) as database, Authority(database) as authority:
            await execute(
                dsn,
                """CREATE OR REPLACE FUNCTION audit.append(entries bytea[]) RETURNS TABLE (seq bigint)
                LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'full' USING ERRCODE = '53100'; END $$""",
            )
            decide = getattr(authority, act)
            with pytest.raises(StorageUnavailable):
                await decide("a/one", "read_file", OLD, "ann")
            await authority.refresh()
            assert authority.all_grants() == []
            assert authority.revocation_of("a/one") is None
            assert await count(dsn, "capability_grant") == 0
            assert await count(dsn, "skill_revocation") == 0
            assert await count(dsn, "audit.entry") == 0

    run(scenario())


def test_a_decision_and_its_entry_are_one(dsn: str) -> None:
    async def scenario() -> None:
        async with Database(settings_for(dsn)) as database, Authority(database) as authority:
            await authority.grant("a/one", "read_file", OLD, "ann")
            await authority.revoke("a/one", "note", OLD, "bob")
            connection = await asyncpg.connect(dsn)
            rows = await connection.fetch("SELECT kind, actor, skill_path FROM audit.entry ORDER BY seq")
            await connection.close()
            assert [tuple(row) for row in rows] == [
                (CreatedGrant.kind, "ann", "a/one"),
                ("skill.revoked", "bob", "a/one"),
            ]

    run(scenario())


def test_memory_is_not_trusted_once_the_database_is_silent(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grants, "STALE_SECONDS", 0.3)

    class SilentDatabase(Database):
        silent = False

        async def fetchval(self, name: str, *args: object) -> Any:
            if self.silent:
                raise StorageUnavailable
            return await super().fetchval(name, *args)

    async def scenario() -> None:
        async with SilentDatabase(settings_for(dsn)) as database, Authority(database) as authority:
            authority.ensure_current()
            database.silent = True

            def stale() -> bool:
                try:
                    authority.ensure_current()
                except StorageUnavailable:
                    return True
                return False

            await until(stale)
            database.silent = False
            await until(lambda: not stale())

    run(scenario())


def test_an_authority_that_was_never_started_knows_nothing(dsn: str) -> None:
    with pytest.raises(StorageUnavailable):
        Authority(Database(settings_for(dsn))).ensure_current()
