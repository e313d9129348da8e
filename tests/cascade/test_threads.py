"""What LangGraph keeps while a model is asked, for how long, and who can read it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import asyncpg
import pytest

from subgraph.cascade.thread_upkeep import LEFT_AFTER
from subgraph.cascade.threads import Threads
from subgraph.errors import InputInvalid, StorageUnavailable
from subgraph.storage import Database
from tests.cascade.running import HELLO, QUERY, REASON, Cascade
from tests.support.model_gateway import KEY, Reply, picking, refusing
from tests.support.postgres import execute, run, settings_for, until
from tests.support.routing import Found
from tests.support.skills import OPERATOR


def test_what_langgraph_keeps_is_ciphertext_alone_and_ends_with_the_key(sealing: Cascade) -> None:
    request_id = sealing.route(invoke=False).decision.request_id
    assert request_id is not None
    tables = {name: sealing.rows(name) for name in ("checkpoints", "checkpoint_blobs", "checkpoint_writes")}
    assert all(tables.values())
    blobs = [row["blob"] or b"" for rows in list(tables.values())[1:] for row in rows]
    clear = repr(tables).encode() + b"".join(blobs)
    for secret in (QUERY.encode(), "thân mến".encode(), REASON.encode(), KEY.encode(), b"hello-world"):
        assert secret not in clear
    assert {row["thread_id"] for row in tables["checkpoints"]} == {request_id}
    values = sealing.run(thread(sealing, request_id))
    assert json.loads(values["consultation"])["pick"] == HELLO
    assert REASON in json.loads(values["consultation"])["answer"]
    assert QUERY in values["prompt"].decode()
    sealing.run(sealing.service.audit_trail.erase(OPERATOR, OPERATOR.actor))
    sealing.route(invoke=False)  # the subject has a key again, and another one
    with pytest.raises(ValueError, match="not of this place and key"):
        sealing.run(thread(sealing, request_id))
    assert sealing.read(request_id).transcript is None


async def thread(running: Cascade, request_id: str) -> dict[str, Any]:
    """Read what LangGraph keeps of a request, with the key that its caller has now."""
    key = await running.service._subjects.of(OPERATOR.actor)
    assert running.service._supervisor is not None
    saver = running.service._supervisor._threads.saver(key, request_id)
    found = await saver.aget_tuple({"configurable": {"thread_id": request_id}})
    assert found is not None
    return dict(found.checkpoint["channel_values"])


def test_where_payloads_are_not_kept_no_thread_is_either(running: Cascade) -> None:
    running.route(invoke=False)
    running.server.behaviour = refusing(500)
    running.run(running.service.routing_desk.preview(OPERATOR, QUERY))
    for table in ("checkpoints", "checkpoint_blobs", "checkpoint_writes"):
        assert running.rows(table) == []


def test_prompt_is_kept_before_the_model_is_told(sealing: Cascade) -> None:
    kept: list[int] = []

    def look(asked: Any) -> Reply:
        async def count() -> int:
            connection = await asyncpg.connect(sealing.dsn)
            try:
                return int(await connection.fetchval("SELECT count(*) FROM consultation.checkpoints"))
            finally:
                await connection.close()

        kept.append(asyncio.run(count()))
        return picking(HELLO)(asked)

    sealing.server.behaviour = look
    sealing.route(invoke=False)
    assert kept
    assert kept[0] >= 1


def test_several_services_make_the_tables_at_once(dsn: str) -> None:
    async def work() -> list[str]:
        async with Database(settings_for(dsn)) as database:
            many = [Threads(database) for _ in range(4)]
            async with asyncio.TaskGroup() as group:
                for each in many:
                    group.create_task(each.__aenter__())
            for each in many:
                await each.__aexit__(None, None, None)
            async with database.owner() as connection:
                rows = await connection.fetch(
                    "SELECT grantee, privilege_type FROM information_schema.role_table_grants "
                    "WHERE table_schema = 'consultation' AND table_name = 'checkpoints'"
                )
        return sorted(row["privilege_type"] for row in rows if row["grantee"] == "cyberos_service")

    assert run(work()) == ["DELETE", "INSERT", "SELECT", "UPDATE"]


def test_a_database_that_is_gone_is_said_so(running: Cascade) -> None:
    running.run(execute(running.dsn, "ALTER SCHEMA consultation RENAME TO elsewhere"))
    try:
        with pytest.raises(StorageUnavailable, match="kept of consultations cannot be reached"):
            running.route(invoke=False)
        assert running.server.asked == []
    finally:
        running.run(execute(running.dsn, "ALTER SCHEMA elsewhere RENAME TO consultation"))
    assert running.route(invoke=False).decision.skill_name == HELLO


def test_threads_are_used_while_they_are_open_alone(dsn: str) -> None:
    async def work() -> None:
        async with Database(settings_for(dsn)) as database:
            with pytest.raises(StorageUnavailable):
                await Threads(database).forget_old(LEFT_AFTER)

    run(work())


def test_whoever_goes_away_leaves_no_thread(running: Cascade) -> None:
    async def work() -> None:
        running.server.behaviour = lambda _: Reply(wait=30.0)
        asking = asyncio.create_task(running.service.routing_desk.preview(OPERATOR, QUERY))
        await until(lambda: bool(running.server.asked))
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking

    running.run(work())
    assert running.rows("checkpoints") == []
    running.server.behaviour = picking(HELLO)
    assert running.route(invoke=False).decision.skill_name == HELLO


def test_what_cannot_be_recorded_is_refused_as_ever(
    running: Cascade, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("subgraph.cascade.supervisor.extract", lambda *_: Found({"amount": 2**70}))
    with pytest.raises(InputInvalid, match="beyond what can be recorded"):
        running.route(invoke=False)
    assert running.rows("checkpoints") == []
