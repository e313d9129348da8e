"""Bearer tokens: JSON Web Tokens signed by a key or by a key set (RFC 7519, RFC 7517, RFC 6750)."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key, load_pem_public_key

from subgraph.api.key_set import KeySet
from subgraph.errors import Unauthenticated
from subgraph.principal import LOCAL_OPERATOR, Principal, is_local
from subgraph.settings import Settings

_SYMMETRIC = ["HS256", "HS384", "HS512"]
_ASYMMETRIC: Mapping[type, list[str]] = {
    RSAPublicKey: ["RS256", "RS384", "RS512", "PS256"],
    EllipticCurvePublicKey: ["ES256", "ES384", "ES512"],
    Ed25519PublicKey: ["EdDSA"],
}
_KEY_SET_ALGORITHMS = [name for names in _ASYMMETRIC.values() for name in names]
_SECRET_BYTES = 32  # RFC 7518, section 3.2: a key as long as the hash

_LEEWAY_SECONDS = 30  # between the clocks of two machines
_ACTOR_LENGTH = 255  # OpenID Connect Core, section 2: the bound of `sub`
_TOKEN_LENGTH = 16 * 1024  # twice what other servers take for all headers together


class Authenticator:
    """Tells who calls. Without authentication configured that is always the local operator."""

    def __init__(self, settings: Settings) -> None:
        self._audience = settings.jwt_audience
        self._issuer = settings.jwt_issuer
        self._key_set: KeySet | None = None
        self._key: tuple[Any, list[str]] = ("", [])
        self._required = settings.authenticated
        if settings.jwks_url is not None:
            self._key_set = KeySet(settings.jwks_url)
        elif settings.jwt_key is not None:
            self._key = _read_key(settings.jwt_key.get_secret_value())

    async def authenticate(self, authorization: str | None) -> Principal:
        """Return the caller that an `Authorization` header names.

        Raises `Unauthenticated` for a token that is missing, malformed, expired, for another audience or
        signed by somebody else, and `KeySetUnavailable`.
        """
        if not self._required:
            return LOCAL_OPERATOR
        scheme, _, token = (authorization or "").partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            raise Unauthenticated
        if len(token) > _TOKEN_LENGTH:
            raise Unauthenticated(f"the bearer token is over {_TOKEN_LENGTH} bytes")
        try:
            key, algorithms = await self._find_key(token)
            claims = jwt.decode(
                token,
                key,
                algorithms=algorithms,
                audience=self._audience,
                issuer=self._issuer,
                leeway=_LEEWAY_SECONDS,
                options={"require": ["exp", "sub", "aud"]},
            )
        except jwt.PyJWTError as error:
            raise Unauthenticated(f"the bearer token is not accepted: {_reason(error)}") from error
        return Principal(_actor(claims["sub"]), _scopes(claims))

    async def _find_key(self, token: str) -> tuple[Any, list[str]]:
        if self._key_set is None:
            return self._key
        key_id = jwt.get_unverified_header(token).get("kid")
        if not isinstance(key_id, str):
            raise Unauthenticated("the bearer token is not accepted: it names no key")
        # Each key of a set is for one algorithm, which PyJWT holds the token to.
        return await self._key_set.find(key_id), _KEY_SET_ALGORITHMS


def _read_key(key: str) -> tuple[Any, list[str]]:
    """Read a secret or a public key, and tell what algorithms go with it. Raises `ValueError`."""
    if not key.lstrip().startswith("-----BEGIN"):
        if _is_public(key):
            raise ValueError("CYBEROS_JWT_KEY is no secret: give a public key in PEM, with its BEGIN line")
        if len(key.encode()) < _SECRET_BYTES:
            raise ValueError(f"CYBEROS_JWT_KEY needs at least {_SECRET_BYTES} bytes")
        return key, _SYMMETRIC
    try:
        public_key = load_pem_public_key(key.encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ValueError("CYBEROS_JWT_KEY is not a public key in PEM") from error
    for kind, algorithms in _ASYMMETRIC.items():
        if isinstance(public_key, kind):
            return public_key, algorithms
    raise ValueError("CYBEROS_JWT_KEY must be an RSA, EC or Ed25519 key")


def _is_public(text: str) -> bool:
    """Whether somebody took for a secret what everybody can know: an address, a JWK, a bare public key."""
    if "://" in text or text.lstrip().startswith("{"):
        return True
    try:
        load_der_public_key(base64.b64decode("".join(text.split()), validate=True))
    except (ValueError, UnsupportedAlgorithm):
        return False
    return True


def _actor(subject: str) -> str:
    """Check that the audit trail can keep the name as it is: cut off, two could become one."""
    if is_local(subject):
        raise Unauthenticated("the bearer token is not accepted: its sub is the name of the local operator")
    if not subject.strip() or not subject.isprintable() or len(subject) > _ACTOR_LENGTH:
        raise Unauthenticated("the bearer token is not accepted: its sub cannot be recorded")
    return subject


def _reason(error: jwt.PyJWTError) -> str:
    """Say what is wrong with a token without repeating anything of it."""
    if isinstance(error, jwt.ExpiredSignatureError):
        return "it has expired"
    if isinstance(error, jwt.InvalidAudienceError):
        return "it is for another audience"
    if isinstance(error, jwt.InvalidIssuerError):
        return "it is from another issuer"
    if isinstance(error, jwt.MissingRequiredClaimError):
        return f"it lacks {error.claim}"
    return "its form or signature is wrong"


def _scopes(claims: dict[str, Any]) -> frozenset[str]:
    """Read `scope` (text separated by spaces, RFC 8693) or `scp` (a list, as some issuers have it)."""
    claimed = claims.get("scope", claims.get("scp", ""))
    if isinstance(claimed, str):
        return frozenset(claimed.split())
    if isinstance(claimed, list):
        return frozenset(item for item in claimed if isinstance(item, str))
    return frozenset()
