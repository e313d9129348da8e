"""Every line and branch of the router is reached by the tests of this directory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_all_lines_and_branches_of_the_router_are_tested(tmp_path: Path) -> None:
    environment = {**os.environ, "COVERAGE_FILE": str(tmp_path / "coverage")}
    tests = ["tests/routing", f"--ignore={Path(__file__).relative_to(ROOT)}", "-q", "-p", "no:cacheprovider"]
    measured = run("run", "--source=subgraph.routing", "-m", "pytest", *tests, environment=environment)
    assert measured.returncode == 0, measured.stdout
    report = run("report", "--show-missing", "--skip-covered", "--fail-under=100", environment=environment)
    assert report.returncode == 0, report.stdout


def run(*arguments: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "coverage", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
