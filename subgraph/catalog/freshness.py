"""Whether a component is of the sources beside it, by the bill of materials that its build left."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import orjson

from subgraph.catalog.discovery import COMPONENT_PATH
from subgraph.catalog.showing import shown_in_line
from subgraph.catalog.tree import FILE_BYTES_LIMIT, read_head
from subgraph.errors import SourceInvalid

BILL_PATH = "dist/skill.cdx.json"

BILL_BYTES_LIMIT = 1024 * 1024
"""Bound of a bill that is read; the largest of this project has 20 KB."""

_SOURCES = "src/"
_SHOWN = 80


def stale_because(directory: Path, paths: Collection[str]) -> str | None:
    """Say why a component is not of the files beside it; None where it is, or where nobody can tell.

    `paths` are the files of the skill. Digests are compared, not times: a checkout and a copy have new times.
    A skill without a bill, or one that is published without its sources, has nothing to compare. What a
    component has of other skills and of the guest library is not looked at.
    """
    if COMPONENT_PATH not in paths or BILL_PATH not in paths:
        return None
    try:
        bill = orjson.loads(read_head(directory / BILL_PATH, BILL_BYTES_LIMIT))
        if _digests(bill["metadata"]["component"]) != {_digest(directory / COMPONENT_PATH)}:
            return f"{COMPONENT_PATH} is not the component of {BILL_PATH}: build it again"
        for name in _changed(directory, paths, bill["components"]):
            shown = shown_in_line(name, _SHOWN)
            return f"{COMPONENT_PATH} was built from another {shown} than the skill has: build it again"
    except (SourceInvalid, ValueError, LookupError, TypeError, AttributeError):
        return None  # It is no bill that `build` writes.
    return None


def _changed(directory: Path, paths: Collection[str], components: Any) -> Iterator[str]:
    """Find the skill's own files that went into the component and are now others, or gone."""
    has_sources = any(path.startswith(_SOURCES) for path in paths)
    for each in components:
        name = each["name"]
        if each["type"] != "file":
            continue
        # A name is looked up among the skill's files, and so leads to no other file.
        if name in paths:
            if _digests(each) != {_digest(directory / name)}:
                yield name
        elif has_sources and name.startswith(_SOURCES):
            yield name


def _digests(component: Any) -> set[str]:
    return {each["content"] for each in component["hashes"] if each["alg"] == "SHA-256"}


def _digest(path: Path) -> str:
    return hashlib.sha256(read_head(path, FILE_BYTES_LIMIT)).hexdigest()
