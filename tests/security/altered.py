"""A process of the service with something changed in it, for tests of what the others then do.

`alter` has every process that is started from now on begin here; then the real module runs.
"""

from __future__ import annotations

import json
import os
import runpy
import socket
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from unittest.mock import patch

import pytest

ROOT = Path(__file__).parents[2]


def alter(monkeypatch: pytest.MonkeyPatch, directory: Path, alteration: str) -> None:
    """Make the zygote and the compiler start altered; the names are those in `main`."""
    monkeypatch.setattr(sys, "executable", str(altered_interpreter(directory, alteration)))


def altered_interpreter(directory: Path, alteration: str) -> Path:
    """Write a program that starts altered what Python would start."""
    return _script(
        directory,
        f"PYTHONPATH='{ROOT}' exec '{sys.executable}' -m tests.security.altered {alteration} \"$@\"",
    )


def replace_interpreter(monkeypatch: pytest.MonkeyPatch, directory: Path, command: str) -> None:
    """Have a shell run a command wherever the service would start Python."""
    monkeypatch.setattr(sys, "executable", str(_script(directory, command)))


def _script(directory: Path, command: str) -> Path:
    script = directory / "python"
    script.write_text(f"#!/bin/sh\n{command}\n")
    script.chmod(0o755)
    return script


def main() -> None:
    alteration, *command = sys.argv[1:]
    (start,) = (i for i, word in enumerate(command) if word.startswith("subgraph.execution."))
    module, *arguments = command[start:]
    from subgraph.execution import engine, script_worker
    from subgraph.execution.confinement import attempts, landlock, seccomp
    from subgraph.execution.protocol import Call, Reply
    from tests.security import acts

    class ActingEngine(engine.SkillEngine):
        """Performs the act that is the input, where a guest would run."""

        def run(self, call: Call) -> Reply:
            facts = {"pid": os.getpid(), "outcome": acts.outcome(call.input)}
            return Reply(0, json.dumps(facts), None, None, None, 0, 0, "", "")

    def nothing(**_: object) -> None:
        return None

    def fail(*_: object) -> None:
        raise OSError(1, "no")

    def stall(_: bytes) -> bytes:
        time.sleep(60)
        return b""

    def leave_alone(connection: socket.socket, *_: object) -> socket.socket:
        return connection

    with ExitStack() as changes:
        match alteration:
            case "acting":
                changes.enter_context(patch.object(engine, "SkillEngine", ActingEngine))
            case "breathing":
                changes.enter_context(patch.dict(attempts.ATTEMPTS, {"breathe": lambda: True}))
            case "without-seccomp":
                changes.enter_context(patch.object(seccomp, "install", nothing))
            case "landlock-fails":
                changes.enter_context(patch.object(landlock, "deny_everything", fail))
            case "unconfined-scripts":
                changes.enter_context(patch.object(script_worker, "_confine", leave_alone))
            case "stalling":
                changes.enter_context(patch.object(engine, "compile_component", stall))
            case _:
                raise ValueError(alteration)
        sys.argv = [module, *arguments]
        runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
