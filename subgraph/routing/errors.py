"""What is wrong with the data that routing rests on."""

from __future__ import annotations

from subgraph.errors import SourceInvalid


class RoutingDataInvalid(SourceInvalid):
    """A keyword bank, a book of personas or a stored snapshot is not as documented."""
