"""Finds skills below a root, and reads the heads of their SKILL.md, as cheaply as it can be done.

There may be ten thousand: a directory costs one `stat` of the SKILL.md that it may have, and paths are text.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
import struct
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from operator import attrgetter
from typing import NamedTuple

from subgraph.catalog import front_matter
from subgraph.catalog.front_matter import HEAD_BYTES
from subgraph.catalog.problem import MANIFEST_NAME, ManifestInvalid
from subgraph.catalog.tree import is_settled

COMPONENT_PATH = "dist/skill.wasm"

DEPTH_LIMIT = 6
"""How deep below a root a skill may lie; the deepest built-in one is at three."""

SKILLS_LIMIT = 20_000

DIRECTORIES_LIMIT = 50_000
"""How many directories of one root are searched: a root that was named by mistake, such as `/`, has more."""

PASSED_OVER = frozenset({".git", "node_modules"})
"""Directories that hold thousands of others and no skill."""

READERS = 8
"""Threads that read heads at once where files are not in memory yet: they wait for the disk together."""

CHUNK = 64
"""Heads that are read at a time, by the caller or by one thread."""

WAITING_FACTOR = 4.0
"""Reading that takes this many times its processor time is waiting for a disk. Threads are for waiting alone:
reading from memory, four of them take three times the processor time of one."""

_FIRST_READ = 8 * 1024
"""Bytes of a first read: all but a few skills have their front matter within."""

_STAMP = struct.Struct("<QQQQ")
_stamped = attrgetter("st_ctime_ns", "st_mtime_ns", "st_size", "st_ino")
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_NO_TEXT = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_64_BITS = 0xFFFF_FFFF_FFFF_FFFF

STAMPS_SIZES = (_STAMP.size, 2 * _STAMP.size)
"""Sizes of stamps in bytes: without a component, and with one."""


class Candidate(NamedTuple):
    """A directory with a SKILL.md: its path below the root, and the stamps of its files.

    `settled` is whether a further change of these files is sure to show in the stamps; see `is_settled`.
    """

    path: str
    stamps: bytes
    settled: bool


def stamps_of(directory: str, now_ns: int, parent: int | None = None) -> tuple[bytes, bool] | None:
    """Stamp what a header is read from: SKILL.md, and the component if there is one. Reads nothing.

    A relative `directory` is one of the open directory `parent`. Returns the stamps and whether they are
    settled, as in `Candidate`; None when there is no SKILL.md.
    """
    try:
        status = os.lstat(f"{directory}/{MANIFEST_NAME}", dir_fd=parent)
    except (OSError, ValueError):
        return None
    stamps, newest = _packed(status), status.st_ctime_ns
    component = f"{directory}/{COMPONENT_PATH}"
    # Most skills have none, and to be told so by an exception costs three times as much.
    if os.access(component, os.F_OK, dir_fd=parent):
        try:
            status = os.lstat(component, dir_fd=parent)
        except OSError:
            return stamps, False
        if stat.S_ISREG(status.st_mode):
            stamps += _packed(status)
            newest = max(newest, status.st_ctime_ns)
    return stamps, is_settled(newest, now_ns)


def shows_component(stamps: bytes) -> bool:
    """Whether stamps are of a skill with a component."""
    return len(stamps) == STAMPS_SIZES[1]


def _packed(status: os.stat_result) -> bytes:
    values = _stamped(status)
    try:
        return _STAMP.pack(*values)
    except struct.error:  # times before 1970 or after 2554, which anybody can set
        return _STAMP.pack(*(value & _64_BITS for value in values))


@dataclass(slots=True)
class Search:
    """The search of one root. `cut` says which bound ended it early, if one did."""

    found: list[Candidate] = field(default_factory=list)
    cut: str | None = None
    _directories: int = 0

    def below(self, root: str, limit: int) -> list[Candidate]:
        """Find at most `limit` skills in the order of their paths; nothing of a root that is not there.

        A skill's own directories are not searched for further skills, and links are not followed.
        """
        with contextlib.suppress(OSError):
            descriptor = os.open(root, _DIRECTORY_FLAGS)
            try:
                self._walk(descriptor, "", 1, limit, time.time_ns())
            finally:
                os.close(descriptor)
        return self.found

    def _walk(self, parent: int, prefix: str, depth: int, limit: int, now_ns: int) -> None:
        """Search an open directory: to look names up in it costs less than to look up whole paths."""
        for name in _subdirectories(parent):
            if self.cut is not None:
                return
            self._directories += 1
            if self._directories > DIRECTORIES_LIMIT:
                self.cut = f"more than {DIRECTORIES_LIMIT} directories"
                return
            state = stamps_of(name, now_ns, parent)
            if state is not None:
                if len(self.found) >= limit:
                    self.cut = f"more than {limit} skills"
                    return
                self.found.append(Candidate(prefix + name, state[0], state[1]))
            elif depth < DEPTH_LIMIT and name not in PASSED_OVER:
                try:
                    child = os.open(name, _DIRECTORY_FLAGS | os.O_NOFOLLOW, dir_fd=parent)
                except OSError:
                    continue
                try:
                    self._walk(child, f"{prefix}{name}/", depth + 1, limit, now_ns)
                finally:
                    os.close(child)


def _subdirectories(descriptor: int) -> list[str]:
    try:
        with os.scandir(descriptor) as entries:
            return sorted([entry.name for entry in entries if entry.is_dir(follow_symlinks=False)])
    except OSError:
        return []


def check_path(path: str) -> None:
    """Refuse a path that no answer could hold, and a name that looks like another one.

    Raises `ManifestInvalid`.
    """
    if _NO_TEXT.search(path):
        raise ManifestInvalid("the directory's path holds control characters or is not UTF-8")
    if not path.isprintable():  # as characters without width are not
        raise ManifestInvalid("the directory's path holds characters that cannot be seen")


def front_matters(directories: Sequence[str]) -> Iterator[bytes | ManifestInvalid]:
    """Read the front matter of each directory's SKILL.md, in order, or say why there is none."""
    chunks = (directories[start : start + CHUNK] for start in range(0, len(directories), CHUNK))
    for chunk in chunks:
        wall, processor = time.perf_counter(), time.thread_time()
        heads = _chunk(chunk)
        waits = time.perf_counter() - wall > WAITING_FACTOR * (time.thread_time() - processor)
        yield from heads
        if waits:
            break
    else:
        return
    with ThreadPoolExecutor(READERS, "skill-heads") as threads:
        for heads in threads.map(_chunk, chunks):
            yield from heads


def _chunk(directories: Sequence[str]) -> list[bytes | ManifestInvalid]:
    return [_front_matter(directory) for directory in directories]


def _front_matter(directory: str) -> bytes | ManifestInvalid:
    try:
        return front_matter.split(_head(f"{directory}/{MANIFEST_NAME}"))[0]
    except ManifestInvalid as error:
        return error


def _head(path: str) -> bytes:
    """Read the first bytes of a file, as many as a front matter can have."""
    try:
        descriptor = os.open(path, _FLAGS)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise ManifestInvalid("it is no file")
            head = os.read(descriptor, _FIRST_READ)
            if len(head) == _FIRST_READ and not _is_closed(head):
                while len(head) < HEAD_BYTES and (more := os.read(descriptor, HEAD_BYTES - len(head))):
                    head += more
            return head
        finally:
            os.close(descriptor)
    except OSError as error:
        raise ManifestInvalid(f"it cannot be read: {error.strerror}") from None


def _is_closed(head: bytes) -> bool:
    """Whether the first bytes hold both fences, and what follows the second on its line."""
    try:
        _, body = front_matter.split(head)
    except ManifestInvalid:
        return False
    return bool(body)
