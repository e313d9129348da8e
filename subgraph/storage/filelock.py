"""Advisory file locks between processes (`flock`): they vanish with the process that held them."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from typing import Self

POLL_SECONDS = 0.02


class FileLock:
    """One open lock file; the lock belongs to this object. Use after `close()` raises `ValueError`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def try_exclusive(self) -> bool:
        """Take the lock alone if nobody else has it. A shared lock held before may be lost if not."""
        try:
            fcntl.flock(self._fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def exclusive(self, seconds: float) -> bool:
        """Take the lock alone within `seconds`; False if others still have it then."""
        deadline = time.monotonic() + seconds
        while not self.try_exclusive():
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_SECONDS)
        return True

    def share(self) -> None:
        """Take the lock together with others; waits only while somebody has it alone."""
        fcntl.flock(self._fileno(), fcntl.LOCK_SH)

    def close(self) -> None:
        """Let go of the lock; calling it twice is harmless."""
        if self._descriptor is None:
            return
        # Unlocked, not only closed: a child forked meanwhile shares this lock and would keep it.
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        os.close(self._descriptor)
        self._descriptor = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _fileno(self) -> int:
        if self._descriptor is None:
            raise ValueError(f"the lock {self._path.name} is closed")
        return self._descriptor
