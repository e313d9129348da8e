"""Capabilities, as `allowed-tools` names them: `read_file`, or with a pattern `fetch_url(https://*.vn/*)`."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from subgraph.capabilities.patterns import (
    PathGlob,
    PatternError,
    check_command,
    check_readable_variable,
    check_variable,
    is_reserved_variable,
    is_secret_like,
    normalise_path,
    path_glob,
)
from subgraph.capabilities.urls import UrlPattern, normalise_url, url_pattern
from subgraph.errors import CapabilityDenied


def _work_glob(pattern: str) -> PathGlob:
    glob = PathGlob.parse(pattern)
    if glob.root != "workspace":
        raise PatternError("a skill's own directory is read only")
    return glob


def _check_no_pattern(pattern: str) -> str:
    raise PatternError("recall_memory takes no pattern; it searches all notes")


_PATTERNS: Mapping[str, Callable[[str], object]] = MappingProxyType({
    "read_file": PathGlob.parse,
    "write_file": _work_glob,
    "list_dir": PathGlob.parse,
    "fetch_url": UrlPattern.parse,
    "read_env": check_readable_variable,
    "get_secret": check_variable,
    "recall_memory": _check_no_pattern,
    "exec_command": check_command,
})  # fmt: skip

CAPABILITY_NAMES = frozenset(_PATTERNS)
"""What this host knows to grant. A skill may declare other tools, which other hosts offer."""

EFFECTS: Mapping[str, str] = MappingProxyType({
    "write_file": "it changes files of the workspace",
    "fetch_url": "it sends what the skill knows to another machine",
    "exec_command": "it starts a program outside of the sandbox",
    "get_secret": "what it hands out cannot be taken back",
})  # fmt: skip
"""Capabilities with effects outside of the run, and which; recorded before they happen."""

IRREVERSIBLE: Mapping[str, str] = MappingProxyType({
    "exec_command": "nothing here knows what the program does, and the sandbox does not hold it",
    "get_secret": "a credential acts in the operator's name elsewhere, and cannot be taken back",
})  # fmt: skip
"""Capabilities whose effects outside cannot be undone, and why: the router starts nothing that has them.

`write_file` is none: files of the workspace are the operator's, and he can restore them. `fetch_url` is none:
it sends a GET, which asks for nothing to be changed, to an address that a person granted."""

SENSITIVE: Mapping[str, str] = MappingProxyType({
    "get_secret": "the skill holds a credential afterwards",
    "exec_command": "the program has the rights of the service",
    "read_env": "the variable may hold a credential",
})  # fmt: skip
"""Capabilities each use of which is recorded by itself, and why. `read_env` is one only where it names a
variable that usually holds a secret."""

CAPABILITY_LIMIT = 100
"""Bound of one capability that is requested or granted, in characters: the ledger keeps it whole."""

TEXT_LIMIT = 4096
"""Bound of `allowed-tools`, in characters; the standard's fields have at most 1,024."""

# A name, and perhaps a pattern in parentheses, which may hold spaces and commas but neither
# parentheses nor control characters.
_TOKEN = re.compile(r"(?P<name>[A-Za-z][A-Za-z0-9_.:-]*)(?:\((?P<pattern>[^()\x00-\x1f\x7f]*)\))?")
_SEPARATOR = re.compile(r"[\s,]+")


