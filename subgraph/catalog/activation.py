"""Skills as they are now: a header always goes with the content hash of the bytes it was read from."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from subgraph.catalog.header import SkillHeader, SkillRoot
from subgraph.catalog.manifest import MANIFEST_NAME, parse_manifest
from subgraph.catalog.registry import COMPONENT_PATH, Registry, exact_name
from subgraph.catalog.tree import SkillTree, read_tree, stamp_of
from subgraph.errors import SourceInvalid
from subgraph.single_flight import SingleFlight


@dataclass(frozen=True, slots=True)
class ActivatedSkill:
    """A skill whose files were read: its header, body and content hash are of the same bytes."""

    header: SkillHeader
    tree: SkillTree
    body: str

    @property
    def content_hash(self) -> str:
        """The hash that grants are bound to."""
        return self.tree.content_hash

    def component(self) -> bytes:
        """Read the component. Raises `SourceInvalid` when there is none or it is no longer the same."""
        return self.tree.read(COMPONENT_PATH)

    @property
    def component_digest(self) -> str | None:
        """SHA-256 of the component, in hex, None for a skill without one."""
        entry = self.tree.files.get(COMPONENT_PATH)
        return None if entry is None else entry.sha256


class Catalog:
    """All skills below some roots."""

    def __init__(self, roots: Iterable[SkillRoot]) -> None:
        self._registry = Registry(roots)
        self._active: dict[str, ActivatedSkill] = {}
        self._reading: SingleFlight[str, ActivatedSkill] = SingleFlight()

    async def scan(self) -> None:
        """Find all skills; reads the head of each SKILL.md."""
        await asyncio.to_thread(self._registry.scan)

    def get(self, name: str) -> SkillHeader:
        """Find a skill by path or short name. Raises `SkillNotFound` and `SkillAmbiguous`."""
        return self._registry.get(name)

    async def current(self, name: str) -> SkillHeader:
        """Find a skill as `get` does, with its header as its SKILL.md is at this moment."""
        header = self._registry.get(name)
        if self._registry.is_current(header):
            return header
        return await asyncio.to_thread(self._registry.read_again, header)

    async def current_headers(self) -> list[SkillHeader]:
        """Return the skills that are still there in the order of their paths, as their files are now."""
        headers = [await self.current(exact_name(header.path)) for header in self._registry]
        return [header for header in headers if stamp_of(header.directory / MANIFEST_NAME) is not None]

    async def activate(self, name: str, *, anew: bool = False) -> ActivatedSkill:
        """Return a skill as its files are at this moment, reading them when they have changed.

        `anew` reads them in any case: what a person is about to approve must not rest on time stamps.
        Raises `SkillNotFound`, `SkillAmbiguous`, and `SourceInvalid` when the files are not a skill.
        """
        header = self._registry.get(name)
        if anew:
            await self._reading.finished(header.path)
            return await self._reading.run(header.path, lambda: self._read(header))
        active = self._active.get(header.path)
        if active is not None and active.tree.unchanged():
            return active
        # A read that runs may have begun before the last change; the next one is shared by all who wait.
        await self._reading.finished(header.path)
        active = self._active.get(header.path)
        if active is not None and active.tree.unchanged():
            return active
        return await self._reading.run(header.path, lambda: self._read(header))

    async def _read(self, header: SkillHeader) -> ActivatedSkill:
        root = self._registry.root_of(header)
        try:
            active = await asyncio.to_thread(_activate, header, root)
        except SourceInvalid as error:
            raise SourceInvalid(f"{header.path}: {error.message}") from error
        self._active[header.path] = active
        self._registry.put(active.header)
        return active


def _activate(header: SkillHeader, root: SkillRoot) -> ActivatedSkill:
    tree = read_tree(header.directory)
    if MANIFEST_NAME not in tree.files:
        raise SourceInvalid(f"the skill has no {MANIFEST_NAME}")
    manifest, body = parse_manifest(tree.read(MANIFEST_NAME))
    if manifest.name != header.directory.name:
        raise SourceInvalid(f"{MANIFEST_NAME}: name: {manifest.name!r} differs from the directory")
    current = SkillHeader.of(
        manifest, header.path, header.directory, root, has_component=COMPONENT_PATH in tree.files
    )
    return ActivatedSkill(current, tree, body)
