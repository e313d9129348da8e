"""Every escape attempt, by a script in a confined worker: none gets what it tries for.

And the negative control: the same sources, run as ordinary processes of this user, escape. So the sources
try what they say, and the test would notice if one succeeded.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from subgraph.execution.limits import ExitCode, Limits
from subgraph.execution.protocol import HostCall, Reply
from subgraph.execution.worker_process import RunEnds
from tests.execution.pools import is_dead, open_descriptors, process_file
from tests.execution.scripts import ECHO, Scripts, scripts, zygote_pid
from tests.security.altered import alter
from tests.security.attempt_ground import VARIABLE, Ground, access_of, ground
from tests.security.attempts.limits import MEMORY_BYTES
from tests.security.script_attempts import ATTEMPTS, ENDLESS, Control, Grant, ScriptAttempt
from tests.support.guests import MIB
from tests.support.kernel import needs_script_confinement

pytestmark = needs_script_confinement

LIMITS = Limits(time_ms=1500, memory_bytes=MEMORY_BYTES, output_bytes=MIB)

_CAP_SYS_ADMIN = 1 << 21


def is_root() -> bool:
    """Whether this process may administer the system; a container's root may not."""
    status = dict(line.split(":\t", 1) for line in process_file(os.getpid(), "status").splitlines())
    return bool(int(status["CapEff"], 16) & _CAP_SYS_ADMIN)


SHOWN = {
    name: attempt
    for name, attempt in ATTEMPTS.items()
    if attempt.control is Control.ANYBODY or (attempt.control is Control.ROOT and is_root())
}

EACH = pytest.mark.parametrize("attempt", ATTEMPTS.values(), ids=ATTEMPTS)
EACH_SHOWN = pytest.mark.parametrize("attempt", SHOWN.values(), ids=SHOWN)


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scripts]:
    with scripts(tmp_path_factory.mktemp("skills"), size=2) as opened:
        yield opened


@pytest.fixture(scope="module")
def targets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    with ground(tmp_path_factory.mktemp("ground")) as made:
        yield made


async def denies(call: HostCall) -> list[object]:
    """Answer a host call as the service does when the skill has no capability."""
    raise RunEnds(ExitCode.VIOLATION, "CAPABILITY_DENIED", f"the skill has no {call.name}")


def escaped(text: str | bytes | None) -> bool:
    """Whether a script says so."""
    try:
        answer = json.loads(text or "null")
    except ValueError:
        return False
    return isinstance(answer, dict) and answer.get("escaped") is True


def attempts_twice(pool: Scripts, targets: Ground, attempt: ScriptAttempt) -> list[Reply]:
    script = pool.write(attempt.source)
    before = {path: path.read_bytes() for path in script.snapshot.rglob("*") if path.is_file()}
    targets.prepare()
    access, input_ = access_of(attempt.grant, targets), json.dumps(targets.input())
    limits = replace(LIMITS, time_ms=attempt.time_ms)
    replies = [pool.run(script, input_, limits=limits, access=access, host=denies) for _ in range(2)]
    assert {path: path.read_bytes() for path in script.snapshot.rglob("*") if path.is_file()} == before
    return replies


@EACH
def test_no_attempt_escapes(pool: Scripts, targets: Ground, attempt: ScriptAttempt) -> None:
    zygote = zygote_pid(pool.pool)
    descriptors = open_descriptors()
    for reply in attempts_twice(pool, targets, attempt):
        assert not escaped(reply.output), reply
        assert not escaped(reply.stdout), reply
        assert reply.exit_code in {0, 1, 124, 126, 137}, reply
    assert targets.touched() == []
    assert open_descriptors() == descriptors
    assert zygote_pid(pool.pool) == zygote
    assert not is_dead(zygote)
    assert pool.answer(ECHO, '{"after": 1}') == '{"after": 1}'


def test_there_are_enough_of_every_kind() -> None:
    assert len(ATTEMPTS) >= 200
    assert len(SHOWN) >= 120
    assert {attempt.grant for attempt in ATTEMPTS.values()} == set(Grant)
    assert set(ATTEMPTS) >= ENDLESS


def unconfined(
    targets: Ground, attempt: ScriptAttempt, directory: Path
) -> list[subprocess.CompletedProcess[bytes]]:
    """Run it once, and once more if it has not escaped: some wait for what the first run left behind."""
    script = directory / "scripts" / "main.py"
    script.parent.mkdir(exist_ok=True)
    script.write_text(attempt.source)
    runs: list[subprocess.CompletedProcess[bytes]] = []
    while len(runs) < 2 and not any(map(has_escaped, runs)):
        runs.append(
            subprocess.run(
                [sys.executable, "-B", script],
                input=json.dumps(targets.input()).encode(),
                capture_output=True,
                check=False,
                cwd=script.parent if attempt.grant is Grant.NOTHING else targets.granted,
                env={VARIABLE: os.environ[VARIABLE]},
                start_new_session=True,
                timeout=20,
            )
        )
    return runs


def has_escaped(run: subprocess.CompletedProcess[bytes]) -> bool:
    """Whether a process says so in its last line."""
    return escaped(run.stdout.splitlines()[-1] if run.stdout else b"")


@EACH_SHOWN
def test_without_confinement_it_escapes(targets: Ground, attempt: ScriptAttempt, tmp_path: Path) -> None:
    targets.prepare()
    try:
        ended = unconfined(targets, attempt, tmp_path)
    finally:
        targets.touched()  # take the connections that were made
        targets.clean_up()
    assert any(map(has_escaped, ended)), ended


def test_a_change_outside_is_noticed(targets: Ground) -> None:
    targets.prepare()
    assert targets.touched() == []
    (targets.outside / "new").write_text("")
    assert targets.touched() == ["new"]


SEEN = [
    "files: absolute path",
    "files: file outside",
    "files: bytes as a path",
    "files: procfs root",
    "network: connect by TCP",
    "network: connect to a UNIX socket",
    "processes: fork",
    "processes: execute by subprocess",
    "processes: read the memory of a process",
    "kernel: memory with a descriptor",
    "limits: descriptors",
    "worker: next run: a file in the directory of temporary files",
]


def test_a_worker_that_is_not_confined_is_caught(
    targets: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alter(monkeypatch, tmp_path, "unconfined-scripts")
    (tmp_path / "skills").mkdir()
    with scripts(tmp_path / "skills") as altered:
        for name in SEEN:
            try:
                replies = attempts_twice(altered, targets, ATTEMPTS[name])
            finally:
                reached = targets.touched()
                targets.clean_up()
            assert any(escaped(reply.output) for reply in replies), (name, replies)
            if name in {"files: file outside", "network: connect by TCP"}:
                assert reached


def test_an_answer_is_an_escape_when_it_says_so() -> None:
    assert escaped('{"escaped": true, "got": 1}')
    for text in ('{"escaped": false}', '{"escaped": 1}', "true", "", "{", None):
        assert not escaped(text)
