from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.parity import SKILLS, Reference, Twins, fixtures_of
from tests.support.toolchain import Answer

SKILL = SKILLS / "cyberskill-vn" / "vneid-integration"
TABLE = json.loads((SKILL / "assets" / "provinces.json").read_text(encoding="utf-8"))
NAMES = {row["code"]: row["name"] for row in TABLE["provinces"]}
DIGITS = "0123456789"

Both = Callable[[str], Answer]

property_test = settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def twins() -> Twins:
    return Twins(SKILL)


@pytest.fixture(scope="module")
def both(twins: Twins) -> Both:
    return twins.ask


def output(both: Both, cccd: str, **fields: object) -> dict[str, Any]:
    answer = both(json.dumps({"cccd": cccd, **fields}))
    assert answer.ok, answer.text
    parsed: dict[str, Any] = json.loads(answer.text)
    return parsed


class TestQuickstart:
    def test_starts_with_what_the_documentation_prints(self, both: Both) -> None:
        answer = both('{"cccd":"079203012345"}')
        assert answer.text.startswith(
            '{"valid":true,"structure":{"province_code":"079","year_of_birth_century":"2","gender_code":"0",'
        )
        action = json.loads(answer.text)["next_action"]
        assert action.startswith("POST to https://vneid.gov.vn/api/v2/verify (requires consent flow)")

    def test_says_what_the_digits_mean(self, both: Both) -> None:
        structure = output(both, "079203012345")["structure"]
        found = (
            structure["province_name"],
            structure["gender"],
            structure["birth_year"],
            structure["serial"],
        )
        assert found == ("Hồ Chí Minh", "male", 2003, "012345")


