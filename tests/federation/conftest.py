"""One supergraph for the tests of this directory: the running service, a neighbour and a gateway."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.support.gateway import FEDERATION_DIR, ROOT, compose, node_server, write_supergraph_yaml

Query = Callable[..., dict[str, Any]]
"""Send an operation with variables to the gateway; the whole JSON answer."""

REQUEST_SECONDS = 30.0


@pytest.fixture(scope="session")
def gateway_url(service_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a gateway over the service under test and the projects subgraph."""
    directory = tmp_path_factory.mktemp("supergraph")
    with node_server("projects.mjs") as projects_url:
        configuration = write_supergraph_yaml(
            directory / "supergraph.yaml",
            {
                "skills": (f"{service_url}/graphql", ROOT / "schema" / "schema.graphql"),
                "projects": (projects_url, FEDERATION_DIR / "projects.graphql"),
            },
        )
        supergraph = directory / "supergraph.graphql"
        supergraph.write_text(compose(configuration), encoding="utf-8")
        with node_server("gateway.mjs", supergraph) as url:
            yield url


@pytest.fixture(scope="session")
def query(gateway_url: str) -> Iterator[Query]:
    """Send operations to the gateway."""
    with httpx.Client(timeout=REQUEST_SECONDS, trust_env=False) as client:

        def send(operation: str, **variables: Any) -> dict[str, Any]:
            response = client.post(gateway_url, json={"query": operation, "variables": variables})
            answer: dict[str, Any] = response.json()
            return answer

        yield send
