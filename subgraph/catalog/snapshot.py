"""Private copies of skills: what runs are the bytes that were granted, whatever happens to the originals."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import time
from pathlib import Path

from subgraph.catalog.activated_skill import ActivatedSkill
from subgraph.catalog.tree import read_tree
from subgraph.errors import ExecutionFailed, SourceInvalid
from subgraph.single_flight import SingleFlight

SNAPSHOTS_LIMIT = 256
"""Bound of the copies that are kept; the one that was not asked for longest goes first."""

IN_USE_SECONDS = 900.0
"""A copy that was asked for within this time is never removed: the longest run takes 600 seconds."""

TOUCH_SECONDS = 300.0
"""After which a copy that is in use is proved again, and marked as used for other processes."""

_UNFINISHED = ".unfinished-"


class Snapshots:
    """Copies of skills below one directory, each named by its content hash.

    A copy is written from bytes that were checked against the hash while they were read, and one that an
    earlier process left is hashed again before it is used: the name of a directory proves nothing.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._asked: dict[str, float] = {}  # when each copy that this process has proved was asked for
        self._copying: SingleFlight[str, Path] = SingleFlight()

    async def of(self, skill: ActivatedSkill) -> Path:
        """Return the directory of a skill's copy, whose files nobody but this service writes.

        Raises `SourceInvalid` when the skill's files changed meanwhile, and `ExecutionFailed` when they
        cannot be copied.
        """
        name = skill.content_hash.removeprefix("sha256:")
        path = self._directory / name
        now = time.monotonic()
        # Another process may have removed it; it goes by the times that are kept on the disk.
        if name not in self._asked or now - self._asked[name] > TOUCH_SECONDS or not path.is_dir():
            await self._copying.run(name, lambda: self._prove(skill, name))
        self._asked[name] = now
        return path

    async def _prove(self, skill: ActivatedSkill, name: str) -> Path:
        path = self._directory / name
        try:
            await asyncio.to_thread(_copy, skill, path)
            await asyncio.to_thread(self._prune, name)
        except OSError as error:
            raise ExecutionFailed(
                f"{skill.header.path} could not be copied for its run: {error.strerror}; see that the disk "
                "of CYBEROS_HOME has room and can be written"
            ) from error
        return path

    def _prune(self, newest: str) -> None:
        """Remove what is too many, and what an interrupted copy has left."""
        now = time.time()
        found: list[tuple[float, Path]] = []
        with os.scandir(self._directory) as entries:
            for entry in entries:
                try:
                    last = entry.stat(follow_symlinks=False).st_mtime
                except FileNotFoundError:
                    continue  # a copy of another skill was finished, or removed, at this moment
                asked = self._asked.get(entry.name)
                if asked is not None:
                    last = now - (time.monotonic() - asked)
                if now - last > IN_USE_SECONDS and entry.name != newest:
                    found.append((last, Path(entry.path)))
        kept = len(os.listdir(self._directory))
        for _, path in sorted(found):
            if kept <= SNAPSHOTS_LIMIT and not path.name.startswith(_UNFINISHED):
                continue
            if time.monotonic() - self._asked.get(path.name, float("-inf")) <= IN_USE_SECONDS:
                continue  # somebody has asked for it meanwhile
            self._asked.pop(path.name, None)
            with contextlib.suppress(OSError):
                _remove(path)
            kept -= 1


def _copy(skill: ActivatedSkill, path: Path) -> None:
    """Write a copy unless there is one already that is as it should be."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if os.path.lexists(path):
        with contextlib.suppress(SourceInvalid):
            if read_tree(path).content_hash == skill.content_hash:
                os.utime(path)
                return
        _remove(path)
    unfinished = path.parent / f"{_UNFINISHED}{secrets.token_hex(8)}"
    unfinished.mkdir(mode=0o700)
    try:
        for name, entry in skill.tree.files.items():
            target = unfinished / name
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            mode = 0o500 if entry.executable else 0o400
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            with os.fdopen(os.open(target, flags, mode), "wb") as file:
                file.write(skill.tree.read(name))
        unfinished.rename(path)
    except FileExistsError:
        # Another process has finished the same copy first; what it wrote must prove itself as well.
        if read_tree(path).content_hash != skill.content_hash:
            raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _remove(path: Path) -> None:
    """Remove whatever is there: a directory with all it holds, or a file or link by itself."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
