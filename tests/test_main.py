"""`python -m subgraph` as it is run: it says when it can answer, stops when told, and explains itself."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from subgraph.__main__ import _listen
from subgraph.api.http_protocol import HEAD_BYTES_LIMIT
from tests.support.service import running_service
from tests.support.toolchain import ROOT


def attempt(**settings: str) -> subprocess.CompletedProcess[str]:
    """Start the service with settings that it must refuse."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("CYBEROS_")}
    return subprocess.run(
        [sys.executable, "-m", "subgraph"],
        cwd=ROOT,
        env={**inherited, **settings},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def children(pid: int) -> set[int]:
    """All processes below one."""
    below: set[int] = set()
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in map(int, (task / "children").read_text().split()):
            below |= {child} | children(child)
    return below


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_it_answers_once_it_says_ready_and_leaves_nothing_behind(dsn: str, tmp_path: Path) -> None:
    environment = {"CYBEROS_HOME": str(tmp_path), "CYBEROS_DATABASE_URL": dsn, "CYBEROS_WORKERS": "2"}
    with running_service(environment) as service:
        response = httpx.post(f"{service.url}/graphql", json={"query": "{ __typename }"})
        assert response.json() == {"data": {"__typename": "Query"}}
        assert "server" not in response.headers
        assert httpx.get(f"{service.url}/readyz").status_code == 200
        started = children(service.process.pid)
        assert len(started) >= 3  # a zygote and two workers
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(30) in (0, -signal.SIGTERM)
        assert [pid for pid in started if alive(pid)] == []
        assert "Traceback" not in service.log.read_text()


def test_a_port_that_is_taken_is_said_and_nothing_is_started(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = attempt(CYBEROS_PORT=str(port), CYBEROS_HOME=str(tmp_path / "home"))
    assert ended.returncode == 2
    assert ended.stderr.strip().endswith(f"cannot start: 127.0.0.1:{port}: Address already in use")
    assert ended.stdout == ""
    assert not (tmp_path / "home").exists()


def test_one_alone_has_a_port_from_the_start() -> None:
    with _listen("127.0.0.1", 0) as first, pytest.raises(OSError, match="Address already in use"):
        _listen("127.0.0.1", first.getsockname()[1])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"CYBEROS_PORT": "http"}, "CYBEROS_PORT: Input should be a valid integer"),
        ({"CYBEROS_HOST": "192.0.2.1"}, "refusing to listen on 192.0.2.1 without authentication"),
        ({"CYBEROS_JWT_KEY": "s" * 32}, "CYBEROS_JWT_AUDIENCE must name this service"),
        ({"CYBEROS_JWT_AUDIENCE": "a"}, "CYBEROS_JWT_AUDIENCE is for authentication"),
        (
            {"CYBEROS_PORT": "0", "CYBEROS_HOME": "/proc/nope"},
            "cannot start: CYBEROS_HOME: /proc/nope cannot be made",
        ),
        (
            {"CYBEROS_JWT_KEY": "short", "CYBEROS_JWT_AUDIENCE": "a"},
            "CYBEROS_JWT_KEY needs at least 32 bytes",
        ),
        ({"CYBEROS_JWKS_URL": "x", "CYBEROS_JWT_AUDIENCE": "a"}, "CYBEROS_JWKS_URL must be an address"),
    ],
)
def test_a_setting_that_cannot_be_is_said(settings: dict[str, str], message: str) -> None:
    ended = attempt(**settings)
    assert ended.returncode == 2
    assert message in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "s" * 32 not in ended.stderr


def test_ctrl_c_ends_it_without_a_traceback(dsn: str, built: None, tmp_path: Path) -> None:
    settings = {"CYBEROS_HOME": str(tmp_path), "CYBEROS_DATABASE_URL": dsn}
    with running_service(settings) as service:
        service.process.send_signal(signal.SIGINT)
        assert service.process.wait(30) == 0
        assert "Traceback" not in service.log.read_text()


def test_a_start_without_its_database_is_one_line() -> None:
    ended = attempt(CYBEROS_DATABASE_URL="postgresql://nobody:hidden@127.0.0.1:1/none")
    assert ended.returncode == 1
    assert "cannot start: STORAGE_UNAVAILABLE: The database cannot be reached" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "hidden" not in ended.stderr


def test_a_setting_that_is_misspelt_is_refused() -> None:
    ended = attempt(CYBEROS_PRT="7")
    assert ended.returncode == 2
    assert ended.stderr.strip() == "CYBEROS_PRT: no such setting; docs/settings.md lists them"


def test_headers_without_end_close_the_connection(service_url: str) -> None:
    port = int(service_url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(b"POST /graphql HTTP/1.1\r\nhost: 127.0.0.1\r\n")
        answer = b""
        with contextlib.suppress(ConnectionError):
            for _ in range(200):
                connection.sendall(b"a: b\r\n" * 1000)
        with contextlib.suppress(ConnectionError):
            answer = connection.recv(1000)
        assert answer.startswith(b"HTTP/1.1 431") or not answer
    assert httpx.get(f"{service_url}/healthz").status_code == 200


def test_headers_up_to_the_limit_are_read(service_url: str) -> None:
    headers = {"x-long": "x" * (HEAD_BYTES_LIMIT - 1000)}
    assert httpx.get(f"{service_url}/healthz", headers=headers).status_code == 200
