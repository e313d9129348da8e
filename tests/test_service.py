"""The composition root: scopes, look-ups and decisions, whichever surface asks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest

from subgraph.errors import (
    CapabilityDenied,
    ExecutionFailed,
    Forbidden,
    GrantStale,
    InputInvalid,
    SkillRevoked,
)
from subgraph.principal import Principal, Scope
from subgraph.service import Service
from tests.support.postgres import empty_database
from tests.support.skills import OPERATOR, RunningService, component, service_in_process, skill_settings

METHODS: dict[str, tuple[Scope, Callable[[Service, Principal], Any]]] = {
    "skills": (Scope.READ, lambda service, who: service.skills(who)),
    "skill": (Scope.READ, lambda service, who: service.skill(who, "echo")),
    "activated": (Scope.READ, lambda service, who: service.activated(who, "echo")),
    "count_invocations": (Scope.READ, lambda service, who: service.count_invocations(who, ["echo"])),
    "revocation_of": (Scope.READ, lambda service, who: service.revocation_of(who, "echo")),
    "grants": (Scope.AUDIT, lambda service, who: service.grants(who)),
    "invocations": (Scope.AUDIT, lambda service, who: service.invocations(who, [uuid4()])),
    "invoke": (Scope.INVOKE, lambda service, who: service.invoke(who, "echo", {})),
    "grant": (Scope.GRANT, lambda service, who: service.grant(who, "echo", "read_file")),
    "reinstate": (Scope.GRANT, lambda service, who: service.reinstate(who, "echo", None)),
    "revoke": (Scope.GRANT, lambda service, who: service.revoke(who, "victim", None)),
}


@pytest.fixture(scope="module")
def running(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    home = tmp_path_factory.mktemp("home")
    with empty_database(server) as dsn, service_in_process(skill_settings(home, dsn)) as service:
        service.write("echo", tools="read_file", guest=component())
        service.write("victim", guest=component())
        yield service


def called(running: RunningService, name: str, who: Principal) -> Any:
    async def call() -> Any:
        outcome = METHODS[name][1](running.service, who)
        return await outcome if isinstance(outcome, Awaitable) else outcome

    return running.run(call())


def test_every_method_for_a_caller_is_checked_here() -> None:
    takes_principal = {
        name
        for name, method in vars(Service).items()
        if "principal" in getattr(method, "__annotations__", {})
    }
    assert takes_principal == set(METHODS)


@pytest.mark.parametrize("name", METHODS)
def test_each_method_needs_its_scope_alone(running: RunningService, name: str) -> None:
    scope = METHODS[name][0]
    before = len(running.entries())
    for scopes in (frozenset(), frozenset(Scope) - {scope}, frozenset({"skill", "skill:*", "admin", "*"})):
        with pytest.raises(Forbidden, match=f"needs the scope {scope}"):
            called(running, name, Principal("eve", scopes))
    assert len(running.entries()) == before
    called(running, name, Principal("ann", frozenset({scope})))


def test_grants_are_listed_for_one_skill_or_all(running: RunningService) -> None:
    for name in ("one", "two"):
        running.write(name, tools="read_file")
        running.run(running.service.grant(OPERATOR, name, " read_file "))
    one = running.run(running.service.grants(OPERATOR, "one"))
    assert [(grant.skill_path, grant.capability) for grant in one] == [("one", "read_file")]
    everything = running.run(running.service.grants(OPERATOR))
    assert {"one", "two"} <= {grant.skill_path for grant in everything}


def test_a_grant_of_a_skill_that_is_gone_is_not_valid(running: RunningService) -> None:
    directory = running.write("gone", tools="read_file")
    grant = running.run(running.service.grant(OPERATOR, "gone", "read_file"))
    assert running.run(running.service.is_valid(grant))
    directory.rename(running.settings.home / "gone")
    assert not running.run(running.service.is_valid(grant))


def test_what_is_not_declared_cannot_be_granted(running: RunningService) -> None:
    running.write("modest", tools="read_file(/data/*)")
    for capability in ("write_file", "read_file", "read_file(/etc/*)", "junk", ""):
        with pytest.raises(CapabilityDenied):
            running.run(running.service.grant(OPERATOR, "modest", capability))
    assert running.entries("modest") == []


def test_a_grant_is_refused_when_the_files_are_not_those_that_were_reviewed(running: RunningService) -> None:
    directory = running.write("reviewed", tools="read_file", guest=component())
    service = running.service
    reviewed = running.run(service.activated(OPERATOR, "reviewed")).content_hash
    (directory / "SKILL.md").write_text((directory / "SKILL.md").read_text() + "And more.\n")
    with pytest.raises(GrantStale, match="not what was reviewed"):
        running.run(service.grant(OPERATOR, "reviewed", "read_file", reviewed))
    assert running.run(service.grants(OPERATOR, "reviewed")) == []
    current = running.run(service.activated(OPERATOR, "reviewed")).content_hash
    granted = running.run(service.grant(OPERATOR, "reviewed", "read_file", current))
    assert granted.content_hash == current


def test_a_broken_skill_can_be_revoked(running: RunningService) -> None:
    directory = running.write("broken", guest=component())
    manifest = (directory / "SKILL.md").read_bytes()
    (directory / "SKILL.md").write_text("broken")
    assert running.run(running.service.revoke(OPERATOR, "broken", "x")).path == "broken"
    (directory / "SKILL.md").write_bytes(manifest)
    with pytest.raises(SkillRevoked, match="broken was revoked: x"):
        running.run(running.service.invoke(OPERATOR, "broken", {}))
    (revoked, refused) = running.entries("broken")
    assert (revoked["kind"], revoked["note"], revoked["contentHash"]) == ("skill.revoked", "x", "")
    assert refused["kind"] == "invocation.refused"


@pytest.mark.parametrize("note", ["\0", "\ud800", "x" * 2001])
def test_a_note_that_cannot_be_kept_revokes_nothing(running: RunningService, note: str) -> None:
    running.write("noted")
    with pytest.raises(InputInvalid, match="note"):
        running.run(running.service.revoke(OPERATOR, "noted", note))
    assert running.service.revocation_of(OPERATOR, "noted") is None


def test_too_many_capabilities_are_refused_not_cut(running: RunningService) -> None:
    with pytest.raises(InputInvalid, match="more than 64"):
        running.run(running.service.invoke(OPERATOR, "echo", {}, ["read_file"] * 65))


def test_it_is_ready_while_it_has_workers(running: RunningService, monkeypatch: pytest.MonkeyPatch) -> None:
    running.run(running.service.check_ready())
    monkeypatch.setattr(running.service._pool, "_workers", set())
    with pytest.raises(ExecutionFailed, match="no worker"):
        running.run(running.service.check_ready())


def test_a_revoked_skill_runs_again_once_it_is_reinstated(running: RunningService) -> None:
    running.write("returning", guest=component())
    service = running.service
    running.run(service.revoke(OPERATOR, "returning", "a doubt"))
    with pytest.raises(SkillRevoked, match="a doubt"):
        running.run(service.invoke(OPERATOR, "returning", {}))
    running.run(service.reinstate(OPERATOR, "returning", "no doubt"))
    running.run(service.reinstate(OPERATOR, "returning", "twice is harmless"))
    assert running.run(service.invoke(OPERATOR, "returning", {})).exit_code == 0
    kinds = [entry["kind"] for entry in running.entries("returning")]
    assert kinds == ["skill.revoked", "invocation.refused", "skill.reinstated", "invocation.finished"]


def test_a_request_for_an_unknown_capability_is_recorded(running: RunningService) -> None:
    running.write("asked-for-too-much", guest=component())
    with pytest.raises(CapabilityDenied):
        running.run(running.service.invoke(OPERATOR, "asked-for-too-much", {}, ["launch_rocket"]))
    (entry,) = running.entries("asked-for-too-much")
    assert (entry["kind"], entry["capabilities"]) == ("invocation.refused", ["launch_rocket"])
