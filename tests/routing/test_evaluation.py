from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subgraph.routing import Tier
from subgraph.routing.evaluation import (
    FILE_BYTES_LIMIT,
    NOWHERE,
    Case,
    EvaluationInvalid,
    Prediction,
    Seat,
    calibration_error,
    load_cases,
    measure,
    parse_cases,
)
from subgraph.routing.extractors import extract, has_extractor
from subgraph.routing.extractors.text import text_of
from subgraph.routing.folding import QUERY_LIMIT
from tests.support.parity import SKILLS
from tests.support.routing import decide

SET = Path(__file__).parents[2] / "evaluation" / "queries.yaml"
PATHS = {str(path.parent.relative_to(SKILLS)) for path in SKILLS.rglob("SKILL.md")}
LANGUAGES = {"vi", "vi-plain", "vi-typo", "en", "mixed"}
TAGS = LANGUAGES | {
    *("tone", "nfd", "nowhere", "small-talk", "other-domain", "near-miss", "seat", "defer", "hostile"),
}


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    return load_cases(SET)


def test_the_set_is_large_enough_and_has_what_it_must_have(cases: list[Case]) -> None:
    tags = Counter(tag for case in cases for tag in case.tags)
    assert len(cases) >= 320
    assert tags["nowhere"] / len(cases) >= 0.25
    assert tags["hostile"] / len(cases) >= 0.10
    assert set(tags) == TAGS
    assert min(tags.values()) >= 5
    assert 0.3 <= sum(case.split == "held_out" for case in cases) / len(cases) <= 0.36


def test_every_skill_and_every_seat_is_in_the_set_and_in_both_splits(cases: list[Case]) -> None:
    seats = {"CEO", "COO", "CFO", "CMO", "CTO", "CHRO", "CSO", "CLO", "CDO", "CPO"}
    assert set(Seat.__args__) == seats  # type: ignore[attr-defined]
    for split in ("tuning", "held_out"):
        part = [case for case in cases if case.split == split]
        assert {case.skill for case in part} == {*PATHS, None}
        assert {case.persona for case in part} == {*seats, None}
        assert {case.deferred for case in part} == {*seats, None}


def test_labels_agree_with_tags(cases: list[Case]) -> None:
    for case in cases:
        assert len(LANGUAGES & set(case.tags)) == 1, case.id
        goes_nowhere = {"nowhere", "hostile", "defer"} & set(case.tags)
        assert (case.skill is None) is bool(goes_nowhere), case.id
        assert (case.deferred is not None) is ("defer" in case.tags), case.id
        assert ("nfd" in case.tags) is (case.form == "NFD"), case.id
        if case.skill is not None:
            assert (case.arguments is not None) is has_extractor(case.skill), case.id
        if "vi-plain" in case.tags:
            assert case.query.isascii(), case.id


def test_nfd_queries_are_asked_so(cases: list[Case]) -> None:
    decomposed = [case for case in cases if case.form == "NFD"]
    for case in decomposed:
        assert unicodedata.is_normalized("NFD", case.text), case.id
        assert not unicodedata.is_normalized("NFC", case.text), case.id


def test_both_tone_placements_are_there(cases: list[Case]) -> None:
    folded = [case.query.lower() for case in cases]
    assert any("hoá đơn" in query for query in folded)
    assert any("hóa đơn" in query for query in folded)


@pytest.mark.parametrize("split", ["tuning", "held_out"])
def test_arguments_come_out_as_labelled(cases: list[Case], split: str) -> None:
    wrong = {
        case.id: dict(found.arguments)
        for case in cases
        if case.skill is not None and case.arguments is not None and case.split == split
        if dict((found := extract(case.skill, case.text)).arguments) != case.arguments
    }
    assert wrong == {}


@pytest.mark.parametrize(
    "rewrite",
    [
        lambda query: unicodedata.normalize("NFD", query),
        lambda query: query.replace(" ", "\u00a0"),
        lambda query: query.translate({ord("0") + digit: 0xFF10 + digit for digit in range(10)}),
    ],
    ids=["nfd", "no-break", "full-width"],
)
def test_arguments_do_not_depend_on_how_characters_are_coded(
    cases: list[Case], rewrite: Callable[[str], str]
) -> None:
    for case in cases:
        if case.arguments is None or case.skill is None or {"decode", "invoices_dir"} & set(case.arguments):
            continue
        found = dict(extract(case.skill, rewrite(case.query)).arguments)
        for name in {"memo", "item"} & set(found):
            found[name] = unicodedata.normalize("NFKC", str(found[name]))
        assert found == case.arguments, case.id


def test_hostile_queries_hide_characters(cases: list[Case]) -> None:
    hostile = "".join(case.query for case in cases if "hostile" in case.tags)
    for hidden in ("\u200b", "\u0432", "\u202e", "\uff56"):
        assert hidden in hostile


def one(fields: str) -> list[Case]:
    return parse_cases(f"version: 1\ncases:\n  - {{{fields}}}\n".encode(), "set.yaml")


