"""Wasmtime as this service configures it: compiling, loading and running components."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Callable
from importlib.metadata import version

from wasmtime import Config, Engine, WasmtimeError, _ffi
from wasmtime.component import Component, FuncType, Linker, ResultType, String

from subgraph.execution.protocol import Call, Reply
from subgraph.execution.run import ADDRESSABLE_BYTES, LoadedComponent, Run
from subgraph.execution.watchdog import Watchdog

# Everything that shapes machine code; a change gives every component a new key.
_CONFIGURATION: dict[str, bool | int] = {
    "wasm_component_model": True,
    "epoch_interruption": True,
    "wasm_threads": False,
    "wasm_memory64": False,
    "max_wasm_stack": 1024 * 1024,  # 2 MiB is the most that the engine takes
}

# One call at a time: room for one component. Components of interpreters use up to ten instances.
_POOL = {
    "total_component_instances": 2,
    "total_core_instances": 32,
    "total_memories": 4,
    "max_memories_per_component": 4,
    "total_tables": 32,
    "max_tables_per_component": 32,
    "max_memory_size": ADDRESSABLE_BYTES,
    # Cleared by writing instead of by a system call: more than most guests touch, and they touch it again.
    "linear_memory_keep_resident": 4 * 1024 * 1024,
    "table_keep_resident": 64 * 1024,
}


_COMPONENT_HEADER = b"\0asm\x0d\x00\x01\x00"
_CORE_MODULE_HEADER = b"\0asm\x01\x00\x00\x00"


class ComponentError(Exception):
    """The bytes are not a component that this service can run; the message is for its author."""


def new_engine(*, pooling: bool) -> Engine:
    """Make an engine. Pooling halves the cost of a call and reserves address space, no memory."""
    config = Config()
    for name, value in _CONFIGURATION.items():
        setattr(config, name, value)
    if pooling:
        pool = _ffi.wasmtime_pooling_allocation_config_new()
        for name, limit in _POOL.items():
            getattr(_ffi, f"wasmtime_pooling_allocation_config_{name}_set")(pool, limit)
        _ffi.wasmtime_pooling_allocation_strategy_set(config.ptr(), pool)
        _ffi.wasmtime_pooling_allocation_config_delete(pool)
    return Engine(config)


def machine_code_key(component_sha256: str) -> str:
    """Name the machine code of a component: what it is made from, by what, and for which machine."""
    source = {
        "component": component_sha256,
        "configuration": _CONFIGURATION,
        "machine": platform.machine(),
        "wasmtime": version("wasmtime"),
    }
    return hashlib.sha256(json.dumps(source, sort_keys=True).encode()).hexdigest()


def compile_component(component: bytes) -> bytes:
    """Compile a component to machine code. Raises `ComponentError`."""
    if not component.startswith(_COMPONENT_HEADER):
        kind = "a core module" if component.startswith(_CORE_MODULE_HEADER) else "not WebAssembly"
        raise ComponentError(f"the bytes are {kind}; a skill is a component (component-model binary format)")
    engine = new_engine(pooling=False)
    try:
        compiled = Component(engine, component)
    except WasmtimeError as error:
        raise ComponentError(f"not a WebAssembly component: {_first_line(error)}") from error
    _check_interface(compiled, engine)
    return bytes(compiled.serialize())


def _first_line(error: WasmtimeError) -> str:
    return str(error).partition("\n")[0][:300]


def _check_interface(component: Component, engine: Engine) -> bool:
    """Check that a component is one of `schema/skill.wit`; return whether it imports WASI."""
    imports = component.type.imports(engine)
    unknown = sorted(name for name in imports if not name.startswith("wasi:"))
    if unknown:
        raise ComponentError(f"the component imports what this service does not offer: {', '.join(unknown)}")
    run = component.type.exports(engine).get("run")
    if run is None or not _is_run(run.ty):
        raise ComponentError(
            "the component does not export `run: func(input: string) -> result<string, string>`"
        )
    return bool(imports)


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


class SkillEngine:
    """Loaded components, and runs of them: one at a time, each in a fresh store.

    Make and fill it in the zygote; `prepare` and `start` it in each worker.
    """

    def __init__(self) -> None:
        self._engine = new_engine(pooling=True)
        self._pure_linker = Linker(self._engine)
        self._wasi_linker = Linker(self._engine)
        self._wasi_linker.add_wasip2()
        self._loaded: dict[str, LoadedComponent] = {}
        self._watchdog: Watchdog | None = None
        self._give_up: Callable[[Reply], None] | None = None

    def load(self, key: str, machine_code: bytes) -> None:
        """Load machine code that this service compiled. Raises `ComponentError`.

        The code is trusted: whoever calls has checked where it comes from.
        """
        try:
            component = Component.deserialize(self._engine, machine_code)
        except WasmtimeError as error:
            raise ComponentError("the machine code was made by another version of the engine") from error
        uses_wasi = _check_interface(component, self._engine)
        run = component.get_export_index("run")
        if run is None:
            raise ComponentError("the component does not export `run`")
        linker = self._wasi_linker if uses_wasi else self._pure_linker
        self._loaded[key] = LoadedComponent(component, run, linker, uses_wasi=uses_wasi)

    def unload(self, key: str) -> None:
        """Forget a component."""
        self._loaded.pop(key, None)

    def prepare(self, give_up: Callable[[Reply], None]) -> Watchdog:
        """Open what enforcing limits needs; call it before the worker is confined.

        Start the watchdog that this returns after Landlock and before seccomp. `give_up` gets the reply
        to a call whose guest cannot be interrupted; it must end the process.
        """
        self._give_up = give_up
        # Else Wasmtime starts a thread a core for WASI, whose stacks count as memory of the guest.
        os.environ["TOKIO_WORKER_THREADS"] = "1"
        self._watchdog = Watchdog(self._engine)
        return self._watchdog

    def run(self, call: Call) -> Reply:
        """Run a component once and say how it ended; never raises for what a guest does."""
        if self._watchdog is None or self._give_up is None:
            raise RuntimeError("prepare() comes first")
        loaded = self._loaded.get(call.key)
        if loaded is None:
            raise ComponentError("the component is not loaded")
        return Run(self._engine, loaded, call, self._watchdog, self._give_up).reply()
