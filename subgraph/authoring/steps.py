"""What builds in every language have: steps that are told, and what a component is made of."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from subgraph.authoring.contract import Contract

Tell = Callable[[str, str], None]
"""Takes the name of a tool, and what it has done."""


class Steps:
    """Tells each step of a build when it is done, with what came of it, or else how long it took."""

    def __init__(self, tell: Tell) -> None:
        self.tell = tell

    @contextmanager
    def step(self, tool: str, what: str) -> Iterator[list[str]]:
        """Do a step; what is put into the list is told in place of its time."""
        started = time.perf_counter()
        results: list[str] = []
        yield results
        took = f"{(time.perf_counter() - started) * 1000:.0f} ms"
        self.tell(tool, f"{what} ...  OK ({', '.join(results) or took})")


@dataclass(frozen=True, slots=True)
class Source:
    """A file that went into a component: its name for others, where it lies, and its SHA-256."""

    name: str
    path: Path
    sha256: str


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool of a build. `purl` is its package URL; `inside` is whether code of it is in the component."""

    name: str
    version: str
    purl: str
    inside: bool = False


@dataclass(frozen=True, slots=True)
class Compiled:
    """A component, the contract that it was made for, and what went into it."""

    component: bytes
    contract: Contract
    sources: tuple[Source, ...]
    tools: tuple[Tool, ...]


def sources_of(paths: Sequence[Path], skill: Path, library: Path) -> tuple[Source, ...]:
    """Describe files by names that are the same on every machine, in the order of the names."""
    found = [Source(_name(path, skill, library), path, sha256_of(path.read_bytes())) for path in paths]
    return tuple(sorted(found, key=lambda source: source.name))


def _name(path: Path, skill: Path, library: Path) -> str:
    if path.is_relative_to(skill):
        return path.relative_to(skill).as_posix()
    if path.is_relative_to(library):
        return f"cyberos-guest/{path.relative_to(library).as_posix()}"
    if path.is_relative_to(skill.parent):  # of another skill
        return path.relative_to(skill.parent).as_posix()
    return path.name


def sha256_of(data: bytes) -> str:
    """Return the SHA-256 of some bytes in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def size_of(data: bytes) -> str:
    """Say how large something is."""
    return f"{len(data) / 1e6:.1f} MB" if len(data) >= 100_000 else f"{len(data) / 1e3:.1f} KB"
