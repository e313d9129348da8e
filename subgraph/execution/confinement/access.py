"""Which directories a confined process may use."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self


@dataclass(frozen=True, slots=True)
class FileAccess:
    """Directories beneath which a process may read, and beneath which it may write and see names.

    Paths are absolute and name real directories: no part may be a symbolic link. The empty
    value is a process that can open nothing.
    """

    read: tuple[Path, ...] = ()
    write: tuple[Path, ...] = ()

    @classmethod
    def of(cls, read: Iterable[str], write: Iterable[str]) -> Self:
        """Take the directories from a message."""
        return cls(tuple(map(Path, read)), tuple(map(Path, write)))

    def __bool__(self) -> bool:
        return bool(self.read or self.write)

    def may_write(self, path: Path) -> bool:
        """Whether a path lies beneath a directory that may be written."""
        return any(path.is_relative_to(directory) for directory in self.write)

    def as_message(self) -> list[list[str]]:
        """Give the directories as a message holds them."""
        return [list(map(str, self.read)), list(map(str, self.write))]


NOTHING = FileAccess()
