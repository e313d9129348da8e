"""What the service keeps of every skill in memory: enough to list it and to find it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from subgraph.catalog.manifest import SkillManifest


class InstallSource(Enum):
    """Where a skill came from."""

    LOCAL = "LOCAL"
    OCI = "OCI"
    HTTPS = "HTTPS"
    BUILTIN = "BUILTIN"


@dataclass(frozen=True, slots=True)
class SkillRoot:
    """A directory that is searched for skills.

    `trusted`: whether its skills were chosen by the operator. Others run only where the kernel confines
    them in full.
    """

    directory: Path
    source: InstallSource
    trusted: bool


@dataclass(frozen=True, slots=True)
class SkillHeader:
    """One skill. `name` is its short name, `path` its directory below the root, unique in a catalogue."""

    name: str
    path: str
    directory: Path
    source: InstallSource
    trusted: bool
    version: str | None
    description: str
    license: str | None
    region: str | None
    allowed_tools: str
    has_component: bool

    @classmethod
    def of(
        cls, manifest: SkillManifest, path: str, directory: Path, root: SkillRoot, *, has_component: bool
    ) -> SkillHeader:
        """Build the header of a skill that was found at `path` below a root."""
        return cls(
            name=manifest.name,
            path=path,
            directory=directory,
            source=root.source,
            trusted=root.trusted,
            version=manifest.metadata.get("version"),
            description=manifest.description,
            license=manifest.license,
            region=manifest.metadata.get("region"),
            allowed_tools=manifest.allowed_tools,
            has_component=has_component,
        )
