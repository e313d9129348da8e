"""What is decided about a query rests on the catalogue as it is now, and on what is revoked."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from uuid import UUID

import pytest

from subgraph.errors import Forbidden, InputInvalid, SkillNotFound
from subgraph.principal import Principal, Scope
from subgraph.routing_desk import Entries, skill_input
from tests.support.postgres import empty_database
from tests.support.skills import OPERATOR, RunningService, service_in_process, skill_settings, write_skill

HELLO, MST, INVOICE = "cuo/hello-world", "cyberskill-vn/vn-mst-validate", "cyberskill-vn/vn-vat-invoice"
VN = "metadata: {region: VN}"


@pytest.fixture(scope="module")
def running(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    home = tmp_path_factory.mktemp("home")
    with empty_database(server) as dsn:
        settings = skill_settings(home, dsn)
        root = settings.skill_roots[0]
        write_skill(root, HELLO, tools="read_file")
        write_skill(root, MST, fields=VN)
        write_skill(root, INVOICE, fields=VN)
        with service_in_process(settings) as service:
            yield service


def picked(running: RunningService, query: str, persona: str | None = None) -> str | None:
    return running.run(running.service.routing_desk.preview(OPERATOR, query, persona)).skill_name


def entries(running: RunningService) -> Entries:
    return running.run(running.service.routing_desk.entries(OPERATOR))


def test_a_decision_says_whose_it_is_and_nothing_is_recorded(running: RunningService) -> None:
    before = running.entries()
    desk, caller = running.service.routing_desk, Principal("an", frozenset({Scope.ROUTE}))
    found = running.run(desk.preview(caller, "kiểm tra MST 0123456789-001"))
    assert (found.skill_name, found.arguments) == (MST, {"mst": "0123456789-001"})
    assert found.may_invoke
    assert found.actor == "an"
    assert found.request_id is not None
    assert UUID(found.request_id).version == 4
    again = running.run(desk.preview(caller, "kiểm tra MST 0123456789-001"))
    assert again.request_id != found.request_id
    assert again.stamped(found.request_id, "an").encode() == found.encode()
    assert running.entries() == before


def test_each_method_needs_its_scope(running: RunningService) -> None:
    desk = running.service.routing_desk
    reader, router = (Principal("an", frozenset({scope})) for scope in (Scope.READ, Scope.ROUTE))
    for refused in (desk.preview(reader, "hello"), desk.evaluate(reader, [])):
        with pytest.raises(Forbidden, match="cuo:route"):
            running.run(refused)
    for refused_too in (desk.entries(router), desk.bank_of(router, HELLO)):
        with pytest.raises(Forbidden, match="skill:read"):
            running.run(refused_too)


def test_a_revoked_skill_is_not_routed_to_until_it_is_reinstated(running: RunningService) -> None:
    before = entries(running)
    assert picked(running, "hello") == HELLO
    running.run(running.service.oversight.revoke(OPERATOR, "hello-world", "it leaks"))
    assert picked(running, "hello") is None
    assert HELLO not in {each.skill.path for each in entries(running).entries}
    bank = running.run(running.service.routing_desk.bank_of(OPERATOR, "hello-world"))
    assert not bank.routable
    assert "hello" in bank.keywords
    running.run(running.service.oversight.reinstate(OPERATOR, "hello-world", ""))
    assert picked(running, "hello") == HELLO
    assert entries(running).fingerprint == before.fingerprint


def test_a_changed_catalogue_is_noticed(running: RunningService) -> None:
    before = entries(running)
    assert picked(running, "use added-later please") is None
    running.write("team/added-later")
    assert picked(running, "use added-later please") == "team/added-later"
    after = entries(running)
    assert after.fingerprint != before.fingerprint
    assert after.scanned_at > before.scanned_at


def test_a_decision_that_revokes_nothing_leaves_the_snapshot(running: RunningService) -> None:
    before = entries(running)
    running.run(running.service.oversight.grant(OPERATOR, "hello-world", "read_file"))
    assert entries(running).scanned_at == before.scanned_at


def test_all_who_ask_at_once_get_one_snapshot(running: RunningService) -> None:
    running.write("team/asked-for-by-many")

    async def ask() -> list[Entries]:
        return await asyncio.gather(*(running.service.routing_desk.entries(OPERATOR) for _ in range(8)))

    assert len({each.scanned_at for each in running.run(ask())}) == 1


def test_a_skill_elsewhere_takes_no_keywords_by_its_name(running: RunningService) -> None:
    running.write("taken/hello-world")
    assert picked(running, "hello") == HELLO
    bank = running.run(running.service.routing_desk.bank_of(OPERATOR, "taken/hello-world"))
    assert bank.keywords == ()


def test_what_is_read_out_of_a_query_for_a_skill(running: RunningService) -> None:
    desk = running.service.routing_desk
    invoice = running.run(desk.bank_of(OPERATOR, "vn-vat-invoice"))
    assert (invoice.has_extractor, invoice.skill.persona, invoice.skill.region) == (True, "CFO", "VN")
    assert invoice.required == ("seller_mst", "item", "amount_vnd", "tax_rate")
    hello = running.run(desk.bank_of(OPERATOR, HELLO))
    assert (hello.has_extractor, hello.required) == (False, ())
    with pytest.raises(SkillNotFound):
        running.run(desk.bank_of(OPERATOR, "nowhere"))


def test_arguments_become_the_input_of_the_skill(running: RunningService) -> None:
    desk = running.service.routing_desk
    query = "tạo hoá đơn cho ACME, MST 0123456789, số tiền 10 triệu"
    found = running.run(desk.preview(OPERATOR, query))
    assert found.arguments == {"mst": "0123456789", "amount_vnd": 10_000_000}
    assert found.missing == ("seller_mst", "item", "tax_rate")
    assert not found.may_invoke
    assert skill_input(found) == {"buyer_mst": "0123456789", "lines": [{"qty": 1, "unit_price": 10_000_000}]}
    assert skill_input(running.run(desk.preview(OPERATOR, "gửi hoá đơn cho khách hàng"))) is None


def test_what_can_be_read_in_two_ways_is_asked_for(running: RunningService) -> None:
    found = running.run(
        running.service.routing_desk.preview(OPERATOR, "so sánh MST 0100109106 và 0100233488")
    )
    assert (found.routed, found.ambiguous, found.may_invoke) == (True, ("mst",), False)
    assert found.question is not None


def test_a_persona_that_nobody_has_is_refused(running: RunningService) -> None:
    assert picked(running, "kiểm tra MST 0123456789", "CPO") is None
    assert picked(running, "kiểm tra MST 0123456789", "CFO") == MST
    with pytest.raises(InputInvalid, match="there are CEO"):
        picked(running, "hello", "KING")
