"""The headers of all skills, by path and by short name."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

from subgraph.catalog import discovery, index_file
from subgraph.catalog.activation_events import names_of, normalised
from subgraph.catalog.dependencies import Cycle, cycles, resolve, unmet
from subgraph.catalog.discovery import (
    Candidate,
    Search,
    check_path,
    front_matters,
    shows_component,
    stamps_of,
)
from subgraph.catalog.header import InstallSource, SkillHeader, SkillRoot
from subgraph.catalog.index_file import Entry
from subgraph.catalog.manifest import DEPENDS_ON, parse_front_matter
from subgraph.catalog.problem import MANIFEST_NAME, Finding, Level, ManifestInvalid, Problem
from subgraph.errors import SkillAmbiguous, SkillNotFound, SourceInvalid

PROBLEMS_LIMIT = 1000
"""Bound of the problems that are kept of skills that are left out, and of dependencies that are not there."""

logger = logging.getLogger(__name__)


class _Index:
    """All entries of one scan. It is built aside: readers see the old one or the new one, whole."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.names: dict[str, tuple[SkillHeader, ...]] = {}
        self.left_out: list[Problem] = []
        self.unmet: list[Problem] = []
        self._events: dict[str, list[str]] | None = None

    def add_names(self) -> None:
        """Index the short names of all entries."""
        names = self.names = {}
        for path, entry in self.entries.items():
            name = path.rpartition("/")[2]
            names[name] = (*names[name], entry.header) if name in names else (entry.header,)

    def put(self, entry: Entry) -> None:
        """Put an entry in the place of the one with its path, or add it."""
        header = entry.header
        others = (other for other in self.names.get(header.name, ()) if other.path != header.path)
        self.entries[header.path] = entry
        self.names[header.name] = (*others, header)
        self._events = None

    def holds(self, path: str) -> bool:
        """Whether there is a skill at exactly this path."""
        return path in self.entries

    def paths_named(self, name: str) -> list[str]:
        """Return the paths of the skills with a short name."""
        return [header.path for header in self.names.get(name, ())]

    def paths_by_event(self) -> dict[str, list[str]]:
        """Index the activation events, when somebody first asks."""
        if self._events is None:
            self._events = {}
            for path, entry in self.entries.items():
                for event in entry.header.activation_events:
                    self._events.setdefault(event, []).append(path)
        return self._events

    def leave_out(self, path: str, finding: Finding) -> None:
        """Note why a skill is left out."""
        if len(self.left_out) < PROBLEMS_LIMIT:
            self.left_out.append(Problem.of(path, finding))

    def problems(self) -> list[Problem]:
        """Return all problems in the order of their paths."""
        warnings = (problem for entry in self.entries.values() for problem in entry.problems)
        return sorted([*self.left_out, *self.unmet, *warnings], key=lambda problem: problem.path)


