"""The words that an operator adds: set with their audit entry, known to every replica, and replayed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import datetime
from uuid import UUID

import pytest

from subgraph.audit.decisions import MAX_BANK_BYTES
from subgraph.errors import Forbidden, InputInvalid, StorageUnavailable
from subgraph.keyword_banks import OperatorKeywords
from subgraph.principal import Principal, Scope
from subgraph.routing import RoutingDataInvalid, builtin_bank
from subgraph.routing.data_file import FILE_LIMIT
from tests.support.postgres import empty_database, execute, until
from tests.support.skills import OPERATOR, RunningService, service_in_process, skill_settings

HELLO, MST = "cuo/hello-world", "cyberskill-vn/vn-mst-validate"
QUERY = "nghỉ phép giúp với"
BANK = """\
# Words of Công ty TNHH Ví Dụ.
version: vi-du-1
idioms: [vật vờ]
banks:
  CHRO:
    team/leave: [nghỉ phép, "leave, annual"]
  CFO:
    cyberskill-vn/vn-mst-validate: [mã ví dụ, MST]
"""


@pytest.fixture(scope="module")
def running(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    with empty_database(server) as dsn:
        settings = skill_settings(tmp_path_factory.mktemp("home"), dsn)
        with service_in_process(settings) as service:
            service.write(HELLO)
            service.write(MST, fields="metadata: {region: VN}")
            yield service


@pytest.fixture(autouse=True)
def without_a_bank(running: RunningService) -> Iterator[None]:
    yield
    running.run(running.service.keyword_banks.clear(OPERATOR))


def show(running: RunningService, principal: Principal = OPERATOR) -> OperatorKeywords:
    return running.run(running.service.keyword_banks.show(principal))


def set_bank(running: RunningService, text: str = BANK) -> OperatorKeywords:
    return running.run(running.service.keyword_banks.set(OPERATOR, text, "vi-du.yaml"))


def picked(running: RunningService, query: str = QUERY) -> str | None:
    return running.run(running.service.routing_desk.preview(OPERATOR, query)).skill_name


def sound(running: RunningService) -> bool:
    return running.run(running.service.audit_trail.check_structure(OPERATOR)) == ()


def test_words_that_an_operator_adds_lead_to_a_skill_until_they_are_taken_away(
    running: RunningService,
) -> None:
    before = show(running)
    assert before == OperatorKeywords(builtin_bank().version, before.fingerprint)
    assert picked(running) is None
    after = set_bank(running)
    assert after.version == f"{builtin_bank().version}+vi-du-1"
    assert after.fingerprint != before.fingerprint
    assert [(each.path, each.persona, each.added, each.is_installed) for each in after.skills] == [
        (MST, "CFO", ("mã ví dụ",), True),
        ("team/leave", "CHRO", ("nghỉ phép", "leave, annual"), False),
    ]
    assert (after.text, after.idioms, after.decided_by) == (BANK, ("vật vờ",), OPERATOR.actor)
    assert picked(running) is None
    running.write("team/leave")
    assert picked(running) == "team/leave"
    assert picked(running, "check mã ví dụ 0123456789") == MST
    assert all(each.is_installed for each in show(running).skills)
    entries = running.run(running.service.routing_desk.entries(OPERATOR)).entries
    assert {each.skill.path: each.skill.persona for each in entries}["team/leave"] == "CHRO"
    cleared = running.run(running.service.keyword_banks.clear(OPERATOR))
    assert (cleared.text, cleared.version) == (None, before.version)
    assert picked(running) is None
    assert sound(running)


def test_a_change_and_its_entry_are_one(running: RunningService) -> None:
    before = len(running.entries())
    running.run(running.service.keyword_banks.clear(OPERATOR))
    assert len(running.entries()) == before  # there was nothing to take away
    set_bank(running)
    running.run(running.service.keyword_banks.clear(OPERATOR))
    was_set, cleared = running.entries()[before:]
    said = ("kind", "code", "actor", "version", "sha256", "skills", "keywords", "text")
    digest = hashlib.sha256(BANK.encode()).hexdigest()
    assert [was_set[name] for name in said] == [
        "routing.bank", "set", OPERATOR.actor, "vi-du-1", digest, 2, 4, BANK,
    ]  # fmt: skip
    assert [cleared[name] for name in said] == [
        "routing.bank", "cleared", OPERATOR.actor, None, None, 0, 0, None,
    ]  # fmt: skip
    (record,) = running.run(running.service.history.records(OPERATOR, address(was_set)))
    assert "# Keyword bank changed\n" in record.markdown
    assert f"**SHA-256:** {digest}\n" in record.markdown


def address(entry: dict[str, str]) -> str:
    seconds = int(datetime.fromisoformat(entry["at"]).timestamp())
    return f"brain://meta/decisions/{seconds}_{entry['id'][:4]}.md"


def test_a_bank_that_is_too_long_for_an_entry_is_named_by_its_hash(running: RunningService) -> None:
    lists = "\n".join(
        f"    team/skill-{number}: [{', '.join(f'a word {number} {each}' for each in range(200))}]"
        for number in range(20)
    )
    text = f"version: long\nbanks:\n  ANY:\n{lists}\n"
    assert MAX_BANK_BYTES < len(text) < FILE_LIMIT
    found = set_bank(running, text)
    entry = running.entries()[-1]
    assert (entry["text"], entry["sha256"]) == (None, found.sha256)
    assert (entry["skills"], entry["keywords"]) == (20, 4000)
    assert show(running).text == text
    assert sound(running)


def test_a_decision_replays_on_the_bank_that_it_was_made_with(running: RunningService) -> None:
    route, log = running.service.dispatcher.route, running.service.decision_log
    query = "kiểm tra mã số thuế 0123456789"
    old = running.run(route(OPERATOR, query, invoke=False)).decision
    set_bank(running, f"version: 2\nbanks: {{ANY: {{{HELLO}: [tra, kiem, kiem tra, ma so, so thue, thue]}}}}")
    new = running.run(route(OPERATOR, query, invoke=False)).decision
    running.run(running.service.keyword_banks.clear(OPERATOR))
    assert (old.skill_name, new.skill_name) == (MST, HELLO)
    assert old.catalog_fingerprint != new.catalog_fingerprint
    for decision in (old, new):
        replay = running.run(log.replay(OPERATOR, UUID(decision.request_id), query))
        assert replay.same
        assert replay.again.encode() == decision.encode()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BANK.replace("CHRO", "BOSS"), "vi-du.yaml, line 5: 'BOSS' is no seat; there are CEO, COO"),
        (BANK.replace("CHRO", "CAIO"), "vi-du.yaml, line 5: 'CAIO' is no seat"),
        (BANK.replace("nghỉ phép", "…"), "vi-du.yaml, line 6: '…' has neither a letter nor a digit"),
        (BANK.replace("  CFO:", "  CHRO:"), "vi-du.yaml, line 7: 'CHRO' stands here twice"),
        ("", "vi-du.yaml: empty"),
        ("version: 1\nbanks: {}\n\0", "vi-du.yaml: not YAML"),
        ("version: \ud800", "vi-du.yaml: not YAML"),
        ("#" * (FILE_LIMIT + 1), f"vi-du.yaml: over {FILE_LIMIT} characters"),
        (
            f"version: 1\nbanks: {{CFO: {{{MST}: [{', '.join(f'w{each}' for each in range(480))}]}}}}",
            f"{MST} would have over 500 phrases",
        ),
    ],
    ids=range(9),
)
def test_a_bank_that_is_not_as_documented_is_refused(
    running: RunningService, text: str, message: str
) -> None:
    set_bank(running)
    before = len(running.entries())
    with pytest.raises(InputInvalid) as refused:
        set_bank(running, text)
    assert refused.value.message.startswith(message)
    assert len(running.entries()) == before
    assert show(running).text == BANK


def test_each_method_needs_its_scope(running: RunningService) -> None:
    banks = running.service.keyword_banks
    reader, granter = (Principal("an", frozenset({scope})) for scope in (Scope.READ, Scope.GRANT))
    with pytest.raises(Forbidden, match="skill:read"):
        running.run(banks.show(granter))
    for refused in (banks.set(reader, BANK), banks.clear(reader)):
        with pytest.raises(Forbidden, match="skill:grant"):
            running.run(refused)
    assert running.run(banks.set(granter, BANK)).decided_by is None
    assert (show(running, reader).text, show(running, reader).decided_by) == (BANK, None)
    assert show(running).decided_by == "an"


def test_another_replica_knows_within_its_next_look(
    running: RunningService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("subgraph.capabilities.authority.POLL_SECONDS", 0.02)
    with service_in_process(running.settings) as other:
        query = "check mã ví dụ 0123456789"
        assert picked(other, query) is None
        set_bank(running)

        authority = other.service._authority
        other.run(until(lambda: authority.bank is not None))
        assert picked(other, query) == MST


def test_a_bank_is_not_trusted_once_the_database_is_silent(
    running: RunningService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("subgraph.capabilities.authority.STALE_SECONDS", -1.0)
    for refused in (
        running.service.keyword_banks.show(OPERATOR),
        running.service.routing_desk.preview(OPERATOR, QUERY),
    ):
        with pytest.raises(StorageUnavailable):
            running.run(refused)


def test_a_bank_that_was_changed_beside_the_log_routes_nothing_and_is_found(running: RunningService) -> None:
    set_bank(running)
    assert running.settings.database_url is not None
    dsn = running.settings.database_url.get_secret_value()
    tamper = "UPDATE keyword_bank SET bank = 'version: [', decided_by = 'mallory'"
    running.run(execute(dsn, tamper, "UPDATE cache_version SET version = version + 1"))
    running.run(running.service._authority.refresh())
    for refused in (
        running.service.routing_desk.preview(OPERATOR, QUERY),
        running.service.keyword_banks.show(OPERATOR),
    ):
        with pytest.raises(RoutingDataInvalid, match="nothing is routed until it is set anew or cleared"):
            running.run(refused)
    (finding,) = running.run(running.service.audit_trail.check_structure(OPERATOR))
    assert finding.code.name == "DECISION_DIFFERS"
    set_bank(running)
    assert picked(running, "check mã ví dụ 0123456789") == MST
    assert sound(running)
