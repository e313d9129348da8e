from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from subgraph.execution.confinement import NOTHING, directories_grantable
from subgraph.execution.script_pool import Script
from tests.execution.scripts import LIMITS, Scripts, scripts
from tests.support.parity import SKILLS, Reference, compact, fixtures_of
from tests.support.toolchain import HOST, Answer, Guest, build_skill
from tests.support.vat_invoices import (
    BUYER,
    GDT,
    GDT_TREE,
    HOSTILE_NAMES,
    SIMPLE,
    check_gdt,
    expected_sums,
    invoices,
    label_of,
    line,
    read_words,
)

SKILL = SKILLS / "cyberskill-vn" / "vn-vat-invoice"
DOCUMENT = (SKILL / "SKILL.md").read_text(encoding="utf-8")
FIXTURES = {fixture.id: fixture for fixture in fixtures_of(SKILL)}
NAMESPACE = "{urn:vn:gdt:v3}"
Both = Callable[[str], Answer]

property_test = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("workspace")


@pytest.fixture(scope="module")
def reference(workspace: Path) -> Reference:
    return Reference(SKILL, workspace)


@pytest.fixture(scope="module")
def guest(workspace: Path) -> Guest:
    return Guest(build_skill(SKILL), workspace)


@pytest.fixture(scope="module")
def both(reference: Reference, guest: Guest) -> Both:
    """Ask the reference and the component, which must agree to the byte."""

    def ask(text: str) -> Answer:
        expected = reference.call(text)
        assert guest.call(text) == expected
        return expected

    return ask


def output(both: Both, request: dict[str, Any]) -> dict[str, Any]:
    answer = both(compact(request))
    assert answer.ok, answer.text
    parsed: dict[str, Any] = json.loads(answer.text, parse_float=Decimal)
    return parsed


def xml_of(answer: dict[str, Any]) -> ElementTree.Element:
    return ElementTree.fromstring(answer["xml"].encode())  # noqa: S314 - our own


def texts(root: ElementTree.Element, path: str) -> list[str]:
    namespace = NAMESPACE if root.tag.startswith("{") else ""
    return [
        found.text or "" for found in root.findall("/".join(namespace + name for name in path.split("/")))
    ]


def codes(answer: dict[str, Any]) -> list[tuple[str, str | None]]:
    return [(warning["code"], warning["field"]) for warning in answer["warnings"]]


class TestQuickstart:
    def test_starts_with_what_the_documentation_prints(self) -> None:
        text = FIXTURES["quickstart"].answer.text
        assert text.startswith('<Invoice xmlns="urn:vn:gdt:v3">\n  <BuyerTaxCode>0123456789</BuyerTaxCode>\n')
        assert "<TaxAmount>1000000</TaxAmount>\n  </LineItem>\n" in text

    @pytest.mark.parametrize(
        ("fixture_id", "tax"),
        [("fifteen-line", 6), ("fifteen-rate-group", 5), ("fifteen-gdt", 5), ("fifteen-gdt-line", 6)],
    )
    def test_three_lines_of_15(self, fixture_id: str, tax: int) -> None:
        answer = json.loads(FIXTURES[fixture_id].answer.text)
        assert answer["totals"]["tax"] == tax
        assert answer["totals"]["by_rate"] == [{"tax_rate": "10%", "amount": 45, "tax": tax}]


