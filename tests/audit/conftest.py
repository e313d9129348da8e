"""What several modules of this directory share: how often is signed, and a log to tamper with."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from subgraph.audit import checkpoints
from tests.audit.tampering import Log, restore, seeded_log


@pytest.fixture
def signs_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second takes a fiftieth."""
    monkeypatch.setattr(checkpoints, "INTERVAL_SECONDS", 0.02)


@pytest.fixture
def signs_when_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is signed but at a start, at an end and by the test."""
    monkeypatch.setattr(checkpoints, "INTERVAL_SECONDS", 3600.0)


@pytest.fixture(scope="package")
def seeded(server: str) -> Iterator[Log]:
    """A log whose rows may be changed, by tests that use `log`, or copied."""
    with seeded_log(server) as log:
        yield log


@pytest.fixture
def log(seeded: Log) -> Iterator[Log]:
    """That log, whose rows are again what they were when the test has ended."""
    yield seeded
    restore(seeded)
