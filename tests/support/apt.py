"""Packages of Debian and Ubuntu, installed when this process may do so."""

from __future__ import annotations

import os
import shutil
import subprocess

INSTALL_SECONDS = 900


class PackageMissingError(Exception):
    """Something is not installed, and this process may not or could not install it."""


def commands(*packages: str) -> tuple[list[str], ...]:
    """What installs packages."""
    install = ["apt-get", "install", "--yes", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=300"]
    return (["apt-get", "update", "--quiet"], [*install, *packages])


def told(*packages: str) -> str:
    """The same, for a person to type."""
    return " && ".join(f"sudo {' '.join(command)}" for command in commands(*packages))


def installable() -> bool:
    """Whether this process may install packages."""
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def install(*packages: str) -> None:
    """Install packages. Raises `PackageMissingError` with what apt said."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in commands(*packages):
        outcome = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False
        )
        if outcome.returncode != 0:
            raise PackageMissingError(f"`{' '.join(command)}` failed:\n{outcome.stderr[-2000:]}")
