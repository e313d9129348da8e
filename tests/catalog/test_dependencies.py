"""Which skill a dependency is, and skills that depend on themselves."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subgraph.catalog.dependencies import DEPENDENCIES_LIMIT, Edges, cycles, dependency_names, resolve


def found(name: str, of: str, *paths: str) -> str | None:
    def named(short: str) -> Sequence[str]:
        return [path for path in paths if path.rpartition("/")[2] == short]

    return resolve(name, of, holds=paths.__contains__, named=named)


def test_names_are_separated_by_commas_or_spaces() -> None:
    assert dependency_names(" a, b  c,a,") == ("a", "b", "c")
    assert dependency_names("") == ()
    assert len(dependency_names(" ".join(map(str, range(DEPENDENCIES_LIMIT + 1))))) == DEPENDENCIES_LIMIT


@pytest.mark.parametrize(
    ("name", "paths", "path"),
    [
        ("one", ("vn/one",), "vn/one"),
        ("one", ("other/one",), "other/one"),
        ("one", ("other/one", "vn/one"), "vn/one"),
        ("one", ("other/one", "third/one"), None),
        ("one", (), None),
        ("other/one", ("other/one", "vn/one"), "other/one"),
        ("other/one", ("vn/one",), None),
        ("./one", ("one", "vn/one"), "one"),
    ],
)
def test_a_neighbour_comes_before_a_skill_elsewhere(
    name: str, paths: tuple[str, ...], path: str | None
) -> None:
    assert found(name, "vn/skill", *paths) == path


def test_a_skill_at_the_top_has_neighbours_there() -> None:
    assert found("one", "skill", "one", "vn/one") == "one"


def test_cycles_are_named() -> None:
    edges = {"c": {"a", "x"}, "a": {"b"}, "b": {"c"}, "x": set[str](), "s": {"s"}, "y": {"s", "gone"}}
    one, other = cycles(edges)
    assert (str(one), set(one.members)) == ("a → b → c → a", {"a", "b", "c"})
    assert (str(other), set(other.members)) == ("s → s", {"s"})
    assert cycles({"a": {"b"}, "b": {"c"}}) == []


def test_a_long_cycle_is_shown_in_part_and_needs_no_stack() -> None:
    count = 20_000
    edges = {f"{number:05}": {f"{(number + 1) % count:05}"} for number in range(count)}
    (one,) = cycles(edges)
    assert len(one.members) == count
    assert len(one.way) == count + 1
    assert str(one) == "00000 → 00001 → 00002 → 00003 → 00004 → 00005 → … → 00000"


def reaches(edges: Edges, start: str, goal: str) -> bool:
    seen: set[str] = set()
    waiting = set(edges.get(start, ()))
    while waiting - seen:
        node = (waiting - seen).pop()
        seen.add(node)
        waiting |= edges.get(node, set())
    return goal in seen


_NODES = st.sampled_from("abcdefg")


@given(st.dictionaries(_NODES, st.sets(_NODES, max_size=4)))
def test_every_skill_that_depends_on_itself_is_found_and_no_other(edges: dict[str, set[str]]) -> None:
    groups = cycles(edges)
    assert {member for each in groups for member in each.members} == {
        node for node in edges if reaches(edges, node, node)
    }
    for each in groups:
        assert each.way[0] == each.way[-1] == min(each.members)
        assert all(after in edges[before] for before, after in zip(each.way, each.way[1:], strict=False))
        assert all(reaches(edges, one, other) for one in each.members for other in each.members)
