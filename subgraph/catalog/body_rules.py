"""What the standard advises about the text of SKILL.md, and the files that it names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import islice
from urllib.parse import unquote

from subgraph.catalog.problem import Finding, Level
from subgraph.catalog.report import Check

LINES_ADVISED = 500
TOKENS_ADVISED = 5_000

CHARACTERS_A_TOKEN = 4
"""An estimate for English; no tokenizer is the right one for every model."""

REFERENCES_LIMIT = 100
NAMES_LIMIT = 1000
"""Bounds of the files that are looked at, and of how often they are named; the standard advises a few."""

# The target of a Markdown link, or a path in one of the standard's directories, as it stands in text.
_NAMED = re.compile(
    r"\]\([ \t]{0,8}<?(?P<target>[^\s()<>]{1,300})"
    r"|(?P<path>(?:references|scripts|assets)/[\w.-]{1,100}(?:/[\w.-]{1,100}){0,8})"
)
_WORD = re.compile(r"[\w./:-]")
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:|//|#")


def body_checks(body: bytes, sizes: Mapping[str, int] | None) -> Iterator[Check]:
    """Check the text below the front matter. `sizes` are of the skill's files, None if not known."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        yield Check("body", findings=(Finding(Level.ERROR, "body", None, "not UTF-8"),))
        return
    lines, tokens = text.count("\n"), len(text) // CHARACTERS_A_TOKEN
    advice = []
    if not text.strip():
        advice.append("empty: it tells an agent nothing")
    if lines >= LINES_ADVISED:
        advice.append(f"{lines} lines: the standard advises fewer than {LINES_ADVISED}")
    if tokens >= TOKENS_ADVISED:
        advice.append(f"about {tokens} tokens: the standard advises fewer than {TOKENS_ADVISED}")
    yield Check(
        f"body ({lines} line{'' if lines == 1 else 's'})",
        f"about {tokens} tokens",
        tuple(map(_warning, advice)),
    )
    for path in _named_files(text):
        problem = _problem(path, sizes)
        yield Check(f"referenced files: {path}", findings=() if problem is None else (_warning(problem),))


def _warning(message: str) -> Finding:
    return Finding(Level.WARNING, "body", None, message)


def _named_files(text: str) -> list[str]:
    """Return the relative paths that a text names, each once, in their order; fragments are left out."""
    found: dict[str, None] = {}
    for match in islice(_NAMED.finditer(text), NAMES_LIMIT):
        target = match["target"]
        if target is not None:
            path = "" if _ADDRESS.match(target) else unquote(target.partition("#")[0]).removeprefix("./")
        else:
            before = text[max(0, match.start() - 3) : match.start()].removesuffix("./")[-1:]
            path = "" if _WORD.match(before) else match["path"].rstrip(".")
        if path and len(found) < REFERENCES_LIMIT:
            found[path] = None
    return list(found)


def _problem(path: str, sizes: Mapping[str, int] | None) -> str | None:
    if path.startswith("/") or ".." in path.split("/"):
        return "outside of the skill; paths are relative to its directory"
    whole = path.rstrip("/")
    if sizes is not None and whole not in sizes and not any(name.startswith(f"{whole}/") for name in sizes):
        return "the skill has no such file"
    if whole.count("/") > 1:
        return "deeper than one level; the standard advises against it"
    return None
