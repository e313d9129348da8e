"""`allowed-tools`: both spellings, patterns, and everything else that authors write there."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subgraph.capabilities import Capability, declared_capabilities, parse_capability
from subgraph.capabilities.vocabulary import CAPABILITY_NAMES, TEXT_LIMIT
from subgraph.errors import CapabilityDenied


def declared(text: str) -> list[str]:
    return [str(capability) for capability in declared_capabilities(text)]


@pytest.mark.parametrize(
    "text",
    [
        "read_file write_file",
        "read_file,write_file",
        "read_file, write_file",
        " read_file ,\n\twrite_file,, ",
        "read_file write_file read_file",
    ],
)
def test_spaces_and_commas_separate(text: str) -> None:
    assert declared(text) == ["read_file", "write_file"]


@pytest.mark.parametrize("text", ["", " ", ",", " , ,\n"])
def test_nothing_declares_nothing(text: str) -> None:
    assert declared(text) == []


def test_patterns_may_hold_spaces_and_commas() -> None:
    text = "fetch_url(https://*.vn/*, https://a b/), read_file(/data/a b.csv) exec_command()"
    assert declared_capabilities(text) == (
        Capability("fetch_url", "https://*.vn/*, https://a b/"),
        Capability("read_file", "/data/a b.csv"),
        Capability("exec_command", ""),
    )


def test_tools_of_other_hosts_are_declared_too() -> None:
    tools = ["Bash(git diff:*)", "mcp__github__list-issues", "Read", "WebFetch(domain:a.vn)"]
    assert declared(" ".join(tools)) == tools


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("read_file(unclosed write_file", ["write_file"]),
        ("read_file) write_file", ["write_file"]),
        ("read_file(a(b)) write_file", ["write_file"]),
        ("read_file(a)(b) write_file", ["write_file"]),
        ("!read_file write_file", ["write_file"]),
        ("réad_file write_file", ["write_file"]),
        ("1read_file", []),
        ("(read_file)", []),
        ("read_file(a\x00b)", []),
        ("read_file;write_file", []),
    ],
)
def test_junk_declares_nothing(text: str, left: list[str]) -> None:
    assert declared(text) == left


def test_text_over_the_limit_declares_nothing_instead_of_losing_a_pattern() -> None:
    pattern = "fetch_url(https://a.vn/)"
    fits = "x " * ((TEXT_LIMIT - len(pattern)) // 2) + pattern
    assert declared(fits)[-1] == pattern
    assert declared(" " * (TEXT_LIMIT - len("fetch_url")) + pattern) == []


def test_covering() -> None:
    everything, some = Capability("read_file"), Capability("read_file", "/data/*")
    assert everything.covers(everything)
    assert everything.covers(some)
    assert some.covers(some)
    assert not some.covers(everything)
    assert not some.covers(Capability("read_file", "/data/a"))
    assert not Capability("read_file", "").covers(everything)
    assert not everything.covers(Capability("write_file"))
    assert not everything.covers(Capability("write_file", "/data/*"))


@pytest.mark.parametrize("name", sorted(CAPABILITY_NAMES))
def test_what_this_host_knows_is_parsed(name: str) -> None:
    assert parse_capability(name) == Capability(name)
    assert parse_capability(f"  {name}(a, b)\n") == Capability(name, "a, b")


@pytest.mark.parametrize(
    "text",
    ["", "Bash", "READ_FILE", "read_file write_file", "read_file(", "read_file(a)b", "read_file(\n)",
     "\udcff", "x" * 10_000, "read_file(" + "x" * TEXT_LIMIT + ")"],
)  # fmt: skip
def test_what_this_host_does_not_know_is_denied(text: str) -> None:
    with pytest.raises(CapabilityDenied) as caught:
        parse_capability(text)
    assert "read_file" in caught.value.message
    assert len(caught.value.message.encode()) < 1000


PATTERNS = st.none() | st.text(
    st.characters(codec="utf-8", min_codepoint=32, exclude_characters="()\x7f"),
    max_size=30,
)  # fmt: skip
CAPABILITIES = st.builds(Capability, st.sampled_from(sorted(CAPABILITY_NAMES)), PATTERNS)


@settings(max_examples=300, deadline=None)
@given(st.lists(CAPABILITIES, max_size=8, unique=True), st.sampled_from([" ", ",", ", ", "\n"]))
def test_what_is_written_is_read_back(capabilities: list[Capability], separator: str) -> None:
    assert declared_capabilities(separator.join(map(str, capabilities))) == tuple(capabilities)
    for capability in capabilities:
        assert parse_capability(str(capability)) == capability


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=200) | st.text("read_fil(), \n\x00", max_size=60))
def test_any_text_is_read_and_what_it_declares_reads_back(text: str) -> None:
    for capability in declared_capabilities(text):
        assert declared_capabilities(str(capability)) == (capability,)
        assert str(capability) in text
