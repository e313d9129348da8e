from __future__ import annotations

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from subgraph.execution.confinement import NOTHING
from subgraph.execution.script_pool import Script
from tests.execution.scripts import LIMITS, Scripts, scripts
from tests.support.kernel import needs_script_confinement
from tests.support.parity import Twins, compact, expected, fixtures_of
from tests.support.toolchain import HOST, Answer
from tests.support.vat_invoices import (
    BUYER,
    GDT,
    GDT_TREE,
    HOSTILE_NAMES,
    NAMESPACE,
    SIMPLE,
    SKILL,
    Both,
    check_gdt,
    codes,
    invoices,
    label_of,
    line,
    output,
    texts,
    xml_of,
)

DOCUMENT = (SKILL / "SKILL.md").read_text(encoding="utf-8")
FIXTURES = {fixture.id: fixture for fixture in fixtures_of(SKILL)}

property_test = settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("workspace")


@pytest.fixture(scope="module")
def twins(workspace: Path) -> Twins:
    return Twins(SKILL, workspace)


@pytest.fixture(scope="module")
def both(twins: Twins) -> Both:
    return twins.ask


class TestQuickstart:
    def test_starts_with_what_the_documentation_prints(self) -> None:
        text = FIXTURES["quickstart"].answer
        assert text.startswith('<Invoice xmlns="urn:vn:gdt:v3">\n  <BuyerTaxCode>0123456789</BuyerTaxCode>\n')
        assert "<TaxAmount>1000000</TaxAmount>\n  </LineItem>\n" in text

    @pytest.mark.parametrize(
        ("fixture_id", "tax"),
        [("fifteen-line", 6), ("fifteen-rate-group", 5), ("fifteen-gdt", 5), ("fifteen-gdt-line", 6)],
    )
    def test_three_lines_of_15(self, fixture_id: str, tax: int) -> None:
        answer = json.loads(FIXTURES[fixture_id].answer)
        assert answer["totals"]["tax"] == tax
        assert answer["totals"]["by_rate"] == [{"tax_rate": "10%", "amount": 45, "tax": tax}]


class TestDocument:
    @property_test
    @given(request=invoices("simple"))
    def test_simple_parses_back_to_what_was_given(self, both: Both, request: dict[str, Any]) -> None:
        answer = output(both, request)
        assume(answer["ok"])
        root = xml_of(answer)
        assert texts(root, "LineItem/Item") == [given_line["item"] for given_line in request["lines"]]
        assert texts(root, "LineItem/Code") == [
            entry["code"] for entry in request["lines"] if "code" in entry
        ]
        rates = [label_of(given_line.get("tax_rate", "KKKNT")) for given_line in request["lines"]]
        assert texts(root, "LineItem/TaxRate") == rates
        assert texts(root, "BuyerName") == ([request["buyer"]["name"]] if "buyer" in request else [])
        for given_line, item in zip(request["lines"], root.findall(f"{NAMESPACE}LineItem"), strict=True):
            assert Decimal(texts(item, "Quantity")[0]) == Decimal(given_line.get("qty", 0))
            assert Decimal(texts(item, "UnitPrice")[0]) == Decimal(given_line.get("unit_price", 0))

    def test_simple_has_the_elements_of_its_reference_in_their_order(self, both: Both) -> None:
        text = (SKILL / "references" / "simple-profile.md").read_text(encoding="utf-8")
        outer, inner = (
            re.findall(r"\w+", " ".join(re.findall(r"^\| (`[A-Z].*?) \|", part, re.MULTILINE)))
            for part in text.split("elements of `LineItem`")
        )
        party = {"name": "Ví Dụ", "address": "1 Phố Ví Dụ"}
        lines = [
            line(code="A", unit="giờ", discount=1),
            line("Chiết khấu", 1, 5, kind="discount"),
            {"item": "x", "kind": "note"},
        ]
        request = {
            **SIMPLE,
            "buyer_mst": BUYER,
            "buyer": party,
            "seller": party,
            "number": "7",
            "lines": lines,
        }
        root = xml_of(output(both, {**request, "currency": "USD", "exchange_rate": 1}))
        names = [child.tag.removeprefix(NAMESPACE) for child in root]
        assert list(dict.fromkeys(names)) == outer
        items = root.findall(f"{NAMESPACE}LineItem")
        assert [child.tag.removeprefix(NAMESPACE) for child in items[0]] == inner
        assert [texts(item, "Amount")[0] for item in items] == ["999999", "-5", "0"]

    @pytest.mark.parametrize(
        "fixture_id", [name for name in FIXTURES if "gdt" in name or name == "foreign-currency"]
    )
    def test_gdt_keeps_to_the_tree(self, fixture_id: str) -> None:
        text = FIXTURES[fixture_id].answer
        if text.startswith("{"):
            text = json.loads(text)["xml"]
        if not FIXTURES[fixture_id].fails:
            assert text.startswith('<?xml version="1.0" encoding="UTF-8"?>\n<HDon>\n')
            root = ElementTree.fromstring(text.encode())  # noqa: S314 - our own
            check_gdt(root)
            assert [child.tag for child in root] == ["DLHDon", "DSCKS"]
            assert [len(child) for child in root.iterfind("DSCKS/*")] == [0]

    def test_gdt_reference_names_every_element_of_the_tree(self) -> None:
        text = (SKILL / "references" / "gdt-xml-format.md").read_text(encoding="utf-8")
        for name in re.findall(r"\w+", " ".join(GDT_TREE.values())):
            assert re.search(rf"\b{name}\b", text), name

    def test_gdt_lines_by_their_kind(self, both: Both) -> None:
        lines = [line(kind=kind) for kind in ("goods", "promotion", "discount", "special")]
        answer = output(both, {**GDT, "lines": [*lines, {"item": "x", "kind": "note"}]})
        place = "DLHDon/NDHDon/DSHHDVu/HHDVu"
        root = xml_of(answer)
        assert texts(root, f"{place}/TChat") == ["1", "2", "3", "5", "4"]
        assert texts(root, f"{place}/ThTien") == ["1000000", "0", "1000000", "1000000"]
        assert answer["totals"]["amount"] == 1000000

    @pytest.mark.parametrize("name", HOSTILE_NAMES)
    def test_names_survive(self, both: Both, name: str) -> None:
        party = {"name": name, "address": name}
        request = {
            "buyer_mst": BUYER,
            "buyer": party,
            "seller": party,
            "lines": [line(name, code=name, unit=name)],
        }
        for base in (SIMPLE, GDT):
            root = xml_of(output(both, {**base, **request}))
            assert [found.text for found in root.iter()].count(name) == 7

    @pytest.mark.parametrize("character", [*map(chr, range(0x20)), "\ufffe", "\uffff"])
    def test_characters_outside_xml_are_refused(self, both: Both, character: str) -> None:
        answer = both(compact({**SIMPLE, "lines": [line(f"a{character}b")]}))
        assert answer.ok is (character in "\t\n\r")
        if not answer.ok:
            assert (
                answer.text == 'input_invalid: the field "lines[0].item" has a character that XML cannot hold'
            )


