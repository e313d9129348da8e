"""Every attempt of a WebAssembly skill, through the whole service: none succeeds, and each is recorded."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest

from subgraph.errors import ExecutionFailed, SourceInvalid
from subgraph.execution.engine import EngineProfile, machine_code_key
from subgraph.execution.invocation import Invocation
from tests.security.attempt_worlds import CANARY, INSIDE, Attempt, World
from tests.security.descriptor_attempts import exchange, opens_and_reads, swapping
from tests.security.wasi_attempts import FILES_GUEST
from tests.security.wasm_attempts import ATTEMPTS, CONTROLS
from tests.support import guests
from tests.support.kernel import needs_landlock
from tests.support.postgres import empty_database
from tests.support.skills import (
    OPERATOR,
    RunningService,
    component,
    service_in_process,
    skill_settings,
    write_skill,
)
from tests.support.wasi_guest import Outcome, Program

pytestmark = needs_landlock

TIME_LIMIT_MS = 1000

ENDLESS_MS = 300
"""Of those that the time limit alone ends."""

ENDLESS = frozenset({
    "component-sleeps", "component-endless-loop", "component-endless-loop-of-one-instruction",
    "component-start-function-loops", "component-post-return-loops", "component-realloc-loops",
    "component-table-grows",
})  # fmt: skip

_EVERYTHING = {**ATTEMPTS, **{name: attempt for name, (attempt, _) in CONTROLS.items()}}


@pytest.fixture(scope="module")
def running(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    home = tmp_path_factory.mktemp("home")
    with empty_database(server) as dsn:
        settings = skill_settings(home, dsn, time_limit_ms=TIME_LIMIT_MS)
        for name, attempt in _EVERYTHING.items():
            guest = attempt.guest if isinstance(attempt.guest, bytes) else component(attempt.guest)
            guest += bytes(attempt.padding)
            root = settings.skill_roots[0] if attempt.trusted else settings.installed_skills_dir
            write_skill(root, f"a/{name}", tools=" ".join(_capabilities(attempt, name)), guest=guest)
        with service_in_process(settings) as service:
            yield service


def _capabilities(attempt: Attempt, name: str) -> list[str]:
    return [grant.replace("{name}", name) for grant in attempt.grants]


def breaches(running: RunningService, name: str, attempt: Attempt) -> list[str]:
    """Make an attempt; say in what it succeeded, or ended otherwise than it must."""
    world = World(running.settings.workspace_dir, running.settings.home / "outside", name)
    attempt.prepare(world)
    for capability in _capabilities(attempt, name):
        running.run(running.service.oversight.grant(OPERATOR, name, capability))
    limits = {"time_ms": ENDLESS_MS} if name in ENDLESS else attempt.limits
    if limits:
        running.run(running.service.oversight.limit(OPERATOR, name, limits))
    program = Program() if attempt.build is None else attempt.build(world)
    before = world.state(inside=not attempt.writes)
    invocation: Invocation | None = None
    found: list[str] = []
    with attempt.meanwhile(world):
        try:
            invocation = running.run(running.service.runner.invoke(OPERATOR, name, program.input))
        except (SourceInvalid, ExecutionFailed) as refusal:
            found = ["read the canary"] * (CANARY in refusal.message)
    if invocation is not None:
        found = _breaches_of_run(attempt, program, invocation)
    elif attempt.exit_codes:
        found.append("was refused")
    if world.state(inside=not attempt.writes) != before:
        found.append("changed what lies outside")
    return found


def _breaches_of_run(attempt: Attempt, program: Program, invocation: Invocation) -> list[str]:
    if not attempt.exit_codes:
        return ["was not refused"]
    found = []
    if invocation.exit_code not in attempt.exit_codes:
        found.append(f"ended with {invocation.exit_code}")
    told = [str(invocation.stdout), str(invocation.stderr), str(invocation.result), str(invocation.error)]
    outcomes: list[Outcome] = []
    if attempt.build is not None and invocation.exit_code == 0:
        outcomes = program.outcomes(invocation.result)
    shown = [outcome.shown for outcome in outcomes]
    if any(CANARY in text for text in told) or any(CANARY.encode() in part for part in shown):
        found.append("read the canary")
    done = {outcome.step for outcome in outcomes if outcome.ok}
    found += [f"{step} was not reached" for step in attempt.reached if step not in done]
    for step in attempt.denied:
        of_step = [outcome for outcome in outcomes if outcome.step == step]
        if any(outcome.ok for outcome in of_step):
            found.append(f"{step} was not denied")
        elif not of_step and not any(outcome.step in attempt.denied for outcome in outcomes):
            found.append(f"{step} was not tried")
    return found


@pytest.mark.parametrize("name", ATTEMPTS)
def test_no_attempt_succeeds_and_each_is_recorded(running: RunningService, name: str) -> None:
    attempt = ATTEMPTS[name]
    assert breaches(running, name, attempt) == []
    entries = running.entries(f"a/{name}")
    wanted = attempt.kind if attempt.exit_codes or attempt.kind is None else "invocation.refused"
    recorded = [entry for entry in entries if entry["kind"] == wanted]
    assert len(recorded) == (wanted is not None)
    if attempt.limits_hit is not None:
        assert tuple(recorded[0]["limitsHit"]) == attempt.limits_hit


@pytest.mark.parametrize("name", CONTROLS)
def test_a_success_would_be_seen(running: RunningService, name: str) -> None:
    attempt, seen = CONTROLS[name]
    assert breaches(running, name, attempt) == [seen]


def test_there_are_attempts_of_every_kind() -> None:
    assert len(ATTEMPTS) >= 60
    assert set(ATTEMPTS) >= ENDLESS
    assert not any(ATTEMPTS[name].limits for name in ENDLESS)
    assert len({name.partition("-")[0] for name in ATTEMPTS}) >= 8


def test_a_directory_above_the_granted_one_that_becomes_a_link_is_no_way_out(running: RunningService) -> None:
    """`mid` is a directory when the grant is looked at, and may be a link when the worker opens the rest."""
    world = World(running.settings.workspace_dir, running.settings.home / "outside", "above")
    mid, other = world.place / "mid", world.place / "other"
    for directory, text in ((mid / "open", INSIDE), (world.private / "open", CANARY)):
        directory.mkdir(parents=True)
        (directory / "canary").write_text(text)
    other.symlink_to(world.private)
    capability = "read_file(above/mid/open/**)"
    running.write("above", tools=capability, guest=component(FILES_GUEST))
    running.run(running.service.oversight.grant(OPERATOR, "above", capability))
    program = opens_and_reads("canary")(world)

    def read() -> bytes:
        try:
            answer = running.run(running.service.runner.invoke(OPERATOR, "above", program.input))
        except ExecutionFailed:  # the directory was not where it had been
            return b""
        outcomes = program.outcomes(answer.result) if answer.exit_code == 0 else []
        return b"".join(outcome.shown for outcome in outcomes if outcome.step == "read")

    with swapping(mid, other):
        found = {read() for _ in range(40)}
    assert found <= {b"", INSIDE.encode()}
    if mid.is_symlink():
        exchange(mid, other)
    assert read() == INSIDE.encode()


def test_machine_code_of_another_component_is_not_run_for_this_one(running: RunningService) -> None:
    """Whoever can write to the cache puts machine code there that this very service has compiled."""
    mine, other = component(guests.answers(5)), component(guests.answers(6))
    keys = [machine_code_key(hashlib.sha256(each).hexdigest(), EngineProfile.OPEN) for each in (mine, other)]
    for name, guest in (("poisoned", mine), ("poison", other)):
        running.write(name, guest=guest)
        running.run(running.service.runner.invoke(OPERATOR, name, {}))
    poisoned, poison = (running.settings.machine_code_dir / f"{key}.cwasm" for key in keys)
    poisoned.write_bytes(poison.read_bytes())
    running.run(running.service._runtime.pool.unload(keys[0]))
    assert running.run(running.service.runner.invoke(OPERATOR, "poisoned", {})).stdout == "xxxxx"
    assert poisoned.read_bytes() != poison.read_bytes()
