"""One run of a component: fresh store, limits, and a reply that says how it ended."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

from wasmtime import Engine, ExitTrap, Store, WasiConfig, WasmtimeError
from wasmtime.component import Component, ExportIndex, Instance, Linker

from subgraph.execution.guest_function import Result, call_run
from subgraph.execution.limits import TICK_MS, fuel_exceeded, output_exceeded, time_exceeded
from subgraph.execution.limits import memory_exceeded as memory_exceeded_message
from subgraph.execution.protocol import ANSWERED, FAILED, OVER, Call, Ending, Reply
from subgraph.execution.watchdog import Watchdog

ADDRESSABLE_BYTES = 4 << 30
"""All the memory that a 32-bit guest can address; see `Watchdog` for why it may grow that far."""

_TABLE_ELEMENTS = 1_000_000  # eight bytes each

_INTERPRETER_BYTES = 1024 * 1024
"""What the interpreter of the worker may itself map during a call, beside three copies of the output."""

_WASI_BYTES = 4 * 1024 * 1024
"""What the first call of WASI in a worker maps for good: a thread of 2 MiB, and its heap."""

_HOST_COPIES = 4
"""Copies of a host call's answer that the interpreter holds at once: the frame, its body, the text, the
text in C."""

_TRAP = re.compile(r"wasm trap: (.+)")
_INTERRUPTED = "wasm trap: interrupt"
_OUT_OF_FUEL = "wasm trap: all fuel consumed"
_INITIAL_MEMORY_TOO_LARGE = "exceeds memory limits"


class Imports(NamedTuple):
    """What a component imports: functions of the service, WASI, and the file system of WASI."""

    host: bool
    wasi: bool
    files: bool


@dataclass(frozen=True, slots=True)
class LoadedComponent:
    """A component that is ready to run, with the engine it is for and the linker that has its imports.

    `trusted`: it is the operator's own choice of code.
    """

    engine: Engine
    component: Component
    run: ExportIndex
    linker: Linker
    imports: Imports
    trusted: bool


class _Output:
    """What a guest writes to stdout or stderr, up to a limit; past it the guest is interrupted."""

    def __init__(self, limit: int, interrupt: Callable[[], None]) -> None:
        self._limit = limit
        self._interrupt = interrupt
        self._written = bytearray()
        self.overflowed = False

    def write(self, data: bytes) -> None:
        if len(self._written) + len(data) <= self._limit:
            self._written += data
        elif not self.overflowed:
            self.overflowed = True
            self._interrupt()

    def text(self) -> str:
        return self._written.decode(errors="replace")


class Run:
    """One run of a component."""

    def __init__(
        self,
        loaded: LoadedComponent,
        call: Call,
        watchdog: Watchdog,
        give_up: Callable[[Reply], None],
    ) -> None:
        self._give_up = give_up
        self._started_ns = time.perf_counter_ns()
        self._loaded = loaded
        self._call = call
        self._watchdog = watchdog
        self._stdout = _Output(call.output_bytes, watchdog.interrupt)
        self._stderr = _Output(call.output_bytes, watchdog.interrupt)
        own_bytes = _INTERPRETER_BYTES + (_WASI_BYTES if loaded.imports.wasi else 0)
        if loaded.imports.host:
            own_bytes += _HOST_COPIES * call.output_bytes
        self._initial_bytes = call.memory_bytes + own_bytes
        self._allowed_bytes = call.memory_bytes + 3 * call.output_bytes + own_bytes
        self._added_bytes = 0
        self._instantiated = False

    def reply(self) -> Reply:
        """Run the component and say how it ended."""
        store = Store(self._loaded.engine)
        try:
            result = self._run(store)
        except WasmtimeError as error:
            return self._stopped(error)
        finally:
            self._watchdog.disarm()
            # A traceback would keep the store alive, and the pool has room for one.
            store.close()
        return self._answered(result)

    def rehearse(self) -> None:
        """Do all of a run but the call itself, for what that leaves in place."""
        store = Store(self._loaded.engine)
        with suppress(WasmtimeError):
            try:
                self._instantiate(store)
            finally:
                self._watchdog.disarm()
                store.close()

    def _run(self, store: Store) -> Result:
        instance = self._instantiate(store)
        call = self._call
        function = instance.get_func(store, self._loaded.run)
        if function is None:
            raise RuntimeError("an index of the component did not find its function")
        self._instantiated = True
        store.set_limits(memory_size=ADDRESSABLE_BYTES, table_elements=_TABLE_ELEMENTS)
        before = self._watchdog.mapped_bytes()
        self._watchdog.arm(before + self._allowed_bytes, self._end_process)
        try:
            result = call_run(function, store, call.input, call.output_bytes)
        finally:
            self._added_bytes = max(0, self._watchdog.mapped_bytes() - before)
        return result

    def _instantiate(self, store: Store) -> Instance:
        call = self._call
        self._watchdog.limit(store, _deadline_ticks(call))
        store.set_limits(memory_size=call.memory_bytes, table_elements=_TABLE_ELEMENTS)
        if call.fuel is not None:
            store.set_fuel(call.fuel)
        if self._loaded.imports.wasi:
            store.set_wasi(self._wasi())
        # All memories together; the store's limit is for each, and start functions may fill them.
        before = self._watchdog.mapped_bytes()
        self._watchdog.arm(before + self._initial_bytes, self._end_process)
        instance = self._loaded.linker.instantiate(store, self._loaded.component)
        if self._watchdog.mapped_bytes() > before + self._initial_bytes:
            self._added_bytes = self._allowed_bytes + 1
            raise WasmtimeError(_INITIAL_MEMORY_TOO_LARGE)
        return instance

    def _wasi(self) -> WasiConfig:
        """Clocks, random numbers, captured output, directories of the call: no arguments or network."""
        wasi = WasiConfig()
        wasi.stdout_custom = self._stdout.write
        wasi.stderr_custom = self._stderr.write
        for place, name, writable in self._call.directories:
            wasi.preopen_dir(place, name, fs_mutable=writable)
        return wasi

    def _answered(self, result: Result) -> Reply:
        text = result.text
        # Memory first: a guest over both limits ends the same way whenever it is noticed.
        if self._took_too_much_memory():
            return self._over("memory", memory_exceeded_message(self._call.memory_bytes))
        if text is None or self._printed_too_much():
            return self._over("output", output_exceeded(self._call.output_bytes))
        if self._elapsed_us() > (self._call.time_ms + TICK_MS) * 1000:
            # It blocked past its deadline, where no interrupt reached it, and then was quick.
            return self._over("time", time_exceeded(self._call.time_ms))
        if result.ok:
            return self._ended(ANSWERED, output=text)
        return self._failed(text)

    def _stopped(self, error: WasmtimeError) -> Reply:
        detail = str(error)
        if self._took_too_much_memory() or _INITIAL_MEMORY_TOO_LARGE in detail:
            return self._over("memory", memory_exceeded_message(self._call.memory_bytes))
        if self._printed_too_much():
            return self._over("output", output_exceeded(self._call.output_bytes))
        if _OUT_OF_FUEL in detail and self._call.fuel is not None:
            return self._over("fuel", fuel_exceeded(self._call.fuel))
        if _INTERRUPTED in detail:
            return self._over("time", time_exceeded(self._call.time_ms))
        if isinstance(error, ExitTrap):
            return self._failed("the skill exited before it answered")
        trap = _TRAP.search(detail)
        if trap:
            return self._failed(f"the skill trapped: {trap[1]}")
        if self._instantiated:
            return self._failed("the skill mishandled its input or its answer")
        return self._failed("the component could not be started")

    def _end_process(self) -> None:
        """Answer for a guest that cannot be interrupted, and end the process with it; never returns."""
        self._give_up(self._over("memory", memory_exceeded_message(self._call.memory_bytes)))

    def _took_too_much_memory(self) -> bool:
        return self._watchdog.tripped or self._added_bytes > self._allowed_bytes

    def _printed_too_much(self) -> bool:
        return self._stdout.overflowed or self._stderr.overflowed

    def _elapsed_us(self) -> int:
        return (time.perf_counter_ns() - self._started_ns) // 1000

    def _over(self, limit: str, message: str) -> Reply:
        return self._ended(OVER[limit], error=message)

    def _failed(self, message: str) -> Reply:
        return self._ended(FAILED, error=message)

    def _ended(self, end: Ending, *, output: str | None = None, error: str | None = None) -> Reply:
        return Reply(
            exit_code=int(end.exit_code),
            output=output,
            error_code=end.error_code,
            error=error,
            limit=end.limit,
            elapsed_us=self._elapsed_us(),
            memory_bytes=self._added_bytes,
            stdout=self._stdout.text(),
            stderr=self._stderr.text(),
        )


def _deadline_ticks(call: Call) -> int:
    return -(-call.time_ms // TICK_MS) + 1