class Registry:
    """An index in memory. Look-ups cost one dictionary access; a scan reads what has changed.

    `index_file` is where the index is kept over restarts; None for nowhere. `generation` is another number
    whenever a scan found something changed.
    """

    def __init__(self, roots: Iterable[SkillRoot], index_file: Path | None = None) -> None:
        by_directory: dict[Path, SkillRoot] = {}
        for root in roots:
            first = by_directory.setdefault(root.directory, root)
            if first.trusted and not root.trusted:  # what is fetched from elsewhere stays so
                by_directory[root.directory] = root
        self._roots = list(by_directory.values())
        self._index_file = index_file
        self._index = _Index()
        self._scanned = False
        self._unsaved = False  # whether the index file lacks something that can be kept
        self.generation = 0

    def scan(self) -> None:
        """Find all skills below the roots, and read those that are new or have changed.

        What cannot be read is logged and left out, unless it was valid before: then its header stays while
        there is a SKILL.md. A path that two roots have belongs to the first root.
        """
        before, after = self._index, _Index()
        known: index_file.Entries = {root.directory: before.entries for root in self._roots}
        first = not self._scanned
        if first:
            for root in self._roots:
                _warn_of_mistakes(root)
            if self._index_file is not None:
                known = index_file.load(self._index_file, self._roots)
        changed: list[tuple[Candidate, SkillRoot]] = []
        found = after.entries
        for root, candidates in self._candidates(after):
            entries = known.get(root.directory, {})
            for candidate in candidates:
                path, stamps, settled = candidate
                entry = entries.get(path)
                if settled and entry is not None and entry.stamps == stamps and entry.header.root is root:
                    found[path] = entry
                else:
                    changed.append((candidate, root))
        heads = front_matters([f"{root.directory}/{candidate.path}" for candidate, root in changed])
        for (candidate, root), head in zip(changed, heads, strict=True):
            self._read(candidate, root, head, before, after)
        _refuse_cycles(after)
        self._unsaved |= first and sum(map(len, known.values())) != len(after.entries)
        self._swap(before, after)
        self._save()

    def _candidates(self, after: _Index) -> Iterator[tuple[SkillRoot, list[Candidate]]]:
        """Search the roots in turn, for the skills of each that no earlier one has."""
        claimed: set[str] = set()
        for root in self._roots:
            search = Search()
            found = search.below(os.fspath(root.directory), discovery.SKILLS_LIMIT - len(claimed))
            if claimed:
                for candidate in found:
                    if candidate.path in claimed:
                        after.leave_out(candidate.path, _warning("is hidden by one of the same path"))
                found = [candidate for candidate in found if candidate.path not in claimed]
            yield root, found
            claimed.update(candidate.path for candidate in found)
            if search.cut is not None:
                after.leave_out("", _warning(f"has {search.cut}; the rest is left out"))

    def _read(
        self,
        candidate: Candidate,
        root: SkillRoot,
        head: bytes | ManifestInvalid,
        before: _Index,
        after: _Index,
    ) -> None:
        path = candidate.path
        try:
            after.entries[path] = _entry(candidate, root, head)
            self._unsaved |= candidate.settled
        except ManifestInvalid as error:
            after.leave_out(path, error.finding)
            last = before.entries.get(path)
            if last is not None and last.header.root is root:
                after.entries[path] = Entry(last.header, None, ())

    def _swap(self, before: _Index, after: _Index) -> None:
        said = set(before.left_out)
        for problem in after.left_out:
            if problem not in said:
                _log(problem, after)
        self._index = after
        if not self._scanned or _differ(before, after):
            self.generation += 1
        self._scanned = True

    def _save(self) -> None:
        """Write the index file when it would hold something else than it does."""
        if self._index_file is None or not self._unsaved:
            return
        self._unsaved = False
        index_file.save(self._index_file, self._index.entries.values())

    @property
    def unsettled(self) -> bool:
        """Whether a header was read so soon after its file changed that it must be read again."""
        return any(entry.stamps is None for entry in self._index.entries.values())

    def is_current(self, header: SkillHeader) -> bool:
        """Whether a header still says what its SKILL.md says; reads nothing."""
        entry = self._index.entries.get(header.path)
        if entry is None or entry.stamps is None:
            return False
        return stamps_of(os.fspath(header.directory), time.time_ns()) == (entry.stamps, True)

    def read_again(self, header: SkillHeader) -> SkillHeader:
        """Read a header again and keep it; the old one stays while its SKILL.md is no longer valid."""
        directory = os.fspath(header.directory)
        state = stamps_of(directory, time.time_ns())
        if state is None:
            return header
        (head,) = front_matters([directory])
        try:
            entry = _entry(Candidate(header.path, *state), header.root, head)
        except SourceInvalid as error:
            logger.warning("skill %r is no longer valid: %s", header.path, error.message)
            return header
        if header.path in self._index.entries:  # otherwise it is gone since
            self._put(entry)
        return entry.header

    def put(self, header: SkillHeader) -> None:
        """Add a header, in place of the one with its path; the next scan looks at its files."""
        self._put(Entry(header, None, ()))

    def _put(self, entry: Entry) -> None:
        before = self._index.entries.get(entry.header.path)
        if before is not None and before.header == entry.header and entry.stamps is None:
            return
        self._index.put(entry)
        if before is None or before.header != entry.header:
            self.generation += 1

    def get(self, name: str) -> SkillHeader:
        """Find a skill by its path, which `./` may precede, or by its short name.

        Raises `SkillNotFound`, and `SkillAmbiguous` for a short name that several skills have. One of
        them may have it as its path: it must not take the name from the others.
        """
        index = self._index
        headers = index.names.get(name, ())
        entry = index.entries.get(name.removeprefix("./"))
        if entry is not None and len(headers) < 2:
            return entry.header
        if not headers:
            raise SkillNotFound(
                f"no skill is named {name[:100]!r}; `skills {{ name path }}` lists those that there are"
            )
        if len(headers) > 1:
            paths = ", ".join(sorted(exact_name(header.path) for header in headers))
            raise SkillAmbiguous(f"several skills are named {name!r}; ask by path: {paths}")
        return headers[0]

    def activated_by(self, event: str) -> list[SkillHeader]:
        """Return the skills that ask to be activated by an event, in the order of their paths."""
        index = self._index
        events = index.paths_by_event()
        wanted = normalised(event) if events else None
        if wanted is None:
            return []
        paths = {path for name in names_of(wanted) for path in events.get(name, ())}
        return [index.entries[path].header for path in sorted(paths)]

    def problems(self) -> list[Problem]:
        """Return the warnings about skills and why others are left out, in the order of their paths."""
        return self._index.problems()

    def problems_of(self, path: str) -> list[Problem]:
        """Return the warnings about one skill, and why a change of it is not used."""
        entry = self._index.entries.get(path)
        others = (*self._index.left_out, *self._index.unmet)
        own = [problem for problem in others if problem.path == path]
        return [*own, *(() if entry is None else entry.problems)]

    def holds(self, path: str) -> bool:
        """Whether there is a skill at exactly this path."""
        return self._index.holds(path)

    def paths_named(self, name: str) -> list[str]:
        """Return the paths of the skills with a short name."""
        return self._index.paths_named(name)

    def __iter__(self) -> Iterator[SkillHeader]:
        """Iterate over all headers in the order of their paths."""
        entries = self._index.entries
        return iter([entries[path].header for path in sorted(entries)])

    def __len__(self) -> int:
        return len(self._index.entries)


