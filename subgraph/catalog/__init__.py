"""Which skills exist, and what exactly each one is made of."""

from subgraph.catalog.activation import ActivatedSkill, Catalog
from subgraph.catalog.header import InstallSource, SkillHeader, SkillRoot

__all__ = ["ActivatedSkill", "Catalog", "InstallSource", "SkillHeader", "SkillRoot"]
