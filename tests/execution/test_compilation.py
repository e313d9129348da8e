from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from subgraph.errors import ExecutionFailed, SourceInvalid
from subgraph.execution import compilation
from subgraph.execution.compilation import Compiler
from subgraph.execution.confinement import landlock_available
from subgraph.execution.engine import EngineProfile, machine_code_key
from tests.execution.pools import children, compiled, is_dead, process_file, until
from tests.security.altered import replace_interpreter
from tests.support import guests
from tests.support.postgres import run

SECRET = "s3cret-of-the-parent-77aa"


def compile_(component: bytes, *, landlock: bool | None = None) -> bytes:
    """Compile in the service's way, and see that no process is left."""

    async def scenario() -> bytes:
        before = children(os.getpid())
        try:
            compiler = Compiler(landlock=landlock_available() if landlock is None else landlock)
            return await compiler.compile(component, EngineProfile.OPEN)
        finally:
            await until(lambda: children(os.getpid()) == before)

    return run(scenario())


def test_a_component_compiles() -> None:
    assert compiled(guests.ECHO)[:4] == b"\x7fELF"


def test_a_component_compiles_on_a_kernel_without_landlock() -> None:
    assert compile_(guests.binary(guests.ECHO), landlock=False) == compiled(guests.ECHO)


@pytest.mark.parametrize(
    ("component", "reason"),
    [
        (b"", "the bytes are not WebAssembly"),
        (b"#!/bin/sh\n", "the bytes are not WebAssembly"),
        (guests.binary(guests.CORE_MODULE), "the bytes are a core module"),
        (guests.GARBAGE, "not a WebAssembly component"),
        (guests.binary(guests.ECHO)[:-10], "not a WebAssembly component"),
        (guests.binary(guests.IMPORTS_A_HOST), "does not offer: cyberos:elsewhere/host@0.1.0"),
        (guests.binary(guests.IMPORTS_AN_UNKNOWN_WASI), "does not offer: wasi:nothing/nothing@0.2.0"),
        (guests.binary(guests.EXPORTS_ANOTHER_RUN), "does not export `run: func"),
        (guests.binary(guests.EXPORTS_NO_RUN), "does not export `run: func"),
    ],
    ids=[
        "empty",
        "script",
        "core module",
        "garbage",
        "cut",
        "unknown import",
        "unknown WASI",
        "other run",
        "no run",
    ],
)
def test_bytes_that_are_no_skill_are_refused_with_the_reason(component: bytes, reason: str) -> None:
    with pytest.raises(SourceInvalid, match=reason):
        compile_(component)


def test_a_component_over_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    component = guests.binary(guests.ECHO)
    monkeypatch.setattr(compilation, "COMPONENT_LIMIT", len(component) - 1)
    with pytest.raises(SourceInvalid, match=f"over {len(component) - 1} bytes"):
        compile_(component)


def test_a_compiler_that_is_killed_is_a_failure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    replace_interpreter(monkeypatch, tmp_path, "kill -9 $$")
    with pytest.raises(ExecutionFailed, match="the compiler was stopped"):
        compile_(guests.binary(guests.ECHO))


def test_a_compiler_that_hangs_is_killed_at_its_limit(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    replace_interpreter(monkeypatch, tmp_path, "exec sleep 60")
    monkeypatch.setattr(compilation, "TIME_LIMIT_SECONDS", 0.2)
    with pytest.raises(ExecutionFailed, match=r"longer than 0\.2 s"):
        compile_(guests.binary(guests.ECHO))


def test_a_cancelled_compilation_leaves_no_process_and_no_lock(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    replace_interpreter(monkeypatch, tmp_path, "exec sleep 60")

    async def scenario() -> None:
        before = children(os.getpid())
        compiler = Compiler(landlock=landlock_available())
        first = asyncio.create_task(compiler.compile(guests.binary(guests.ECHO), EngineProfile.OPEN))
        second = asyncio.create_task(compiler.compile(guests.binary(guests.ECHO), EngineProfile.OPEN))
        await until(lambda: len(children(os.getpid())) == len(before) + 1)
        second.cancel()
        first.cancel()
        await asyncio.wait([first, second])
        assert children(os.getpid()) == before
        monkeypatch.undo()
        assert await compiler.compile(guests.binary(guests.ECHO), EngineProfile.OPEN)

    run(scenario())


def test_a_compiler_is_killed_while_it_reads() -> None:
    async def scenario() -> None:
        before = set(children(os.getpid()))
        compiling = asyncio.create_task(
            Compiler(landlock=landlock_available()).compile(guests.binary(guests.ECHO), EngineProfile.OPEN)
        )
        await until(lambda: set(children(os.getpid())) > before)
        (compiler,) = set(children(os.getpid())) - before
        os.kill(compiler, signal.SIGKILL)
        with pytest.raises(ExecutionFailed, match="the compiler was stopped"):
            await compiling
        assert is_dead(compiler)

    run(scenario())


def test_a_compiler_does_not_see_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CYBEROS_TEST_SECRET", SECRET)
    replace_interpreter(monkeypatch, tmp_path, "cat /proc/self/environ; env")
    assert SECRET in process_file(os.getpid(), "environ") or SECRET in os.environ.values()
    seen = compile_(guests.binary(guests.ECHO)).decode()
    assert SECRET not in seen
    assert not {"HOME=", "PATH=/"} & set(seen.split())


def test_the_key_of_machine_code_follows_from_the_component() -> None:
    assert machine_code_key("a" * 64, EngineProfile.OPEN) == machine_code_key("a" * 64, EngineProfile.OPEN)
    assert machine_code_key("a" * 64, EngineProfile.OPEN) != machine_code_key("b" * 64, EngineProfile.OPEN)


def test_a_small_component_cannot_become_large_machine_code() -> None:
    far_apart = '(core module $m{} (memory 256) (data (i32.const 0) "{}") (data (i32.const 16777208) "z"))'
    modules = "".join(far_apart.format(number, number) for number in range(3))
    with pytest.raises(SourceInvalid, match="times its size"):
        compiled(guests.ECHO.replace("(component", f"(component {modules}", 1))
