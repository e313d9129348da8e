"""Wasmtime as this service configures it: compiling, loading and running components."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import socket
from collections.abc import Callable
from enum import StrEnum
from importlib.metadata import version

from wasmtime import Config, Engine, WasmtimeError, _ffi
from wasmtime.component import Component, FuncType, Linker, ResultType, String

from subgraph.execution.host_interface import (
    HOST_INSTANCE,
    HostPort,
    add_host_functions,
    wrong_host_imports,
)
from subgraph.execution.protocol import HEADER, Call, Reply, decode, encode
from subgraph.execution.run import ADDRESSABLE_BYTES, Imports, LoadedComponent, Run
from subgraph.execution.watchdog import Watchdog


class EngineProfile(StrEnum):
    """How an engine treats a component: by how far its author is trusted."""

    OPEN = "open"
    METERED = "metered"
    STRICT = "strict"


# Everything that shapes machine code; a change gives every component a new key.
_CONFIGURATION: dict[str, bool | int] = {
    "wasm_component_model": True,
    "epoch_interruption": True,
    "wasm_threads": False,
    "wasm_memory64": False,
    "max_wasm_stack": 1024 * 1024,  # 2 MiB is the most that the engine takes
}

# Fuel makes code about twice as slow. Each feature of the language that the strict profile leaves out has
# had its miscompilations; what the toolchains emit needs none of them. Several memories stay: Wasmtime
# itself joins the parts of a component with them.
_PROFILES: dict[EngineProfile, dict[str, bool | int]] = {
    EngineProfile.OPEN: {},
    EngineProfile.METERED: {"consume_fuel": True},
    EngineProfile.STRICT: {
        "consume_fuel": True,
        "wasm_relaxed_simd": False,
        "wasm_simd": False,
        "wasm_tail_call": False,
        "wasm_exceptions": False,
        "wasm_gc": False,
        "wasm_function_references": False,
    },
}

# One call at a time: room for one component. With QuickJS inside it has up to ten instances, with CPython 40.
_POOL = {
    "total_component_instances": 2,
    "total_core_instances": 64,
    "total_memories": 4,
    "max_memories_per_component": 4,
    "total_tables": 32,
    "max_tables_per_component": 32,
    "max_memory_size": ADDRESSABLE_BYTES,
    # Cleared by writing instead of by a system call: more than most guests touch, and they touch it again.
    "linear_memory_keep_resident": 4 * 1024 * 1024,
    "table_keep_resident": 64 * 1024,
}


REHEARSED_COMPONENTS = 4
"""Components that a fresh worker makes ready for: as many as the pool keeps memories of."""

_REHEARSAL = Call("", "{}", time_ms=20, memory_bytes=32 << 20, output_bytes=1 << 20, fuel=None)
"""The call that is rehearsed; its time and memory bound what a component does at its start."""

_COMPONENT_HEADER = b"\0asm\x0d\x00\x01\x00"
_CORE_MODULE_HEADER = b"\0asm\x01\x00\x00\x00"


# Neither HTTP nor anything newer than what `add_wasip2` links; sockets are linked and refuse everything.
_WASI_OFFERED = (
    "wasi:cli/", "wasi:clocks/", "wasi:filesystem/", "wasi:io/", "wasi:random/", "wasi:sockets/",
)  # fmt: skip


class ComponentError(Exception):
    """The bytes are not a component that this service can run; the message is for its author."""


def _configuration(profile: EngineProfile) -> dict[str, bool | int]:
    return _CONFIGURATION | _PROFILES[profile]


def new_engine(profile: EngineProfile, *, pooling: bool) -> Engine:
    """Make an engine. Pooling halves the cost of a call and reserves address space, no memory."""
    config = Config()
    for name, value in _configuration(profile).items():
        setattr(config, name, value)
    if pooling:
        pool = _ffi.wasmtime_pooling_allocation_config_new()
        for name, limit in _POOL.items():
            getattr(_ffi, f"wasmtime_pooling_allocation_config_{name}_set")(pool, limit)
        _ffi.wasmtime_pooling_allocation_strategy_set(config.ptr(), pool)
        _ffi.wasmtime_pooling_allocation_config_delete(pool)
    return Engine(config)


def machine_code_key(component_sha256: str, profile: EngineProfile) -> str:
    """Name the machine code of a component: what it is made from, by what, and for which machine."""
    source = {
        "component": component_sha256,
        "configuration": _configuration(profile),
        "machine": platform.machine(),
        "wasmtime": version("wasmtime"),
    }
    return hashlib.sha256(json.dumps(source, sort_keys=True).encode()).hexdigest()


def compile_component(component: bytes, profile: EngineProfile) -> bytes:
    """Compile a component to machine code. Raises `ComponentError`."""
    if not component.startswith(_COMPONENT_HEADER):
        kind = "a core module" if component.startswith(_CORE_MODULE_HEADER) else "not WebAssembly"
        raise ComponentError(f"the bytes are {kind}; a skill is a component (component-model binary format)")
    engine = new_engine(profile, pooling=False)
    try:
        compiled = Component(engine, component)
    except WasmtimeError as error:
        raise ComponentError(f"not a WebAssembly component: {_first_line(error)}") from error
    _check_interface(compiled, engine)
    return bytes(compiled.serialize())


def _first_line(error: WasmtimeError) -> str:
    return str(error).partition("\n")[0][:300]


def _check_interface(component: Component, engine: Engine) -> Imports:
    """Check that a component is one of `schema/skill.wit`; return what it imports.

    Raises `ComponentError`, which names what is not offered.
    """
    imports = component.type.imports(engine)
    unknown = sorted(name for name in imports if name != HOST_INSTANCE and not name.startswith(_WASI_OFFERED))
    host = imports.get(HOST_INSTANCE)
    if host is not None:
        unknown += wrong_host_imports(host.ty, engine)
    if unknown:
        raise ComponentError(f"the component imports what this service does not offer: {', '.join(unknown)}")
    run = component.type.exports(engine).get("run")
    if run is None or not _is_run(run.ty):
        raise ComponentError(
            "the component does not export `run: func(input: string) -> result<string, string>`"
        )
    return Imports(
        host=host is not None,
        wasi=any(name.startswith("wasi:") for name in imports),
        files=any(name.startswith("wasi:filesystem/") for name in imports),
    )


def _is_run(item: object) -> bool:
    if not isinstance(item, FuncType):
        return False
    result = item.result
    return (
        [type(parameter) for _, parameter in item.params] == [String]
        and isinstance(result, ResultType)
        and isinstance(result.ok, String)
        and isinstance(result.err, String)
    )


class _Engine:
    """One profile's engine, with a linker for each thing that a component may import."""

    def __init__(self, profile: EngineProfile, port: HostPort) -> None:
        self.trusted = profile is EngineProfile.OPEN
        self.engine = new_engine(profile, pooling=True)
        self._linkers = {
            (host, wasi): self._linker(port, host=host, wasi=wasi)
            for host in (False, True)
            for wasi in (False, True)
        }

    def _linker(self, port: HostPort, *, host: bool, wasi: bool) -> Linker:
        linker = Linker(self.engine)
        if wasi:
            linker.add_wasip2()
        if host:
            add_host_functions(linker, port)
        return linker

    def load(self, machine_code: bytes) -> LoadedComponent:
        try:
            component = Component.deserialize(self.engine, machine_code)
        except WasmtimeError as error:
            raise ComponentError(
                f"the engine cannot load the component's machine code: {_first_line(error)}"
            ) from error
        imports = _check_interface(component, self.engine)
        run = component.get_export_index("run")
        if run is None:
            raise ComponentError("the component does not export `run`")
        linker = self._linkers[imports.host, imports.wasi]
        return LoadedComponent(self.engine, component, run, linker, imports, trusted=self.trusted)


