"""What several rooms of tests share: one database server, and one running service."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support.postgres import empty_database, open_directory, postgres_server
from tests.support.service import build_everything, running_service
from tests.support.skills import RunningService, service_in_process, skill_settings

# A machine that others use stands still at times: nothing here is judged by the clock. The gate tries the
# same inputs each time, so no change is refused for a fault that it does not have; `make properties` tries
# new ones.
any_machine = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("gate", any_machine, derandomize=True)
settings.register_profile("campaign", any_machine, derandomize=False, print_blob=True)
settings.load_profile("gate")


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The DSN of a running PostgreSQL server."""
    with postgres_server() as dsn:
        yield dsn


@pytest.fixture
def dsn(server: str) -> Iterator[str]:
    """The DSN of an empty database."""
    with empty_database(server) as address:
        yield address


@pytest.fixture
def root() -> Iterator[Path]:
    """An empty directory that the unprivileged database user may pass through."""
    with open_directory() as path:
        yield path


@pytest.fixture(scope="session")
def built() -> None:
    """GraphiQL and the skills are built."""
    build_everything()


@pytest.fixture(scope="session")
def service_url(server: str, built: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a running service, whose caller is the local operator."""
    with empty_database(server) as dsn:
        home = tmp_path_factory.mktemp("home")
        with running_service({"CYBEROS_HOME": str(home), "CYBEROS_DATABASE_URL": dsn}) as service:
            yield service.url


@pytest.fixture(scope="module")
def running(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """A service in this process, without skills. A module that needs more of it makes its own."""
    home = tmp_path_factory.mktemp("home")
    with empty_database(server) as dsn, service_in_process(skill_settings(home, dsn)) as service:
        yield service
