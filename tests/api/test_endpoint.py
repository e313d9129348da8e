"""GraphQL over HTTP (graphql.github.io/graphql-over-http): methods, media types, bodies, statuses."""

from __future__ import annotations

import logging
import re
from typing import Any

import orjson
import pytest

from subgraph.errors import StorageUnavailable
from subgraph.service import Service
from subgraph.skills import Skills
from tests.support.skills import GRAPHQL, JSON, Client, component, write_skill

OK = {"query": "{ __typename }"}


def test_a_query_is_answered(api: Client) -> None:
    response = api.post(OK)
    assert response.status_code == 200
    assert response.headers["content-type"] == f"{GRAPHQL}; charset=utf-8"
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.json() == {"data": {"__typename": "Query"}}


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        (None, JSON),
        ("*/*", JSON),
        ("application/*", JSON),
        (JSON, JSON),
        (f"{JSON}; charset=utf-8", JSON),
        (GRAPHQL, GRAPHQL),
        (f"{GRAPHQL}; charset=utf-8", GRAPHQL),
        (f"{GRAPHQL}, {JSON};q=0.9", GRAPHQL),
    ],
)
def test_media_type_of_the_answer_is_negotiated(api: Client, accept: str | None, media_type: str) -> None:
    headers = {"content-type": JSON, "accept": accept or ""}
    response = api.request("POST", content=orjson.dumps(OK), headers=headers)
    assert response.status_code == 200
    assert response.headers["content-type"] == f"{media_type}; charset=utf-8"


@pytest.mark.parametrize("content_type", [JSON, f"{JSON}; charset=utf-8", "Application/JSON;charset=UTF-8"])
def test_json_is_taken_by_any_spelling(api: Client, content_type: str) -> None:
    assert api.post(OK, headers={"content-type": content_type}).status_code == 200


@pytest.mark.parametrize(
    "content_type",
    [
        "", "text/plain", "text/plain;application/json", "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x", "application/graphql", "application/json-patch",
        "application/jsonp",
    ],
)  # fmt: skip
def test_what_a_foreign_page_could_send_without_asking_is_refused(api: Client, content_type: str) -> None:
    response = api.post(OK, headers={"content-type": content_type})
    assert response.status_code == 415
    assert response.json()["errors"][0]["extensions"] == {"code": "BAD_REQUEST"}


@pytest.mark.parametrize("accept", [JSON, "*/*"])
@pytest.mark.parametrize("query", ["", "?query=%7B__typename%7D", "?query=mutation%7Ba%7D"])
def test_operations_are_not_taken_by_get(api: Client, accept: str, query: str) -> None:
    response = api.request("GET", f"/graphql{query}", headers={"accept": accept})
    assert response.status_code == 405
    assert response.headers["allow"] == "POST"


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS"])
def test_other_methods_are_refused(api: Client, method: str) -> None:
    response = api.request(method, content=orjson.dumps(OK), headers={"content-type": JSON})
    assert response.status_code == 405
    assert "POST" in response.headers["allow"]
    assert "access-control-allow-origin" not in response.headers


def test_a_browser_gets_the_page(api: Client) -> None:
    response = api.request("GET", headers={"accept": "text/html,*/*;q=0.8"})
    assert response.headers["content-type"].startswith("text/html")


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"nul", b"\xff", b'{"query": "{a}",}', b'{"query": NaN}', b"[" * 100_000,
        b'{"a":' * 10_000,
        b"1", b'"text"', b"null", b"true", b"[]", b'[{"query": "{__typename}"}]', b"{}", b'{"query": null}',
        b'{"query": 1}', b'{"query": ["{a}"]}', b'{"query": {}}', b'{"query": ""}', b'{"variables": {}}',
    ],
)  # fmt: skip
@pytest.mark.parametrize("accept", [JSON, GRAPHQL])
def test_a_body_that_is_no_request_is_refused(api: Client, body: bytes, accept: str) -> None:
    response = api.post(body, headers={"accept": accept})
    assert response.status_code == 400
    answer = response.json()
    assert set(answer) == {"errors"}
    assert answer["errors"][0]["extensions"] == {"code": "BAD_REQUEST"}


@pytest.mark.parametrize("field", ["variables", "operationName", "extensions"])
@pytest.mark.parametrize("value", [1, True, [], [1], "text", {"a": 1}])
def test_parameters_have_their_types(api: Client, field: str, value: object) -> None:
    fits = isinstance(value, str) if field == "operationName" else isinstance(value, dict)
    response = api.post({**OK, field: value})
    if not fits:
        assert response.status_code == 400
        assert response.json()["errors"][0]["message"].startswith(field)
    else:
        assert response.status_code == (400 if field == "operationName" else 200)


