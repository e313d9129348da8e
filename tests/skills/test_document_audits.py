"""The audits' rubrics against the documents that the matching authors are told to write."""

from __future__ import annotations

import functools
import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st

from tests.support import rubric
from tests.support.rubric import Rule, failed, read_rubric, section, sections
from tests.support.toolchain import ROOT

CUO = ROOT / "skills" / "cuo"
AUDITS = {
    "prd": (CUO / "cpo" / "prd-audit", CUO / "cpo" / "prd-author"),
    "fr": (CUO / "cpo" / "fr-audit", CUO / "cpo" / "fr-author"),
    "srs": (CUO / "cto" / "srs-audit", CUO / "cto" / "srs-author"),
}
NEVER_ALONE = {("fr", "R06"): {"R17"}}
"""Without any requirement whatever is traced is not there either."""

PLACEHOLDER = "{placeholder}"


@functools.cache
def rules_of(kind: str) -> tuple[Rule, ...]:
    return read_rubric(AUDITS[kind][0] / "references" / "rubric.md")


def text(directory: Path, name: str) -> str:
    return (directory / "references" / name).read_text(encoding="utf-8")


def example(kind: str) -> str:
    return text(AUDITS[kind][1], "example.md")


MECHANICAL = [(kind, rule) for kind in AUDITS for rule in rules_of(kind) if rule.mechanical]
each_audit = pytest.mark.parametrize("kind", AUDITS)
each_rule = pytest.mark.parametrize(
    ("kind", "rule"), MECHANICAL, ids=[f"{kind}-{rule.name}" for kind, rule in MECHANICAL]
)


# Spoiling: what breaks a rule is found from the rule itself, so that a rule added later is covered or fails.


def spoilings(rule: Rule, document: str) -> Iterator[str]:
    """Give versions of a document that break one rule, each with as small a change as there is."""
    yield from _SPOIL[rule.kind](rule.argument, document)


def _without(match: re.Match[str], document: str, start: int = 0) -> str:
    return document[: start + match.start()] + document[start + match.end() :]


def _without_all(expression: str, part: str, document: str) -> str:
    start = document.index(part)
    kept = re.sub(expression, "", part, flags=re.MULTILINE)
    return document[:start] + kept + document[start + len(part) :]


def _place(document: str, heading: str | None) -> str:
    return document if heading is None else section(document, heading)


def _after(part: str, line: str, document: str) -> str:
    end = document.index(part) + len(part)
    return f"{document[:end]}\n{line}\n\n{document[end:]}"


def _spoil_heading(argument: str, document: str) -> Iterator[str]:
    for name in rubric.split_headings(argument, "; "):
        yield document.replace(f"{name}\n", f"{name} again\n", 1)
        yield _after(section(document, name), name, document)


def _spoil_order(argument: str, document: str) -> Iterator[str]:
    if argument.startswith("ascending "):
        expression, heading = rubric.split_place(argument.removeprefix("ascending "))
        part = _place(document, heading)
        start = document.index(part)
        first, second = list(re.finditer(expression, part, re.MULTILINE))[:2]
        between = document[start + first.end(1) : start + second.start(1)]
        before, after = document[: start + first.start(1)], document[start + second.end(1) :]
        yield before + second[1] + between + first[1] + after
        yield before + first[1] + between + first[1] + after
        return
    names = rubric.split_headings(argument, " > ")
    for one, other in itertools.pairwise(names):
        first_text, second_text = section(document, one), section(document, other)
        yield document.replace(first_text + second_text, second_text + first_text)


def _spoil_pattern(argument: str, document: str) -> Iterator[str]:
    expression, heading = rubric.split_place(argument)
    yield _without_all(expression, _place(document, heading), document)


def _spoil_count(argument: str, document: str) -> Iterator[str]:
    least, most, expression, heading = rubric.split_count(argument)
    part = _place(document, heading)
    if least:
        yield _without_all(expression, part, document)
    if most is not None:
        quiet = settings(database=None, derandomize=True)
        line = find(
            st.from_regex(re.compile(expression, re.ASCII)), lambda found: found.isprintable(), settings=quiet
        )
        many = "\n\n".join([line] * (most + 1))
        yield _after(part, many, document)


def _spoil_each(argument: str, document: str) -> Iterator[str]:
    if both := rubric.split_has(argument):
        item, content = both
        for found in sections(document):
            if re.match(item, found.heading):
                yield _without_all(content, found.text, document)
        return
    expression, source, target = rubric.split_is_in(argument)
    for name in sorted({match[0] for match in re.finditer(expression, section(document, source))}):
        there = section(document, target)
        yield document.replace(there, there.replace(name, ""))
        yield document.replace(there, there.replace(name, name[:-3] + "999"))


_SPOIL = {
    "heading": _spoil_heading,
    "order": _spoil_order,
    "pattern": _spoil_pattern,
    "count": _spoil_count,
    "each": _spoil_each,
}


