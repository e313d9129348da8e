"""Where the front matter begins and ends, and what its YAML says."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from subgraph.catalog.front_matter import NESTING_LIMIT, decode, load, split
from subgraph.catalog.problem import ManifestInvalid


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("space", [b"", b" ", b"\t "])
def test_fences_may_end_in_any_way(end: bytes, mark: bytes, space: bytes) -> None:
    fence = b"---" + space + end
    assert split(mark + fence + b"a: b" + end + fence + b"body") == (b"a: b" + end, b"body")


@pytest.mark.parametrize("line", [b"--- x", b"----", b" ---", b"x---", b"--", b"-- -"])
def test_a_line_that_is_not_three_dashes_alone_is_no_fence(line: bytes) -> None:
    assert split(b"---\na: b\n" + line + b"\n---\nbody") == (b"a: b\n" + line + b"\n", b"body")


def test_a_front_matter_may_be_empty_or_end_with_the_file() -> None:
    assert split(b"---\n---\nbody") == (b"", b"body")
    assert split(b"---\na: b\n---") == (b"a: b\n", b"")


@settings(max_examples=300)
@given(
    st.lists(st.sampled_from([b"---", b"a", b" ", b"\n", b"\r", b"\r\n", b"----"]), max_size=14).map(b"".join)
)
def test_nothing_is_lost_between_the_fences_and_the_body(data: bytes) -> None:
    with contextlib.suppress(ManifestInvalid):
        head, body = split(b"---\n" + data)
        assert (b"---\n" + data).startswith(b"---\n" + head)
        assert data.endswith(body)
        fence = data[len(head) : len(data) - len(body)]
        assert fence.strip() == b"---"
        assert b"---" not in [line.rstrip() for line in head.splitlines()]


def test_a_byte_that_is_not_utf8_is_named_by_its_line() -> None:
    with pytest.raises(ManifestInvalid, match="line 4: the front matter is not UTF-8"):
        decode(b"a: b\nc: d\ne: \xff\n")


def test_values_stay_as_they_are_written() -> None:
    text = "a: 1.10\nb: yes\nc: ~\nd: 2026-01-01\ne: 0x1F\nf: !!int '7'\n<<: {x: y}\n"
    assert load(text) == {
        "a": "1.10", "b": "yes", "c": "~", "d": "2026-01-01", "e": "0x1F", "f": "7", "<<": {"x": "y"},
    }  # fmt: skip


def test_an_alias_is_the_value_that_it_names() -> None:
    found = load("a: &x [1]\nb: *x\n")
    assert found["a"] is found["b"]


def test_lines_are_those_of_the_keys_of_two_levels() -> None:
    lines: dict[str, int] = {}
    load("# first\na: b\nmetadata:\n  c: d\n  'e.f':\n    g: h\n", lines)
    assert lines == {"a": 3, "metadata": 4, "metadata.c": 5, "metadata.e.f": 6}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\na: 2", "line 3: a: the front matter has this key twice"),
        ("a: &x [*x]", "line 2: the front matter is not YAML: unknown alias"),
        ("? [a]\n: b", "line 2: the front matter is not YAML: a key must be text"),
        ("a: b\n---\nc: d", "line 3: the front matter is more than one document"),
        ('"\\e[1m": 1\n"\\e[1m": 2', "line 3: \ufffd\\[1m: the front matter has this key twice"),
    ],
)
def test_what_is_refused_is_named_by_its_line(text: str, message: str) -> None:
    with pytest.raises(ManifestInvalid, match=message):
        load(text)


def test_nesting_has_a_limit() -> None:
    load("a: " + "[" * (NESTING_LIMIT - 1) + "]" * (NESTING_LIMIT - 1))
    with pytest.raises(ManifestInvalid, match="line 2: the front matter is nested too deeply"):
        load("a: " + "[" * NESTING_LIMIT + "]" * NESTING_LIMIT)


_TEXT = st.text(alphabet="ab:-#'\"|>{}[],&*!%@ế \n", max_size=8)
_VALUES = st.recursive(
    _TEXT, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3)
)


@settings(max_examples=200)
@given(st.dictionaries(_TEXT, _VALUES, max_size=4), st.booleans(), st.sampled_from(["'", '"']))
def test_what_was_written_is_read_again(value: dict[str, Any], flow: bool, style: str) -> None:
    written = yaml.dump(value, default_flow_style=flow, default_style=style, allow_unicode=True)
    assert load(written) == value
