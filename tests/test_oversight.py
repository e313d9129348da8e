"""Decisions of people: what they rest on, what they change, and what the ledger says of them."""

from __future__ import annotations

import pytest

from subgraph.capabilities import RequestState, TrustTier
from subgraph.errors import (
    CapabilityDenied,
    ExecutionFailed,
    GrantRequired,
    GrantStale,
    InputInvalid,
    SkillNotFound,
)
from subgraph.execution.invocation import Executor
from subgraph.execution.tiers import (
    UNTRUSTED_FUEL,
    UNTRUSTED_HOST_CALLS,
    UNTRUSTED_MEMORY_BYTES,
    UNTRUSTED_TIME_MS,
    VERIFIED_FUEL,
)
from tests.support import guests
from tests.support.host_calls import calls, host_caller
from tests.support.skills import OPERATOR, RunningService, component, write_skill

SCRIPT = "metadata:\n  cyberos-script: scripts/main.py"
FILES = {"scripts/main.py": b"print(1)\n"}


def stranger(running: RunningService, name: str, **what: object) -> None:
    """Write a skill that the operator has not chosen."""
    write_skill(running.settings.installed_skills_dir, name, **what)  # type: ignore[arg-type]
    running.run(running.service._catalog.scan())


def kinds(running: RunningService, name: str) -> list[str]:
    return [entry["kind"] for entry in running.entries(name)]


def test_what_is_declared_is_shown_with_what_became_of_it(running: RunningService) -> None:
    running.write(
        "shown", tools="read_file(a/**) list_dir(a) Bash(git:*) fetch_url(nonsense)", guest=component()
    )
    oversight = running.service.oversight
    running.run(oversight.grant(OPERATOR, "shown", "read_file(a/**)"))
    with pytest.raises(GrantRequired):
        running.run(running.service.runner.invoke(OPERATOR, "shown", {}, ["list_dir(a)"]))
    read, listed, foreign, malformed = running.run(oversight.declared(OPERATOR, "shown"))
    assert read.grant is not None
    assert (listed.grant, listed.request is not None) == (None, True)
    assert foreign.problem is not None
    assert malformed.problem is not None
    assert "a" in read.description


def test_a_changed_skill_shows_what_it_declares_more_and_less(running: RunningService) -> None:
    running.write("changing", tools="read_file(a/**) list_dir(a)", guest=component())
    oversight = running.service.oversight
    running.run(oversight.grant_all(OPERATOR, "changing"))
    running.write("changing", tools="read_file(a/**) write_file(b/**)", guest=component())
    changes = running.run(oversight.changes(OPERATOR, "changing"))
    assert list(map(str, changes.added)) == ["write_file(b/**)"]
    assert list(map(str, changes.removed)) == ["list_dir(a)"]
    assert list(map(str, changes.kept)) == ["read_file(a/**)"]
    with pytest.raises(GrantStale, match=r"now also declares write_file\(b/\*\*\)") as caught:
        running.run(running.service.runner.invoke(OPERATOR, "changing", {}))
    assert "no longer declares list_dir(a)" in caught.value.message


def test_all_that_can_be_granted_is_granted_at_once(running: RunningService) -> None:
    running.write("approved", tools="read_file(a/**) Bash list_dir(a)", guest=component())
    grants = running.run(running.service.oversight.grant_all(OPERATOR, "approved"))
    assert [each.capability for each in grants] == ["read_file(a/**)", "list_dir(a)"]
    assert kinds(running, "approved") == ["grant.created", "grant.created"]
    answer = running.run(running.service.runner.invoke(OPERATOR, "approved", {}))
    assert set(answer.capabilities) == {"read_file(a/**)", "list_dir(a)"}


def test_a_decision_is_for_the_bytes_that_were_reviewed(running: RunningService) -> None:
    running.write("reviewed", tools="read_file", guest=component())
    oversight, other = running.service.oversight, "sha256:" + "0" * 64
    for decision in (
        oversight.grant(OPERATOR, "reviewed", "read_file", other),
        oversight.grant_all(OPERATOR, "reviewed", other),
        oversight.trust(OPERATOR, "reviewed", TrustTier.UNTRUSTED, other),
    ):
        with pytest.raises(GrantStale, match="is not what was reviewed"):
            running.run(decision)
    assert running.entries("reviewed") == []


