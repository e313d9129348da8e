"""One feature through all documents: the examples of the CUO skills fit together, and add up."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.rubric import failed, headings, read_rubric, section, sections
from tests.support.toolchain import ROOT

CUO = ROOT / "skills" / "cuo"
WRITERS = {
    "discovery": CUO / "cpo" / "requirements-discovery",
    "prd": CUO / "cpo" / "prd-author",
    "fr": CUO / "cpo" / "fr-author",
    "tasks": CUO / "cpo" / "fr-with-tasks",
    "srs": CUO / "cto" / "srs-author",
    "spec": CUO / "cto" / "fr-to-tech-spec",
    "plan": CUO / "cto" / "spec-to-impl-plan",
    "legal": ROOT / "skills" / "cyberskill-vn" / "vn-legal-compliance",
}
EXAMPLES = {
    name: (directory / "references" / "example.md").read_text(encoding="utf-8")
    for name, directory in WRITERS.items()
}
ESTIMATES = {0.5, 1.0, 2.0, 3.0}

each_writer = pytest.mark.parametrize("name", WRITERS)


def reference(name: str, file: str) -> str:
    return (WRITERS[name] / "references" / file).read_text(encoding="utf-8")


def ids(kind: str, text: str) -> set[str]:
    return set(re.findall(rf"\b{kind}-\d{{3}}\b", text))


def defined(kind: str, text: str) -> dict[str, str]:
    """Return the titles of the items that have a heading."""
    return dict(re.findall(rf"^### ({kind}-\d{{3}}) (.+)$", text, re.MULTILINE))


def statements(text: str) -> dict[str, str]:
    found = {}
    for part in sections(text):
        title = re.match(r"### (FR-\d{3})", part.heading)
        line = re.search(r"^- Statement: (.+)$", part.text, re.MULTILINE)
        if title and line:
            found[title[1]] = line[1]
    return found


def criteria(text: str) -> set[str]:
    return {
        f"{part.heading[4:10]}/{criterion}"
        for part in sections(text)
        if re.match(r"### FR-\d{3}", part.heading)
        for criterion in re.findall(r"^- (AC-\d)", part.text, re.MULTILINE)
    }


# Shapes


def second_level(text: str) -> list[str]:
    return [line.removeprefix("## ") for _, line in headings(text) if line.startswith("## ")]


@each_writer
def test_template_example_and_body_have_the_same_sections(name: str) -> None:
    sections_ = second_level(reference(name, "template.md"))
    assert second_level(EXAMPLES[name]) == sections_
    if name == "tasks":
        return  # its body says it by what `fr-author` writes
    body = " ".join((WRITERS[name] / "SKILL.md").read_text(encoding="utf-8").split())
    listed = re.search(r"Sections, in order: (.+?)\.", body)
    assert listed is not None
    assert listed[1].split(", ") == sections_


@each_writer
def test_example_says_that_it_is_fictional(name: str) -> None:
    assert re.search(r"[Ff]iction", EXAMPLES[name])


def test_requirements_with_tasks_pass_the_audit_of_requirements() -> None:
    rules = read_rubric(CUO / "cpo" / "fr-audit" / "references" / "rubric.md")
    assert failed(rules, EXAMPLES["tasks"]) == set()
    (broken,) = failed(rules, reference("tasks", "template.md"))
    assert failed(rules, reference("fr", "template.md")) == {broken}


# The same things under the same numbers


def test_needs_of_the_stories_were_heard() -> None:
    heard = defined("REQ", EXAMPLES["discovery"])
    assert ids("REQ", EXAMPLES["prd"]) <= set(heard)
    story_sources = ids("REQ", section(EXAMPLES["prd"], "## User stories"))
    assert set(heard) - story_sources == {"REQ-007"}
    assert "REQ-007 is kept and not pursued" in EXAMPLES["discovery"]


@pytest.mark.parametrize("name", ["fr", "tasks", "srs"])
def test_sources_of_requirements_are_stories_of_the_prd(name: str) -> None:
    stories = set(defined("US", EXAMPLES["prd"]))
    assert ids("US", EXAMPLES[name]) <= stories
    if name == "fr":
        assert ids("US", EXAMPLES[name]) == stories


@pytest.mark.parametrize("name", ["tasks", "srs"])
def test_requirements_are_quoted_word_for_word(name: str) -> None:
    titles, texts = defined("FR", EXAMPLES["fr"]), statements(EXAMPLES["fr"])
    assert statements(EXAMPLES[name]).items() <= texts.items()
    assert defined("FR", EXAMPLES[name]).items() <= titles.items()
    assert statements(EXAMPLES[name])


def test_criteria_with_tasks_are_those_of_the_catalogue() -> None:
    lines = set(re.findall(r"^- AC-.*$", EXAMPLES["fr"], re.MULTILINE))
    assert set(re.findall(r"^- AC-.*$", EXAMPLES["tasks"], re.MULTILINE)) <= lines


def test_qualities_have_one_title_and_one_figure() -> None:
    assert defined("NFR", EXAMPLES["srs"]) == defined("NFR", EXAMPLES["prd"])
    for found in sections(EXAMPLES["srs"]):
        if found.heading.startswith("### NFR-"):
            target = re.search(r"^- Target: (.+); under:", found.text, re.MULTILINE)
            assert target is not None
            assert target[1] in section(EXAMPLES["prd"], found.heading)


@pytest.mark.parametrize("kind", ["FR", "NFR", "IF", "CON", "DEC", "US", "GOAL", "REQ"])
def test_whatever_is_named_is_defined_once_upstream(kind: str) -> None:
    everything = "\n".join(text for name, text in EXAMPLES.items() if name != "legal")
    listed = set(re.findall(rf"^- ({kind}-\d{{3}}):", everything, re.MULTILINE))
    assert ids(kind, everything) == set(defined(kind, everything)) | listed


@pytest.mark.parametrize("kind", ["Q", "RISK"])
def test_questions_and_risks_keep_their_number(kind: str) -> None:
    meant: dict[str, str] = {}
    for text in EXAMPLES.values():
        for number, line in re.findall(rf"^- ({kind}-\d{{3}})(?: \(.*?\))?: (.+)$", text, re.MULTILINE):
            words = re.split(r"[;,?]", line)[0]
            assert meant.setdefault(number, words) == words, number
    assert len(set(meant.values())) == len(meant)
    everything = "\n".join(EXAMPLES.values())
    assert ids(kind, everything) == set(meant)


# What the design and the plan must cover


def test_design_tests_every_criterion_that_it_covers() -> None:
    covered = section(EXAMPLES["spec"], "## Covers").partition(". It asks")[0]
    wanted = {one for one in criteria(EXAMPLES["fr"]) if one[:6] in ids("FR", covered)} | ids("NFR", covered)
    rows = re.findall(r"^\| ((?:FR|NFR)-\d{3}(?:/AC-\d)?) \|", EXAMPLES["spec"], re.MULTILINE)
    assert set(rows) == wanted
    assert len(rows) == len(wanted)


def test_plan_ends_every_test_of_the_design_with_a_task() -> None:
    rows = re.findall(r"^\| ((?:FR|NFR)-\d{3}(?:/AC-\d)?) \|", EXAMPLES["spec"], re.MULTILINE)
    done = " ".join(re.findall(r"^- Done when: (.*)$", EXAMPLES["plan"], re.MULTILINE))
    assert set(re.findall(r"(?:FR|NFR)-\d{3}(?:/AC-\d)?", done)) == set(rows)


def test_every_criterion_of_the_small_feature_stands_with_a_task() -> None:
    done = " ".join(re.findall(r"^- Done when: (.*)$", EXAMPLES["tasks"], re.MULTILINE))
    assert set(re.findall(r"FR-\d{3}/AC-\d", done)) == criteria(EXAMPLES["tasks"])


# Sums and chains


class Task(NamedTuple):
    days: float
    needs: list[str]


def tasks(text: str) -> dict[str, Task]:
    found = {}
    for part in sections(text):
        if title := re.match(r"### (TASK-\d{3}) ", part.heading):
            days = re.search(r"^- Estimate: ([\d.]+) days?$", part.text, re.MULTILINE)
            needs = re.search(r"^- Depends on: (.+)$", part.text, re.MULTILINE)
            assert days is not None
            assert needs is not None
            found[title[1]] = Task(float(days[1]), [] if needs[1] == "none" else needs[1].split(", "))
    return found


@pytest.mark.parametrize("name", ["tasks", "plan"])
def test_tasks_depend_on_lower_ones_and_are_small(name: str) -> None:
    listed = tasks(EXAMPLES[name])
    assert list(listed) == sorted(listed)
    for number, task in listed.items():
        assert task.days in ESTIMATES
        assert all(need in listed and need < number for need in task.needs)


@pytest.mark.parametrize("name", ["tasks", "plan"])
def test_sum_and_longest_chain_are_right(name: str) -> None:
    listed = tasks(EXAMPLES[name])
    ends: dict[str, float] = {}
    for number, task in listed.items():
        ends[number] = task.days + max((ends[need] for need in task.needs), default=0.0)
    text = EXAMPLES[name]
    assert f"- Work: {sum(task.days for task in listed.values()):g} days\n" in text
    chain = re.search(r"^- Longest chain: (TASK-.+), ([\d.]+) days$", text, re.MULTILINE)
    assert chain is not None
    numbers = chain[1].split(", ")
    assert all(first in listed[second].needs for first, second in itertools.pairwise(numbers))
    assert sum(listed[number].days for number in numbers) == float(chain[2]) == max(ends.values())


def test_task_numbers_go_on_from_one_document_to_the_next() -> None:
    first, second = (list(tasks(EXAMPLES[name])) for name in ("tasks", "plan"))
    both = [*first, *second]
    assert both == [f"TASK-{number:03}" for number in range(1, len(both) + 1)]
    assert ids("TASK", EXAMPLES["plan"]) <= set(both)


def test_milestones_hold_every_task_once() -> None:
    rows = re.findall(r"^\| \d .+ \| (TASK-[^|]+) \|$", EXAMPLES["plan"], re.MULTILINE)
    held: list[int] = []
    for row in rows:
        for part in row.split(", "):
            first, _, last = part.partition(" to ")
            held += range(int(first[-3:]), int((last or first)[-3:]) + 1)
    assert sorted(held) == [int(number[-3:]) for number in tasks(EXAMPLES["plan"])]


def test_seat_of_technology_quotes_the_sum_of_the_plan() -> None:
    page = Path(CUO / "cto" / "cto" / "references" / "example.md").read_text(encoding="utf-8")
    total = sum(task.days for task in tasks(EXAMPLES["plan"]).values())
    assert f"{total:g} days of work" in page
