"""Which skills exist, and what exactly each one is made of."""

from subgraph.catalog.activated_skill import ActivatedSkill
from subgraph.catalog.activation import Catalog
from subgraph.catalog.header import InstallSource, SkillHeader, SkillRoot
from subgraph.catalog.problem import Finding, Level, Problem
from subgraph.catalog.registry import exact_name, short_name
from subgraph.catalog.report import Report
from subgraph.catalog.snapshot import Snapshots
from subgraph.catalog.validation import validate

__all__ = [
    "ActivatedSkill",
    "Catalog",
    "Finding",
    "InstallSource",
    "Level",
    "Problem",
    "Report",
    "SkillHeader",
    "SkillRoot",
    "Snapshots",
    "exact_name",
    "short_name",
    "validate",
]
