"""Tests of the thread that stops guests, beside those of whole calls in `test_run.py`."""

from __future__ import annotations

import time

import pytest
from wasmtime import Config, Engine, Func, Instance, Module, Store, Trap

from subgraph.execution.limits import TICK_MS
from subgraph.execution.watchdog import Watchdog

_DUE_TICKS, _DEADLINE_TICKS = 80, 40


def test_ticks_that_were_due_before_a_guest_began_are_not_taken_from_its_time() -> None:
    config = Config()
    config.epoch_interruption = True
    engine = Engine(config)
    watchdog = Watchdog([engine])
    time.sleep(_DUE_TICKS * TICK_MS / 1000)  # as on a machine that stood still: nobody made a tick
    store = Store(engine)
    watchdog.limit(store, _DEADLINE_TICKS)
    function = Instance(store, Module(engine, '(module (func (export "run")))'), []).exports(store)["run"]
    assert isinstance(function, Func)
    watchdog.start()
    time.sleep(3 * TICK_MS / 1000)  # all that were due are made now
    function(store)
    time.sleep((_DEADLINE_TICKS + 5) * TICK_MS / 1000)
    with pytest.raises(Trap):
        function(store)
