"""The npm packages of a directory, installed from its lock file when they are not there."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
from pathlib import Path

INSTALL_SECONDS = 600
"""The largest set, of the gateway, takes about ten seconds; a cold cache behind a slow line takes minutes."""


def require(command: str) -> str:
    """Find a command of Node.js; fail with what to install if it is missing."""
    path = shutil.which(command)
    if path is None:
        raise RuntimeError(f"`{command}` is not in PATH: install Node.js 20 or newer with npm")
    return path


def npm_ci(directory: Path) -> None:
    """Install what `directory`'s lock file names, unless it is installed already.

    Nothing is done while `node_modules` is as new as the lock file. Packages' install scripts do not run.
    Of several processes one installs and the others wait.
    """
    lock_file = directory / "package-lock.json"
    with lock_file.open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        installed = directory / "node_modules" / ".package-lock.json"
        if installed.exists() and installed.stat().st_mtime >= lock_file.stat().st_mtime:
            return
        outcome = subprocess.run(
            [require("npm"), "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
            cwd=directory,
            capture_output=True,
            text=True,
            timeout=INSTALL_SECONDS,
            check=False,
        )
    if outcome.returncode != 0:
        raise RuntimeError(f"`npm ci` failed in {directory}:\n{outcome.stderr[-4000:]}")
