"""A snapshot holds all that routing depends on, and its fingerprint changes with any of it."""

from __future__ import annotations

import dataclasses
from typing import Any

import orjson
import pytest

from subgraph.catalog.dependencies import DEPENDENCIES_LIMIT
from subgraph.routing import (
    CatalogueSnapshot,
    KeywordBank,
    RoutingDataInvalid,
    SkillEntry,
    builtin_bank,
    builtin_personas,
)
from subgraph.routing.keyword_bank import BankEntry
from tests.support.routing import catalogue, decide, header, own_catalogue, own_headers

QUERY = "kiểm tra MST 0123456789-001"


def test_it_holds_the_twenty_skills_in_the_order_of_their_paths() -> None:
    paths = [skill.path for skill in own_catalogue().skills]
    assert paths == sorted(paths)
    assert len(paths) == 20
    entry = next(skill for skill in own_catalogue().skills if skill.name == "vn-vat-invoice")
    assert (entry.version, entry.region, entry.persona) == ("0.3.0", "VN", "CFO")
    assert entry.depends_on == ("vn-mst-validate",)
    assert entry.allowed_tools == "read_file write_file"
    assert entry.description.startswith("Writes a Vietnamese VAT invoice")


def test_dependencies_are_read_once_each_and_within_a_bound() -> None:
    many = " ".join(f"skill-{number}" for number in range(100))
    first, second = catalogue(
        header("a/first", cyberos_depends_on="one, two one"), header("a/second", cyberos_depends_on=many)
    ).skills
    assert first.depends_on == ("one", "two")
    assert len(second.depends_on) == DEPENDENCIES_LIMIT


def test_a_snapshot_decodes_to_one_that_decides_the_same() -> None:
    stored = own_catalogue().encode()
    decoded = CatalogueSnapshot.decode(stored)
    assert decoded == own_catalogue()
    assert decoded.encode() == stored
    assert decoded.fingerprint == own_catalogue().fingerprint
    for query in (QUERY, "runway; payroll", "terminate", "hello"):
        assert decide(query, decoded).encode() == decide(query).encode()


def test_a_decision_is_made_again_after_the_bank_has_changed() -> None:
    before = decide(QUERY).encode()
    bank = builtin_bank()
    changed = {**bank.skills, "cyberskill-vn/vn-mst-validate": BankEntry("CFO", ("something else",))}
    now = CatalogueSnapshot.of(own_headers(), extractors="2", bank=KeywordBank("2", changed, bank.idioms))
    assert decide(QUERY, now).encode() != before
    assert decide(QUERY, CatalogueSnapshot.decode(own_catalogue().encode())).encode() == before


def test_skills_without_version_region_or_tools_decode() -> None:
    snapshot = catalogue(header("x/plain"))
    assert CatalogueSnapshot.decode(snapshot.encode()) == snapshot


@pytest.mark.parametrize("blank", ["   ", "\u00a0", "\u2028"])
def test_skills_with_blank_fields_decode(blank: str) -> None:
    one = header("x/blank", blank, blank, version=blank, region=blank, cyberos_chain=blank)
    snapshot = catalogue(one)
    assert CatalogueSnapshot.decode(snapshot.encode()) == snapshot


def test_revoked_skills_are_part_of_it() -> None:
    before = catalogue(header("x/one"))
    after = CatalogueSnapshot.of([header("x/one")], extractors="1", revoked=["y/two", "x/two"])
    assert after.fingerprint != before.fingerprint
    assert CatalogueSnapshot.decode(after.encode()) == after
    assert b"revoked" not in before.encode()


def test_an_empty_catalogue_routes_nothing() -> None:
    snapshot = catalogue(keywords={})
    assert CatalogueSnapshot.decode(snapshot.encode()) == snapshot
    assert not decide("hello", snapshot).routed


def test_the_fingerprint_changes_with_all_that_routing_depends_on() -> None:
    own = own_catalogue()
    book = own.personas
    others = [
        dataclasses.replace(own, extractors="2"),
        dataclasses.replace(own, rules="another"),
        dataclasses.replace(own, skills=own.skills[1:]),
        dataclasses.replace(own, bank=dataclasses.replace(own.bank, version="2")),
        dataclasses.replace(own, bank=dataclasses.replace(own.bank, idioms=())),
        dataclasses.replace(own, personas=dataclasses.replace(book, version="2")),
        dataclasses.replace(own, personas=dataclasses.replace(book, irreversible=())),
    ]
    first, *rest = own.skills
    changed = [
        first._replace(version="9"),
        first._replace(region="EU"),
        first._replace(description="Other."),
        first._replace(persona="CTO"),
        first._replace(chain="{}"),
    ]
    others += [dataclasses.replace(own, skills=(one, *rest)) for one in changed]
    prints = {own.fingerprint, *(other.fingerprint for other in others)}
    assert len(prints) == len(others) + 1
    assert all(len(one) == 64 for one in prints)


def test_a_catalogue_has_each_path_once() -> None:
    with pytest.raises(RoutingDataInvalid, match="each path once"):
        catalogue(header("a/b"), header("a/b"))


def test_a_bank_of_a_persona_that_is_no_seat_is_refused() -> None:
    for persona in ("CUO", "CAIO"):
        bank = KeywordBank("1", {"a/b": BankEntry(persona, ("word",))})
        with pytest.raises(RoutingDataInvalid, match=f"'{persona}' has skills and is no seat"):
            CatalogueSnapshot((), bank, builtin_personas(), "1")


def edited(**changes: Any) -> bytes:
    document = orjson.loads(catalogue(header("a/b"), keywords={"a/b": ("word",)}).encode())
    return orjson.dumps(document | changes, option=orjson.OPT_SORT_KEYS)


SKILL: dict[str, Any] = {
    "allowed_tools": "", "chain": "", "depends_on": [], "description": "d", "path": "a/b", "persona": None,
    "region": None, "version": None,
}  # fmt: skip


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        (b"", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[]", "a mapping is expected"),
        (b"{}", "the field 'format' is missing"),
        (edited(format="other"), "its format is not"),
        (edited(more="1"), "unknown field 'more'"),
        (edited(skills="x"), "a list is expected"),
        (edited(skills=[SKILL | {"region": 7}]), "a text is expected"),
        (edited(skills=[SKILL | {"persona": "NOBODY"}]), "'NOBODY' has skills and is no seat"),
        (edited(skills=[SKILL, SKILL]), "each path once"),
        (edited(skills=[SKILL]) + b" ", "its bytes are not canonical"),
    ],
)
def test_bytes_that_are_no_snapshot_are_refused(stored: bytes, message: str) -> None:
    with pytest.raises(RoutingDataInvalid, match=message):
        CatalogueSnapshot.decode(stored)


def test_an_entry_tells_whether_a_header_still_declares_what_it_was_made_of() -> None:
    first = header("a/b", "First.", "read_file", cyberos_depends_on="c", cyberos_chain="{}")
    entry = SkillEntry.of(first, builtin_bank(), builtin_personas())
    assert entry.declares_as(first)
    assert entry.declares_as(
        header("a/b", "Second.", "read_file", cyberos_depends_on="c", cyberos_chain="{}")
    )
    for tools, depends_on, chain in (("", "c", "{}"), ("read_file", "d", "{}"), ("read_file", "c", "")):
        other = header("a/b", "First.", tools, cyberos_depends_on=depends_on, cyberos_chain=chain)
        assert not entry.declares_as(other)
