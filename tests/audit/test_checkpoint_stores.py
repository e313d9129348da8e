"""Checkpoints in a bucket, by a real server: kept beside the directory, and compared with it."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from pydantic import ValidationError

from subgraph import service
from subgraph.audit import checkpoint_mirror, checkpoint_stores
from subgraph.audit.checkpoint_stores import BucketStore, DirectoryStore
from subgraph.audit.checkpoints import _spread
from subgraph.audit.notes import Checkpoint, Signer
from subgraph.errors import StorageUnavailable
from subgraph.settings import Settings
from tests.audit.signed_log import CUT, REWRITTEN, SignedLog, damage_of, sizes, with_signed_log
from tests.support.buckets import Bucket, free_port, running_bucket
from tests.support.postgres import run, until

SIGNER = Signer.generate("log.example/audit")


def note_of(size: int, root: bytes = b"a") -> str:
    return SIGNER.sign(Checkpoint(SIGNER.name, size, root * 32))


@pytest.fixture
def bucket(tmp_path: Path) -> Iterator[Bucket]:
    with running_bucket(tmp_path / "bucket") as served:
        yield served


@pytest.fixture(autouse=True)
def quick(signs_often: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bucket that is away is asked again soon."""
    monkeypatch.setattr(checkpoint_mirror, "RETRY_SECONDS", 0.1)


def store_of(bucket: Bucket, prefix: str = "") -> BucketStore:
    return BucketStore(bucket.address + prefix, bucket.endpoint)


async def notes_of(store: BucketStore | DirectoryStore) -> list[str]:
    return [note async for note in store.notes()]


def newest_in(bucket: Bucket) -> int:
    file = bucket.files / "checkpoint"
    return sizes([file.read_text()])[0] if file.exists() else -1


def test_notes_are_kept_and_the_largest_is_the_newest(bucket: Bucket) -> None:
    store = store_of(bucket)

    async def scenario() -> None:
        assert await store.newest() is None
        assert await notes_of(store) == []
        for size in (1, 30, 4):
            await store.keep(size, note_of(size))
            await store.keep(size, note_of(size))
        assert await store.newest() == note_of(30)
        assert await notes_of(store) == [note_of(1), note_of(4), note_of(30)]
        await store.keep(4, note_of(4, b"b"))
        assert sizes(await notes_of(store)) == [1, 4, 4, 30], "a fork is kept beside what it forks from"

    run(scenario())
    assert len(bucket.objects()) == 5


def test_more_notes_than_one_page_are_listed(bucket: Bucket) -> None:
    store = store_of(bucket, "/logs/one")

    async def scenario() -> None:
        await store.keep(1, note_of(1))
        (first,) = (bucket.files / "logs" / "one" / "checkpoints").iterdir()
        for size in range(2, 61):
            first.with_name(f"{size:020}-{'0' * 16}").write_text(note_of(size))
        assert sizes(await notes_of(store)) == list(range(1, 61))

    run(scenario())
    assert all(key.startswith("logs/one/") for key in bucket.objects())


def test_a_bucket_that_is_gone_or_silent_is_an_error_in_bounded_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint_stores, "BUCKET_SECONDS", 0.3)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-secret-of-tests")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        for port in (free_port(), silent.getsockname()[1]):
            store = BucketStore("s3://kept", f"http://127.0.0.1:{port}")
            for attempt in (store.newest(), store.keep(1, note_of(1)), notes_of(store)):
                with pytest.raises(StorageUnavailable, match="the checkpoint bucket") as refused:
                    run(attempt)
                assert "secret" not in str(refused.value)
                assert refused.value.__cause__ is None


def test_an_object_that_is_too_long_is_no_note(bucket: Bucket) -> None:
    (bucket.files / "checkpoint").write_bytes(b"a" * 200_000)
    assert run(store_of(bucket).newest()) == ""


