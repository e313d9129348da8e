"""The host calls of one run: what is counted, refused, done and recorded, in that order."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from subgraph.audit import Ledger
from subgraph.audit.invocations import HOST_CALLS_IN_ENTRY, HOST_CALLS_PER_PAGE
from subgraph.capabilities import Authority, TrustTier
from subgraph.errors import StorageUnavailable
from subgraph.execution.invocation import RunIdentity
from subgraph.execution.limits import ExitCode, Limits
from subgraph.execution.protocol import HostCall
from subgraph.storage import Database
from tests.execution.sessions import LIMITS, SECRET, Desk, Office, Session
from tests.security.ground import Ground
from tests.support.postgres import empty_database, settings_for, until
from tests.support.skills import event_loop


@pytest.fixture(scope="module")
def office(server: str) -> Iterator[Office]:
    with (
        event_loop() as loop,
        empty_database(server) as dsn,
        loop.entered(Database(settings_for(dsn))) as database,
        loop.entered(Ledger(database)) as ledger,
        loop.entered(Authority(database)) as authority,
    ):
        yield Office(dsn, loop, authority, ledger)


Open = Callable[..., Session]


@pytest.fixture
def desk(office: Office, tmp_path: Path, request: pytest.FixtureRequest) -> Desk:
    return Desk(office, tmp_path, str(request.node.originalname))


@pytest.fixture
def opened(desk: Desk) -> Iterator[Open]:
    sessions: list[Session] = []

    def open_session(*capabilities: str, **what: Any) -> Session:
        sessions.append(desk.session(*capabilities, **what))
        return sessions[-1]

    yield open_session
    for each in sessions:
        each.close()


# 1. Calls are counted.


def test_a_run_ends_with_one_call_too_many(desk: Desk, opened: Open) -> None:
    session = opened("list_dir")
    for _ in range(LIMITS.host_calls):
        assert session.call("list_dir", "") == ["ok", []]
    end = session.ends("list_dir", "")
    assert (end.exit_code, end.error_code, end.limit) == (ExitCode.RESOURCE, "LIMIT_EXCEEDED", "host_calls")
    assert "more than 5 host calls" in end.message
    assert session.session.count == LIMITS.host_calls + 1
    assert len(session.noted) == LIMITS.host_calls
    assert desk.entries() == []


def test_messages_and_failures_count_too(opened: Open) -> None:
    session = opened("read_file", "recall_memory")
    for name, arguments in (("log", ("x",)), ("read_file", ("none",)), ("recall_memory", ("x", 0)),
                            ("recall_memory", ("x", 1)), ("log", (1,))):  # fmt: skip
        session.call(name, *arguments)
    assert session.ends("log", "x").limit == "host_calls"


# 2. What a call is about is brought into one form.


@pytest.mark.parametrize(
    ("name", "arguments", "shown"),
    [
        ("read_file", ("../a",), "'../a'"),
        ("read_file", ("a\0b\n",), "'a\\x00b\\n'"),
        ("fetch_url", ("file:///etc/passwd",), "'file:///etc/passwd'"),
        ("get_secret", ("tax",), "'tax'"),
        ("exec_command", ("/bin/sh", []), "'/bin/sh'"),
        ("read_file", (7,), "'7'"),
        ("read_file", (), "''"),
        ("open_door", ("a",), "'a'"),
        ("read_file", ("a" * 9000,), "(9000 characters)"),
    ],
)
def test_a_call_that_cannot_be_is_a_violation(
    desk: Desk, opened: Open, name: str, arguments: tuple[object, ...], shown: str
) -> None:
    desk.identity = RunIdentity(uuid.uuid4(), "ann")
    end = opened("read_file", "fetch_url", "get_secret", "exec_command").ends(name, *arguments)
    assert (end.exit_code, end.error_code) == (ExitCode.VIOLATION, "CAPABILITY_DENIED")
    assert end.message.startswith(f"{name}({shown}) was denied: ")
    (entry,) = desk.entries()
    assert (entry["kind"], entry["level"]) == ("host.call", "warn")
    assert (entry["call"]["function"], entry["call"]["target"]) == (name, shown)
    assert (entry["call"]["outcome"], entry["reason"] in end.message) == ("denied", True)


def test_malformed_calls_that_name_nothing_are_errors_alone(desk: Desk, opened: Open) -> None:
    session = opened("recall_memory")
    assert session.call("recall_memory", "x", 0) == ["err", "the limit is not within 1 and 50"]
    assert session.call("log", 1)[0] == "err"
    assert session.noted == []
    assert desk.entries() == []


# 3. The run has a capability for it, and it is granted still.


def test_what_is_not_declared_is_a_violation_and_recorded(desk: Desk, opened: Open) -> None:
    (desk.workspace / "a").write_text("x")
    session = opened("list_dir")
    end = session.ends("read_file", "./a/")
    assert (end.exit_code, end.error_code, end.limit) == (ExitCode.VIOLATION, "CAPABILITY_DENIED", None)
    reason = "the skill does not declare read_file in allowed-tools"
    assert end.message == f"read_file(a) was denied: {reason}"
    (entry,) = desk.entries()
    assert (entry["kind"], entry["level"], entry["skill"], entry["actor"]) == (
        "host.call", "warn", desk.path, "ann",
    )  # fmt: skip
    assert (entry["call"]["target"], entry["call"]["outcome"], entry["reason"]) == ("a", "denied", reason)
    assert session.noted == []


def test_what_the_run_did_not_ask_for_is_a_violation_that_says_how_to_ask(opened: Open) -> None:
    end = opened("list_dir", declared="list_dir read_file(a/*)").ends("read_file", "a/b")
    assert "nobody has granted it: grant read_file(a/*) to the skill" in end.message


def test_what_a_pattern_does_not_cover_is_a_violation(opened: Open) -> None:
    end = opened("read_file(a/*)").ends("read_file", "b")
    assert "no read_file that the skill declares covers b" in end.message


def test_a_grant_that_was_taken_back_ends_the_run(desk: Desk, opened: Open) -> None:
    session = opened("list_dir")
    session.call("list_dir", "")
    desk.run(desk.office.authority.revoke_capability(desk.path, "list_dir", "bob"))
    end = session.ends("list_dir", "")
    assert (end.exit_code, end.error_code) == (ExitCode.VIOLATION, "CAPABILITY_DENIED")
    assert "list_dir of . is granted no longer" in end.message


def test_a_capability_without_a_grant_does_not_help(opened: Open) -> None:
    assert opened("list_dir", granted=[]).ends("list_dir", "").error_code == "CAPABILITY_DENIED"


def test_a_revoked_skill_does_nothing_more(desk: Desk, opened: Open) -> None:
    session = opened("write_file")
    desk.run(desk.office.authority.revoke(desk.path, "it leaks", "", "bob"))
    end = session.ends("write_file", "a", "x")
    assert (end.exit_code, end.error_code) == (ExitCode.VIOLATION, "SKILL_REVOKED")
    assert not (desk.workspace / "a").exists()


@pytest.mark.parametrize("tier", list(TrustTier))
def test_commands_are_for_trusted_skills(desk: Desk, opened: Open, tier: TrustTier) -> None:
    desk.identity = RunIdentity(uuid.uuid4(), "ann")
    Ground.program(desk.commands / "touches", "touch touched")
    session = opened("exec_command", tier=tier)
    if tier.trusted:
        assert session.call("exec_command", "touches", []) == ["ok", ""]
    else:
        end = session.ends("exec_command", "touches", [])
        assert f"commands are for trusted skills, and this one is {tier.value}" in end.message
        assert desk.entries()[0]["call"]["outcome"] == "denied"
    assert (desk.workspace / "touched").exists() is tier.trusted


# 4. It is done, within the run's time.


def test_answers_and_errors_reach_the_skill(desk: Desk, opened: Open) -> None:
    session = opened("read_file", "write_file", "list_dir")
    assert session.call("write_file", "a/b", "text") == ["ok", None]
    assert session.call("read_file", "a/b") == ["ok", "text"]
    assert session.call("list_dir", "a") == ["ok", ["b"]]
    assert session.call("read_file", "none") == ["err", "there is no such file or directory"]
    assert session.noted == [
        ("write_file", "a/b", "ok"),
        ("read_file", "a/b", "ok"),
        ("list_dir", "a", "ok"),
        ("read_file", "none", "error"),
    ]
    assert desk.entries() == []


def test_what_no_grant_opens_ends_the_run_too(desk: Desk, opened: Open) -> None:
    end = opened("fetch_url").ends("fetch_url", "http://127.0.0.1:9/x?key=1")
    assert "leads to a private network or this machine" in end.message
    assert "key" not in end.message
    assert desk.entries()[0]["call"]["target"] == "http://127.0.0.1:9/x?…"


def test_a_run_out_of_time_does_nothing_more(desk: Desk, opened: Open) -> None:
    limits = Limits(time_ms=1, memory_bytes=1, output_bytes=1000)
    session = opened("write_file", "list_dir", limits=limits)
    session.call("list_dir", "")
    desk.run(asyncio.sleep(0.01))
    assert session.call("write_file", "a", "x") == ["err", "the run is out of time"]
    assert not (desk.workspace / "a").exists()


# 5. It is recorded.


def test_calls_that_reach_outside_are_entries_of_their_own_at_once(desk: Desk, opened: Open) -> None:
    Ground.program(desk.commands / "fails", "exit 3")
    session = opened("get_secret", "exec_command", "read_env(API_KEY)", "list_dir")
    assert session.call("get_secret", "TAX") == ["ok", SECRET]
    session.call("get_secret", "NONE")
    session.call("exec_command", "fails", [])
    session.call("read_env", "API_KEY")
    session.call("list_dir", "")
    found = [
        (e["level"], e["call"]["function"], e["call"]["target"], e["call"]["outcome"]) for e in desk.entries()
    ]
    assert found == [
        ("warn", "get_secret", "TAX", "ok"),
        ("warn", "get_secret", "NONE", "error"),
        ("warn", "exec_command", "fails", "error"),
        ("warn", "read_env", "API_KEY", "ok"),
    ]
    assert session.noted == [("list_dir", ".", "ok")]


def test_an_answer_that_cannot_be_recorded_is_withheld(desk: Desk, opened: Open) -> None:
    session = opened("get_secret")
    closed = Ledger(Database(settings_for("postgresql://nowhere")))
    session.session._ledger = closed
    with pytest.raises(StorageUnavailable):
        session.call("get_secret", "TAX")


def test_a_call_that_the_end_of_the_run_cuts_off_is_recorded_as_unknown(desk: Desk, opened: Open) -> None:
    Ground.program(desk.commands / "sleeps", "touch started; exec sleep 600")
    session = opened("exec_command")

    async def scenario() -> None:
        served = session.session(HostCall("exec_command", ("sleeps", [])))
        assert not isinstance(served, list)  # it has to be waited for
        task = asyncio.ensure_future(served)
        await until((desk.workspace / "started").exists)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    desk.run(scenario())
    (entry,) = desk.entries()
    assert (entry["call"]["outcome"], entry["reason"]) == ("unknown", "the run ended meanwhile")


def test_calls_for_which_an_entry_has_no_room_come_in_pages(opened: Open) -> None:
    count = HOST_CALLS_IN_ENTRY + HOST_CALLS_PER_PAGE + 2
    session = opened("read_file", limits=Limits(20_000, 1 << 20, 1000, host_calls=count))
    for number in range(count):
        session.call("read_file", f"{number}")
    assert [note.target for note in session.session.notes] == [str(n) for n in range(HOST_CALLS_IN_ENTRY)]
    pages = session.session.further_calls()
    assert [(page.kind, page.first, len(page.calls)) for page in pages] == [
        ("host.calls", HOST_CALLS_IN_ENTRY, HOST_CALLS_PER_PAGE),
        ("host.calls", HOST_CALLS_IN_ENTRY + HOST_CALLS_PER_PAGE, 2),
    ]
    targets = [call.target for page in pages for call in page.calls]
    assert targets == [str(number) for number in range(HOST_CALLS_IN_ENTRY, count)]


def test_without_further_calls_there_is_no_page(opened: Open) -> None:
    session = opened("list_dir")
    session.call("list_dir", "")
    assert session.session.further_calls() == []


# Secrets that were handed out are in no text that is kept.


@pytest.mark.parametrize(
    ("name", "argument"),
    [
        ("read_file", SECRET),
        ("read_file", f"../{SECRET}"),
        ("read_file", "../" + "x" * (190 - len(SECRET) // 2) + SECRET),  # across the end of what is kept
        ("fetch_url", f"https://a.vn/{SECRET}"),
        ("fetch_url", f"https://127.0.0.1/{SECRET}/x"),
        ("fetch_url", f"ftp://a.vn/{SECRET}"),
        ("get_secret", SECRET),
    ],
)
def test_what_is_recorded_and_told_of_a_call_holds_no_secret(
    desk: Desk, opened: Open, name: str, argument: str
) -> None:
    desk.identity = RunIdentity(uuid.uuid4(), "ann")
    session = opened("get_secret(TAX)", "read_file(none)", "fetch_url(https://b.vn/*)")
    session.call("get_secret", "TAX")
    end = session.ends(name, argument)
    entry = desk.entries()[-1]
    assert entry["call"]["outcome"] == "denied"
    for text in (end.message, str(entry)):
        for start in range(len(SECRET) - 6):
            assert SECRET[start : start + 6].lower() not in text.lower()


def test_texts_of_the_run_are_redacted_once_a_secret_was_handed_out(opened: Open) -> None:
    session = opened("get_secret")
    assert session.session.redact(SECRET) == SECRET  # nothing was handed out: it is the skill's own
    session.call("get_secret", "TAX")
    assert session.session.redact(f'{{"a": "{SECRET}"}}') == '{"a": "[secret TAX]"}'
    assert session.session.redact("other") == "other"
