"""Bearer tokens: which are accepted, and what each refusal says."""

from __future__ import annotations

import base64
import os
import pwd
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import given, strategies
from pydantic import SecretStr

from subgraph.api.authentication import Authenticator
from subgraph.cli.session import operator
from subgraph.errors import Unauthenticated
from subgraph.principal import LOCAL_OPERATOR, Principal, Scope, account_actor, is_local
from subgraph.settings import Settings
from tests.api.tokens import (
    AUDIENCE,
    EC,
    ED,
    OTHER_RSA,
    RSA,
    SECRET,
    authenticator,
    caller,
    claims,
    encoded,
    pem,
    refusal,
    signed,
    token,
)
from tests.support.postgres import empty_database, run
from tests.support.skills import Client, application, component, skill_settings, write_skill


def test_without_authentication_the_caller_is_the_operator() -> None:
    assert run(Authenticator(Settings()).authenticate(None)) is LOCAL_OPERATOR


def test_a_token_names_its_caller_and_scopes() -> None:
    expected = Principal("ann", frozenset({"skill:read", "skill:invoke"}))
    assert caller(authenticator(), token()) == expected
    assert run(authenticator().authenticate(f"bearer  {token()} ")) == expected


@pytest.mark.parametrize(
    ("given", "scopes"),
    [
        ({"scope": "a b  c"}, {"a", "b", "c"}),
        ({"scope": ["a", "b", 1, None]}, {"a", "b"}),
        ({"scope": None, "scp": ["a"]}, {"a"}),
        ({"scope": None, "scp": "a b"}, {"a", "b"}),
        ({"scope": None}, set()),
        ({"scope": ""}, set()),
        ({"scope": 7}, set()),
        ({"scope": {"a": "b"}}, set()),
    ],
)
def test_scopes_are_text_or_a_list(given: dict[str, Any], scopes: set[str]) -> None:
    assert caller(authenticator(), token(**given)).scopes == scopes


@pytest.mark.parametrize(
    "header",
    [None, "", "Bearer", "Bearer ", "Basic YTpi", "Token x", "Bearer\t", f"bearer{token()}", token()],
)
def test_another_header_is_no_token(header: str | None) -> None:
    with pytest.raises(Unauthenticated, match="Authorization: Bearer <token>"):
        run(authenticator().authenticate(header))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"exp": 1}, "it has expired"),
        ({"exp": int(time.time()) - 60}, "it has expired"),
        ({"exp": None}, "lacks exp"),
        ({"exp": "soon"}, "form or signature"),
        ({"sub": None}, "lacks sub"),
        ({"aud": None}, "aud"),
        ({"aud": "another"}, "another audience"),
        ({"aud": ["another"]}, "another audience"),
        ({"aud": []}, "aud"),
        ({"nbf": int(time.time()) + 600}, "form or signature"),
        ({"iat": int(time.time()) + 600}, "form or signature"),
        ({"sub": 7}, "form or signature"),
        ({"sub": ""}, "sub"),
        ({"sub": " "}, "sub"),
        ({"sub": "a\nb"}, "sub"),
        ({"sub": "a\0b"}, "sub"),
        ({"sub": "x" * 256}, "sub"),
    ],
)
def test_a_claim_that_is_wrong_is_refused(changes: dict[str, Any], reason: str) -> None:
    data = claims(**changes)
    header = {"alg": "HS256", "typ": "JWT"}
    assert reason in refusal(authenticator(), signed(header, data))


def test_clocks_may_differ_by_half_a_minute() -> None:
    now = int(time.time())
    assert caller(authenticator(), token(exp=now - 10, nbf=now + 10)).actor == "ann"


def test_one_of_several_audiences_suffices_and_long_names_are_kept() -> None:
    assert caller(authenticator(), token(aud=["another", AUDIENCE], sub="đ" * 255)).actor == "đ" * 255


def test_the_issuer_counts_where_one_is_set() -> None:
    one = authenticator(jwt_issuer="https://issuer")
    assert caller(one, token(iss="https://issuer")).actor == "ann"
    assert "another issuer" in refusal(one, token(iss="https://other"))
    assert "lacks iss" in refusal(one, token())


