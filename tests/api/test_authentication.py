"""Bearer tokens: which are accepted, and what each refusal says."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import http.server
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from pydantic import SecretStr

from subgraph.api import key_set as key_sets
from subgraph.api.authentication import Authenticator
from subgraph.api.key_set import KeySetUnavailable
from subgraph.errors import Unauthenticated
from subgraph.principal import LOCAL_OPERATOR, Principal, Scope
from subgraph.settings import Settings
from tests.support.postgres import empty_database, run
from tests.support.skills import Client, application, component, skill_settings, write_skill

SECRET = "s" * 32
AUDIENCE = "cyberos"

RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER_RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()


def pem(key: Any) -> str:
    return str(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode())


def claims(**changes: Any) -> dict[str, Any]:
    usual = {
        "sub": "ann",
        "aud": AUDIENCE,
        "exp": int(time.time()) + 3600,
        "scope": "skill:read skill:invoke",
    }
    return {name: value for name, value in {**usual, **changes}.items() if value is not None}


def token(
    key: Any = SECRET, algorithm: str = "HS256", *, headers: dict[str, Any] | None = None, **c: Any
) -> str:
    return jwt.encode(claims(**c), key, algorithm, headers=headers)


def authenticator(key: str | None = SECRET, **fields: Any) -> Authenticator:
    secret = None if key is None else SecretStr(key)
    return Authenticator(Settings(jwt_key=secret, jwt_audience=AUDIENCE, **fields))


def caller(one: Authenticator, text: str) -> Principal:
    return run(one.authenticate(f"Bearer {text}"))


def refusal(one: Authenticator, text: str) -> str:
    with pytest.raises(Unauthenticated) as caught:
        caller(one, text)
    return caught.value.message


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


def encoded(part: object) -> str:
    data = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def signed(header: object, data: object, key: bytes = SECRET.encode()) -> str:
    text = f"{encoded(header)}.{encoded(data)}"
    return f"{text}.{encoded(hmac.digest(key, text.encode(), hashlib.sha256))}"


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


@pytest.mark.parametrize("url", ["", "file:///etc/passwd", "nonsense", "ftp://a/b"])
def test_a_key_set_comes_by_http(url: str) -> None:
    with pytest.raises(ValueError, match="CYBEROS_JWKS_URL"):
        authenticator(None, jwks_url=url)


class KeySet:
    """A key set that is served on loopback, and how often it was fetched."""

    def __init__(self) -> None:
        self.body = b""
        self.status = 200
        self.fetched = 0
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.fetched += 1
                self.send_response(outer.status)
                self.send_header("Content-Length", str(len(outer.body)))
                self.end_headers()
                self.wfile.write(outer.body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/jwks"

    def publish(self, **keys: Any) -> None:
        found = []
        for kid, key in keys.items():
            if isinstance(key, dict):
                found.append({"kid": kid, **key})
                continue
            algorithm = RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else ECAlgorithm
            jwk: dict[str, Any] = algorithm.to_jwk(key.public_key(), as_dict=True)
            found.append({**jwk, "kid": kid, "use": "sig"})
        self.body = json.dumps({"keys": found}).encode()


@pytest.fixture
def key_set() -> Iterator[KeySet]:
    served = KeySet()
    thread = threading.Thread(target=served.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield served
    finally:
        served.server.shutdown()
        served.server.server_close()
        thread.join()


def kid(name: str) -> dict[str, Any]:
    return {"kid": name}


def test_keys_of_a_set_are_found_by_name_and_kept(key_set: KeySet) -> None:
    key_set.publish(one=RSA, two=EC)
    authentic = authenticator(None, jwks_url=key_set.url)
    for _ in range(3):
        assert caller(authentic, token(RSA, "RS256", headers=kid("one"))).actor == "ann"
        assert caller(authentic, token(EC, "ES256", headers=kid("two"))).actor == "ann"
    assert key_set.fetched == 1


def test_a_name_of_another_key_is_refused(key_set: KeySet) -> None:
    secret = base64.urlsafe_b64encode(SECRET.encode()).decode()
    key_set.publish(one=RSA, two=EC, shared={"kty": "oct", "k": secret, "alg": "HS256"})
    authentic = authenticator(None, jwks_url=key_set.url)
    for text in (
        token(OTHER_RSA, "RS256", headers=kid("one")),
        token(RSA, "RS256", headers=kid("two")),
        token(EC, "ES256", headers=kid("one")),
        token(SECRET, headers=kid("shared")),
        signed({"alg": "HS256", "kid": "one"}, claims(), pem(RSA).encode()),
        signed({"alg": "none", "kid": "one"}, claims()),
        token(RSA, "RS256"),
        token(RSA, "RS256", headers=kid("nothing")),
    ):
        assert "is not accepted" in refusal(authentic, text)
    assert key_set.fetched == 1  # unknown names do not have it fetched again and again


def test_a_new_key_is_found_after_the_pause(key_set: KeySet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_sets, "COOLDOWN_SECONDS", 0.0)
    key_set.publish(one=RSA)
    authentic = authenticator(None, jwks_url=key_set.url)
    caller(authentic, token(RSA, "RS256", headers=kid("one")))
    key_set.publish(two=OTHER_RSA)
    assert caller(authentic, token(OTHER_RSA, "RS256", headers=kid("two"))).actor == "ann"
    refusal(authentic, token(RSA, "RS256", headers=kid("one")))


@pytest.mark.parametrize(
    ("status", "body"), [(500, b""), (404, b"no"), (200, b"<html>"), (200, b""), (200, b"\xff")]
)
def test_a_key_set_that_cannot_be_fetched_is_no_fault_of_the_token(
    key_set: KeySet, status: int, body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_sets, "RETRY_SECONDS", 0.0)
    key_set.status, key_set.body = status, body
    authentic = authenticator(None, jwks_url=key_set.url)
    text = token(RSA, "RS256", headers=kid("one"))
    with pytest.raises(KeySetUnavailable):
        caller(authentic, text)
    key_set.status = 200
    key_set.publish(one=RSA)
    assert caller(authentic, text).actor == "ann"


def test_an_issuer_that_hangs_holds_up_no_token_whose_key_is_known(
    key_set: KeySet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_sets, "COOLDOWN_SECONDS", 0.0)
    key_set.publish(one=RSA)
    known = key_sets.KeySet(key_set.url)
    hanging = threading.Event()

    async def scenario() -> None:
        await known.find("one")
        monkeypatch.setattr(known._client, "get_jwk_set", hanging.wait)
        strangers = [asyncio.create_task(known.find(f"made up {number}")) for number in range(8)]
        await asyncio.sleep(0.05)
        assert (await known.find("one")).key_id == "one"
        assert await asyncio.to_thread(lambda: "other threads work") is not None
        assert not any(stranger.done() for stranger in strangers)
        hanging.set()
        await asyncio.gather(*strangers, return_exceptions=True)

    run(scenario())


def test_what_everybody_can_know_is_no_secret() -> None:
    bare = base64.b64encode(
        RSA.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    ).decode()
    for public in (bare, "https://login.example.com/keys/for/skills", '{"kty": "RSA", "n": "0123456789"}'):
        with pytest.raises(ValueError, match="is no secret"):
            authenticator(public)


def test_nobody_can_be_called_like_the_local_operator() -> None:
    text = token(SECRET, sub=LOCAL_OPERATOR.actor)
    assert "local operator" in refusal(authenticator(SECRET), text)


@pytest.mark.parametrize("body", [b"[]", b"{}", b'{"keys": []}', b'{"keys": [{"kty": "x"}]}', b'{"keys": 1}'])
def test_a_key_set_without_keys_accepts_nothing(key_set: KeySet, body: bytes) -> None:
    key_set.body = body
    with contextlib.suppress(KeySetUnavailable):
        refusal(authenticator(None, jwks_url=key_set.url), token(RSA, "RS256", headers=kid("one")))


def test_an_address_that_nobody_listens_on_is_unavailable() -> None:
    with pytest.raises(KeySetUnavailable, match="key set"):
        caller(authenticator(None, jwks_url="http://127.0.0.1:1/"), token(RSA, "RS256", headers=kid("one")))


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


@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer x"}, bearer(exp=1), bearer(aud="other")])
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
