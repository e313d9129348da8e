"""Debian's Go and its package of Merkle logs and signed notes, found or installed, without any download."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from tests.support import apt

PACKAGES = ("golang-go", "golang-golang-x-mod-dev")
LIBRARIES = Path("/usr/share/gocode")
"""Where Debian keeps the sources of Go packages."""

_NEEDED = LIBRARIES / "src" / "golang.org" / "x" / "mod" / "sumdb" / "note" / "note.go"

BUILD_SECONDS = 300
"""A build takes a second with Go's own packages compiled, and a minute where they are not."""


def go() -> str:
    """Path of `go`; root on Debian or Ubuntu gets it and the package installed, others are told how."""
    found = _find()
    if found is None and apt.installable():
        apt.install(*PACKAGES)
        found = _find()
    if found is None:
        raise apt.PackageMissingError(f"`go` is not in PATH, or {_NEEDED} is missing: {apt.told(*PACKAGES)}")
    return found


def build(source: Path, program: Path) -> None:
    """Compile one source file to a program, against Debian's packages alone."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": os.environ.get("HOME", str(program.parent)),
        "GOPATH": str(LIBRARIES),
        "GO111MODULE": "off",  # packages are looked for in GOPATH, and nowhere else
        "GOFLAGS": "",
        "GOPROXY": "off",
        "GOTOOLCHAIN": "local",
        "CGO_ENABLED": "0",
    }
    outcome = subprocess.run(
        [go(), "build", "-o", program, source],
        env=environment,
        cwd=program.parent,
        capture_output=True,
        text=True,
        timeout=BUILD_SECONDS,
        check=False,
    )
    if outcome.returncode != 0:
        raise RuntimeError(f"`go build {source.name}` failed:\n{outcome.stderr[-4000:]}")


def _find() -> str | None:
    return shutil.which("go") if _NEEDED.exists() else None
