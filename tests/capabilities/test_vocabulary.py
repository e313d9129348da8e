"""`allowed-tools`: both spellings, patterns, and everything else that authors write there."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subgraph.capabilities import Capability, declared_capabilities, parse_capability
from subgraph.capabilities.vocabulary import (
    CAPABILITY_NAMES,
    EFFECTS,
    IRREVERSIBLE,
    SENSITIVE,
    TEXT_LIMIT,
    describe,
)
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


EXAMPLES = {
    "read_file": "invoices/**",
    "write_file": "out/*.json",
    "list_dir": "/skill/data",
    "fetch_url": "https://*.example.vn/v1/*",
    "read_env": "COMPANY_NAME",
    "get_secret": "TAX_TOKEN",
    "recall_memory": None,
    "exec_command": "pdftotext",
}


def test_covering() -> None:
    everything, some = Capability("read_file"), Capability("read_file", "data/*")
    assert everything.covers(everything)
    assert everything.covers(some)
    assert some.covers(some)
    assert some.covers(Capability("read_file", "data/a"))
    assert not some.covers(everything)
    assert not some.covers(Capability("read_file", "data/.a"))
    assert not Capability("read_file", "").covers(everything)
    assert not everything.covers(Capability("write_file"))
    assert not everything.covers(Capability("write_file", "data/*"))
    assert Capability("Bash", "git:*").covers(Capability("Bash", "git:*"))


def test_what_must_be_named_is_not_covered_by_everything() -> None:
    assert Capability("read_env").covers(Capability("read_env", "COMPANY"))
    assert not Capability("read_env").covers(Capability("read_env", "AWS_REGION"))
    assert Capability("fetch_url").covers(Capability("fetch_url", "https://a.vn/*"))
    assert not Capability("fetch_url").covers(Capability("fetch_url", "http://10.0.0.1/*"))
    assert not Capability("fetch_url").covers(Capability("fetch_url", "http://tax.internal:8080"))
    assert not Capability("fetch_url", "https://*:8443").covers(Capability("fetch_url", "https://a.vn:8443"))


@pytest.mark.parametrize(
    ("capability", "inside", "outside"),
    [
        ("read_file", ["a", ".env", "/skill/a", "."], ["..", "/etc/passwd", "a\0b"]),
        ("read_file(a/**)", ["a/b", "./a/b/c"], ["a", "a/.b", "a/../b", "/skill/a/b"]),
        ("write_file", ["a/b"], ["/skill/a"]),
        ("list_dir(a/**)", ["a", "a/b"], [".", "b"]),
        ("fetch_url", ["https://a.vn/", "http://10.0.0.1/"], ["ftp://a.vn/", "https://u@a.vn/"]),
        ("fetch_url(https://a.vn/*)", ["https://A.vn/x"], ["http://a.vn/x", "https://a.vn:1/x"]),
        ("read_env", ["COMPANY"], ["AWS_REGION", "CYBEROS_HOME", "SKILL_SECRET_A", "company", "A/B"]),
        ("read_env(AWS_REGION)", ["AWS_REGION"], ["COMPANY", "aws_region"]),
        ("get_secret", ["A"], ["a", "../A", "A.B"]),
        ("get_secret(A)", ["A"], ["B", "AA"]),
        ("recall_memory", ["notes"], []),
        ("exec_command", ["git"], ["/bin/sh", "../git", ".git"]),
        ("exec_command(git)", ["git"], ["gitk", "Git"]),
    ],
)
def test_a_capability_admits_uses(capability: str, inside: list[str], outside: list[str]) -> None:
    parsed = parse_capability(capability)
    assert [target for target in inside if not parsed.admits(target)] == []
    assert [target for target in outside if parsed.admits(target)] == []


MALFORMED = [
    "read_file()", "read_file(../*)", "read_file(/etc/*)", "read_file([ab])", "read_file(a**)",
    "write_file(/skill/*)", "list_dir(a//b)", "fetch_url(a.vn)", "fetch_url(http://*)",
    "fetch_url(https://a.vn/?q)",
    "read_env(path)", "read_env(CYBEROS_JWT_KEY)",
    "read_env(SKILL_SECRET_A)", "read_env(A*)", "get_secret(a-b)",
    "get_secret(../A)", "recall_memory(x)", "recall_memory()",
    "exec_command(/bin/sh)", "exec_command(git log)",
]  # fmt: skip


@pytest.mark.parametrize("text", MALFORMED)
def test_malformed_patterns_are_refused_with_the_reason(text: str) -> None:
    (capability,) = declared_capabilities(text)  # kept, for who shows what a skill declares
    assert not capability.is_well_formed
    assert not any(
        capability.admits(target) for target in ("a", ".", "https://a.vn/", "A", "AWS_REGION", "git", "notes")
    )
    with pytest.raises(CapabilityDenied, match="cannot be granted: ") as caught:
        parse_capability(text)
    assert str(capability.problem) in caught.value.message
    assert "allows nothing" in describe(capability)


def test_private_hosts_are_permitted_where_they_are_named() -> None:
    def permits(pattern: str | None, target: str) -> bool:
        return Capability("fetch_url", pattern).permits_private(target)

    assert permits("http://10.0.0.1/x/*", "http://10.0.0.1/x/y")
    assert permits("http://tax.internal:80/*", "http://tax.internal/")
    assert not permits("http://10.0.0.1/x/*", "http://10.0.0.1/y")
    assert not permits("http://tax.internal/*", "http://tax.internal/")
    assert not permits("https://*:443", "https://a.vn/")
    assert not permits(None, "http://10.0.0.1/")
    assert not Capability("read_file").permits_private("http://10.0.0.1/")


def test_what_is_recorded_by_itself_and_before_it_happens() -> None:
    assert {name for name in CAPABILITY_NAMES if Capability(name).has_effects} == set(EFFECTS)
    assert {name for name in CAPABILITY_NAMES if Capability(name).is_sensitive} == {
        "get_secret",
        "exec_command",
    }
    assert Capability("read_env", "AWS_REGION").is_sensitive
    assert not Capability("read_env", "LANG").is_sensitive
    assert set(SENSITIVE) | set(EFFECTS) < CAPABILITY_NAMES


@pytest.mark.parametrize(
    ("capability", "sentence"),
    [
        ("read_file(invoices/**)", "reads any file below invoices/ of the workspace, hidden ones left out"),
        ("read_file(**)", "reads any file of the workspace, hidden ones left out"),
        ("read_file(a/b.csv)", "reads the file a/b.csv of the workspace"),
        ("list_dir(.)", "lists the workspace itself"),
        ("list_dir(a/**)", "lists a and any directory below a/ of the workspace, hidden ones left out"),
        (
            "read_file(/skill/*.md)",
            "reads any file of the skill's own directory that matches *.md, hidden ones left out",
        ),
        (
            "fetch_url(https://*.a.vn/v1/*)",
            (
                "fetches any address of any public host below a.vn over https, port 443 with a path that "
                "matches /v1/*, and can send what it knows there"
            ),
        ),
        (
            "fetch_url(http://tax.internal:8080)",
            (
                "fetches any address of http://tax.internal:8080, on a private network too, "
                "and can send what it knows there"
            ),
        ),
        ("read_env(API_KEY)", "reads the environment variable API_KEY, which may hold a secret"),
        ("get_secret(A)", "gets the secret A"),
        ("exec_command(git)", "runs the command git, outside of the sandbox"),
        ("Bash(git:*)", "Bash(git:*) is a tool of other hosts and allows nothing here"),
    ],
)
def test_people_are_told_what_a_capability_allows(capability: str, sentence: str) -> None:
    (parsed,) = declared_capabilities(capability)
    assert describe(parsed) == sentence


@pytest.mark.parametrize("name", sorted(CAPABILITY_NAMES))
def test_what_this_host_knows_is_parsed(name: str) -> None:
    assert parse_capability(name) == Capability(name)
    assert len(describe(Capability(name))) > 20
    pattern = EXAMPLES[name]
    if pattern is not None:
        assert parse_capability(f"  {name}({pattern})\n") == Capability(name, pattern)


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


@settings(max_examples=300)
@given(st.lists(CAPABILITIES, max_size=8, unique=True), st.sampled_from([" ", ",", ", ", "\n"]))
def test_what_is_written_is_read_back(capabilities: list[Capability], separator: str) -> None:
    assert declared_capabilities(separator.join(map(str, capabilities))) == tuple(capabilities)
    for capability in capabilities:
        if capability.is_well_formed:
            assert parse_capability(str(capability)) == capability
        else:
            with pytest.raises(CapabilityDenied):
                parse_capability(str(capability))


TARGETS = st.sampled_from([
    ".", "a", "a/b", "a/.b", ".a", "/skill", "/skill/a", "..", "https://a.vn/", "https://b.a.vn/x/y",
    "http://10.0.0.1/", "http://10.0.0.1/x", "A", "AWS_REGION", "CYBEROS_HOME", "git", "notes", "",
])  # fmt: skip
GOOD_PATTERNS = st.none() | st.sampled_from([
    "a", "a/*", "a/**", "**", "*", ".a", "/skill/**", "/skill/a", ".", "https://a.vn", "https://*.a.vn/x/*",
    "https://*",
    "http://10.0.0.1", "http://10.0.0.1/x", "A", "AWS_REGION", "CYBEROS_HOME", "git", "", "..",
])  # fmt: skip


@settings(max_examples=3000)
@given(st.sampled_from(sorted(CAPABILITY_NAMES)), GOOD_PATTERNS, GOOD_PATTERNS, TARGETS)
def test_covering_is_sound(name: str, wide: str | None, narrow: str | None, target: str) -> None:
    ours, theirs = Capability(name, wide), Capability(name, narrow)
    if ours.covers(theirs):
        assert not theirs.admits(target) or ours.admits(target)
        assert not theirs.permits_private(target) or ours.permits_private(target)


@settings(max_examples=1400)
@given(st.text(max_size=200) | st.text("read_fil(), \n\x00*?/.:", max_size=80))
def test_any_text_is_read_and_what_it_declares_reads_back(text: str) -> None:
    reads_back(text)


@settings(max_examples=60)  # each takes 20 ms to make up
@given(st.text("a(), ", min_size=TEXT_LIMIT - 5, max_size=TEXT_LIMIT))
def test_so_does_text_as_long_as_it_may_be(text: str) -> None:
    reads_back(text)


def reads_back(text: str) -> None:
    for capability in declared_capabilities(text):
        assert declared_capabilities(str(capability)) == (capability,)
        assert str(capability) in text
        assert describe(capability)


@pytest.mark.parametrize("piece", ["a(", "a( ", "(", "a,", "a", " ", "a()", "a)(", "read_file(" + "x" * 90])
def test_hostile_text_is_read_in_linear_time(piece: str) -> None:
    text = (piece * TEXT_LIMIT)[:TEXT_LIMIT]
    declared_capabilities.cache_clear()
    started = time.process_time()
    declared_capabilities(text)
    assert time.process_time() - started < 0.05


def test_what_cannot_be_undone_has_effects_outside_and_is_recorded_each_time() -> None:
    assert set(IRREVERSIBLE) <= set(EFFECTS) & set(SENSITIVE) & CAPABILITY_NAMES
    assert not {"write_file", "fetch_url"} & set(IRREVERSIBLE)
