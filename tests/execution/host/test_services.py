"""The services as a whole: what they ask before they do anything, and the bounds that hold for all calls."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from subgraph.capabilities import Capability
from subgraph.execution.host import (
    CallContext,
    HostCallDenied,
    HostCallError,
    HostCallInvalid,
    HostServices,
    Redactor,
    services,
)
from subgraph.execution.host.files import BLOCK, RUN_WRITE_LIMIT
from subgraph.execution.host.services import LOG_LIMIT, LOG_LINES_LIMIT, MESSAGE_LIMIT, Answer
from tests.security.ground import Ground
from tests.support.postgres import run, until

LIMIT = 1000
ENVIRONMENT = {"COMPANY": "An Bình", "SKILL_SECRET_TAX": "the-tax-token", "CYBEROS_JWT_KEY": "key"}


class Host:
    """Services on directories of one test, and calls with what is granted."""

    def __init__(self, root: Path) -> None:
        self.workspace, self.skill = root / "workspace", root / "skill"
        self.memory, self.commands = root / "memory", root / "commands"
        for folder in (self.workspace, self.skill, self.memory, self.commands):
            folder.mkdir()
        self.redactor = Redactor()
        self.asked: list[tuple[str, str]] = []

    def call(
        self, name: str, *arguments: object, grants: Sequence[str] | None = None, seconds: float = 20.0
    ) -> Answer:
        return self.calls((name, *arguments), grants=grants, seconds=seconds)[0]

    def calls(
        self, *calls: tuple[object, ...], grants: Sequence[str] | None = None, seconds: float = 20.0
    ) -> list[Answer]:
        """Make calls of one run one after the other; without `grants` all is granted."""
        host_services = HostServices(self.workspace, None, self.memory, self.commands, ENVIRONMENT)

        def permits(name: str, target: str) -> bool:
            self.asked.append((name, target))
            return grants is None or any(Capability(*one.split(" ")).admits(target) for one in grants)

        async def scenario() -> list[Answer]:
            async with host_services:
                context = CallContext(
                    skill_dir=self.skill,
                    permits=permits,
                    deadline=asyncio.get_running_loop().time() + seconds,
                    byte_limit=LIMIT,
                    skill="a/b",
                    redactor=self.redactor,
                )
                return [await host_services.perform(str(name), rest, context) for name, *rest in calls]

        return run(scenario())


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_files_are_those_of_the_workspace_and_of_the_skill(host: Host) -> None:
    (host.skill / "a.txt").write_text("of the skill")
    assert host.call("write_file", "out/a.txt", "of the workspace") is None
    assert host.call("read_file", "out/a.txt") == "of the workspace"
    assert host.call("read_file", "/workspace/out/a.txt") == "of the workspace"
    assert host.call("read_file", "/skill/a.txt") == "of the skill"
    assert host.call("list_dir", "") == ["out/"]
    assert host.call("list_dir", "/skill") == ["a.txt"]
    with pytest.raises(HostCallDenied, match="read only"):
        host.call("write_file", "/skill/a.txt", "changed")
    assert (host.skill / "a.txt").read_text() == "of the skill"


def test_names_notes_and_programs(host: Host) -> None:
    (host.memory / "a.md").write_text("the invoice of March\n\nand of April")
    Ground.program(host.commands / "say", "echo $1")
    assert host.call("read_env", "COMPANY") == "An Bình"
    assert host.call("get_secret", "TAX") == "the-tax-token"
    assert host.call("recall_memory", "march", 5) == ["the invoice of March"]
    assert host.call("exec_command", "say", ["xin chào"]) == "xin chào\n"


def test_what_is_granted_is_asked_about_the_one_form_before_anything_is_done(host: Host) -> None:
    with pytest.raises(HostCallDenied, match=r"write_file\(a/b\) is not granted"):
        host.call("write_file", "./a/b/", "x", grants=["write_file c/*"])
    assert host.asked == [("write_file", "a/b")]
    assert list(host.workspace.iterdir()) == []
    with pytest.raises(HostCallDenied, match=r"fetch_url\(https://a\.vn/x\?…\) is not granted"):
        host.call("fetch_url", "https://a.vn/x?key=1", grants=[])


def test_malformed_calls_are_not_asked_about(host: Host) -> None:
    with pytest.raises(HostCallInvalid):
        host.call("read_file", "../a")
    assert host.asked == []


def test_the_log_needs_no_grant(host: Host, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    assert host.call("log", "xin chào", grants=[]) is None
    assert caplog.messages == ["skill a/b says: xin chào"]


def test_the_log_is_one_line_of_what_can_be_shown_without_secrets(
    host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    secret = "the-tax-token"
    host.calls(
        ("get_secret", "TAX"),
        ("log", f"a\nb\x1b[0m\u202ec {secret}"),
        ("log", "x" * (LOG_LIMIT - 5) + secret),
    )
    first, second = caplog.messages
    assert first == "skill a/b says: a\\nb\\x1b[0m\\u202ec [secret TAX]"
    assert "the-t" not in second
    assert len(second) < LOG_LIMIT + 50


def test_messages_of_one_run_are_counted(host: Host, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    host.calls(*[("log", "again")] * LOG_LINES_LIMIT)
    assert len(caplog.messages) == LOG_LINES_LIMIT
    with pytest.raises(HostCallError, match="at most 100 messages"):
        host.calls(*[("log", "again")] * (LOG_LINES_LIMIT + 1))


def test_what_one_run_writes_is_counted(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "RUN_WRITE_LIMIT", 4 * BLOCK)
    host.calls(*[("write_file", "a", "new")] * 3, ("write_file", "b", ""))
    host.calls(*[("write_file", "a", "newer")] * 4)  # another run has as much
    with pytest.raises(HostCallError, match=f"a run writes at most {RUN_WRITE_LIMIT} bytes"):
        host.calls(*[("write_file", "a", "newest")] * 4, ("write_file", "a", "too much"))
    assert (host.workspace / "a").read_text() == "newest"
    with pytest.raises(HostCallError, match="a run writes at most"):
        host.calls(("write_file", "folder/a", ""), ("write_file", "b", ""), ("write_file", "deep/er/a", ""))
    assert sorted(os.listdir(host.workspace)) == ["a", "b", "folder"]


def test_what_was_not_written_is_not_counted(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "RUN_WRITE_LIMIT", BLOCK)
    (host.workspace / "folder").mkdir()

    async def scenario() -> None:
        async with HostServices(host.workspace, None, None, None, {}) as opened:
            context = CallContext(host.skill, lambda *_: True, asyncio.get_running_loop().time() + 20, LIMIT)
            for path, content in (("folder", ""), ("a", "x" * (LIMIT + 1)), ("new/a", "")):
                with pytest.raises(HostCallError):
                    await opened.perform("write_file", (path, content), context)
            assert context.written == 0
            await opened.perform("write_file", ("a", "whole"), context)
            assert context.written == BLOCK

    run(scenario())
    assert (host.workspace / "a").read_text() == "whole"


def test_a_message_has_a_bound(host: Host, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    host.call("log", "x" * MESSAGE_LIMIT)
    with pytest.raises(HostCallError, match="at most 16384 characters"):
        host.call("log", "x" * (MESSAGE_LIMIT + 1))
    assert len(caplog.messages) == 1


def test_a_secret_that_was_handed_out_is_known_to_the_redactor(host: Host) -> None:
    host.call("get_secret", "TAX")
    assert host.redactor.redact("x the-tax-token y") == "x [secret TAX] y"


def test_answers_are_bounded(host: Host) -> None:
    (host.workspace / "a").write_text("x" * (LIMIT + 1))
    (host.memory / "a.md").write_text("\n\n".join(f"word {number} " + "x" * 300 for number in range(9)))
    with pytest.raises(HostCallError, match=f"more than {LIMIT} bytes"):
        host.call("read_file", "a")
    found = host.call("recall_memory", "word", 9)
    assert isinstance(found, list)
    assert 0 < sum(len(one.encode()) for one in found) <= LIMIT


def test_nothing_is_done_without_time(host: Host) -> None:
    with pytest.raises(HostCallError, match="the run is out of time"):
        host.call("write_file", "a", "x", seconds=0)
    assert list(host.workspace.iterdir()) == []


def test_a_disk_that_does_not_answer_does_not_hold_the_call(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = threading.Event()
    monkeypatch.setattr("subgraph.execution.host.services.read_text", lambda *_: answers.wait(20))
    threading.Timer(1.0, answers.set).start()
    with pytest.raises(HostCallError, match="the run is out of time"):
        host.call("read_file", "a", seconds=0.2)


def test_what_was_not_set_up_is_told(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with HostServices(tmp_path, None, None, None, {}) as services:
            context = CallContext(tmp_path, lambda *_: True, asyncio.get_running_loop().time() + 20, LIMIT)
            for name, arguments, setting in (
                ("get_secret", ("TAX",), "CYBEROS_SECRETS_DIR"),
                ("recall_memory", ("a", 1), "CYBEROS_MEMORY_DIR"),
                ("exec_command", ("git", []), "CYBEROS_COMMANDS_DIR"),
            ):
                with pytest.raises(HostCallError, match=setting):
                    await services.perform(name, arguments, context)

    run(scenario())


def test_closing_stops_programs_that_run(tmp_path: Path) -> None:
    host = Host(tmp_path)
    Ground.program(host.commands / "sleeps", "echo started > started; exec sleep 600")

    async def scenario() -> None:
        services = HostServices(host.workspace, None, None, host.commands, {})
        context = CallContext(host.skill, lambda *_: True, asyncio.get_running_loop().time() + 600, LIMIT)
        async with services:
            call = asyncio.create_task(services.perform("exec_command", ("sleeps", []), context))
            await until((host.workspace / "started").exists)
        with pytest.raises(HostCallError, match="ran out of time"):
            await call
        with pytest.raises(RuntimeError, match="not open"):
            await services.perform("read_env", ("A",), context)

    run(scenario())


@pytest.mark.parametrize("place", ["workspace", "workspace/secrets", "."])
@pytest.mark.parametrize("position", [0, 1, 2])
def test_what_only_the_operator_may_write_lies_apart_from_the_workspace(
    tmp_path: Path, place: str, position: int
) -> None:
    (tmp_path / "workspace" / "secrets").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / place)
    for other in (tmp_path / place, tmp_path / "link"):
        secrets, memory, commands = (other if each == position else None for each in range(3))
        with pytest.raises(ValueError, match="must not lie within each other"):
            HostServices(tmp_path / "workspace", secrets, memory, commands, {})
