"""What `metadata.cyberos-chain` may say."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from subgraph.catalog.chain import (
    CHAIN_TEXT_LIMIT,
    MAPPINGS_LIMIT,
    STEPS_LIMIT,
    ChainDeclaration,
    ChainInvalid,
    Source,
    parse_chain,
)
from subgraph.catalog.pointer import Pointer


def parsed(declared: object) -> ChainDeclaration:
    return parse_chain(orjson.dumps(declared).decode())


def steps(**declared: Any) -> ChainDeclaration:
    return parsed({"steps": {name.replace("_", "-"): of for name, of in declared.items()}})


def test_no_declaration_is_one_of_no_steps() -> None:
    assert parse_chain("") == parse_chain("{}") == ChainDeclaration((), None)


def test_all_fields_of_a_step() -> None:
    ((step,),) = steps(
        buyer={
            "skill": "other",
            "when": "/buyer/mst",
            "input": {"/mst": "/buyer/mst", "/strict": {"value": True}},
            "expect": {"/ok": True},
            "output": {"/buyer/mst": "/normalized"},
        }
    ).generations
    assert (step.name, step.skill, str(step.when)) == ("buyer", "other", "/buyer/mst")
    mst = Pointer.parse("/buyer/mst")
    assert step.input == {
        Pointer.parse("/mst"): Source(None, mst),
        Pointer.parse("/strict"): Source(None, None, True),
    }
    assert step.expect == {Pointer.parse("/ok"): True}
    assert step.output == {mst: Pointer.parse("/normalized")}
    assert step.after == frozenset()


def test_steps_come_by_generations_whatever_their_order() -> None:
    last = {"skill": "s", "input": {"/x": "b#/y", "/z": "c#"}}
    declared = steps(z=last, c={"skill": "s"}, b={"skill": "s", "input": {"/x": "a#/y"}}, a={"skill": "s"})
    assert [[step.name for step in each] for each in declared.generations] == [["a", "c"], ["b"], ["z"]]


def test_what_a_skill_needs() -> None:
    assert parsed({"needs": {}}).needs == {}
    assert parsed({"needs": {"write_file": "/path", "read_file": True}}).needs == {
        "write_file": Pointer.parse("/path"),
        "read_file": None,
    }


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ([], "the chain: must be an object"),
        ({"step": {}}, "the chain: step is not known; there are needs, steps"),
        ({"steps": []}, "steps: must be an object"),
        ({"steps": {"A": {"skill": "s"}}}, "A is no name of a step"),
        ({"steps": {"a" * 33: {"skill": "s"}}}, "is no name of a step"),
        ({"steps": {"a": "s"}}, "a: must be an object"),
        ({"steps": {"a": {}}}, "a: `skill` must name one of cyberos-depends-on"),
        ({"steps": {"a": {"skill": 1}}}, "`skill` must name"),
        ({"steps": {"a": {"skill": "s", "inputs": {}}}}, "a: inputs is not known"),
        ({"steps": {"a": {"skill": "s", "when": 1}}}, "a place is a JSON Pointer"),
        ({"steps": {"a": {"skill": "s", "when": "x"}}}, "x is no JSON Pointer"),
        ({"steps": {"a": {"skill": "s", "input": []}}}, "a.input: must be an object"),
        ({"steps": {"a": {"skill": "s", "input": {"": "/x"}}}}, "a place within an input"),
        ({"steps": {"a": {"skill": "s", "input": {"/x": 1}}}}, "a source is a place"),
        ({"steps": {"a": {"skill": "s", "input": {"/x": {"a": 1}}}}}, "a value stands as"),
        ({"steps": {"a": {"skill": "s", "input": {"/x": "b#/y"}}}}, "a takes from b, which is no step"),
        ({"steps": {"a": {"skill": "s", "input": {"/x": "a#/y"}}}}, "its steps form a cycle: a → a"),
        ({"steps": {"a": {"skill": "s", "expect": {"/x": []}}}}, "`expect` compares with text"),
        ({"steps": {"a": {"skill": "s", "output": {"/x": 1}}}}, "a place is a JSON Pointer"),
        ({"needs": {"Bash": True}}, "needs: Bash is no name of a capability"),
        ({"needs": {"read_file": False}}, "a place is a JSON Pointer"),
    ],
)  # fmt: skip
def test_what_is_not_as_documented(declared: object, message: str) -> None:
    with pytest.raises(ChainInvalid) as caught:
        parsed(declared)
    assert message in str(caught.value)


def test_what_is_not_json() -> None:
    with pytest.raises(ChainInvalid, match="not JSON"):
        parse_chain("{")


def test_a_cycle_of_steps_is_named_in_the_order_of_what_they_take() -> None:
    with pytest.raises(ChainInvalid, match=r"cycle: (a → b → c → a|b → c → a → b|c → a → b → c)"):
        steps(
            a={"skill": "s", "input": {"/x": "b#"}},
            b={"skill": "s", "input": {"/x": "c#"}},
            c={"skill": "s", "input": {"/x": "a#"}},
        )


def test_bounds() -> None:
    many = {f"s{number}": {"skill": "s"} for number in range(STEPS_LIMIT + 1)}
    with pytest.raises(ChainInvalid, match=f"over {STEPS_LIMIT} steps"):
        parsed({"steps": many})
    many.pop("s0")
    assert len(parsed({"steps": many}).generations[0]) == STEPS_LIMIT
    places = {f"/{number}": "/x" for number in range(MAPPINGS_LIMIT + 1)}
    with pytest.raises(ChainInvalid, match=rf"a\.input: over {MAPPINGS_LIMIT} places"):
        steps(a={"skill": "s", "input": places})
    places.pop("/0")
    assert len(steps(a={"skill": "s", "input": places}).generations[0][0].input) == MAPPINGS_LIMIT
    text = "{}".ljust(CHAIN_TEXT_LIMIT)
    assert parse_chain(text) == ChainDeclaration()
    with pytest.raises(ChainInvalid, match=f"over {CHAIN_TEXT_LIMIT} characters"):
        parse_chain(text + " ")
