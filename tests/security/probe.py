"""Perform acts in forked, confined children, and report what came of each.

A program of its own, so that the children are forks of a process with one thread. `outcomes` runs it.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).parents[2]

LANDLOCK, SECCOMP = "landlock", "seccomp"
BOTH = (LANDLOCK, SECCOMP)

_SECONDS = 60


def outcomes(
    acts: Iterable[str],
    layers: Iterable[str],
    *,
    executable_memory: bool = False,
    environment: dict[str, str] | None = None,
) -> dict[str, str]:
    """Perform each act in a child with these layers; an act that ends its child has the signal's name."""
    order = {"acts": list(acts), "layers": list(layers), "executable_memory": executable_memory}
    done = subprocess.run(
        [sys.executable, "-m", "tests.security.probe"],
        input=json.dumps(order),
        capture_output=True,
        text=True,
        check=False,
        timeout=_SECONDS,
        cwd=ROOT,
        env=environment or {},
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, str] = json.loads(done.stdout)
    return result


def main() -> None:
    order = json.loads(sys.stdin.read())
    answers = {act: _in_a_child(act, order["layers"], order["executable_memory"]) for act in order["acts"]}
    json.dump(answers, sys.stdout)


def _in_a_child(act: str, layers: list[str], executable_memory: bool) -> str:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _perform(act, layers, executable_memory, writing)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        answer = pipe.read() if select.select([pipe], [], [], 10)[0] else "hung"
    if answer == "hung":
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else answer


def _perform(act: str, layers: list[str], executable_memory: bool, pipe: int) -> NoReturn:
    try:
        # Imported by the child: what it looks up beforehand is its own.
        from subgraph.execution.confinement import confine_files, filter_system_calls
        from tests.security import acts

        waiting = threading.Event()
        early = threading.Thread(target=waiting.wait, daemon=True)
        if LANDLOCK in layers:
            confine_files()
        early.start()
        if SECCOMP in layers:
            filter_system_calls(executable_memory=executable_memory)
        os.write(pipe, acts.outcome(act).encode())
        waiting.set()
    except BaseException as error:  # noqa: BLE001 - whatever it was, the test must hear of it
        os.write(pipe, f"{type(error).__name__}: {error}".encode())
    finally:
        os._exit(0)


if __name__ == "__main__":
    main()
