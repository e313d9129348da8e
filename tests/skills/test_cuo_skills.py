"""The CUO skills together: what they say of themselves, of each other, and of what stays with a person."""

from __future__ import annotations

import json
import re
import unicodedata
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from tests.support.toolchain import ROOT

CUO = ROOT / "skills" / "cuo"
VERSIONS = {
    "hello-world": "0.1.0",
    "cpo/chain-selector": "0.1.0",
    "cpo/cpo": "0.1.0",
    "cpo/fr-audit": "0.1.0",
    "cpo/fr-author": "0.3.0",
    "cpo/fr-with-tasks": "0.1.0",
    "cpo/prd-audit": "0.1.0",
    "cpo/prd-author": "0.4.1",
    "cpo/requirements-discovery": "0.1.0",
    "cto/cto": "0.1.0",
    "cto/fr-to-tech-spec": "0.1.0",
    "cto/spec-to-impl-plan": "0.1.0",
    "cto/srs-audit": "0.1.0",
    "cto/srs-author": "0.2.0",
}
MARKET = {"vn-mst-validate", "vn-vat-invoice", "vn-bank-transfer", "vneid-integration", "vn-tax-filing"}
ELSEWHERE = {*MARKET, "vn-legal-compliance"}
"""Skills of the other collection, which texts may point to."""

SEATS = {
    "cpo": (
        [
            "draft PRD",
            "FR catalog refresh",
            "requirements discovery interview",
            "user-research synthesis",
            "roadmap update",
        ],
        ["ship feature", "make customer-facing promise", "change pricing", "commit to roadmap publicly"],
    ),
    "cto": (
        ["propose ADR", "draft SRS", "test-coverage report", "summarise OBS digest", "flag CVE"],
        ["deploy to production", "rotate KMS key", "grant new capability", "disable security control"],
    ),
}
"""What each seat may do alone and what always goes to a person. Normative, so word for word."""

NO_STEPS = {"hello-world", "cpo", "cto", "chain-selector"}
ENTRIES = {
    "idea",
    "complaint",
    "interview notes",
    "brief",
    "user stories",
    "description",
    "description of a small feature",
}
"""What people bring; everything else that a skill takes, another one gives."""

BODY_LINES = 200


class Skill(NamedTuple):
    directory: Path
    fields: dict[str, Any]
    body: str


def read(directory: Path) -> Skill:
    _, header, body = (directory / "SKILL.md").read_text(encoding="utf-8").split("---\n", 2)
    return Skill(directory, yaml.safe_load(header), body)


SKILLS = {path: read(CUO / path) for path in VERSIONS}
LEGAL = read(ROOT / "skills" / "cyberskill-vn" / "vn-legal-compliance")
NAMES = {skill.fields["name"] for skill in SKILLS.values()}

each_skill = pytest.mark.parametrize("path", SKILLS)
each_text = pytest.mark.parametrize(
    "skill", [*SKILLS.values(), LEGAL], ids=lambda skill: skill.directory.name
)


def depends_on(skill: Skill) -> list[str]:
    listed = skill.fields["metadata"].get("cyberos-depends-on", "")
    return [name.strip() for name in listed.split(",") if name.strip()]


def keywords(skill: Skill) -> list[str]:
    return [word.strip() for word in skill.fields["metadata"]["cyberos-keywords"].split(",")]


def folded(text: str) -> str:
    marked = unicodedata.normalize("NFD", unicodedata.normalize("NFC", text).lower())
    plain = "".join(letter for letter in marked if not unicodedata.combining(letter)).replace("đ", "d")
    return " ".join(re.sub(r"[^a-z0-9]", " ", plain).split())


def test_no_other_skill_lies_there() -> None:
    found = {file.parent.relative_to(CUO).as_posix() for file in CUO.rglob("SKILL.md")}
    assert found == set(VERSIONS)


@each_skill
def test_front_matter_is_that_of_an_inline_skill(path: str) -> None:
    fields = SKILLS[path].fields
    seat = {"cpo": "CPO", "cto": "CTO"}.get(path.partition("/")[0], "CUO")
    assert fields["license"] == "MIT"
    assert "allowed-tools" not in fields
    metadata = fields["metadata"]
    assert metadata["version"] == VERSIONS[path]
    assert metadata["author"] == "CyberOS"
    assert metadata["cyberos-persona"] == seat
    assert set(metadata) <= {
        "version",
        "author",
        "cyberos-persona",
        "cyberos-keywords",
        "cyberos-depends-on",
    }


@each_text
def test_it_is_text_alone(skill: Skill) -> None:
    files = [file.relative_to(skill.directory) for file in skill.directory.rglob("*") if file.is_file()]
    assert {file.parts[0] for file in files} <= {"SKILL.md", "references", "assets"}
    assert all(len(file.parts) <= 2 for file in files)
    for file in files:
        assert file.name == "SKILL.md" or f"{file.as_posix()}`" in skill.body, file


@each_text
def test_description_says_when_in_both_languages(skill: Skill) -> None:
    description = skill.fields["description"]
    assert "Use when" in description or "Use for" in description
    phrases = re.findall(r'"([^"]+)"', description)
    vietnamese = [phrase for phrase in phrases if folded(phrase) != phrase.lower() and not phrase.isascii()]
    assert vietnamese
    assert len(phrases) > len(vietnamese)


