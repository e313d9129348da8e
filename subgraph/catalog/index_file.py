"""The warm index: headers of the last scan in a file, so that a start need not read each SKILL.md again.

An entry is used only while the times, sizes and inodes of its skill's files are those it was read at, and
only to list and to find a skill: what is approved or run is read from the bytes. The file may be anything: it
is ignored unless it is this user's own, whole, and every field has its type and is within its bound.
"""

from __future__ import annotations

import logging
import os
import secrets
import stat
import sys
import zlib
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, repeat
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import msgpack

from subgraph import __version__
from subgraph.catalog.discovery import SKILLS_LIMIT, STAMPS_SIZES
from subgraph.catalog.header import SkillHeader, SkillRoot, Traits
from subgraph.catalog.manifest import (
    DESCRIPTION_BOUND,
    EXTENSION_PREFIX,
    EXTENSIONS_BOUND,
    METADATA_LIMIT,
    TEXT_BOUND,
    TOOLS_BOUND,
    WARNINGS_LIMIT,
)
from subgraph.catalog.problem import Level, Problem

FILE_BYTES_LIMIT = 64 * 1024 * 1024
"""Bound of the file. 20,000 usual headers take 10 MiB."""

_MAGIC = f"cyberos-catalog-index 3 {__version__}\n".encode()
_CHECKSUM_SIZE = 4
_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH
_CONTROL = bytes({*range(0x20), 0x7F} - set(b"\t\n\r"))
_TRAITS = len(Traits._fields)
_PATH_LENGTH = 4096
_PROBLEM_LENGTH = 4096

logger = logging.getLogger(__name__)


class Entry(NamedTuple):
    """A header, the stamps of the files that it was read from, and the warnings about them.

    `stamps` is None when they do not vouch for the header: it must be read again.
    """

    header: SkillHeader
    stamps: bytes | None
    problems: tuple[Problem, ...]


class _Malformed(Exception):
    """The file is not what this version writes."""


Entries: TypeAlias = Mapping[Path, Mapping[str, Entry]]
"""By directory of the root, and by path below it."""


def load(path: Path, roots: Sequence[SkillRoot]) -> Entries:
    """Read the entries of these roots; nothing from a file that is not sound."""
    try:
        payload = _payload(path)
    except FileNotFoundError:
        return {}
    except (OSError, _Malformed) as error:
        logger.warning("the index of skills is not used, and written anew: %s", error)
        return {}
    try:
        document = msgpack.unpackb(payload)
        return _entries(document, roots)
    except (_Malformed, ValueError, TypeError, KeyError, IndexError, msgpack.UnpackException) as error:
        logger.warning("the index of skills is not used, and written anew: malformed (%s)", error)
        return {}


def save(path: Path, entries: Iterable[Entry]) -> None:
    """Write entries that have stamps to the file, whole or not at all. A failure is logged: it is a cache."""
    sections: dict[str, list[Entry]] = {}
    for entry in entries:
        if entry.stamps is not None:
            sections.setdefault(os.fspath(entry.header.root.directory), []).append(entry)
    document = {os.fsencode(root): _columns(kept) for root, kept in sections.items()}
    payload = msgpack.packb(document)
    if len(payload) > FILE_BYTES_LIMIT:
        logger.warning("the index of skills is not written: over %d bytes", FILE_BYTES_LIMIT)
        return
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(_MAGIC + _checksum(payload) + payload)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        logger.warning("the index of skills is not written: %s", error.strerror)


def _payload(path: Path) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise _Malformed("it is no file")
        if status.st_uid != os.geteuid() or status.st_mode & _OTHERS_MAY_WRITE:
            raise _Malformed("others than this user may have written it")
        data = file.read(FILE_BYTES_LIMIT + 1)
    head = len(_MAGIC) + _CHECKSUM_SIZE
    if len(data) > FILE_BYTES_LIMIT or not data.startswith(_MAGIC):
        raise _Malformed("it is of another version, or too large")
    payload = data[head:]
    if _checksum(payload) != data[len(_MAGIC) : head]:
        raise _Malformed("it is damaged")
    return payload


def _checksum(payload: bytes) -> bytes:
    return zlib.crc32(payload).to_bytes(_CHECKSUM_SIZE)  # against damage; whoever can write it can do worse


def _columns(kept: Sequence[Entry]) -> dict[str, Any]:
    """Write the entries of one root as columns, which are quick to check; traits by number."""
    traits = {trait: number for number, trait in enumerate({entry.header.traits: 0 for entry in kept})}
    return {
        "paths": [entry.header.path for entry in kept],
        "stamps": [entry.stamps for entry in kept],
        "versions": [entry.header.version for entry in kept],
        "descriptions": [entry.header.packed_description for entry in kept],
        "extensions": [entry.header.packed_extensions or b"" for entry in kept],
        "traits": [traits[entry.header.traits] for entry in kept],
        "table": [list(trait) for trait in traits],
        "problems": [
            [number, problem.field, problem.line, problem.message]
            for number, entry in enumerate(kept)
            for problem in entry.problems
        ],
    }