@dataclass(frozen=True, slots=True)
class Capability:
    """Something that a skill may do. Without a pattern it covers everything of its kind."""

    name: str
    pattern: str | None = None

    def __str__(self) -> str:
        return self.name if self.pattern is None else f"{self.name}({self.pattern})"

    @property
    def problem(self) -> str | None:
        """What is wrong with it, for its author; None when this host can grant it."""
        if self.name not in CAPABILITY_NAMES:
            return f"{self.name} is not a capability of this host"
        if self.pattern is None:
            return None
        try:
            _PATTERNS[self.name](self.pattern)
        except PatternError as error:
            return str(error)
        return None

    @property
    def is_well_formed(self) -> bool:
        """Whether this host can grant it."""
        return self.problem is None

    @property
    def has_effects(self) -> bool:
        """Whether its use changes or tells something outside of the run; `EFFECTS` says what."""
        return self.name in EFFECTS

    @property
    def is_sensitive(self) -> bool:
        """Whether each use is recorded by itself; `SENSITIVE` says why."""
        if self.name == "read_env":
            return self.pattern is not None and is_secret_like(self.pattern)
        return self.name in SENSITIVE

    def admits(self, target: str) -> bool:
        """Whether one concrete use is within it: a path, an address or a name; any text for memory."""
        try:
            return self.is_well_formed and self._admits(target)
        except PatternError:
            return False

    def _admits(self, target: str) -> bool:
        if self.name in {"read_file", "write_file", "list_dir"}:
            path = normalise_path(target)
            if self.name == "write_file" and path.root != "workspace":
                return False
            glob = None if self.pattern is None else path_glob(self.pattern)
            return self.pattern is None or (
                glob is not None and glob.matches(path, itself=self.name == "list_dir")
            )
        if self.name == "fetch_url":
            url = normalise_url(target)
            pattern = None if self.pattern is None else url_pattern(self.pattern)
            return self.pattern is None or (pattern is not None and pattern.matches(url))
        if self.name == "recall_memory":
            return True
        if self.name == "read_env":
            if is_reserved_variable(check_variable(target)):
                return False
            return self.pattern == target or (self.pattern is None and not is_secret_like(target))
        check = check_command if self.name == "exec_command" else check_variable
        return self.pattern in {None, check(target)}

    def permits_private(self, target: str) -> bool:
        """Whether an address may lie on a private network: only where the pattern names its very host."""
        if self.name != "fetch_url" or self.pattern is None or not self.admits(target):
            return False
        pattern = url_pattern(self.pattern)
        return pattern is not None and pattern.names_one_host

    def covers(self, other: Capability) -> bool:
        """Whether having this capability includes having the other one.

        False where that is not plain to see. What a capability without a pattern leaves out is left out
        here too: variables that usually hold secrets, and hosts that may be private, must be named.
        """
        if self.name != other.name:
            return False
        if self == other:
            return True
        if self.pattern is None:
            return not other.is_well_formed or not _must_be_named(other)
        if other.pattern is None or not (self.is_well_formed and other.is_well_formed):
            return False
        if self.name in {"read_file", "write_file", "list_dir"}:
            ours, theirs = path_glob(self.pattern), path_glob(other.pattern)
            itself = self.name == "list_dir"
            return ours is not None and theirs is not None and ours.covers(theirs, itself=itself)
        if self.name == "fetch_url":
            mine, its = url_pattern(self.pattern), url_pattern(other.pattern)
            return mine is not None and its is not None and mine.covers(its)
        return False


def _must_be_named(capability: Capability) -> bool:
    pattern = capability.pattern
    if pattern is None:
        return False
    if capability.name == "read_env":
        return is_secret_like(pattern)
    address = url_pattern(pattern) if capability.name == "fetch_url" else None
    return address is not None and address.names_one_host


@functools.lru_cache(maxsize=4096)
def declared_capabilities(allowed_tools: str) -> tuple[Capability, ...]:
    """Read `allowed-tools`: separated by spaces as the standard has it, or by commas as many skills do.

    Text that is no capability is passed over: it declares nothing. So does all of a text over
    `TEXT_LIMIT`: cut off, a capability could lose the pattern that narrows it.
    """
    found: dict[Capability, None] = {}
    text = allowed_tools if len(allowed_tools) <= TEXT_LIMIT else ""
    position = 0
    while position < len(text):
        token = _TOKEN.match(text, position)
        if token is not None and _ends_at(text, token.end()):
            found[Capability(token["name"], token["pattern"])] = None
            position = token.end()
        separator = _SEPARATOR.search(text, position)
        if separator is None:
            break
        position = separator.end()
    return tuple(found)


def _ends_at(text: str, position: int) -> bool:
    return position == len(text) or _SEPARATOR.match(text, position) is not None