class SkillEngine:
    """Loaded components, and runs of them: one at a time, each in a fresh store.

    Make and fill it in the zygote; `prepare` it in each worker. Each profile has an engine of its own.
    """

    def __init__(self) -> None:
        self._port = HostPort()
        self._engines = {profile: _Engine(profile, self._port) for profile in EngineProfile}
        self._loaded: dict[str, LoadedComponent] = {}
        self._watchdog: Watchdog | None = None
        self._give_up: Callable[[Reply], None] | None = None

    def load(self, key: str, profile: EngineProfile, machine_code: bytes) -> Imports:
        """Load machine code that this service compiled; return what it imports. Raises `ComponentError`.

        The code is trusted: whoever calls has checked where it comes from.
        """
        loaded = self._engines[profile].load(machine_code)
        self._loaded[key] = loaded
        return loaded.imports

    def unload(self, key: str) -> None:
        """Forget a component."""
        self._loaded.pop(key, None)

    def prepare(self, give_up: Callable[[Reply], None]) -> Watchdog:
        """Open what enforcing limits needs; call it before the worker is confined.

        Start the watchdog that this returns after Landlock and before seccomp. `give_up` gets the reply to
        a call whose guest cannot be interrupted; it must end the process.
        """
        self._give_up = give_up
        # Else Wasmtime starts a thread a core for WASI, whose stacks count as memory of the guest.
        os.environ["TOKIO_WORKER_THREADS"] = "1"
        self._watchdog = Watchdog([each.engine for each in self._engines.values()])
        return self._watchdog

    def rehearse(self) -> None:
        """Bring memory into place for the trusted components that were loaded last, once it is confined.

        After a fork each page that is touched for the first time costs a fault: two milliseconds together
        for a component with an interpreter in it. So they are instantiated, and a call and its reply are
        written and read. What such a component does at its start is bounded by a time and a memory of its
        own, it has no host yet, and those with WASI, which could wait, are left out.
        """
        watchdog, give_up = self._prepared()
        trusted = [each for each in self._loaded.values() if each.trusted and not each.imports.wasi]
        for loaded in trusted[-REHEARSED_COMPONENTS:]:
            for _ in range(2):  # the second one finds what the end of the first has put in place
                Run(loaded, _REHEARSAL, watchdog, give_up).rehearse()
        decode(encode(_REHEARSAL)[HEADER.size :])
        encode(Reply(0, "", None, None, None, 0, 0, "", ""))

    def connect(self, connection: socket.socket) -> None:
        """Have host calls go by this connection."""
        self._port.connect(connection)

    def run(self, call: Call) -> Reply:
        """Run a component once and say how it ended; never raises for what a guest does."""
        watchdog, give_up = self._prepared()
        loaded = self._loaded.get(call.key)
        if loaded is None:
            raise ComponentError("the component is not loaded")
        return Run(loaded, call, watchdog, give_up).reply()

    def _prepared(self) -> tuple[Watchdog, Callable[[Reply], None]]:
        if self._watchdog is None or self._give_up is None:
            raise RuntimeError("prepare() comes first")
        return self._watchdog, self._give_up