class TestTaxCodes:
    @pytest.mark.parametrize("role", ["seller", "buyer", "provider"])
    def test_faults_by_their_role(self, both: Both, role: str) -> None:
        base = {**SIMPLE, "buyer_mst": BUYER, "lines": [line()]}
        for code, fault in [("0123456789", "mismatch"), ("9876543210", "impossible")]:
            found = (f"{role}_mst_check_digit_{fault}", f"{role}_mst")
            assert found in codes(output(both, {**base, f"{role}_mst": code}))
            refused = output(both, {**base, f"{role}_mst": code, "strict": True})
            assert (refused["reason"], refused["field"]) == found
        refused = output(both, {**base, f"{role}_mst": "0000000000"})
        assert (refused["ok"], refused["reason"]) == (False, f"{role}_mst_invalid")
        early = {**base, f"{role}_mst": "079203012345", "issue_date": "2025-06-30"}
        assert output(both, early)["reason"] == f"{role}_mst_not_in_force"
        assert output(both, {**early, "issue_date": "2025-07-01"})["ok"]


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(HOSTILE_NAMES),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)
FULL = {
    **GDT, "provider_mst": BUYER, "buyer_mst": BUYER, "buyer": {"name": "Ví Dụ"}, "form": "1", "strict": True,
    "payment_method": "TM", "currency": "USD", "exchange_rate": 25000.5, "lines": [line()],
}  # fmt: skip
PARTS = [
    "name",
    "address",
    "phone",
    "email",
    "bank_account",
    "bank_name",
    "personal_id",
    "representative",
    "fax",
]


