"""The figures of vn-vat-invoice: totals, amounts in words, rates."""

from __future__ import annotations

import json
import random
import re
from decimal import Decimal
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.parity import Twins, compact
from tests.support.vat_invoices import (
    GDT,
    SIMPLE,
    SKILL,
    Both,
    check_gdt,
    codes,
    expected_sums,
    invoices,
    line,
    output,
    read_words,
    texts,
    xml_of,
)

DOCUMENT = (SKILL / "SKILL.md").read_text(encoding="utf-8")

property_test = settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> Twins:
    return Twins(SKILL, tmp_path_factory.mktemp("workspace"))


@pytest.fixture(scope="module")
def both(twins: Twins) -> Both:
    return twins.ask


class TestTotals:
    """Against the same sums by `decimal`, in both profiles, both roundings and two kinds of currency."""

    @settings(property_test, max_examples=1000)
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

    def test_of_the_reference_table(self, twins: Twins) -> None:
        in_words = twins.reference.modules["amount_words"].amount_in_words
        text = (SKILL / "references" / "amount-in-words.md").read_text(encoding="utf-8")
        rows = re.findall(r"^\| (\d+) \| (.*) \|$", text, re.MULTILINE)
        assert len(rows) > 20
        assert [(number, in_words(int(number), "VND")) for number, _ in rows] == rows

    def test_read_back_as_the_number_up_to_18_digits(self, twins: Twins) -> None:
        in_words = twins.reference.modules["amount_words"].amount_in_words
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


class TestRates:
    TABLE: dict[str, Any] = json.loads((SKILL / "assets" / "tax-rates.json").read_text(encoding="utf-8"))

    def test_are_those_in_force_as_of_the_date_printed(self) -> None:
        window = {"8%": ("2025-07-01", "2026-12-31")}
        rates = {"0%": "0", "5%": "0.05", "8%": "0.08", "10%": "0.10", "KCT": None, "KKKNT": None}
        assert self.TABLE["as_of"] == "2026-11-20"
        assert {entry["label"]: entry["rate"] for entry in self.TABLE["rates"]} == rates
        for entry in self.TABLE["rates"]:
            assert (entry["valid_from"], entry["valid_to"]) == window.get(entry["label"], (None, None))

    def test_documents_and_messages_have_the_same_dates(self, twins: Twins) -> None:
        refusals = twins.reference.modules["invoice_refusals"]
        [eight] = [entry for entry in self.TABLE["rates"] if entry["label"] == "8%"]
        table = (SKILL / "references" / "gdt-xml-format.md").read_text(encoding="utf-8")
        assert re.search(rf"\| `8%` .*\| {eight['valid_from']} \| {eight['valid_to']} \|", table)
        for code in ("issue_date_missing", "issue_date_after_rules"):
            assert refusals.WARNINGS[code].endswith(self.TABLE["as_of"])
        assert re.findall(r"\d{4}-\d\d-\d\d", twins.reference.module.VERIFY) == [self.TABLE["as_of"]]
        assert f"8% before {eight['valid_from']} or after {eight['valid_to']}" in DOCUMENT
        assert self.TABLE["as_of"] == twins.reference.modules["tax_code"].AS_OF

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