def companions(kind: str, rule: Rule) -> set[str]:
    """Name the rules that fall with a rule: those about a section whose heading is gone."""
    if rule.kind != "heading":
        return NEVER_ALONE.get((kind, rule.name), set())
    names = rubric.split_headings(rule.argument, "; ")
    return {other.name for other in rules_of(kind) if any(f" {name}" in other.argument for name in names)}


@each_rule
def test_rule_accepts_the_example_of_the_author(kind: str, rule: Rule) -> None:
    assert rule.passes(example(kind))


@each_rule
def test_rule_rejects_the_example_spoiled_for_it(kind: str, rule: Rule) -> None:
    document = example(kind)
    spoiled = list(spoilings(rule, document))
    assert spoiled
    broken = [failed(rules_of(kind), version) for version in spoiled]
    assert all(rule.name in names for names in broken)
    allowed = {rule.name} | companions(kind, rule)
    assert any(names <= allowed for names in broken), "no version breaks this rule alone"


NEAR_MISSES = [
    ("prd", "R02", "- Date: 2026-11-20", "- Date: 20/11/2026"),
    ("prd", "R03", "- Owner: product owner of Ví Dụ Ledger", "- Owner: "),
    ("prd", "R07", "24 days, same query, by 2027-06-30", "fewer days, by 2027-06-30"),
    ("prd", "R07", "- Target: at most 0.5 hours a week by 2027-06-30", "- Target: at most 0.5 hours a week"),
    ("prd", "R08", "- Baseline: unknown, counted from the first release on", "- Baseline: unknown"),
    ("prd", "R12", ", so that none is forgotten in a busy week.", "."),
    ("prd", "R13", "- Priority: should", "- Priority: urgent"),
    ("prd", "R15", "- Source: REQ-001", "- Source: everybody knows"),
    ("prd", "R16", "- Goal: GOAL-003", "- Goal: GOAL-001"),
    ("prd", "R18", "- Target: 0 repeated reminders for", "- Target: no repeated reminders for"),
    ("prd", "R21", "- Q-001 (legal seat, by 2026-12-04):", "- Q-001 (legal seat, soon):"),
    ("prd", "R22", "- S-2: query", "- S-2: {query}"),
    ("prd", "R23", "in my language, so that", "in my language etc., so that"),
    ("fr", "R07", "### FR-003 ", "### FR-002 "),
    (
        "fr",
        "R08",
        "the system shall send one reminder to",
        "the system shall send one reminder and shall log it to",
    ),
    ("fr", "R08", "The system shall record every", "The system should record every"),
    ("fr", "R11", "- Source: US-004", "- Source: assumption"),
    ("fr", "R12", "- Depends on: FR-003, FR-004, FR-005", "- Depends on: the others"),
    ("fr", "R13", "- AC-1 (normal): Given a reminder sent", "- AC-1 (edge): Given a reminder sent"),
    (
        "fr",
        "R15",
        ", when the list is opened, then it says that there is none.",
        ", when the list is opened.",
    ),
    ("fr", "R15", "- AC-3 (edge): Given no", "- AC-3 (empty): Given no"),
    ("fr", "R16", "| US-004 | FR-003 |", "| US-004 | |"),
    ("fr", "R17", "| US-004 | FR-003 |", "| US-004 | FR-003, FR-006 |"),
    ("fr", "R20", "then the system refuses and says why.", "then the system reacts properly."),
    (
        "srs",
        "R04",
        'Based on: PRD "Remind customers of overdue invoices" 0.2, FR catalogue 0.2',
        "Based on: the PRD",
    ),
    ("srs", "R11", "- Verification: test, FR-004/AC-1 to AC-4", "- Verification: test"),
    (
        "srs",
        "R11",
        "- Verification: test, FR-004/AC-1 to AC-4",
        "- Verification: review, FR-004/AC-1 to AC-4",
    ),
    ("srs", "R14", "; under: 50,000 open invoices of one company, 20 users at once", ""),
    (
        "srs",
        "R18",
        "- On failure: nothing is sent on a balance that is not known",
        "- Failure: nothing is sent",
    ),
    ("srs", "R19", "; because due dates are written so on the invoices.", "."),
    ("srs", "R21", "| NFR-003 | US-001 | test |\n", ""),
]
"""Faults that a person makes: they hold the rules themselves, which the derived ones take as they are."""


@pytest.mark.parametrize(("kind", "name", "before", "after"), NEAR_MISSES)
def test_rule_sees_a_fault_that_a_person_makes(kind: str, name: str, before: str, after: str) -> None:
    document = example(kind)
    assert before in document
    assert failed(rules_of(kind), document.replace(before, after, 1)) == {name}


@each_audit
def test_template_is_accepted_but_for_its_placeholders(kind: str) -> None:
    template = text(AUDITS[kind][1], "template.md")
    broken = failed(rules_of(kind), template)
    (rule,) = (rule for rule in rules_of(kind) if rule.name in broken)
    assert not rule.passes(PLACEHOLDER)
    assert rule.severity == "blocker"


