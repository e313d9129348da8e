"""Components that open files by themselves: what they see, in a worker of their own, and for how long."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest

from subgraph.errors import ExecutionFailed, Overloaded
from subgraph.execution.engine import EngineProfile
from subgraph.execution.executors import Order
from subgraph.execution.granted_directories import GrantedDirectory
from subgraph.execution.limits import Limits
from subgraph.execution.pool import WorkerPool
from subgraph.execution.protocol import HostCall, Reply
from tests.execution.pools import compiled, open_pool, until, worker_pids
from tests.support import guests
from tests.support.guests import MIB
from tests.support.kernel import needs_landlock
from tests.support.skills import OPERATOR, RunningService, component
from tests.support.wasi_guest import CREATE, READ, SCRATCH, WRITE, Outcome, Program, Word, machine
from tests.support.wasi_interfaces import FILES, HOST

pytestmark = needs_landlock

T = TypeVar("T")

LIMITS = Limits(time_ms=10_000, memory_bytes=64 * MIB, output_bytes=MIB)
BRIEF = replace(LIMITS, time_ms=300)

_COMPONENTS = {
    "files": machine(*FILES),
    "files and host": machine(*FILES, *HOST),
    "pure": guests.ECHO,
}


class Driver:
    """A pool of two workers, and directories, driven from tests that are not coroutines."""

    def __init__(self, runner: asyncio.Runner, pool: WorkerPool) -> None:
        self._runner = runner
        self.pool = pool

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(asyncio.wait_for(coroutine, 30))

    async def start(
        self, program: Program, *directories: GrantedDirectory, limits: Limits = LIMITS, skill: str = "a",
        key: str = "files",
    ) -> Reply:  # fmt: skip
        async def host(call: HostCall) -> list[object]:
            return ["ok", f"{call.name} {call.arguments[0]}"]

        text = json.dumps(program.input, separators=(",", ":"))
        return await self.pool.call(key, text, limits, skill=skill, host=host, directories=directories)

    def call(
        self, program: Program, *directories: GrantedDirectory, limits: Limits = LIMITS, key: str = "files"
    ) -> Reply:
        return self.run(self.start(program, *directories, limits=limits, key=key))

    def outcomes(self, program: Program, *directories: GrantedDirectory, key: str = "files") -> list[Outcome]:
        reply = self.call(program, *directories, key=key)
        assert reply.error is None
        return program.outcomes(json.loads(str(reply.output)))


@pytest.fixture(scope="module")
def driver() -> Iterator[Driver]:
    machine_code = {name: compiled(text) for name, text in _COMPONENTS.items()}
    with asyncio.Runner() as runner:
        opened = open_pool(machine_code, size=2, queue_limit=8)
        pool = runner.run(opened.__aenter__())
        yield Driver(runner, pool)
        runner.run(opened.__aexit__(None, None, None))


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for name in ("one", "two", "one/within"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(f"of {name}")
    return tmp_path


def directory(place: Path, name: str, *, writable: bool = False) -> GrantedDirectory:
    return GrantedDirectory(place / name, name, writable)


def reads(path: str = "file", *, count: int = 1) -> Program:
    """Read a file of each directory that was opened before."""
    program = Program()
    for index in range(count):
        program.read(program.open(program.directory(index), path))
    return program


def writes(path: str = "new") -> Program:
    program = Program()
    file = program.open(program.directory(), path, READ | WRITE, how=CREATE)
    program.call("write", file, b"written", 0)
    return program


def loops() -> Program:
    program = Program()
    start = program.here()
    program.store(SCRATCH, 2)
    program.times(SCRATCH, start)
    return program


@pytest.mark.parametrize("key", ["files", "files and host"])
def test_a_directory_is_read_only_unless_writing_was_granted(driver: Driver, place: Path, key: str) -> None:
    assert [each.shown for each in driver.outcomes(reads(), directory(place, "one"), key=key)][1] == b"of one"
    (denied,) = driver.outcomes(writes(), directory(place, "one"), key=key)
    assert (denied.step, denied.error) == ("open-at", "not-permitted")
    assert not (place / "one" / "new").exists()
    done = driver.outcomes(writes(), directory(place, "one", writable=True), key=key)
    assert [each.error for each in done] == ["ok", "ok"]
    assert (place / "one" / "new").read_text() == "written"


def test_a_component_may_have_directories_and_host_calls(driver: Driver, place: Path) -> None:
    program = reads()
    slot = program.call("host-read-file", "elsewhere")
    program.show("text", Word(slot + 4), Word(slot + 8))
    outcomes = driver.outcomes(program, directory(place, "one"), key="files and host")
    assert [each.shown for each in outcomes][1] == b"of one"
    assert outcomes[-1].shown == b"read_file elsewhere"


def test_several_directories_are_seen_by_their_names(driver: Driver, place: Path) -> None:
    program = reads(count=3)
    program.names_of_directories(3)
    names = ("two", "one", "one/within")
    outcomes = driver.outcomes(program, *(directory(place, name) for name in names))
    assert [each.shown.decode() for each in outcomes if each.step == "read"] == [
        f"of {name}" for name in names
    ]
    assert [each.shown.decode() for each in outcomes if each.step == "name"] == list(names)


def test_a_directory_may_be_written_within_one_that_may_not(driver: Driver, place: Path) -> None:
    granted = (directory(place, "one/within", writable=True), directory(place, "one"))
    assert all(each.ok for each in driver.outcomes(writes(), *granted))
    assert (place / "one" / "within" / "new").read_text() == "written"
    assert not any(each.ok for each in driver.outcomes(writes(), *reversed(granted)))
    assert not any(each.ok for each in driver.outcomes(writes("within/other"), *reversed(granted)))


def test_without_a_grant_nothing_is_opened_before(driver: Driver) -> None:
    program = Program()
    program.names_of_directories(0)
    (count,) = driver.outcomes(program)
    assert count.shown == bytes(4)


def test_the_next_call_has_none_of_the_directories_of_the_last(driver: Driver, place: Path) -> None:
    program = Program()
    program.names_of_directories(0)
    counts = [
        driver.outcomes(program, *granted)[0].shown[0] for granted in [(directory(place, "one"),), ()] * 3
    ]
    assert counts == [1, 0] * 3


@pytest.mark.parametrize("gone", ["nothing", "link", "to-one/within"])
def test_a_directory_that_went_away_after_the_check_ends_the_call(
    driver: Driver, place: Path, gone: str
) -> None:
    (place / "link").symlink_to("two")
    (place / "to-one").symlink_to("one")
    with pytest.raises(ExecutionFailed):
        driver.call(reads(), directory(place, gone))
    assert driver.outcomes(reads(), directory(place, "one"))[1].shown == b"of one"


def _grows_and_fills() -> Program:
    program = Program()
    program.grow(1024 * MIB)
    program.fill(SCRATCH, 1, 512 * MIB)
    return program


def _shows(size: int) -> Program:
    program = Program()
    program.show("zeros", SCRATCH, size)
    return program


@pytest.mark.parametrize(
    ("program", "limits", "exit_code", "limit"),
    [
        (loops(), BRIEF, 124, "time"),
        (_grows_and_fills(), LIMITS, 137, "memory"),
        (_shows(400_000), replace(LIMITS, output_bytes=64 * 1024), 137, "output"),
    ],
    ids=["time", "memory", "output"],
)
def test_limits_hold_in_a_worker_of_its_own(
    driver: Driver, place: Path, program: Program, limits: Limits, exit_code: int, limit: str
) -> None:
    reply = driver.call(program, directory(place, "one"), limits=limits)
    assert (reply.exit_code, reply.error_code, reply.limit) == (exit_code, "LIMIT_EXCEEDED", limit)


@pytest.mark.parametrize("program", [reads(), reads("nothing"), loops()], ids=["answers", "fails", "loops"])
def test_the_worker_ends_with_its_call(driver: Driver, place: Path, program: Program) -> None:
    driver.run(until(lambda: len(worker_pids(driver.pool)) == 2))
    before = worker_pids(driver.pool)
    driver.call(program, directory(place, "one"), limits=BRIEF)
    driver.run(until(lambda: worker_pids(driver.pool) == before))
    assert not driver.pool._outside


def test_the_worker_ends_when_its_caller_leaves(driver: Driver, place: Path) -> None:
    async def leaves() -> None:
        call = asyncio.ensure_future(driver.start(loops(), directory(place, "one")))
        await until(lambda: len(worker_pids(driver.pool)) == 3)
        call.cancel()
        await asyncio.wait((call,))
        await until(lambda: len(worker_pids(driver.pool)) == 2)

    driver.run(leaves())
    assert not driver.pool._outside
    assert driver.outcomes(reads(), directory(place, "one"))[1].shown == b"of one"


def test_a_skill_that_loops_does_not_keep_another_one_waiting(driver: Driver, place: Path) -> None:
    granted = directory(place, "one")

    async def scenario() -> tuple[list[Reply], int]:
        looping = [
            asyncio.ensure_future(driver.start(loops(), granted, limits=BRIEF, skill="loops"))
            for _ in range(4)
        ]
        await until(lambda: len(driver.pool._outside) == 1)
        others = [await driver.start(reads(), granted, skill="reads") for _ in range(3)]
        still = sum(not each.done() for each in looping)
        await asyncio.gather(*looping)
        return others, still

    others, still = driver.run(scenario())
    assert [reply.exit_code for reply in others] == [0, 0, 0]
    assert still > 0


def test_calls_beyond_the_queue_are_refused(driver: Driver, place: Path) -> None:
    granted = directory(place, "one")

    async def scenario() -> list[Reply | BaseException]:
        calls = [driver.start(loops(), granted, limits=BRIEF, skill=str(number)) for number in range(12)]
        return await asyncio.gather(*calls, return_exceptions=True)

    ended = driver.run(scenario())
    assert sum(isinstance(each, Overloaded) for each in ended) == 2  # two run, eight wait
    assert [each.exit_code for each in ended if isinstance(each, Reply)] == [124] * 10


def _grant(running: RunningService, name: str, *capabilities: str) -> None:
    for capability in capabilities:
        running.run(running.service.oversight.grant(OPERATOR, name, capability))


def test_a_call_gets_the_directories_that_it_requests(running: RunningService) -> None:
    tools = "read_file(one/**) write_file(two/**)"
    running.write("requests", tools=tools, guest=component(machine(*FILES)))
    for name in ("one", "two"):
        (running.settings.workspace_dir / name).mkdir(parents=True)
    _grant(running, "requests", *tools.split())

    def seen(*capabilities: str) -> int:
        program = Program()
        program.names_of_directories(0)
        answer = running.run(running.service.runner.invoke(OPERATOR, "requests", program.input, capabilities))
        return program.outcomes(answer.result)[0].shown[0]

    assert seen(*tools.split()) == 2
    assert [seen("read_file(one/**)"), seen("write_file(two/**)"), seen()] == [1, 1, 0]
    assert seen("read_file(one/deeper/**)") == 0


def test_a_component_without_files_runs_in_a_worker_of_all(
    running: RunningService, monkeypatch: pytest.MonkeyPatch
) -> None:
    running.write("pure", tools="read_file", guest=component(guests.ECHO))
    _grant(running, "pure", "read_file")
    running.run(running.service.runner.invoke(OPERATOR, "pure", {}))
    monkeypatch.setattr(WorkerPool, "_call_dedicated", None)
    answer = running.run(running.service.runner.invoke(OPERATOR, "pure", {"a": 1}))
    assert (answer.result, answer.capabilities) == ({"a": 1}, ("read_file",))


def test_a_skill_reads_the_bytes_of_its_own_that_were_granted(running: RunningService) -> None:
    """Bytes that changed on the disk after its activation are not seen, by whoever runs it then."""
    running.write(
        "own", tools="read_file(/skill/**)", guest=component(machine(*FILES)), files={"data/file": b"granted"}
    )
    _grant(running, "own", "read_file(/skill/**)")
    program = reads("data/file")
    program.names_of_directories(1)
    answer = running.run(running.service.runner.invoke(OPERATOR, "own", program.input))
    outcomes = program.outcomes(answer.result)
    assert [each.shown for each in outcomes if each.step in ("read", "name")] == [b"granted", b"/skill"]

    service = running.service
    skill = running.run(service._catalog.activate("own"))
    capabilities = service._broker.check(skill, None)
    (running.skills / "own" / "data" / "file").write_bytes(b"changed")
    order = Order(
        skill, json.dumps(program.input, separators=(",", ":")), LIMITS, capabilities, _no_host, lambda: None
    )

    async def run() -> Reply:
        executor = next(iter(service._runtime.executors.values()))
        return await (await executor.prepare(skill, EngineProfile.OPEN))(order)

    reply = running.run(run())
    assert program.outcomes(json.loads(str(reply.output)))[1].shown == b"granted"
    assert all(b"changed" not in each.shown for each in program.outcomes(json.loads(str(reply.output))))


async def _no_host(call: HostCall) -> list[object]:
    raise AssertionError(call)


def test_a_skill_cannot_write_to_its_own_directory(running: RunningService) -> None:
    running.write("own-write", tools="read_file(/skill/**)", guest=component(machine(*FILES)))
    _grant(running, "own-write", "read_file(/skill/**)")
    program = writes("SKILL.md")
    answer = running.run(running.service.runner.invoke(OPERATOR, "own-write", program.input))
    assert [each.error for each in program.outcomes(answer.result)] == ["not-permitted"]
