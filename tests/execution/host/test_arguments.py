"""Arguments of host calls, and what a call is about."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subgraph.capabilities.vocabulary import CAPABILITY_NAMES
from subgraph.execution import host_interface
from subgraph.execution.host import HOST_FUNCTIONS, HostCallInvalid, recorded_target, target_of
from subgraph.execution.host.arguments import path_of
from subgraph.execution.host.commands import ARGUMENTS_BYTES_LIMIT, ARGUMENTS_LIMIT
from subgraph.execution.host.memory import QUERY_LIMIT, RESULTS_LIMIT


@pytest.mark.parametrize(
    ("name", "arguments", "target"),
    [
        ("read_file", ("./a/b/",), "a/b"),
        ("read_file", ("/workspace/a",), "a"),
        ("read_file", ("/skill/a",), "/skill/a"),
        ("write_file", ("a", "content"), "a"),
        ("list_dir", ("",), "."),
        ("fetch_url", ("HTTPS://A.vn:443/x/../y?q#f",), "https://a.vn/y?q"),
        ("get_secret", ("TAX",), "TAX"),
        ("read_env", ("COMPANY",), "COMPANY"),
        ("recall_memory", ("what Ann said", 5), "notes"),
        ("exec_command", ("git", ["log"]), "git"),
        ("exec_command", ("git", ("log",)), "git"),
        ("log", ("a message",), "log"),
    ],
)
def test_a_target_has_one_form(name: str, arguments: tuple[object, ...], target: str) -> None:
    assert target_of(name, arguments) == target


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("open_door", ("a",)), ("", ()), ("read_file", ()), ("read_file", ("a", "b")), ("read_file", (1,)),
        ("read_file", (None,)), ("read_file", (["a"],)), ("read_file", (b"a",)), ("read_file", ("\ud800",)),
        ("write_file", ("a",)), ("write_file", ("a", 1)), ("write_file", ("a", "\udfff")), ("log", (1,)),
        ("recall_memory", ("a", "1")), ("recall_memory", ("a", True)), ("recall_memory", ("a", 0)),
        ("recall_memory", ("a", RESULTS_LIMIT + 1)), ("recall_memory", ("a", -1)),
        ("recall_memory", ("a", 1.0)),
        ("recall_memory", ("a" * (QUERY_LIMIT + 1), 1)), ("exec_command", ("git", "log")),
        ("exec_command", ("git", [1])), ("exec_command", ("git", ["a\0"])), ("exec_command", ("git",)),
        ("exec_command", ("git", ["a"] * (ARGUMENTS_LIMIT + 1))),
        ("exec_command", ("git", ["đ" * (ARGUMENTS_BYTES_LIMIT // 2 + 1)])), ("exec_command", ("a/b", [])),
        ("read_file", ("../a",)), ("fetch_url", ("file:///etc/passwd",)), ("get_secret", ("../A",)),
        ("read_env", ("a",)),
    ],
)  # fmt: skip
def test_malformed_calls_are_refused(name: str, arguments: tuple[object, ...]) -> None:
    with pytest.raises(HostCallInvalid):
        target_of(name, arguments)


def test_the_most_that_is_allowed_is_allowed() -> None:
    assert target_of("recall_memory", ("a" * QUERY_LIMIT, RESULTS_LIMIT)) == "notes"
    assert target_of("exec_command", ("git", ["a"] * ARGUMENTS_LIMIT)) == "git"
    assert target_of("exec_command", ("git", ["a" * ARGUMENTS_BYTES_LIMIT])) == "git"


def test_a_query_is_not_recorded() -> None:
    target = target_of("fetch_url", ("https://a.vn/x?key=1",))
    assert recorded_target("fetch_url", target) == "https://a.vn/x?…"
    assert recorded_target("read_file", "a?b") == "a?b"
    assert path_of("/skill/a").parts == ("a",)


def test_functions_are_those_of_the_interface_and_capabilities_are_all_but_the_log() -> None:
    assert {name.replace("-", "_") for name in host_interface.HOST_FUNCTIONS} == set(HOST_FUNCTIONS)
    assert set(HOST_FUNCTIONS) - {"log"} == CAPABILITY_NAMES


ANYTHING = (
    st.none() | st.integers() | st.text(max_size=30) | st.lists(st.text(max_size=5), max_size=3) | st.binary()
)


@settings(max_examples=500)
@given(st.sampled_from(sorted(HOST_FUNCTIONS)), st.lists(ANYTHING, max_size=3))
def test_any_call_has_a_target_that_stays_the_same_or_is_malformed(
    name: str, arguments: list[object]
) -> None:
    try:
        target = target_of(name, arguments)
    except HostCallInvalid:
        return
    if name not in ("log", "recall_memory"):
        assert target_of(name, [target, *arguments[1:]]) == target
    assert recorded_target(name, target)
