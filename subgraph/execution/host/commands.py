"""Programs that an operator offers to trusted skills, each by the name of a file in one directory.

A program runs with the rights of the service. It gets no shell, none of the service's environment and no
input; it may be a link. Whatever it starts is killed with it, except what makes a session of its own.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import stat
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Final

from subgraph.execution.host.errors import HostCallError

ARGUMENTS_LIMIT: Final = 64
"""Arguments of one command."""

ARGUMENTS_BYTES_LIMIT: Final = 64 * 1024
"""Bytes of all arguments: half of what the kernel allows for a single one."""

OUTPUT_LIMIT: Final = 4 * 1024 * 1024
"""Bytes of standard output; a command that writes more is killed."""

ERROR_TAIL: Final = 2000
"""Bytes at the end of standard error that the skill is told when a command fails."""

_CHECK_SECONDS = 0.1  # how soon an abandoned call is noticed
_DRAIN_LIMIT = 1024 * 1024  # what pipes may still hold when all who write are dead
_ENVIRONMENT = {"LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "TZ": "UTC"}


def run_command(
    program: Path,
    arguments: Sequence[str],
    workspace: Path,
    seconds: float,
    byte_limit: int,
    abandoned: Callable[[], bool],
) -> str:
    """Run a program to its end and return what it wrote; blocks for at most `seconds`.

    `abandoned` is asked ten times a second whether nobody waits any longer.

    Raises `HostCallError` when it cannot be started, fails, writes too much, or is out of time.
    """
    until = time.monotonic() + seconds
    _check(program)
    if seconds <= 0:
        raise HostCallError("the command ran out of time")
    try:
        process = subprocess.Popen(
            [program.name, *arguments],
            executable=program,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=workspace,
            env=_ENVIRONMENT,
            start_new_session=True,
        )
    except (OSError, ValueError):
        raise HostCallError(f"the command {program.name} cannot be started") from None
    watch = _Watch(process, min(byte_limit, OUTPUT_LIMIT))
    try:
        problem = watch.follow(until, abandoned)
    finally:
        watch.end()
    if problem is not None:
        raise HostCallError(f"the command {problem}")
    if process.returncode != 0:
        said = watch.errors.decode(errors="replace").strip()
        raise HostCallError(f"the command ended with exit code {process.returncode}: {said}")
    try:
        return watch.output.decode()
    except UnicodeDecodeError:
        raise HostCallError("the command wrote what is not UTF-8 text") from None


def _check(program: Path) -> None:
    try:
        status = program.stat()
    except OSError:
        raise HostCallError(f"there is no command {program.name} in CYBEROS_COMMANDS_DIR") from None
    if not stat.S_ISREG(status.st_mode) or not os.access(program, os.X_OK):
        raise HostCallError(f"{program.name} is not executable")


class _Watch:
    """Reads what a process writes, until it has ended."""

    def __init__(self, process: subprocess.Popen[bytes], limit: int) -> None:
        self.output = bytearray()
        self.errors = bytearray()
        self._process = process
        self._limit = limit
        self._selector = selectors.DefaultSelector()
        self._ended = os.pidfd_open(process.pid)
        self._selector.register(self._ended, selectors.EVENT_READ)
        for pipe in (process.stdout, process.stderr):
            assert pipe is not None  # noqa: S101  (both are pipes)
            os.set_blocking(pipe.fileno(), False)
            self._selector.register(pipe, selectors.EVENT_READ)

    def follow(self, until: float, abandoned: Callable[[], bool]) -> str | None:
        """Read until the process has ended; say why it must be killed before that, if it must."""
        while True:
            left = until - time.monotonic()
            if left <= 0 or abandoned():
                return "ran out of time"
            for key, _ in self._selector.select(min(left, _CHECK_SECONDS)):
                if key.fd == self._ended:
                    self._kill()
                    self._drain()
                    return self._too_much()
                self._take(key.fileobj)
                if self._too_much() is not None:
                    return self._too_much()

    def _too_much(self) -> str | None:
        return f"wrote more than {self._limit} bytes" if len(self.output) > self._limit else None

    def _take(self, pipe: object) -> int:
        stdout = pipe is self._process.stdout
        source = self._process.stdout if stdout else self._process.stderr
        data = _read(source)
        if not data and data is not None and source is not None:
            self._selector.unregister(source)
        if stdout:
            self.output += data or b""
        else:
            self.errors += data or b""
            del self.errors[:-ERROR_TAIL]
        return len(data or b"")

    def _drain(self) -> None:
        """Read what is left in the pipes; the writers are dead, save those with a session of their own."""
        for pipe in (self._process.stdout, self._process.stderr):
            taken = 0
            while taken < _DRAIN_LIMIT and pipe in _files(self._selector):
                count = self._take(pipe)
                if not count:
                    break
                taken += count

    def _kill(self) -> None:
        """Kill the whole group. The leader is not reaped yet, so its number is still its own."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def end(self) -> None:
        """Kill what is left and give everything back."""
        if self._process.returncode is None:
            self._kill()
            self._process.wait()
        self._selector.close()
        os.close(self._ended)
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()


def _files(selector: selectors.BaseSelector) -> list[object]:
    return [key.fileobj for key in selector.get_map().values()]


def _read(pipe: IO[bytes] | None) -> bytes | None:
    """Read what is there; empty at the end, None when there is nothing yet."""
    if pipe is None:
        return b""
    try:
        return os.read(pipe.fileno(), 65536)
    except BlockingIOError:
        return None
