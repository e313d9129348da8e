"""Machine code is kept from one start to the next, and trusted as far as its bytes are the same."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from subgraph.execution.engine import EngineProfile, machine_code_key
from subgraph.execution.executors import WasmExecutor
from subgraph.execution.invocation import Executor, Invocation
from subgraph.execution.machine_code import MachineCodeCache
from tests.support import guests
from tests.support.skills import OPERATOR, RunningService, component

ECHO = component()


def invoke(running: RunningService, name: str) -> Invocation:
    return running.run(running.service.runner.invoke(OPERATOR, name, {"a": 1}))


def machine_code_cache(running: RunningService) -> MachineCodeCache:
    executor = running.service._runtime.executors[Executor.WASM]
    assert isinstance(executor, WasmExecutor)
    return executor._machine_code


class Compilations:
    """Counts compilations of the service's machine code cache."""

    def __init__(self, running: RunningService, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        compiler = machine_code_cache(running)._compiler
        self._compile = compiler.compile
        monkeypatch.setattr(compiler, "compile", self)

    async def __call__(self, component: bytes, profile: EngineProfile) -> bytes:
        self.count += 1
        return await self._compile(component, profile)


def unload(running: RunningService, key: str) -> None:
    running.run(running.service._runtime.pool.unload(key))


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "another", "removed"])
def test_machine_code_that_was_tampered_with_is_compiled_again(
    running: RunningService, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    running.write("kept", guest=ECHO)
    invoke(running, "kept")
    key = machine_code_key(hashlib.sha256(ECHO).hexdigest(), EngineProfile.OPEN)
    path = running.settings.machine_code_dir / f"{key}.cwasm"
    good = path.read_bytes()
    compilations = Compilations(running, monkeypatch)
    unload(running, key)
    invoke(running, "kept")
    assert compilations.count == 0
    if damage == "removed":
        path.unlink()
    else:
        path.write_bytes(
            {
                "truncated": good[:-1],
                "flipped": good[:-1] + bytes([good[-1] ^ 1]),
                "empty": b"",
                "another": b"\x7fELF" + good,
            }[damage]
        )
    unload(running, key)
    assert invoke(running, "kept").result == {"a": 1}
    assert compilations.count == 1
    assert hashlib.sha256(path.read_bytes()).digest() == hashlib.sha256(good).digest()


def test_a_cache_that_cannot_be_written_only_costs_time(
    running: RunningService, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setattr(machine_code_cache(running), "_directory", tmp_path / "file" / "aot")
    running.write("not-kept", guest=component(guests.answers(2)))
    assert invoke(running, "not-kept").stdout == "xx"


def test_the_key_of_machine_code_names_the_component() -> None:
    keys = {
        machine_code_key(hashlib.sha256(data).hexdigest(), EngineProfile.OPEN)
        for data in (ECHO, component(guests.answers(1)))
    }
    assert len(keys) == 2
    assert all(len(key) == 64 for key in keys)
