"""What happened: canonical entries and the ledger that makes them durable."""

from subgraph.audit.decisions import (
    ChangedLimits,
    ChangedTrust,
    CreatedGrant,
    DeniedCapability,
    ErasedSubject,
    ReinstatedSkill,
    RequestedCapability,
    RevokedGrant,
    RevokedSkill,
)
from subgraph.audit.entry import Entry, EntryRefused, canonical
from subgraph.audit.invocations import (
    ErrorNote,
    FinishedInvocation,
    FurtherHostCalls,
    HostCallNote,
    NotableHostCall,
    RefusedInvocation,
    StartedInvocation,
)
from subgraph.audit.ledger import Ledger
from subgraph.audit.payloads import SubjectKeys
from subgraph.audit.reader import count_invocations, find_invocations

__all__ = [
    "ChangedLimits",
    "ChangedTrust",
    "CreatedGrant",
    "DeniedCapability",
    "Entry",
    "EntryRefused",
    "ErasedSubject",
    "ErrorNote",
    "FinishedInvocation",
    "FurtherHostCalls",
    "HostCallNote",
    "Ledger",
    "NotableHostCall",
    "RefusedInvocation",
    "ReinstatedSkill",
    "RequestedCapability",
    "RevokedGrant",
    "RevokedSkill",
    "StartedInvocation",
    "SubjectKeys",
    "canonical",
    "count_invocations",
    "find_invocations",
]
