"""What a model answers is read strictly, and what is kept of it reads back the same."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subgraph.routing import Consultation, ConsultationOutcome
from subgraph.routing.consultation import (
    ANSWER_LIMIT,
    EXPLANATIONS,
    Answer,
    consultation_of,
    read_answer,
)

BAD, UNKNOWN = ConsultationOutcome.BAD_ANSWER, ConsultationOutcome.UNKNOWN_SKILL
OFFERED = ("a/one", "b/two")


def answer(pick: str = '"a/one"', confidence: str = "0.9", reason: str = '"so"') -> str:
    return f'{{"pick": {pick}, "confidence": {confidence}, "reason": {reason}}}'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (answer(), Answer("a/one", 90)),
        (f"\n {answer()} \n", Answer("a/one", 90)),
        (answer(pick="null"), Answer(None, 90)),
        (answer(confidence="0"), Answer("a/one", 0)),
        (answer(confidence="1"), Answer("a/one", 100)),
        (answer(confidence="1.0"), Answer("a/one", 100)),
        (answer(confidence="0.699999999999999999"), Answer("a/one", 69)),
        (answer(confidence="7e-1"), Answer("a/one", 70)),
        (answer(reason='""'), Answer("a/one", 90)),
        (answer(pick='"vn-one"'), UNKNOWN),
        (answer(pick='""'), UNKNOWN),
        (answer(pick='"A/ONE"'), UNKNOWN),
        (answer(pick='["a/one"]'), BAD),
        (answer(pick="1"), BAD),
        (answer(confidence="1.01"), BAD),
        (answer(confidence="-0.1"), BAD),
        (answer(confidence="NaN"), BAD),
        (answer(confidence="Infinity"), BAD),
        (answer(confidence="1e9999999999999999999"), BAD),
        (answer(confidence='"0.9"'), BAD),
        (answer(confidence="true"), BAD),
        (answer(confidence="null"), BAD),
        (answer(reason="null"), BAD),
        (f"Here you are: {answer()}", BAD),
        (f"```json\n{answer()}\n```", BAD),
        (f"{answer()} {answer()}", BAD),
        (f"[{answer()}]", BAD),
        ('{"pick": "a/one"}', BAD),
        ('{"pick": "a/one", "confidence": 1, "reason": "", "skill": "b/two"}', BAD),
        ('{"pick": "a/one", "pick": "b/two", "confidence": 1, "reason": ""}', BAD),
        ("", BAD),
        ("null", BAD),
        ('"a/one"', BAD),
        ("[" * 4000, BAD),
        (answer(reason=json.dumps("x" * ANSWER_LIMIT)), BAD),
    ],
)
def test_an_answer_is_one_object_and_nothing_else(text: str, expected: Answer | ConsultationOutcome) -> None:
    assert read_answer(text, OFFERED) == expected


@given(st.text())
def test_no_text_breaks_the_reader(text: str) -> None:
    assert read_answer(text, OFFERED) in (BAD, UNKNOWN)


@given(st.integers(0, 10_000))
def test_no_confidence_is_rounded_up(ten_thousandths: int) -> None:
    read = read_answer(answer(confidence=str(ten_thousandths / 10_000)), OFFERED)
    assert read == Answer("a/one", ten_thousandths // 100)


def test_a_consultation_read_back_is_the_same_but_for_what_was_said() -> None:
    asked = Consultation(
        model="m", temperature="0.0", seed=7, prompt_version="1", outcome=ConsultationOutcome.ANSWERED,
        attempts=2, elapsed_us=1500, pick="a/one", confidence_percent=90, tokens_in=10, tokens_out=2,
        cost="0.0001", prompt=b"the query", answer=b"the reason",
    )  # fmt: skip
    again = consultation_of(json.loads(json.dumps(asked.as_data())))
    assert again.as_data() == asked.as_data()
    assert (again.prompt, again.answer, again.answered) == (b"", b"", True)
    assert "the query" not in repr(asked)
    assert "the reason" not in repr(asked)
    assert "the" not in json.dumps(asked.as_data())


def test_something_else_is_no_consultation() -> None:
    with pytest.raises(LookupError):
        consultation_of({"model": "m"})
    with pytest.raises(ValueError, match="somehow"):
        consultation_of(
            {"model": "m", "temperature": "0", "seed": 0, "promptVersion": "1", "outcome": "somehow"}
        )


def test_every_way_to_no_answer_is_explained() -> None:
    assert set(EXPLANATIONS) == set(ConsultationOutcome) - {ConsultationOutcome.ANSWERED}
