"""The PostgreSQL server that the service runs for itself: started once, shared, revived and stopped."""

from __future__ import annotations

import asyncio
import os
import pwd
import signal
import subprocess
import sys
import time
from pathlib import Path

import asyncpg
import pytest

from subgraph.errors import StorageUnavailable
from subgraph.storage import EmbeddedPostgres
from subgraph.storage.account import choose_account
from subgraph.storage.postmaster import Postmaster, Readiness
from tests.storage.embedded import answer, process_file, runs, select
from tests.support.postgres import kill_postmaster, postmaster_pid, run

ROOT = Path(__file__).parents[2]

USER_SCRIPT = """
import asyncio, sys
from pathlib import Path
import asyncpg
from subgraph.storage import EmbeddedPostgres

async def main():
    async with EmbeddedPostgres(Path(sys.argv[1])) as postgres:
        connection = await asyncpg.connect(postgres.dsn)
        print(await connection.fetchval("SELECT 17 + 1"), flush=True)
        connection.terminate()  # the server may have gone
        await asyncio.to_thread(sys.stdin.readline)

asyncio.run(main())
"""


def start_user(data_dir: Path) -> subprocess.Popen[str]:
    """Start another process that uses the server until its standard input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", USER_SCRIPT, data_dir],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "18\n"
    return process


def end_user(process: subprocess.Popen[str]) -> None:
    process.communicate(timeout=20)
    assert process.returncode == 0


def test_the_first_start_creates_a_private_checked_utf8_cluster(root: Path) -> None:
    data_dir = root / "home" / "postgres"

    async def scenario() -> None:
        async with EmbeddedPostgres(data_dir) as postgres:
            for setting, expected in {
                "server_encoding": "UTF8",
                "data_checksums": "on",
                "listen_addresses": "",
                "fsync": "on",
                "synchronous_commit": "on",
            }.items():
                assert await select(postgres.dsn, f"SHOW {setting}") == expected

    run(scenario())
    assert data_dir.stat().st_mode & 0o777 == 0o700
    assert not runs(data_dir)


def test_rows_survive_a_stop(root: Path) -> None:
    async def scenario() -> None:
        for expected in (1, 2):
            async with EmbeddedPostgres(root / "postgres") as postgres:
                await select(postgres.dsn, "CREATE TABLE IF NOT EXISTS t (a int)")
                await select(postgres.dsn, "INSERT INTO t VALUES (1)")
                assert await select(postgres.dsn, "SELECT count(*) FROM t") == expected

    run(scenario())


def test_the_last_of_two_users_stops_the_server(root: Path) -> None:
    data_dir = root / "postgres"

    async def scenario() -> None:
        first, second = EmbeddedPostgres(data_dir), EmbeddedPostgres(data_dir)
        assert await first.start() == await second.start()
        await first.stop()
        assert await select(second.dsn, "SELECT 1") == 1
        await second.stop()
        await second.stop()
        assert not runs(data_dir)
        with pytest.raises(StorageUnavailable):
            _ = second.dsn

    run(scenario())


def test_the_server_stays_for_another_process_and_outlives_its_crash(root: Path) -> None:
    data_dir = root / "postgres"

    async def scenario() -> None:
        async with EmbeddedPostgres(data_dir):
            pid = postmaster_pid(data_dir)
            other = await asyncio.to_thread(start_user, data_dir)
        assert postmaster_pid(data_dir) == pid  # `other` still uses it
        other.kill()
        await asyncio.to_thread(other.communicate)
        async with EmbeddedPostgres(data_dir) as postgres:
            assert postmaster_pid(data_dir) == pid  # found and used again
            assert await select(postgres.dsn, "SELECT 1") == 1
        assert not runs(data_dir)  # a process that died does not count as a user

    run(scenario())


def test_four_processes_that_start_at_once_share_one_server(root: Path) -> None:
    data_dir = root / "postgres"

    async def scenario() -> None:
        users = await asyncio.gather(*(asyncio.to_thread(start_user, data_dir) for _ in range(4)))
        await asyncio.gather(*(asyncio.to_thread(end_user, user) for user in users))
        assert not runs(data_dir)

    run(scenario())


def test_a_killed_server_is_revived_with_its_rows(root: Path) -> None:
    data_dir = root / "postgres"

    async def scenario() -> None:
        async with EmbeddedPostgres(data_dir) as postgres:
            await select(postgres.dsn, "CREATE TABLE t AS SELECT 1 AS a")
            busy = await asyncpg.connect(postgres.dsn)  # a child that must notice first
            pid = postmaster_pid(data_dir)
            kill_postmaster(data_dir)
            await asyncio.gather(postgres.revive(), postgres.revive())
            assert postmaster_pid(data_dir) != pid
            assert await select(postgres.dsn, "SELECT a FROM t") == 1
            busy.terminate()

    run(scenario())


def test_a_killed_server_is_revived_while_another_process_uses_it(root: Path) -> None:
    data_dir = root / "postgres"

    async def scenario() -> None:
        async with EmbeddedPostgres(data_dir) as postgres:
            other = await asyncio.to_thread(start_user, data_dir)
            kill_postmaster(data_dir)
            await postgres.revive()
            assert await select(postgres.dsn, "SELECT 1") == 1
            await asyncio.to_thread(end_user, other)
            assert await select(postgres.dsn, "SELECT 1") == 1

    run(scenario())


def test_a_start_recovers_from_a_server_killed_with_its_service(root: Path) -> None:
    data_dir = root / "postgres"
    user = start_user(data_dir)
    kill_postmaster(data_dir)
    user.kill()
    user.communicate()
    assert run(answer(data_dir)) == 1


def test_a_lock_file_that_names_another_program_does_not_prevent_a_start(root: Path) -> None:
    data_dir = root / "postgres"
    lock_file = data_dir / "postmaster.pid"

    async def read_lock_file() -> list[str]:
        async with EmbeddedPostgres(data_dir):
            return lock_file.read_text().splitlines()

    lines = run(read_lock_file())
    account = choose_account(data_dir)
    # What a container finds after a crash: the number is now that of a process of the same user.
    with subprocess.Popen(
        ["sleep", "60"],
        user=account.uid if account.switch else None,
        group=account.gid if account.switch else None,
    ) as other:
        lock_file.write_text("\n".join([str(other.pid), *lines[1:]]) + "\n")
        os.chown(lock_file, account.uid, account.gid)
        assert run(answer(data_dir)) == 1
        assert other.poll() is None
        other.kill()


def test_an_interrupted_initialisation_is_begun_again(root: Path) -> None:
    (root / "postgres.new").mkdir()
    (root / "postgres.new" / "PG_VERSION").write_text("18\n")
    assert run(answer(root / "postgres")) == 1
    assert not (root / "postgres.new").exists()


def test_a_long_path_gets_a_short_socket(root: Path) -> None:
    data_dir = root / ("long" * 40) / "postgres"

    async def socket_dir() -> str:
        async with EmbeddedPostgres(data_dir) as postgres:
            return str(await select(postgres.dsn, "SHOW unix_socket_directories"))

    directory = Path(run(socket_dir()))
    assert directory.stat().st_mode & 0o777 == 0o700
    directory.rmdir()


def test_a_directory_that_is_no_cluster_is_left_alone(root: Path) -> None:
    data_dir = root / "postgres"
    data_dir.mkdir()
    (data_dir / "thesis.txt").write_text("mine")
    if os.geteuid() == 0:
        os.chown(data_dir, pwd.getpwnam("nobody").pw_uid, -1)
    with pytest.raises(StorageUnavailable, match="not a PostgreSQL data directory"):
        run(EmbeddedPostgres(data_dir).start())
    assert (data_dir / "thesis.txt").read_text() == "mine"


def test_a_cluster_of_another_version_is_refused(root: Path) -> None:
    run(answer(root / "postgres"))
    (root / "postgres" / "PG_VERSION").write_text("17\n")
    with pytest.raises(StorageUnavailable, match="was written by PostgreSQL 17"):
        run(EmbeddedPostgres(root / "postgres").start())


def test_a_server_that_cannot_start_is_an_error_that_names_its_log(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(answer(root / "postgres"))
    with (root / "postgres" / "postgresql.conf").open("a") as configuration:
        configuration.write("max_connections = nonsense\n")
    monkeypatch.setattr("subgraph.storage.postmaster.LAUNCH_SECONDS", 0.5)
    with pytest.raises(StorageUnavailable, match=r"does not start; its log is .*server\.log"):
        run(EmbeddedPostgres(root / "postgres").start())


def test_the_server_sees_nothing_of_the_services_environment(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CYBEROS_JWT_KEY", "secret")

    async def scenario() -> bytes:
        async with EmbeddedPostgres(root / "postgres"):
            return process_file(root / "postgres", "environ").read_bytes()

    assert b"CYBEROS" not in run(scenario())


def test_an_interrupt_of_the_services_group_does_not_reach_the_server(root: Path) -> None:
    data_dir = root / "postgres"

    async def scenario() -> None:
        async with EmbeddedPostgres(data_dir):
            pid = postmaster_pid(data_dir)
            assert os.getsid(pid) != os.getsid(0)
            assert os.getpgid(pid) != os.getpgid(0)

    run(scenario())


def test_a_cancelled_start_leaves_no_server_behind(root: Path) -> None:
    async def scenario() -> None:
        start = asyncio.create_task(EmbeddedPostgres(root / "postgres").start())
        await asyncio.sleep(0.1)
        start.cancel()
        with pytest.raises(asyncio.CancelledError):
            await start
        assert not runs(root / "postgres")

    run(scenario())


def test_starts_are_fast(root: Path) -> None:
    def timed() -> float:
        begin = time.perf_counter()
        run(answer(root / "postgres"))
        return time.perf_counter() - begin

    # 0.8 s and 0.25 s on an idle machine of two cores, the stop included; tests may run on a busy one.
    assert timed() < 6.0
    assert any(timed() < 2.0 for _ in range(3))


def test_a_server_that_hangs_is_told_from_one_that_does_not_start(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("subgraph.storage.postmaster.HUNG_SECONDS", 1)

    async def scenario() -> None:
        async with EmbeddedPostgres(root / "postgres") as postgres:
            pid = postmaster_pid(root / "postgres")
            os.kill(pid, signal.SIGSTOP)
            try:
                said = rf"runs \(process {pid}\), and has not answered for 1 seconds"
                with pytest.raises(StorageUnavailable, match=said):
                    await EmbeddedPostgres(root / "postgres").start()
            finally:
                os.kill(pid, signal.SIGCONT)
            assert await select(postgres.dsn, "SELECT 1") == 1

    run(scenario())


@pytest.mark.parametrize("found", [Readiness.SILENT, Readiness.REFUSING])
def test_a_slow_start_is_waited_for_beyond_the_time_of_one_that_hangs(
    root: Path, monkeypatch: pytest.MonkeyPatch, found: Readiness
) -> None:
    """A server that we have launched ourselves is not held to it, nor one that says it is starting."""
    monkeypatch.setattr("subgraph.storage.postmaster.HUNG_SECONDS", 0.0)
    probe, left = Postmaster.probe, iter([Readiness.SILENT, *[found] * 4])
    monkeypatch.setattr(Postmaster, "probe", lambda server: next(left, None) or probe(server))
    assert run(answer(root / "postgres")) == 1
    assert next(left, None) is None


def test_a_stopped_process_keeps_the_second_start_waiting_only_so_long(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    async def scenario() -> None:
        async with EmbeddedPostgres(root / "postgres"):
            monkeypatch.setattr("subgraph.storage.postmaster.START_SECONDS", 1)
            monkeypatch.setattr("subgraph.storage.postmaster.PROBE_SECONDS", 1)
            pid = postmaster_pid(root / "postgres")
            os.kill(pid, signal.SIGSTOP)
            try:
                with pytest.raises(StorageUnavailable, match="does not start"):
                    await EmbeddedPostgres(root / "postgres").start()
            finally:
                os.kill(pid, signal.SIGCONT)

    run(scenario())
