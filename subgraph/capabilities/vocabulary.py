"""Capabilities, as `allowed-tools` names them: `read_file`, or with a pattern `fetch_url(https://*.vn/*)`."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

from subgraph.errors import CapabilityDenied

CAPABILITY_NAMES = frozenset({
    "read_file",
    "write_file",
    "list_dir",
    "fetch_url",
    "read_env",
    "get_secret",
    "recall_memory",
    "exec_command",
})  # fmt: skip
"""What this host knows to grant. A skill may declare other tools, which other hosts offer."""

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

    def covers(self, other: Capability) -> bool:
        """Whether having this capability includes having the other one."""
        return self.name == other.name and self.pattern in (None, other.pattern)


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
    """Read one capability. Raises `CapabilityDenied` when this host does not know it."""
    token = _TOKEN.fullmatch(text.strip()) if len(text) <= CAPABILITY_LIMIT else None
    if token is None or token["name"] not in CAPABILITY_NAMES:
        known = ", ".join(sorted(CAPABILITY_NAMES))
        raise CapabilityDenied(f"{text[:100]!r} is not a capability of this host; it knows {known}")
    return Capability(token["name"], token["pattern"])
