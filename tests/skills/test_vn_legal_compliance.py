"""The texts of vn-legal-compliance against its list of acts: nothing in them that is not recorded."""

from __future__ import annotations

import json
import re
from datetime import date, datetime, timedelta
from typing import Any

import pytest

from tests.support.toolchain import ROOT

SKILL = ROOT / "skills" / "cyberskill-vn" / "vn-legal-compliance"
FIELDS = {"id", "title", "subject", "status", "valid_from", "valid_to", "replaces", "source"}
AS_OF = "2026-11-20"
DAYS, HOURS = 60, 72

ACT = re.compile(
    r"\b(?:Law|Decree|Circular|Labour Code) \d+(?:/\d{4})?(?:/QH\d+)?|\b(?:Decision|QĐ) \d+(?:/QĐ-CT)?"
    r"|\bNghị định \d+(?:/\d{4})?|\bThông tư \d+(?:/\d{4})?"
)
ISO_DATE = re.compile(r"\b\d{4}-\d{2}-\d{2}\b")
AS_HISTORY = re.compile(r"replaced|last day|no longer")

TEXTS = {path.relative_to(SKILL).as_posix(): path.read_text(encoding="utf-8") for path in SKILL.rglob("*.md")}
CASES = {"references/example.md", "references/template.md"}
"""Texts with the dates of a case, beside those of the law."""

each_text = pytest.mark.parametrize("name", sorted(TEXTS))


@pytest.fixture(scope="module")
def asset() -> dict[str, Any]:
    read = json.loads((SKILL / "assets" / "instruments.json").read_text(encoding="utf-8"))
    assert isinstance(read, dict)
    return read


@pytest.fixture(scope="module")
def instruments(asset: dict[str, Any]) -> list[dict[str, Any]]:
    listed = asset["instruments"]
    assert isinstance(listed, list)
    return listed


def test_list_has_its_date_and_a_request_to_verify(asset: dict[str, Any]) -> None:
    assert set(asset) == {"as_of", "verify", "instruments"}
    assert asset["as_of"] == AS_OF
    assert "counsel" in asset["verify"]


def test_each_act_has_all_fields_and_its_dates_in_order(instruments: list[dict[str, Any]]) -> None:
    assert instruments
    for act in instruments:
        assert set(act) == FIELDS, act
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", act["id"])
        assert all(isinstance(act[name], str) and act[name] for name in ("title", "subject", "source"))
        assert ACT.fullmatch(act["title"]), act["title"]
        assert act["status"] in {"in_force", "replaced"}
        start, end = (
            None if act[name] is None else date.fromisoformat(act[name])
            for name in ("valid_from", "valid_to")
        )
        assert start is None or start <= date.fromisoformat(AS_OF)
        assert start is None or end is None or start <= end
        # An unknown day is said to be unknown.
        unknown = start is None or (act["status"] == "replaced" and end is None)
        assert ("not recorded" in act["source"]) >= unknown, act["id"]


def test_ids_and_titles_are_unique(instruments: list[dict[str, Any]]) -> None:
    for name in ("id", "title"):
        values = [act[name] for act in instruments]
        assert len(values) == len(set(values))


def test_an_act_ends_the_day_before_its_successor_begins(instruments: list[dict[str, Any]]) -> None:
    by_id = {act["id"]: act for act in instruments}
    followed = {old: act for act in instruments for old in act["replaces"]}
    assert followed
    for old, successor in followed.items():
        assert by_id[old]["status"] == "replaced"
        last = date.fromisoformat(by_id[old]["valid_to"])
        assert last + timedelta(days=1) == date.fromisoformat(successor["valid_from"])
    for act in instruments:
        assert act["status"] == "replaced" or act["valid_to"] is None


@each_text
def test_every_act_that_a_text_names_is_listed(name: str, instruments: list[dict[str, Any]]) -> None:
    titles = {act["title"] for act in instruments}
    vietnamese = {"Nghị định 13": "Decree 13/2023"}
    named = {vietnamese.get(found, found) for found in ACT.findall(TEXTS[name])}
    assert named <= titles


@pytest.mark.parametrize("name", sorted(set(TEXTS) - CASES))
def test_every_date_that_a_text_gives_is_listed(name: str, instruments: list[dict[str, Any]]) -> None:
    listed = {act[field] for act in instruments for field in ("valid_from", "valid_to")} | {AS_OF}
    body = re.sub(r"```json\n.*?```", "", TEXTS[name], flags=re.DOTALL)
    assert set(ISO_DATE.findall(body)) <= listed


