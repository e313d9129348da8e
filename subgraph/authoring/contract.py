"""The contract that one skill is compiled against: `schema/skill.wit` less what the skill does not use.

What a component cannot import it cannot call, whatever happens inside it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from subgraph.authoring.errors import AuthoringError
from subgraph.authoring.tools import wit_text
from subgraph.capabilities import declared_capabilities

HOST = "cyberos:skill/host@0.1.0"

PURE_WORLD = "pure-skill"
USING_WORLD = "skill"

FREE_FUNCTIONS = frozenset({"log"})
"""Functions of the host that need no capability."""

_INTERFACE = re.compile(r"^interface host \{\n(.*?)^\}", re.MULTILINE | re.DOTALL)
_FUNCTION = re.compile(r"^ *([a-z][a-z0-9-]*): func\(.*;$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Contract:
    """The text of the contract, the world that is meant, and the functions of the host that it keeps."""

    wit: str
    world: str
    functions: tuple[str, ...]

    @property
    def imports(self) -> list[str]:
        """The interfaces that a component of it imports."""
        return [] if self.world == PURE_WORLD else [HOST]

    @property
    def reach(self) -> str:
        """What its component can ask for, in words."""
        return f"imports {', '.join(self.functions)}" if self.functions else "imports nothing"


def contract_for(functions: Iterable[str]) -> Contract:
    """Trim the contract to some functions, in WIT spelling. Raises `AuthoringError` for one that is not."""
    kept = tuple(sorted(set(functions)))
    text = wit_text()
    if not kept:
        return Contract(text, PURE_WORLD, ())
    declared = _host_functions()
    for name in kept:
        if name not in declared:
            raise AuthoringError(f"the host has no function {name}")
    lines = "\n".join(declared[name] for name in kept)
    trimmed = _INTERFACE.sub(lambda _: f"interface host {{\n{lines}\n}}", text)
    return Contract(trimmed, USING_WORLD, kept)


def functions_allowed(allowed_tools: str) -> frozenset[str]:
    """Name the functions of the host that a skill's `allowed-tools` let it call, if they are granted."""
    names = {capability.name.replace("_", "-") for capability in declared_capabilities(allowed_tools)}
    return FREE_FUNCTIONS | (names & _host_functions().keys())


def check_declared(functions: Iterable[str], allowed_tools: str) -> None:
    """Raise `AuthoringError` for a function that is called and not declared: every call would end the run."""
    for name in sorted(set(functions) & _host_functions().keys() - functions_allowed(allowed_tools)):
        raise AuthoringError(
            f"the code calls {name}, and allowed-tools in SKILL.md does not declare {name.replace('-', '_')}"
        )


@cache
def _host_functions() -> dict[str, str]:
    """The functions of the host, each with its line in the contract."""
    interface = _INTERFACE.search(wit_text())
    if interface is None:
        raise RuntimeError("schema/skill.wit has no `interface host`")
    return {found[1]: found[0] for found in _FUNCTION.finditer(interface[1])}
