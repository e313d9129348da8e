"""What a skill may be given, and what of its answer is passed on."""

from __future__ import annotations

import json

import pytest

from subgraph.errors import InputInvalid
from subgraph.execution.invocation import DEPTH_LIMIT, encode_input, parse_output


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        ({}, "{}"),
        ({"b": 1, "a": "đ"}, '{"b":1,"a":"đ"}'),
        ('{"a": 1}', '{"a": 1}'),
        (' {"a":1.0}\n', ' {"a":1.0}\n'),
        ({"a": 2**64 - 1, "b": -(2**63)}, '{"a":18446744073709551615,"b":-9223372036854775808}'),
        ('{"a": 123456789012345678901234567890}', '{"a": 123456789012345678901234567890}'),
        ({"a": "\0\u2028"}, '{"a":"\\u0000\u2028"}'),
    ],
)
def test_input_is_passed_on_as_json(value: object, encoded: str) -> None:
    assert encode_input(value, 1000) == encoded


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ([], "a JSON list"),
        (1, "a JSON number"),
        (1.5, "a JSON number"),
        (True, "a JSON boolean"),
        (None, "a JSON null"),
        ("", "is not JSON"),
        ("hello", "is not JSON"),
        ("[1]", "text that holds something else"),
        ('"{}"', "text that holds something else"),
        ('{"a": NaN}', "is not JSON"),
        ('{"a": Infinity}', "is not JSON"),
        ("{'a': 1}", "is not JSON"),
        ("{} {}", "is not JSON"),
        ("\ufeff{}", "is not JSON"),
        ("{" * 5000, "is not JSON"),
        ('{"a": "\ud800"}', "surrogate"),
        ('{"a": "\\ud800"}', "is not JSON"),
        ({"a": "\ud800"}, "surrogate"),
        ({"\ud800": 1}, "surrogate"),
        ({"a": float("nan")}, "cannot be written as JSON"),
        ({"a": float("inf")}, "cannot be written as JSON"),
        ({"a": object()}, "cannot be written as JSON"),
    ],
)
def test_input_that_is_no_object_is_refused(value: object, reason: str) -> None:
    with pytest.raises(InputInvalid, match=reason) as caught:
        encode_input(value, 10_000)
    caught.value.message.encode()


def test_large_integers_reach_a_skill_to_the_last_digit() -> None:
    assert encode_input({"a": 2**64 + 1}, 100) == '{"a":18446744073709551617}'


@pytest.mark.parametrize("levels", [DEPTH_LIMIT + 1, 900, 2000, 20_000])
def test_input_nested_too_deeply_is_refused(levels: int) -> None:
    text = '{"a":' * levels + "1" + "}" * levels
    with pytest.raises(InputInvalid):
        encode_input(text, 1_000_000)
    if levels < 900:
        with pytest.raises(InputInvalid, match="deeper than 128 levels"):
            encode_input(json.loads(text), 1_000_000)


def test_input_up_to_the_limit_of_its_depth_is_taken() -> None:
    text = '{"a":[' * (DEPTH_LIMIT // 2) + "1" + "]}" * (DEPTH_LIMIT // 2)
    assert encode_input(text, 1_000_000) == text
    assert encode_input(json.loads(text), 1_000_000) == text
    wide = {"a": [[1]] * 500}
    assert json.loads(encode_input(wide, 1_000_000)) == wide


def test_input_has_a_limit_in_bytes() -> None:
    assert len(encode_input({"a": "x" * 92}, 100)) == 100
    for over in ({"a": "x" * 93}, {"a": "đ" * 47}, '{"a":1}' + " " * 94):
        with pytest.raises(InputInvalid, match="over the limit of 100"):
            encode_input(over, 100)


def test_answer_is_parsed_where_it_can_be_passed_on() -> None:
    assert parse_output('{"a": [1]}') == {"a": [1]}
    assert parse_output("null") is None
    assert parse_output("text") is None
    assert parse_output("[" * 240 + "]" * 240) is not None
    for deep in (255, 1000, 5000):
        assert parse_output("[" * deep + "]" * deep) is None
    assert parse_output("[" + ",".join(["[]"] * 5000) + "]") == [[]] * 5000
