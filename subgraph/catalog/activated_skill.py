"""A skill whose files were read: what it says, and the bytes that its content hash is of."""

from __future__ import annotations

from dataclasses import dataclass

from subgraph.catalog.discovery import COMPONENT_PATH
from subgraph.catalog.header import SkillHeader
from subgraph.catalog.manifest import SkillManifest, parse_manifest
from subgraph.catalog.problem import MANIFEST_NAME
from subgraph.catalog.tree import SkillTree, read_tree
from subgraph.errors import SourceInvalid

MANIFEST_BYTES_LIMIT = 1024 * 1024
"""Bound of SKILL.md, which is in memory while the skill is active; the standard advises 5,000 tokens."""

REFERENCES = "references/"
REFERENCES_LIMIT = 64
REFERENCES_BYTES_LIMIT = 1024 * 1024
"""Bounds of the references of one skill that are read at once: more is no text that a model could read."""


class References(dict[str, str]):
    """Text files of a skill by path. `notes` says which were left out, and why."""

    def __init__(self) -> None:
        super().__init__()
        self.notes: list[str] = []


@dataclass(frozen=True, slots=True)
class ActivatedSkill:
    """A skill whose files were read: its header, manifest, body and content hash are of the same bytes."""

    header: SkillHeader
    manifest: SkillManifest
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

    def references(self) -> References:
        """Read the text files below `references/`, in the order of their paths; call it in a thread.

        They are the bytes of the content hash. A file that is not UTF-8, or for which there is no room
        within the bounds, is left out with a note. Raises `SourceInvalid` when one has changed.
        """
        found = References()
        room = REFERENCES_BYTES_LIMIT
        for path in sorted(path for path in self.tree.files if path.startswith(REFERENCES)):
            size = self.tree.files[path].size
            if len(found) >= REFERENCES_LIMIT:
                found.notes.append(f"{path}: left out: more than {REFERENCES_LIMIT} references")
            elif size > room:
                found.notes.append(f"{path}: left out: references over {REFERENCES_BYTES_LIMIT} bytes")
            else:
                try:
                    found[path] = self.tree.read(path).decode()
                    room -= size
                except UnicodeDecodeError:
                    found.notes.append(f"{path}: left out: not UTF-8")
        return found


def read_skill(header: SkillHeader) -> ActivatedSkill:
    """Read the skill of a header as its files are now; call it in a thread. Raises `SourceInvalid`."""
    tree = read_tree(header.directory)
    entry = tree.files.get(MANIFEST_NAME)
    if entry is None:
        raise SourceInvalid(f"the skill has no {MANIFEST_NAME}")
    if entry.size > MANIFEST_BYTES_LIMIT:
        raise SourceInvalid(f"{MANIFEST_NAME}: over {MANIFEST_BYTES_LIMIT} bytes")
    manifest, body = parse_manifest(tree.read(MANIFEST_NAME), header.name)
    current = SkillHeader.of(manifest, header.path, header.root, has_component=COMPONENT_PATH in tree.files)
    return ActivatedSkill(current, manifest, tree, body)
