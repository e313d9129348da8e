"""What happened: canonical entries and the ledger that makes them durable."""

from subgraph.audit.entry import (
    CreatedGrant,
    Entry,
    EntryRefused,
    ErrorNote,
    FinishedInvocation,
    RefusedInvocation,
    ReinstatedSkill,
    RevokedSkill,
    canonical,
)
from subgraph.audit.ledger import Ledger
from subgraph.audit.reader import count_invocations, find_invocations

__all__ = [
    "CreatedGrant",
    "Entry",
    "EntryRefused",
    "ErrorNote",
    "FinishedInvocation",
    "Ledger",
    "RefusedInvocation",
    "ReinstatedSkill",
    "RevokedSkill",
    "canonical",
    "count_invocations",
    "find_invocations",
]
