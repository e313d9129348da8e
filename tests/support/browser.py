"""The system's Chromium, found or installed, and the scripts of `tests/browser` that drive it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from tests.support.npm import npm_ci, require

BROWSER_DIR = Path(__file__).parents[1] / "browser"

NAMES = ("chromium", "chromium-browser", "google-chrome")
INSTALL = (
    ["apt-get", "update", "--quiet"],
    ["apt-get", "install", "--yes", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=300", "chromium"],
)
INSTALL_SECONDS = 900
"""100 MB of packages take 16 seconds behind a fast line."""
SCRIPT_SECONDS = 120


class BrowserMissingError(Exception):
    """No Chromium is installed, and this process may not install one."""


def chromium() -> str:
    """Path of Chromium; root on Debian or Ubuntu gets it installed, others are told how."""
    found = _find()
    if found is None and os.geteuid() == 0 and shutil.which("apt-get") is not None:
        _install()
        found = _find()
    if found is None:
        commands = " && ".join(f"sudo {' '.join(command)}" for command in INSTALL)
        raise BrowserMissingError(f"none of {', '.join(NAMES)} is in PATH; install one: {commands}")
    return found


def run_script(script: str, *arguments: str | Path) -> dict[str, Any]:
    """Run a script of `tests/browser` with Chromium's path and `arguments`; return the JSON it prints."""
    npm_ci(BROWSER_DIR)
    outcome = subprocess.run(
        [require("node"), BROWSER_DIR / script, chromium(), *arguments],
        capture_output=True,
        text=True,
        timeout=SCRIPT_SECONDS,
        check=False,
    )
    if outcome.returncode != 0:
        raise RuntimeError(f"{script} failed:\n{outcome.stdout[-2000:]}\n{outcome.stderr[-4000:]}")
    report: dict[str, Any] = json.loads(outcome.stdout)
    return report


def _find() -> str | None:
    return next((path for name in NAMES if (path := shutil.which(name)) is not None), None)


def _install() -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in INSTALL:
        outcome = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False
        )
        if outcome.returncode != 0:
            raise BrowserMissingError(f"`{' '.join(command)}` failed:\n{outcome.stderr[-2000:]}")