def test_one_capability_is_taken_back_and_the_others_stay(running: RunningService) -> None:
    running.write("narrowed", tools="read_file(a/**) list_dir(a)", guest=component())
    oversight = running.service.oversight
    running.run(oversight.grant_all(OPERATOR, "narrowed"))
    taken = running.run(oversight.revoke_capability(OPERATOR, "narrowed", "list_dir(a)"))
    assert taken.capability == "list_dir(a)"
    assert kinds(running, "narrowed")[-1] == "grant.revoked"
    answer = running.run(running.service.runner.invoke(OPERATOR, "narrowed", {}))
    assert answer.capabilities == ("read_file(a/**)",)
    with pytest.raises(InputInvalid, match=r"it was granted read_file\(a/\*\*\)"):
        running.run(oversight.revoke_capability(OPERATOR, "narrowed", "list_dir(a)"))


def test_a_request_is_made_once_and_answered_once(running: RunningService) -> None:
    running.write("asking", tools="read_file(a/**)", guest=component())
    service, oversight = running.service, running.service.oversight
    for _ in range(3):
        with pytest.raises(GrantRequired):
            running.run(service.runner.invoke(OPERATOR, "asking", {}, ["read_file(a/b)"]))
    (request,) = [each for each in running.run(oversight.requests(OPERATOR)) if each.skill_path == "asking"]
    assert kinds(running, "asking").count("capability.requested") == 1
    answered = running.run(oversight.answer(OPERATOR, request.request_id, approve=True, note="as agreed"))
    assert (answered.state, answered.answered_by) == (RequestState.APPROVED, OPERATOR.actor)
    with pytest.raises(InputInvalid, match="no request with this ID waits"):
        running.run(oversight.answer(OPERATOR, request.request_id, approve=False))
    assert running.run(service.runner.invoke(OPERATOR, "asking", {}, ["read_file(a/b)"])).exit_code == 0
    assert running.run(oversight.requests(OPERATOR, RequestState.PENDING)) == [
        each for each in running.run(oversight.requests(OPERATOR)) if each.state is RequestState.PENDING
    ]


def test_a_request_for_bytes_that_are_gone_is_not_granted(running: RunningService) -> None:
    running.write("moved-on", tools="list_dir(a)", guest=component())
    with pytest.raises(GrantRequired):
        running.run(running.service.runner.invoke(OPERATOR, "moved-on", {}, ["list_dir(a)"]))
    oversight = running.service.oversight
    (request,) = [each for each in running.run(oversight.requests(OPERATOR)) if each.skill_path == "moved-on"]
    running.write("moved-on", tools="list_dir(a)", guest=component(), body="other")
    with pytest.raises(GrantStale):
        running.run(oversight.answer(OPERATOR, request.request_id, approve=True))


def test_a_skill_from_elsewhere_has_the_narrowest_limits_and_no_scripts(running: RunningService) -> None:
    stranger(running, "stranger", guest=component(), fields=SCRIPT, files=FILES)
    trust = running.run(running.service.oversight.trust_of(OPERATOR, "stranger"))
    assert trust.tier is TrustTier.UNTRUSTED
    limits = trust.policy.limits
    assert limits.fuel == UNTRUSTED_FUEL
    assert (limits.time_ms, limits.memory_bytes) == (UNTRUSTED_TIME_MS, UNTRUSTED_MEMORY_BYTES)
    assert limits.host_calls == UNTRUSTED_HOST_CALLS
    assert running.run(running.service.skills.executors_of(OPERATOR, "stranger")) == [
        Executor.WASM,
        Executor.INLINE,
    ]
    with pytest.raises(ExecutionFailed, match="is UNTRUSTED and may be run by INLINE, WASM, not by SCRIPT"):
        running.run(running.service.runner.invoke(OPERATOR, "stranger", {}, executor=Executor.SCRIPT))


