"""Bounds of a GraphQL document, checked in one pass over it.

Each fragment is measured once. Rules that follow every spread take time exponential in the number of
fragments, so that a document of two kilobytes would occupy the service for good.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from graphql import (
    ASTValidationRule,
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    InlineFragmentNode,
    Node,
    OperationDefinitionNode,
    SelectionSetNode,
    ValidationContext,
)

TOKENS_LIMIT = 5000
"""Bound of what is parsed at all; GraphiQL's introspection query has about 500 tokens."""

DEPTH_LIMIT = 10
"""Bound of nesting; the deepest path of the schema has three fields, a gateway adds one or two."""

FIELDS_LIMIT = 500
"""Bound of the fields that a document selects, fragments written out; all types together have 40."""

ALIASES_LIMIT = 30
"""Bound of aliases, by which one document could make many calls."""


class _Size(NamedTuple):
    depth: int = 0
    fields: int = 0
    aliases: int = 0


class DocumentLimits(ASTValidationRule):
    """Refuses documents over the limits. The depth of introspection is left to the rule of its own."""

    def __init__(self, context: ValidationContext) -> None:
        super().__init__(context)
        self._fragments: dict[str, _Size] = {}

    def enter_document(self, document: DocumentNode, *_args: Any) -> None:
        """Measure every definition. Raises `GraphQLError`, which ends the validation.

        Nothing else is validated then: other rules take time quadratic in the number of fields.
        """
        for node in document.definitions:
            if isinstance(node, OperationDefinitionNode):
                self._check("operation", node, self._measure(node.selection_set))
            elif isinstance(node, FragmentDefinitionNode):
                size = self._measure_fragment(node.name.value)
                self._check("fragment", node, size._replace(depth=0))  # it counts where it is spread

    def _check(self, kind: str, node: Node, size: _Size) -> None:
        for what, measured, limit in (
            ("levels", size.depth, DEPTH_LIMIT),
            ("fields", size.fields, FIELDS_LIMIT),
            ("aliases", size.aliases, ALIASES_LIMIT),
        ):
            if measured > limit:
                raise GraphQLError(f"the {kind} has {measured} {what}; the limit is {limit}", node)

    def _measure(self, selections: SelectionSetNode | None) -> _Size:
        depth = fields = aliases = 0
        for selection in () if selections is None else selections.selections:
            if isinstance(selection, FieldNode):
                inner = self._measure(selection.selection_set)
                introspects = selection.name.value.startswith("__")
                inner = _Size(
                    0 if introspects else inner.depth + 1,
                    inner.fields + 1,
                    inner.aliases + (selection.alias is not None),
                )
            elif isinstance(selection, InlineFragmentNode):
                inner = self._measure(selection.selection_set)
            elif isinstance(selection, FragmentSpreadNode):
                inner = self._measure_fragment(selection.name.value)
            else:
                continue
            depth = max(depth, inner.depth)
            fields += inner.fields
            aliases += inner.aliases
        return _Size(depth, fields, aliases)

    def _measure_fragment(self, name: str) -> _Size:
        if name not in self._fragments:
            # A fragment that spreads itself is refused by another rule; here it must only end.
            self._fragments[name] = _Size()
            fragment: FragmentDefinitionNode | None = self.context.get_fragment(name)
            if fragment is not None:
                self._fragments[name] = self._measure(fragment.selection_set)
        return self._fragments[name]
