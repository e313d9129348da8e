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
