"""Catalogues for tests of the router: this project's skills, and skills that a test makes up."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from subgraph.catalog import InstallSource, SkillHeader, SkillRoot
from subgraph.catalog.manifest import SkillManifest
from subgraph.catalog.registry import Registry
from subgraph.routing import CatalogueSnapshot, Decision, KeywordBank, PersonaBook, builtin_bank, route
from subgraph.routing.keyword_bank import BankEntry

SKILLS = Path(__file__).parents[2] / "skills"
_ROOT = SkillRoot(Path("elsewhere"), InstallSource.LOCAL, trusted=True)


@dataclass(frozen=True)
class Found:
    """What an extractor found."""

    arguments: Mapping[str, object] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    question: str | None = None
    ambiguous: tuple[str, ...] = ()


def nothing(skill_name: str, query: str) -> Found:
    """Extract nothing, and miss nothing."""
    return Found()


@functools.cache
def own_headers() -> tuple[SkillHeader, ...]:
    """Read the headers of this project's skills."""
    registry = Registry([SkillRoot(SKILLS, InstallSource.BUILTIN, trusted=True)])
    registry.scan()
    return tuple(registry)


@functools.cache
def own_catalogue() -> CatalogueSnapshot:
    """Take a snapshot of this project's skills."""
    return CatalogueSnapshot.of(own_headers(), extractors="1")


def header(path: str, description: str = "Made up.", tools: str = "", **metadata: str) -> SkillHeader:
    """Make a header; `_` in the name of a field of `metadata` is a hyphen."""
    fields = {name.replace("_", "-"): value for name, value in metadata.items()}
    manifest = SkillManifest(None, description, None, None, tools, fields)
    return SkillHeader.of(manifest, path, _ROOT, has_component=False)


def catalogue(
    *headers: SkillHeader,
    keywords: Mapping[str, tuple[str, ...]] | None = None,
    idioms: tuple[str, ...] = (),
    personas: PersonaBook | None = None,
) -> CatalogueSnapshot:
    """Take a snapshot of made-up skills with a bank of their own; without keywords, with the built-in one."""
    bank = builtin_bank()
    if keywords is not None:
        bank = KeywordBank(
            "test", {path: BankEntry(None, listed) for path, listed in keywords.items()}, idioms
        )
    return CatalogueSnapshot.of(headers, extractors="1", bank=bank, personas=personas)


def decide(query: str, snapshot: CatalogueSnapshot | None = None, **options: object) -> Decision:
    """Route a query without extracting anything, in this project's catalogue."""
    return route(query, snapshot or own_catalogue(), nothing, **options)  # type: ignore[arg-type]
