"""GraphQL over HTTP by POST (graphql.github.io/graphql-over-http), and GraphiQL for a browser's GET."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any, NoReturn

import orjson
from graphql import GraphQLError
from starlette.requests import Request
from starlette.responses import Response
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.types import ExecutionResult
from strawberry.types.graphql import OperationType

from subgraph.api.authentication import Authenticator
from subgraph.api.context import Context
from subgraph.api.graphiql import graphiql_response
from subgraph.api.schema import Schema
from subgraph.errors import SubgraphError, Unauthenticated
from subgraph.service import Service

GRAPHQL_RESPONSE = "application/graphql-response+json"
JSON_RESPONSE = "application/json"

_ENVELOPE_BYTES = 256 * 1024
"""Bound of what a request holds beside the input of a skill: the document and its other variables."""

_BODY_SECONDS = 30.0
"""How long a client may take to send a body; three megabytes take as long at 100 kB/s."""

_OPERATIONS = frozenset({OperationType.QUERY, OperationType.MUTATION})

logger = logging.getLogger(__name__)


class _BadRequest(Exception):
    """The request is not one of GraphQL over HTTP."""

    def __init__(self, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = headers or {}


class GraphQLEndpoint:
    """Answers requests to /graphql."""

    def __init__(
        self, service: Service, schema: Schema, authenticator: Authenticator, *, graphiql: bool
    ) -> None:
        self._service = service
        self._schema = schema
        self._authenticator = authenticator
        self._graphiql = graphiql
        # JSON may escape a letter by six bytes or twelve, which is up to three times its UTF-8.
        self._body_limit = 3 * service.settings.input_limit_bytes + _ENVELOPE_BYTES
        self._document_limit = service.settings.input_limit_bytes + _ENVELOPE_BYTES

    async def answer(self, request: Request) -> Response:
        """Answer one request."""
        if request.method in ("GET", "HEAD") and self._graphiql and _accepts_html(request):
            return graphiql_response(request)
        media_type = _response_type(request)
        try:
            # First, so that a stranger has nothing buffered or parsed.
            principal = await self._authenticator.authenticate(request.headers.get("authorization"))
            parameters = await self._parameters(request)
        except _BadRequest as error:
            body = {"errors": [_error(error.message, "BAD_REQUEST")]}
            return _response(body, media_type, error.status, error.headers)
        except SubgraphError as error:
            status = 401 if isinstance(error, Unauthenticated) else 503
            headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
            return _response({"errors": [_error(error.message, error.code)]}, media_type, status, headers)
        context = Context(self._service, principal)
        try:
            result = await self._schema.execute(
                parameters["query"],
                variable_values=parameters.get("variables"),
                operation_name=parameters.get("operationName"),
                context_value=context,
                allowed_operation_types=_OPERATIONS,
            )
        except CannotGetOperationTypeError:
            result = _refused("the document has no such operation")
        except InvalidOperationTypeError:
            result = _refused("subscriptions are not served")
        return self._executed(result, media_type, context)

    async def _parameters(self, request: Request) -> dict[str, Any]:
        """Read the parameters of a request and check their types. Raises `_BadRequest`."""
        if request.method != "POST":
            _refuse(405, "operations are sent by POST", {"Allow": "POST"})
        content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if content_type != JSON_RESPONSE:
            # Also what keeps a page of another origin out: it could send other types without asking.
            _refuse(415, f"the body of a request must be {JSON_RESPONSE}")
        try:
            parameters = json.loads(await self._body(request), parse_constant=_no_constant)
        except (ValueError, RecursionError):
            _refuse(400, "the body is not JSON")
        if not isinstance(parameters, dict):
            _refuse(400, "the body must be a JSON object; batches are not served")
        if not isinstance(parameters.get("query"), str) or not parameters["query"]:
            _refuse(400, "query must be text")
        if len(parameters["query"]) > self._document_limit:
            _refuse(413, f"query is over {self._document_limit} characters")
        if not isinstance(parameters.get("variables"), dict | None):
            _refuse(400, "variables must be an object")
        if not isinstance(parameters.get("operationName"), str | None):
            _refuse(400, "operationName must be text")
        if not isinstance(parameters.get("extensions"), dict | None):
            _refuse(400, "extensions must be an object")
        return parameters

    async def _body(self, request: Request) -> bytes:
        body = bytearray()
        try:
            async with asyncio.timeout(_BODY_SECONDS):
                async for chunk in request.stream():
                    body += chunk
                    if len(body) > self._body_limit:
                        _refuse(413, f"the body is over {self._body_limit} bytes")
        except TimeoutError:
            _refuse(408, f"the body did not come within {_BODY_SECONDS:.0f} s", {"Connection": "close"})
        return bytes(body)

    def _executed(self, result: ExecutionResult, media_type: str, context: Context) -> Response:
        body: dict[str, Any] = {}
        executed = result.data is not None or not result.errors or any(error.path for error in result.errors)
        if executed:
            body["data"] = result.data
        if result.errors:
            body["errors"] = [_formatted(error) for error in result.errors]
        if executed and context.unreadable:
            # As text, as `seq` is everywhere.
            body["extensions"] = {"unreadableEntries": [str(seq) for seq in sorted(context.unreadable)]}
        # By the specification 200 stands for any well-formed request in the older media type.
        status = 200 if executed or media_type == JSON_RESPONSE else 400
        return _response(body, media_type, status)


def _refuse(status: int, message: str, headers: dict[str, str] | None = None) -> NoReturn:
    raise _BadRequest(status, message, headers)


def _refused(message: str) -> ExecutionResult:
    return ExecutionResult(data=None, errors=[GraphQLError(message)])


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _accepts_html(request: Request) -> bool:
    return "text/html" in request.headers.get("accept", "")


def _response_type(request: Request) -> str:
    return GRAPHQL_RESPONSE if GRAPHQL_RESPONSE in request.headers.get("accept", "") else JSON_RESPONSE


def _response(
    body: dict[str, Any], media_type: str, status: int, headers: dict[str, str] | None = None
) -> Response:
    try:
        content = orjson.dumps(body, default=str)
    except orjson.JSONEncodeError:
        # A message quotes half of a surrogate pair, which JSON can escape and UTF-8 cannot hold.
        content = json.dumps(body, default=str).encode()
    return Response(
        content,
        status_code=status,
        media_type=f"{media_type}; charset=utf-8",
        headers={"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", **(headers or {})},
    )


def _error(message: str, code: str) -> dict[str, Any]:
    return {"message": message, "extensions": {"code": code}}


def _formatted(error: GraphQLError) -> dict[str, Any]:
    """Format an error for a client: ours with their code, the document's own, and nothing of any other."""
    original = error.original_error
    while isinstance(original, GraphQLError):
        original = original.original_error
    formatted: dict[str, Any] = dict(error.formatted)
    if isinstance(original, SubgraphError):
        formatted["message"] = original.message
        formatted["extensions"] = {"code": original.code}
        if original.request_id is not None:
            formatted["extensions"]["requestId"] = original.request_id
    elif isinstance(original, RecursionError):
        formatted["message"] = "the document is nested too deeply"
        formatted["extensions"] = {"code": "GRAPHQL_VALIDATION_FAILED"}
    elif original is None:
        formatted["extensions"] = {"code": "GRAPHQL_VALIDATION_FAILED"}
    else:
        logger.error("an operation failed unexpectedly", exc_info=original)
        formatted["message"] = "an internal error; it was logged"
        formatted["extensions"] = {"code": "INTERNAL_SERVER_ERROR"}
    return formatted
