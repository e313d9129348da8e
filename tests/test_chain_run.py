"""Chains are run: in order, side by side where they can be, and never past what was granted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import orjson
import pytest

from subgraph.capabilities import RequestState, TrustTier
from subgraph.chain_run import StepStatus
from subgraph.dispatch import Dispatched
from subgraph.errors import ExecutionFailed, GrantRequired, GrantStale, SkillRevoked, SourceInvalid
from subgraph.routing import State
from tests.support.guests import ECHO, FAILS, sleeps
from tests.support.postgres import empty_database
from tests.support.skills import (
    OPERATOR,
    RunningService,
    component,
    service_in_process,
    skill_settings,
    write_skill,
)

ROOT, QUERY = "vn-mst-validate", "validate MST 0123456789"
"""A skill that the built-in bank knows, so that a query finds it; its files are those of each test."""
ROOT_PATH = f"cyberskill-vn/{ROOT}"

OK, FAILED, SKIPPED = StepStatus.OK, StepStatus.FAILED, StepStatus.SKIPPED


@pytest.fixture(scope="module")
def running(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    with empty_database(server) as dsn:
        settings = skill_settings(tmp_path_factory.mktemp("home"), dsn, workers=2)
        with service_in_process(settings) as service:
            yield service


def write(running: RunningService, path: str, guest: str = ECHO, tools: str = "", **declared: Any) -> None:
    steps = declared.get("steps", {})
    fields = ["metadata:", "  region: VN"]
    if steps:
        fields.append(
            f"  cyberos-depends-on: {', '.join(sorted({each['skill'] for each in steps.values()}))}"
        )
    if declared:
        fields.append(f"  cyberos-chain: '{orjson.dumps(declared).decode()}'")
    running.write(path, fields="\n".join(fields), guest=component(guest), tools=tools)


def routed(running: RunningService, query: str = QUERY) -> Dispatched:
    return running.run(running.service.dispatcher.route(OPERATOR, query))


def statuses(done: Dispatched) -> dict[str, StepStatus]:
    return {step.planned.name: step.status for step in done.steps}


def kinds(running: RunningService, before: int) -> list[str]:
    return [each["kind"] for each in running.entries()[before:]]


def test_answers_go_where_the_chain_says(running: RunningService) -> None:
    write(running, "x/first")
    write(running, "x/second")
    write(
        running,
        ROOT_PATH,
        steps={
            "one": {
                "skill": "first",
                "input": {"/of/mst": "/mst", "/sure": {"value": True}, "/not": "/there"},
                "expect": {"/sure": True},
                "output": {"/checked/mst": "/of/mst", "/nowhere": "/absent"},
            },
            "two": {
                "skill": "second",
                "input": {"/all": "one#", "/mst": "one#/of/mst"},
                "output": {"/two": ""},
            },
            "three": {"skill": "second", "when": "/absent"},
        },
    )
    before = len(running.entries())
    done = routed(running)
    assert (done.state, done.error) == (State.SUCCEEDED, None)
    assert statuses(done) == {"one": OK, "three": SKIPPED, "two": OK, ROOT: OK}
    one = {"of": {"mst": "0123456789"}, "sure": True}
    by_name = {step.planned.name: step for step in done.steps}
    assert by_name["one"].arguments == one
    assert by_name["two"].arguments == {"all": one, "mst": "0123456789"}
    assert done.invocation is not None
    assert done.invocation.result == {
        "mst": "0123456789",
        "checked": {"mst": "0123456789"},
        "two": {"all": one, "mst": "0123456789"},
    }
    assert kinds(running, before) == [
        "routing.decision",
        *["invocation.finished"] * 3,
        "routing.chain",
        "routing.outcome",
    ]
    chain = running.entries()[-2]
    assert (chain["requestId"], chain["code"], chain["skill"]) == (
        done.decision.request_id,
        "succeeded",
        ROOT_PATH,
    )
    assert [(each["step"], each["status"]) for each in chain["steps"]] == [
        ("one", "ok"), ("three", "skipped"), ("two", "ok"), (ROOT, "ok")
    ]  # fmt: skip
    runs = {
        each["invocationId"] for each in running.entries()[before:] if each["kind"] == "invocation.finished"
    }
    assert {each["invocationId"] for each in chain["steps"]} - {None} == runs
    found = running.run(running.service.decision_log.find(OPERATOR, [UUID(done.decision.request_id)]))
    (recorded,) = found.values()
    assert [each.status for each in recorded.steps] == ["ok", "skipped", "ok", "ok"]
    assert [each.name for each in recorded.decision.chain] == ["one", "three", "two", ROOT]


def test_steps_that_do_not_wait_for_each_other_run_side_by_side(running: RunningService) -> None:
    write(running, "x/slow", sleeps(0.5))
    write(running, ROOT_PATH, steps={"a": {"skill": "slow"}, "b": {"skill": "slow"}})
    routed(running)  # now both workers have it
    done = routed(running)
    one, other = (step.invocation for step in done.steps[:2])
    assert one is not None
    assert other is not None
    assert one.started_at < other.ended_at
    assert other.started_at < one.ended_at


def test_a_step_that_fails_stops_the_chain_with_what_ran_so_far(running: RunningService) -> None:
    write(running, "x/good")
    write(running, "x/bad", FAILS)
    write(
        running,
        ROOT_PATH,
        steps={
            "first": {"skill": "good"},
            "second": {"skill": "bad", "input": {"/x": "first#/y"}},
            "third": {"skill": "good", "input": {"/x": "second#/y"}},
        },
    )
    before = len(running.entries())
    done = routed(running)
    assert (done.state, done.invocation) == (State.FAILED, None)
    assert statuses(done) == {"first": OK, "second": FAILED, "third": SKIPPED, ROOT: SKIPPED}
    assert done.error is not None
    assert done.error.code == "EXECUTION_FAILED"
    assert done.error.message.startswith("step 2 of 4, second (x/bad): ")
    assert kinds(running, before)[-2:] == ["routing.chain", "routing.outcome"]
    chain, outcome = running.entries()[-2:]
    assert (chain["code"], chain["level"]) == ("failed", "warn")
    assert [each["code"] for each in chain["steps"]] == [None, "EXECUTION_FAILED", None, None]
    assert (outcome["code"], outcome["invocationId"]) == ("failed", None)
    with pytest.raises(ExecutionFailed, match=r"step 2 of 4, second \(x/bad\)"):
        running.run(running.service.dispatcher.dispatch(OPERATOR, ROOT, {}))


@pytest.mark.parametrize("expected", [1, "true", None, False, 1.5])
def test_an_answer_that_is_not_what_is_expected_stops_the_chain(
    running: RunningService, expected: object
) -> None:
    write(running, "x/good")
    step = {"skill": "good", "input": {"/ok": {"value": True}}, "expect": {"/ok": expected}}
    write(running, ROOT_PATH, steps={"check": step})
    done = routed(running)
    assert statuses(done) == {"check": FAILED, ROOT: SKIPPED}
    assert done.steps[0].invocation is not None
    assert done.steps[0].invocation.exit_code == 0
    assert done.error is not None
    said = orjson.dumps(expected).decode()
    assert (
        done.error.message
        == f"step 1 of 2, check (x/good): its answer at /ok is not {said}, as the chain expects"
    )


def test_a_step_without_a_grant_stops_the_chain_before_anything_runs(running: RunningService) -> None:
    oversight = running.service.oversight
    write(running, "x/good")
    write(running, "x/reads", tools="read_file(data/**) Bash")
    write(
        running,
        ROOT_PATH,
        steps={"first": {"skill": "good"}, "second": {"skill": "reads", "input": {"/x": "first#/y"}}},
    )
    before = len(running.entries())
    with pytest.raises(GrantRequired, match=r"step 2 of 3, second \(x/reads\): nobody has granted read_file"):
        routed(running)
    assert "invocation.finished" not in kinds(running, before)
    chain, outcome = running.entries()[-2:]
    assert [(each["status"], each["code"]) for each in chain["steps"]] == [
        ("skipped", None), ("failed", "GRANT_REQUIRED"), ("skipped", None)
    ]  # fmt: skip
    assert outcome["error"]["code"] == "GRANT_REQUIRED"
    waiting = running.run(oversight.requests(OPERATOR, RequestState.PENDING))
    assert ("x/reads", "read_file(data/**)") in [(each.skill_path, each.capability) for each in waiting]
    with pytest.raises(GrantRequired):
        running.run(running.service.dispatcher.dispatch(OPERATOR, ROOT, {}))
    running.run(oversight.grant(OPERATOR, "reads", "read_file(data/**)"))
    assert routed(running).state is State.SUCCEEDED
    running.run(oversight.revoke_capability(OPERATOR, "reads", "read_file(data/**)"))
    with pytest.raises(GrantRequired):
        routed(running)


def test_a_grant_that_is_lost_on_the_way_stops_the_chain_there(
    running: RunningService, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = running.service
    write(running, "x/good")
    write(running, "x/reads", tools="read_file")
    write(
        running,
        ROOT_PATH,
        steps={"first": {"skill": "good"}, "second": {"skill": "reads", "input": {"/x": "first#/y"}}},
    )
    running.run(service.oversight.grant(OPERATOR, "reads", "read_file"))
    invoke = service.runner.invoke

    async def revoking(*given: Any, **options: Any) -> Any:
        if given[1] == "x/good":
            await service.oversight.revoke(OPERATOR, "reads", None)
        return await invoke(*given, **options)

    monkeypatch.setattr(service.runner, "invoke", revoking)
    try:
        with pytest.raises(SkillRevoked, match=r"step 2 of 3, second \(x/reads\)"):
            routed(running)
    finally:
        running.run(service.oversight.reinstate(OPERATOR, "reads", None))
    chain = running.entries()
    (last,) = [each for each in chain if each["kind"] == "routing.chain"][-1:]
    assert [each["status"] for each in last["steps"]] == ["ok", "failed", "skipped"]


@pytest.mark.parametrize("taken", ["trust", "revocation"])
def test_trust_that_is_lost_on_the_way_leaves_no_capability_to_what_comes_after(
    running: RunningService, monkeypatch: pytest.MonkeyPatch, taken: str
) -> None:
    service, oversight = running.service, running.service.oversight
    write(running, "x/good")
    write(running, "x/reads", tools="read_file")
    write(
        running,
        ROOT_PATH,
        steps={"first": {"skill": "good"}, "second": {"skill": "reads", "input": {"/x": "first#/y"}}},
    )
    running.run(oversight.grant(OPERATOR, "reads", "read_file"))
    invoke = service.runner.invoke

    async def distrusting(*given: Any, **options: Any) -> Any:
        done = await invoke(*given, **options)
        if given[1] == "x/good" and taken == "trust":
            await oversight.trust(OPERATOR, ROOT, TrustTier.UNTRUSTED)
        elif given[1] == "x/good":
            await oversight.revoke(OPERATOR, ROOT, None)
        return done

    monkeypatch.setattr(service.runner, "invoke", distrusting)
    before = len(running.entries())
    try:
        if taken == "trust":
            routed(running)
        else:
            with pytest.raises(SkillRevoked, match="step 3 of 3"):
                routed(running)
    finally:
        monkeypatch.undo()
        running.run(oversight.trust(OPERATOR, ROOT, TrustTier.LOCAL))
        running.run(oversight.reinstate(OPERATOR, ROOT, None))
    ended = [each for each in running.entries()[before:] if each["kind"] == "invocation.finished"]
    assert [(each["skill"], each["capabilities"]) for each in ended][:2] == [("x/good", []), ("x/reads", [])]


def test_what_a_skill_says_it_needs_is_what_must_be_granted(running: RunningService) -> None:
    write(running, ROOT_PATH, tools="read_file write_file", needs={"write_file": "/path"})
    assert routed(running).state is State.SUCCEEDED
    dispatch = running.service.dispatcher.dispatch
    assert running.run(dispatch(OPERATOR, ROOT, {"path": None})).exit_code == 0
    with pytest.raises(GrantRequired, match="nobody has granted write_file"):
        running.run(dispatch(OPERATOR, ROOT, {"path": "x"}))
    write(running, ROOT_PATH, tools="read_file", needs={"write_file": True})
    before = len(running.entries())
    with pytest.raises(Exception, match="needs write_file, and does not declare it"):
        routed(running)
    assert "invocation.finished" not in kinds(running, before)


def test_a_grant_for_other_bytes_starts_nothing(running: RunningService) -> None:
    write(running, "x/reads", tools="read_file", fields="x")
    write(running, ROOT_PATH, steps={"first": {"skill": "reads"}})
    running.run(running.service.oversight.grant(OPERATOR, "reads", "read_file"))
    write(running, "x/reads", FAILS, tools="read_file")
    with pytest.raises(GrantStale, match="step 1 of 2, first"):
        routed(running)


def test_a_chain_that_cannot_be_planned_is_not_run(running: RunningService) -> None:
    write(running, ROOT_PATH, steps={"first": {"skill": "nowhere"}})
    done = routed(running)
    assert (done.state, done.run, done.decision.may_invoke) == (State.PICKED, None, False)
    with pytest.raises(SourceInvalid, match="depends on nowhere, which is not in the catalogue"):
        running.run(running.service.dispatcher.dispatch(OPERATOR, ROOT, {}))


def test_a_text_for_agents_needs_nothing_of_this_host(running: RunningService) -> None:
    running.write("cuo/hello-world", tools="read_file")
    done = routed(running, "hello world")
    assert done.decision.skill_name == "cuo/hello-world"
    assert done.state is State.SUCCEEDED


def test_a_skill_that_nobody_chose_gets_nothing_done_by_the_grants_of_others(
    running: RunningService,
) -> None:
    oversight = running.service.oversight
    write(running, "x/reads", tools="read_file")
    running.run(oversight.grant(OPERATOR, "reads", "read_file"))
    (running.skills / ROOT_PATH / "SKILL.md").unlink()
    chosen, running.skills = running.skills, running.settings.installed_skills_dir
    try:
        write(running, ROOT_PATH, steps={"first": {"skill": "reads"}})
        before = len(running.entries())
        assert routed(running).state is State.SUCCEEDED
        first, _ = [each for each in running.entries()[before:] if each["kind"] == "invocation.finished"]
        assert (first["skill"], first["capabilities"]) == ("x/reads", [])
        running.run(oversight.trust(OPERATOR, ROOT, TrustTier.LOCAL))
        before = len(running.entries())
        assert routed(running).state is State.SUCCEEDED
        first, _ = [each for each in running.entries()[before:] if each["kind"] == "invocation.finished"]
        assert (first["skill"], first["capabilities"]) == ("x/reads", ["read_file"])
        (running.skills / ROOT_PATH / "SKILL.md").unlink()
    finally:
        running.skills = chosen


def test_a_skill_that_changes_after_it_was_picked_is_not_run(
    running: RunningService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its chain and its tools are those by which the run was planned, or nothing is begun."""
    service = running.service
    write(running, "x/good")
    write(running, ROOT_PATH, steps={"first": {"skill": "good"}})
    record = service.decision_log.record

    async def record_and_change(*given: Any) -> Any:
        recorded = await record(*given)
        write_skill(running.skills, ROOT_PATH, fields="metadata: {region: VN}", guest=component())
        return recorded

    with monkeypatch.context() as patch:
        patch.setattr(service.decision_log, "record", record_and_change)
        before = len(running.entries())
        with pytest.raises(SourceInvalid, match="changed since it was picked") as caught:
            routed(running)
    assert "invocation.finished" not in kinds(running, before)
    assert caught.value.request_id == running.entries()[-1]["requestId"]
    running.run(service._catalog.scan())
