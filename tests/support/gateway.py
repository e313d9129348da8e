"""The Node.js side of the federation tests: composition, and servers that live as long as a `with`."""

from __future__ import annotations

import os
import re
import selectors
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import yaml

from tests.support.npm import npm_ci, require

ROOT = Path(__file__).parents[2]
COMPOSER_DIR = ROOT / "docker" / "supergraph"
FEDERATION_DIR = ROOT / "tests" / "federation"

READY_LINE = re.compile(rb"^ready (?P<address>\S+)$", re.MULTILINE)

READY_SECONDS = 60.0
"""A gateway is up in one or two seconds; a loaded machine of two cores takes several times that."""
STOP_SECONDS = 5.0
COMPOSE_SECONDS = 60.0


class CompositionError(Exception):
    """The subgraphs do not compose; the message lists why."""


def compose(supergraph_yaml: Path) -> str:
    """Compose the subgraphs of a `supergraph.yaml`; return the supergraph's SDL."""
    npm_ci(COMPOSER_DIR)
    outcome = subprocess.run(
        [require("node"), COMPOSER_DIR / "compose.mjs", supergraph_yaml],
        capture_output=True,
        text=True,
        timeout=COMPOSE_SECONDS,
        check=False,
    )
    if outcome.returncode != 0:
        raise CompositionError(outcome.stderr)
    return outcome.stdout


def write_supergraph_yaml(path: Path, subgraphs: Mapping[str, tuple[str, Path]]) -> Path:
    """Write rover's configuration for subgraphs given as name → (address, schema file)."""
    document = {
        "federation_version": "2",
        "subgraphs": {
            name: {"routing_url": url, "schema": {"file": os.fspath(schema)}}
            for name, (url, schema) in subgraphs.items()
        },
    }
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return path


@contextmanager
def node_server(script: str, *arguments: str | Path) -> Iterator[str]:
    """Run a server of `tests/federation` and yield its address; leaving stops it."""
    npm_ci(FEDERATION_DIR)
    command = [
        require("node"),
        os.fspath(FEDERATION_DIR / script),
        *(os.fspath(argument) for argument in arguments),
    ]
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8") as log,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log) as process,
    ):
        try:
            yield _ready_address(process, log)
        finally:
            _stop(process)


def _ready_address(process: subprocess.Popen[bytes], log: IO[str]) -> str:
    """Wait for the line `ready <address>`; raise with the server's own words if it does not come."""
    assert process.stdout is not None
    deadline = time.monotonic() + READY_SECONDS
    output = b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while selector.select(deadline - time.monotonic()):
            chunk = os.read(process.stdout.fileno(), 4096)
            if not chunk:
                break
            output += chunk
            if (ready := READY_LINE.search(output)) is not None:
                return ready["address"].decode()
    log.seek(0)
    raise RuntimeError(f"the server did not get ready:\n{output.decode()}\n{log.read()[-4000:]}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Close the server's standard input, which ends it; kill it if it stays."""
    assert process.stdin is not None
    process.stdin.close()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