def test_a_case_with_everything() -> None:
    (case,) = one(
        'id: a-b-001, query: "hoá", form: NFD, skill: x/y, arguments: {a: [1, {b: true}]}, persona: CFO, '
        "split: held_out, tags: [vi]"
    )
    assert case.text == unicodedata.normalize("NFD", "hoá")
    assert case.arguments == {"a": [1, {"b": True}]}
    assert (case.persona, case.deferred, case.split) == ("CFO", None, "held_out")


GOOD = "id: a-001, query: q, skill: null, tags: [en]"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "set.yaml:1: must be a mapping with version and cases"),
        ("", "set.yaml:1: must be a mapping with version and cases"),
        ("version: 1", "set.yaml:1: must have version: 1 and cases, and nothing else"),
        ("version: 2\ncases: []", "set.yaml:1: must have version: 1 and cases, and nothing else"),
        ("version: [1]\ncases: []", "set.yaml:1: must have version: 1 and cases, and nothing else"),
        ("version: 1\ncases: []", "set.yaml:2: cases must be a list, and not empty"),
        ("version: 1\ncases: {}", "set.yaml:2: cases must be a list, and not empty"),
        ("version: 1\nversion: 1", "set.yaml:2: version stands twice"),
        ("version: 1\ncases:\n  - a", "set.yaml:3: a case must be a mapping"),
        ("version: 1\ncases:\n  - {[a]: b}", "set.yaml:3: a key must be a word"),
        ("version: 1\ncases:\n  - {id: a, id: b}", "set.yaml:3: id stands twice"),
        ("version: 1\ncases:\n  - {id: a}\n  - [", "set.yaml:5: did not find expected node content"),
        ("version: 1\ncases: &a [*a]", "set.yaml:2: aliases are not read"),
        ("version: 1\ncases:\n  - " + "[" * 9, "set.yaml:3: nested too deeply"),
        (f"version: 1\ncases:\n  - {{{GOOD}}}\n  - {{{GOOD}}}", "set.yaml:4: the id of line 3 again"),
        (
            f"version: 1\ncases:\n  - {{{GOOD}}}\n  - {{{GOOD.replace('001', '002')}}}",
            "set.yaml:4: the query of line 3 again",
        ),
        ("version: 1\ncases:\n  - {id: !!python/name:os a}", "set.yaml:3: could not determine a constructor"),
        ("version: 1\ncases:\n  - {arguments: {a: 2026-07-15}}", "set.yaml:3: "),
    ],
)
def test_a_set_that_is_not_as_documented_is_refused_with_its_line(content: str, message: str) -> None:
    with pytest.raises(EvaluationInvalid) as raised:
        parse_cases(content.encode(), "set.yaml")
    assert raised.value.message.startswith(message)
    assert raised.value.code == "INPUT_INVALID"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("id: a-001", "id: A1"), "id: String should match pattern"),
        (("query: q", 'query: ""'), "query: String should have at least 1 character"),
        (("query: q", f"query: {'q' * (QUERY_LIMIT + 1)}"), "query: String should have at most"),
        (("query: q", "query: 1"), "query: Input should be a valid string"),
        ((", skill: null", ""), "skill: Field required"),
        (("skill: null", "skill: ../x"), "skill: String should match pattern"),
        (("tags: [en]", "tags: []"), "tags: List should have at least 1 item"),
        (("tags: [en]", "tags: [en, en]"), "a tag stands twice"),
        (("tags: [en]", "tags: [en], more: 1"), "more: Extra inputs are not permitted"),
        (("tags: [en]", "tags: [en], persona: CXO"), "persona: Input should be 'CEO'"),
        (("tags: [en]", "tags: [en], arguments: {}"), "arguments are those of a skill"),
        (("skill: null", "skill: x, deferred: CEO"), "what is deferred to a person"),
    ],
)
def test_a_case_that_is_not_as_documented_is_refused(change: tuple[str, str], message: str) -> None:
    assert one(GOOD)
    with pytest.raises(EvaluationInvalid, match=re.escape(f"set.yaml:3: {message}")):
        one(GOOD.replace(*change))


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(EvaluationInvalid, match=r"set\.yaml"):
        parse_cases(b"version: \xff\xfe", "set.yaml")


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EvaluationInvalid, match="No such file"):
        load_cases(tmp_path / "none.yaml")
    large = tmp_path / "large.yaml"
    large.write_bytes(b" " * (FILE_BYTES_LIMIT + 1))
    with pytest.raises(EvaluationInvalid, match="more than"):
        load_cases(large)


def case(number: int, skill: str | None, **fields: object) -> Case:
    return Case.model_validate(
        {"id": f"a-{number:03d}", "query": f"q{number}", "skill": skill, "tags": ["en"], **fields}
    )