def exact_name(path: str) -> str:
    """Spell a path so that it names that skill alone, whatever short names there are."""
    return path if "/" in path else f"./{path}"


def short_name(path: str) -> str:
    """Return a skill's short name, the last part of its path (agentskills.io: name equals directory)."""
    return path.rpartition("/")[2]


def _entry(candidate: Candidate, root: SkillRoot, head: bytes | ManifestInvalid) -> Entry:
    path, stamps, settled = candidate
    check_path(path)
    if isinstance(head, ManifestInvalid):
        raise head
    manifest = parse_front_matter(head, short_name(path))
    header = SkillHeader.of(manifest, path, root, has_component=shows_component(stamps))
    return Entry(
        header, stamps if settled else None, tuple(Problem.of(path, finding) for finding in manifest.warnings)
    )


def _refuse_cycles(index: _Index) -> None:
    """Leave out skills that depend on each other in a cycle, and index the short names of the others.

    The skills that ship with the service stay: nobody can take them away by adding others. Of a cycle with
    skills that were installed, these alone are left out: none of them takes away what the operator chose.
    """
    index.add_names()
    dependent = {path: names for path, entry in index.entries.items() if (names := entry.header.depends_on)}
    edges = {}
    for path, names in dependent.items():
        found = (resolve(name, path, holds=index.holds, named=index.paths_named) for name in names)
        edges[path] = {other for other in found if other is not None}
    refused = cycles(edges)
    installed = _leave_out(index, refused, lambda header: not header.trusted)
    if installed:
        refused = cycles({path: edges[path] - installed for path in edges.keys() - installed})
    chosen = _leave_out(index, refused, lambda header: header.source is not InstallSource.BUILTIN)
    if installed or chosen:
        index.add_names()
    index.unmet = list(islice(_unmet(index, dependent), PROBLEMS_LIMIT))


def _unmet(index: _Index, dependent: Mapping[str, Sequence[str]]) -> Iterator[Problem]:
    """Warn of skills whose dependencies are not there: they can be run alone."""
    for path, names in dependent.items():
        for name in names if path in index.entries else ():
            message = unmet(name, path, holds=index.holds, named=index.paths_named)
            if message is not None:
                yield Problem(path, Level.WARNING, f"metadata.{DEPENDS_ON}", None, message)


def _leave_out(index: _Index, refused: Iterable[Cycle], takes: Callable[[SkillHeader], bool]) -> set[str]:
    """Leave out those skills of cycles that `takes` takes; return their paths."""
    found = set()
    for cycle in refused:
        for path in sorted(cycle.members):
            if takes(index.entries[path].header):
                del index.entries[path]
                found.add(path)
                message = f"its dependencies form a cycle: {cycle}"
                index.leave_out(path, Finding(Level.ERROR, f"metadata.{DEPENDS_ON}", None, message))
    return found


def _differ(before: _Index, after: _Index) -> bool:
    """Whether two scans found anything else than the same headers with the same problems."""
    if before.entries.keys() != after.entries.keys() or before.left_out != after.left_out:
        return True
    return any(
        entry is not after.entries[path]
        and (entry.header, entry.problems) != (after.entries[path].header, after.entries[path].problems)
        for path, entry in before.entries.items()
    )


def _warning(message: str) -> Finding:
    return Finding(Level.WARNING, "", None, message)


def _log(problem: Problem, index: _Index) -> None:
    if problem.level is Level.WARNING:
        logger.warning("%s %s", f"skill {problem.path!r}" if problem.path else "a root", problem.message)
        return
    text = Finding(problem.level, problem.field, problem.line, problem.message)
    what = "is no longer valid" if problem.path in index.entries else "is left out"
    logger.warning("skill %r %s: %s: %s", problem.path, what, MANIFEST_NAME, text)


def _warn_of_mistakes(root: SkillRoot) -> None:
    """Say what is wrong with a directory that somebody named; others need not exist."""
    if root.source is not InstallSource.LOCAL or not root.trusted:
        return
    # Of `os.path`, which take what may not be looked at for absent; those of `Path` raise.
    if not os.path.isdir(root.directory):  # noqa: PTH112
        logger.warning("%s is no directory: no skill is found there", root.directory)
    elif os.path.exists(root.directory / MANIFEST_NAME):  # noqa: PTH110
        logger.warning("%s is itself a skill: name the directory above it", root.directory)
    elif not Search().below(os.fspath(root.directory), 1):
        logger.warning("%s holds no skill: no directory below it has a %s", root.directory, MANIFEST_NAME)
