"""A service in this process, and the gateway that it asks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
from pydantic import SecretStr

from subgraph.dispatch import Dispatched
from subgraph.recorded_decision import RecordedDecision
from subgraph.routing import Decision, route
from subgraph.routing.extractors import extract
from tests.support.guests import ECHO
from tests.support.model_gateway import KEY, ModelGateway, model_gateway
from tests.support.skills import OPERATOR, RunningService, component, service_in_process, skill_settings

HELLO, MST, LAW = "cuo/hello-world", "cyberskill-vn/vn-mst-validate", "cyberskill-vn/vn-legal-compliance"
QUERY = "xin chào các bạn thân mến"
REASON = "Because-of-an-illness-that-nobody-is-to-know"


class Cascade(RunningService):
    """A running service, and the gateway that it asks."""

    server: ModelGateway

    def route(self, query: str = QUERY, **options: Any) -> Dispatched:
        return self.run(self.service.dispatcher.route(OPERATOR, query, **options))

    def read(self, request_id: str | None) -> RecordedDecision:
        identifier = UUID(request_id)
        return self.run(self.service.decision_log.find(OPERATOR, [identifier]))[identifier]

    def alone(self, query: str) -> Decision:
        """What the rules decide without a model."""
        snapshot = self.run(self.service.routing_desk.snapshot())
        return route(query, snapshot, extract)

    def rows(self, table: str) -> list[asyncpg.Record]:
        async def fetch() -> list[asyncpg.Record]:
            connection = await asyncpg.connect(self.dsn)
            try:
                return await connection.fetch(f"SELECT * FROM consultation.{table}")  # noqa: S608
            finally:
                await connection.close()

        return self.run(fetch())

    @property
    def dsn(self) -> str:
        assert self.settings.database_url is not None
        return self.settings.database_url.get_secret_value()


def cascade(home: Path, dsn: str, server: ModelGateway, **fields: Any) -> Any:
    return skill_settings(
        home, dsn, llm_url=server.url, llm_model="test-model", llm_api_key=SecretStr(KEY), llm_seed=7,
        llm_retries=0, **fields,
    )  # fmt: skip


def started(home: Path, dsn: str, **fields: Any) -> Iterator[Cascade]:
    with model_gateway() as server, service_in_process(cascade(home, dsn, server, **fields)) as service:
        service.__class__ = Cascade
        assert isinstance(service, Cascade)
        service.server = server
        service.write(HELLO, guest=component(ECHO))
        for path in (MST, LAW):
            service.write(path, fields="metadata: {region: VN}", guest=component(ECHO))
        yield service
