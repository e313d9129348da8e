"""Documents that would cost too much are refused before they are executed, quickly."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from graphql import get_introspection_query
from strawberry.extensions.parser_cache import _get_parse_cache

from tests.support.postgres import empty_database
from tests.support.skills import Client, application, skill_settings


def message(api: Client, document: str) -> str:
    response = api.post({"query": document})
    assert response.status_code == 400
    errors = response.json()["errors"]
    assert {error["extensions"]["code"] for error in errors} == {"GRAPHQL_VALIDATION_FAILED"}
    return " ".join(error["message"] for error in errors)


def executed(api: Client, document: str) -> bool:
    return api.post({"query": document}).status_code == 200


def test_depth(api: Client) -> None:
    def nested(levels: int) -> str:
        return "{ " + "a { " * (levels - 1) + "a" + " }" * levels

    assert executed(api, "{ skills { " + "... on Skill { " * 50 + "name " + "} " * 50 + "} }")
    assert "has 11 levels; the limit is 10" in message(api, nested(11))
    assert "levels" not in message(api, nested(10))


def test_fields(api: Client) -> None:
    assert executed(api, "{ skills { " + "name " * 499 + "} }")
    assert "has 501 fields; the limit is 500" in message(api, "{ skills { " + "name " * 500 + "} }")


def test_aliases(api: Client) -> None:
    def aliased(count: int) -> str:
        return "{ skills { " + " ".join(f"a{number}: name" for number in range(count)) + " } }"

    assert executed(api, aliased(30))
    assert "has 31 aliases; the limit is 30" in message(api, aliased(31))


def test_tokens(api: Client) -> None:
    assert "5000" in message(api, "{ " + "__typename " * 5000 + "}")


def test_fragments_count_where_they_are_spread(api: Client) -> None:
    fragment = "fragment F on Skill { " + "name " * 200 + "}"
    assert executed(api, fragment + " { skills { ...F ...F } }")
    assert "has 601 fields" in message(api, fragment + " { skills { ...F ...F ...F } }")


@pytest.mark.parametrize(
    "document",
    [
        # Each doubles the one before: written out, a thousand million fields.
        " ".join(f"fragment F{n} on Skill {{ ...F{n + 1} ...F{n + 1} }}" for n in range(30))
        + " fragment F30 on Skill { name } { skills { ...F0 } }",
        # A circle.
        "fragment A on Skill { ...B } fragment B on Skill { ...A } { skills { ...A } }",
        # A chain, whose links are followed one inside the other.
        " ".join(f"fragment F{n} on Skill {{ ...F{n + 1} }}" for n in range(600))
        + " fragment F600 on Skill { name " + "a: name " * 40 + "} { skills { ...F0 } }",
        # The same response name again and again, each compared with each.
        "{ skills { " + "name " * 4900 + "} }",
        "fragment F on Skill { " + "name " * 4900 + "} { skills { ...F } }",
        "{ " + "skills { name } " * 1200 + "}",
        "{ " * 2400 + "a" + " }" * 2400,
        "{ skills { " + "... { " * 1600 + "name" + " }" * 1600 + " } }",
        'mutation { invokeSkill(name: "a", input: ' + "[" * 2400 + "]" * 2400 + ") { exitCode } }",
        "query (" + " ".join(f"$a{n}: {'[' * 20}Int{']' * 20}" for n in range(100)) + ") { __typename }",
    ],
)  # fmt: skip
def test_a_costly_document_is_refused(api: Client, document: str) -> None:
    assert message(api, document)


INTROSPECTION = get_introspection_query(
    descriptions=True, specified_by_url=True, directive_is_repeatable=True, schema_description=True,
    input_value_deprecation=True,
)  # fmt: skip


def test_the_introspection_of_editors_passes(api: Client) -> None:
    types = api.data(INTROSPECTION)["__schema"]["types"]
    assert {"Skill", "Invocation", "CapabilityGrant"} <= {type_["name"] for type_ in types}


def test_introspection_that_multiplies_is_refused(api: Client) -> None:
    nested = "fields { type { " * 6 + "name" + " } }" * 6
    assert message(api, f"{{ __schema {{ types {{ {nested} }} }} }}")


@pytest.fixture(scope="module")
def silent(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    home = tmp_path_factory.mktemp("home")
    with (
        empty_database(server) as dsn,
        application(skill_settings(home, dsn, introspection=False)) as client,
    ):
        yield client


def test_introspection_can_be_off(silent: Client, api: Client) -> None:
    for document in (INTROSPECTION, '{ __type(name: "Skill") { name } }', "{ __schema { description } }"):
        assert "introspection" in message(silent, document).lower()
        assert executed(api, document)
    assert executed(silent, "{ __typename skills { __typename name } }")


def test_the_page_is_not_served_without_introspection(silent: Client) -> None:
    assert silent.request("GET", headers={"accept": "text/html"}).status_code == 405
    assert silent.request("GET", "/graphiql/x.js").status_code == 404


def test_a_gateway_still_reads_the_schema(silent: Client) -> None:
    assert "type Skill" in silent.data("{ _service { sdl } }")["_service"]["sdl"]


def test_large_documents_are_not_kept(api: Client) -> None:
    parsed: Any = _get_parse_cache(512)
    before = parsed.cache_info().currsize
    for number in range(3):
        assert api.data(f"{{ __typename }} # {number} {'x' * 10_000}")
    assert parsed.cache_info().currsize == before
    assert api.data("{ __typename } # small")
    assert parsed.cache_info().currsize == before + 1
