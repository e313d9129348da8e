"""Every rule of the open standard for one skill, taken strictly (agentskills.io/specification, validate).

What the standard forbids is an error, and so is what this host cannot load. What it advises, and what other
hosts read differently, is a warning. Loading is more lenient; see `manifest`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path

from subgraph.catalog import front_matter
from subgraph.catalog.activated_skill import MANIFEST_BYTES_LIMIT
from subgraph.catalog.body_rules import body_checks
from subgraph.catalog.discovery import check_path
from subgraph.catalog.field_rules import CheckSkill, CheckTool, FieldRules
from subgraph.catalog.manifest import KEY_SHOWN, parse_front_matter, with_quotes
from subgraph.catalog.portability import doubts
from subgraph.catalog.problem import MANIFEST_NAME, Finding, Level, ManifestInvalid
from subgraph.catalog.program_rules import program_checks
from subgraph.catalog.report import Check, Report
from subgraph.catalog.showing import shown_in_line
from subgraph.catalog.tree import read_head, read_tree
from subgraph.errors import SourceInvalid

DOUBTS_LIMIT = 16
"""Bound of the warnings about YAML; whoever mends these sees the next."""

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def validate(
    directory: Path, *, check_tool: CheckTool = lambda _: None, check_skill: CheckSkill = lambda _: None
) -> Report:
    """Validate the skill in a directory. Whatever the files are, the answer is a report.

    `check_tool` says what is wrong with one entry of `allowed-tools`, None when this host can grant it, and
    `check_skill` what is wrong with one of `cyberos-depends-on`: which capabilities there are is not known
    here, nor which other skills.
    """
    absolute = Path(os.path.abspath(directory))  # noqa: PTH100 - `resolve` follows links
    return Report(directory, tuple(_checks(absolute, check_tool, check_skill)))


def _checks(directory: Path, check_tool: CheckTool, check_skill: CheckSkill) -> Iterator[Check]:
    sizes: Mapping[str, int] | None = None
    try:
        sizes = {path: entry.size for path, entry in read_tree(directory).files.items()}
        files = Check("files", f"{len(sizes)}, {_size(sum(sizes.values()))}")
    except SourceInvalid as error:
        files = Check("files", findings=(_finding(error),))
    try:
        document = _read(directory, sizes)
    except SourceInvalid as error:
        yield Check(f"reading {MANIFEST_NAME} ...", findings=(_finding(error),))
    else:
        yield Check(f"reading {MANIFEST_NAME} ...", _size(len(document)))
        yield from _manifest_checks(document, directory, sizes, check_tool, check_skill)
    yield files


def _read(directory: Path, sizes: Mapping[str, int] | None) -> bytes:
    check_path(directory.name)
    if sizes is not None and MANIFEST_NAME not in sizes:
        others = [path for path in sizes if path.lower() == MANIFEST_NAME.lower()]
        instead = f"; {others[0]} must be named so" if others else ""
        raise SourceInvalid(f"the skill has no {MANIFEST_NAME}{instead}")
    document = read_head(directory / MANIFEST_NAME, MANIFEST_BYTES_LIMIT + 1)
    if len(document) > MANIFEST_BYTES_LIMIT:
        raise SourceInvalid(f"over {MANIFEST_BYTES_LIMIT} bytes")
    return document


def _manifest_checks(
    document: bytes,
    directory: Path,
    sizes: Mapping[str, int] | None,
    check_tool: CheckTool,
    check_skill: CheckSkill,
) -> Iterator[Check]:
    subject = "frontmatter parse ..."
    lines: dict[str, int] = {}
    try:
        head, body = front_matter.split(document)
        text = front_matter.decode(head)
        fields = _load(text, lines)
    except ManifestInvalid as error:
        yield Check(subject, findings=(error.finding,))
        return
    yield Check(subject, findings=tuple(_other_fences(document, text)))
    for field, line, message in islice(doubts(text), DOUBTS_LIMIT):
        shown = shown_in_line(field, KEY_SHOWN)
        yield Check(f"field: {shown}", findings=(Finding(Level.WARNING, shown, line, message),))
    checks = list(FieldRules(fields, lines, directory.name, check_tool, check_skill).checks())
    yield from checks
    yield from _warnings_of_loading(head, directory.name, checks)
    yield from body_checks(body, sizes)
    if sizes is not None:
        yield from program_checks(fields.get("metadata"), lines, sizes, directory)


def _load(text: str, lines: dict[str, int]) -> Mapping[str, front_matter.Value]:
    try:
        return front_matter.load(text, lines)
    except ManifestInvalid as error:
        mended = with_quotes(text)
        try:
            front_matter.load(mended)
        except ManifestInvalid:
            raise error from None
        raise _unquoted(text, mended) from error


def _unquoted(text: str, mended: str) -> ManifestInvalid:
    pairs = zip(text.split("\n"), mended.split("\n"), strict=True)
    number, line = next((number, line) for number, (line, other) in enumerate(pairs) if line != other)
    return ManifestInvalid(
        "a value that holds a colon must be quoted",
        field=line.partition(":")[0],
        line=number + front_matter.FIRST_LINE,
    )


def _other_fences(document: bytes, text: str) -> Iterator[Finding]:
    """Warn where the reference validator sees the front matter begin or end elsewhere."""
    if document.startswith(_BYTE_ORDER_MARK):
        yield Finding(Level.WARNING, "", 1, "a byte order mark, which the reference validator refuses")
    position = text.find("---")
    if position >= 0:
        line = front_matter.FIRST_LINE + text.count("\n", 0, position)
        message = "`---` within the front matter, which the reference validator takes for its end"
        yield Finding(Level.WARNING, "", line, message)


def _warnings_of_loading(head: bytes, directory: str, checks: list[Check]) -> Iterator[Check]:
    """Repeat what the catalogue would warn of, where no rule has said anything: its own bounds."""
    said = {finding.field for check in checks for finding in check.findings}
    try:
        manifest = parse_front_matter(head, directory)
    except ManifestInvalid as error:
        if error.finding.field not in said:
            yield Check(f"field: {error.finding.field}", findings=(error.finding,))
        return
    for finding in manifest.warnings:
        if finding.field not in said:
            yield Check(f"field: {finding.field}", findings=(finding,))


def _finding(error: SourceInvalid) -> Finding:
    if isinstance(error, ManifestInvalid):
        return error.finding
    return Finding(Level.ERROR, "", None, error.message)


def _size(size: int) -> str:
    return f"{size} bytes" if size < 1024 else f"{size / 1024:.1f} KB"