FORGERIES = [
    "x", "a.b", "a.b.c", "....", "é.é.é", "\x00", "=" * 100,
    f"{encoded({'alg': 'none'})}.{encoded(claims())}.",
    f"{encoded({'alg': 'None'})}.{encoded(claims())}.",
    f"{encoded({'alg': 'nOnE'})}.{encoded(claims())}.x",
    f"{encoded({})}.{encoded(claims())}.x",
    f"{encoded(b'[' * 9000)}.{encoded(claims())}.x",
    f"{encoded([])}.{encoded(claims())}.x",
    signed({"alg": "HS256", "kid": {}}, claims()),
    signed({"alg": ["HS256"]}, claims()),
    signed({"alg": "HS256", "crit": ["b64"], "b64": False}, claims()),
    signed({"alg": "HS256"}, claims(), b"t" * 32),
    signed({"alg": "HS256"}, claims(), b""),
    signed({"alg": "HS256"}, b"[]"),
    signed({"alg": "HS256"}, b"\xff"),
    signed({"alg": "HS256"}, b"[" * 9000),
    token()[:-2],
    token() + ".x",
]  # fmt: skip


@pytest.mark.parametrize("text", FORGERIES)
def test_a_forged_token_is_refused_and_nothing_of_it_is_repeated(text: str) -> None:
    for one in (authenticator(), authenticator(pem(RSA)), authenticator(pem(EC))):
        assert refusal(one, text).removeprefix("the bearer token is not accepted: ") == (
            "its form or signature is wrong"
        )


def test_an_oversized_token_is_refused_before_it_is_read() -> None:
    assert "over 16384 bytes" in refusal(authenticator(), token(sub="x" * 20_000))


@pytest.mark.parametrize(
    ("key", "algorithm"), [(RSA, "RS256"), (RSA, "RS512"), (RSA, "PS256"), (EC, "ES256"), (ED, "EdDSA")]
)
def test_public_keys_in_pem(key: Any, algorithm: str) -> None:
    assert caller(authenticator(pem(key)), token(key, algorithm)).actor == "ann"
    for other in (RSA, EC, ED):
        if other is not key:
            assert "signature" in refusal(authenticator(pem(other)), token(key, algorithm))


def test_a_public_key_is_no_shared_secret() -> None:
    public = pem(RSA)
    confused = signed({"alg": "HS256"}, claims(), public.encode())
    assert "signature" in refusal(authenticator(public), confused)
    assert "signature" in refusal(authenticator(), token(RSA, "RS256"))
    assert "signature" in refusal(authenticator(public), token(OTHER_RSA, "RS256"))


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("", "at least 32 bytes"),
        ("s" * 31, "at least 32 bytes"),
        ("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----", "not a public key in PEM"),
        (
            RSA.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
            "not a public key in PEM",
        ),
        (pem(ec.generate_private_key(ec.SECP256R1())).replace("PUBLIC", "OTHER"), "not a public key in PEM"),
    ],
)
def test_a_key_that_cannot_be_one_is_refused_at_the_start(key: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"CYBEROS_JWT_KEY.*{message}"):
        authenticator(key)


def test_what_everybody_can_know_is_no_secret() -> None:
    bare = base64.b64encode(
        RSA.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    ).decode()
    for public in (bare, "https://login.example.com/keys/for/skills", '{"kty": "RSA", "n": "0123456789"}'):
        with pytest.raises(ValueError, match="is no secret"):
            authenticator(public)


@pytest.mark.parametrize(
    "subject",
    [
        LOCAL_OPERATOR.actor,
        operator().actor,
        "local-operator:",
        "local-operator:ann",
        "local-operator:ann:b",
        "Local-Operator",
        "LOCAL-OPERATOR:root",
        " local-operator ",
        "local-operator :root",
        "\uff4cocal-operator",  # a letter of double width
        "local-operator\uff1aroot",  # a colon of double width
        "\U0001d425ocal-operator",  # a bold letter
        "local\ufe63operator",  # a small hyphen
    ],
)
def test_nobody_can_be_called_like_the_local_operator(subject: str) -> None:
    assert "local operator" in refusal(authenticator(SECRET), token(SECRET, sub=subject))


@pytest.mark.parametrize(
    "subject",
    ["local-operators", "local-operator2", "x:local-operator", "local", "operator", "root", "uid-0"],
)
def test_names_that_are_only_near_the_local_operators_are_as_any(subject: str) -> None:
    assert caller(authenticator(SECRET), token(SECRET, sub=subject)).actor == subject