def test_a_stranger_that_computes_too_long_runs_out_of_fuel(running: RunningService) -> None:
    stranger(running, "burns", guest=component(guests.LOOPS))
    running.run(running.service.oversight.limit(OPERATOR, "burns", {"fuel": 50_000_000, "time_ms": 10_000}))
    answer = running.run(running.service.runner.invoke(OPERATOR, "burns", {}))
    assert answer.exit_code == 124
    assert answer.error is not None
    assert "50000000" in answer.error.message
    (entry,) = [entry for entry in running.entries("burns") if entry["kind"] == "invocation.finished"]
    assert entry["limitsHit"] == ["fuel"]


def test_more_trust_opens_what_the_warning_says_until_a_byte_changes(running: RunningService) -> None:
    stranger(running, "promoted", guest=component(), fields=SCRIPT, files=FILES)
    service, oversight = running.service, running.service.oversight
    said = running.run(oversight.what_trust_opens(OPERATOR, "promoted", TrustTier.LOCAL))
    decided = running.run(oversight.trust(OPERATOR, "promoted", TrustTier.LOCAL))
    assert (decided.tier, decided.warning) == (TrustTier.LOCAL, said)
    assert "its scripts run as programs on this machine" in said
    (entry,) = running.entries("promoted")
    assert (entry["kind"], entry["level"], entry["warning"]) == ("trust.changed", "warn", said)
    assert running.run(service.runner.invoke(OPERATOR, "promoted", {}, executor=Executor.SCRIPT)).result == 1
    stranger(running, "promoted", guest=component(), fields=SCRIPT, files=FILES, body="changed")
    assert running.run(oversight.trust_of(OPERATOR, "promoted")).tier is TrustTier.UNTRUSTED
    with pytest.raises(ExecutionFailed):
        running.run(service.runner.invoke(OPERATOR, "promoted", {}, executor=Executor.SCRIPT))


def test_less_trust_holds_for_any_bytes(running: RunningService) -> None:
    running.write("demoted", guest=component(), fields=SCRIPT, files=FILES)
    oversight = running.service.oversight
    decided = running.run(oversight.trust(OPERATOR, "demoted", TrustTier.VERIFIED))
    assert (decided.warning, decided.policy.limits.fuel) == (None, VERIFIED_FUEL)
    running.write("demoted", guest=component(), fields=SCRIPT, files=FILES, body="changed")
    assert running.run(oversight.trust_of(OPERATOR, "demoted")).tier is TrustTier.VERIFIED
    assert running.run(running.service.runner.invoke(OPERATOR, "demoted", {"a": 1})).result == {"a": 1}
    running.run(oversight.trust(OPERATOR, "demoted", TrustTier.LOCAL))
    assert running.run(oversight.trust_of(OPERATOR, "demoted")).tier is TrustTier.LOCAL


def test_builtin_is_a_place_and_no_decision(running: RunningService) -> None:
    running.write("no-builtin")
    with pytest.raises(InputInvalid, match="BUILTIN is for the skills that ship"):
        running.run(running.service.oversight.trust(OPERATOR, "no-builtin", TrustTier.BUILTIN))
    with pytest.raises(InputInvalid, match="BUILTIN is for the skills that ship"):
        running.run(running.service.oversight.what_trust_opens(OPERATOR, "no-builtin", TrustTier.BUILTIN))


@pytest.mark.parametrize("back", [TrustTier.BUILTIN, TrustTier.LOCAL])
def test_a_builtin_skill_gets_its_place_back(running: RunningService, back: TrustTier) -> None:
    oversight, name = running.service.oversight, f"shipped-{back.value.lower()}"
    write_skill(running.settings.builtin_skills_dir, name)
    running.run(running.service._catalog.scan())
    with pytest.raises(InputInvalid, match="nothing would change"):
        running.run(oversight.trust(OPERATOR, name, back))
    running.run(oversight.trust(OPERATOR, name, TrustTier.UNTRUSTED))
    assert running.run(oversight.trust_of(OPERATOR, name)).tier is TrustTier.UNTRUSTED
    said = running.run(oversight.what_trust_opens(OPERATOR, name, back))
    assert "from UNTRUSTED to BUILTIN: its scripts run as programs" in said
    decided = running.run(oversight.trust(OPERATOR, name, back))
    assert (decided.tier, decided.warning) == (TrustTier.BUILTIN, said)
    assert running.run(oversight.trust_of(OPERATOR, name)).warning is None
    entry = running.entries(name)[-1]
    assert (entry["kind"], entry["before"], entry["after"]) == ("trust.changed", "UNTRUSTED", "LOCAL")
    assert entry["warning"] == said


