"""What is decided about a query is recorded, invoked through the broker, and made again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from subgraph.capabilities import RequestState
from subgraph.dispatch import Dispatched
from subgraph.errors import Forbidden, GrantRequired, InputInvalid, SkillRevoked, StorageUnavailable
from subgraph.principal import Principal, Scope
from subgraph.recorded_decision import RecordedDecision
from subgraph.routing import RoutingDataInvalid, State, catalogue
from subgraph.routing.keyword_bank import BankEntry, KeywordBank
from subgraph.settings import PayloadMode
from tests.support.guests import ECHO
from tests.support.postgres import empty_database, execute
from tests.support.skills import OPERATOR, RunningService, component, service_in_process, skill_settings

HELLO, MST = "cuo/hello-world", "cyberskill-vn/vn-mst-validate"
QUERY = "kiểm tra MST 0123456789"


@pytest.fixture(scope="module")
def running(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    with empty_database(server) as dsn:
        settings = skill_settings(tmp_path_factory.mktemp("home"), dsn)
        with service_in_process(settings) as service:
            service.write(MST, fields="metadata: {region: VN}", guest=component(ECHO))
            service.write(HELLO)
            yield service


@pytest.fixture
def sealing(server: str, tmp_path: Path) -> Iterator[RunningService]:
    with empty_database(server) as dsn:
        settings = skill_settings(tmp_path, dsn, audit_payloads=PayloadMode.ENCRYPTED)
        with service_in_process(settings) as service:
            service.write(MST, fields="metadata: {region: VN}", guest=component(ECHO))
            yield service


def routed(running: RunningService, query: str = QUERY, **options: Any) -> Dispatched:
    return running.run(running.service.dispatcher.route(OPERATOR, query, **options))


def read(running: RunningService, request_id: str | None) -> RecordedDecision:
    identifier = UUID(request_id)
    return running.run(running.service.decision_log.find(OPERATOR, [identifier]))[identifier]


def kinds(running: RunningService, before: int) -> list[tuple[str, str | None]]:
    return [(each["kind"], each.get("code")) for each in running.entries()[before:]]


def test_a_decision_is_recorded_before_its_run_and_after_it(running: RunningService) -> None:
    before = len(running.entries())
    done = routed(running)
    assert kinds(running, before) == [
        ("routing.decision", "invoking"),
        ("invocation.finished", None),
        ("routing.outcome", "succeeded"),
    ]
    assert done.state is State.SUCCEEDED
    assert done.invocation is not None
    assert done.invocation.result == {"mst": "0123456789"}
    assert done.invoked_at == done.invocation.started_at
    found = read(running, done.decision.request_id)
    assert (found.state, found.error) == (State.SUCCEEDED, None)
    assert found.run is not None
    assert found.run.entry.invocation_id == str(done.invocation.invocation_id)
    assert done.recorded is not None
    assert (found.record.seq, found.chain) == (done.recorded.record.seq, done.recorded.chain)
    assert found.record.address.startswith("brain://meta/cuo-decisions/")
    (again,) = running.run(running.service.history.records(OPERATOR, found.record.address))
    assert again.markdown.splitlines()[5:7] == ["---", "# CUO routing decision"]
    assert "**Decision:** cyberskill-vn/vn-mst-validate\n" in again.markdown
    assert running.run(running.service.audit_trail.check_structure(OPERATOR)) == ()


def test_every_state_of_a_query_is_in_the_log_with_its_time(running: RunningService) -> None:
    done = routed(running)
    states = [State.RECEIVED, State.ROUTING, State.PICKED, State.INVOKING, State.SUCCEEDED, State.RECORDED]
    assert [each.state for each in done.moments] == states
    found = read(running, done.decision.request_id)
    assert found.lifecycle == done.moments
    times = [each.at for each in found.lifecycle]
    assert times == sorted(times)
    assert done.invocation is not None
    assert times[3] <= done.invocation.started_at <= done.invocation.ended_at <= times[4]
    asked = routed(running, "what is the weather")
    found = read(running, asked.decision.request_id)
    assert [each.state for each in found.lifecycle] == [
        State.RECEIVED, State.ROUTING, State.DEFERRED, State.RECORDED
    ]  # fmt: skip
    unrecorded = routed(running, record=False)
    assert [each.state for each in unrecorded.moments] == states[:-1]


def test_the_log_holds_neither_query_nor_arguments(running: RunningService) -> None:
    done = routed(running, "kiểm tra MST 0100109106")
    found = read(running, done.decision.request_id)
    assert b"0100109106" not in found.record.encoded
    assert not found.is_open
    assert (found.decision.query, found.decision.arguments) == ("", {})
    assert found.decision.rationale == done.decision.rationale
    assert found.decision.alternatives == ()
    assert found.decision.confidence == done.decision.confidence


def test_what_leaves_something_to_ask_or_decide_is_recorded_and_not_invoked(running: RunningService) -> None:
    for query, state in (
        ("so sánh MST 0100109106 và 0100233488", State.PICKED),
        ("gửi hoá đơn cho khách hàng", State.DEFERRED),
        ("what is the weather", State.DEFERRED),
    ):
        before = len(running.entries())
        done = routed(running, query)
        assert (done.state, done.invocation) == (state, None)
        assert kinds(running, before) == [("routing.decision", state.value)]
        assert read(running, done.decision.request_id).state is state


def test_what_is_not_to_be_recorded_or_invoked_is_not(running: RunningService) -> None:
    before = len(running.entries())
    done = routed(running, record=False)
    assert (done.recorded, done.state) == (None, State.SUCCEEDED)
    assert kinds(running, before) == [("invocation.finished", None)]
    before = len(running.entries())
    done = routed(running, invoke=False)
    assert (done.invocation, done.state) == (None, State.PICKED)
    assert kinds(running, before) == [("routing.decision", "picked")]


def test_a_refused_run_is_a_failed_decision(running: RunningService, monkeypatch: pytest.MonkeyPatch) -> None:
    """The skill is revoked between the decision and the run."""
    service = running.service
    revoke = service.oversight.revoke
    record = service.decision_log.record

    async def record_and_revoke(*given: Any) -> RecordedDecision:
        recorded = await record(*given)
        await revoke(OPERATOR, MST, None)
        return recorded

    monkeypatch.setattr(service.decision_log, "record", record_and_revoke)
    before = len(running.entries())
    try:
        with pytest.raises(SkillRevoked):
            routed(running)
    finally:
        running.run(service.oversight.reinstate(OPERATOR, MST, None))
    entries = running.entries()[before:]
    (outcome,) = [each for each in entries if each["kind"] == "routing.outcome"]
    assert (outcome["code"], outcome["invocationId"], outcome["level"]) == ("failed", None, "warn")
    assert [each["state"] for each in outcome["lifecycle"]] == ["failed", "recorded"]
    assert outcome["error"]["code"] == "SKILL_REVOKED"
    found = read(running, outcome["requestId"])
    assert (found.state, found.run) == (State.FAILED, None)
    assert found.error is not None
    assert found.error.code == "SKILL_REVOKED"


def test_no_decision_gets_past_the_broker(running: RunningService) -> None:
    """What a skill declares must be granted before the router starts it."""
    oversight = running.service.oversight
    region = "metadata: {region: VN}"
    running.write(MST, fields=region, guest=component(ECHO), tools="read_file(data/**)")
    before = len(running.entries())
    with pytest.raises(GrantRequired, match="nobody has granted read_file"):
        routed(running)
    assert kinds(running, before)[-1] == ("routing.outcome", "failed")
    assert ("invocation.finished", None) not in kinds(running, before)
    (waits,) = running.run(oversight.requests(OPERATOR, RequestState.PENDING))
    assert (waits.skill_path, waits.capability) == (MST, "read_file(data/**)")
    running.run(oversight.grant(OPERATOR, MST, "read_file(data/one/**)"))  # some of it will do
    assert routed(running).state is State.SUCCEEDED
    running.write(MST, fields=region, guest=component(ECHO))


def test_nothing_runs_that_could_not_be_recorded(
    running: RunningService, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> int:
        raise StorageUnavailable

    before = len(running.entries())
    with monkeypatch.context() as patch:
        patch.setattr(running.service._ledger, "append", fail)
        with pytest.raises(StorageUnavailable):
            routed(running)
    assert kinds(running, before) == []
    with monkeypatch.context() as patch:
        patch.setattr(running.service.decision_log, "finish", fail)
        with pytest.raises(StorageUnavailable, match="its run is recorded"):
            routed(running)
    assert kinds(running, before)[0] == ("routing.decision", "invoking")


def test_each_step_needs_its_scope(running: RunningService) -> None:
    service = running.service
    caller = Principal("an", frozenset({Scope.ROUTE}))
    with pytest.raises(Forbidden, match="skill:invoke"):
        running.run(service.dispatcher.route(caller, QUERY))
    assert running.run(service.dispatcher.route(caller, QUERY, invoke=False)).state is State.PICKED
    with pytest.raises(Forbidden, match="cuo:route"):
        running.run(service.dispatcher.route(Principal("an", frozenset({Scope.INVOKE})), QUERY))
    for refused in (
        service.decision_log.find(caller, []),
        service.decision_log.page(caller, limit=1),
        service.decision_log.replay(caller, uuid4()),
    ):
        with pytest.raises(Forbidden, match="skill:audit"):
            running.run(refused)
    with pytest.raises(Forbidden, match="skill:invoke"):
        running.run(service.dispatcher.dispatch(caller, MST, {}))


def test_a_skill_is_dispatched_with_arguments_as_decisions_name_them(running: RunningService) -> None:
    dispatch = running.service.dispatcher.dispatch
    assert running.run(dispatch(OPERATOR, "vn-mst-validate", {"mst": "1"})).result == {"mst": "1"}
    running.write("cyberskill-vn/vn-vat-invoice", guest=component(ECHO))
    done = running.run(dispatch(OPERATOR, "vn-vat-invoice", {"mst": "1", "amount_vnd": 5}))
    assert done.result == {"buyer_mst": "1", "lines": [{"qty": 1, "unit_price": 5}]}


def test_decisions_are_read_newest_first(running: RunningService) -> None:
    log = running.service.decision_log
    caller = Principal("binh", frozenset({Scope.ROUTE}))
    done = [
        running.run(running.service.dispatcher.route(caller, QUERY, invoke=False)).decision.request_id
        for _ in range(3)
    ]
    found = running.run(log.page(OPERATOR, actor="binh", limit=2)).decisions
    assert [each.decision.request_id for each in found] == [done[2], done[1]]
    (last,) = running.run(log.page(OPERATOR, actor="binh", before=found[-1].record.seq, limit=2)).decisions
    assert last.decision.request_id == done[0]
    assert running.run(log.page(OPERATOR, actor="nobody", limit=2)).decisions == []
    assert running.run(log.page(OPERATOR, limit=1)).decisions[0].decision.request_id == done[2]
    assert running.run(log.find(OPERATOR, [uuid4()])) == {}


def another_bank(monkeypatch: pytest.MonkeyPatch) -> None:
    bank = KeywordBank("9", {HELLO: BankEntry(None, ("kiem tra", "mst", "tra mst", "tra"))}, ())
    monkeypatch.setattr(catalogue, "builtin_bank", lambda: bank)


def test_a_decision_replays_identically_after_the_keyword_bank_has_changed(
    running: RunningService, monkeypatch: pytest.MonkeyPatch
) -> None:
    running.write(HELLO)
    log = running.service.decision_log
    old = routed(running, invoke=False).decision
    another_bank(monkeypatch)
    running.write("team/another")
    new = routed(running, invoke=False).decision
    assert (old.skill_name, new.skill_name) == (MST, HELLO)
    assert old.catalog_fingerprint != new.catalog_fingerprint
    for decision in (old, new):
        replay = running.run(log.replay(OPERATOR, UUID(decision.request_id), QUERY))
        assert replay.same
        assert replay.again.encode() == decision.encode()
    running.skills.joinpath("team/another/SKILL.md").unlink()
    monkeypatch.undo()
    running.run(running.service._catalog.scan())


def test_a_replay_is_of_the_query_that_was_asked_and_needs_its_key(running: RunningService) -> None:
    service = running.service
    caller = Principal("chi", frozenset({Scope.ROUTE}))
    decision = running.run(service.dispatcher.route(caller, QUERY, invoke=False)).decision
    identifier = UUID(decision.request_id)

    def replay(query: str | None = None, of: UUID = identifier) -> Any:
        return running.run(service.decision_log.replay(OPERATOR, of, query))

    with pytest.raises(InputInvalid, match="no decision"):
        replay(QUERY, uuid4())
    with pytest.raises(InputInvalid, match="give the query"):
        replay()
    with pytest.raises(InputInvalid, match="not the query"):
        replay(QUERY + "0")
    assert replay(QUERY).same
    running.run(service.audit_trail.erase(OPERATOR, "chi"))
    with pytest.raises(InputInvalid, match="destroyed"):
        replay(QUERY)
    running.run(service.dispatcher.route(caller, QUERY, invoke=False))
    with pytest.raises(InputInvalid, match="destroyed"):
        replay(QUERY)  # the key that she has now is another one


def test_a_decision_that_comes_out_otherwise_is_said_to(
    running: RunningService, monkeypatch: pytest.MonkeyPatch
) -> None:
    decision = routed(running, invoke=False).decision
    monkeypatch.setattr("subgraph.routing.router.THRESHOLD_PERCENT", 101)
    replay = running.run(running.service.decision_log.replay(OPERATOR, UUID(decision.request_id), QUERY))
    assert not replay.same
    entry = running.entries()[-1]
    assert (entry["kind"], entry["code"], entry["level"]) == ("routing.replay", "different", "warn")
    assert (entry["requestId"], entry["actor"]) == (decision.request_id, OPERATOR.actor)
    assert replay.again.skill_name is None


def test_what_is_encrypted_is_read_back_and_replayed_until_its_key_is_destroyed(
    sealing: RunningService,
) -> None:
    log = sealing.service.decision_log
    decision = routed(sealing).decision
    found = read(sealing, decision.request_id)
    assert found.is_open
    assert found.decision.encode() == decision.encode()
    assert b"0123456789" not in found.record.encoded
    assert sealing.run(log.replay(OPERATOR, UUID(decision.request_id))).same
    sealing.run(sealing.service.audit_trail.erase(OPERATOR, OPERATOR.actor))
    gone = read(sealing, decision.request_id)
    assert (gone.is_open, gone.decision.query, gone.state) == (False, "", State.SUCCEEDED)


def test_a_snapshot_is_kept_once_and_cannot_be_changed(sealing: RunningService) -> None:
    database = sealing.service._database
    decisions = [routed(sealing, invoke=False).decision for _ in range(2)]
    sealing.service.decision_log._kept = None  # as a service that has just started
    decisions.append(routed(sealing, invoke=False).decision)
    (fingerprint,) = {each.catalog_fingerprint for each in decisions}

    async def attempt(statement: str) -> None:
        connection = await database.connect()
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    for statement in (
        "UPDATE catalogue_snapshot SET encoded = ''",
        "DELETE FROM catalogue_snapshot",
        "TRUNCATE catalogue_snapshot",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            sealing.run(attempt(statement))
    with pytest.raises(asyncpg.CheckViolationError):
        sealing.run(attempt("INSERT INTO catalogue_snapshot VALUES ('0', 'x')"))
    assert sealing.run(sealing.service.audit_trail.check_structure(OPERATOR)) == ()
    assert sealing.settings.database_url is not None
    dsn = sealing.settings.database_url.get_secret_value()
    sealing.run(execute(dsn, "DELETE FROM catalogue_snapshot"))
    with pytest.raises(RoutingDataInvalid, match=f"{fingerprint} is not kept"):
        sealing.run(sealing.service.decision_log.replay(OPERATOR, UUID(decisions[0].request_id)))
