"""The log for witnesses: its checkpoint, key and tiles, which Go's own implementation verifies."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import asyncpg
import httpx
import pytest
from pydantic import SecretStr

from subgraph.api import log_routes
from subgraph.audit.notes import Checkpoint, Verifier, open_note
from subgraph.audit.tiles import split, tiles
from tests.api.tokens import AUDIENCE, SECRET
from tests.audit.factory import finished
from tests.support.independent import independent
from tests.support.postgres import empty_database, execute, run
from tests.support.skills import Client, application, skill_settings

ENTRIES = 700


@pytest.fixture(scope="module")
def database(server: str) -> Iterator[str]:
    """The DSN of the log's database."""
    with empty_database(server) as dsn:
        yield dsn


@pytest.fixture(scope="module")
def log(database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """An application that wants tokens for everything else, with a log of some entries."""
    fields = {"jwt_key": SecretStr(SECRET), "jwt_audience": AUDIENCE}
    settings = skill_settings(tmp_path_factory.mktemp("home"), database, **fields)
    with application(settings):
        pass
    made = finished().encode().decode().replace("812", "%s")
    entries = f"array_agg(convert_to(format('{made}', n, 812), 'UTF8') ORDER BY n)"
    append = f"SELECT audit.append(gen_random_uuid(), {entries}) FROM generate_series(1, {ENTRIES}) AS n"  # noqa: S608
    run(execute(database, append))
    with application(settings) as client:
        yield client


async def entries_of(dsn: str) -> list[bytes]:
    connection = await asyncpg.connect(dsn)
    try:
        return [row["entry"] for row in await connection.fetch("SELECT entry FROM audit.entry ORDER BY seq")]
    finally:
        await connection.close()


def served(log: Client, path: str) -> bytes:
    answer = log.request("GET", f"/audit/{path}")
    assert answer.status_code == 200, answer.text
    return answer.content


def checkpoint_of(log: Client) -> tuple[Checkpoint, str, str]:
    note, key = (served(log, path).decode() for path in ("checkpoint", "key"))
    return open_note(note, [Verifier.parse(key.strip())]), note, key.strip()


def test_the_checkpoint_and_the_key_are_for_everybody(log: Client) -> None:
    checkpoint, _, _ = checkpoint_of(log)
    assert checkpoint.size == ENTRIES
    answer = log.request("GET", "/audit/checkpoint")
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.headers["cache-control"] == "no-cache"
    assert log.request("HEAD", "/audit/checkpoint").status_code == 200
    for method in ("POST", "PUT", "DELETE"):
        assert log.request(method, "/audit/checkpoint").status_code == 405


def test_all_tiles_of_the_checkpoint_are_served_and_nothing_else(log: Client) -> None:
    checkpoint, _, _ = checkpoint_of(log)
    for tile in tiles(checkpoint.size):
        answer = log.request("GET", f"/audit/{tile.path}")
        assert answer.headers["content-type"] == "application/octet-stream"
        assert "immutable" in answer.headers["cache-control"]
        assert len(split(answer.content)) == tile.width
    assert split(served(log, "tile/0/000.p/7")) == split(served(log, "tile/0/000"))[:7]
    for path in (
        "tile/0/003", f"tile/0/002.p/{ENTRIES % 256 + 1}", "tile/1/000", "tile/1/001.p/1", "tile/2/000.p/1",
        "tile/0/0", "tile/0/000.p/256", "tile/0/000.p/0", "tile/-1/000", "tile/64/000", "tile/0/x001/000",
        "tile/0/" + "x999/" * 7 + "999", "tile/entries/000", "tile/", "tile/0/000/", "tile/0/%2e%2e/000",
    ):  # fmt: skip
        assert log.request("GET", f"/audit/{path}").status_code == 404, path


def test_go_verifies_the_checkpoint_and_proofs_made_of_the_served_tiles(
    log: Client, database: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    ask = independent(tmp_path_factory.mktemp("independent"))
    checkpoint, note, key = checkpoint_of(log)
    files = {tile.path: served(log, tile.path) for tile in tiles(checkpoint.size)}
    (opened,) = ask([{"kind": "open", "text": note, "keys": [key]}])
    assert opened["accepted"]
    assert opened["texts"] == [checkpoint.body()]
    tree = {"kind": "proveInclusion", "size": checkpoint.size, "root": checkpoint.root, "tiles": files}
    entries = run(entries_of(database))
    asked = [{"seq": seq, "entry": entries[seq], **tree} for seq in (0, 255, 256, 511, 699)]
    assert [each["accepted"] for each in ask(asked)] == [True] * len(asked)
    (wrong,) = ask([{"seq": 1, "entry": entries[0], **tree}])
    assert not wrong["accepted"]


def test_so_many_requests_for_tiles_wait(log: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_routes, "TILES_WAITING", 2)

    async def flood() -> list[int]:
        transport = httpx.ASGITransport(log._application)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            answers = await asyncio.gather(*(client.get("/audit/tile/0/000.p/9") for _ in range(8)))
            again = await client.get("/audit/tile/0/000.p/9")
            return [each.status_code for each in (*answers, again)]

    codes = log._loop.run(flood())
    assert sorted(set(codes)) == [200, 503]
    assert codes[-1] == 200
