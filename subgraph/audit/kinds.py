"""Every kind of entry that this program writes."""

from __future__ import annotations

from collections.abc import Iterator

from subgraph.audit import decisions, invocations, log_changes, routing
from subgraph.audit.entry import Entry

_MODULES = (decisions, invocations, log_changes, routing)


def _kinds() -> Iterator[str]:
    for module in _MODULES:
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, Entry) and hasattr(value, "kind"):
                yield value.kind


KINDS = frozenset(_kinds())

DECISION_KINDS = frozenset(kind for kind in KINDS if not kind.startswith(("invocation.", "host.")))
"""Those that pages of decisions hold."""
