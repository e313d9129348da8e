"""Which skills are run before the one that a query is for."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import orjson
import pytest

from subgraph.catalog import SkillHeader
from subgraph.routing import (
    CatalogueSnapshot,
    ChainBroken,
    ChainNode,
    Nudge,
    RouterPhase,
    State,
    Tier,
    plan_chain,
)
from subgraph.routing.chains import CHAIN_DEPTH_LIMIT, CHAIN_STEPS_LIMIT, PlannedStep
from tests.support.routing import catalogue, decide, header, own_catalogue, own_headers


def chained(path: str, depends_on: str = "", **steps: Any) -> SkillHeader:
    declared = orjson.dumps({"steps": steps}).decode()
    return header(path, cyberos_depends_on=depends_on, cyberos_chain=declared)


def planned(root: str, *headers: SkillHeader) -> ChainNode:
    snapshot = catalogue(*headers, keywords={})
    return plan_chain(snapshot.by_path[root], snapshot)


def shown(chain: ChainNode) -> list[tuple[str, str, tuple[int, ...]]]:
    return [(each.name, each.skill_path, each.after) for each in chain.steps]


def test_an_invoice_has_both_tax_codes_checked_first() -> None:
    snapshot = own_catalogue()
    invoice, mst = "cyberskill-vn/vn-vat-invoice", "cyberskill-vn/vn-mst-validate"
    assert shown(plan_chain(snapshot.by_path[invoice], snapshot)) == [
        ("buyer", mst, ()),
        ("seller", mst, ()),
        ("vn-vat-invoice", invoice, (0, 1)),
    ]


def test_the_document_s_example_is_a_chain() -> None:
    found = decide("issue VAT invoice for ACME")
    assert found.router_phase is RouterPhase.PHASE3_CHAIN
    assert [step.name for step in found.chain] == ["buyer", "seller", "vn-vat-invoice"]
    assert [PlannedStep.of(each) for each in found.as_data()["chain"]] == list(found.chain)


def test_a_skill_that_declares_no_step_runs_alone() -> None:
    chain = planned("x/a", header("x/a", cyberos_depends_on="b"), header("x/b"))
    assert chain.steps == ()
    assert [node.planned.name for node in chain.nodes()] == ["a"]
    assert chain.needs is None


def test_steps_of_steps_come_before_them() -> None:
    chain = planned(
        "x/top",
        chained(
            "x/top", "mid, low", first={"skill": "mid"}, second={"skill": "low", "input": {"/x": "first#"}}
        ),
        chained("x/mid", "low", own={"skill": "low"}),
        header("x/low"),
    )
    assert shown(chain) == [
        ("first.own", "x/low", ()),
        ("first", "x/mid", (0,)),
        ("second", "x/low", (1,)),
        ("top", "x/top", (1, 2)),
    ]


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ((header("x/a", cyberos_chain="{"),), "the chain of x/a is invalid: not JSON"),
        (
            (chained("x/a", "", s={"skill": "b"}), header("x/b")),
            "x/a runs b, which it does not say it depends",
        ),
        ((chained("x/a", "b", s={"skill": "b"}),), "x/a depends on b, which is not in the catalogue"),
        (
            (chained("x/a", "b", s={"skill": "b"}), chained("x/b", "a", s={"skill": "a"})),
            "its chain is a cycle: x/a → x/b → x/a",
        ),
    ],
)
def test_a_chain_that_cannot_be_run(headers: tuple[SkillHeader, ...], message: str) -> None:
    with pytest.raises(ChainBroken) as caught:
        planned("x/a", *headers)
    assert message in str(caught.value)


def line(length: int) -> list[SkillHeader]:
    """Skills each of which runs the next one."""
    names = [f"s{number:02}" for number in range(length)]
    return [
        *(chained(f"x/{name}", after, s={"skill": after}) for name, after in pairwise(names)),
        header(f"x/{names[-1]}"),
    ]


def test_how_deep_a_chain_can_be() -> None:
    assert len(planned("x/s00", *line(CHAIN_DEPTH_LIMIT)).steps) == CHAIN_DEPTH_LIMIT
    with pytest.raises(ChainBroken, match=f"deeper than {CHAIN_DEPTH_LIMIT} skills"):
        planned("x/s00", *line(CHAIN_DEPTH_LIMIT + 1))


def test_how_many_runs_a_chain_can_have() -> None:
    def doubled(levels: int) -> list[SkillHeader]:
        names = [f"s{number}" for number in range(levels)]
        return [
            *(
                chained(f"x/{name}", after, one={"skill": after}, two={"skill": after})
                for name, after in pairwise(names)
            ),
            header(f"x/{names[-1]}"),
        ]

    def wide(*leaves: str) -> list[SkillHeader]:
        """Two trees of 31 runs each, so many leaves beside them, and the skill itself."""
        steps = {"one": {"skill": "s0"}, "two": {"skill": "s0"}, **{leaf: {"skill": "s4"} for leaf in leaves}}
        return [chained("x/wide", "s0, s4", **steps), *doubled(5)]

    assert len(planned("x/wide", *wide("three")).steps) == CHAIN_STEPS_LIMIT
    with pytest.raises(ChainBroken, match=f"more than {CHAIN_STEPS_LIMIT} steps"):
        planned("x/wide", *wide("three", "four"))


def test_a_chain_that_cannot_be_run_is_for_a_person_to_look_at() -> None:
    found = decide("work", catalogue(header("x/a", cyberos_chain="{"), keywords={"x/a": ("work",)}))
    assert (found.skill_name, found.state, found.chain) == ("x/a", State.PICKED, ())
    assert (found.tier, found.nudge, found.may_invoke) == (Tier.ASK, Nudge.REVIEW, False)
    assert found.rationale == "1 keyword hit; it cannot be run: the chain of x/a is invalid: not JSON"


def test_a_stored_catalogue_plans_the_same_chain() -> None:
    snapshot = own_catalogue()
    again = CatalogueSnapshot.decode(snapshot.encode())
    for skill in snapshot.skills:
        assert plan_chain(skill, snapshot).steps == plan_chain(again.by_path[skill.path], again).steps


@pytest.mark.parametrize("others", [(), ("elsewhere/vn-mst-validate",)])
def test_no_other_skill_takes_the_place_of_a_revoked_one(others: tuple[str, ...]) -> None:
    revoked = "cyberskill-vn/vn-mst-validate"
    rest = [each for each in own_headers() if each.path != revoked]
    snapshot = CatalogueSnapshot.of([*rest, *map(header, others)], extractors="1", revoked=[revoked])
    found = decide("issue VAT invoice for ACME", snapshot)
    assert (found.tier, found.nudge, found.chain) == (Tier.ASK, Nudge.REVIEW, ())
    assert f"depends on {revoked}, which is revoked" in found.rationale


def test_a_revoked_skill_keeps_its_short_name_elsewhere_too() -> None:
    on_low = chained("x/a", "low", s={"skill": "low"})
    snapshot = CatalogueSnapshot.of([on_low, header("z/low")], extractors="1", revoked=["y/low"])
    with pytest.raises(ChainBroken, match="depends on low, which is not in the catalogue"):
        plan_chain(snapshot.by_path["x/a"], snapshot)
