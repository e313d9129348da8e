"""Virtual paths, globs over them, and names: what file, environment, secret and command capabilities name.

A skill sees two roots. `/skill/...` is its own directory, read only. Anything relative, or below
`/workspace/`, is the operator's workspace. Nothing here touches a disk: it decides what a text means.

Characters are compared as they are, with no Unicode normalisation and no case folding: a file name is
bytes to the kernel, so a check that folded them would speak of another file than the one that is opened.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import Final, Literal

from subgraph.catalog.showing import UNSEEN

PATH_LIMIT: Final = 1024
"""Bound of a virtual path, in bytes of UTF-8: a quarter of PATH_MAX, so that no root makes it too long."""

PART_LIMIT: Final = 255
"""Bound of one part of a path, in bytes of UTF-8: NAME_MAX of Linux file systems."""

DEPTH_LIMIT: Final = 32
"""Parts of a path. Every part costs the opening a step; work is stored far less deep."""

WILDCARD_LIMIT: Final = 8
"""Runs of `*` in one pattern. Matching costs their number times the length of the text, never more."""

NAME_LIMIT: Final = 64
"""Bound of the name of a variable, secret or command, in characters."""

_PATHS_KEPT = 256
"""Paths whose reading is kept: one call of the host asks about its own half a dozen times."""

Root = Literal["skill", "workspace"]

# A path is shown to people who decide, and these would let one look like another.
_UNSHOWABLE = re.compile(f"[\t\n\r{UNSEEN}]")
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")
_COMMAND = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")

_RESERVED_PREFIXES = ("CYBEROS_", "SKILL_SECRET_")

# What usually holds a credential, by the words that its name is made of, and by its maker.
_SECRET_WORD = re.compile(
    r"TOKEN|SECRET|KEY|PASS|PWD|CRED|AUTH|COOKIE|SESSION|PRIVATE|CERT|SIGN|SALT|DSN|CONN|JWT|PAT(?:$|_)"
    r"|WEBHOOK|LICENSE|(?:^|_)PIN(?:$|_)|DATABASE|_UR[IL]$"
)
_SECRET_MAKER = re.compile(
    r"(?:AWS|AZURE|GCP|GOOGLE|GITHUB|GITLAB|DOCKER|KUBE|KUBERNETES|VAULT|SSH|GPG|PG|MYSQL|REDIS|NPM|PYPI"
    r"|OPENAI|ANTHROPIC|HF|SLACK|STRIPE|TWILIO)[A-Z0-9]*(?:_|$)"
)


class PatternError(ValueError):
    """A path, URL, name or pattern that cannot be; its message is meant for whoever wrote it."""


@dataclass(frozen=True, slots=True)
class VirtualPath:
    """A place below one of the two roots; no parts is the root itself."""

    root: Root
    parts: tuple[str, ...]

    def __str__(self) -> str:
        if self.root == "skill":
            return "/".join(("/skill", *self.parts))
        return "/".join(self.parts) or "."


def check_showable(text: str, what: str) -> None:
    """Refuse characters that cannot be shown or stored. Raises `PatternError`."""
    if _UNSHOWABLE.search(text):
        raise PatternError(f"{what} holds a control, invisible or invalid character")


@functools.lru_cache(maxsize=_PATHS_KEPT)
def normalise_path(text: str) -> VirtualPath:
    """Read a virtual path. Raises `PatternError` for all that is not plainly below one of the roots.

    A leading `./` and a trailing `/` are dropped. `.` and `..` elsewhere, empty parts, backslashes,
    characters that cannot be shown and other absolute paths are refused, never repaired.
    """
    if len(text) > PATH_LIMIT or len(text.encode("utf-8", "surrogatepass")) > PATH_LIMIT:
        raise PatternError(f"the path is longer than {PATH_LIMIT} bytes")
    check_showable(text, "the path")
    if "\\" in text:
        raise PatternError("the path holds a backslash; parts are separated by /")
    root, rest = _root_of(text)
    rest = rest.removesuffix("/")
    parts = tuple(rest.split("/")) if rest else ()
    if len(parts) > DEPTH_LIMIT:
        raise PatternError(f"the path has more than {DEPTH_LIMIT} parts")
    for part in parts:
        if part in {"", ".", ".."}:
            raise PatternError("the path holds an empty part, . or ..")
        if len(part.encode()) > PART_LIMIT:
            raise PatternError(f"a part of the path is longer than {PART_LIMIT} bytes")
    return VirtualPath(root, parts)


def _root_of(text: str) -> tuple[Root, str]:
    """Split off the root; what is left is relative, and begins with `/` only when a part was empty."""
    roots: tuple[Root, Root] = ("skill", "workspace")
    for root in roots:
        if text == f"/{root}":
            return root, ""
        if text.startswith(f"/{root}/"):
            rest = text.removeprefix(f"/{root}/")
            if rest.startswith("/"):
                raise PatternError("the path holds an empty part, . or ..")
            return root, rest
    if text.startswith("/"):
        raise PatternError("the path is absolute; use a relative one for the workspace, or /skill/")
    if text == ".":
        return "workspace", ""
    rest = text.removeprefix("./")
    if text and (rest.startswith("/") or rest in {"", "."}) and text != "./":
        raise PatternError("the path holds an empty part, . or ..")
    return "workspace", rest


@dataclass(frozen=True, slots=True)
class PathGlob:
    """A pattern over virtual paths.

    `*` is any run of characters within one part, `?` one character, `**` as a part of its own any number
    of parts. None of them matches a part that begins with a dot: what is hidden, such as `.env` or
    `.git`, must be named. There are no character classes: `[`, `]`, `{` and `}` are refused, since those
    who write them mean more than one name.
    """

    root: Root
    parts: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> PathGlob:
        """Read a pattern, as a path is read. Raises `PatternError`."""
        if not text:
            raise PatternError("the pattern is empty; write the name alone for every path")
        path = normalise_path(text)
        if any(character in "[]{}" for character in text):
            raise PatternError("a pattern knows * ? and **, but no classes or alternatives")
        if any("**" in part and part != "**" for part in path.parts):
            raise PatternError("** stands alone between slashes")
        if len(re.findall(r"\*+", text)) > WILDCARD_LIMIT:
            raise PatternError(f"a pattern has at most {WILDCARD_LIMIT} wildcards *")
        parts = tuple(
            part for before, part in zip(("", *path.parts), path.parts, strict=False)
            if not part == before == "**"
        )  # fmt: skip
        return cls(path.root, parts)

    def __str__(self) -> str:
        return str(VirtualPath(self.root, self.parts))

    @property
    def is_literal(self) -> bool:
        """Whether the pattern names one path alone."""
        return not any(character in part for part in self.parts for character in "*?")

    def matches(self, path: VirtualPath, *, itself: bool = False) -> bool:
        """Whether a path is within the pattern. `itself`: `dir/**` includes `dir`, as listing needs."""
        if path.root != self.root:
            return False
        wanted = self.parts
        if not itself and wanted[-1:] == ("**",):
            wanted = (*wanted[:-1], "*", "**")
        # The positions in the pattern that are reached after each part: no backtracking.
        reached = _past_stars(wanted, {0})
        for part in path.parts:
            following: set[int] = set()
            for position in reached - {len(wanted)}:
                if wanted[position] == "**":
                    if not part.startswith("."):
                        following.add(position)
                elif matches_part(wanted[position], part):
                    following.add(position + 1)
            reached = _past_stars(wanted, following)
        return len(wanted) in reached

    def covers(self, other: PathGlob, *, itself: bool = False) -> bool:
        """Whether every path within `other` is within this one; False when that is not plain to see."""
        if self == other:
            return True
        if other.is_literal:
            return self.matches(VirtualPath(other.root, other.parts), itself=itself)
        prefix = self.parts[:-1]
        if (
            self.root != other.root
            or self.parts[-1:] != ("**",)
            or not PathGlob(self.root, prefix).is_literal
        ):
            return False
        below = other.parts[len(prefix) :]
        # What is hidden below the directory is within the other alone.
        return (
            other.parts[: len(prefix)] == prefix
            and bool(below)
            and not any(part.startswith(".") for part in below)
        )


def _past_stars(wanted: tuple[str, ...], positions: set[int]) -> set[int]:
    """Add the positions that a `**` of no parts leads to."""
    for position in sorted(positions):
        following = position
        while following < len(wanted) and wanted[following] == "**":
            following += 1
            positions.add(following)
    return positions


def matches_part(pattern: str, text: str) -> bool:
    """Match one part with `*` and `?`. Costs at most the product of both lengths."""
    if text.startswith(".") and not pattern.startswith("."):
        return False
    return matches_wildcards(pattern, text, single="?")


def matches_wildcards(pattern: str, text: str, *, single: str = "") -> bool:
    """Match a text with `*`, and with `single` for one character. No recursion, one point to go back to."""
    here = at = 0
    star, resumed = -1, 0
    while at < len(text):
        if here < len(pattern) and pattern[here] == "*":
            star, resumed = here, at
            here += 1
        elif here < len(pattern) and (pattern[here] == single or pattern[here] == text[at]):
            here += 1
            at += 1
        elif star >= 0:
            resumed += 1
            here, at = star + 1, resumed
        else:
            return False
    return not pattern[here:].strip("*")


@functools.lru_cache(maxsize=4096)
def path_glob(text: str) -> PathGlob | None:
    """Read a pattern over paths; None when it is malformed and so matches nothing."""
    try:
        return PathGlob.parse(text)
    except PatternError:
        return None


def check_variable(name: str) -> str:
    """Return the name of a variable or secret. Raises `PatternError`: upper case, digits and `_` alone."""
    if len(name) > NAME_LIMIT or not _VARIABLE.fullmatch(name):
        raise PatternError(f"a name has upper-case letters, digits and _, and at most {NAME_LIMIT} of them")
    return name


def check_readable_variable(name: str) -> str:
    """Return the name of a variable that may be granted. Raises `PatternError` for the service's own."""
    if is_reserved_variable(check_variable(name)):
        raise PatternError("variables of the service itself cannot be read; use get_secret for a secret")
    return name


def check_command(name: str) -> str:
    """Return the name of a command. Raises `PatternError` for a path and all that could be one."""
    if len(name) > NAME_LIMIT or not _COMMAND.fullmatch(name):
        raise PatternError(
            f"a command is named by letters, digits, . _ + and -, at most {NAME_LIMIT}, and never by a path"
        )
    return name


def is_reserved_variable(name: str) -> bool:
    """Whether a variable is the service's own, which no grant can open."""
    return name.startswith(_RESERVED_PREFIXES)


def is_secret_like(name: str) -> bool:
    """Whether a variable usually holds a credential, so that only a grant of this very name opens it."""
    return _SECRET_WORD.search(name) is not None or _SECRET_MAKER.match(name) is not None
