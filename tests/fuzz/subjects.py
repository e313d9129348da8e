"""What reads text of strangers, and what it may raise: nothing else, and within a bound of processor time."""

from __future__ import annotations

import contextlib
import gc
import tempfile
import time
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from subgraph.capabilities.vocabulary import Capability, declared_capabilities, describe, parse_capability
from subgraph.catalog import validate
from subgraph.catalog.activation_events import parse_events
from subgraph.catalog.manifest import parse_front_matter, parse_manifest
from subgraph.errors import CapabilityDenied, SourceInvalid

T = TypeVar("T")

CPU_SECONDS = 0.05
"""Bound of what one input may take of a processor."""

_REPEATS = 3
_HIDING = frozenset({"Cc", "Cs", "Zl", "Zp"})
_TURNING = frozenset({"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"})
_CAPABILITIES_LOOKED_AT = 8


class Fault(AssertionError):
    """An input did what no input may do."""


class ManifestReaders:
    """Everything that reads SKILL.md, for a directory that its inputs are written to."""

    def __init__(self, directory: Path) -> None:
        self._skill = directory / "ok"
        self._skill.mkdir()
        self.slowest = 0.0

    def read(self, data: bytes) -> None:
        """Read one input in every way. Raises `Fault`."""
        (self._skill / "SKILL.md").write_bytes(data)
        self._timed("parse_manifest", data, _manifest)
        self._timed("parse_front_matter", data, _front_matter)
        self._timed("validate", data, lambda _: self._validate())

    def _validate(self) -> None:
        report = validate(self._skill, check_tool=tool_problem)
        lines = report.lines()
        if any(map(_hides, "".join(lines))) or report.ok != lines[-1].startswith("[validate]   ✅"):
            raise Fault(f"the report cannot be shown: {lines}")

    def _timed(self, what: str, data: T, call: Callable[[T], object]) -> None:
        self.slowest = max(self.slowest, timed(what, data, call))


class ToolReaders:
    """Everything that reads `allowed-tools`."""

    def __init__(self) -> None:
        self.slowest = 0.0

    def read(self, text: str) -> None:
        """Read one input in every way. Raises `Fault`."""
        for what, call in (
            ("declared_capabilities", _declared),
            ("parse_capability", _capability),
            ("parse_events", parse_events.__wrapped__),
        ):
            self.slowest = max(self.slowest, timed(what, text, call))


def tool_problem(entry: str) -> str | None:
    """Say what is wrong with an entry of `allowed-tools`, as the command line does."""
    found = declared_capabilities(entry)
    return found[0].problem if found else "is no capability"


def _hides(character: str) -> bool:
    """Whether a character moves the cursor, breaks the line or turns what follows."""
    return unicodedata.category(character) in _HIDING or unicodedata.bidirectional(character) in _TURNING


@contextlib.contextmanager
def manifest_readers() -> Iterator[ManifestReaders]:
    """Readers with a directory of their own, which goes when they go."""
    with tempfile.TemporaryDirectory() as directory:
        yield ManifestReaders(Path(directory))


def _manifest(data: bytes) -> None:
    with contextlib.suppress(SourceInvalid):
        parse_manifest(data, "ok")


def _front_matter(data: bytes) -> None:
    with contextlib.suppress(SourceInvalid):
        parse_front_matter(data, "ok")


def _declared(text: str) -> None:
    declared = declared_capabilities.__wrapped__(text)[:_CAPABILITIES_LOOKED_AT]
    for capability in declared:
        describe(capability)
        _check(capability, declared)


def _check(capability: Capability, others: tuple[Capability, ...]) -> None:
    if not capability.covers(capability):
        raise Fault(f"{capability} does not cover itself")
    for other in others:
        capability.covers(other)
    for target in ("work:a/b.txt", "https://a.example.vn/b", "HOME", "../../etc/passwd", "\0"):
        if capability.admits(target) and not capability.is_well_formed:
            raise Fault(f"{capability} is not well formed and admits {target!r}")


def _capability(text: str) -> None:
    with contextlib.suppress(CapabilityDenied):
        parsed = parse_capability(text)
        if parse_capability(str(parsed)) != parsed:
            raise Fault(f"{parsed} is read as something else")


def timed(what: str, data: T, call: Callable[[T], object]) -> float:
    """Call, and return the processor time it took. Raises `Fault` for any exception, and over the bound."""
    try:
        took = _processor_time(data, call)
        if took > CPU_SECONDS:  # once may be a collection of garbage, or a page of code that was not there
            gc.collect()
            took = min(_processor_time(data, call) for _ in range(_REPEATS))
    except Fault:
        raise
    except Exception as error:
        raise Fault(f"{what} raised {type(error).__name__}: {error}") from error
    if took > CPU_SECONDS:
        raise Fault(f"{what} took {took * 1000:.0f} ms")
    return took


def _processor_time(data: T, call: Callable[[T], object]) -> float:
    started = time.process_time()
    call(data)
    return time.process_time() - started
