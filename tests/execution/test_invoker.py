"""The one way in: what runs, what is refused, and what the ledger keeps of both."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Iterator

import pytest

from subgraph.errors import (
    CapabilityDenied,
    ExecutionFailed,
    GrantRequired,
    GrantStale,
    SkillNotFound,
    SkillRevoked,
    SourceInvalid,
    StorageUnavailable,
    SubgraphError,
)
from subgraph.execution.invocation import Executor, Invocation
from subgraph.principal import LOCAL_OPERATOR
from tests.support import guests
from tests.support.ledger import locked_log
from tests.support.postgres import empty_database, execute, until
from tests.support.skills import (
    OPERATOR,
    RunningService,
    component,
    service_in_process,
    skill_settings,
    write_skill,
)

ECHO = component()
SAYS_X = component(guests.answers(1))


@pytest.fixture(scope="module")
def running(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    home = tmp_path_factory.mktemp("home")
    with (
        empty_database(server) as dsn,
        service_in_process(skill_settings(home, dsn, time_limit_ms=2000)) as service,
    ):
        yield service


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A skill name of the test's own."""
    return str(request.node.originalname)[5:60].replace("_", "-").strip("-")


def invoke(running: RunningService, name: str, value: object | None = None, *capabilities: str) -> Invocation:
    given = {"a": 1} if value is None else value
    return running.run(running.service.runner.invoke(OPERATOR, name, given, capabilities))


def refused(
    running: RunningService, kind: type[SubgraphError], name: str, *capabilities: str
) -> SubgraphError:
    with pytest.raises(kind) as caught:
        invoke(running, name, None, *capabilities)
    assert type(caught.value) is kind
    return caught.value


def test_a_run_is_answered_and_recorded(running: RunningService, name: str) -> None:
    directory = running.write(f"a/{name}", guest=ECHO)
    answer = invoke(running, name, {"mst": "0123456789-001", "đ": [1, None]})
    assert (answer.exit_code, answer.error, answer.executor) == (0, None, Executor.WASM)
    assert answer.result == {"mst": "0123456789-001", "đ": [1, None]}
    assert (answer.skill_name, answer.skill_path, answer.actor) == (name, f"a/{name}", "local-operator")
    assert answer.started_at <= answer.ended_at
    assert answer.stdout == '{"mst":"0123456789-001","đ":[1,null]}'
    (entry,) = running.entries(f"a/{name}")
    assert entry["kind"] == "invocation.finished"
    assert entry["invocationId"] == str(answer.invocation_id)
    given, returned = running.run(running.service.audit_trail.payloads(LOCAL_OPERATOR, answer.invocation_id))
    assert (given.commitment, returned.commitment) == (entry["inputCommitment"], entry["outputCommitment"])
    text = str(answer.stdout).encode()  # it answers with its input
    assert given.matches(text)
    assert returned.matches(text)
    assert not returned.matches(text + b" ")
    assert (given.data, entry["sealed"]) == (None, None)
    assert (entry["exitCode"], entry["executor"], entry["actor"]) == (0, "WASM", "local-operator")
    assert entry["contentHash"] == answer.content_hash
    assert running.run(running.service._catalog.activate(name)).tree.directory == directory


@pytest.mark.parametrize(
    ("guest", "exit_code", "code", "limits"),
    [
        (guests.FAILS, 1, "EXECUTION_FAILED", []),
        (guests.TRAPS, 1, "EXECUTION_FAILED", []),
        (guests.LOOPS, 124, "LIMIT_EXCEEDED", ["time"]),
        (guests.answers(2 * guests.MIB), 137, "LIMIT_EXCEEDED", ["output"]),
    ],
)
def test_however_it_ends_it_is_an_answer_and_one_entry(
    running: RunningService, guest: str, exit_code: int, code: str, limits: list[str]
) -> None:
    name = f"ends-{hashlib.sha256(guest.encode()).hexdigest()[:8]}"
    running.write(name, guest=component(guest))
    answer = invoke(running, name)
    assert (answer.exit_code, answer.result) == (exit_code, None)
    assert answer.error is not None
    assert answer.error.code == code
    (entry,) = running.entries(name)
    assert (entry["kind"], entry["level"], entry["exitCode"]) == ("invocation.finished", "warn", exit_code)
    assert (entry["limitsHit"], entry["outputCommitment"]) == (limits, None)
    assert entry["error"] == {"code": code, "message": answer.error.message}


def test_each_answer_has_exactly_one_entry(running: RunningService, name: str) -> None:
    running.write(name, guest=ECHO)

    async def many() -> list[Invocation]:
        calls = (running.service.runner.invoke(OPERATOR, name, {"n": number}) for number in range(40))
        return await asyncio.gather(*calls)

    answers = running.run(many())
    assert [answer.result for answer in answers] == [{"n": number} for number in range(40)]
    recorded = [entry["invocationId"] for entry in running.entries(name)]
    assert sorted(recorded) == sorted(str(answer.invocation_id) for answer in answers)


