"""What a skill may do: declared by the skill, granted by a person, for the exact bytes of the skill."""

from subgraph.capabilities.authority import Authority
from subgraph.capabilities.broker import Broker, CapabilityChanges
from subgraph.capabilities.decisions import (
    LIMIT_NAMES,
    CapabilityRequest,
    Grant,
    LimitDecision,
    OperatorBank,
    RequestState,
    Revocation,
    TrustDecision,
)
from subgraph.capabilities.trust import TrustTier, tier_by_place, what_opens
from subgraph.capabilities.vocabulary import Capability, declared_capabilities, parse_capability

__all__ = [
    "LIMIT_NAMES",
    "Authority",
    "Broker",
    "Capability",
    "CapabilityChanges",
    "CapabilityRequest",
    "Grant",
    "LimitDecision",
    "OperatorBank",
    "RequestState",
    "Revocation",
    "TrustDecision",
    "TrustTier",
    "declared_capabilities",
    "parse_capability",
    "tier_by_place",
    "what_opens",
]
