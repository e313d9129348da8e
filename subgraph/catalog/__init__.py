"""Which skills exist, and what exactly each one is made of."""

from subgraph.catalog.activation import ActivatedSkill, Catalog
from subgraph.catalog.header import InstallSource, SkillHeader, SkillRoot
from subgraph.catalog.registry import exact_name

__all__ = ["ActivatedSkill", "Catalog", "InstallSource", "SkillHeader", "SkillRoot", "exact_name"]
