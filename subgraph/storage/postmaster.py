"""One PostgreSQL server on one data directory: create, start, look at, stop. Every call blocks.

Whoever calls holds the start lock (`embedded.py`), so that no two processes do this at once. Linux.
"""

from __future__ import annotations

import hashlib
import logging
import os
import pwd
import re
import shlex
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from urllib.parse import quote

from subgraph.errors import StorageUnavailable
from subgraph.storage.account import Account
from subgraph.storage.binaries import POSTGRES_VERSION

log = logging.getLogger(__name__)

SUPERUSER = "postgres"

INITIALISE_SECONDS = 60.0
"""For `initdb`, which takes half a second; a slow disk may need far more to flush 40 MB."""

START_SECONDS = 60.0
"""For a start, with the recovery of a crash in it: a checkpoint's worth of log (1 GB) is replayed."""

LAUNCH_SECONDS = 10.0
"""How long a launch that fails is tried again: children of a killed server need a moment to leave."""

HUNG_SECONDS = 8.0
"""How long a server that was running before may be silent: not even that it is starting does it say. Recovery
answers, and a busy server within a second, so it hangs; somebody at a shell waits for this no longer."""

STOP_SECONDS = 30.0
"""For a fast shutdown, which writes what is in memory (at most 128 MB) to disk."""

PROBE_SECONDS = 1
"""For `pg_isready`; a server that is alive answers in milliseconds. Whole seconds by its interface."""

FIRST_PAUSE_SECONDS = 0.02
LAST_PAUSE_SECONDS = 0.5

SOCKET_PATH_BYTES = 100
"""Longest path of the socket: a Unix socket's address has room for 107 bytes and a terminator."""

LOG_BYTES = 4 * 1024 * 1024
"""Size from which the server's log is set aside at a start; one older log is kept."""

_SOCKET = ".s.PGSQL.5432"
_PLAIN_PATH = re.compile(r"[A-Za-z0-9/._-]+")

# Peer: the kernel vouches for who connects. Only the user that the service runs as is let in, so that
# other programs of the same unprivileged account are not, even if they reach the socket.
_HBA = "local all all peer map=service\n"


class Readiness(Enum):
    """What `pg_isready` found."""

    READY = 0
    REFUSING = 1
    SILENT = 2