@pytest.mark.parametrize("field", ["variables", "operationName", "extensions", "unknown"])
def test_parameters_may_be_null(api: Client, field: str) -> None:
    assert api.post({**OK, field: None}).status_code == 200


SEVERAL = "query A { __typename } query B { a: __typename }"


def test_the_operation_that_is_named_is_executed(api: Client) -> None:
    assert api.post({"query": SEVERAL, "operationName": "B"}).json() == {"data": {"a": "Query"}}


@pytest.mark.parametrize(
    "request_",
    [
        {"query": SEVERAL},
        {"query": SEVERAL, "operationName": ""},
        {"query": SEVERAL, "operationName": "C"},
        {"query": SEVERAL, "operationName": "\\ud800"},
        {"query": "{ __typename }", "operationName": "A"},
        {"query": "fragment F on Skill { name }"},
        {"query": "subscription { a }"},
        {"query": "{"},
        {"query": "   "},
        {"query": "# nothing"},
        {"query": "{ unknown }"},
        {"query": "{ skill { name } }"},
        {"query": "type A { b: Int }"},
        {"query": "query ($a: String!) { skill(name: $a) { name } }"},
        {"query": "query ($a: String!) { skill(name: $a) { name } }", "variables": {"a": 1}},
        {"query": "query ($a: Boolean) { skills(hasWasm: $a) { name } }", "variables": {"a": "\\ud800"}},
    ],
)
def test_a_document_that_cannot_be_executed_is_refused_by_status(
    api: Client, request_: dict[str, Any]
) -> None:
    body = orjson.dumps(request_).replace(b"\\\\ud800", b"\\ud800")
    response = api.post(body)
    assert (response.status_code, response.headers["content-type"].partition(";")[0]) == (400, GRAPHQL)
    answer = response.json()
    assert "data" not in answer
    assert answer["errors"][0]["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"
    older = api.post(body, headers={"accept": JSON})
    assert (older.status_code, "data" in older.json()) == (200, False)


def test_an_error_of_a_nullable_field_leaves_its_neighbours(api: Client) -> None:
    response = api.post({"query": '{ a: skill(name: "twin") { name } b: skill(name: "echo") { name } }'})
    assert response.status_code == 200
    assert response.json()["data"] == {"a": None, "b": {"name": "echo"}}
    assert response.json()["errors"][0]["path"] == ["a"]


def test_an_error_of_all_data_is_still_an_execution(api: Client) -> None:
    response = api.post({"query": 'mutation { invokeSkill(name: "none", input: {}) { exitCode } }'})
    assert (response.status_code, response.json()["data"]) == (200, None)


def test_a_body_over_the_limit_is_refused(api: Client) -> None:
    limit = 3 * 4096 + 256 * 1024
    fits = orjson.dumps(OK)
    assert api.post(fits + b" " * (limit - len(fits))).status_code == 200
    response = api.post(fits + b" " * (limit - len(fits) + 1))
    assert response.status_code == 413
    assert response.json()["errors"][0]["extensions"] == {"code": "BAD_REQUEST"}


@pytest.mark.parametrize("failure", [RuntimeError("secret in /srv/x"), KeyError("secret"), RuntimeError()])
def test_an_unexpected_error_is_logged_and_hidden(
    api: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, failure: Exception
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise failure

    monkeypatch.setattr(Skills, "all", fail)
    with caplog.at_level(logging.ERROR, "subgraph.api.endpoint"):
        response = api.post({"query": "{ skills { name } }"})
    assert response.json()["errors"] == [
        {
            "message": "an internal error; it was logged",
            "locations": [{"line": 1, "column": 3}],
            "path": ["skills"],
            "extensions": {"code": "INTERNAL_SERVER_ERROR"},
        }
    ]
    assert repr(failure).partition("(")[0] in caplog.text


def invoke(name: str, input_: str = "{}", *capabilities: str, executor: str = "null") -> str:
    listed = orjson.dumps(capabilities).decode()
    arguments = f'name: "{name}", input: {input_}, capabilities: {listed}, executor: {executor}'
    return f"mutation {{ invokeSkill({arguments}) {{ exitCode }} }}"


def revoke(note: str) -> str:
    return f'mutation {{ revokeSkill(name: "echo", note: "{note}") {{ name }} }}'


LONG_INPUT = '{a: "' + "x" * 5000 + '"}'
GRANT = 'mutation { grantCapability(skillName: "echo", capability: "get_secret") { capability } }'
CODES = [
    ("SKILL_NOT_FOUND", invoke("none"), "skills { name path }"),
    ("SKILL_AMBIGUOUS", '{ skill(name: "twin") { name } }', "a/twin, b/twin"),
    ("SKILL_REVOKED", invoke("revoked"), "it leaks"),
    ("INPUT_INVALID", invoke("echo", "[1]"), "JSON object"),
    ("INPUT_INVALID", invoke("echo", '"x"'), "not JSON"),
    ("INPUT_INVALID", invoke("echo", LONG_INPUT), "over the limit of 4096"),
    ("INPUT_INVALID", invoke("echo", "{}", *["read_file"] * 65), "more than 64"),
    ("INPUT_INVALID", revoke("a\\u0000b"), "U+0000"),
    ("INPUT_INVALID", revoke("x" * 2001), "2000"),
    ("CAPABILITY_DENIED", invoke("echo", "{}", "get_secret"), "read_file"),
    ("CAPABILITY_DENIED", invoke("echo", "{}", "teleport"), "it knows"),
    ("CAPABILITY_DENIED", GRANT, "does not declare"),
    ("GRANT_REQUIRED", invoke("echo", "{}", "list_dir"), 'grantCapability(skillName: "cuo/echo"'),
    ("EXECUTION_FAILED", invoke("docs-only", executor="WASM"), "has nothing to run by WASM"),
    ("SOURCE_INVALID", invoke("invalid"), "not WebAssembly"),
]


@pytest.mark.parametrize(("code", "document", "says"), CODES)
def test_a_refusal_has_its_code_and_says_what_to_do(api: Client, code: str, document: str, says: str) -> None:
    response = api.post({"query": document})
    (error,) = response.json()["errors"]
    assert error["extensions"] == {"code": code}
    assert says in error["message"]
    assert not re.search(
        r"/(?:tmp|home|root)/|Traceback|File \"|\.py|0x[0-9a-f]{6}|postgresql:|asyncpg", response.text
    )


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ('mutation ($t: String!) { revokeSkill(name: "echo", note: $t) { name } }', "INPUT_INVALID"),
        ("mutation ($t: String!) { invokeSkill(name: $t, input: {}) { exitCode } }", "SKILL_NOT_FOUND"),
        ('mutation ($t: JSON!) { invokeSkill(name: "echo", input: {a: $t}) { exitCode } }', "INPUT_INVALID"),
        (
            'mutation ($t: String!) { invokeSkill(name: "echo", input: {}, capabilities: [$t]) { actor } }',
            "CAPABILITY_DENIED",
        ),
    ],
)
def test_half_a_surrogate_pair_is_refused_and_not_fatal(api: Client, document: str, code: str) -> None:
    text = b'"read_file(\\udfff)"' if code == "CAPABILITY_DENIED" else b'"\\ud800"'
    body = b'{"query": %s, "variables": {"t": %s}}' % (orjson.dumps(document), text)
    (error,) = api.post(body).json()["errors"]
    assert error["extensions"] == {"code": code}


