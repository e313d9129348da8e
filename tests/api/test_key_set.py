"""The issuer's key set: fetched when it must be, kept, and none of the caller's faults when it is away."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import http.server
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from subgraph.api import key_set as key_sets
from subgraph.api.key_set import KeySetUnavailable
from tests.api.tokens import (
    EC,
    OTHER_RSA,
    RSA,
    SECRET,
    authenticator,
    caller,
    claims,
    pem,
    refusal,
    signed,
    token,
)
from tests.support.postgres import run


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
    """The header that names a key."""
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


@pytest.mark.parametrize("body", [b"[]", b"{}", b'{"keys": []}', b'{"keys": [{"kty": "x"}]}', b'{"keys": 1}'])
def test_a_key_set_without_keys_accepts_nothing(key_set: KeySet, body: bytes) -> None:
    key_set.body = body
    with contextlib.suppress(KeySetUnavailable):
        refusal(authenticator(None, jwks_url=key_set.url), token(RSA, "RS256", headers=kid("one")))


def test_an_address_that_nobody_listens_on_is_unavailable() -> None:
    with pytest.raises(KeySetUnavailable, match="key set"):
        caller(authenticator(None, jwks_url="http://127.0.0.1:1/"), token(RSA, "RS256", headers=kid("one")))