@dataclass(frozen=True, slots=True)
class Postmaster:
    """The server of `data_dir`, run from the programs in `bin_dir` as `account`."""

    data_dir: Path
    bin_dir: Path
    account: Account

    @property
    def socket_dir(self) -> Path:
        """Where the socket lies: in the data directory (0700), or a short path of our own if that is long."""
        path = os.fsencode(self.data_dir / _SOCKET)
        if len(path) <= SOCKET_PATH_BYTES and _PLAIN_PATH.fullmatch(str(self.data_dir)):
            return self.data_dir
        name = hashlib.sha256(os.fsencode(self.data_dir)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"cyberos-{self.account.uid}-{name}"

    @property
    def dsn(self) -> str:
        """Address of the server; it holds no secret."""
        return f"postgresql://{SUPERUSER}@/{SUPERUSER}?host={quote(str(self.socket_dir))}"

    @property
    def log_file(self) -> Path:
        """The server's own log."""
        return self.data_dir / "server.log"

    def initialise(self) -> None:
        """Create the data directory if there is none: complete or not at all.

        Raises `StorageUnavailable` if it holds something else or another version of PostgreSQL.
        """
        if self.data_dir.exists():
            self._check_version()
            return
        scratch = self.data_dir.with_name(self.data_dir.name + ".new")
        shutil.rmtree(scratch, ignore_errors=True)  # of a start that was killed half-way
        scratch.mkdir(mode=0o700)
        self.account.own(scratch)
        self._check_reachable(scratch)
        self._command(
            "initdb", "-D", scratch, "-U", SUPERUSER, "--encoding=UTF8", "--locale=C",
            "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--data-checksums",
            "--auth-local=peer", "--auth-host=reject",
            timeout=INITIALISE_SECONDS,
        )  # fmt: skip
        self._write(scratch / "pg_hba.conf", _HBA)
        self._write(scratch / "pg_ident.conf", f'service "{_own_name()}" {SUPERUSER}\n')
        scratch.rename(self.data_dir)

    def bring_up(self, *, alone: bool) -> None:
        """Return when the server accepts connections, starting it if none runs.

        `alone` tells that no other process uses the data directory: only then is a stale lock file of
        the server's removed. Raises `StorageUnavailable` if it does not come up, or hangs.
        """
        begin = heard = time.monotonic()
        pause = FIRST_PAUSE_SECONDS
        launched = False
        while (readiness := self.probe()) is not Readiness.READY:
            now = time.monotonic()
            launching = readiness is Readiness.SILENT and not self._lives()
            if launching or readiness is Readiness.REFUSING:
                heard = now
            if now - begin > (LAUNCH_SECONDS if launching else START_SECONDS):
                raise StorageUnavailable(
                    f"The embedded PostgreSQL in {self.data_dir} does not start; its log is "
                    f"{self.log_file}. Repair the cause or set CYBEROS_DATABASE_URL."
                )
            if not launched and now - heard > HUNG_SECONDS:
                raise StorageUnavailable(
                    f"The embedded PostgreSQL in {self.data_dir} runs (process {self._server_pid()}), and "
                    f"has not answered for {HUNG_SECONDS:.0f} seconds: it hangs, was stopped, or the "
                    f"machine is overloaded. Its log is {self.log_file}. Try again, or find out why."
                )
            if launching:
                launched = True
                if self._launch(alone=alone):
                    continue
            time.sleep(pause)
            pause = min(pause * 2, LAST_PAUSE_SECONDS)

    def shut_down(self) -> None:
        """Stop the server if it runs: clients are disconnected, everything is written to disk."""
        if not self._lives():
            return
        result = self._run(
            "pg_ctl", "stop", "-D", self.data_dir, "-m", "fast", "-w", "-t", str(int(STOP_SECONDS)),
            timeout=STOP_SECONDS + PROBE_SECONDS,
        )  # fmt: skip
        if result.returncode != 0:
            log.warning("embedded PostgreSQL did not stop: %s", result.stderr.strip())

    def probe(self) -> Readiness:
        """Ask the server whether it accepts connections, over its socket."""
        result = subprocess.run(
            [
                self.bin_dir / "pg_isready", "-q", "-h", self.socket_dir, "-U", SUPERUSER,
                "-d", SUPERUSER, "-t", str(PROBE_SECONDS),
            ],
            check=False,
            env={},
            stdin=subprocess.DEVNULL,
            timeout=10.0 * PROBE_SECONDS,
        )  # fmt: skip
        return Readiness(result.returncode) if result.returncode in (0, 1) else Readiness.SILENT

    def _launch(self, *, alone: bool) -> bool:
        """Start the server once and wait for it; False if it ended at once."""
        if alone:
            self._forget_the_dead()
        self._make_socket_dir()
        self._set_log_aside()
        options = f"-h '' -k {shlex.quote(str(self.socket_dir))} -c unix_socket_permissions=0700"
        result = self._run(
            "pg_ctl", "start", "-D", self.data_dir, "-l", self.log_file, "-o", options,
            "-w", "-t", str(int(START_SECONDS)),
            timeout=START_SECONDS + PROBE_SECONDS,
        )  # fmt: skip
        if result.returncode != 0:
            log.info("embedded PostgreSQL did not start yet: %s", self._end_of_log())
        return result.returncode == 0

    def _server_pid(self) -> int | None:
        """The process that the server's lock file names, alive or not."""
        try:
            return int((self.data_dir / "postmaster.pid").read_text().split("\n", 1)[0])
        except (FileNotFoundError, ValueError):
            return None  # no server, or one that is writing the file this moment

    def _lives(self) -> bool:
        """Tell whether the lock file names a process that is a server of this data directory.

        A number alone proves nothing: after a crash or in a new container it may be another program's.
        """
        pid = self._server_pid()
        if pid is None:
            return False
        _reap(pid)
        try:
            arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError):
            return False
        return os.fsencode(self.data_dir) in arguments  # a zombie has no arguments

    def _forget_the_dead(self) -> None:
        """Remove a lock file whose process exists but is no server of ours, which PostgreSQL would not.

        Survivors of a killed server are still safe from us: it finds the shared memory that they hold.
        """
        pid = self._server_pid()
        if pid is None or not Path(f"/proc/{pid}").exists() or self._lives():
            return
        log.warning("removing the lock file of a dead server: process %d is none", pid)
        (self.data_dir / "postmaster.pid").unlink(missing_ok=True)
        (self.socket_dir / f"{_SOCKET}.lock").unlink(missing_ok=True)

    def _make_socket_dir(self) -> None:
        directory = self.socket_dir
        if directory == self.data_dir:
            return
        try:
            directory.mkdir(mode=0o700)
        except FileExistsError:
            # The temporary directory is open to all: what lies there may be a trap of another user.
            status = directory.lstat()
            if status.st_uid == self.account.uid and status.st_mode == 0o40700:
                return
            raise StorageUnavailable(f"{directory} is not a private directory of ours; remove it.") from None
        self.account.own(directory)

    def _set_log_aside(self) -> None:
        if self.log_file.exists() and self.log_file.stat().st_size > LOG_BYTES:
            self.log_file.replace(self.log_file.with_suffix(".log.old"))

    def _check_version(self) -> None:
        try:
            version = (self.data_dir / "PG_VERSION").read_text().strip()
        except FileNotFoundError:
            raise StorageUnavailable(
                f"{self.data_dir} is not a PostgreSQL data directory; move it."
            ) from None
        if version != str(POSTGRES_VERSION):
            raise StorageUnavailable(
                f"{self.data_dir} was written by PostgreSQL {version}, this is {POSTGRES_VERSION}; "
                "dump it with the old version and restore it into a new directory."
            )

    def _check_reachable(self, directory: Path) -> None:
        for parent in directory.parents:
            if self.account.switch and not self.account.can_enter(parent):
                raise StorageUnavailable(
                    f"The unprivileged database user cannot enter {parent}; set CYBEROS_HOME elsewhere "
                    "or set CYBEROS_DATABASE_URL."
                )

    def _write(self, path: Path, text: str) -> None:
        # As the account: root writing where another user may put a symbolic link would follow it.
        result = self.account.run(
            ["/bin/sh", "-c", 'cat > "$1"', "sh", path], text=text, timeout=INITIALISE_SECONDS
        )
        if result.returncode != 0:
            raise StorageUnavailable(f"{path} cannot be written: {result.stderr.strip()}")

    def _end_of_log(self) -> str:
        result = self.account.run(["tail", "-n", "5", self.log_file], timeout=INITIALISE_SECONDS)
        return (result.stdout or result.stderr).strip()

    def _command(self, program: str, *arguments: str | Path, timeout: float) -> None:
        result = self._run(program, *arguments, timeout=timeout)
        if result.returncode != 0:
            log.error("%s failed: %s", program, result.stderr.strip())
            raise StorageUnavailable(
                f"{program} failed for {self.data_dir}: {result.stderr.strip()[-500:]}; repair the cause or "
                "set CYBEROS_DATABASE_URL."
            )

    def _run(self, program: str, *arguments: str | Path, timeout: float) -> subprocess.CompletedProcess[str]:
        return self.account.run([self.bin_dir / program, *arguments], timeout=timeout)


def _own_name() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        raise StorageUnavailable(
            f"User {os.geteuid()} has no entry in the system's user database, which PostgreSQL needs; "
            "add one or set CYBEROS_DATABASE_URL."
        ) from None


def _reap(pid: int) -> None:
    """Collect a dead server if it is our child, as it is when we are process 1 of a container."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return  # the usual case: the system's process 1 collects it