def parse_capability(text: str) -> Capability:
    """Read one capability. Raises `CapabilityDenied` when this host cannot grant it, and says why."""
    token = _TOKEN.fullmatch(text.strip()) if len(text) <= CAPABILITY_LIMIT else None
    if token is None or token["name"] not in CAPABILITY_NAMES:
        known = ", ".join(sorted(CAPABILITY_NAMES))
        raise CapabilityDenied(f"{text[:100]!r} is not a capability of this host; it knows {known}")
    capability = Capability(token["name"], token["pattern"])
    if capability.problem is not None:
        raise CapabilityDenied(f"{text.strip()!r} cannot be granted: {capability.problem}")
    return capability


@functools.lru_cache(maxsize=4096)
def recorded_capability(text: str) -> Capability | None:
    """Read a capability that was granted once; None when this version could not grant it any more."""
    try:
        return parse_capability(text)
    except CapabilityDenied:
        return None


def describe(capability: Capability) -> str:
    """Say in one sentence, for a person who decides, what a capability allows at most."""
    problem = capability.problem
    if capability.name not in CAPABILITY_NAMES:
        return f"{capability} is a tool of other hosts and allows nothing here"
    if problem is not None:
        return f"{capability} allows nothing: {problem}"
    return _describe_pattern(capability)


_ANYTHING = {
    "read_file": "reads any file of the workspace and of the skill's own directory, hidden ones too",
    "write_file": "creates or replaces any file of the workspace, hidden ones too",
    "list_dir": "lists any directory of the workspace and of the skill's own directory, hidden ones too",
    "fetch_url": "fetches any address of the public internet, and can send what it knows there",
    "read_env": "reads any variable of the service's environment but those that usually hold secrets",
    "get_secret": "gets any secret that the operator has set up",
    "recall_memory": "searches the operator's notes",
    "exec_command": "runs any command that the operator has set up, outside of the sandbox",
}


def _describe_pattern(capability: Capability) -> str:
    pattern = capability.pattern
    if pattern is None:
        return _ANYTHING[capability.name]
    if capability.name in {"read_file", "write_file", "list_dir"}:
        return _describe_glob(capability.name, PathGlob.parse(pattern))
    if capability.name == "fetch_url":
        return _describe_addresses(UrlPattern.parse(pattern))
    kind = {
        "read_env": "reads the environment variable",
        "get_secret": "gets the secret",
        "exec_command": "runs the command",
    }[capability.name]
    notes = {"exec_command": ", outside of the sandbox"}
    secret = ", which may hold a secret" if capability.name == "read_env" and capability.is_sensitive else ""
    return f"{kind} {pattern}{notes.get(capability.name, secret)}"


def _describe_glob(name: str, glob: PathGlob) -> str:
    where = "the skill's own directory" if glob.root == "skill" else "the workspace"
    verb = {"read_file": "reads", "write_file": "creates or replaces", "list_dir": "lists"}[name]
    noun = "directory" if name == "list_dir" else "file"
    text = "/".join(glob.parts)
    if not glob.parts:
        return f"{verb} {where} itself" if name == "list_dir" else f"{verb} no file of {where}"
    if glob.is_literal:
        return f"{verb} the {noun} {text} of {where}"
    folder = PathGlob(glob.root, glob.parts[:-1])
    if glob.parts[-1] == "**" and folder.is_literal:
        below = "/".join(folder.parts)
        itself = f"{below or where} and " if name == "list_dir" else ""
        place = f"below {below}/ of {where}" if below else f"of {where}"
        return f"{verb} {itself}any {noun} {place}, hidden ones left out"
    return f"{verb} any {noun} of {where} that matches {text}, hidden ones left out"


def _describe_addresses(pattern: UrlPattern) -> str:
    if pattern.host == "*":
        what = "any public host"
    elif pattern.host.startswith("*."):
        what = f"any public host below {pattern.host[2:]}"
    else:
        what = pattern.origin
    over = f" over {pattern.scheme}, port {pattern.port}" if pattern.host.startswith("*") else ""
    path = "" if pattern.path == "/*" else f" with a path that matches {pattern.path}"
    private = ", on a private network too" if pattern.names_one_host else ""
    return f"fetches any address of {what}{over}{path}{private}, and can send what it knows there"
