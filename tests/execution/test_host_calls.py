"""Host calls of a skill, through every check of the service, to the ledger."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from subgraph.capabilities import TrustTier, authority
from subgraph.errors import GrantRequired, SkillRevoked
from subgraph.execution.invocation import Executor, Invocation
from tests.support import guests
from tests.support.host_calls import Call, calls, host_caller
from tests.support.postgres import empty_database, until
from tests.support.skills import OPERATOR, RunningService, component, service_in_process, skill_settings

SECRET = "s3cret-that-nobody-may-keep"

TOOLS = (
    "read_file(notes/**) write_file(out/**) list_dir(notes) get_secret(TOKEN) read_env(LANGUAGE_OF_TEST) "
    "exec_command(say) fetch_url(https://example.invalid/*)"
)

SCRIPT = """
import json, sys
import cyberos_host as host

FUNCTIONS = {name: getattr(host, name) for name in (
    "read_file", "write_file", "list_dir", "fetch_url", "get_secret", "read_env", "exec_command", "log")}

def outcome(name, *arguments):
    try:
        return {"ok": FUNCTIONS[name](*arguments)}
    except host.HostError as error:
        return {"err": str(error)}

print(json.dumps([outcome(*call) for call in json.load(sys.stdin)["calls"]]))
"""


@pytest.fixture(scope="module")
def running(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    home = tmp_path_factory.mktemp("home")
    (home / "secrets").mkdir()
    (home / "secrets" / "TOKEN").write_text(SECRET)
    (home / "commands").mkdir()
    (home / "commands" / "say").write_text("#!/bin/sh\nprintf 'said %s' \"$1\"\n")
    (home / "commands" / "say").chmod(0o755)
    notes = home / "workspace" / "notes"
    notes.mkdir(parents=True)
    (notes / "a.txt").write_text("một")
    (home / "workspace" / "out").mkdir()
    with pytest.MonkeyPatch.context() as patched, empty_database(server) as dsn:
        patched.setenv("LANGUAGE_OF_TEST", "vi")
        settings = skill_settings(
            home, dsn, workers=2, secrets_dir=home / "secrets", commands_dir=home / "commands"
        )
        with service_in_process(settings) as service:
            yield service


@pytest.fixture(params=[Executor.WASM, Executor.SCRIPT])
def executor(request: pytest.FixtureRequest) -> Executor:
    chosen = request.param
    assert isinstance(chosen, Executor)
    return chosen


@pytest.fixture
def name(running: RunningService, request: pytest.FixtureRequest) -> str:
    wanted = "".join(each if each.isalnum() else "-" for each in request.node.name.lower())
    name = "-".join(filter(None, wanted.split("-")))[-60:].strip("-")
    running.write(
        name,
        tools=TOOLS,
        guest=host_caller(),
        fields="metadata:\n  cyberos-script: scripts/main.py",
        files={"scripts/main.py": SCRIPT.encode(), "references/own.md": b"own"},
    )
    return name


def grant(running: RunningService, name: str, *capabilities: str) -> None:
    for capability in capabilities:
        running.run(running.service.oversight.grant(OPERATOR, name, capability))


def invoke(running: RunningService, name: str, executor: Executor, *made: Call, **options: Any) -> Invocation:
    return running.run(
        running.service.runner.invoke(OPERATOR, name, calls(*made), executor=executor, **options)
    )


def kinds(running: RunningService, name: str) -> list[str]:
    return [entry["kind"] for entry in running.entries(name) if not entry["kind"].startswith("grant")]


def test_what_was_granted_is_done_and_recorded(
    running: RunningService, name: str, executor: Executor
) -> None:
    grant(running, name, "read_file(notes/**)", "list_dir(notes)")
    answer = invoke(
        running, name, executor, ["read_file", "notes/a.txt"], ["list_dir", "notes"], ["log", "hello"]
    )
    assert (answer.exit_code, answer.error) == (0, None)
    assert answer.result == [{"ok": "một"}, {"ok": ["a.txt"]}, {"ok": None}]
    (entry,) = [entry for entry in running.entries(name) if entry["kind"] == "invocation.finished"]
    assert entry["hostCallCount"] == 3
    recorded = [(call["function"], call["target"], call["outcome"]) for call in entry["hostCalls"]]
    assert recorded[:2] == [("read_file", "notes/a.txt", "ok"), ("list_dir", "notes", "ok")]
    assert [(call.function, call.outcome) for call in answer.host_calls] == [
        (function, outcome) for function, _, outcome in recorded
    ]


def test_what_cannot_be_done_is_an_error_for_the_skill_alone(
    running: RunningService, name: str, executor: Executor
) -> None:
    grant(running, name, "read_file(notes/**)")
    answer = invoke(running, name, executor, ["read_file", "notes/none.txt"], ["read_file", "notes/a.txt"])
    assert answer.exit_code == 0
    assert isinstance(answer.result, list)
    assert list(answer.result[0]) == ["err"]
    assert answer.result[1] == {"ok": "một"}


@pytest.mark.parametrize("path", ["../a", "notes/../../a", "/etc/passwd", "out/a.txt", "notes"])
def test_what_was_not_granted_ends_the_run(
    running: RunningService, name: str, executor: Executor, path: str
) -> None:
    grant(running, name, "read_file(notes/**)")
    answer = invoke(running, name, executor, ["read_file", path], ["read_file", "notes/a.txt"])
    assert answer.exit_code == 126
    assert answer.error is not None
    assert answer.error.code == "CAPABILITY_DENIED"
    assert answer.result is None
    denied, finished = [
        entry for entry in running.entries(name) if entry["kind"] in ("host.call", "invocation.finished")
    ]
    assert (denied["level"], denied["call"]["outcome"]) == ("warn", "denied")
    assert denied["invocationId"] == finished["invocationId"] == str(answer.invocation_id)
    assert finished["exitCode"] == 126


def test_a_run_has_no_more_than_it_requested(running: RunningService, name: str, executor: Executor) -> None:
    grant(running, name, "read_file(notes/**)", "list_dir(notes)")
    answer = invoke(running, name, executor, ["list_dir", "notes"], capabilities=["read_file(notes/**)"])
    assert answer.exit_code == 126
    assert answer.error is not None
    assert "this call did not request it: let it request list_dir(notes)" in answer.error.message


def test_a_call_that_lacks_a_grant_leaves_one_request_for_an_operator(
    running: RunningService, name: str, executor: Executor
) -> None:
    for _ in range(2):
        with pytest.raises(GrantRequired):
            invoke(running, name, executor, capabilities=["list_dir(notes)"])
    oversight = running.service.oversight
    (request,) = [each for each in running.run(oversight.requests(OPERATOR)) if each.skill_path == name]
    assert (request.capability, request.state.value) == ("list_dir(notes)", "pending")
    running.run(oversight.answer(OPERATOR, request.request_id, approve=True))
    answer = invoke(running, name, executor, ["list_dir", "notes"], capabilities=["list_dir(notes)"])
    assert answer.result == [{"ok": ["a.txt"]}]


def test_a_run_that_ends_for_want_of_a_grant_leaves_a_request_and_shows_the_call(
    running: RunningService, name: str, executor: Executor
) -> None:
    answer = invoke(running, name, executor, ["log", "a"], ["list_dir", "notes"])
    assert answer.exit_code == 126
    assert [(call.function, call.outcome) for call in answer.host_calls][-1] == ("list_dir", "denied")
    requests = running.run(running.service.oversight.requests(OPERATOR))
    assert [each.capability for each in requests if each.skill_path == name] == ["list_dir(notes)"]
    invoke(running, name, executor, ["read_file", "elsewhere"])
    requests = running.run(running.service.oversight.requests(OPERATOR))
    assert [each.capability for each in requests if each.skill_path == name] == ["list_dir(notes)"]


def test_effects_are_announced_before_the_run(running: RunningService, name: str, executor: Executor) -> None:
    grant(running, name, "write_file(out/**)")
    answer = invoke(running, name, executor, ["write_file", f"out/{name}", "hai"])
    assert answer.exit_code == 0, answer.error
    assert (running.settings.workspace_dir / "out" / name).read_text() == "hai"
    assert kinds(running, name) == ["invocation.started", "invocation.finished"]
    started, finished = [entry for entry in running.entries(name) if not entry["kind"].startswith("grant")]
    assert started["invocationId"] == finished["invocationId"]
    (call,) = finished["hostCalls"]
    assert (call["function"], call["target"]) == ("write_file", f"out/{name}")
    assert "hai" not in json.dumps([started, finished])


def test_a_secret_reaches_the_skill_and_nothing_that_is_kept(
    running: RunningService, name: str, executor: Executor, caplog: pytest.LogCaptureFixture
) -> None:
    grant(running, name, "get_secret(TOKEN)")
    answer = invoke(running, name, executor, ["get_secret", "TOKEN"], ["log", SECRET])
    assert answer.result == [{"ok": SECRET}, {"ok": None}]
    assert SECRET not in json.dumps(running.entries(name))
    assert SECRET not in caplog.text


def test_a_variable_and_a_command_are_reached_by_name_alone(
    running: RunningService, name: str, executor: Executor
) -> None:
    grant(running, name, "read_env(LANGUAGE_OF_TEST)", "exec_command(say)")
    answer = invoke(
        running, name, executor, ["read_env", "LANGUAGE_OF_TEST"], ["exec_command", "say", ["$HOME; id"]]
    )
    assert answer.result == [{"ok": "vi"}, {"ok": "said $HOME; id"}]


def test_commands_are_for_trusted_skills_whatever_was_granted(running: RunningService, name: str) -> None:
    grant(running, name, "exec_command(say)")
    running.run(running.service.oversight.trust(OPERATOR, name, TrustTier.UNTRUSTED))
    answer = invoke(running, name, Executor.WASM, ["exec_command", "say", ["a"]])
    assert answer.exit_code == 126
    assert answer.error is not None
    assert "commands are for trusted skills" in answer.error.message


def test_a_skill_reads_its_own_files_as_they_were_granted(running: RunningService, name: str) -> None:
    running.write(
        name, tools="read_file(/skill/**)", guest=host_caller(), files={"references/own.md": b"own"}
    )
    grant(running, name, "read_file(/skill/**)")
    answer = invoke(running, name, Executor.WASM, ["read_file", "/skill/references/own.md"])
    assert answer.result == [{"ok": "own"}]


def test_a_run_makes_no_more_calls_than_its_limit(
    running: RunningService, name: str, executor: Executor
) -> None:
    running.run(running.service.oversight.limit(OPERATOR, name, {"host_calls": 3}))
    assert invoke(running, name, executor, *[["log", "a"]] * 3).exit_code == 0
    answer = invoke(running, name, executor, *[["log", "a"]] * 4)
    assert answer.exit_code == 137
    assert answer.error is not None
    assert (answer.error.code, "3 host calls" in answer.error.message) == ("LIMIT_EXCEEDED", True)


def test_many_calls_are_all_in_the_ledger(running: RunningService, name: str) -> None:
    grant(running, name, "read_file(notes/**)")
    answer = invoke(running, name, Executor.WASM, *[["read_file", "notes/a.txt"]] * 150)
    assert answer.exit_code == 0
    pages = [entry for entry in running.entries(name) if entry["kind"] == "host.calls"]
    (finished,) = [entry for entry in running.entries(name) if entry["kind"] == "invocation.finished"]
    assert finished["hostCallCount"] == 150
    assert len(finished["hostCalls"]) + sum(len(page["calls"]) for page in pages) == 150


def test_a_capability_that_is_withdrawn_is_lost_by_the_run_that_has_it(
    running: RunningService, name: str
) -> None:
    grant(running, name, "read_file(notes/**)", "exec_command(say)")
    commands = running.settings.commands_dir
    assert commands is not None
    waits = commands / "say"
    original = waits.read_text()
    started, withdrawn = (running.settings.home / f"{name}-{moment}" for moment in ("started", "withdrawn"))
    waits.write_text(f"#!/bin/sh\n: > {started}\nwhile ! [ -e {withdrawn} ]; do sleep 0.02; done\n")

    async def scenario() -> Invocation:
        made = calls(["exec_command", "say", []], ["read_file", "notes/a.txt"])
        running_call = asyncio.create_task(running.service.runner.invoke(OPERATOR, name, made))
        await until(started.exists, 10)
        await running.service.oversight.revoke_capability(OPERATOR, name, "read_file(notes/**)")
        withdrawn.touch()
        return await running_call

    try:
        answer = running.run(scenario())
    finally:
        waits.write_text(original)
    assert answer.exit_code == 126
    assert answer.error is not None
    assert answer.error.code == "CAPABILITY_DENIED"


def test_what_a_run_has_done_is_recorded_when_an_outage_ends_it(
    running: RunningService, name: str, executor: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    grant(running, name, "write_file(out/**)", "list_dir(notes)")
    notes = running.settings.workspace_dir / "out" / name

    async def scenario() -> Invocation:
        made = calls(["write_file", f"out/{name}", "x"], *[["list_dir", "notes"]] * 2000)
        call = asyncio.create_task(running.service.runner.invoke(OPERATOR, name, made, executor=executor))
        await until(notes.exists, 10)
        monkeypatch.setattr(authority, "STALE_SECONDS", -1.0)  # whatever was read, it is too long ago
        return await call

    answer = running.run(scenario())
    assert answer.exit_code == 1
    assert answer.error is not None
    assert answer.error.code == "STORAGE_UNAVAILABLE"
    finished = running.entries(name)[-1]
    assert (finished["kind"], finished["error"]["code"]) == ("invocation.finished", "STORAGE_UNAVAILABLE")
    assert (finished["hostCalls"][0]["function"], finished["hostCalls"][0]["outcome"]) == ("write_file", "ok")


@pytest.mark.parametrize("kind", ["component", "script"])
def test_a_revocation_ends_what_runs_and_refuses_what_waits(
    running: RunningService, name: str, kind: str
) -> None:
    if kind == "component":
        running.write(name, guest=component(guests.LOOPS))
    else:
        running.write(
            name,
            fields="metadata:\n  cyberos-script: scripts/main.py",
            files={"scripts/main.py": b"while True: pass\n"},
        )
    service = running.service

    async def scenario() -> list[Invocation | BaseException]:
        by = Executor.WASM if kind == "component" else Executor.SCRIPT
        tasks = [
            asyncio.create_task(service.runner.invoke(OPERATOR, name, {}, executor=by)) for _ in range(6)
        ]
        await until(
            lambda: (
                sum(each.started_at is not None for each in service._runtime.invoker._running.values()) >= 1
            )
        )
        await asyncio.sleep(0.3)
        await service.oversight.revoke(OPERATOR, name, "it loops")
        return await asyncio.gather(*tasks, return_exceptions=True)

    outcomes = running.run(scenario())
    ended = [each for each in outcomes if isinstance(each, Invocation)]
    refused = [each for each in outcomes if isinstance(each, SkillRevoked)]
    assert len(ended) >= 1
    assert len(ended) + len(refused) == 6, outcomes
    for each in ended:
        assert each.exit_code == 126
        assert each.error is not None
        assert each.error.code == "SKILL_REVOKED"
        assert "it loops" in each.error.message
    entries = running.entries(name)
    assert sum(entry["kind"] == "invocation.finished" for entry in entries) == len(ended)
    assert sum(entry["kind"] == "invocation.refused" for entry in entries) == len(refused)
    with pytest.raises(SkillRevoked):
        running.run(service.runner.invoke(OPERATOR, name, {}))
    running.write("echo-after", guest=component())
    assert running.run(service.runner.invoke(OPERATOR, "echo-after", {})).exit_code == 0


def test_files_of_the_workspace_are_reached_beneath_it_alone(
    running: RunningService, name: str, executor: Executor, tmp_path: Path
) -> None:
    (tmp_path / "outside.txt").write_text("canary")
    link = running.settings.workspace_dir / "notes" / f"{name}.txt"
    link.symlink_to(tmp_path / "outside.txt")
    grant(running, name, "read_file(notes/**)")
    answer = invoke(running, name, executor, ["read_file", f"notes/{link.name}"])
    assert "canary" not in json.dumps(answer.result)
