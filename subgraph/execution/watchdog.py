"""The thread of a worker that stops a guest over its time or memory limit."""

from __future__ import annotations

import os
import threading
import time

from wasmtime import Engine

from subgraph.execution.limits import TICK_MS


class Watchdog:
    """Ticks the engine's epoch, and watches how much memory the process has mapped for its data.

    Why memory is watched from outside: a store limit refuses `memory.grow`, the guest may survive that
    or trap in any way it likes, and the C API tells nobody that a limit was the cause. So memory may
    grow up to what a 32-bit guest can address, the kernel's account of the process shows it within a
    tick, and the guest is interrupted. The pages are only charged when they are touched, so what a
    guest can really take beyond its limit is what it touches in one tick.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        # Opened before the confinement, in which nothing can be opened any more.
        self._account = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
        self._page = os.sysconf("SC_PAGE_SIZE")
        self._lock = threading.Lock()
        self._ceiling: int | None = None
        self._deadline_ticks = 0
        self.tripped = False

    def start(self) -> None:
        """Start the thread. Call it after Landlock, which binds threads started later only."""
        threading.Thread(target=self._tick_for_ever, name="watchdog", daemon=True).start()

    def mapped_bytes(self) -> int:
        """Return the size of the process's private writable mappings, in bytes (proc(5), statm)."""
        return int(os.pread(self._account, 128, 0).split()[5]) * self._page

    def arm(self, ceiling: int, deadline_ticks: int) -> None:
        """Watch a guest: interrupt it when mapped bytes exceed the ceiling."""
        with self._lock:
            self.tripped = False
            self._ceiling = ceiling
            self._deadline_ticks = deadline_ticks

    def disarm(self) -> None:
        """Stop watching; no interrupt comes after this returns."""
        with self._lock:
            self._ceiling = None

    def interrupt(self) -> None:
        """Make the guest that is running trap now, by letting its whole deadline pass."""
        for _ in range(self._deadline_ticks):
            self._engine.increment_epoch()

    def _tick_for_ever(self) -> None:
        while True:
            time.sleep(TICK_MS / 1000)
            self._engine.increment_epoch()
            with self._lock:
                if self._ceiling is not None and self.mapped_bytes() > self._ceiling:
                    self._ceiling = None
                    self.tripped = True
                    self.interrupt()
