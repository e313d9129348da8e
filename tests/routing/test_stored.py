"""A decision that was stored is read back whole."""

from __future__ import annotations

import orjson
import pytest

from subgraph.routing.stored import decision_of
from tests.support.routing import decide


@pytest.mark.parametrize(
    "query",
    ["kiểm tra MST 0123456789", "gửi hoá đơn cho khách hàng", "what is the weather", "draft a PRD", "thuế"],
)
@pytest.mark.parametrize("cascade", [False, True])
def test_a_decision_read_back_has_the_same_bytes(query: str, cascade: bool) -> None:
    decision = decide(query, cascade=cascade).stamped("r", "an")
    again = decision_of(orjson.loads(decision.encode()))
    assert again.encode() == decision.encode()
    assert again.may_invoke == decision.may_invoke


def test_something_else_is_no_decision() -> None:
    data = decide("hello").as_data()
    with pytest.raises(LookupError):
        decision_of({key: value for key, value in data.items() if key != "best"})
    with pytest.raises(ValueError, match="somehow"):
        decision_of({**data, "tier": "somehow"})


# Values of another type, by where they stand in a decision that was stored.
CHAINED = "VAT invoice, seller MST 0100109106, item rice, 10 triệu, VAT 8%"
ODD = {
    "query": 1,
    "askedPersona": 1,
    "byPersona": "yes",
    "arguments": [],
    "confidence": 0.6,
    "requestId": 1,
    "seats": "CFO",
    "missing": [1],
    "personaReasons": {},
    "best/rank": "1",
    "best/skillName": None,
    "best/breakdown/keywords": "mst",
    "best/breakdown/name": "yes",
    "alternatives/0/breakdown/region": 0.5,
    "chain/0/index": "0",
    "chain/0/step": 0,
    "chain/0/after": ["0"],
}


@pytest.mark.parametrize("place", ODD)
def test_a_value_of_another_type_is_refused(place: str) -> None:
    data = orjson.loads(decide(CHAINED).encode())
    decision_of(data)
    *above, last = place.split("/")
    holder = data
    for part in above:
        holder = holder[int(part) if part.isdigit() else part]
    assert last in holder
    holder[last] = ODD[place]
    with pytest.raises(TypeError):
        decision_of(data)
