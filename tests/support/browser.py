"""The system's Chromium, found or installed, and the scripts of `tests/browser` that drive it."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

from tests.support import apt
from tests.support.npm import npm_ci, require

BROWSER_DIR = Path(__file__).parents[1] / "browser"

PACKAGE = "chromium"
NAMES = ("chromium", "chromium-browser", "google-chrome")
SCRIPT_SECONDS = 120


def chromium() -> str:
    """Path of Chromium; root on Debian or Ubuntu gets it installed, others are told how."""
    found = _find()
    if found is None and apt.installable():
        apt.install(PACKAGE)  # 100 MB: 16 seconds behind a fast line
        found = _find()
    if found is None:
        raise apt.PackageMissingError(
            f"none of {', '.join(NAMES)} is in PATH; install one: {apt.told(PACKAGE)}"
        )
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
