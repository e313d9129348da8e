"""Whom PostgreSQL's server runs as, and what of the file system is opened to that user."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import pwd
import subprocess
from pathlib import Path

import pytest

from subgraph.errors import StorageUnavailable
from subgraph.storage import EmbeddedPostgres, binaries
from subgraph.storage.account import Account, choose_account
from tests.storage.embedded import process_file, runs, select
from tests.support.kernel import needs_root
from tests.support.postgres import open_directory, run

as_root = needs_root("runs PostgreSQL as another user")


@as_root
def test_under_root_the_server_runs_as_an_unprivileged_user(root: Path) -> None:
    async def scenario() -> None:
        async with EmbeddedPostgres(root / "postgres"):
            owner = process_file(root / "postgres", "status").stat().st_uid
            assert owner == pwd.getpwnam("nobody").pw_uid

    run(scenario())
    assert root.stat().st_mode & 0o777 == 0o755


@as_root
def test_only_the_services_user_is_let_in(root: Path) -> None:
    async def scenario() -> subprocess.CompletedProcess[str]:
        async with EmbeddedPostgres(root / "postgres"):
            nobody = pwd.getpwnam("nobody")
            account = Account(nobody.pw_uid, nobody.pw_gid, switch=True)
            psql = binaries.installed() / "bin" / "psql"
            command: list[str | Path] = [psql, "-h", root / "postgres", "-U", "postgres", "-c", "SELECT 1"]
            return await asyncio.to_thread(account.run, command, timeout=10)

    result = run(scenario())
    assert result.returncode != 0
    assert "Peer authentication failed" in result.stderr


@as_root
def test_an_ordinary_user_runs_its_own_server(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uid = pwd.getpwnam("daemon").pw_uid
    home = root / "user"
    home.mkdir()
    os.chown(home, uid, uid)
    programs = binaries.usable_by(Account(uid, uid, switch=True), root).parent
    monkeypatch.setattr(binaries, "installed", lambda: programs)
    data_dir = home / ".cyberos" / "postgres"

    async def scenario() -> None:
        async with EmbeddedPostgres(data_dir) as postgres:
            assert await select(postgres.dsn, "SELECT 1") == 1
            assert data_dir.stat().st_uid == os.geteuid() == uid
            assert data_dir.parent.stat().st_mode & 0o777 == 0o700
        assert not runs(data_dir)

    def as_user() -> None:
        os.setgroups([])
        os.setgid(uid)
        os.setuid(uid)
        run(scenario())

    # Forked, not started anew: the interpreter may lie where only root can run it.
    process = multiprocessing.get_context("fork").Process(target=as_user)
    process.start()
    process.join(30)
    assert process.exitcode == 0


@as_root
def test_a_directory_closed_to_the_database_user_is_reported_and_not_opened(root: Path) -> None:
    closed = root / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(StorageUnavailable, match=r"cannot enter .*closed"):
        run(EmbeddedPostgres(closed / "postgres").start())
    assert closed.stat().st_mode & 0o777 == 0o700


@as_root
def test_programs_out_of_reach_are_copied_once_and_their_permissions_kept(root: Path) -> None:
    closed = root / "closed"
    closed.mkdir(mode=0o700)
    (closed / "pginstall").symlink_to(binaries.installed())
    account = choose_account(root / "none")
    with open_directory() as copies:
        first = binaries.usable_by(account, copies, closed / "pginstall")
        assert first.parent.parent == copies
        assert binaries.usable_by(account, copies, closed / "pginstall") == first
        assert [path.name for path in copies.iterdir()] == [first.parent.name]
        assert (first / "postgres").stat().st_mode & 0o777 == 0o555
        assert account.run([first / "postgres", "--version"], timeout=10).returncode == 0
    assert closed.stat().st_mode & 0o777 == 0o700


@as_root
def test_a_data_directory_of_root_is_refused(root: Path) -> None:
    (root / "postgres").mkdir()
    with pytest.raises(StorageUnavailable, match="belongs to root"):
        run(EmbeddedPostgres(root / "postgres").start())
