"""The audit log for witnesses and monitors: its checkpoint, key and tiles (C2SP tlog-tiles).

They are open to everybody. What they tell is how many entries there are, and hashes of them.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from subgraph.errors import SubgraphError
from subgraph.service import Service

_NEVER_CHANGES = "public, max-age=604800, immutable"


def log_routes(service: Service) -> list[BaseRoute]:
    """Return the routes below /audit."""

    async def checkpoint(_: Request) -> Response:
        try:
            _checkpoint, note = await service.audit_trail.checkpoint()
        except SubgraphError as error:
            return _refused(error)
        return PlainTextResponse(note, headers={"Cache-Control": "no-cache"})

    async def key(_: Request) -> Response:
        return PlainTextResponse(f"{service.audit_trail.vkey}\n")

    async def tile(request: Request) -> Response:
        path = f"tile/{request.path_params['path']}"
        try:
            hashes = await service.audit_trail.tile(path)
        except SubgraphError as error:
            return _refused(error)
        if hashes is None:
            return PlainTextResponse("the log has no such tile\n", 404)
        return Response(
            hashes, media_type="application/octet-stream", headers={"Cache-Control": _NEVER_CHANGES}
        )

    return [
        Route("/audit/checkpoint", checkpoint, methods=["GET"]),
        Route("/audit/key", key, methods=["GET"]),
        Route("/audit/tile/{path:path}", tile, methods=["GET"]),
    ]


def _refused(error: SubgraphError) -> Response:
    return PlainTextResponse(f"{error.code}: {error.message}\n", 503)