class TestParity:
    @settings(property_test, max_examples=400)
    @given(name=st.sampled_from([*FULL, "rounding", "unknown"]), value=JSON_VALUES)
    def test_on_any_value_of_a_field(self, both: Both, name: str, value: object) -> None:
        answer = both(json.dumps({**FULL, name: value}))
        assert answer.ok or answer.text.startswith("input_invalid: ")

    @property_test
    @given(role=st.sampled_from(["seller", "buyer"]), name=st.sampled_from(PARTS), value=JSON_VALUES)
    def test_on_any_value_of_a_party(self, both: Both, role: str, name: str, value: object) -> None:
        answer = both(json.dumps({**FULL, role: {"name": "a", "address": "b", name: value}}))
        assert answer.ok or answer.text.startswith("input_invalid: ")

    @settings(property_test, max_examples=400)
    @given(
        kind=st.sampled_from(["goods", "note", "discount", "promotion"]),
        name=st.sampled_from([*line(), "code", "unit", "kind", "discount_rate", "discount", "tax"]),
        value=JSON_VALUES | st.sampled_from(["1e5", "-0", "0.0000001", "٣", "1.", " 1", "000000000000000.5"]),
    )
    def test_on_any_value_of_a_line(self, both: Both, kind: str, name: str, value: object) -> None:
        given_line = {"item": "a", "kind": kind} if kind == "note" else line(kind=kind)
        answer = both(json.dumps({**FULL, "lines": [line(price=1e9), {**given_line, name: value}]}))
        assert answer.ok or answer.text.startswith("input_invalid: ")


class TestFile:
    def test_has_the_bytes_of_the_answer(self, workspace: Path, both: Both) -> None:
        request = {**GDT, "lines": [line("Hóa đơn\r\n👩‍💻")], "output_path": "thư mục/một.xml"}
        answer = output(both, request)
        assert answer["written"] == request["output_path"]
        assert (workspace / request["output_path"]).read_bytes().decode() == answer["xml"]
        assert "written" not in output(both, {**request, "strict": True, "seller_mst": "0123456789"})

    def test_is_written_only_with_a_path(self, twins: Twins) -> None:
        before = twins.guest.host_calls
        assert twins.guest.call(FIXTURES["mixed-gdt"].text).ok
        assert twins.guest.host_calls == before
        assert twins.guest.imports() == {HOST: ["write-file"]}

    @property_test
    @given(path=st.from_regex(r"[a-zđ./\\ ~-]{0,12}(\.xml)?", fullmatch=True))
    def test_never_leaves_the_workspace(self, twins: Twins, path: str) -> None:
        read = twins.reference.modules["invoice_request"].read_request
        try:
            accepted = read(compact({**SIMPLE, "lines": [line()], "output_path": path})).output_path
        except ValueError:
            return
        assert accepted == path
        assert path.endswith(".xml")
        assert not path.startswith("/")
        assert ".." not in path


class TestDocumentation:
    def test_every_reason_warning_and_field_is_described(self, twins: Twins, both: Both) -> None:
        modules = twins.reference.modules
        roles = ("seller", "buyer", "provider")
        faults = ("invalid", "not_in_force", "check_digit_mismatch", "check_digit_impossible")
        messages = {*modules["invoice_refusals"].REFUSALS, *modules["invoice_refusals"].WARNINGS}
        request = modules["invoice_request"]
        words = messages | {f"{role}_mst_{fault}" for role in roles for fault in faults}
        words |= {*request.FIELDS, *request.BUYER_FIELDS, *request.LINE_FIELDS, *request.KINDS}
        answer = output(both, {**SIMPLE, "lines": [line()]})
        words |= {
            "rate_not_in_force",
            *answer,
            *answer["totals"],
            *answer["warnings"][0],
            *answer["totals"]["by_rate"][0],
        }
        words |= {*output(both, {**SIMPLE, "lines": [line(rate=7)]})}
        assert {word for word in words if f"`{word}`" not in DOCUMENT} == set()

    def test_examples_are_real(self, both: Both) -> None:
        [start] = re.findall(r"```xml\n(.*?)```", DOCUMENT, re.DOTALL)
        assert FIXTURES["quickstart"].answer.startswith(start)
        [(text, answer)] = re.findall(
            r"`(\{\"seller_mst\".*?\})`.*?```json\n(\{.*?)\}\n```", DOCUMENT, re.DOTALL
        )
        assert both(text).text.startswith(answer + ",")


@pytest.fixture(scope="module")
def executor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scripts]:
    with scripts(tmp_path_factory.mktemp("unused")) as opened:
        yield opened


@needs_script_confinement
@pytest.mark.parametrize("mode", ["isolated", "shared"])
@pytest.mark.parametrize("fixture_id", ["quickstart", "mixed-gdt", "eight-before", "name-with-nul"])
def test_confined_script_answers_as_the_component(executor: Scripts, mode: str, fixture_id: str) -> None:
    script = Script("hash", SKILL / "scripts" / "make_invoice.py", SKILL, shared=mode == "shared")
    fixture = FIXTURES[fixture_id]
    reply = executor.loop.run(executor.pool.run(script, fixture.text, LIMITS, NOTHING))
    assert Answer(reply.exit_code == 0, reply.output or reply.error or "") == expected(fixture)
