"""Grants and revocations in PostgreSQL: durable with their audit entry, and seen by other replicas."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import asyncpg
import pytest

from subgraph.audit import CreatedGrant
from subgraph.capabilities import Authority, Grant, Revocation
from subgraph.errors import StorageUnavailable
from subgraph.storage import Database
from tests.support.postgres import empty_database, execute, run, settings_for, until

OLD, NEW = "sha256:" + "a" * 64, "sha256:" + "b" * 64


@pytest.fixture(autouse=True)
def quick_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("subgraph.capabilities.authority.POLL_SECONDS", 0.02)


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


async def grant(authority: Authority, path: str, capability: str, content_hash: str, actor: str) -> Grant:
    await authority.grant(path, [capability], content_hash, actor)
    return authority.grants_of(path)[capability]


async def revoke(authority: Authority, path: str, note: str, content_hash: str, actor: str) -> Revocation:
    await authority.revoke(path, note, content_hash, actor)
    revocation = authority.revocation_of(path)
    assert revocation is not None
    return revocation


def test_a_grant_is_known_at_once_and_after_a_restart(shared: str) -> None:
    async def scenario() -> None:
        async with Database(settings_for(shared)) as database:
            async with Authority(database) as authority:
                given = await grant(authority, "a/restart", "read_file", OLD, "ann")
                assert authority.grants_of("a/restart") == {"read_file": given}
            async with Authority(database) as authority:
                assert authority.grants_of("a/restart") == {"read_file": given}
                assert (given.content_hash, given.granted_by) == (OLD, "ann")
                assert authority.grants_of("a/other") == {}

    run(scenario())


def test_the_newest_grant_of_each_capability_counts(shared: str) -> None:
    async def scenario() -> None:
        async with Database(settings_for(shared)) as database, Authority(database) as authority:
            await grant(authority, "a/newest", "write_file", OLD, "ann")
            await grant(authority, "a/newest", "read_file", OLD, "ann")
            await grant(authority, "a/newest", "read_file", NEW, "bob")
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
            given = await grant(here, "a/replica", "read_file", OLD, "ann")
            await until(lambda: there.grants_of("a/replica") == {"read_file": given})
            revocation = await revoke(there, "a/replica", "it leaks", OLD, "bob")
            assert there.revocation_of("a/replica") == revocation
            await until(lambda: here.revocation_of("a/replica") == revocation)
            assert (revocation.note, revocation.revoked_by) == ("it leaks", "bob")

    run(scenario())


def test_revoking_again_keeps_the_first_reason(shared: str) -> None:
    async def scenario() -> None:
        async with Database(settings_for(shared)) as database, Authority(database) as authority:
            first = await revoke(authority, "a/twice", "one", OLD, "ann")
            assert await revoke(authority, "a/twice", "two", OLD, "bob") == first

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
                """CREATE OR REPLACE FUNCTION audit.append(batch uuid, entries bytea[]) RETURNS bigint
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
            await grant(authority, "a/one", "read_file", OLD, "ann")
            await revoke(authority, "a/one", "note", OLD, "bob")
            connection = await asyncpg.connect(dsn)
            rows = await connection.fetch("SELECT kind, actor, skill_path FROM audit.entry ORDER BY seq")
            await connection.close()
            assert [tuple(row) for row in rows] == [
                (CreatedGrant.kind, "ann", "a/one"),
                ("skill.revoked", "bob", "a/one"),
            ]

    run(scenario())


def test_memory_is_not_trusted_once_the_database_is_silent(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("subgraph.capabilities.authority.STALE_SECONDS", 0.3)

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


@pytest.mark.parametrize("first_is_no", [True, False])
def test_of_two_answers_to_a_request_the_first_counts(shared: str, first_is_no: bool) -> None:
    async def scenario() -> None:
        path = f"a/answered-{first_is_no}"
        async with (
            Database(settings_for(shared)) as database,
            Authority(database) as authority,
            Authority(database) as replica,
        ):
            request = await authority.request(path, "read_file", OLD, "ann")
            assert request is not None
            answers = [authority.deny, replica.approve] if first_is_no else [replica.approve, authority.deny]
            first, second = [await answer(request, "why", "bob") for answer in answers]
            assert first is not None
            assert (second, first.note) == (None, "why")
            await authority.refresh()
            assert ("read_file" in authority.grants_of(path)) is not first_is_no
            assert authority.request_for(path, "read_file", OLD) == first

    run(scenario())


def test_requests_of_one_skill_leave_room_for_others(shared: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("subgraph.capabilities.authority.REQUESTS_PER_SKILL", 2)

    async def scenario() -> None:
        async with Database(settings_for(shared)) as database, Authority(database) as authority:
            made = [
                await authority.request("a/greedy", f"read_file(a/{number})", OLD, "eve")
                for number in range(4)
            ]
            assert [request is not None for request in made] == [True, True, False, False]
            assert await authority.request("a/modest", "read_file", OLD, "ann") is not None
            assert made[0] is not None
            await authority.deny(made[0], "", "bob")
            assert await authority.request("a/greedy", "read_file(a/9)", OLD, "eve") is not None

    run(scenario())


def test_all_requests_together_are_bounded_whoever_asks_at_once(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("subgraph.capabilities.authority.REQUESTS_LIMIT", 3)

    async def scenario() -> None:
        async with Database(settings_for(dsn)) as database, Authority(database) as authority:
            asked = (authority.request(f"a/{number}", "read_file", OLD, "eve") for number in range(9))
            await asyncio.gather(*asked)
            assert len(authority.requests()) == 3

    run(scenario())


def test_a_request_that_is_no_longer_in_memory_is_not_made_again(
    shared: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async with Database(settings_for(shared)) as database, Authority(database) as authority:
            request = await authority.request("a/forgotten", "read_file", OLD, "ann")
            assert request is not None
            denied = await authority.deny(request, "no", "bob")
            version = authority.version
            monkeypatch.setattr(authority, "request_for", lambda *_: None)
            assert await authority.request("a/forgotten", "read_file", OLD, "ann") == denied
            await authority.refresh()
            assert authority.version == version, "asking again moved the version"

    run(scenario())


def test_polling_goes_on_whatever_went_wrong(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("subgraph.capabilities.authority.STALE_SECONDS", 0.3)

    class BrokenDatabase(Database):
        broken = False

        async def fetchval(self, name: str, *args: object) -> Any:
            if self.broken:
                raise RuntimeError("nobody expected this")
            return await super().fetchval(name, *args)

    async def scenario() -> None:
        async with BrokenDatabase(settings_for(dsn)) as database, Authority(database) as authority:
            database.broken = True
            await asyncio.sleep(0.5)
            with pytest.raises(StorageUnavailable):
                authority.ensure_current()
            database.broken = False
            await asyncio.sleep(0.3)
            authority.ensure_current()

    run(scenario())
