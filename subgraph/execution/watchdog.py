"""The thread of a worker that stops a guest over its time or memory limit."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence

from wasmtime import Engine, Store

from subgraph.execution.limits import TICK_MS

_TICKS_TO_STOP = 3
"""Ticks from the interrupt of a guest to giving it up; one that looks at the epoch stops within one."""


_CATCH_UP_TICKS = 100
"""Ticks made up for at once. After a longer standstill the service has killed the worker, or the machine
slept."""


class Watchdog:
    """Ticks the engines' epochs, and watches how much memory the process has mapped for its data.

    Why memory is watched from outside: a store limit refuses `memory.grow`, the guest may survive that
    or trap in any way it likes, and the C API tells nobody that a limit was the cause. So memory may
    grow up to what a 32-bit guest can address, the kernel's account of the process shows it within a
    tick, and the guest is interrupted. The pages are only charged when they are touched, so what a
    guest can really take beyond its limit is what it touches in one tick.
    """

    def __init__(self, engines: Sequence[Engine]) -> None:
        self._engines = tuple(engines)
        # Opened before the confinement, in which nothing can be opened any more.
        self._account = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
        self._page = os.sysconf("SC_PAGE_SIZE")
        self._lock = threading.Lock()
        self._ceiling: int | None = None
        self._began = time.monotonic()
        self._ticks = 0
        self._deadline_ticks = 0
        self._ticks_since_trip = 0
        self._give_up: Callable[[], None] = _nothing
        self.tripped = False

    def start(self) -> None:
        """Start the thread. Call it after Landlock, which binds threads started later only."""
        threading.Thread(target=self._tick_for_ever, name="watchdog", daemon=True).start()

    def mapped_bytes(self) -> int:
        """Return the size of the process's private writable mappings, in bytes (proc(5), statm)."""
        return int(os.pread(self._account, 128, 0).split()[5]) * self._page

    def limit(self, store: Store, ticks: int) -> None:
        """Give a guest its deadline, counted from now.

        Ticks that are due and were not made yet are none of its own: on a busy machine many come at once.
        """
        with self._lock:
            self._deadline_ticks = ticks + min(self._due(), _CATCH_UP_TICKS)
            store.set_epoch_deadline(self._deadline_ticks)

    def arm(self, ceiling: int, give_up: Callable[[], None]) -> None:
        """Watch a guest: interrupt it when mapped bytes exceed the ceiling.

        `give_up` is called, from this thread, when it goes on all the same: one instruction that fills
        memory looks at no epoch until it is done, and could by then have filled all there is.
        """
        with self._lock:
            self.tripped = False
            self._ticks_since_trip = 0
            self._ceiling = ceiling
            self._give_up = give_up

    def disarm(self) -> None:
        """Stop watching; no interrupt comes after this returns."""
        with self._lock:
            self._ceiling = None

    def interrupt(self) -> None:
        """Make the guest that is running trap now, by letting its whole deadline pass."""
        for _ in range(self._deadline_ticks):
            self._increment_epochs()

    def _increment_epochs(self) -> None:
        for engine in self._engines:
            engine.increment_epoch()

    def _due(self) -> int:
        """Count the ticks that have passed and were not made yet."""
        return int((time.monotonic() - self._began) * 1000 / TICK_MS) - self._ticks

    def _tick_for_ever(self) -> None:
        while True:
            time.sleep(TICK_MS / 1000)
            with self._lock:
                # On a busy machine sleeps last longer than they should: ticks are those that have passed.
                due = self._due()
                for _ in range(min(due, _CATCH_UP_TICKS)):
                    self._increment_epochs()
                self._ticks += due
                if self._ceiling is not None:
                    self._watch(self._ceiling)

    def _watch(self, ceiling: int) -> None:
        if self.tripped:
            self._ticks_since_trip += 1
            if self._ticks_since_trip >= _TICKS_TO_STOP:
                self._give_up()
        elif self.mapped_bytes() > ceiling:
            self.tripped = True
            self.interrupt()


def _nothing() -> None:
    """Stand for what to do before the first guest is watched."""
