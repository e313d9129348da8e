"""Named SQL queries, read from `sql/queries/*.sql` once at start.

A file is a row of blocks: a line `-- name: grant_put`, one or more `-- ` lines that describe it, then
the statement. Names are unique over all files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_NAME = re.compile(r"^-- name:[ \t]*(?P<name>\S*)[ \t]*$", re.MULTILINE)
_IDENTIFIER = re.compile(r"[a-z][a-z0-9_]*")


class QueryFileError(ValueError):
    """A file of named queries breaks the rules; the message names the file and the query."""


@dataclass(frozen=True, slots=True)
class Query:
    """One named statement. `sql` holds PostgreSQL placeholders (`$1`), without a trailing semicolon."""

    name: str
    description: str
    sql: str


def load_queries(directory: Path) -> dict[str, Query]:
    """Read every `*.sql` file of `directory` into a mapping by query name.

    Raises `QueryFileError` for a duplicate or malformed name, a missing description, an empty
    statement, text outside of a block, or a directory without queries.
    """
    queries: dict[str, Query] = {}
    for path in sorted(directory.glob("*.sql")):
        for query in _parse(path.name, path.read_text(encoding="utf-8")):
            if query.name in queries:
                raise QueryFileError(f"{path.name}: query {query.name} is defined twice")
            queries[query.name] = query
    if not queries:
        raise QueryFileError(f"no named queries in {directory}")
    return queries


def _parse(file: str, text: str) -> Iterator[Query]:
    headers = list(_NAME.finditer(text))
    preamble = text[: headers[0].start()] if headers else text
    if preamble.strip():
        raise QueryFileError(f"{file}: text before the first `-- name:` line")
    for number, header in enumerate(headers, start=1):
        end = headers[number].start() if number < len(headers) else len(text)
        yield _query(file, header["name"], text[header.end() : end])


def _query(file: str, name: str, block: str) -> Query:
    if not _IDENTIFIER.fullmatch(name):
        raise QueryFileError(f"{file}: {name!r} is not a query name (lower case, digits, underscores)")
    lines = block.strip().splitlines()
    described = 0
    while described < len(lines) and lines[described].startswith("--"):
        described += 1
    description = " ".join(line.removeprefix("--").strip() for line in lines[:described]).strip()
    sql = "\n".join(lines[described:]).strip().removesuffix(";").strip()
    if not description:
        raise QueryFileError(f"{file}: query {name} has no description")
    if not sql:
        raise QueryFileError(f"{file}: query {name} has no statement")
    return Query(name, description, sql)
