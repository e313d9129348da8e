"""What happened: canonical entries and the ledger that makes them durable."""

from subgraph.audit.decisions import (
    ChangedBank,
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
    InterruptedInvocation,
    NotableHostCall,
    RefusedInvocation,
    StartedInvocation,
)
from subgraph.audit.kpis import Kpi, read_kpis
from subgraph.audit.ledger import Ledger
from subgraph.audit.outcomes import find_outcome, outcome_section
from subgraph.audit.pages import DecisionPage, InvocationPage, decision_page, invocation_page, routing_page
from subgraph.audit.payloads import SubjectKeys
from subgraph.audit.reader import RecordedInvocation, count_invocations, find_invocations
from subgraph.audit.records import AuditRecord, find_record, find_taken_back
from subgraph.audit.routing import (
    ChainStepNote,
    ConsultedModel,
    DecidedRouting,
    FinishedChain,
    FinishedRouting,
    ReplayedRouting,
    StateNote,
    chain_id,
    consultation_id,
    outcome_id,
)
from subgraph.audit.tallies import Tally, Totals, read_totals

__all__ = [
    "AuditRecord",
    "ChainStepNote",
    "ChangedBank",
    "ChangedLimits",
    "ChangedTrust",
    "ConsultedModel",
    "CreatedGrant",
    "DecidedRouting",
    "DecisionPage",
    "DeniedCapability",
    "Entry",
    "EntryRefused",
    "ErasedSubject",
    "ErrorNote",
    "FinishedChain",
    "FinishedInvocation",
    "FinishedRouting",
    "FurtherHostCalls",
    "HostCallNote",
    "InterruptedInvocation",
    "InvocationPage",
    "Kpi",
    "Ledger",
    "NotableHostCall",
    "RecordedInvocation",
    "RefusedInvocation",
    "ReinstatedSkill",
    "ReplayedRouting",
    "RequestedCapability",
    "RevokedGrant",
    "RevokedSkill",
    "StartedInvocation",
    "StateNote",
    "SubjectKeys",
    "Tally",
    "Totals",
    "canonical",
    "chain_id",
    "consultation_id",
    "count_invocations",
    "decision_page",
    "find_invocations",
    "find_outcome",
    "find_record",
    "find_taken_back",
    "invocation_page",
    "outcome_id",
    "outcome_section",
    "read_kpis",
    "read_totals",
    "routing_page",
]