class TestDigits:
    @property_test
    @given(cccd=st.text(DIGITS, min_size=12, max_size=12))
    def test_every_twelve_get_an_answer(self, both: Both, cccd: str) -> None:
        answer = output(both, cccd)
        if cccd == "0" * 12:
            assert answer["reason"] == "all_zero"
            return
        assert answer["valid"]
        structure = answer["structure"]
        # The digits can be put together again from what they say.
        century = (structure["birth_year"] - 1900) // 100 * 2 + (structure["gender"] == "female")
        year = f"{structure['birth_year'] % 100:02}"
        assert f"{structure['province_code']}{century}{year}{structure['serial']}" == cccd
        assert int(structure["year_of_birth_century"]) == century
        assert structure["gender_code"] == str(century % 2)
        assert structure["province_name"] == NAMES.get(cccd[:3])
        assert ("province_unknown" in answer["warnings"]) is (cccd[:3] not in NAMES)
        assert ("birth_year_in_future" in answer["warnings"]) is (structure["birth_year"] > 2026)

    def test_every_province_and_century_is_read(self, both: Both) -> None:
        for code, name in NAMES.items():
            for century in DIGITS:
                structure = output(both, f"{code}{century}50123456")["structure"]
                assert structure["province_name"] == name
                assert structure["birth_year"] == 1950 + 100 * (int(century) // 2)

    @property_test
    @given(
        cccd=st.from_regex(r"[0-9]{3}[0-3][0-9]{8}", fullmatch=True).filter(lambda digits: int(digits) > 0),
        born=st.dates(),
        reference=st.dates(),
    )
    def test_years_are_compared_with_the_days_given(
        self, both: Both, cccd: str, born: Any, reference: Any
    ) -> None:
        if min(born.year, reference.year) < 1900:
            answer = both(
                json.dumps({"cccd": cccd, "date_of_birth": str(born), "reference_date": str(reference)})
            )
            assert "must be a day from 1900 on" in answer.text
            return
        answered = output(both, cccd, date_of_birth=str(born), reference_date=str(reference))
        year = answered["structure"]["birth_year"]
        assert ("birth_year_mismatch" in answered["warnings"]) is (year != born.year)
        assert ("birth_year_in_future" in answered["warnings"]) is (year > reference.year)


class TestConsent:
    @property_test
    @given(
        purpose=st.none() | st.text(st.characters(codec="utf-8"), max_size=30),
        reference=st.none() | st.text(st.characters(codec="utf-8"), max_size=30),
    )
    def test_is_required_and_never_claimed(
        self, both: Both, purpose: str | None, reference: str | None
    ) -> None:
        answer = output(both, "079203012345", purpose=purpose, consent_reference=reference)
        payload = answer["vneid_request_payload"]
        assert payload["consent"]["required"] is True
        assert payload["consent"].keys() == {"required", "reference", "legal_basis"}
        assert payload["consent"]["reference"] in {reference, None}
        assert payload["purpose"] in {purpose, None}
        assert ("consent_reference" in answer["needs"]) is (payload["consent"]["reference"] is None)
        assert ("purpose" in answer["needs"]) is (payload["purpose"] is None)
        assert "consent" in answer["next_action"]

    def test_refused_numbers_give_nothing_to_send(self, both: Both) -> None:
        assert "vneid_request_payload" not in output(both, "07920301234")


class TestAssets:
    def test_there_are_63_provinces_with_days(self) -> None:
        assert TABLE["as_of"] == "2026-11-20"
        assert len(NAMES) == len(TABLE["provinces"]) == len({*NAMES.values()}) == 63
        assert list(NAMES) == sorted(NAMES)
        assert (NAMES["001"], NAMES["096"]) == ("Hà Nội", "Cà Mau")
        for row in TABLE["provinces"]:
            assert row.keys() == {"code", "name", "valid_from", "valid_to"}
            assert re.fullmatch("0[0-9]{2}", row["code"])

    def test_there_is_a_century_for_each_digit(self) -> None:
        assert [row["digit"] for row in TABLE["centuries"]] == list(DIGITS)
        assert [row["gender"] for row in TABLE["centuries"]] == ["male", "female"] * 5
        assert [row["first_year"] for row in TABLE["centuries"]][::2] == [1900, 2000, 2100, 2200, 2300]


class TestDocumentation:
    def test_examples_are_the_start_of_real_answers(self, both: Both) -> None:
        text = (SKILL / "SKILL.md").read_text(encoding="utf-8")
        examples = re.findall(
            r"`(\{\"cccd\"[^`]*?\})` ?.*?```json\n(\{.*?)\}\n```", text.partition("## Examples")[2], re.DOTALL
        )
        assert len(examples) == 3
        for given_input, start in examples:
            assert both(given_input).text.startswith(start + ",")

    def test_every_field_reason_and_warning_is_described(self, both: Both) -> None:
        text = (SKILL / "SKILL.md").read_text(encoding="utf-8")
        words = {*Reference(SKILL).modules["citizen_id"].REASONS}
        for fixture in fixtures_of(SKILL):
            if not fixture.fails:
                answer = json.loads(fixture.answer)
                words |= {*answer, *answer.get("warnings", []), *(answer["structure"] or {})}
        assert {"province_unknown", "birth_year_in_future", "birth_year_mismatch"} <= words
        for word in words:
            assert f"| `{word}` |" in text, word


NOISY_DIGITS = st.text(
    st.one_of(
        st.sampled_from(DIGITS),
        st.sampled_from("-- \t\n\u00a0\u2010\uff10\uff11\u0661\u0301\U0001d7ce\x00"),
        st.characters(codec="utf-8"),
    ),
    max_size=20,
)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


class TestParity:
    @property_test
    @given(cccd=NOISY_DIGITS | st.from_regex(r"[ \t]{0,2}[0-9]{11,13}[ \n]{0,2}", fullmatch=True))
    def test_on_digits_with_noise(self, both: Both, cccd: str) -> None:
        answer = output(both, cccd)
        assert answer["valid"] is ("reason" not in answer)

    @property_test
    @given(
        fields=st.dictionaries(
            st.sampled_from(
                ["cccd", "reference_date", "purpose", "consent_reference", "full_name", "date_of_birth"]
            ),
            JSON_VALUES | st.sampled_from(["079203012345", "2003-01-01", "2003-02-30", "x" * 201]),
        )
    )
    def test_on_json_values(self, both: Both, fields: dict[str, object]) -> None:
        answer = both(json.dumps(fields))
        assert answer.ok or answer.text.startswith("input_invalid: ")


def test_component_imports_nothing(twins: Twins) -> None:
    assert twins.guest.imports() == {}
