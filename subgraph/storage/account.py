"""The operating-system account that the embedded PostgreSQL runs as.

PostgreSQL refuses to run as root. Under root its programs run as an unprivileged account; otherwise
as ourselves.
"""

from __future__ import annotations

import os
import pwd
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from subgraph.errors import StorageUnavailable

PREFERRED_ACCOUNTS = ("cyberos", "nobody")
"""Accounts to use under root, best first: one made for this service, or the one that every system has."""

ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", "TZ": "UTC"}
"""All that a child sees: the service's environment holds keys and passwords."""


@dataclass(frozen=True, slots=True)
class Account:
    """A user and group; `switch` tells whether children must change to them."""

    uid: int
    gid: int
    switch: bool

    def run(
        self, command: Sequence[str | Path], *, timeout: float, text: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a program to its end with `text` as its standard input, in a session of its own.

        A session of its own keeps a Ctrl-C in the service's terminal from reaching PostgreSQL.
        Raises `OSError` if it cannot be started, `subprocess.TimeoutExpired` after `timeout` seconds.
        """
        return subprocess.run(
            command,
            input=text or "",
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=timeout,
            check=False,
            env=ENVIRONMENT,
            cwd="/",
            umask=0o077,
            start_new_session=True,
            user=self.uid if self.switch else None,
            group=self.gid if self.switch else None,
            extra_groups=[] if self.switch else None,
        )

    def own(self, path: Path) -> None:
        """Give a directory that we have just created to the account, closed to all others."""
        path.chmod(0o700)
        if self.switch:
            os.chown(path, self.uid, self.gid)

    def can_enter(self, directory: Path) -> bool:
        """Tell whether the mode bits of `directory` let the account pass through it."""
        status = directory.stat()
        if status.st_uid == self.uid:
            return bool(status.st_mode & 0o100)
        if status.st_gid == self.gid:
            return bool(status.st_mode & 0o010)
        return bool(status.st_mode & 0o001)


def choose_account(data_dir: Path) -> Account:
    """Choose the account for `data_dir`: its owner if it exists, so that a choice once made stays.

    Raises `StorageUnavailable` if the directory belongs to somebody else, or under root if it belongs
    to root or no unprivileged account exists.
    """
    owner = data_dir.stat() if data_dir.exists() else None
    if os.geteuid() != 0:
        if owner is not None and owner.st_uid != os.geteuid():
            raise StorageUnavailable(
                f"The database in {data_dir} belongs to another user; run as that user or set CYBEROS_HOME."
            )
        return Account(os.geteuid(), os.getegid(), switch=False)
    if owner is not None:
        if owner.st_uid == 0:
            raise StorageUnavailable(
                f"{data_dir} belongs to root, whom PostgreSQL refuses; move it away or give it to an "
                "unprivileged user."
            )
        return Account(owner.st_uid, owner.st_gid, switch=True)
    for name in PREFERRED_ACCOUNTS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid != 0:
            return Account(entry.pw_uid, entry.pw_gid, switch=True)
    raise StorageUnavailable(
        "PostgreSQL refuses to run as root and this system has no unprivileged user "
        f"({' or '.join(PREFERRED_ACCOUNTS)}); create one, run as an ordinary user "
        "or set CYBEROS_DATABASE_URL."
    )


def make_directories(directory: Path) -> None:
    """Create missing directories: private ones, or under root ones that the account may pass through."""
    missing = [path for path in (directory, *directory.parents) if not path.exists()]
    for path in reversed(missing):
        path.mkdir(exist_ok=True)
        path.chmod(0o755 if os.geteuid() == 0 else 0o700)
