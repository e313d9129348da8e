"""Bearer tokens: JSON Web Tokens signed by a key or by a key set (RFC 7519, RFC 7517, RFC 6750)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import jwt

from subgraph.errors import StorageUnavailable, Unauthenticated
from subgraph.principal import LOCAL_OPERATOR, Principal
from subgraph.settings import Settings

_SYMMETRIC = ["HS256", "HS384", "HS512"]
_ASYMMETRIC = ["RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "ES512", "EdDSA"]
_SECRET_BYTES = 32  # RFC 7518, section 3.2: a key as long as the hash

_LEEWAY_SECONDS = 30  # between the clocks of two machines
_KEY_SET_SECONDS = 5.0
_ACTOR_LENGTH = 200


class KeySetUnavailable(StorageUnavailable):
    """The key set that tokens are checked with cannot be fetched; try again."""


class Authenticator:
    """Tells who calls. Without authentication configured that is always the local operator."""

    def __init__(self, settings: Settings) -> None:
        self._audience = settings.jwt_audience
        self._issuer = settings.jwt_issuer
        self._find_key: Callable[[str], tuple[Any, list[str]]] | None = None
        if settings.jwks_url is not None:
            key_set = jwt.PyJWKClient(settings.jwks_url, timeout=_KEY_SET_SECONDS)
            self._find_key = lambda token: (key_set.get_signing_key_from_jwt(token).key, _ASYMMETRIC)
        elif settings.jwt_key is not None:
            key = settings.jwt_key.get_secret_value()
            algorithms = _ASYMMETRIC if key.lstrip().startswith("-----BEGIN") else _SYMMETRIC
            if algorithms is _SYMMETRIC and len(key.encode()) < _SECRET_BYTES:
                raise ValueError(f"CYBEROS_JWT_KEY needs at least {_SECRET_BYTES} bytes")
            self._find_key = lambda _: (key, algorithms)

    async def authenticate(self, authorization: str | None) -> Principal:
        """Return the caller that an `Authorization` header names.

        Raises `Unauthenticated` for a token that is missing, malformed, expired, for another audience or
        signed by somebody else, and `KeySetUnavailable`.
        """
        find_key = self._find_key
        if find_key is None:
            return LOCAL_OPERATOR
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Unauthenticated
        try:
            # A key set may have to be fetched, which blocks.
            key, algorithms = await asyncio.to_thread(find_key, token.strip())
            claims = jwt.decode(
                token.strip(),
                key,
                algorithms=algorithms,
                audience=self._audience,
                issuer=self._issuer,
                leeway=_LEEWAY_SECONDS,
                options={"require": ["exp", "sub", "aud"]},
            )
        except jwt.PyJWKClientConnectionError as error:
            raise KeySetUnavailable from error
        except jwt.PyJWTError as error:
            raise Unauthenticated(f"the bearer token is not accepted: {_reason(error)}") from error
        return Principal(str(claims["sub"])[:_ACTOR_LENGTH], _scopes(claims))


def _reason(error: jwt.PyJWTError) -> str:
    """Say what is wrong with a token without repeating anything of it."""
    if isinstance(error, jwt.ExpiredSignatureError):
        return "it has expired"
    if isinstance(error, jwt.InvalidAudienceError):
        return "it is for another audience"
    if isinstance(error, jwt.InvalidIssuerError):
        return "it is from another issuer"
    if isinstance(error, jwt.MissingRequiredClaimError):
        return "it lacks exp, sub or aud"
    return "its form or signature is wrong"


def _scopes(claims: dict[str, Any]) -> frozenset[str]:
    """Read `scope` (text separated by spaces, RFC 8693) or `scp` (a list, as some issuers have it)."""
    claimed = claims.get("scope", claims.get("scp", ""))
    if isinstance(claimed, str):
        return frozenset(claimed.split())
    if isinstance(claimed, list):
        return frozenset(item for item in claimed if isinstance(item, str))
    return frozenset()