def test_an_answer_nested_too_deeply_to_pass_on_comes_as_text(api: Client) -> None:
    answer = api.data('mutation { invokeSkill(name: "deep-answer", input: {}) { exitCode result stdout } }')[
        "invokeSkill"
    ]
    assert answer == {"exitCode": 0, "result": None, "stdout": "[" * 300 + "]" * 300}


def test_a_stale_grant_is_refused_and_shown_as_such(api: Client) -> None:
    write_skill(api.skills, "docs-only", tools="read_file", guest=component())
    grant = 'mutation { grantCapability(skillName: "docs-only", capability: "read_file") { stillValid } }'
    assert api.data(grant) == {"grantCapability": {"stillValid": True}}
    write_skill(api.skills, "docs-only", tools="read_file", body="changed")
    grants = '{ capabilityGrants(skillName: "docs-only") { skillName capability grantedBy stillValid } }'
    assert api.data(grants)["capabilityGrants"] == [
        {
            "skillName": "docs-only",
            "capability": "read_file",
            "grantedBy": "local-operator",
            "stillValid": False,
        }
    ]
    assert api.code('mutation { invokeSkill(name: "docs-only", input: {}) { exitCode } }') == "GRANT_STALE"


def test_a_run_is_answered_found_again_and_counted(api: Client) -> None:
    before = api.data('{ skill(name: "echo") { invocationsLast24h } }')["skill"]["invocationsLast24h"]
    made = api.data(
        """mutation ($input: JSON!) { invokeSkill(name: "echo", input: $input) {
        invocationId skillName actor exitCode startedAt endedAt executor capabilitiesGranted contentHash
        elapsedUs error { code } result stdout stderr } }""",
        input={"a": [1, 2.5, None, "đ"]},
    )["invokeSkill"]
    assert made["result"] == {"a": [1, 2.5, None, "đ"]}
    assert (made["exitCode"], made["executor"], made["error"], made["stderr"]) == (0, "WASM", None, "")
    fields = "skillName actor exitCode startedAt endedAt executor capabilitiesGranted contentHash elapsedUs"
    found = api.data(
        f"query ($id: ID!) {{ invocation(invocationId: $id) {{ {fields} result stdout }} }}",
        id=made["invocationId"],
    )["invocation"]
    assert found == {**{name: made[name] for name in fields.split()}, "result": None, "stdout": None}
    after = api.data('{ skill(name: "echo") { invocationsLast24h } }')["skill"]["invocationsLast24h"]
    assert after == before + 1