def test_limits_of_one_skill_replace_those_of_its_tier(running: RunningService) -> None:
    running.write("limited", guest=host_caller(), fields=SCRIPT, files=FILES)
    service, oversight = running.service, running.service.oversight
    before = running.run(oversight.trust_of(OPERATOR, "limited")).policy.limits
    set_ = running.run(oversight.limit(OPERATOR, "limited", {"host_calls": 1}, frozenset({Executor.WASM})))
    assert (set_.policy.limits.host_calls, set_.policy.limits.fuel) == (1, None)
    assert set_.policy.limits.time_ms == before.time_ms
    answer = running.run(service.runner.invoke(OPERATOR, "limited", calls(["log", "a"], ["log", "b"])))
    assert answer.exit_code == 137
    with pytest.raises(ExecutionFailed, match="may be run by WASM"):
        running.run(service.runner.invoke(OPERATOR, "limited", {}, executor=Executor.SCRIPT))
    reset = running.run(oversight.limit(OPERATOR, "limited", {}))
    assert reset.policy.limits == before
    assert [entry["kind"] for entry in running.entries("limited")].count("limits.changed") == 2


@pytest.mark.parametrize(
    ("limit", "least", "most"),
    [
        ("time_ms", 10, 600_000),
        ("memory_bytes", 1 << 20, 2 << 30),
        ("output_bytes", 1024, 256 << 20),
        ("fuel", 1, 10**13),
        ("host_calls", 0, 1_000_000),
    ],
)
def test_limits_have_bounds(running: RunningService, limit: str, least: int, most: int) -> None:
    stranger(running, "bounded")
    oversight = running.service.oversight
    for value in (least, most):
        running.run(oversight.limit(OPERATOR, "bounded", {limit: value}))
    for value in (least - 1, most + 1):
        with pytest.raises(InputInvalid, match=limit):
            running.run(oversight.limit(OPERATOR, "bounded", {limit: value}))


def test_an_unknown_limit_is_refused(running: RunningService) -> None:
    running.write("unbounded")
    with pytest.raises(InputInvalid, match="threads"):
        running.run(running.service.oversight.limit(OPERATOR, "unbounded", {"threads": 1}))


def test_what_nobody_declares_cannot_be_granted(running: RunningService) -> None:
    running.write("modest", tools="read_file(a/**)")
    for capability in ("write_file", "read_file", "read_file(b/**)", "Bash"):
        with pytest.raises(CapabilityDenied):
            running.run(running.service.oversight.grant(OPERATOR, "modest", capability))
    with pytest.raises(SkillNotFound):
        running.run(running.service.oversight.grant(OPERATOR, "nobody", "read_file"))


def test_skills_that_wait_for_an_event_are_made_ready(running: RunningService) -> None:
    running.write(
        "waits",
        guest=component(guests.answers(3)),
        fields="metadata:\n  cyberos-activation-events: onCommand:pay onSkill:trigger",
    )
    running.write("trigger", guest=component())
    running.write(
        "broken", guest=b"no component", fields="metadata:\n  cyberos-activation-events: onCommand:pay"
    )
    ready = running.run(running.service.runner.make_ready(OPERATOR, "onCommand:pay"))
    assert [header.path for header in ready] == ["waits"]
    with pytest.raises(InputInvalid, match="no such event"):
        running.run(running.service.runner.make_ready(OPERATOR, "pay"))
    assert running.run(running.service.runner.make_ready(OPERATOR, "onCommand:nothing")) == []