class TestTotals:
    """Against the same sums by `decimal`, in both profiles, both roundings and two kinds of currency."""

    @settings(property_test, max_examples=1500)
    @given(request=st.sampled_from(["simple", "gdt"]).flatmap(invoices))
    def test_are_those_of_an_independent_computation(self, both: Both, request: dict[str, Any]) -> None:
        answer = output(both, request)
        sums = expected_sums(request, request["rounding"])
        if not answer["ok"]:
            # A discount of a line that is too large is refused before the sums are looked at.
            negative = any(part < 0 for pair in sums.rates.values() for part in pair)
            assert answer["reason"] == "discount_exceeds_amount" or (
                negative and answer["reason"] == "discount_exceeds_goods"
            )
            return
        totals = answer["totals"]
        assert {part["tax_rate"]: (part["amount"], part["tax"]) for part in totals["by_rate"]} == sums.rates
        assert (totals["amount"], totals["tax"], totals["discount"]) == (sums.amount, sums.tax, sums.discount)
        assert totals["grand_total"] == sums.amount + sums.tax == read_words(totals["in_words"])
        self.check_document(xml_of(answer), totals, request)

    def check_document(
        self, root: ElementTree.Element, totals: dict[str, Any], request: dict[str, Any]
    ) -> None:
        gdt = request.get("profile") == "gdt"
        group = "DLHDon/NDHDon/TToan/THTTLTSuat/LTSuat/" if gdt else "TaxTotal/"
        amount, tax = ("ThTien", "TThue") if gdt else ("Amount", "TaxAmount")
        assert sum(map(Decimal, texts(root, group + amount))) == totals["amount"]
        assert sum(map(Decimal, texts(root, group + tax))) == totals["tax"]
        pay = "DLHDon/NDHDon/TToan/"
        paths = (
            ("TgTCThue", "TgTThue", "TgTTTBSo") if gdt else ("TotalAmount", "TotalTaxAmount", "GrandTotal")
        )
        whole = [Decimal(text) for path in paths for text in texts(root, pay * gdt + path)]
        assert whole == [totals["amount"], totals["tax"], totals["grand_total"]]
        assert texts(root, pay + "TgTTTBChu" if gdt else "AmountInWords") == [totals["in_words"]]
        if gdt:
            check_gdt(root)
            assert [Decimal(text) for text in texts(root, pay + "TTCKTMai")] == [totals["discount"]] * bool(
                totals["discount"]
            )
        elif request["rounding"] == "line":
            assert sum(map(Decimal, texts(root, "LineItem/TaxAmount"))) == totals["tax"]
            assert sum(map(Decimal, texts(root, "LineItem/Amount"))) == totals["amount"]

    @pytest.mark.parametrize("base", [SIMPLE, GDT], ids=["simple", "gdt"])
    def test_of_a_thousand_lines(self, both: Both, base: dict[str, Any]) -> None:
        choice = random.Random(20261120)  # noqa: S311
        lines = [
            line(
                f"Mặt hàng {number}",
                choice.randrange(1, 99) / 4,
                choice.randrange(100, 10**6),
                choice.choice(["10%", 0.05, "KCT"]),
            )
            for number in range(1000)
        ]
        request = {**base, "lines": lines}
        answer = output(both, request)
        sums = expected_sums(request, answer["rounding"])
        assert (answer["totals"]["amount"], answer["totals"]["tax"]) == (sums.amount, sums.tax)
        name = "DLHDon/NDHDon/DSHHDVu/HHDVu/THHDVu" if base is GDT else "LineItem/Item"
        assert texts(xml_of(answer), name) == [entry["item"] for entry in lines]


