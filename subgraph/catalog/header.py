"""What the service keeps of every skill in memory: enough to list it and to find it."""

from __future__ import annotations

import functools
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import NamedTuple

import msgpack

from subgraph.catalog.activation_events import parse_events
from subgraph.catalog.dependencies import dependency_names
from subgraph.catalog.manifest import (
    ACTIVATION_EVENTS,
    CHAIN,
    DEPENDS_ON,
    EXTENSION_PREFIX,
    SkillManifest,
)

SCRIPT = f"{EXTENSION_PREFIX}script"

_PACKED_DEPENDS_ON = DEPENDS_ON.encode()


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


class Traits(NamedTuple):
    """What many skills have in common; equal ones are one object."""

    license: str | None
    region: str | None
    allowed_tools: str
    has_component: bool

    def shared(self) -> Traits:
        """Return the one object that stands for all that are equal to this."""
        return _shared(self)


@functools.lru_cache(maxsize=4096)
def _shared(traits: Traits) -> Traits:
    return traits


class SkillHeader(NamedTuple):
    """One skill. `path` is its directory below the root, unique in a catalogue.

    There are thousands in memory, so it is compact: texts are kept as UTF-8, what follows from other fields
    is a property, and equal traits are shared.
    """

    path: str
    root: SkillRoot
    traits: Traits
    version: str | None  # `metadata.version` as it is written; equal ones are one object
    packed_description: bytes  # UTF-8
    packed_extensions: bytes | None  # a mapping of text to text as msgpack

    @classmethod
    def of(cls, manifest: SkillManifest, path: str, root: SkillRoot, *, has_component: bool) -> SkillHeader:
        """Build the header of a skill that was found at `path` below a root."""
        metadata = manifest.metadata
        extensions = {key: value for key, value in metadata.items() if key.startswith(EXTENSION_PREFIX)}
        version = metadata.get("version")
        traits = Traits(
            manifest.license,
            metadata.get("region"),
            manifest.allowed_tools,
            has_component,
        )
        return cls(
            path,
            root,
            traits.shared(),
            None if version is None else sys.intern(version),
            manifest.description.encode(),
            msgpack.packb(extensions) if extensions else None,
        )

    @property
    def name(self) -> str:
        """Its short name, which is that of its directory."""
        return self.path.rpartition("/")[2]

    @property
    def directory(self) -> Path:
        """Where its files lie."""
        return self.root.directory / self.path

    @property
    def source(self) -> InstallSource:
        """Where it came from."""
        return self.root.source

    @property
    def trusted(self) -> bool:
        """Whether the operator chose it."""
        return self.root.trusted

    @property
    def description(self) -> str:
        """What it does and when to use it."""
        return self.packed_description.decode()

    @property
    def license(self) -> str | None:
        """The licence that it states."""
        return self.traits.license

    @property
    def region(self) -> str | None:
        """`metadata.region`: the market it is for; None for all."""
        return self.traits.region

    @property
    def allowed_tools(self) -> str:
        """The raw text of `allowed-tools`."""
        return self.traits.allowed_tools

    @property
    def has_component(self) -> bool:
        """Whether it has a WebAssembly component."""
        return self.traits.has_component

    @property
    def extensions(self) -> Mapping[str, str]:
        """Its fields `metadata.cyberos-*`, by their whole names."""
        if self.packed_extensions is None:
            return {}
        unpacked: dict[str, str] = msgpack.unpackb(self.packed_extensions)
        return unpacked

    @property
    def script(self) -> str | None:
        """`metadata.cyberos-script`: its script's path within the skill, as it is written; unchecked."""
        return self.extensions.get(SCRIPT) or None

    @property
    def depends_on(self) -> tuple[str, ...]:
        """`metadata.cyberos-depends-on`: the skills that it builds on, as they are written."""
        # Most skills have none, and a scan asks all of them.
        if self.packed_extensions is None or _PACKED_DEPENDS_ON not in self.packed_extensions:
            return ()
        return dependency_names(self.extensions.get(DEPENDS_ON, ""))

    @property
    def chain(self) -> str:
        """`metadata.cyberos-chain`: how these are run before it; empty for not at all."""
        return self.extensions.get(CHAIN, "")

    @property
    def activation_events(self) -> tuple[str, ...]:
        """The well-formed events of `metadata.cyberos-activation-events`; see `activation_events`."""
        return parse_events(self.extensions.get(ACTIVATION_EVENTS, ""))[0]
