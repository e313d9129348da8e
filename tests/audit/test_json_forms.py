"""Files compared with commitments: the same JSON is found however it is written, and other JSON never."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from subgraph.audit.json_forms import forms_of
from subgraph.audit.payloads import Part, commitment
from subgraph.audit_trail import Likeness, Payload
from subgraph.execution.invocation import encode_input

SALT = b"s" * 32


def compare(committed: bytes, given: bytes) -> Likeness:
    return Payload(Part.OUTPUT, commitment(SALT, committed), SALT, None, too_long=False).compare(given)


NUMBERS = st.one_of(
    st.integers(),
    st.integers(min_value=2**63, max_value=2**200),
    st.floats(allow_nan=False, allow_infinity=False),
)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(TEXTS, VALUES, max_size=4)
SPACING = st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", "\t:")])


@given(OBJECTS, SPACING, st.sampled_from([None, 0, 2]), st.booleans(), st.sampled_from(["", "\n", " \r\n"]))
def test_an_input_is_found_however_its_file_is_written(
    value: Mapping[str, object], spacing: tuple[str, str], indent: int | None, escapes: bool, end: str
) -> None:
    committed = encode_input(value, 1_000_000).encode()
    file = json.dumps(value, separators=spacing, indent=indent, ensure_ascii=escapes) + end
    assert compare(committed, file.encode()).agrees
    assert (compare(committed, file.encode()) is Likeness.SAME) is (file.encode() == committed)


@given(OBJECTS, st.booleans(), st.booleans(), st.sampled_from(["", "\n"]))
def test_an_answer_is_found_from_what_the_command_line_and_graphql_wrote_of_it(
    value: Mapping[str, object], spaced: bool, escapes: bool, end: str
) -> None:
    separators = (", ", ": ") if spaced else (",", ":")
    committed = json.dumps(value, separators=separators, ensure_ascii=escapes) + end
    read = orjson.loads(committed)
    if _tagged(json.dumps(read)) != _tagged(committed):
        return  # an integer beyond 64 bits is another number in an answer
    for file in (orjson.dumps(read), json.dumps(read, ensure_ascii=False).encode() + b"\n"):
        assert compare(committed.encode(), file).agrees


def _tagged(text: str) -> object:
    """A JSON text as a value that keeps order, repetitions, and which numbers are integers."""
    return json.loads(
        text,
        object_pairs_hook=lambda pairs: ("object", tuple(pairs)),
        parse_int=lambda literal: ("integer", literal),
        parse_float=lambda literal: ("number", literal[0] == "-", Decimal(literal)),
    )


LITERALS = st.sampled_from(
    ["1", "1.0", "1.00", "10", "1e1", "10.0", "-0", "0", "-0.0", "0.0", "0.1", "0.10000000000000000555",
     "18446744073709551617", "18446744073709551616", "1.8446744073709552e19", "1e400", "1e-400", '"1"',
     '"\\u0031"', "true", "null", "[]", "{}"]
)  # fmt: skip
MEMBERS = st.lists(st.tuples(st.sampled_from(['"a"', '"\\u0061"', '"b"', '"á"']), LITERALS), max_size=3)


def _object(members: list[tuple[str, str]]) -> str:
    return "{" + ", ".join(f"{name}: {value}" for name, value in members) + "}"


@given(MEMBERS, MEMBERS)
def test_what_is_said_to_agree_is_the_same_content(
    committed: list[tuple[str, str]], given: list[tuple[str, str]]
) -> None:
    one, other = _object(committed), _object(given)
    for form in (one, one.replace(" ", ""), one.replace(" ", "") + "\n"):
        if compare(form.encode(), other.encode()).agrees:
            assert _tagged(one) == _tagged(other)


@pytest.mark.parametrize(
    ("committed", "given"),
    [
        ('{"a":1}', '{"a":1.0}'),
        ('{"a":1.0}', '{"a":1}'),
        ('{"a":0}', '{"a":-0}'),
        ('{"a":18446744073709551616}', '{"a":18446744073709551617}'),
        ('{"a":18446744073709551616}', '{"a":1.8446744073709552e19}'),
        ('{"a":0.1}', '{"a":0.10000000000000000001}'),
        ('{"a":2}', '{"a":1,"a":2}'),
        ('{"a":1,"a":2}', '{"a":2,"a":1}'),
        ('{"a":1,"b":2}', '{"b":2,"a":1}'),
        ('{"a":"1"}', '{"a":1}'),
        ('{"a":"x "}', '{"a":"x"}'),
        ("null", "NaN"),
        ("null", "Infinity"),
        ("null", "1e400"),
        ("text", "text\n\n"),
        ("text", "text \n"),
        ('{"a":1}', '\ufeff{"a":1}'),
        ('{"a":1}', '{"a":1}{"a":1}'),
        ('{"a":1}', '{"a":1,}'),
    ],
)
def test_other_content_is_not_the_same(committed: str, given: str) -> None:
    assert compare(committed.encode(), given.encode()) is Likeness.OTHER


@pytest.mark.parametrize(
    ("committed", "given", "likeness"),
    [
        ("text", "text", Likeness.SAME),
        ("text", "text\n", Likeness.SAME_BUT_NEWLINE),
        ('{"a":1,"a":2}', '{"a": 1, "a": 2}\n', Likeness.SAME_JSON),
        ('{"a":1e-07}', '{"a":1e-7}', Likeness.SAME_JSON),
        ('{"a":1e-7}', '{"a":1e-07}', Likeness.SAME_JSON),
        ('{"a":"\\ud800"}', '{"a": "\\ud800"}', Likeness.SAME_JSON),
        ("{}", "{ }", Likeness.SAME_JSON),
        ('{"a":"một"}', '{"a":"m\\u1ed9t"}', Likeness.SAME_JSON),
    ],
)
def test_how_it_is_the_same_is_told(committed: str, given: str, likeness: Likeness) -> None:
    assert compare(committed.encode(), given.encode()) is likeness


def test_a_text_that_nobody_can_read_as_json_has_no_other_form() -> None:
    for data in (b"[" * 200_000, b"\xff", b"", b"{'a': 1}", b'"\n"'):
        assert list(forms_of(data)) == []
    assert b"9" * 5000 in list(forms_of(b" " + b"9" * 5000))
