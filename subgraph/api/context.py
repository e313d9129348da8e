"""What a resolver has at hand: the service, the caller, and loaders that batch within one operation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property

import strawberry
from strawberry.dataloader import DataLoader

from subgraph.principal import Principal
from subgraph.service import Service


class Context:
    """The context of one GraphQL operation."""

    def __init__(self, service: Service, principal: Principal) -> None:
        self.service = service
        self.principal = principal
        self.unreadable: set[int] = set()
        """Entries of the audit log that were left out of the answer, since they cannot be read."""

    def note_unreadable(self, places: Iterable[int]) -> None:
        """Have the answer say which entries it lacks."""
        self.unreadable.update(places)

    @cached_property
    def invocation_counts(self) -> DataLoader[str, int]:
        """Invocations of the last 24 hours by skill path: one query for all skills of an operation."""

        async def load(paths: Sequence[str]) -> list[int]:
            counts = await self.service.history.count_last_day(self.principal, paths)
            return [counts[path] for path in paths]

        return DataLoader(load)


Info = strawberry.Info[Context, None]
