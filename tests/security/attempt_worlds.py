"""The files around one attempt of a skill, and what an attempt is."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.wasi_guest import Program

CANARY = secrets.token_hex(16)
"""What lies in every file that no attempt may read."""

ANSWERED = frozenset({0})
FAILED = frozenset({1})
ANY_END = frozenset({0, 1, 124, 137})
"""How runs may end, by exit code."""

INSIDE = "what was granted"

READS = "read_file({name}/open/**)"
WRITES = "write_file({name}/open/**)"
SHELF = "read_file({name}/shelf/**)"

_LINKS = {
    "out": "../private",
    "out-file": "../private/canary",
    "absolute": "{private}/canary",
    "absolute-directory": "{private}",
    "outside-of-the-workspace": "{outside}/canary",
    "chain-1": "chain-2",
    "chain-2": "deep/chain-3",
    "deep/chain-3": "../../private/canary",
    "loop": "loop-2",
    "loop-2": "loop",
    "passwd": "/etc/passwd",
    "proc-root": "/proc/self/root",
    "proc-cwd": "/proc/self/cwd",
    "proc-descriptor": "/proc/self/fd/0",
    "to-shelf": "../shelf",
    "new-out": "../private/new",
}


class World:
    """The files around one attempt: `open` is what may be granted, the rest is what must stay as it is."""

    def __init__(self, workspace: Path, outside: Path, name: str) -> None:
        self.name = name
        self.place = workspace / name
        self.open, self.shelf, self.private = (self.place / each for each in ("open", "shelf", "private"))
        self.outside = outside / name
        for directory in (self.open / "deep", self.shelf, self.private, self.outside):
            directory.mkdir(parents=True)
        for directory in (self.private, self.outside):
            (directory / "canary").write_text(CANARY)
        for directory in (self.open, self.open / "deep", self.shelf):
            (directory / "file.txt").write_text(INSIDE)
        for path, target in _LINKS.items():
            (self.open / path).symlink_to(self.fill_in(target))

    def fill_in(self, text: str) -> str:
        """Put the places of this world into a text."""
        for place in ("private", "outside", "open", "name"):
            text = text.replace(f"{{{place}}}", str(getattr(self, place)))
        return text

    def state(self, *, inside: bool) -> dict[str, tuple[object, ...]]:
        """All that is to be seen of the files that must stay as they are; `inside`: the granted ones too."""
        trees = [self.shelf, self.private, self.outside, *([self.open] if inside else [])]
        return {str(path): _seen(path) for tree in trees for path in (tree, *sorted(tree.rglob("*")))}


def _seen(path: Path) -> tuple[object, ...]:
    status = path.lstat()
    content: object = None
    if stat.S_ISLNK(status.st_mode):
        content = os.readlink(path)  # noqa: PTH115
    elif stat.S_ISREG(status.st_mode):
        content = path.read_bytes()
    return status.st_mode, status.st_ino, status.st_nlink, status.st_size, status.st_mtime_ns, content


Build = Callable[[World], Program]


@dataclass(frozen=True)
class Attempt:
    """One attempt: a guest, what it is granted, what it does, and how it must end.

    `denied`: calls of which the guest must report errors only, and at least one. `exit_codes`: how the run
    may end; none when it must be refused before it runs. `reached`: calls that must have been done at least
    once, or the attempt was none. `writes`: it may change what lies in `open`. `padding`: zeros behind
    the component. `kind` is that of its entry, None when it is refused before its bytes are read.
    """

    guest: str | bytes
    build: Build | None = None
    grants: tuple[str, ...] = ()
    denied: tuple[str, ...] = ()
    exit_codes: frozenset[int] = frozenset({0})
    writes: bool = False
    trusted: bool = True
    padding: int = 0
    kind: str | None = "invocation.finished"
    reached: tuple[str, ...] = ()
    limits_hit: tuple[str, ...] | None = None
    limits: Mapping[str, int] = field(default_factory=dict)
    prepare: Callable[[World], None] = lambda _: None
    meanwhile: Callable[[World], AbstractContextManager[None]] = lambda _: nullcontext()
