"""The seats, word for word, and which of them a query belongs to."""

from __future__ import annotations

from pathlib import Path

import pytest

from subgraph.errors import InputInvalid
from subgraph.routing import CatalogueSnapshot, KeywordBank, RoutingDataInvalid, builtin_personas, personas
from subgraph.routing.data_file import Part
from subgraph.routing.keyword_bank import BankEntry
from subgraph.routing.personas import Cause, load_personas, personas_of
from tests.support.routing import catalogue, decide, header, own_catalogue, own_headers

AUTO_OK = {
    "CEO": "draft strategy memo;summarise OKR progress;generate weekly state-of-business;prep board update",
    "COO": "status digest from PROJ;flag overdue tasks;summarise cycle end;draft 1:1 prep",
    "CFO": "cashflow snapshot;AR aging report;draft invoice (via INV);flag overdue receivable",
    "CMO": "draft campaign brief;summarise channel performance;propose A/B test;enforce brand voice",
    "CTO": "propose ADR;draft SRS;test-coverage report;summarise OBS digest;flag CVE",
    "CHRO": "draft 1:1 agenda;summarise perf reviews;draft job description;onboarding checklist",
    "CSO": "competitive scan;scenario model;partnership feasibility memo;option paper draft",
    "CLO": "contract redline draft;triage NDA;DSAR intake;PDPL gap analysis;policy draft",
    "CDO": "audit BRAIN doctor;data quality report;retention policy review;lineage diagram",
    "CPO": (
        "draft PRD;FR catalog refresh;requirements discovery interview;user-research synthesis;roadmap update"
    ),
}
DEFERS = {
    "CEO": "send memo to investors;flip Singapore HoldCo;change cap-table;terminate executive",
    "COO": "cancel a project;reassign owner;change vendor;override SLA",
    "CFO": "send invoice to client;execute wire;approve refund;change banking signatory",
    "CMO": "publish public-facing content;spend marketing budget;make public statement",
    "CTO": "deploy to production;rotate KMS key;grant new capability;disable security control",
    "CHRO": "make offer;terminate;adjust comp band;conduct performance conversation",
    "CSO": "approach partner;commit to strategic shift;execute M&A LOI",
    "CLO": "sign contract;execute DPA;file regulator submission;approve cross-border transfer",
    "CDO": "purge data;change retention period;approve cross-border export;disable encryption",
    "CPO": "ship feature;make customer-facing promise;change pricing;commit to roadmap publicly",
}
EMERGING = {
    "CAIO": ("CTO",),
    "CXO": ("CEO",),
    "CRO": ("CEO", "CFO"),
    "CSO_SUSTAINABILITY": ("CSO",),
}
TEXT = Path(personas.__file__).with_suffix(".yaml").read_text(encoding="utf-8")


def test_there_are_ten_seats_and_four_emerging_ones() -> None:
    assert list(builtin_personas().personas) == [*AUTO_OK, *EMERGING]


@pytest.mark.parametrize("code", AUTO_OK)
def test_a_seat_s_lists_are_those_of_the_document(code: str) -> None:
    persona = builtin_personas().personas[code]
    assert persona.auto_ok == tuple(AUTO_OK[code].split(";"))
    assert tuple(action.text for action in persona.defers) == tuple(DEFERS[code].split(";"))
    assert all(action.seat == code and action.cause is Cause.DEFERS for action in persona.defers)
    assert persona.seats == (code,)
    assert not persona.is_emerging


@pytest.mark.parametrize("code", EMERGING)
def test_an_emerging_seat_resolves_to_the_closest(code: str) -> None:
    persona = builtin_personas().resolve(code)
    assert persona.seats == EMERGING[code]
    assert persona.is_emerging
    assert " and ".join(EMERGING[code]) in persona.held


@pytest.mark.parametrize(("alias", "code"), [("CIO", "CTO"), ("CCO", "CLO"), ("CEO", "CEO")])
def test_a_seat_is_found_by_its_other_name(alias: str, code: str) -> None:
    assert builtin_personas().resolve(alias).code == code


@pytest.mark.parametrize("code", ["", "cto", "CUO", "X" * 1000])
def test_a_persona_that_nobody_has_is_refused(code: str) -> None:
    with pytest.raises(InputInvalid, match=r"no persona is named '.{0,40}'; there are CEO, COO"):
        decide("hello", persona=code)


@pytest.mark.parametrize(
    ("query", "persona"),
    [
        ("draft Q4 OKRs for the eng team", "CEO"),
        ("draft the Q3 OKR cascade", "CEO"),
        ("what's the test coverage on the auth module?", "CTO"),
        ("draft a 1:1 prep doc for Thursday", "COO"),
        ("draft 1:1 agenda", "CHRO"),
        ("kiểm tra MST 0123456789-001", "CFO"),
        ("kiểm tra CCCD 001099012345", "CLO"),
        ("viết PRD", "CPO"),
        ("báo cáo ESG", "CSO_SUSTAINABILITY"),
        ("update the AI risk register", "CAIO"),
        ("what is our win rate?", "CRO"),
        ("chiến dịch tháng 6", "CMO"),
        ("data lineage of the invoices table", "CDO"),
        ("phân tích cạnh tranh", "CSO"),
        ("run prd-author", "CPO"),
    ],
)
def test_a_query_belongs_to_a_persona(query: str, persona: str) -> None:
    assert decide(query).persona == persona


@pytest.mark.parametrize("code", AUTO_OK)
def test_what_a_seat_may_do_alone_belongs_to_it_and_is_not_deferred(code: str) -> None:
    for action in AUTO_OK[code].split(";"):
        found = decide(action)
        assert found.persona == code, action
        assert found.deferral is None