def test_what_is_signed_is_in_both_places(dsn: str, tmp_path: Path, bucket: Bucket) -> None:
    async def scenario(log: SignedLog) -> None:
        async with log.checkpoints(store_of(bucket)) as signing:
            for count in (3, 300):
                await log.grow(count)
                await until(lambda: newest_in(bucket) == signing._last[0].size > 0)  # type: ignore[index]
            kept = [place for place, _ in await signing.kept(most=10)]
            assert set(kept) == {"the checkpoint directory", "the checkpoint bucket"}
            await log.grow(1)
        assert newest_in(bucket) == 304, "what came last is kept when the service stops"

    with_signed_log(dsn, tmp_path, scenario)


def test_an_unreachable_bucket_holds_up_nothing_and_is_used_when_it_is_back(
    dsn: str, tmp_path: Path, bucket: Bucket, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(log: SignedLog) -> None:
        caplog.set_level(logging.INFO, "subgraph.audit")
        store = store_of(bucket)
        async with log.checkpoints(store) as signing:
            await log.grow(1)
            await until(lambda: newest_in(bucket) == 1)
            bucket.stop()
            for size in range(2, 8):
                await log.grow(1)
                await until(lambda size=size: signing._last[0].size == size)  # type: ignore[misc, index]
            await asyncio.sleep(0.3)
            assert sizes([(log.directory / "checkpoint").read_text()]) == [7]
            bucket.start()
            await until(lambda: newest_in(bucket) == 7)
            again = "checkpoints are kept in the checkpoint bucket again"
            await until(lambda: caplog.records[-1].getMessage() == again)
            said = [record.getMessage() for record in caplog.records]
            assert sum("the checkpoint bucket" in message and "cannot" in message for message in said) == 1

    with_signed_log(dsn, tmp_path, scenario)


def test_a_service_starts_without_its_bucket_and_compares_when_that_is_back(
    dsn: str, tmp_path: Path, bucket: Bucket
) -> None:
    """Whoever removes the directory and keeps the bucket away gains a moment."""

    async def scenario(log: SignedLog) -> None:
        await log.grow(3)
        async with log.checkpoints(store_of(bucket)):
            pass
        assert newest_in(bucket) == 3
        shutil.rmtree(log.directory)
        await log.tamper(*CUT)
        bucket.stop()
        async with log.checkpoints(store_of(bucket)) as signing:
            await signing.publish()
            assert log.damage == []
            bucket.start()
            await until(lambda: bool(log.damage))
            assert "its end was cut off" in await damage_of(signing)
        assert newest_in(bucket) == 3

    with_signed_log(dsn, tmp_path, scenario)


@pytest.mark.parametrize("change", [CUT, REWRITTEN], ids=["cut", "rewritten"])
def test_the_bucket_convicts_whoever_removes_the_directory(
    dsn: str, tmp_path: Path, bucket: Bucket, change: tuple[str, ...]
) -> None:
    async def scenario(log: SignedLog) -> None:
        await log.grow(3)
        async with log.checkpoints(store_of(bucket)):
            pass
        shutil.rmtree(log.directory)
        await log.tamper(*change)
        async with log.checkpoints(store_of(bucket)) as signing:
            assert len(log.damage) == 1
            await damage_of(signing)
        assert not (log.directory / "checkpoint").exists(), "nothing was signed"

    with_signed_log(dsn, tmp_path, scenario)


def test_a_bucket_that_holds_another_log_is_refused(dsn: str, tmp_path: Path, bucket: Bucket) -> None:
    async def scenario(log: SignedLog) -> None:
        await store_of(bucket).keep(7, note_of(7))
        async with log.checkpoints(store_of(bucket)) as signing:
            assert "in the checkpoint bucket is refused" in await damage_of(signing)
        assert newest_in(bucket) == 7

    with_signed_log(dsn, tmp_path, scenario)


def test_a_lost_directory_gets_what_the_bucket_has(dsn: str, tmp_path: Path, bucket: Bucket) -> None:
    async def scenario(log: SignedLog) -> None:
        await log.grow(3)
        async with log.checkpoints(store_of(bucket)):
            pass
        shutil.rmtree(log.directory)
        async with log.checkpoints(store_of(bucket)):
            assert sizes([(log.directory / "checkpoint").read_text()]) == [3]
        assert log.damage == []

    with_signed_log(dsn, tmp_path, scenario)


def test_without_the_extra_a_bucket_is_refused_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore.store", None)
    with pytest.raises(ValueError, match=r"pip install 'cyberos-subgraph\[s3\]'"):
        BucketStore("s3://kept")


def test_the_service_keeps_checkpoints_where_its_settings_say(tmp_path: Path, bucket: Bucket) -> None:
    settings = Settings(
        home=tmp_path, checkpoint_bucket="s3://kept/prod", checkpoint_endpoint=bucket.endpoint
    )
    directory, further = service._stores(settings)
    run(directory.keep(1, note_of(1)))
    assert (tmp_path / "checkpoints" / "checkpoint").read_text() == note_of(1)
    run(further.keep(1, note_of(1)))
    assert bucket.objects()[0] == "prod/checkpoint"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"checkpoint_bucket": "kept"}, "s3://bucket"),
        ({"checkpoint_bucket": "s3://"}, "s3://bucket"),
        ({"checkpoint_bucket": "s3://Kept_here"}, "lower-case letters"),
        ({"checkpoint_bucket": "s3://kept/../other bucket"}, "the prefix in a bucket"),
        ({"checkpoint_bucket": "s3://kept", "checkpoint_endpoint": "minio:9000"}, "https://host"),
        ({"checkpoint_endpoint": "http://127.0.0.1:9000"}, "set CYBEROS_CHECKPOINT_BUCKET too"),
    ],
)
def test_settings_of_a_bucket_that_cannot_be_are_refused(fields: dict[str, str], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Settings(**fields)  # type: ignore[arg-type]


@pytest.mark.parametrize("address", ["s3://kept", "s3://kept/", "s3://my.bucket-1/logs/prod"])
def test_settings_of_a_bucket(address: str) -> None:
    settings = Settings(checkpoint_bucket=address, checkpoint_endpoint="http://127.0.0.1:9000")
    name = BucketStore(address, settings.checkpoint_endpoint).name
    assert "kept" not in name, "a message of it may reach a caller"
    assert "my.bucket" not in name


@pytest.mark.parametrize("count", [0, 1, 2, 10, 11, 12, 20, 21, 1000, 1001])
def test_a_choice_of_many_notes_is_even_and_has_the_last(count: int) -> None:
    async def notes() -> AsyncIterator[str]:
        for number in range(count):
            yield str(number)

    chosen = [int(note) for note in run(_spread(notes(), most=10))]
    assert len(chosen) <= 11
    assert chosen[-1:] == ([count - 1] if count else [])
    steps = {after - before for before, after in pairwise(chosen[:-1])}
    assert len(steps) <= 1, "evenly, but for the last one"
    assert count <= 10 or len(chosen) >= 5
    assert count > 10 or chosen == list(range(count))


def test_what_is_no_regular_file_neither_holds_up_the_log_nor_leads_elsewhere(tmp_path: Path) -> None:
    directory, elsewhere = tmp_path / "checkpoints", tmp_path / "elsewhere"
    directory.mkdir()
    elsewhere.write_text("a line without its end")
    store, newest = DirectoryStore(directory), directory / "checkpoint"
    os.mkfifo(newest)
    with pytest.raises(StorageUnavailable):
        run(store.newest())
    newest.unlink()
    newest.symlink_to(elsewhere)
    with pytest.raises(StorageUnavailable):
        run(store.newest())
    newest.unlink()
    for day in (datetime.now(UTC).date() + timedelta(days=ahead) for ahead in (0, 1)):
        (directory / f"{day.isoformat()}.jsonl").symlink_to(elsewhere)
    with pytest.raises(StorageUnavailable):
        run(store.keep(1, note_of(1)))
    with pytest.raises(StorageUnavailable):
        run(notes_of(store))
    assert elsewhere.read_text() == "a line without its end"
