"""The executable schema, and its printed form: `python -m subgraph.api.schema > schema/schema.graphql`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

import strawberry
from graphql import ASTValidationRule, GraphQLError, NoSchemaIntrospectionCustomRule, OperationDefinitionNode
from strawberry.extensions import (
    AddValidationRules,
    MaxTokensLimiter,
    ParserCache,
    SchemaExtension,
    ValidationCache,
)
from strawberry.federation.schema import FederationAny
from strawberry.schema.config import StrawberryConfig
from strawberry.types import ExecutionContext

from subgraph.api.context import Info
from subgraph.api.entities import resolve_entities
from subgraph.api.limits import TOKENS_LIMIT, DocumentLimits
from subgraph.api.mutations import Mutation
from subgraph.api.queries import Query
from subgraph.api.types import SCALARS

_CACHED_DOCUMENTS = 512  # a gateway sends a few dozen different ones
_CACHED_CHARACTERS = 8 * 1024  # of one of them; what clients repeat has its input in variables


class Schema(strawberry.federation.Schema):
    """The federation schema, with safe and batched `_entities`."""

    async def entities_resolver(  # type: ignore[override]
        self, info: Info, representations: list[FederationAny]
    ) -> list[FederationAny]:
        """Resolve the references of a gateway; see `entities`."""
        return await resolve_entities(info.context, representations)  # type: ignore[return-value]

    def process_errors(
        self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None
    ) -> None:
        """Log nothing here: the endpoint logs what is unexpected, with its traceback."""


class OneOperation(SchemaExtension):
    """Refuses several operations when the request names none; Strawberry would run the first."""

    def on_parse(self) -> Iterator[None]:
        """Look at what was parsed."""
        yield
        context = self.execution_context
        document = context.graphql_document
        if document is None or context._provided_operation_name is not None:  # noqa: SLF001 - not public
            return
        operations = [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]
        if len(operations) > 1:
            raise GraphQLError("the document has several operations: operationName must name one")


class _SmallDocumentsParsed(ParserCache):
    """Keeps what small documents were parsed to. A document in memory is ten times its text."""

    def on_parse(self) -> Iterator[None]:
        """Parse by the cache, or leave it to the schema."""
        if _is_small(self.execution_context):
            yield from super().on_parse()
        else:
            yield


class _SmallDocumentsValidated(ValidationCache):
    """Keeps the outcome of validating small documents."""

    def on_validate(self) -> Iterator[None]:
        """Validate by the cache, or leave it to the schema."""
        if _is_small(self.execution_context):
            yield from super().on_validate()
        else:
            yield


def _is_small(context: ExecutionContext) -> bool:
    return len(context.query or "") <= _CACHED_CHARACTERS


def build_schema(*, introspection: bool) -> Schema:
    """Build the schema."""
    rules: list[type[ASTValidationRule]] = [DocumentLimits]
    if not introspection:
        rules.append(NoSchemaIntrospectionCustomRule)
    extensions: list[Callable[[], SchemaExtension]] = [
        OneOperation,
        lambda: MaxTokensLimiter(max_token_count=TOKENS_LIMIT),
        lambda: AddValidationRules(rules),
        lambda: _SmallDocumentsParsed(maxsize=_CACHED_DOCUMENTS),
        lambda: _SmallDocumentsValidated(maxsize=_CACHED_DOCUMENTS),
    ]
    # 2.5 as documented. No scope directives are printed: a router without a licence refuses those.
    return Schema(
        query=Query,
        mutation=Mutation,
        federation_version="2.5",
        extensions=extensions,
        # Suggestions name fields that were not asked for.
        config=StrawberryConfig(disable_field_suggestions=not introspection, scalar_map=SCALARS),
    )


if __name__ == "__main__":
    sys.stdout.write(build_schema(introspection=True).as_str() + "\n")