@each_audit
def test_rules_are_numbered_from_one_and_judged_last(kind: str) -> None:
    rules = rules_of(kind)
    assert [rule.name for rule in rules] == [f"R{number:02}" for number in range(1, len(rules) + 1)]
    assert [rule.mechanical for rule in rules] == sorted((rule.mechanical for rule in rules), reverse=True)
    body = (AUDITS[kind][0] / "SKILL.md").read_text(encoding="utf-8")
    mechanical = [rule.name for rule in rules if rule.mechanical]
    assert f"{mechanical[0]} to {mechanical[-1]}" in body


@each_audit
def test_each_rule_of_judgement_asks_a_question(kind: str) -> None:
    questions = [rule for rule in rules_of(kind) if not rule.mechanical]
    assert questions
    assert all("?" in rule.argument for rule in questions)


def test_checks_and_verdicts_are_defined_alike_in_all_rubrics() -> None:
    definitions = {
        text(audit, "rubric.md").partition("## How a check is read")[2] for audit, _ in AUDITS.values()
    }
    (definition,) = definitions
    for severity, penalty in rubric.PENALTY.items():
        assert re.search(rf"\b{penalty} for each (failed )?{severity}\b", definition)
    assert "more than three failed minors" in definition
    assert {name for _, rule in MECHANICAL for name in [rule.kind]} <= set(
        re.findall(r"\| `(\w+)` \|", definition)
    )


@each_audit
def test_example_report_finds_what_the_rules_find(kind: str) -> None:
    directory = AUDITS[kind][0]
    page = text(directory, "example.md")
    draft = re.search(r"````markdown\n(.*?)````", page, re.DOTALL)
    assert draft is not None
    report = page[draft.end() :]
    rules = {rule.name: rule for rule in rules_of(kind)}
    findings = re.findall(r"^\| (R\d\d) \| (blocker|major|minor) \|", report, re.MULTILINE)
    answers = dict(re.findall(r"^\| (R\d\d) \| (yes|no) \|", report, re.MULTILINE))
    judged = {name for name, rule in rules.items() if not rule.mechanical}
    assert {name for name, _ in findings} - judged == failed(rules_of(kind), draft[1])
    assert {name for name, _ in findings} & judged == {name for name in judged if answers.get(name) == "no"}
    assert all(rules[name].severity == severity for name, severity in findings)
    order = [(rubric.SEVERITIES.index(severity), name) for name, severity in findings]
    assert order == sorted(order)

    severities = [severity for _, severity in findings]
    assert f"- Verdict: {rubric.verdict(severities)}\n- Score: {rubric.score(severities)}\n" in report
    numbers = [severities.count(severity) for severity in rubric.SEVERITIES]
    assert "- Failed: {} blockers, {} major, {} minor\n".format(*numbers) in report

    body = (directory / "SKILL.md").read_text(encoding="utf-8")
    line = re.search(r"```json\n(.*)\n```", body)
    assert line is not None
    version = re.search(r"^- Version: (.*)$", draft[1], re.MULTILINE)
    title = re.search(r"^# Audit: (.*)$", report, re.MULTILINE)
    assert version is not None
    assert title is not None
    assert json.loads(line[1]) == {
        "audit": kind,
        "document": title[1],
        "version": version[1],
        "verdict": rubric.verdict(severities),
        "score": rubric.score(severities),
        "failed": sorted(name for name, _ in findings),
    }


@pytest.mark.parametrize(
    ("severities", "verdict", "score"),
    [
        ([], "accept", 100),
        (["minor"] * 3, "accept", 94),
        (["minor"] * 4, "revise", 92),
        (["major"], "revise", 92),
        (["blocker"], "reject", 80),
        (["blocker"] * 6, "reject", 0),
    ],
)
def test_verdict_and_score_follow_from_the_severities(
    severities: list[str], verdict: str, score: int
) -> None:
    assert rubric.verdict(severities) == verdict
    assert rubric.score(severities) == score


SEVERITY = st.sampled_from(rubric.SEVERITIES)


@given(st.lists(SEVERITY, max_size=20), SEVERITY)
def test_one_more_failed_rule_never_makes_a_document_better(severities: list[str], more: str) -> None:
    verdicts = ["accept", "revise", "reject"]
    before, after = severities, [*severities, more]
    assert rubric.score(after) <= rubric.score(before)
    assert verdicts.index(rubric.verdict(after)) >= verdicts.index(rubric.verdict(before))


def test_heading_in_a_fenced_block_is_none() -> None:
    document = "# A\n\n```sh\n# B\n```\n\n## C\n\nlast\n"
    assert [line for _, line in rubric.headings(document)] == ["# A", "## C"]
    assert "last" in section(document, "# A")


def test_rule_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    page = tmp_path / "rubric.md"
    for row in (
        "| R01 | fatal | x | `pattern: /x/` |",
        "| R01 | minor | x | `guess: /x/` |",
        "| R01 | minor |",
    ):
        page.write_text(f"{row}\n", encoding="utf-8")
        with pytest.raises(ValueError, match="R01"):
            read_rubric(page)
    with pytest.raises(ValueError, match="nonsense"):
        Rule("R01", "minor", "x", "count", "nonsense").passes("")
