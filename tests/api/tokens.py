"""Bearer tokens and the keys that sign them, and how the service takes them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pydantic import SecretStr

from subgraph.api.authentication import Authenticator
from subgraph.errors import Unauthenticated
from subgraph.principal import Principal
from subgraph.settings import Settings
from tests.support.postgres import run

SECRET = "s" * 32
AUDIENCE = "cyberos"

RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER_RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()


def pem(key: Any) -> str:
    """The public part of a key."""
    return str(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode())


def claims(**changes: Any) -> dict[str, Any]:
    """The claims of a good token, but for these; None takes one away."""
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
    """A token as an issuer makes it; `c` changes its claims."""
    return jwt.encode(claims(**c), key, algorithm, headers=headers)


def encoded(part: object) -> str:
    """A part of a token: JSON, or bytes as they are."""
    data = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def signed(header: object, data: object, key: bytes = SECRET.encode()) -> str:
    """A token by HMAC, whatever its parts are: no library has a say in it."""
    text = f"{encoded(header)}.{encoded(data)}"
    return f"{text}.{encoded(hmac.digest(key, text.encode(), hashlib.sha256))}"


def authenticator(key: str | None = SECRET, **fields: Any) -> Authenticator:
    """What a service with this key asks of its callers."""
    secret = None if key is None else SecretStr(key)
    return Authenticator(Settings(jwt_key=secret, jwt_audience=AUDIENCE, **fields))


def caller(one: Authenticator, text: str) -> Principal:
    """Whom a token names."""
    return run(one.authenticate(f"Bearer {text}"))


def refusal(one: Authenticator, text: str) -> str:
    """What is said of a token that must be refused."""
    with pytest.raises(Unauthenticated) as caught:
        caller(one, text)
    return caught.value.message
