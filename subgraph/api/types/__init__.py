"""The types of the schema. Names, fields and nullability are an interface that other teams compose."""

from subgraph.api.types.audit import AuditCheckpoint, AuditEntry, AuditProof
from subgraph.api.types.authority import CapabilityGrant, CapabilityRequest
from subgraph.api.types.chain_step import InvocationResult
from subgraph.api.types.history import AuditRecord, Kpi
from subgraph.api.types.invocation import Invocation
from subgraph.api.types.persona import Persona
from subgraph.api.types.routing import RoutingDecision, RoutingPreview, RoutingReplay
from subgraph.api.types.routing_data import KeywordBank, Seat
from subgraph.api.types.scalars import SCALARS, BigInt
from subgraph.api.types.skill import Skill, SkillProblem
from subgraph.api.types.trust import SkillLimitsInput, SkillTrust

__all__ = [
    "SCALARS",
    "AuditCheckpoint",
    "AuditEntry",
    "AuditProof",
    "AuditRecord",
    "BigInt",
    "CapabilityGrant",
    "CapabilityRequest",
    "Invocation",
    "InvocationResult",
    "KeywordBank",
    "Kpi",
    "Persona",
    "RoutingDecision",
    "RoutingPreview",
    "RoutingReplay",
    "Seat",
    "Skill",
    "SkillLimitsInput",
    "SkillProblem",
    "SkillTrust",
]
