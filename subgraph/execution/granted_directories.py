"""Directories that a run may open by itself, without a host call: for WASI and for scripts.

A capability for files grants a directory when it is for all that lies below it: `read_file(invoices/**)`, or
`read_file` alone, which is the whole workspace. Other patterns name files that the kernel cannot tell from
their neighbours; they hold for host calls alone.

What is hidden (`.env`, `.git`) is not within `invoices/**`, and the kernel cannot be told to leave it out. So
a directory that holds anything hidden is not granted by a pattern, and host calls remain.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from subgraph.capabilities import Capability
from subgraph.capabilities.patterns import PathGlob, path_glob
from subgraph.execution.confinement import FileAccess
from subgraph.execution.host.beneath import open_beneath

ENTRIES_LIMIT = 50_000
"""Entries below a directory that are looked through for hidden ones; that many take a tenth of a second."""

SKILL_DIRECTORY = "/skill"
"""What a run sees its own directory as."""


@dataclass(frozen=True, slots=True)
class GrantedDirectory:
    """A directory of this machine, what the run sees it as, and whether it may write and read files there."""

    place: Path
    name: str
    writable: bool
    readable: bool = True


def granted_directories(
    capabilities: Sequence[Capability], workspace: Path, snapshot: Path
) -> list[GrantedDirectory]:
    """Find what capabilities grant; blocks on the disk.

    Directories that are not there, or behind a link, grant nothing; nor do those that a pattern names and
    that hold something hidden, or more than `ENTRIES_LIMIT` entries. `list_dir` is not asked for: whoever may
    read every file below a directory may see their names.
    """
    # The kernel is told a path without links, so that one which appears later is not followed.
    workspace = workspace.parent.resolve() / workspace.name
    found: dict[tuple[Path, str], set[str]] = {}
    for capability in capabilities:
        parts = _directory_of(capability)
        if parts is None:
            continue
        place = _place(workspace, parts)
        if place is not None and (capability.pattern is None or _shows_everything(place)):
            found.setdefault((place, "/".join(parts) or "."), set()).add(capability.name)
    granted = [
        GrantedDirectory(place, name, writable="write_file" in names, readable="read_file" in names)
        for (place, name), names in found.items()
    ]
    if any(_reads_all_own_files(capability) for capability in capabilities):
        granted.append(GrantedDirectory(snapshot, SKILL_DIRECTORY, writable=False))
    return granted


def file_access(directories: Sequence[GrantedDirectory]) -> FileAccess:
    """Say the same to the kernel."""
    return FileAccess(
        tuple(each.place for each in directories if each.readable),
        tuple(each.place for each in directories if each.writable),
    )


def _directory_of(capability: Capability) -> tuple[str, ...] | None:
    """Return the parts of the workspace's directory that a capability grants as a whole."""
    if capability.name not in ("read_file", "write_file"):
        return None
    if capability.pattern is None:
        return ()
    glob = path_glob(capability.pattern)
    if glob is None or glob.root != "workspace" or glob.parts[-1:] != ("**",):
        return None
    parts = glob.parts[:-1]
    return parts if PathGlob(glob.root, parts).is_literal else None


def reads_own_files(capability: Capability) -> bool:
    """Whether a capability is for any of the skill's own files."""
    if capability.name not in ("read_file", "list_dir"):
        return False
    glob = None if capability.pattern is None else path_glob(capability.pattern)
    return capability.pattern is None or (glob is not None and glob.root == "skill")


def _reads_all_own_files(capability: Capability) -> bool:
    if capability.name != "read_file":
        return False
    glob = None if capability.pattern is None else path_glob(capability.pattern)
    return capability.pattern is None or (glob is not None and glob.root == "skill" and glob.parts == ("**",))


def _shows_everything(place: Path) -> bool:
    """Whether nothing below a directory is hidden; False when that cannot be said, or not soon."""
    unreadable: list[OSError] = []
    seen = 0
    for _, directories, files in os.walk(place, onerror=unreadable.append):
        seen += len(directories) + len(files)
        if unreadable or seen > ENTRIES_LIMIT or any(map(_is_hidden, (*directories, *files))):
            return False
    return not unreadable


def _is_hidden(name: str) -> bool:
    return name.startswith(".")


def _place(workspace: Path, parts: tuple[str, ...]) -> Path | None:
    try:
        root = os.open(workspace, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        os.close(open_beneath(root, parts, os.O_RDONLY | os.O_DIRECTORY) if parts else os.dup(root))
    except OSError:
        return None
    finally:
        os.close(root)
    return workspace.joinpath(*parts)
