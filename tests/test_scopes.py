"""Every method that acts for a caller needs its scopes, all of them and no others, whichever surface asks."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest

from subgraph.audit import AuditRecord
from subgraph.capabilities import TrustTier
from subgraph.errors import Forbidden, GrantRequired, InputInvalid
from subgraph.principal import Principal, Scope
from subgraph.routing import SkillEntry
from subgraph.service import Service
from tests.support.postgres import empty_database
from tests.support.skills import RunningService, component, service_in_process, skill_settings

Method = Callable[[Service, Principal], Any]

ECHO = SkillEntry("echo", None, None, "What echo does.", (), "", "read_file", None)

READ, INVOKE, GRANT, AUDIT, ROUTE = ({scope} for scope in Scope)

# By the part of the service, and its method; "" is the service itself.
NO_DECISION = AuditRecord(0, b'{"kind":"skill.revoked"}')

METHODS: dict[str, dict[str, tuple[set[Scope], Method]]] = {
    "": {"measures": (AUDIT, lambda service, who: service.measures(who))},
    "skills": {
        "all": (READ, lambda service, who: service.skills.all(who)),
        "find": (READ, lambda service, who: service.skills.find(who, "echo")),
        "read": (READ, lambda service, who: service.skills.read(who, "echo")),
        "problems": (READ, lambda service, who: service.skills.problems(who)),
        "executors_of": (READ, lambda service, who: service.skills.executors_of(who, "echo")),
        "available": (READ, lambda service, who: service.skills.available(who)),
        "prompt": (READ, lambda service, who: service.skills.prompt(who, "echo")),
    },
    "runner": {
        "invoke": (INVOKE, lambda service, who: service.runner.invoke(who, "echo", {})),
        "check_needs": (INVOKE, lambda service, who: service.runner.check_needs(who, ECHO, {}, ())),
        "make_ready": (INVOKE, lambda service, who: service.runner.make_ready(who, "onCommand:none")),
    },
    "oversight": {
        "revocation_of": (READ, lambda service, who: service.oversight.revocation_of(who, "echo")),
        "declared": (READ, lambda service, who: service.oversight.declared(who, "echo")),
        "changes": (READ, lambda service, who: service.oversight.changes(who, "echo")),
        "trust_of": (READ, lambda service, who: service.oversight.trust_of(who, "echo")),
        "what_trust_opens": (
            READ,
            lambda service, who: service.oversight.what_trust_opens(who, "echo", TrustTier.LOCAL),
        ),
        "grants": (AUDIT, lambda service, who: service.oversight.grants(who)),
        "requests": (AUDIT, lambda service, who: service.oversight.requests(who)),
        "grant": (GRANT, lambda service, who: service.oversight.grant(who, "echo", "read_file")),
        "grant_all": (GRANT, lambda service, who: service.oversight.grant_all(who, "echo")),
        "revoke_capability": (
            GRANT,
            lambda service, who: service.oversight.revoke_capability(who, "echo", "read_file"),
        ),
        "answer": (GRANT, lambda service, who: service.oversight.answer(who, uuid4(), approve=True)),
        "trust": (GRANT, lambda service, who: service.oversight.trust(who, "victim", TrustTier.UNTRUSTED)),
        "limit": (GRANT, lambda service, who: service.oversight.limit(who, "victim", {"time_ms": 100})),
        "reinstate": (GRANT, lambda service, who: service.oversight.reinstate(who, "echo", None)),
        "revoke": (GRANT, lambda service, who: service.oversight.revoke(who, "victim", None)),
    },
    "history": {
        "past_invocations": (AUDIT, lambda service, who: service.history.past_invocations(who, limit=1)),
        "invocations": (AUDIT, lambda service, who: service.history.invocations(who, [uuid4()])),
        "count_last_day": (READ, lambda service, who: service.history.count_last_day(who, ["echo"])),
        "decisions": (AUDIT, lambda service, who: service.history.decisions(who, limit=1)),
        "records": (AUDIT, lambda service, who: service.history.records(who, "meta/decisions/1_0000.md")),
        "outcome": (AUDIT, lambda service, who: service.history.outcome(who, NO_DECISION)),
        "taken_back": (AUDIT, lambda service, who: service.history.taken_back(who)),
        "kpis": (AUDIT, lambda service, who: service.history.kpis(who)),
    },
    "audit_trail": {
        "entry": (AUDIT, lambda service, who: service.audit_trail.entry(who, 0)),
        "prove": (AUDIT, lambda service, who: service.audit_trail.prove(who, 10**12)),
        "verify": (AUDIT, lambda service, who: service.audit_trail.verify(who)),
        "check_structure": (AUDIT, lambda service, who: service.audit_trail.check_structure(who)),
        "payloads": (AUDIT, lambda service, who: service.audit_trail.payloads(who, uuid4())),
        "erase": (GRANT, lambda service, who: service.audit_trail.erase(who, "nobody")),
        "rotate_key": (GRANT, lambda service, who: service.audit_trail.rotate_key(who)),
        "drop": (GRANT, lambda service, who: service.audit_trail.drop(who, 0)),
    },
    "routing_desk": {
        "preview": (ROUTE, lambda service, who: service.routing_desk.preview(who, "echo")),
        "decide": (ROUTE, lambda service, who: service.routing_desk.decide(who, "echo")),
        "evaluate": (ROUTE, lambda service, who: service.routing_desk.evaluate(who, ())),
        "entries": (READ, lambda service, who: service.routing_desk.entries(who)),
        "bank_of": (READ, lambda service, who: service.routing_desk.bank_of(who, "echo")),
        "personas": (READ, lambda service, who: service.routing_desk.personas(who)),
    },
    "dispatcher": {
        "route": (ROUTE | INVOKE, lambda service, who: service.dispatcher.route(who, "nothing of ours")),
        "dispatch": (INVOKE, lambda service, who: service.dispatcher.dispatch(who, "echo", {})),
        "dispatch_chain": (INVOKE, lambda service, who: service.dispatcher.dispatch_chain(who, "echo", {})),
    },
    "decision_log": {
        "find": (AUDIT, lambda service, who: service.decision_log.find(who, [uuid4()])),
        "identify": (AUDIT, lambda service, who: service.decision_log.identify(who, str(uuid4()))),
        "page": (AUDIT, lambda service, who: service.decision_log.page(who, limit=1)),
        "replay": (AUDIT, lambda service, who: service.decision_log.replay(who, uuid4())),
    },
    "keyword_banks": {
        "show": (READ, lambda service, who: service.keyword_banks.show(who)),
        "set": (GRANT, lambda service, who: service.keyword_banks.set(who, "no bank")),
        "clear": (GRANT, lambda service, who: service.keyword_banks.clear(who)),
    },
}
CASES = [(part, name) for part, methods in METHODS.items() for name in methods]


@pytest.fixture(scope="module")
def running(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    home = tmp_path_factory.mktemp("home")
    with empty_database(server) as dsn, service_in_process(skill_settings(home, dsn)) as service:
        service.write("echo", tools="read_file", guest=component())
        service.write("victim", guest=component())
        yield service


def called(running: RunningService, part: str, name: str, who: Principal) -> Any:
    async def call() -> Any:
        outcome = METHODS[part][name][1](running.service, who)
        return await outcome if isinstance(outcome, Awaitable) else outcome

    return running.run(call())


def acts_for_callers(part: object) -> set[str]:
    return {
        name
        for name, method in vars(type(part)).items()
        if "principal" in getattr(method, "__annotations__", {}) and not name.startswith("_")
    }


def test_every_method_for_a_caller_is_checked_here(running: RunningService) -> None:
    service = running.service
    parts = {"": service} | {name: part for name, part in vars(service).items() if not name.startswith("_")}
    found = {name: methods for name, part in parts.items() if (methods := acts_for_callers(part))}
    assert found == {name: set(methods) for name, methods in METHODS.items()}


@pytest.mark.parametrize(("part", "name"), CASES)
def test_each_method_needs_its_scopes_and_no_others(running: RunningService, part: str, name: str) -> None:
    needed = METHODS[part][name][0]
    before = len(running.entries())
    for lacking in needed:
        others: tuple[frozenset[str], ...] = (
            frozenset(needed) - {lacking},
            frozenset(Scope) - {lacking},
            frozenset(needed) - {lacking} | {"skill", "skill:*", "admin", "*"},
        )
        for scopes in others:
            with pytest.raises(Forbidden, match=f"needs the scope {lacking}"):
                called(running, part, name, Principal("eve", scopes))
    assert len(running.entries()) == before
    # What is asked for here need not be there: who may ask learns that.
    with contextlib.suppress(InputInvalid, GrantRequired):
        called(running, part, name, Principal("ann", frozenset(needed)))
