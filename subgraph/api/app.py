"""The ASGI application: /graphql, GraphiQL's files, the log for witnesses, the probes, and /metrics."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from subgraph.api.authentication import Authenticator
from subgraph.api.endpoint import GraphQLEndpoint
from subgraph.api.graphiql import graphiql_routes
from subgraph.api.log_routes import log_routes
from subgraph.api.metrics import answer_metrics
from subgraph.api.schema import build_schema
from subgraph.errors import SubgraphError
from subgraph.service import Service
from subgraph.settings import LOOPBACK_HOSTS, Settings

_HOST = re.compile(r"(?:\[(?P<bracketed>[^\]]+)\]|(?P<plain>[^:\[\]]+))(?::\d*)?")


def build_app(settings: Settings) -> Starlette:
    """Build the application; its lifespan starts and stops the service."""
    service = Service(settings)
    authenticator = Authenticator(settings)
    endpoint = GraphQLEndpoint(
        service,
        build_schema(introspection=settings.introspection),
        authenticator,
        graphiql=settings.introspection,
    )

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with service:
            yield

    async def health(_: Request) -> Response:
        return _json({"status": "ok"})

    async def readiness(_: Request) -> Response:
        try:
            await service.check_ready()
        except SubgraphError as error:
            return _json({"status": "unavailable", "code": error.code, "message": error.message}, 503)
        return _json({"status": "ready"})

    async def metrics(request: Request) -> Response:
        return await answer_metrics(service, authenticator, request)

    routes: list[BaseRoute] = [
        Route("/graphql", endpoint.answer, methods=["GET", "POST"]),
        Route("/healthz", health, methods=["GET"]),
        Route("/readyz", readiness, methods=["GET"]),
        Route("/metrics", metrics, methods=["GET"]),
        *log_routes(service),
    ]
    if settings.introspection:
        routes += graphiql_routes()
    middleware = [] if settings.authenticated else [Middleware(LoopbackHosts)]
    return Starlette(routes=routes, middleware=middleware, lifespan=lifespan)


def _json(body: Mapping[str, Any], status: int = 200) -> Response:
    return Response(orjson.dumps(body), status_code=status, media_type="application/json")


class LoopbackHosts:
    """Refuses requests to any host name but those of loopback.

    Whoever reaches a service without authentication is its operator. A web page can have its own name
    resolve to 127.0.0.1 (DNS rebinding); its requests then carry that name.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on or refuse it."""
        if scope["type"] == "http" and _host(scope) not in LOOPBACK_HOSTS:
            message = "this service answers to loopback names alone"
            body = {"errors": [{"message": message, "extensions": {"code": "BAD_REQUEST"}}]}
            await _json(body, 421)(scope, receive, send)
            return
        await self._app(scope, receive, send)


def _host(scope: Scope) -> str:
    """Return the host name of a request without its port and brackets; empty when there is none."""
    for name, value in scope["headers"]:
        if name == b"host":
            host = value.decode("latin-1").strip().lower()
            found = _HOST.fullmatch(host)
            return "" if found is None else found["bracketed"] or found["plain"]
    return ""
