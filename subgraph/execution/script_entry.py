"""Which file of a skill is its script."""

from __future__ import annotations

from collections.abc import Iterable

from subgraph.errors import SourceInvalid

DIRECTORY = "scripts/"


def script_entry(files: Iterable[str], declared: str | None) -> str:
    """Return the path, within a skill, of the script that a run starts.

    `files` are the skill's paths with slashes; `declared` is `metadata.cyberos-script`. Without it, the
    only Python file directly in `scripts/` is meant. Raises `SourceInvalid`.
    """
    present = sorted(path for path in files if path.startswith(DIRECTORY))
    if declared is not None:
        return _declared(present, declared)
    candidates = [path for path in present if path.endswith(".py") and path.count("/") == 1]
    if len(candidates) == 1:
        return candidates[0]
    if candidates:
        raise SourceInvalid(
            f"the skill has several scripts; name one in metadata.cyberos-script: {', '.join(candidates)}"
        )
    others = [path for path in present if path.endswith(".sh")]
    if others:
        raise SourceInvalid(_no_shell(others[0]))
    raise SourceInvalid("the skill has no Python script in scripts/")


def _declared(present: list[str], declared: str) -> str:
    if not declared.startswith(DIRECTORY):
        raise SourceInvalid(f"metadata.cyberos-script must be a file in {DIRECTORY}, not {declared!r}")
    if declared not in present:
        named = ", ".join(path for path in present if path.endswith(".py")) or "none"
        raise SourceInvalid(
            f"metadata.cyberos-script names {declared!r}, which the skill does not have; its scripts: {named}"
        )
    if declared.endswith(".sh"):
        raise SourceInvalid(_no_shell(declared))
    if not declared.endswith(".py"):
        raise SourceInvalid(f"metadata.cyberos-script must be a Python file (.py), not {declared!r}")
    return declared


def _no_shell(path: str) -> str:
    return f"{path} is a shell script: where scripts run, no program can be executed; use a Python script"
