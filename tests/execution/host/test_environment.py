"""Variables of the service's environment."""

from __future__ import annotations

import pytest

from subgraph.execution.host import HostCallDenied, HostCallError
from subgraph.execution.host.environment import read_variable


def test_a_variable_is_read() -> None:
    assert read_variable({"COMPANY": "An Bình"}, "COMPANY") == "An Bình"
    assert read_variable({"EMPTY": ""}, "EMPTY") == ""


def test_one_that_is_not_set_is_told() -> None:
    with pytest.raises(HostCallError, match="the variable COMPANY is not set"):
        read_variable({}, "COMPANY")


@pytest.mark.parametrize("name", ["CYBEROS_JWT_KEY", "CYBEROS_DATABASE_URL", "SKILL_SECRET_TAX", "CYBEROS_"])
def test_the_services_own_are_never_read_set_or_not(name: str) -> None:
    for environment in ({name: "value"}, {}):
        with pytest.raises(HostCallDenied) as caught:
            read_variable(environment, name)
        assert "value" not in caught.value.message.replace("variables", "")


def test_bytes_that_are_no_text_are_replaced() -> None:
    assert read_variable({"ODD": "a\udcffb"}, "ODD") == "a\ufffdb"
