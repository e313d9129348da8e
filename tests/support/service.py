"""The service as its users run it: `python -m subgraph` in a process of its own, on a free port."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.support.npm import npm_ci, require
from tests.support.parity import executable_skills
from tests.support.toolchain import ROOT, build_skill

READY_SECONDS = 60.0
"""A start takes about a second; a loaded machine of two cores takes several times that."""
STOP_SECONDS = 30.0

MST_SKILL = ROOT / "skills" / "cyberskill-vn" / "vn-mst-validate"
GRAPHIQL = ROOT / "web" / "graphiql"

_READY = re.compile(r"^ready (http://\S+)/graphql$", re.MULTILINE)


def build_everything() -> None:
    """Build what the service serves: GraphiQL and the skills. Does nothing when it is built."""
    npm_ci(GRAPHIQL)
    subprocess.run([require("node"), GRAPHIQL / "build.mjs"], check=True, capture_output=True)
    for skill in executable_skills():
        build_skill(skill)


class ServiceProcess:
    """A running service: where it answers, its process and its log."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self.log = log
        self.url = ""

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            found = _READY.search(self.log.read_text())
            if found:
                self.url = found[1]
                return
            assert self.process.poll() is None, f"the service did not start:\n{self.log.read_text()}"
            time.sleep(0.02)
        raise AssertionError(f"the service was not ready in {READY_SECONDS} s:\n{self.log.read_text()}")


@contextmanager
def running_service(environment: Mapping[str, str]) -> Iterator[ServiceProcess]:
    """Run the service with these `CYBEROS_*` settings and nothing else of them; stop it at the end."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("CYBEROS_")}
    with tempfile.TemporaryDirectory(prefix="cyberos-log-") as directory:
        log = Path(directory) / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "subgraph"],
                cwd=ROOT,
                env={**inherited, "CYBEROS_PORT": "0", **environment},
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        service = ServiceProcess(process, log)
        try:
            service.wait_until_ready()
            yield service
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise
