"""What happens to a PostgreSQL server: paused, or on a disk that is full. Linux."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

from subgraph.storage.account import choose_account
from tests.support.postgres import postmaster_pid

SEGMENT_BYTES = 16 * 1024 * 1024
"""A file of PostgreSQL's write-ahead log; it is made whole, so a lower limit would stop that first."""

_BLOCK = bytes(64 * 1024)


class Disk(Protocol):
    """Where a data directory can be, and how to leave the server no room."""

    directory: Path
    how: str

    def fill(self, leave_bytes: int) -> None:
        """Leave that much room."""

    def free(self) -> None:
        """Give all the room back."""


def server_processes(data_dir: Path) -> list[int]:
    """The postmaster and its children."""
    pid = postmaster_pid(data_dir)
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *map(int, children)]


def signal_server(data_dir: Path, number: signal.Signals) -> None:
    """Send a signal to every process of the server, the postmaster first, so that it makes no new ones."""
    for pid in server_processes(data_dir):
        with suppress(ProcessLookupError):
            os.kill(pid, number)


@contextmanager
def paused(data_dir: Path) -> Iterator[None]:
    """Stop every process of the server, as a machine does that is suspended or swaps."""
    signal_server(data_dir, signal.SIGSTOP)
    try:
        yield
    finally:
        signal_server(data_dir, signal.SIGCONT)


class SmallDisk:
    """A file system in memory of a few megabytes, filled by a file beside the data directory."""

    def __init__(self, directory: Path, size_bytes: int) -> None:
        self.directory = directory
        self.how = f"a file system in memory of {size_bytes >> 20} MiB"
        self._ballast = directory / "ballast"

    def fill(self, leave_bytes: int) -> None:
        status = os.statvfs(self.directory)
        room = status.f_bavail * status.f_frsize - leave_bytes
        with self._ballast.open("ab", buffering=0) as file:
            for _ in range(room // len(_BLOCK)):
                file.write(_BLOCK)

    def free(self) -> None:
        self._ballast.unlink(missing_ok=True)


class LimitedFiles:
    """A limit on the size of the server's files, for those who may not mount: tables stop growing.

    Unlike a full disk this leaves the write-ahead log alone, and PostgreSQL reports it as another error.
    """

    how = "a limit on the size of the server's files"

    def __init__(self, directory: Path, data_dir: Path) -> None:
        self.directory = directory
        self._data_dir = data_dir

    def fill(self, leave_bytes: int) -> None:
        largest = max(path.stat().st_size for path in (self._data_dir / "base").rglob("*"))
        self._limit(max(largest + leave_bytes, SEGMENT_BYTES))

    def free(self) -> None:
        self._limit("unlimited")

    def _limit(self, size: int | str) -> None:
        # As the server's account: it may always change its own limits, root not in every container.
        account = choose_account(self._data_dir)
        for pid in server_processes(self._data_dir):
            command = ["prlimit", f"--pid={pid}", f"--fsize={size}:"]
            if account.run(command, timeout=5.0).returncode != 0 and Path(f"/proc/{pid}").exists():
                raise PermissionError(f"process {pid} refuses a limit")


@contextmanager
def disk_that_fills(root: Path, size_bytes: int, *, mount: bool = True) -> Iterator[Disk]:
    """A small file system, mounted below `root`; without the right to mount, a limit on files."""
    directory = root / "disk"
    directory.mkdir()
    options = f"size={size_bytes},mode=0755"
    command = ["mount", "-t", "tmpfs", "-o", options, "cyberos-drill", os.fspath(directory)]
    if not mount or subprocess.run(command, check=False, capture_output=True).returncode != 0:
        yield LimitedFiles(directory, directory / "postgres")
        return
    try:
        yield SmallDisk(directory, size_bytes)
    finally:
        subprocess.run(["umount", "--lazy", directory], check=True)