def _entries(document: object, roots: Sequence[SkillRoot]) -> Entries:
    if not isinstance(document, dict) or not _all(bytes, document):
        raise _Malformed("no mapping of roots")
    sections = ((root, document.get(os.fsencode(root.directory))) for root in roots)
    return {root.directory: _section(section, root) for root, section in sections if section is not None}


def _section(section: Mapping[str, Any], root: SkillRoot) -> dict[str, Entry]:
    paths, stamps, versions = section["paths"], section["stamps"], section["versions"]
    descriptions, extensions = section["descriptions"], section["extensions"]
    numbers, table = section["traits"], section["table"]
    columns = (paths, stamps, versions, descriptions, extensions, numbers)
    _check(all(isinstance(column, list) and len(column) == len(paths) for column in columns), "columns")
    _check(len(paths) <= SKILLS_LIMIT, "number")
    _check(_all(str, paths) and max(map(len, paths), default=0) <= _PATH_LENGTH, "paths")
    _check(_all(bytes, stamps) and set(map(len, stamps)) <= set(STAMPS_SIZES), "stamps")
    _check_texts(versions, TEXT_BOUND, "versions")
    _check_descriptions(descriptions)
    _check_extensions(extensions)
    traits = _traits(table)
    _check(_all(int, numbers) and min(numbers, default=0) >= 0, "traits")
    chosen = [traits[number] for number in numbers]
    _check(
        [len(stamp) == STAMPS_SIZES[1] for stamp in stamps] == [t.has_component for t in chosen], "components"
    )
    versions = [None if version is None else sys.intern(version) for version in versions]
    packed = [extension or None for extension in extensions]
    headers = map(SkillHeader._make, zip(paths, repeat(root), chosen, versions, descriptions, packed))
    problems = _problems(section["problems"], paths)
    return dict(zip(paths, map(Entry._make, zip(headers, stamps, problems, strict=True)), strict=True))


def _check_texts(values: Sequence[Any], bound: int, what: str) -> None:
    """Check that each value is a text within a bound, or none."""
    present = [value for value in values if value is not None]
    _check(_all(str, present) and max(map(len, present), default=0) <= bound, what)


def _check_descriptions(values: Sequence[Any]) -> None:
    _check(_all(bytes, values) and min(map(len, values), default=1) > 0, "descriptions")
    # A line feed between ends any character that is incomplete: each one is UTF-8, or all are not.
    text = b"\n".join(values)
    text.decode()
    _check(len(text.translate(None, _CONTROL)) == len(text), "descriptions")
    longest = max(map(len, values), default=0)
    if longest > DESCRIPTION_BOUND:  # in bytes: then it may still be within the bound, in characters
        _check(max(len(value.decode()) for value in values) <= DESCRIPTION_BOUND, "descriptions")


def _check_extensions(values: Sequence[Any]) -> None:
    """Check that each value is empty or a small mapping of text to text."""
    _check(_all(bytes, values) and max(map(len, values), default=0) <= 4 * EXTENSIONS_BOUND, "extensions")
    mappings = [msgpack.unpackb(value) for value in values if value]
    _check(_all(dict, mappings) and max(map(len, mappings), default=0) <= METADATA_LIMIT, "extensions")
    keys = set(chain.from_iterable(mappings))
    _check(_all(str, keys) and all(key.startswith(EXTENSION_PREFIX) for key in keys), "extensions")
    _check(_all(str, chain.from_iterable(mapping.values() for mapping in mappings)), "extensions")


def _traits(table: Sequence[Sequence[Any]]) -> list[Traits]:
    _check(_all(list, table) and len(table) <= SKILLS_LIMIT and set(map(len, table)) <= {_TRAITS}, "table")
    *texts, has_component = zip(*table, strict=True) if table else [()] * _TRAITS
    for column, bound in zip(texts, (TEXT_BOUND, TEXT_BOUND, TOOLS_BOUND), strict=True):
        _check_texts(column, bound, "table")
    _check(None not in texts[-1] and _all(bool, has_component), "table")
    return [Traits(*row).shared() for row in table]


def _problems(rows: Sequence[Any], paths: Sequence[str]) -> list[tuple[Problem, ...]]:
    """Read the problems of each path, in their order; most have none."""
    _check(isinstance(rows, list) and len(rows) <= (WARNINGS_LIMIT + 1) * len(paths), "problems")
    found: list[tuple[Problem, ...]] = [()] * len(paths)
    for number, name, line, message in rows:
        texts = type(name) is str and type(message) is str and len(name + message) <= _PROBLEM_LENGTH
        lines = line is None or (type(line) is int and line > 0)
        _check(texts and lines and type(number) is int and number >= 0, "problems")
        found[number] += (Problem(paths[number], Level.WARNING, name, line, message),)
    return found


def _all(kind: type, values: Iterable[object]) -> bool:
    return set(map(type, values)) <= {kind}


def _check(holds: bool, what: str) -> None:
    if not holds:
        raise _Malformed(what)
