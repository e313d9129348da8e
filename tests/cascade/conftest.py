"""Services with a gateway: one for a module, and one that keeps what was said."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from subgraph.errors import StorageUnavailable
from subgraph.settings import PayloadMode
from tests.cascade.running import HELLO, REASON, Cascade, started
from tests.support.model_gateway import picking
from tests.support.postgres import empty_database, until
from tests.support.skills import RunningService


@pytest.fixture(scope="module")
def shared(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cascade]:
    with empty_database(server) as dsn:
        yield from started(tmp_path_factory.mktemp("home"), dsn)


@pytest.fixture
def running(shared: Cascade) -> Cascade:
    """The service with a gateway that answers, and that nobody was let down by yet."""
    shared.server.behaviour = picking(HELLO, 0.9, REASON)
    shared.server.asked.clear()
    assert shared.service._supervisor is not None
    shared.service._supervisor._gateway._breaker.succeeded()
    shared.run(until(lambda: is_current(shared)))  # its loop stood still while another service ran
    return shared


def is_current(running: RunningService) -> bool:
    try:
        running.service._authority.ensure_current()
    except StorageUnavailable:
        return False
    return True


@pytest.fixture
def sealing(server: str, tmp_path: Path) -> Iterator[Cascade]:
    with empty_database(server) as dsn:
        for service in started(tmp_path, dsn, audit_payloads=PayloadMode.ENCRYPTED):
            service.server.behaviour = picking(HELLO, 0.9, REASON)
            yield service
