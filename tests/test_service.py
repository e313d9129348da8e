"""The whole service: look-ups and decisions, whichever surface asks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from subgraph.errors import (
    CapabilityDenied,
    ExecutionFailed,
    GrantRequired,
    GrantStale,
    InputInvalid,
    SkillRevoked,
)
from tests.support.postgres import empty_database
from tests.support.skills import OPERATOR, RunningService, component, service_in_process, skill_settings


@pytest.fixture(scope="module")
def running(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    home = tmp_path_factory.mktemp("home")
    with empty_database(server) as dsn, service_in_process(skill_settings(home, dsn)) as service:
        service.write("echo", tools="read_file", guest=component())
        service.write("victim", guest=component())
        yield service


def test_grants_are_listed_for_one_skill_or_all(running: RunningService) -> None:
    for name in ("one", "two"):
        running.write(name, tools="read_file")
        running.run(running.service.oversight.grant(OPERATOR, name, " read_file "))
    one = running.run(running.service.oversight.grants(OPERATOR, "one"))
    assert [(grant.skill_path, grant.capability) for grant in one] == [("one", "read_file")]
    everything = running.run(running.service.oversight.grants(OPERATOR))
    assert {"one", "two"} <= {grant.skill_path for grant in everything}


def test_a_grant_of_a_skill_that_is_gone_is_not_valid(running: RunningService) -> None:
    directory = running.write("gone", tools="read_file")
    grant = running.run(running.service.oversight.grant(OPERATOR, "gone", "read_file"))
    assert running.run(running.service.oversight.is_valid(grant))
    directory.rename(running.settings.home / "gone")
    assert not running.run(running.service.oversight.is_valid(grant))


def test_what_is_not_declared_cannot_be_granted(running: RunningService) -> None:
    running.write("modest", tools="read_file(/data/*)")
    for capability in ("write_file", "read_file", "read_file(/etc/*)", "junk", ""):
        with pytest.raises(CapabilityDenied):
            running.run(running.service.oversight.grant(OPERATOR, "modest", capability))
    assert running.entries("modest") == []


def test_a_grant_is_refused_when_the_files_are_not_those_that_were_reviewed(running: RunningService) -> None:
    directory = running.write("reviewed", tools="read_file", guest=component())
    service = running.service
    reviewed = running.run(service.skills.read(OPERATOR, "reviewed")).content_hash
    (directory / "SKILL.md").write_text((directory / "SKILL.md").read_text() + "And more.\n")
    with pytest.raises(GrantStale, match="not what was reviewed"):
        running.run(service.oversight.grant(OPERATOR, "reviewed", "read_file", reviewed))
    assert running.run(service.oversight.grants(OPERATOR, "reviewed")) == []
    current = running.run(service.skills.read(OPERATOR, "reviewed")).content_hash
    granted = running.run(service.oversight.grant(OPERATOR, "reviewed", "read_file", current))
    assert granted.content_hash == current


def test_a_broken_skill_can_be_revoked(running: RunningService) -> None:
    directory = running.write("broken", guest=component())
    manifest = (directory / "SKILL.md").read_bytes()
    (directory / "SKILL.md").write_text("broken")
    assert running.run(running.service.oversight.revoke(OPERATOR, "broken", "x")).path == "broken"
    (directory / "SKILL.md").write_bytes(manifest)
    with pytest.raises(SkillRevoked, match="broken was revoked: x"):
        running.run(running.service.runner.invoke(OPERATOR, "broken", {}))
    (revoked, refused) = running.entries("broken")
    assert (revoked["kind"], revoked["note"], revoked["contentHash"]) == ("skill.revoked", "x", "")
    assert refused["kind"] == "invocation.refused"


@pytest.mark.parametrize("note", ["\0", "\ud800", "x" * 2001])
def test_a_note_that_cannot_be_kept_revokes_nothing(running: RunningService, note: str) -> None:
    running.write("noted")
    with pytest.raises(InputInvalid, match="note"):
        running.run(running.service.oversight.revoke(OPERATOR, "noted", note))
    assert running.service.oversight.revocation_of(OPERATOR, "noted") is None


def test_too_many_capabilities_are_refused_not_cut(running: RunningService) -> None:
    with pytest.raises(InputInvalid, match="more than 64"):
        running.run(running.service.runner.invoke(OPERATOR, "echo", {}, ["read_file"] * 65))
    with pytest.raises(GrantRequired):
        running.run(running.service.runner.invoke(OPERATOR, "echo", {}, ["read_file"] * 64))


def test_a_timeout_has_bounds(running: RunningService) -> None:
    for within in (10, 600_000):
        running.run(running.service.runner.invoke(OPERATOR, "echo", {}, timeout_ms=within))
    for beyond in (9, 600_001):
        with pytest.raises(InputInvalid, match="within 10 and 600000 ms"):
            running.run(running.service.runner.invoke(OPERATOR, "echo", {}, timeout_ms=beyond))


def test_it_is_ready_while_it_has_workers(running: RunningService, monkeypatch: pytest.MonkeyPatch) -> None:
    running.run(running.service.check_ready())
    monkeypatch.setattr(running.service._runtime.pool._lanes, "_workers", set())
    with pytest.raises(ExecutionFailed, match="no worker"):
        running.run(running.service.check_ready())


def test_a_revoked_skill_runs_again_once_it_is_reinstated(running: RunningService) -> None:
    running.write("returning", guest=component())
    service = running.service
    running.run(service.oversight.revoke(OPERATOR, "returning", "a doubt"))
    with pytest.raises(SkillRevoked, match="a doubt"):
        running.run(service.runner.invoke(OPERATOR, "returning", {}))
    running.run(service.oversight.reinstate(OPERATOR, "returning", "no doubt"))
    running.run(service.oversight.reinstate(OPERATOR, "returning", "twice is harmless"))
    assert running.run(service.runner.invoke(OPERATOR, "returning", {})).exit_code == 0
    kinds = [entry["kind"] for entry in running.entries("returning")]
    assert kinds == ["skill.revoked", "invocation.refused", "skill.reinstated", "invocation.finished"]


def test_a_request_for_an_unknown_capability_is_recorded(running: RunningService) -> None:
    running.write("asked-for-too-much", guest=component())
    with pytest.raises(CapabilityDenied):
        running.run(running.service.runner.invoke(OPERATOR, "asked-for-too-much", {}, ["launch_rocket"]))
    (entry,) = running.entries("asked-for-too-much")
    assert (entry["kind"], entry["capabilities"]) == ("invocation.refused", ["launch_rocket"])


def test_a_grant_that_an_older_version_made_can_be_taken_back(running: RunningService) -> None:
    running.write("older", tools="read_file")
    authority, oversight = running.service._authority, running.service.oversight
    running.run(authority.grant("older", ["dial(555)"], "sha256:0", "ann"))
    with pytest.raises(InputInvalid, match=r"'dial\(\\x00\)' was not granted to older; it was granted dial"):
        running.run(oversight.revoke_capability(OPERATOR, "older", "dial(\0)"))
    taken = running.run(oversight.revoke_capability(OPERATOR, "older", " dial(555) "))
    assert (taken.capability, authority.grants_of("older")) == ("dial(555)", {})


def test_a_limit_that_cannot_be_is_told_what_can(running: RunningService) -> None:
    oversight = running.service.oversight
    with pytest.raises(InputInvalid, match="there is no limit 'files'; there are time_ms, memory_bytes"):
        running.run(oversight.limit(OPERATOR, "echo", {"files": 1}))
    with pytest.raises(InputInvalid, match="time_ms must be within 10 and 600000"):
        running.run(oversight.limit(OPERATOR, "echo", {"time_ms": 0}))
