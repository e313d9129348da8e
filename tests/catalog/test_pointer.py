"""Places within JSON values, as RFC 6901 has them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subgraph.catalog.pointer import DEPTH_LIMIT, MISSING, Pointer, PointerInvalid

# RFC 6901, section 5.
EXAMPLE = {
    "foo": ["bar", "baz"],
    "": 0,
    "a/b": 1,
    "c%d": 2,
    "e^f": 3,
    "g|h": 4,
    "i\\j": 5,
    'k"l': 6,
    " ": 7,
    "m~n": 8,
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", EXAMPLE), ("/foo", ["bar", "baz"]), ("/foo/0", "bar"), ("/", 0), ("/a~1b", 1), ("/c%d", 2),
        ("/e^f", 3), ("/g|h", 4), ("/i\\j", 5), ('/k"l', 6), ("/ ", 7), ("/m~0n", 8),
    ],
)  # fmt: skip
def test_the_examples_of_the_standard(text: str, value: object) -> None:
    pointer = Pointer.parse(text)
    assert pointer.read(EXAMPLE) == value
    assert str(pointer) == text


@pytest.mark.parametrize(
    "text", ["/foo/2", "/foo/-", "/foo/00", "/foo/-1", "/foo/x", "/foo/0/0", "/bar", "/foo/\u0661"]
)
def test_a_place_that_is_not_there(text: str) -> None:
    assert Pointer.parse(text).read(EXAMPLE) is MISSING


def test_null_is_a_value() -> None:
    assert Pointer.parse("/a").read({"a": None}) is None
    assert Pointer.parse("/a/b").read({"a": None}) is MISSING


@pytest.mark.parametrize("text", ["foo", "#/foo", "/~", "/a~2", "/~~01", "/a" * (DEPTH_LIMIT + 1)])
def test_what_is_no_pointer(text: str) -> None:
    with pytest.raises(PointerInvalid):
        Pointer.parse(text)


def test_the_deepest_place() -> None:
    assert len(Pointer.parse("/a" * DEPTH_LIMIT).keys) == DEPTH_LIMIT


def test_what_is_written_leaves_the_rest_and_the_original() -> None:
    value = {"a": {"b": 1}, "c": [2]}
    assert Pointer.parse("/a/d/e").written(value, 3) == {"a": {"b": 1, "d": {"e": 3}}, "c": [2]}
    assert Pointer.parse("/c/e").written(value, 3) == {"a": {"b": 1}, "c": {"e": 3}}
    assert value == {"a": {"b": 1}, "c": [2]}


_KEYS = st.lists(st.text(max_size=5), min_size=1, max_size=DEPTH_LIMIT)


@given(keys=_KEYS, value=st.none() | st.integers() | st.text())
def test_what_is_written_is_read_there_and_its_place_has_one_spelling(keys: list[str], value: object) -> None:
    pointer = Pointer(tuple(keys))
    assert Pointer.parse(str(pointer)) == pointer
    assert pointer.read(pointer.written({}, value)) == value