class TestWords:
    # As people write them, not as the skill does.
    @pytest.mark.parametrize(
        ("number", "words"),
        [
            (1, "Một"), (10, "Mười"), (11, "Mười một"), (15, "Mười lăm"), (21, "Hai mươi mốt"),
            (24, "Hai mươi tư"), (25, "Hai mươi lăm"), (101, "Một trăm lẻ một"), (105, "Một trăm lẻ năm"),
            (110, "Một trăm mười"), (115, "Một trăm mười lăm"), (1001, "Một nghìn không trăm lẻ một"),
            (1005, "Một nghìn không trăm lẻ năm"),
            (10_000_000, "Mười triệu"), (1_000_000_000, "Một tỷ"), (1_000_000_000_000, "Một nghìn tỷ"),
            (1_002_003_004, "Một tỷ không trăm lẻ hai triệu không trăm lẻ ba nghìn không trăm lẻ bốn"),
        ],
    )  # fmt: skip
    def test_of_known_amounts(self, both: Both, number: int, words: str) -> None:
        answer = output(both, {**SIMPLE, "lines": [line(price=number, rate="KCT")]})
        assert answer["totals"]["in_words"] == f"{words} đồng"

    def test_of_the_reference_table(self, reference: Reference) -> None:
        in_words = reference.modules["amount_words"].amount_in_words
        text = (SKILL / "references" / "amount-in-words.md").read_text(encoding="utf-8")
        rows = re.findall(r"^\| (\d+) \| (.*) \|$", text, re.MULTILINE)
        assert len(rows) > 20
        assert [(number, in_words(int(number), "VND")) for number, _ in rows] == rows

    def test_read_back_as_the_number_up_to_18_digits(self, reference: Reference) -> None:
        in_words = reference.modules["amount_words"].amount_in_words
        choice = random.Random(20261120)  # noqa: S311
        # Groups of zeros, and small numbers in the groups, are where the words differ.
        groups = [
            "000",
            "001",
            "004",
            "005",
            "010",
            "011",
            "014",
            "015",
            "020",
            "021",
            "024",
            "025",
            "100",
            "104",
        ]
        numbers = [
            int("".join(choice.choices([*groups, f"{choice.randrange(1000):03}"], k=6))) for _ in range(5000)
        ]
        for number in [*range(10_000), *numbers, 10**18 - 1]:
            words = in_words(number, "VND")
            assert read_words(words) == number, words
            assert len(words) <= 255
            assert read_words(in_words(number, "USD")) == Decimal(number) / 100

    @property_test
    @given(number=st.integers(0, 999_999_999_999_999), currency=st.sampled_from(["VND", "USD"]))
    def test_are_the_same_in_both_twins(self, both: Both, number: int, currency: str) -> None:
        exact = str(number) if currency == "VND" else f"{number // 100}.{number % 100:02}"
        request = {**SIMPLE, "currency": currency, "lines": [line(price=exact, rate="KCT")]}
        answer = output(both, request | ({} if currency == "VND" else {"exchange_rate": 25000}))
        assert read_words(answer["totals"]["in_words"]) == Decimal(exact) == answer["totals"]["grand_total"]


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
        text = FIXTURES[fixture_id].answer.text
        if text.startswith("{"):
            text = json.loads(text)["xml"]
        if FIXTURES[fixture_id].answer.ok:
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


