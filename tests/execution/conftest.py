"""What tests of pools share: scripts of their own, and a machine that is never too slow."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest

from subgraph.execution import lanes, script_pool
from tests.execution.scripts import Write, write_script


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a skill with a script."""
    return functools.partial(write_script, tmp_path)


@pytest.fixture
def one_lane(monkeypatch: pytest.MonkeyPatch) -> None:
    """No call is slow: none has another worker started beside its own, on a loaded machine either."""
    monkeypatch.setattr(lanes, "SLOW_SECONDS", 60.0)


@pytest.fixture
def no_call_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loaded machine retires no shared interpreter: the test of slow ones says what is slow itself."""
    monkeypatch.setattr(script_pool, "SLOW_SECONDS", 60.0)
