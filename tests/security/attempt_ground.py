"""The ground on which attempts are made: what an escape would reach, and whether anything reached it."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
import socket
import subprocess
import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from subgraph.execution.confinement import FileAccess
from tests.execution.pools import is_dead
from tests.security.script_attempts import Grant

ROOT = Path(__file__).parents[2]

VARIABLE = "CYBEROS_ATTEMPT_SECRET"


class Ground:
    """A directory that is granted, and beside it everything that is not."""

    def __init__(
        self, directory: Path, victim: int, listeners: Sequence[socket.socket], abstract: str
    ) -> None:
        self.directory = directory
        self.granted = directory / "granted"
        self.outside = directory / "outside"
        self.victim = victim
        self.listeners = listeners
        self.port = int(listeners[0].getsockname()[1])
        self.abstract = abstract
        self.secret = f"secret-{secrets.token_hex(8)}"
        self.name = f"subgraph-attempt-{secrets.token_hex(8)}"

    def prepare(self) -> None:
        """Put everything as it is before an attempt."""
        for directory in (self.granted, self.outside):
            shutil.rmtree(directory, ignore_errors=True)
            directory.mkdir()
        for path in (self.outside / "secret", self.outside / "victim"):
            path.write_text(self.secret)
        (self.outside / "planted.py").write_text(f"SECRET = {self.secret!r}")
        (self.outside / "empty").mkdir()
        (self.granted / "given").write_text("given")
        (self.granted / "planted-link").symlink_to(self.outside / "secret")
        (self.granted / "planted-directory").symlink_to(self.outside)
        self._before = self._state()

    def input(self) -> dict[str, Any]:
        """What a script is told of its targets. The service passes it as the input of the skill."""
        return {
            "secret": str(self.outside / "secret"),
            "victim_file": str(self.outside / "victim"),
            "outside": str(self.outside),
            "other_snapshot": str(self.directory / "other" / "SKILL.md"),
            "service_source": str(ROOT / "subgraph" / "service.py"),
            "library": str(_library()),
            "victim": self.victim,
            "service": os.getpid(),
            "port": self.port,
            "unix": str(self.directory / "database"),
            "abstract": self.abstract,
            "variable": VARIABLE,
            "digest": hashlib.sha256(self.secret.encode()).hexdigest(),
            "name": self.name,
        }

    def touched(self) -> list[str]:
        """Name what is not as it was outside of the granted directory, and who was connected to."""
        now = self._state()
        changed = [name for name in {*now, *self._before} if now.get(name) != self._before.get(name)]
        for listener in self.listeners:
            with contextlib.suppress(BlockingIOError):
                listener.accept()[0].close()
                changed.append(f"a connection to {listener.getsockname()!r}")
        if is_dead(self.victim):
            changed.append("the victim is dead")
        return changed

    def _state(self) -> dict[str, object]:
        """What each file outside is: its kind, mode, owner, time of change and contents."""
        state: dict[str, object] = {}
        for path in sorted(self.outside.rglob("*")):
            status = path.lstat()
            contents = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
            state[path.name] = (status.st_mode, status.st_uid, status.st_mtime_ns, contents)
        for place in ("/tmp", "/dev/shm"):  # noqa: S108 - where an attempt would leave something
            state[place] = os.path.exists(f"{place}/{self.name}")  # noqa: PTH110
        return state

    def clean_up(self) -> None:
        """Remove what an attempt without confinement has left."""
        for place in ("/tmp", "/dev/shm"):  # noqa: S108 - as above
            Path(place, self.name).unlink(missing_ok=True)


@contextlib.contextmanager
def ground(directory: Path) -> Iterator[Ground]:
    """Prepare a ground: listeners on loopback, a process to attack, and a secret in this environment."""
    (directory / "other").mkdir()
    (directory / "other" / "SKILL.md").write_text("---\nname: other\n---\n")
    abstract = f"subgraph-attempt-{secrets.token_hex(8)}"
    with (
        subprocess.Popen(["sleep", "600"]) as victim,
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket(socket.AF_UNIX) as unix,
        socket.socket(socket.AF_UNIX) as hidden,
    ):
        try:
            unix.bind(str(directory / "database"))
            hidden.bind(f"\0{abstract}")
            for listener in (tcp, unix, hidden):
                listener.listen(64)
                listener.setblocking(False)
            made = Ground(directory, victim.pid, (tcp, unix, hidden), abstract)
            os.environ[VARIABLE] = made.secret
            yield made
        finally:
            os.environ.pop(VARIABLE, None)
            victim.kill()


def access_of(grant: Grant, made: Ground) -> FileAccess:
    """The granted directory, as the kernel is told of it."""
    return FileAccess(
        (made.granted,) if grant is Grant.READ else (), (made.granted,) if grant is Grant.WRITE else ()
    )


def _library() -> Path:
    """A library that any program may load, and a script must not."""
    folder = Path(sysconfig.get_path("platstdlib")) / "lib-dynload"
    if not folder.is_dir():
        folder = Path(sysconfig.get_path("stdlib")) / "lib-dynload"
    return next(iter(sorted(folder.glob("_sqlite3*.so")) or sorted(folder.glob("*.so"))), Path("/nowhere"))
