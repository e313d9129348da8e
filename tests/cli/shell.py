"""The command line, as an operator uses it, with the settings of one home and database."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import typer
from typer.testing import CliRunner

from subgraph.cli.app import app
from tests.support.toolchain import ROOT


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    exit_code: int
    stdout: str
    stderr: str


class Shell:
    """Runs commands with the settings of one home and database."""

    def __init__(self, home: Path, dsn: str, app: typer.Typer = app) -> None:
        self.home = home
        self._app = app
        self.skills = home / "mine"
        self.skills.mkdir()
        self.environment = {
            "CYBEROS_HOME": os.fspath(home),
            "CYBEROS_DATABASE_URL": dsn,
            "CYBEROS_SKILL_ROOTS": os.fspath(self.skills),
            "CYBEROS_WORKERS": "1",
        }

    def __call__(self, *words: str, stdin: str = "", app: typer.Typer | None = None) -> Ended:
        """Run a command in this process: the same code, a second sooner. `app` is another program."""
        result = CliRunner().invoke(app or self._app, words, input=stdin, env=self.environment)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Ended(result.exit_code, result.stdout, result.stderr)

    def process(self, *words: str, stdin: str = "", extra: Mapping[str, str] | None = None) -> Ended:
        """Run a command in a process of its own."""
        ended = subprocess.run(
            [sys.executable, "-m", "subgraph.cli", *words],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            cwd=ROOT,
            env={**os.environ, **self.environment, **(extra or {})},
            check=False,
        )
        return Ended(ended.returncode, ended.stdout, ended.stderr)

    def json(self, *words: str) -> object:
        """Run a command that must succeed, with `--json`; its value."""
        ended = self(*words, "--json")
        assert ended.exit_code == 0, ended
        return json.loads(ended.stdout)

    def told(self, *words: str) -> dict[str, object]:
        """Run a command of the router that must succeed, with `--format json`; its object."""
        ended = self(*words, "--format", "json")
        assert ended.exit_code == 0, ended
        found: dict[str, object] = json.loads(ended.stdout)
        return found
