"""The document's examples with the arguments that are read out of them, and each tier."""

from __future__ import annotations

import pytest

from subgraph.routing import CatalogueSnapshot, Decision, Nudge, State, Tier, route
from subgraph.routing.extractors import EXTRACTORS_VERSION, extract
from tests.support.routing import catalogue, header, own_headers

VN = "cyberskill-vn/"
OWN = CatalogueSnapshot.of(own_headers(), extractors=EXTRACTORS_VERSION)


def shown(found: Decision) -> list[tuple[str, float]]:
    candidates = [found.best, *(one for one in found.alternatives if one.rank > 1)]
    return [(one.skill_name.removeprefix(VN), one.confidence) for one in candidates if one is not None]


TAX, INVOICE, TRANSFER, FILING = "vn-mst-validate", "vn-vat-invoice", "vn-bank-transfer", "vn-tax-filing"


@pytest.mark.parametrize(
    ("query", "skill", "arguments", "candidates"),
    [
        (
            "tạo hoá đơn cho ACME, MST 0123456789, số tiền 10 triệu",
            INVOICE,
            {"mst": "0123456789", "amount_vnd": 10_000_000},
            [(INVOICE, 1.0), (TAX, 0.5), (TRANSFER, 0.2), (FILING, 0.2)],
        ),
        (
            "kiểm tra MST 0123456789-001",
            TAX,
            {"mst": "0123456789-001"},
            [(TAX, 1.0), (TRANSFER, 0.2), (FILING, 0.2), (INVOICE, 0.2)],
        ),
        ("validate MST 0123456789", TAX, {"mst": "0123456789"}, [(TAX, 0.6)]),
    ],
)
def test_the_examples_of_the_document(
    query: str, skill: str, arguments: dict[str, object], candidates: list[tuple[str, float]]
) -> None:
    found = route(query, OWN, extract)
    assert (found.skill_name, found.arguments) == (f"{VN}{skill}", arguments)
    assert shown(found) == candidates


@pytest.mark.parametrize(
    ("query", "state", "tier", "nudge"),
    [
        ("validate MST 0123456789", State.PICKED, Tier.INVOKE, Nudge.NOTIFY),
        ("create an invoice for ACME", State.PICKED, Tier.ASK, Nudge.QUESTION),
        ("thời tiết hôm nay thế nào", State.DEFERRED, Tier.DEFER, Nudge.QUESTION),
        ("what is the weather", State.DEFERRED, Tier.DEFER, Nudge.REVIEW),
        ("send invoice to client", State.DEFERRED, Tier.DEFER, Nudge.REVIEW),
    ],
)
def test_what_follows_from_a_decision(query: str, state: State, tier: Tier, nudge: Nudge) -> None:
    found = route(query, OWN, extract)
    assert (found.state, found.tier, found.nudge) == (state, tier, nudge)
    assert found.may_invoke == (tier is Tier.INVOKE)


QUERIES = (
    "tạo hoá đơn cho ACME, MST 0123456789, số tiền 10 triệu",
    "kiểm tra MST 0123456789-001",
    "validate MST 0123456789",
    "run tidy-up",
    "send invoice to client",
)


@pytest.mark.parametrize("query", QUERIES)
def test_a_hundred_runs_with_arguments_give_the_same_bytes(query: str) -> None:
    taken = catalogue(header("acme/tidy-up", tools="exec_command"), *own_headers())
    stored = CatalogueSnapshot.decode(taken.encode())
    runs = {route(query, each, extract).encode() for each in (taken, stored) for _ in range(100)}
    assert len(runs) == 1