def test_a_classification_says_what_for() -> None:
    found = decide("write an SRS, propose an ADR").classification
    assert found.persona == "CTO"
    assert {"srs", "an srs", "adr"} <= set(found.reasons)
    assert found.tenths == 30 * len(found.reasons)


def test_a_name_counts_for_the_persona_of_its_skill() -> None:
    path = "x/made-up"
    bank = KeywordBank("test", {path: BankEntry("CMO", ("something else",))})
    snapshot = CatalogueSnapshot.of([header(path)], extractors="1", bank=bank)
    found = decide("made up", snapshot).classification
    assert (found.persona, found.tenths, found.reasons) == ("CMO", 50, ("made-up",))


def test_skills_that_say_whose_they_are_take_no_query_to_themselves() -> None:
    query = "tạo hoá đơn cho ACME, gói cước tháng này, mã hàng"
    names = ("goi-cuoc", "thang-nay", "ma-hang")
    pack = [header(f"elsewhere/{name}", region="VN", cyberos_persona="CHRO") for name in names]
    found = decide(query, CatalogueSnapshot.of([*own_headers(), *pack], extractors="1"))
    assert (found.skill_name, found.persona) == ("cyberskill-vn/vn-vat-invoice", "CFO")
    assert found.classification == decide(query).classification


def test_nothing_speaks_for_any_persona() -> None:
    found = decide("what is the weather").classification
    assert (found.persona, found.seats, found.decided) == (None, (), False)


def test_of_equal_personas_the_first_is_named_and_none_is_decided() -> None:
    found = decide("runway; payroll").classification
    assert (found.persona, found.decided) == ("CEO", False)


def test_the_skill_that_is_picked_settles_an_open_persona() -> None:
    open_one = decide("runway; payroll; prd")
    assert (open_one.skill_name, open_one.persona) == ("cuo/cpo/prd-audit", "CPO")
    assert open_one.classification.reasons == ("prd-audit",)
    assert not open_one.classification.decided


def test_a_query_is_routed_within_its_persona() -> None:
    # By the score alone the region's two points would decide.
    query = "PRD cho lộ trình: hóa đơn, hóa đơn điện tử; viết PRD"
    alone, within = decide(query, by_persona=False), decide(query)
    assert alone.router_phase.value == "phase1_rule"
    assert within.router_phase.value == "phase4_persona"
    assert within.persona == "CPO"
    assert {"cuo/cpo"} == {one.skill_name.rpartition("/")[0] for one in within.alternatives}


def test_a_persona_without_a_skill_for_it_leaves_the_query_to_all() -> None:
    found = decide("marketing campaign about the decree")
    assert (found.persona, found.router_phase.value) == ("CMO", "phase1_rule")
    assert found.skill_name == "cyberskill-vn/vn-legal-compliance"


def test_a_persona_that_was_asked_for_has_its_skills_alone() -> None:
    query = "kiểm tra MST 0123456789"
    assert decide(query, persona="CFO").skill_name == "cyberskill-vn/vn-mst-validate"
    assert decide(query, persona="CRO").skill_name == "cyberskill-vn/vn-mst-validate"
    asked = decide(query, persona="CTO")
    assert (asked.skill_name, asked.persona, asked.asked_persona) == (None, "CTO", "CTO")
    assert decide("hello", persona="CTO").skill_name == "cuo/hello-world"
    assert decide("draft SRS", persona="CAIO").skill_name == "cuo/cto/srs-author"


def test_a_skill_s_claim_of_a_persona_only_keeps_it_out_of_the_others() -> None:
    snapshot = catalogue(
        header("x/claims-cfo", cyberos_persona="CFO"),
        header("x/claims-nothing"),
        header("x/claims-nonsense", cyberos_persona="BOSS"),
        header("x/claims-emerging", cyberos_persona="CAIO"),
        *own_headers(),
    )
    owners = {skill.name: skill.persona for skill in snapshot.skills}
    assert owners["claims-cfo"] == "CFO"
    assert owners["claims-nothing"] is owners["claims-nonsense"] is owners["claims-emerging"] is None
    assert owners["vn-vat-invoice"] == "CFO"


def test_personas_are_the_same_after_they_were_stored() -> None:
    stored = personas_of(Part("stored", builtin_personas().as_data()))
    assert stored == builtin_personas()
    assert list(stored.personas) == list(builtin_personas().personas)
    assert own_catalogue().personas is builtin_personas()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (TEXT[TEXT.index("personas:\n") : TEXT.index("emerging:")], "personas: {}\n", "there must be a seat"),
        ("    held: Founder seat\n", "", "the field 'held' is missing"),
        ("  CAIO:\n", "  CTO:\n", "'CTO' is a seat already"),
        ("      - CIO\n", "      - CEO\n", "'CEO' names two personas"),
        ("    seats:\n      - CTO\n", "    seats: []\n", "needs at least one that does its work"),
        ("    seats:\n      - CTO\n", "    seats: [CXO]\n", "'CXO' is no seat; there are CEO, COO"),
        ("    seat: CDO\n", "    seat: NOBODY\n", "'NOBODY' is no seat"),
        ("action: terminate\n", "action: '…'\n", "'…' has a part without words"),
        ("action: terminate\n", "action: terminate\n        seat: CEO\n", "unknown field 'seat'"),
        ("          - singapore flip|", "          - 'a .. '\n          - singapore flip|", "without words"),
        ("personas:\n", "order: [CEO]\npersonas:\n", "the order must name each persona once"),
    ],
)
def test_a_fault_of_the_personas_is_said(old: str, new: str, message: str) -> None:
    assert old in TEXT
    with pytest.raises(RoutingDataInvalid, match=message):
        load_personas(TEXT.replace(old, new, 1), "personas.yaml")
