"""Which skill a query is for: rules, keywords and personas as data, no input or output of its own."""

from subgraph.routing.catalogue import RULES_VERSION, CatalogueSnapshot
from subgraph.routing.chains import ChainBroken, ChainNode, PlannedStep, plan_chain
from subgraph.routing.consultation import Consultation, ConsultationOutcome
from subgraph.routing.decision import (
    Candidate,
    Decision,
    Extraction,
    Extractor,
    Nudge,
    RouterPhase,
    State,
    Tier,
)
from subgraph.routing.deferral import Deferral
from subgraph.routing.errors import RoutingDataInvalid
from subgraph.routing.keyword_bank import KeywordBank, builtin_bank, load_bank, merged
from subgraph.routing.personas import Persona, PersonaBook, builtin_personas
from subgraph.routing.prompt import PROMPT_VERSION, Prompt, prompt_of
from subgraph.routing.router import route, tier_of
from subgraph.routing.scoring import Score
from subgraph.routing.settling import settle
from subgraph.routing.skill_entry import SkillEntry

__all__ = [
    "PROMPT_VERSION",
    "RULES_VERSION",
    "Candidate",
    "CatalogueSnapshot",
    "ChainBroken",
    "ChainNode",
    "Consultation",
    "ConsultationOutcome",
    "Decision",
    "Deferral",
    "Extraction",
    "Extractor",
    "KeywordBank",
    "Nudge",
    "Persona",
    "PersonaBook",
    "PlannedStep",
    "Prompt",
    "RouterPhase",
    "RoutingDataInvalid",
    "Score",
    "SkillEntry",
    "State",
    "Tier",
    "builtin_bank",
    "builtin_personas",
    "load_bank",
    "merged",
    "plan_chain",
    "prompt_of",
    "route",
    "settle",
    "tier_of",
]