@each_text
def test_body_is_shorter_than_two_hundred_lines(skill: Skill) -> None:
    assert skill.body.count("\n") < BODY_LINES


@each_skill
def test_keywords_are_folded_and_in_both_languages(path: str) -> None:
    words = keywords(SKILLS[path])
    assert words == [folded(word) for word in words]
    assert len(words) == len(set(words)) >= 5


def test_no_keyword_is_claimed_twice() -> None:
    claimed = [word for skill in SKILLS.values() for word in keywords(skill)]
    assert sorted(claimed) == sorted(set(claimed))


def test_dependencies_exist_and_have_no_ring() -> None:
    graph = {skill.fields["name"]: depends_on(skill) for skill in SKILLS.values()}
    assert {name for names in graph.values() for name in names} <= NAMES
    order = list(TopologicalSorter(graph).static_order())
    assert order.index("fr-author") < order.index("fr-to-tech-spec") < order.index("spec-to-impl-plan")


@each_text
def test_every_skill_that_a_text_points_to_exists(skill: Skill) -> None:
    pages = [
        skill.body,
        *(page.read_text(encoding="utf-8") for page in skill.directory.rglob("references/*.md")),
    ]
    for page in pages:
        named = set(
            re.findall(
                r"`((?:[a-z]+-)*(?:author|audit|discovery|tasks|spec|plan|selector|world)|c[pt]o|vn[a-z]*-[a-z-]+)`",
                page,
            )
        )
        assert named <= NAMES | ELSEWHERE


@each_skill
def test_a_text_names_the_skill_to_use_instead(path: str) -> None:
    body = SKILLS[path].body
    others = {name for name in NAMES if f"`{name}`" in body} - {SKILLS[path].fields["name"]}
    assert others
    assert re.search(r"\b(Not|instead|not for)\b", body)


@pytest.mark.parametrize("seat", SEATS)
def test_seat_quotes_what_it_may_do_and_what_it_defers(seat: str) -> None:
    table = SKILLS[f"{seat}/{seat}"].body.partition("| Auto OK | Defers to human |\n|---|---|\n")[2]
    rows = [line.strip("|").split("|") for line in table.partition("\n\n")[0].splitlines()]
    alone, deferred = ([row[side].strip() for row in rows if row[side].strip()] for side in (0, 1))
    assert (alone, deferred) == SEATS[seat]


def test_legal_skill_quotes_the_list_of_its_seat() -> None:
    text = " ".join(LEGAL.body.split())
    assert "sign contract, execute DPA, file regulator submission, approve cross-border transfer" in text
    assert "contract redline draft, triage NDA, DSAR intake, PDPL gap analysis, policy draft" in text


# The chain selector's table of contracts and its examples.


class Contract(NamedTuple):
    takes: list[str]
    gives: str
    depends_on: list[str]


def contracts() -> dict[str, Contract]:
    page = (CUO / "cpo" / "chain-selector" / "references" / "contracts.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([\w-]+)` \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", page, re.MULTILINE)
    return {
        name: Contract(takes.split(", or "), gives, [] if depends == "none" else depends.split(", "))
        for name, takes, gives, depends in rows
    }


def test_contracts_cover_every_skill_that_can_be_a_step() -> None:
    table = contracts()
    assert set(table) == NAMES - NO_STEPS
    for skill in SKILLS.values():
        if skill.fields["name"] in table:
            assert table[skill.fields["name"]].depends_on == depends_on(skill)


def test_whatever_a_skill_takes_is_given_by_another_or_brought() -> None:
    given = {contract.gives for contract in contracts().values()}
    taken = {
        part for contract in contracts().values() for one in contract.takes for part in one.split(" and ")
    }
    assert taken - given == ENTRIES


def chains() -> list[dict[str, Any]]:
    directory = CUO / "cpo" / "chain-selector"
    pages = [SKILLS["cpo/chain-selector"].body, (directory / "references" / "example.md").read_text("utf-8")]
    return [
        json.loads(block) for page in pages for block in re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    ]


@pytest.mark.parametrize("chain", chains(), ids=lambda chain: chain["goal"])
def test_example_chain_can_be_walked(chain: dict[str, Any]) -> None:
    template = (CUO / "cpo" / "chain-selector" / "references" / "template.md").read_text(encoding="utf-8")
    shape, refusal = (json.loads(block) for block in re.findall(r"```json\n(.*?)```", template, re.DOTALL))
    assert list(chain) == list(shape)
    if chain["refused"] is not None:
        assert list(chain["refused"]) == list(refusal)
        assert f"| `{chain['refused']['reason']}` |" in template
        assert chain["chain"] == chain["stops"] == []
        return
    table = contracts()
    hands = set(chain["have"])
    assert [step["step"] for step in chain["chain"]] == list(range(1, len(chain["chain"]) + 1))
    for step in chain["chain"]:
        contract = table[step["skill"]]
        assert list(step) == list(shape["chain"][0])
        assert set(step["takes"]) <= hands
        assert " and ".join(step["takes"]) in contract.takes
        assert step["gives"] == contract.gives
        assert all(table[name].gives in hands for name in contract.depends_on)
        hands.add(step["gives"])
    assert chain["goal"] in hands
    assert all(1 <= stop["after"] <= len(chain["chain"]) for stop in chain["stops"])
    assert not {step["skill"] for step in chain["chain"]} & {left["skill"] for left in chain["left_out"]}
    assert {left["skill"] for left in chain["left_out"]} <= set(table)
