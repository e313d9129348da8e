"""The headers of all skills, by path and by short name."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from subgraph.catalog.header import InstallSource, SkillHeader, SkillRoot
from subgraph.catalog.manifest import HEAD_BYTES, MANIFEST_NAME, parse_head
from subgraph.catalog.tree import Stamp, check_name, is_settled, read_head, stamp_of
from subgraph.errors import SkillAmbiguous, SkillNotFound, SourceInvalid

COMPONENT_PATH = "dist/skill.wasm"

DEPTH_LIMIT = 6
"""How deep below a root a skill may lie; the deepest built-in one is at three."""

SKILLS_LIMIT = 20_000

logger = logging.getLogger(__name__)


class _Mark(NamedTuple):
    """The state of what a header is read from: SKILL.md, and the component, which may be missing."""

    stamps: tuple[Stamp | None, Stamp | None]
    settled: bool  # see `is_settled`

    @classmethod
    def of(cls, directory: Path) -> _Mark:
        now = time.time_ns()
        stamps = stamp_of(directory / MANIFEST_NAME), stamp_of(directory / COMPONENT_PATH)
        return cls(stamps, all(stamp is None or is_settled(stamp, now) for stamp in stamps))


class Registry:
    """An index in memory. Look-ups cost one dictionary access; a scan reads the file system."""

    def __init__(self, roots: Iterable[SkillRoot]) -> None:
        self._roots = {root.directory: root for root in roots}
        self._by_path: dict[str, SkillHeader] = {}
        self._by_name: dict[str, list[SkillHeader]] = {}
        self._root_of: dict[str, SkillRoot] = {}
        self._marks: dict[str, _Mark] = {}

    def scan(self) -> None:
        """Find all skills below the roots. What is not valid is logged and left out.

        A path that two roots have belongs to the first root.
        """
        for index in (self._by_path, self._by_name, self._root_of, self._marks):
            index.clear()
        for root in self._roots.values():
            _warn_of_mistakes(root)
            for directory in _skill_directories(root.directory):
                path = directory.relative_to(root.directory).as_posix()
                if path in self._by_path:
                    logger.warning("skill %r is hidden by one of the same path", path)
                    continue
                mark = _Mark.of(directory)
                try:
                    header = _read_header(directory, path, root)
                except SourceInvalid as error:
                    logger.warning("skill %r is left out: %s", path, error.message)
                    continue
                self._root_of[path] = root
                self._marks[path] = mark
                self.put(header)

    def is_current(self, header: SkillHeader) -> bool:
        """Whether a header still says what its SKILL.md says; reads nothing."""
        mark = self._marks[header.path]
        return mark.settled and mark.stamps == _Mark.of(header.directory).stamps

    def read_again(self, header: SkillHeader) -> SkillHeader:
        """Read a header again and keep it; the old one stays while its SKILL.md is no longer valid."""
        mark = _Mark.of(header.directory)
        try:
            current = _read_header(header.directory, header.path, self._root_of[header.path])
        except SourceInvalid as error:
            logger.warning("skill %r is no longer valid: %s", header.path, error.message)
            return header
        self._marks[header.path] = mark
        self.put(current)
        return current

    def put(self, header: SkillHeader) -> None:
        """Add a header, in place of the one with the same path."""
        before = self._by_path.get(header.path)
        if before is not None:
            self._by_name[before.name].remove(before)
        self._by_path[header.path] = header
        self._by_name.setdefault(header.name, []).append(header)

    def root_of(self, header: SkillHeader) -> SkillRoot:
        """Return the root below which a skill was found."""
        return self._root_of[header.path]

    def get(self, name: str) -> SkillHeader:
        """Find a skill by its path, which `./` may precede, or by its short name.

        Raises `SkillNotFound`, and `SkillAmbiguous` for a short name that several skills have. One of
        them may have it as its path: it must not take the name from the others.
        """
        headers = self._by_name.get(name, [])
        header = self._by_path.get(name.removeprefix("./"))
        if header is not None and len(headers) < 2:
            return header
        if not headers:
            raise SkillNotFound(
                f"no skill is named {name[:100]!r}; `skills {{ name path }}` lists those found at start"
            )
        if len(headers) > 1:
            paths = ", ".join(sorted(exact_name(header.path) for header in headers))
            raise SkillAmbiguous(f"several skills are named {name!r}; ask by path: {paths}")
        return headers[0]

    def __iter__(self) -> Iterator[SkillHeader]:
        """Iterate over all headers in the order of their paths."""
        return (self._by_path[path] for path in sorted(self._by_path))


def exact_name(path: str) -> str:
    """Spell a path so that it names that skill alone, whatever short names there are."""
    return path if "/" in path else f"./{path}"


def _warn_of_mistakes(root: SkillRoot) -> None:
    """Say what is wrong with a directory that somebody named; others need not exist."""
    if root.source is not InstallSource.LOCAL or not root.trusted:
        return
    if not root.directory.is_dir():
        logger.warning("%s is no directory: no skill is found there", root.directory)
    elif (root.directory / MANIFEST_NAME).exists():
        logger.warning("%s is itself a skill: name the directory above it", root.directory)
    elif next(_skill_directories(root.directory), None) is None:
        logger.warning("%s holds no skill: no directory below it has a %s", root.directory, MANIFEST_NAME)


def _skill_directories(root: Path) -> Iterator[Path]:
    """Walk a root in sorted order; a skill's own directories are not searched for further skills."""
    found = 0
    for directory, subdirectories, files in os.walk(root):
        where = Path(directory)
        if MANIFEST_NAME in files and where != root:
            subdirectories.clear()
            found += 1
            if found > SKILLS_LIMIT:
                logger.warning("more than %d skills; the rest is left out", SKILLS_LIMIT)
                return
            yield where
        elif len(where.relative_to(root).parts) >= DEPTH_LIMIT:
            subdirectories.clear()
        subdirectories.sort()


def _read_header(directory: Path, path: str, root: SkillRoot) -> SkillHeader:
    for part in Path(path).parts:
        check_name(part, path)
    manifest = parse_head(read_head(directory / MANIFEST_NAME, HEAD_BYTES))
    if manifest.name != directory.name:
        raise SourceInvalid(f"{MANIFEST_NAME}: name: {manifest.name!r} differs from the directory")
    has_component = (directory / COMPONENT_PATH).is_file()
    return SkillHeader.of(manifest, path, directory, root, has_component=has_component)