def test_an_account_at_a_shell_has_a_name_that_no_token_can_have(monkeypatch: pytest.MonkeyPatch) -> None:
    account = pwd.getpwuid(os.getuid()).pw_name
    assert operator().actor == f"local-operator:{account}"
    with monkeypatch.context() as patch:
        patch.setattr(os, "getuid", lambda: 2**31 - 7)
        assert operator().actor == "local-operator:uid-2147483641"
    assert caller(authenticator(SECRET), token(SECRET, sub=account)).actor == account != operator().actor


@given(strategies.text(min_size=1, max_size=40))
def test_no_account_has_the_name_of_a_token(account: str) -> None:
    assert is_local(account_actor(account))


@pytest.fixture(scope="module")
def guarded(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    home: Path = tmp_path_factory.mktemp("home")
    with empty_database(server) as dsn:
        settings = skill_settings(home, dsn, jwt_key=SecretStr(SECRET), jwt_audience=AUDIENCE)
        write_skill(settings.skill_roots[0], "echo", tools="read_file", guest=component())
        with application(settings) as client:
            yield client


def bearer(**changes: Any) -> dict[str, str]:
    return {"authorization": f"Bearer {token(**changes)}"}


@pytest.mark.parametrize(
    "headers",
    [{}, {"authorization": "Bearer x"}, bearer(exp=1), bearer(aud="other"), bearer(sub=operator().actor)],
)
@pytest.mark.parametrize("body", [b'{"query": "{ __typename }"}', b"{", b"x" * 10_000_000])
def test_a_stranger_is_told_to_authenticate_whatever_he_sends(
    guarded: Client, headers: dict[str, str], body: bytes
) -> None:
    response = guarded.post(body, headers=headers)
    assert response.status_code == 401
    assert response.headers["www-authenticate"].startswith("Bearer")
    (error,) = response.json()["errors"]
    assert error["extensions"] == {"code": "UNAUTHENTICATED"}


def test_names_of_hosts_do_not_matter_where_callers_are_known(guarded: Client) -> None:
    headers = {**bearer(), "host": "skills.internal"}
    assert guarded.post({"query": "{ __typename }"}, headers=headers).status_code == 200


OPERATIONS = [
    (Scope.READ, "{ skills { name } }"),
    (Scope.READ, '{ skill(name: "echo") { name } }'),
    (Scope.READ, '{ _entities(representations: [{__typename: "Skill", name: "echo"}]) { __typename } }'),
    (Scope.AUDIT, '{ invocation(invocationId: "00000000-0000-0000-0000-000000000000") { actor } }'),
    (Scope.AUDIT, "{ capabilityGrants { capability } }"),
    (
        Scope.AUDIT,
        '{ _entities(representations: [{__typename: "CapabilityGrant", skillName: "echo"}]) { __typename } }',
    ),
    (Scope.AUDIT, '{ _entities(representations: [{__typename: "Invocation"}]) { __typename } }'),
    (Scope.INVOKE, 'mutation { invokeSkill(name: "echo", input: {}) { exitCode } }'),
    (Scope.GRANT, 'mutation { grantCapability(skillName: "echo", capability: "read_file") { capability } }'),
    (Scope.GRANT, 'mutation { revokeSkill(name: "none") { path } }'),
]  # fmt: skip


@pytest.mark.parametrize(("scope", "document"), OPERATIONS)
def test_each_operation_needs_its_scope(guarded: Client, scope: Scope, document: str) -> None:
    others = " ".join(sorted(set(Scope) - {scope}))
    answer = guarded.post({"query": document}, headers=bearer(scope=others)).json()
    assert {error["extensions"]["code"] for error in answer["errors"]} == {"FORBIDDEN"}
    assert all(scope in error["message"] for error in answer["errors"])
    answer = guarded.post({"query": document}, headers=bearer(scope=str(scope))).json()
    codes = {error["extensions"]["code"] for error in answer.get("errors", [])}
    assert codes <= {"SKILL_NOT_FOUND"}


def test_the_caller_of_the_token_is_the_actor_of_the_record(guarded: Client) -> None:
    document = 'mutation { invokeSkill(name: "echo", input: {}) { actor } }'
    answer = guarded.post({"query": document}, headers=bearer(sub="Lan Nguyễn")).json()
    assert answer == {"data": {"invokeSkill": {"actor": "Lan Nguyễn"}}}


def test_probes_need_no_token(guarded: Client) -> None:
    assert guarded.request("GET", "/healthz").status_code == 200
    assert guarded.request("GET", "/readyz").status_code == 200
