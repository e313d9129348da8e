"""Agent Skills as confined WebAssembly behind one GraphQL federation subgraph."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from subgraph.host import SkillHost

__version__ = "0.1.0"
__all__ = ["SkillHost", "__version__"]


def __getattr__(name: str) -> object:
    """Import the host when it is asked for: a worker process imports this package and must not have it."""
    if name != "SkillHost":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from subgraph.host import SkillHost

    return SkillHost