def prediction(skill: str | None, confidence: float = 1.0, **fields: object) -> Prediction:
    nothing: dict[str, object] = {
        "arguments": {},
        "persona": None,
        "deferred": None,
        "activated": skill is not None,
    }
    return Prediction(skill, confidence, **{**nothing, **fields})  # type: ignore[arg-type]


def test_figures_of_a_run() -> None:
    cases = [
        case(1, "a", arguments={"x": 1}, persona="CFO"),
        case(2, "a", arguments={"x": 1}, split="held_out"),
        case(3, "b", arguments={}, tags=["vi"]),
        case(4, None, persona="CEO"),
        case(5, None),
        case(6, None, deferred="CTO"),
        case(7, None, deferred="CTO"),
    ]
    outcomes = [
        prediction("a", arguments={"x": 1}, persona="CFO"),
        prediction("a", 0.5, arguments={"x": 2}),
        prediction("a", 0.8),
        prediction(None, 0.1, persona="CTO"),
        prediction("b", 0.35),
        prediction(None, deferred="CTO"),
        prediction("a", 0.9, deferred="CTO"),
    ]
    report = measure(cases, outcomes)
    figures = report.overall
    assert figures[:10] == (7, 3, 2, 2, 2, 1, 2, 1, 2, 1)
    assert figures[11:] == (2, 1, 2)
    assert figures.accuracy == figures.activation_rate == 2 / 3
    assert figures.wrong_activation_rate == 1 / 3
    assert figures.false_pick_rate == 2 / 4
    assert figures.false_activation_rate == 2 / 4
    assert figures.exact_arguments == 1 / 2
    assert figures.persona_accuracy == 1 / 2
    assert figures.deferral_rate == 1 / 2
    # Bins: 1.0 and 0.9 together (1 of 2 right), 0.5 right, 0.8 wrong, 0.35 wrong.
    assert figures.calibration_error == pytest.approx((0.9 + 0.5 + 0.8 + 0.35) / 5)
    assert report.confusion == {NOWHERE: {NOWHERE: 2, "a": 1, "b": 1}, "a": {"a": 2}, "b": {"a": 1}}
    assert report.wrong == ("a-002", "a-003", "a-004", "a-005", "a-007")
    assert set(report.splits) == {"tuning", "held_out"}
    assert report.splits["held_out"].cases == 1
    assert report.tags["vi"].accuracy == 0.0
    assert report.tags["vi"].persona_accuracy is None


def test_a_deferral_to_another_seat_is_wrong() -> None:
    report = measure([case(1, None, deferred="CTO")], [prediction(None, deferred="CEO")])
    assert report.overall.deferral_rate == 0.0
    assert report.wrong == ("a-001",)


def test_a_pick_with_a_question_is_no_activation() -> None:
    cases = [case(1, "a"), case(2, "a"), case(3, None)]
    figures = measure(cases, [prediction(skill, activated=False) for skill in ("a", "b", "a")]).overall
    assert (figures.accuracy, figures.activation_rate) == (0.5, 0.0)
    assert (figures.wrong_activations, figures.false_activations, figures.false_picks) == (0, 0, 1)


def test_the_skill_that_a_question_names_first_is_the_pick() -> None:
    asked = decide("validate MST", cascade=True)
    assert (asked.tier, asked.skill_name) == (Tier.ASK, None)
    predicted = Prediction.of(asked)
    assert (predicted.skill, predicted.activated) == ("cyberskill-vn/vn-mst-validate", False)
    open_ = decide("please look at the decree", cascade=True)
    assert (open_.tier, Prediction.of(open_).skill) == (Tier.ESCALATE, None)


def test_rates_over_nothing_are_none() -> None:
    figures = measure([], []).overall
    assert (figures.activation_rate, figures.wrong_activation_rate, figures.false_pick_rate) == (None,) * 3
    assert (figures.accuracy, figures.false_activation_rate, figures.exact_arguments) == (None, None, None)
    assert (figures.persona_accuracy, figures.deferral_rate, figures.calibration_error) == (None, None, None)


def test_every_case_needs_its_prediction() -> None:
    with pytest.raises(ValueError, match="shorter"):
        measure([case(1, None)], [])


PICKS = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=30)


@given(PICKS)
def test_the_calibration_error_is_a_share_and_needs_no_order(picks: list[tuple[float, bool]]) -> None:
    error = calibration_error(picks)
    assert error is not None
    assert 0 <= error <= 1
    assert calibration_error(reversed(picks)) == pytest.approx(error)


@pytest.mark.parametrize(
    ("picks", "error"),
    [([(1.0, True)], 0.0), ([(1.0, False)], 1.0), ([(0.5, True), (0.5, False)], 0.0), ([(0.0, True)], 1.0)],
)
def test_calibration_errors(picks: list[tuple[float, bool]], error: float) -> None:
    assert calibration_error(picks) == pytest.approx(error)


@given(st.sampled_from(["hoá đơn", "HÓA ĐƠN", "hoa don"]))
def test_tone_placements_fold_alike(query: str) -> None:
    assert text_of(query).folded == "hoa don"