class TestRates:
    TABLE: dict[str, Any] = json.loads((SKILL / "assets" / "tax-rates.json").read_text(encoding="utf-8"))

    def test_are_those_in_force_as_of_the_date_printed(self) -> None:
        window = {"8%": ("2025-07-01", "2026-12-31")}
        rates = {"0%": "0", "5%": "0.05", "8%": "0.08", "10%": "0.10", "KCT": None, "KKKNT": None}
        assert self.TABLE["as_of"] == "2026-11-20"
        assert {entry["label"]: entry["rate"] for entry in self.TABLE["rates"]} == rates
        for entry in self.TABLE["rates"]:
            assert (entry["valid_from"], entry["valid_to"]) == window.get(entry["label"], (None, None))

    def test_documents_and_messages_have_the_same_dates(self, reference: Reference) -> None:
        refusals = reference.modules["invoice_refusals"]
        [eight] = [entry for entry in self.TABLE["rates"] if entry["label"] == "8%"]
        table = (SKILL / "references" / "gdt-xml-format.md").read_text(encoding="utf-8")
        assert re.search(rf"\| `8%` .*\| {eight['valid_from']} \| {eight['valid_to']} \|", table)
        for code in ("issue_date_missing", "issue_date_after_rules"):
            assert refusals.WARNINGS[code].endswith(self.TABLE["as_of"])
        assert re.findall(r"\d{4}-\d\d-\d\d", reference.module.VERIFY) == [self.TABLE["as_of"]]
        assert f"8% before {eight['valid_from']} or after {eight['valid_to']}" in DOCUMENT
        assert self.TABLE["as_of"] == reference.modules["tax_code"].AS_OF

    @pytest.mark.parametrize(
        ("day", "in_force"),
        [("2025-06-30", False), ("2025-07-01", True), ("2026-12-31", True), ("2027-01-01", False)],
    )
    @pytest.mark.parametrize("rate", [0.08, "8%", "0.08"])
    def test_eight_per_cent_has_its_time(self, both: Both, day: str, in_force: bool, rate: object) -> None:
        answer = output(
            both, {**SIMPLE, "issue_date": day, "lines": [line(rate=0.1), line(rate=rate), line(rate=rate)]}
        )
        if in_force:
            assert codes(answer).count(("reduced_rate_eligibility", "lines[1].tax_rate")) == 1
        else:
            assert (answer["reason"], answer["field"]) == ("rate_not_in_force", "lines[1].tax_rate")
            assert answer["message"] == f"8% is not in force on {day}, but from 2025-07-01 to 2026-12-31"

    @property_test
    @given(
        rate=st.decimals(-1, 11, places=2).map(float)
        | st.text(max_size=12)
        | st.from_regex(r"KHAC:\d\d[.,]\d\d%?")
    )
    def test_nothing_else_is_a_rate(self, both: Both, rate: float | str) -> None:
        answer = both(compact({**SIMPLE, "lines": [line(rate=rate)]}))
        if answer.ok:
            parsed = json.loads(answer.text)
            known = {*(entry["label"] for entry in self.TABLE["rates"]), 0, 0.05, 0.08, 0.1}
            digits = isinstance(rate, str) and re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", rate)
            other = re.fullmatch(r"KHAC:[0-9]{2}\.[0-9]{2}%", str(rate))
            if parsed["ok"]:
                assert rate in known or other or digits
            else:
                assert rate not in known
                assert parsed["reason"] == ("rate_has_label" if other else "rate_not_known")
                assert "KHAC" in parsed["message"]

    def test_no_tax_is_not_a_rate_of_zero(self, both: Both) -> None:
        labels = ["KKKNT", "0%", "KCT"]
        for base in (SIMPLE, GDT):
            answer = output(both, {**base, "lines": [line(rate=label) for label in labels]})
            assert [part["tax_rate"] for part in answer["totals"]["by_rate"]] == labels


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
    def test_has_the_bytes_of_the_answer(self, both: Both, workspace: Path) -> None:
        request = {**GDT, "lines": [line("Hóa đơn\r\n👩‍💻")], "output_path": "thư mục/một.xml"}
        answer = output(both, request)
        assert answer["written"] == request["output_path"]
        assert (workspace / request["output_path"]).read_bytes().decode() == answer["xml"]
        assert "written" not in output(both, {**request, "strict": True, "seller_mst": "0123456789"})

    def test_is_written_only_with_a_path(self, guest: Guest) -> None:
        before = guest.host_calls
        assert guest.call(FIXTURES["mixed-gdt"].text).ok
        assert guest.host_calls == before
        assert guest.imports() == {HOST: ["write-file"]}

    @property_test
    @given(path=st.from_regex(r"[a-zđ./\\ ~-]{0,12}(\.xml)?", fullmatch=True))
    def test_never_leaves_the_workspace(self, reference: Reference, path: str) -> None:
        read = reference.modules["invoice_request"].read_request
        try:
            accepted = read(compact({**SIMPLE, "lines": [line()], "output_path": path})).output_path
        except ValueError:
            return
        assert accepted == path
        assert path.endswith(".xml")
        assert not path.startswith("/")
        assert ".." not in path


class TestDocumentation:
    def test_every_reason_warning_and_field_is_described(self, reference: Reference, both: Both) -> None:
        modules = reference.modules
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
        assert FIXTURES["quickstart"].answer.text.startswith(start)
        [(text, answer)] = re.findall(
            r"`(\{\"seller_mst\".*?\})`.*?```json\n(\{.*?)\}\n```", DOCUMENT, re.DOTALL
        )
        assert both(text).text.startswith(answer + ",")


@pytest.fixture(scope="module")
def executor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scripts]:
    with scripts(tmp_path_factory.mktemp("unused")) as opened:
        yield opened


@pytest.mark.skipif(not directories_grantable(), reason="this kernel cannot confine scripts")
@pytest.mark.parametrize("mode", ["isolated", "shared"])
@pytest.mark.parametrize("fixture_id", ["quickstart", "mixed-gdt", "eight-before", "name-with-nul"])
def test_confined_script_answers_as_the_component(executor: Scripts, mode: str, fixture_id: str) -> None:
    script = Script("hash", SKILL / "scripts" / "make_invoice.py", SKILL, shared=mode == "shared")
    fixture = FIXTURES[fixture_id]
    reply = executor.loop.run(executor.pool.run(script, fixture.text, LIMITS, NOTHING))
    assert Answer(reply.exit_code == 0, reply.output or reply.error or "") == fixture.answer