def test_refusals_are_recorded_once_and_nothing_runs(running: RunningService, name: str) -> None:
    running.write(name, tools="read_file list_dir", guest=ECHO)
    denied = refused(running, CapabilityDenied, name, "write_file")
    required = refused(running, GrantRequired, name, "read_file")
    running.run(running.service.oversight.grant(OPERATOR, name, "read_file"))
    running.write(name, tools="read_file list_dir", guest=ECHO, body="changed")
    stale = refused(running, GrantStale, name, "read_file")
    running.run(running.service.oversight.revoke(OPERATOR, name, "enough"))
    revoked = refused(running, SkillRevoked, name)
    entries = [entry for entry in running.entries(name) if entry["kind"].startswith("invocation")]
    assert [entry["kind"] for entry in entries] == ["invocation.refused"] * 4
    assert [(entry["code"], entry["message"]) for entry in entries] == [
        (error.code, error.message) for error in (denied, required, stale, revoked)
    ]
    assert [entry["capabilities"] for entry in entries] == [["write_file"], ["read_file"], ["read_file"], []]


def test_what_was_granted_is_part_of_the_record(running: RunningService, name: str) -> None:
    running.write(name, tools="read_file", guest=ECHO)
    running.run(running.service.oversight.grant(OPERATOR, name, "read_file"))
    answer = invoke(running, name, {}, "read_file(data/x)")
    assert answer.capabilities == ("read_file(data/x)",)
    assert running.entries(name)[-1]["capabilities"] == ["read_file(data/x)"]


def test_an_unknown_skill_is_not_found(running: RunningService) -> None:
    assert "'nothing-of-that-name'" in refused(running, SkillNotFound, "nothing-of-that-name").message


def test_a_skill_without_a_component_is_not_run_by_one(running: RunningService, name: str) -> None:
    running.write(name, body="Follow me.")
    with pytest.raises(ExecutionFailed, match="has nothing to run by WASM"):
        running.run(running.service.runner.invoke(OPERATOR, name, {}, executor=Executor.WASM))
    assert running.entries(name) == []
    answer = invoke(running, name)
    assert answer.executor is Executor.INLINE
    assert answer.result == {"body": "Follow me.", "references": {}}


@pytest.mark.parametrize("guest", [b"", guests.GARBAGE, b"\x7fELF", guests.binary(guests.CORE_MODULE)])
def test_what_is_no_component_does_not_run(running: RunningService, name: str, guest: bytes) -> None:
    running.write(name, guest=guest)
    assert re.search("not WebAssembly|core module|component", refused(running, SourceInvalid, name).message)
    running.write(name, guest=ECHO)
    assert invoke(running, name).exit_code == 0


@pytest.mark.parametrize("changed", ["SKILL.md", "dist/skill.wasm", "references/a.md"])
@pytest.mark.parametrize("requested", [(), ("read_file",)])
def test_one_byte_of_any_file_makes_grants_stale(
    running: RunningService, name: str, changed: str, requested: tuple[str, ...]
) -> None:
    directory = running.write(name, tools="read_file", guest=ECHO, files={"references/a.md": b"text"})
    grant = running.run(running.service.oversight.grant(OPERATOR, name, "read_file"))
    assert running.run(running.service.oversight.is_valid(grant))
    assert invoke(running, name, {}, *requested).exit_code == 0
    data = bytearray((directory / changed).read_bytes())
    data[-1] ^= 1
    (directory / changed).write_bytes(data)
    assert not running.run(running.service.oversight.is_valid(grant))
    refused(running, GrantStale, name, *requested)


def test_the_new_bytes_run_once_they_are_granted(running: RunningService, name: str) -> None:
    running.write(name, tools="read_file", guest=ECHO)
    running.run(running.service.oversight.grant(OPERATOR, name, "read_file"))
    before = invoke(running, name)
    running.write(name, tools="read_file", guest=SAYS_X)
    refused(running, GrantStale, name)
    running.run(running.service.oversight.grant(OPERATOR, name, "read_file"))
    after = invoke(running, name)
    assert (before.stdout, after.stdout) == ('{"a":1}', "x")
    assert before.content_hash != after.content_hash


def test_a_component_that_changes_under_load_is_never_half_of_each(
    running: RunningService, name: str
) -> None:
    running.write(name, guest=ECHO)
    hashes = {invoke(running, name).content_hash: '{"a":1}'}
    running.write(name, guest=SAYS_X)
    hashes[invoke(running, name).content_hash] = "x"

    async def load() -> list[Invocation]:
        answers = []
        for guest in (ECHO, SAYS_X, ECHO, SAYS_X):
            calls = [
                asyncio.create_task(running.service.runner.invoke(OPERATOR, name, {"a": 1})) for _ in range(8)
            ]
            await asyncio.sleep(0.01)
            staged = write_skill(running.settings.home / "staged", name, guest=guest)
            (staged / "dist" / "skill.wasm").replace(running.skills / name / "dist" / "skill.wasm")
            answers += await asyncio.gather(*calls)
        return answers

    for answer in running.run(load()):
        assert (answer.exit_code, answer.error) == (0, None)
        assert hashes[answer.content_hash] == answer.stdout


