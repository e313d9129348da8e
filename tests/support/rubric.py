"""Rubrics of the audit skills: their tables, and the checks that need no judgement, applied to a document.

What each kind of check means is written in the rubrics themselves; this is the same in code.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SEVERITIES = ("blocker", "major", "minor")
PENALTY = {"blocker": 20, "major": 8, "minor": 2}
MINORS_ALLOWED = 3
"""More failed minor rules than this ask for a revision."""

_ROW = re.compile(r"\| (R\d{2}) \| (\w+) \| (.+) \| `?(.+?)`? \|")
_HEADING = re.compile(r"(#{1,6}) \S")
_IN_SECTION = re.compile(r"/(.+)/(?: in (#+ .+))?")
_COUNT = re.compile(r"(\d+)\.\.(\d*) of (/.+)")
_HAS = re.compile(r"/(.+)/ has /(.+)/")
_IS_IN = re.compile(r"/(.+)/ of (#+ .+) is in (#+ .+)")


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of a rubric."""

    name: str
    severity: str
    demand: str
    kind: str
    argument: str

    @property
    def mechanical(self) -> bool:
        return self.kind != "judgement"

    def passes(self, document: str) -> bool:
        """Apply a mechanical rule; raises `ValueError` for one that is not written as the rubric says."""
        return _CHECKS[self.kind](self.argument, document)


@dataclass(frozen=True, slots=True)
class Section:
    """A heading line and what follows it up to the next heading that is not below it."""

    heading: str
    text: str


def read_rubric(path: Path) -> tuple[Rule, ...]:
    """Read the rules out of a rubric's tables."""
    rules = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if row := _ROW.fullmatch(line):
            kind, colon, argument = row[4].partition(": ")
            if not colon or row[2] not in SEVERITIES or (kind not in _CHECKS and kind != "judgement"):
                raise ValueError(line)
            rules.append(Rule(row[1], row[2], row[3], kind, argument.replace(r"\|", "|")))
        elif re.match(r"\| *R\d", line):
            raise ValueError(line)
    return tuple(rules)


def failed(rules: tuple[Rule, ...], document: str) -> set[str]:
    """Name the mechanical rules that a document breaks."""
    return {rule.name for rule in rules if rule.mechanical and not rule.passes(document)}


def verdict(severities: list[str]) -> str:
    """Return the verdict on a document by the severities of the rules that it breaks."""
    if "blocker" in severities:
        return "reject"
    if "major" in severities or severities.count("minor") > MINORS_ALLOWED:
        return "revise"
    return "accept"


def score(severities: list[str]) -> int:
    """Return the score of a document by the severities of the rules that it breaks."""
    return max(0, 100 - sum(PENALTY[severity] for severity in severities))


def headings(document: str) -> list[tuple[int, str]]:
    """Return the index and the text of each heading line; a `#` in a fenced block starts none."""
    found = []
    fenced = False
    for index, line in enumerate(document.splitlines()):
        if line.startswith("```"):
            fenced = not fenced
        elif not fenced and _HEADING.match(line):
            found.append((index, line))
    return found


def sections(document: str) -> Iterator[Section]:
    """Go through the sections of a document; a section holds those below it."""
    lines = document.splitlines(keepends=True)
    found = headings(document)
    for position, (start, heading) in enumerate(found):
        level = _level(heading)
        ends = (index for index, other in found[position + 1 :] if _level(other) <= level)
        yield Section(heading, "".join(lines[start : next(ends, len(lines))]))


def section(document: str, heading: str) -> str:
    """Return the text of the section with this heading line, empty if there is none."""
    return next((found.text for found in sections(document) if found.heading == heading), "")


def split_headings(argument: str, separator: str) -> list[str]:
    """Return the heading lines of a `heading` or `order` rule."""
    names = argument.split(separator)
    if not all(_HEADING.match(name) for name in names):
        raise ValueError(argument)
    return names


def split_place(argument: str) -> tuple[str, str | None]:
    """Return the expression of `/…/ in ## A`, and the heading if one is named."""
    match = _parsed(_IN_SECTION, argument)
    return match[1], match[2]


def split_count(argument: str) -> tuple[int, int | None, str, str | None]:
    """Return both bounds, the expression and the heading of a `count` rule."""
    match = _parsed(_COUNT, argument)
    return int(match[1]), int(match[2]) if match[2] else None, *split_place(match[3])


def split_has(argument: str) -> tuple[str, str] | None:
    """Return the two expressions of `/…/ has /…/`, None for the other form."""
    match = _HAS.fullmatch(argument)
    return None if match is None else (match[1], match[2])


def split_is_in(argument: str) -> tuple[str, str, str]:
    """Return the expression and the two headings of `/…/ of ## A is in ## B`."""
    match = _parsed(_IS_IN, argument)
    return match[1], match[2], match[3]


def _parsed(form: re.Pattern[str], argument: str) -> re.Match[str]:
    match = form.fullmatch(argument)
    if match is None:
        raise ValueError(argument)
    return match


def _level(heading: str) -> int:
    return len(heading) - len(heading.lstrip("#"))


def _found(expression: str, text: str) -> list[re.Match[str]]:
    return list(re.finditer(expression, text, re.MULTILINE))


def _place(document: str, heading: str | None) -> str:
    return document if heading is None else section(document, heading)


def _heading(argument: str, document: str) -> bool:
    lines = [line for _, line in headings(document)]
    return all(lines.count(name) == 1 for name in split_headings(argument, "; "))


def _order(argument: str, document: str) -> bool:
    if argument.startswith("ascending "):
        expression, heading = split_place(argument.removeprefix("ascending "))
        texts = [match[1] for match in _found(expression, _place(document, heading))]
        return all(first < second for first, second in itertools.pairwise(texts))
    names = split_headings(argument, " > ")
    places = [names.index(line) for _, line in headings(document) if line in names]
    return places == sorted(places)


def _pattern(argument: str, document: str) -> bool:
    expression, heading = split_place(argument)
    return bool(_found(expression, _place(document, heading)))


def _count(argument: str, document: str) -> bool:
    least, most, expression, heading = split_count(argument)
    number = len(_found(expression, _place(document, heading)))
    return least <= number and (most is None or number <= most)


def _each(argument: str, document: str) -> bool:
    if both := split_has(argument):
        item, content = both
        return all(
            _found(content, found.text) for found in sections(document) if re.match(item, found.heading)
        )
    expression, source, target = split_is_in(argument)
    there = section(document, target)
    texts = {match[0] for match in _found(expression, section(document, source))}
    return all(re.search(rf"(?<![\w-]){re.escape(text)}(?![\w-])", there) for text in texts)


_CHECKS = {"heading": _heading, "order": _order, "pattern": _pattern, "count": _count, "each": _each}
