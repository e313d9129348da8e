"""Every rule of the open standard for the front matter, told with the field and the line."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from subgraph.capabilities import declared_capabilities
from subgraph.catalog import validate
from subgraph.catalog.field_rules import TOOLS_LIMIT
from subgraph.catalog.manifest import TEXT_BOUND, TOOLS_BOUND
from tests.catalog.written import HEAD, errors, warnings, written


@pytest.mark.parametrize(
    "name", ["a", "a1", "1-a", "a" * 64, "a-b-c", "é", "đơn-hàng", "१", "中文", "a\u0301"]
)
def test_a_name_within_the_rules_is_valid(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "SKILL.md").write_text(f"---\nname: '{name}'\ndescription: d\n---\nx\n")
    assert validate(tmp_path / name).findings == ()


@pytest.mark.parametrize(
    ("name", "faults"),
    [
        ("Ok", {"must be lower-case"}),
        ("a_b", {"must hold nothing but letters, digits and hyphens"}),
        ("-a", {"must neither begin nor end with a hyphen"}),
        ("a-", {"must neither begin nor end with a hyphen"}),
        ("a--b", {"must not have two hyphens in a row"}),
        ("a" * 65, {"must be 1 to 64 characters long, has 65"}),
        ("other", set()),
        ("A_", {"must be lower-case", "must hold nothing but letters, digits and hyphens"}),
    ],
)
def test_a_name_is_told_every_rule_that_it_breaks(tmp_path: Path, name: str, faults: set[str]) -> None:
    report = validate(written(tmp_path, head=(f"name: {name}", HEAD[1])))
    expected = {*faults, "must be that of the directory, ok"}
    assert set(errors(report)) == {f"line 2: name: {fault}" for fault in expected}


def test_letters_are_compared_in_one_composition(tmp_path: Path) -> None:
    (tmp_path / "e\u0301").mkdir()  # as macOS writes it
    (tmp_path / "e\u0301" / "SKILL.md").write_text("---\nname: \u00e9\ndescription: d\n---\nx\n")
    assert validate(tmp_path / "e\u0301").findings == ()


@pytest.mark.parametrize(
    ("lines", "error"),
    [
        ((HEAD[1],), "name: missing or empty"),
        ((HEAD[0],), "description: missing or empty"),
        ((HEAD[0], "description: ' '"), "line 3: description: missing or empty"),
        ((HEAD[0], "description:", "  - a"), "line 3: description: must be text"),
        ((HEAD[0], "description: " + "đ" * 1025), "line 3: description: over 1024 characters"),
        ((HEAD[0], 'description: "a\\0"'), "line 3: description: holds control characters"),
        ((*HEAD, "compatibility: " + "x" * 501), "line 4: compatibility: over 500 characters"),
        ((*HEAD, "compatibility: ''"), "line 4: compatibility: missing or empty"),
        ((*HEAD, "license:", "  a: b"), "line 4: license: must be text"),
        ((*HEAD, "metadata: x"), "line 4: metadata: must be a mapping of text to text"),
        ((*HEAD, "metadata:", "  a: b", "  c:", "    - d"), "line 6: metadata.c: must be text"),
        ((*HEAD, "allowed-tools:", "  a: b"), "line 4: allowed-tools: must be text"),
        ((*HEAD, "version: x"), "line 4: version: not a field of the standard; put it into metadata"),
        ((*HEAD, "name: ok"), "line 4: name: the front matter has this key twice"),
        ((*HEAD, "license: a: b"), "line 4: license: a value that holds a colon must be quoted"),
        ((*HEAD, "\tx"), "line 4: the front matter is not YAML"),
    ],
)
def test_a_broken_rule_is_an_error_with_its_field_and_line(
    tmp_path: Path, lines: tuple[str, ...], error: str
) -> None:
    assert errors(validate(written(tmp_path, head=lines))) == [error]


def test_texts_at_their_bounds_are_valid(tmp_path: Path) -> None:
    head = ("name: ok", "description: " + "đ" * 1024, "compatibility: " + "x" * 500)
    assert validate(written(tmp_path, head=head)).findings == ()


@pytest.mark.parametrize(
    ("line", "warning"),
    [
        ("version: 1.0", "1.0 is a number to readers of YAML; write it in quotes"),
        ("region: NO", "NO is true or false to readers of YAML; write it in quotes"),
        ("version: v1", "not a version of SemVer, as 1.0.0 is"),
        ("region: Vietnam", "not a country of ISO 3166, as VN is"),
        ("cyberos-nonsense: x", "not a field of this host"),
        ("cyberos-activation-events: onNonsense", "onNonsense is no activation event"),
        ("cyberos-depends-on: one, Two", "Two is no name of a skill"),
        (f"a: {'x' * (TEXT_BOUND + 1)}", f"over {TEXT_BOUND} characters; it is passed over"),
    ],
)
def test_what_hosts_read_differently_is_a_warning(tmp_path: Path, line: str, warning: str) -> None:
    report = validate(written(tmp_path, "metadata:", f"  {line}"))
    assert report.ok
    assert f"line 5: metadata.{line.partition(':')[0]}: {warning}" in warnings(report)


@pytest.mark.parametrize(
    ("chain", "error"),
    [
        ("{", "not JSON"),
        ('{"stepz": {}}', "the chain: stepz is not known; there are needs, steps"),
        ('{"steps": {"a": {"skill": "two"}}}', "a runs two, which cyberos-depends-on does not name"),
    ],
)
def test_a_chain_that_cannot_be_run_is_an_error(tmp_path: Path, chain: str, error: str) -> None:
    report = validate(
        written(tmp_path, "metadata:", "  cyberos-depends-on: one", f"  cyberos-chain: '{chain}'")
    )
    consequence = "the skill can be run alone, and neither routed to nor dispatched"
    assert errors(report) == [f"line 6: metadata.cyberos-chain: {error}; {consequence}"]


def test_a_dependency_is_judged_by_who_knows_the_other_skills(tmp_path: Path) -> None:
    skill = written(tmp_path, "metadata:", "  cyberos-depends-on: one, two")
    assert validate(skill).findings == ()
    report = validate(skill, check_skill=lambda name: "it is away" if name == "two" else None)
    assert report.ok
    assert warnings(report) == ["line 5: metadata.cyberos-depends-on: it is away"]


@pytest.mark.parametrize(
    "line",
    ["license: !!str MIT", "license: &a MIT", "allowed-tools: [a]", "metadata: {a: b}", "license: a --- b"],
)
def test_what_the_reference_validator_refuses_is_a_warning(tmp_path: Path, line: str) -> None:
    report = validate(written(tmp_path, line))
    assert report.ok
    assert any("reference validator" in warning and "line 4" in warning for warning in warnings(report))


def tool_problem(entry: str) -> str | None:
    found = declared_capabilities(entry)
    return found[0].problem if found else "is no capability"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("read_file fetch_url(https://*.vn/*)", []),
        ("read_file Bash(git diff:*)", ["Bash(git diff:*): Bash is not a capability of this host"]),
        ("read_file, write_file", ["separated by commas; the standard has spaces"]),
        ("Bash(a, b)", ["Bash(a, b): Bash is not a capability of this host"]),
        ("read_file ((", ["((: is no capability"]),
    ],
)
def test_tools_are_asked_for_one_by_one(tmp_path: Path, value: str, said: list[str]) -> None:
    report = validate(written(tmp_path, f"allowed-tools: {value}"), check_tool=tool_problem)
    assert report.ok
    assert warnings(report) == [f"line 4: allowed-tools: {message}" for message in said]


def test_tools_may_be_a_list_with_a_warning(tmp_path: Path) -> None:
    skill = written(tmp_path, "allowed-tools:", "  - read_file", "  - Bash(a b)")
    report = validate(skill, check_tool=tool_problem)
    assert warnings(report) == [
        "line 4: allowed-tools: a list; the standard has one text, separated by spaces",
        "line 4: allowed-tools: Bash(a b): Bash is not a capability of this host",
    ]


def test_tools_have_bounds_and_odd_ones_take_no_time(tmp_path: Path) -> None:
    asked: list[str] = []

    def note(tool: str) -> None:
        asked.append(tool)

    skill = written(tmp_path, f"allowed-tools: {' '.join(f't{number}' for number in range(2000))}")
    assert warnings(validate(skill, check_tool=note)) == [
        f"line 4: allowed-tools: over {TOOLS_LIMIT} tools; the rest is not looked at",
        f"line 4: allowed-tools: over {TOOLS_BOUND} characters; nothing is declared",
    ]
    assert asked == [f"t{number}" for number in range(TOOLS_LIMIT)]
    for odd in ("(" * 60_000, "a" + "," * 60_000 + ")", "(a " * 20_000, "()" * 30_000):
        started = time.process_time()
        validate(written(tmp_path, f"allowed-tools: {odd}"))
        assert time.process_time() - started < 0.5  # of the processor; what grows as a square takes minutes
