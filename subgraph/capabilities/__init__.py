"""What a skill may do: declared by the skill, granted by a person, for the exact bytes of the skill."""

from subgraph.capabilities.broker import Broker
from subgraph.capabilities.grants import Authority, Grant, Revocation
from subgraph.capabilities.vocabulary import Capability, declared_capabilities, parse_capability

__all__ = [
    "Authority",
    "Broker",
    "Capability",
    "Grant",
    "Revocation",
    "declared_capabilities",
    "parse_capability",
]