def test_a_failed_run_is_an_answer_not_an_error(api: Client) -> None:
    made = api.data('mutation { invokeSkill(name: "fails", input: {}) { exitCode error { code message } } }')
    assert made["invokeSkill"] == {"exitCode": 1, "error": {"code": "EXECUTION_FAILED", "message": "{}"}}


@pytest.mark.parametrize("text", ["", "x", "0" * 36, "00000000-0000-0000-0000-000000000000", "\x00"])
def test_an_invocation_that_never_was_is_null(api: Client, text: str) -> None:
    assert api.data("query ($id: ID!) { invocation(invocationId: $id) { actor } }", id=text) == {
        "invocation": None
    }


def test_skills_are_listed_by_path_and_filtered(api: Client) -> None:
    everything = [skill["path"] for skill in api.data("{ skills { path } }")["skills"]]
    assert everything == sorted(everything)
    assert {"a/twin", "b/twin", "cuo/echo"} <= set(everything)
    region = api.data('{ skills(region: "VN") { name path version license region hasWasm installSource } }')
    assert region["skills"] == [
        {
            "name": "echo", "path": "cuo/echo", "version": "1.10", "license": "MIT", "region": "VN",
            "hasWasm": True, "installSource": "LOCAL",
        }
    ]  # fmt: skip
    without = [skill["path"] for skill in api.data("{ skills(hasWasm: false) { path } }")["skills"]]
    assert "a/twin" in without
    assert "cuo/echo" not in without
    assert api.data("{ skills(hasWasm: null, region: null) { path } }")["skills"] == [
        {"path": path} for path in everything
    ]


def test_a_revoked_skill_is_shown_with_its_reason(api: Client) -> None:
    assert api.data('{ skill(name: "revoked") { revoked revokedNote } }') == {
        "skill": {"revoked": True, "revokedNote": "it leaks"}
    }
    assert api.data('{ skill(name: "cuo/echo") { revoked revokedNote allowedTools } }') == {
        "skill": {"revoked": False, "revokedNote": None, "allowedTools": ["read_file", "list_dir"]}
    }


def test_a_skill_that_does_not_exist_is_null(api: Client) -> None:
    assert api.data('{ skill(name: "none") { name } }') == {"skill": None}


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.0.0.1:8000", "localhost", "LOCALHOST:8000", "[::1]", "[::1]:8000"],
)
def test_loopback_names_are_answered(api: Client, host: str) -> None:
    assert api.post(OK, headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example", "evil.example:8000", "127.0.0.1.evil.example", "localhost.evil.example", "", "[::2]",
        "127.0.0.1@evil.example", "evil.example#localhost", "[::1].evil.example", "::1", "127.0.0.2",
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/graphql", "/healthz", "/readyz", "/graphiql/x.js"])
def test_other_host_names_are_refused(api: Client, host: str, path: str) -> None:
    method = "POST" if path == "/graphql" else "GET"
    assert api.request(method, path, headers={"host": host}).status_code == 421


def test_probes_answer(api: Client) -> None:
    assert api.request("GET", "/healthz").json() == {"status": "ok"}
    assert api.request("GET", "/readyz").json() == {"status": "ready"}
    assert api.request("POST", "/healthz").status_code == 405
    assert api.request("GET", "/nothing").status_code == 404


def test_readiness_says_what_is_missing(api: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    async def missing(_: Service) -> None:
        raise StorageUnavailable

    monkeypatch.setattr(Service, "check_ready", missing)
    response = api.request("GET", "/readyz")
    assert response.status_code == 503
    assert response.json()["code"] == "STORAGE_UNAVAILABLE"
    assert api.request("GET", "/healthz").status_code == 200