def test_a_caller_that_goes_away_is_recorded_all_the_same(running: RunningService, name: str) -> None:
    running.write(name, guest=component(guests.LOOPS))

    async def leave() -> None:
        call = asyncio.create_task(running.service.runner.invoke(OPERATOR, name, {}))
        await until(lambda: bool(running.service._runtime.invoker._running), 10)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await until(lambda: not running.service._runtime.invoker._running, 10)

    running.run(leave())
    (entry,) = running.entries(name)
    assert (entry["kind"], entry["exitCode"]) == ("invocation.finished", 124)


def test_a_caller_that_goes_away_while_its_run_is_announced_is_recorded_all_the_same(
    running: RunningService, name: str
) -> None:
    running.write(name, tools="write_file", guest=ECHO)
    running.run(running.service.oversight.grant(OPERATOR, name, "write_file"))

    async def leave() -> None:
        runs = running.service._runtime.invoker._running
        async with locked_log(dsn(running)):
            call = asyncio.create_task(running.service.runner.invoke(OPERATOR, name, {}))
            await until(lambda: bool(runs), 10)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
        await until(lambda: not runs, 10)

    running.run(leave())
    kinds = [entry["kind"] for entry in running.entries(name)]
    assert kinds == ["grant.created", "invocation.started", "invocation.finished"]


def test_a_revocation_that_comes_while_a_run_is_recorded_takes_no_answer_away(
    running: RunningService, name: str
) -> None:
    running.write(name, guest=ECHO)
    invoke(running, name)

    async def revoked_meanwhile() -> Invocation:
        runs = running.service._runtime.invoker._running
        async with locked_log(dsn(running)):
            call = asyncio.create_task(running.service.runner.invoke(OPERATOR, name, {"a": 2}))
            await until(lambda: any(each.ended for each in runs.values()), 10)
            await execute(
                dsn(running),
                f"INSERT INTO skill_revocation VALUES ('{name}', 'late', 'bob', now())",  # noqa: S608
                "UPDATE cache_version SET version = version + 1 WHERE scope = 'authority'",
            )
            authority = running.service._authority
            await until(lambda: authority.revocation_of(name) is not None, 10)
        return await call

    answer = running.run(revoked_meanwhile())
    assert (answer.exit_code, answer.result) == (0, {"a": 2})
    assert [entry["exitCode"] for entry in running.entries(name)] == [0, 0]
    refused(running, SkillRevoked, name)


def test_untrusted_skills_need_a_kernel_that_confines_them(
    running: RunningService, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_skill(running.settings.installed_skills_dir, f"i/{name}", guest=ECHO)
    running.write(f"t/{name}", guest=ECHO)
    monkeypatch.setattr(running.service._runtime.invoker, "_landlock", False)
    assert "no Landlock" in refused(running, ExecutionFailed, f"i/{name}").message
    assert invoke(running, f"t/{name}").exit_code == 0
    monkeypatch.setattr(running.service._runtime.invoker, "_landlock", True)
    assert invoke(running, f"i/{name}").exit_code == 0


async def lost(running: RunningService) -> None:
    """Cut every connection of the service, and let none in until `found`."""
    address = dsn(running)
    database = address.partition("@/")[2].partition("?")[0]
    await execute(
        address.replace(f"@/{database}?", "@/postgres?"),
        f"ALTER DATABASE {database} ALLOW_CONNECTIONS false",
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'",  # noqa: S608
    )


async def found(running: RunningService) -> None:
    address = dsn(running)
    database = address.partition("@/")[2].partition("?")[0]
    await execute(
        address.replace(f"@/{database}?", "@/postgres?"), f"ALTER DATABASE {database} ALLOW_CONNECTIONS true"
    )


def dsn(running: RunningService) -> str:
    assert running.settings.database_url is not None
    return running.settings.database_url.get_secret_value()


def test_without_the_database_nothing_runs_and_it_recovers_by_itself(
    running: RunningService, name: str
) -> None:
    running.write(name, guest=ECHO)
    invoke(running, name)

    async def scenario() -> None:
        await lost(running)
        try:
            await until(lambda: running.service._ledger._connection is None)
            with pytest.raises(StorageUnavailable, match="nothing is run"):
                await running.service.runner.invoke(OPERATOR, name, {})
        finally:
            await found(running)
        await running.ready_again()
        assert (await running.service.runner.invoke(OPERATOR, name, {})).exit_code == 0

    running.run(scenario())
    assert len(running.entries(name)) == 2


def test_an_answer_that_cannot_be_recorded_is_withheld(
    running: RunningService, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("subgraph.audit.ledger.WAIT_SECONDS", 0.5)
    running.write(name, guest=component(guests.LOOPS))

    async def scenario() -> None:
        call = asyncio.create_task(running.service.runner.invoke(OPERATOR, name, {}))
        await until(lambda: bool(running.service._runtime.invoker._running), 10)
        await lost(running)
        try:
            with pytest.raises(StorageUnavailable, match="its answer is withheld"):
                await call
        finally:
            await found(running)
        await running.ready_again()

    running.run(scenario())
    assert len(running.entries(name)) <= 1