@each_text
def test_no_replaced_act_stands_as_law_in_force(name: str, instruments: list[dict[str, Any]]) -> None:
    titles = {act["title"] for act in instruments if act["status"] == "replaced"}
    lines = [line for line in TEXTS[name].splitlines() if titles & set(ACT.findall(line))]
    assert all(AS_HISTORY.search(line) for line in lines), lines


def test_first_days_that_the_tables_give_are_those_of_the_list(instruments: list[dict[str, Any]]) -> None:
    page = TEXTS["references/cybersecurity-ai-data-transactions.md"]
    rows = re.findall(r"^\| ((?:Law|Labour Code) [\d/]+) \| ([^|]+) \| ([^|]+) \| ", page, re.MULTILINE)
    assert len(rows) == 5
    by_title = {act["title"]: act for act in instruments}
    for title, subject, since in rows:
        assert subject == by_title[title]["subject"]
        assert since == (by_title[title]["valid_from"] or "not recorded here")


@each_text
def test_time_limits_are_the_same_everywhere(name: str) -> None:
    text = TEXTS[name]
    days = {int(number) for number in re.findall(r"(?<!in )\b(\d+) days\b", text)}
    hours = {int(number) for number in re.findall(r"\b(\d+)[ -](?:hours|h)\b", text)}
    assert days <= {DAYS}
    assert hours <= {HOURS}


def test_time_limits_are_given_where_they_are_needed() -> None:
    for name in ("SKILL.md", "references/personal-data.md", "references/example.md"):
        assert f"{DAYS} days" in TEXTS[name]
        assert f"{HOURS} hours" in TEXTS[name]


@each_text
def test_each_text_says_as_of_when_and_asks_to_verify(name: str) -> None:
    assert AS_OF in TEXTS[name]
    assert re.search(r"[Vv]erif\w+ with counsel", TEXTS[name])


def test_deadlines_of_the_example_follow_from_its_dates() -> None:
    text = TEXTS["references/example.md"]
    reported = date.fromisoformat(AS_OF)
    begun = dict(re.findall(r"^\| (A\d) \|[^|]*\| (\d{4}-\d{2}-\d{2}) \|", text, re.MULTILINE))
    rows = re.findall(
        r"^\| GAP-\d{3} \| (A\d) \|[^|]*\| (PD-[45]):[^|]*\| (\S+); ([^|]+) \|", text, re.MULTILINE
    )
    assert {key for _, key, _, _ in rows} == {"PD-4", "PD-5"}
    for activity, _, deadline, rest in rows:
        last = date.fromisoformat(begun[activity]) + timedelta(days=DAYS)
        assert date.fromisoformat(deadline) == last
        left = (last - reported).days
        assert rest == ("overdue" if left < 0 else f"in {left} days")
    notice = re.search(r"PD-6.*\| (\S+ \S+) UTC\+7; in 1 day \|.*found (\S+ \S+) UTC\+7", text)
    assert notice is not None
    end, known = (datetime.fromisoformat(f"{moment}+07:00") for moment in notice.groups())
    assert end - known == timedelta(hours=HOURS)


def test_gaps_of_the_example_are_ordered_by_deadline() -> None:
    rows = re.findall(
        r"^\| GAP-\d{3} \|[^|]*\|[^|]*\|[^|]*\| ([^|;]+)", TEXTS["references/example.md"], re.MULTILINE
    )
    dated = [row.split()[0] for row in rows if ISO_DATE.match(row)]
    assert dated == sorted(dated)
    assert [bool(ISO_DATE.match(row)) for row in rows] == [True] * len(dated) + [False] * (
        len(rows) - len(dated)
    )


def test_keys_of_obligations_are_defined() -> None:
    defined = {
        key
        for name in ("references/personal-data.md", "references/cybersecurity-ai-data-transactions.md")
        for key in re.findall(r"\b(?:PD|AI)-\d\b", TEXTS[name])
    }
    used = {key for text in TEXTS.values() for key in re.findall(r"\b(?:PD|AI)-\d\b", text)}
    assert used == defined


def test_gap_has_the_same_fields_in_text_template_and_example() -> None:
    block = re.search(r"```json\n(.*?)```", TEXTS["SKILL.md"], re.DOTALL)
    assert block is not None
    gap = json.loads(block[1])
    header = f"| {' | '.join(gap)} |"
    assert header in TEXTS["references/template.md"]
    assert header in TEXTS["references/example.md"]
    row = next(
        line for line in TEXTS["references/example.md"].splitlines() if line.startswith(f"| {gap['gap']} |")
    )
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert all(cell.startswith(value) for cell, value in zip(cells, gap.values(), strict=True))
