from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.postgres import empty_database, open_directory, postgres_server


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    with postgres_server() as dsn:
        yield dsn


@pytest.fixture
def dsn(server: str) -> Iterator[str]:
    with empty_database(server) as address:
        yield address


@pytest.fixture
def root() -> Iterator[Path]:
    with open_directory() as path:
        yield path
