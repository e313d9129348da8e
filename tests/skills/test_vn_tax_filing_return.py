"""The return of vn-tax-filing: periods, deadlines, indicators, the form's XML, and what is said of them."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.parity import SKILLS, Reference, fixtures_of

SKILL = SKILLS / "cyberskill-vn" / "vn-tax-filing"
FIXTURES = {fixture.id: fixture for fixture in fixtures_of(SKILL)}
NAMESPACE = "{http://kekhaithue.gdt.gov.vn/TKhaiThue}"

REFERENCE = Reference(SKILL)
"""Without files: nothing here needs any, or the component, which takes long to compile."""


class TestIndicators:
    NUMBERS = "21 22 23 24 23a 24a 25 26 29 30 31 32 33 32a 37 38 39a 40b 42"
    BASIS = dict.fromkeys([f"ct{number}" for number in NUMBERS.split()], 0)

    def test_the_vector_of_a_filed_return_holds(self) -> None:
        formulas = REFERENCE.modules["indicators"].indicators_of
        got = formulas(
            {**self.BASIS, "ct22": 29_826_193, "ct24": 1_446_670, "ct25": 1_446_670, "ct26": 354_650_000}
        )
        assert (got["ct34"], got["ct35"], got["ct36"]) == (354_650_000, 0, -1_446_670)
        assert (got["ct40"], got["ct41"], got["ct43"]) == (0, 31_272_863, 31_272_863)

    @settings(max_examples=1000)
    @given(values=st.lists(st.integers(0, 10**12), min_size=19, max_size=19))
    def test_what_comes_in_is_due_or_carried_forward(self, values: list[int]) -> None:
        basis = dict(zip(self.BASIS, values, strict=True)) | {"ct40b": 0, "ct42": 0}
        got = REFERENCE.modules["indicators"].indicators_of(basis)
        left = got["ct31"] + got["ct33"] + got["ct37"]
        left -= got["ct25"] + got["ct22"] + got["ct38"] + got["ct39a"]
        assert got["ct40"] - got["ct43"] == left
        assert got["ct40a"] == 0 or got["ct41"] == 0
        assert got["ct34"] == sum(got[name] for name in ("ct26", "ct29", "ct30", "ct32", "ct32a"))
        assert list(got) == list(REFERENCE.modules["indicators"].INDICATORS)


class TestPeriods:
    @pytest.mark.parametrize(
        ("period", "deadline"),
        [
            ("2026-Q1", "2026-05-04"),
            ("2026-Q3", "2026-11-02"),
            ("2026-05", "2026-06-22"),
            ("2026-Q2", "2026-07-31"),
            ("2026-10", "2026-11-20"),
        ],
    )
    def test_deadlines_are_those_of_the_facts(self, period: str, deadline: str) -> None:
        periods = REFERENCE.modules["filing_period"]
        assert periods.deadline_of(periods.period_of(period)).date == deadline

    def test_every_deadline_of_thirty_years_is_a_working_day_soon_after_the_due_day(self) -> None:
        periods = REFERENCE.modules["filing_period"]
        table = json.loads((SKILL / "assets" / "holidays.json").read_text(encoding="utf-8"))["years"]
        holidays = {day["date"] for days in table.values() for day in days}
        for year in range(2015, 2045):
            for month in range(1, 13):
                following = date(year + month // 12, month % 12 + 1, 1)
                after = date(following.year + following.month // 12, following.month % 12 + 1, 1)
                due = {f"{year}-{month:02}": following.replace(day=20)}
                if month % 3 == 0:
                    due[f"{year}-Q{month // 3}"] = after - timedelta(days=1)
                for text, day in due.items():
                    got = periods.deadline_of(periods.period_of(text))
                    end = date.fromisoformat(got.date)
                    between = [day + timedelta(days=count) for count in range((end - day).days)]
                    assert end.weekday() < 5
                    assert got.date not in holidays
                    assert all(one.weekday() >= 5 or one.isoformat() in holidays for one in between)
                    assert got.moved_from == (None if end == day else day.isoformat())
                    assert got.certain == ({str(day.year), str(end.year)} <= table.keys())

    def test_the_other_form_applies_from_july_2026_on(self) -> None:
        periods = REFERENCE.modules["filing_period"]
        found = {
            text: periods.form_for(periods.period_of(text))[1] for text in ("2026-06", "2026-Q2", "2026-07")
        }
        assert found == {"2026-06": None, "2026-Q2": None, "2026-07": "form_89_2026_not_published"}

    def test_assets_are_dated(self) -> None:
        for name in ("holidays", "forms"):
            asset = json.loads((SKILL / "assets" / f"{name}.json").read_text(encoding="utf-8"))
            assert asset["as_of"] == "2026-11-20"
        years = json.loads((SKILL / "assets" / "holidays.json").read_text(encoding="utf-8"))["years"]
        for year, days in years.items():
            dates = [day["date"] for day in days]
            assert dates == sorted(set(dates))
            assert all(date.fromisoformat(one).year == int(year) for one in dates)
            assert {day["source"] for day in days} <= {"fixed", "verify"}


class TestReturn:
    """What is written, read by another parser."""

    ORDER = (
        "ma_NganhNghe ten_NganhNghe tieuMucHachToan Header ct21 ct22 GiaTriVaThueGTGTHHDVMuaVao "
        "HangHoaDichVuNhapKhau ct25 ct26 HHDVBRaChiuThueGTGT ct29 HHDVBRaChiuTSuat5 HHDVBRaChiuTSuat10 "
        "ct32a TongDThuVaThueGTGTHHDVBRa ct36 ct37 ct38 ct39a ct40a ct40b ct40 ct41 ct42 ct43"
    )

    def test_has_the_elements_in_the_order_of_the_form(self) -> None:
        root = ET.fromstring(FIXTURES["quickstart"].written["returns/2026-Q2.xml"])  # noqa: S314
        main = root.find(f"{NAMESPACE}HSoKhaiThue/{NAMESPACE}CTieuTKhaiChinh")
        assert main is not None
        assert [child.tag.removeprefix(NAMESPACE) for child in main] == self.ORDER.split()
        period = root.find(f".//{NAMESPACE}KyKKhaiThue")
        assert period is not None
        assert [child.text for child in period] == ["Q", "2/2026", "01/04/2026", "30/06/2026", None, None]

    def test_texts_of_the_input_stay_text(self) -> None:
        root = ET.fromstring(FIXTURES["written-elsewhere"].written["out/q2.xml"])  # noqa: S314
        assert root.findtext(f".//{NAMESPACE}tenNNT") == "Công ty TNHH Ví Dụ & Bạn"
        assert root.findtext(f".//{NAMESPACE}ten_NganhNghe") == "Ngành <khác>"
        assert root.findtext(f".//{NAMESPACE}CKyDTu") == ""

    @pytest.mark.parametrize("fixture_id", ["every-rate", "all-indicators", "carried-forward", "month"])
    def test_indicators_are_those_of_the_answer(self, fixture_id: str) -> None:
        answer = json.loads(FIXTURES[fixture_id].answer)
        root = ET.fromstring(answer["gdt_xml"])  # noqa: S314
        written = {
            element.tag.removeprefix(NAMESPACE): int(element.text or "")
            for element in root.iter()
            if element.tag.startswith(f"{NAMESPACE}ct")
        }
        assert written == answer["indicators"]


class TestDocumentation:
    BODY = (SKILL / "SKILL.md").read_text(encoding="utf-8")

    def test_every_field_reason_and_code_is_described(self) -> None:
        answers = [json.loads(fixture.answer) for fixture in FIXTURES.values() if not fixture.fails]
        words = {"gdt_xml"} | {key for answer in answers if "ok" not in answer for key in answer}
        words |= {code for answer in answers for code in answer.get("not_ready_because", [])}
        words |= {code for answer in answers for code in answer.get("warnings", [])}
        words |= {*REFERENCE.modules["refusals"].REFUSALS, *REFERENCE.modules["request"].NAMES}
        for word in words:
            assert re.search(rf"^\|[^|]*`{word}`", self.BODY, re.MULTILINE), word

    def test_every_code_of_the_source_is_documented(self) -> None:
        source = (SKILL / "scripts" / "review.py").read_text(encoding="utf-8")
        codes = re.findall(r'^        \("([a-z_0-9]+)",', source, re.MULTILINE)
        assert len(codes) == 21
        for code in codes:
            assert f"| `{code}` |" in self.BODY

    def test_every_reason_of_a_file_is_in_the_reference(self) -> None:
        text = (SKILL / "references" / "reading-invoices.md").read_text(encoding="utf-8")
        sources = [path.read_text(encoding="utf-8") for path in (SKILL / "scripts").glob("*.py")]
        reasons = set(re.findall(r'FileFault\(\s*"([a-z_]+)"', "".join(sources)))
        assert len(reasons) == 15
        codes = set(re.findall(r'XmlRefusedError\(\s*"([a-z_]+)"', "".join(sources)))
        reasons |= {f"xml_{code}" for code in codes} | {"xml_doctype", "xml_markup"}
        for reason in reasons:
            assert f"| `{reason}` |" in text, reason

    def test_examples_are_the_start_of_real_answers(self) -> None:
        [example] = re.findall(r'```json\n(\{"period":"2026-Q2","output.*?)\}\n```', self.BODY)
        assert FIXTURES["quickstart"].answer.startswith(example + ",")

    def test_the_schema_reference_names_every_indicator_and_element(self) -> None:
        text = (SKILL / "references" / "gdt-q-return-schema-v3.md").read_text(encoding="utf-8")
        for indicator in REFERENCE.modules["indicators"].INDICATORS:
            assert f"| `{indicator}` |" in text
        written = FIXTURES["quickstart"].written["returns/2026-Q2.xml"]
        for element in set(re.findall(r"<([A-Za-z_]+)[ >]", written)):
            assert element in text, element

    def test_the_deadline_reference_has_the_holidays(self) -> None:
        text = (SKILL / "references" / "deadlines.md").read_text(encoding="utf-8")
        table = json.loads((SKILL / "assets" / "holidays.json").read_text(encoding="utf-8"))
        for days in table["years"].values():
            for day in days:
                assert f"| {day['date']} |" in text
