"""The public keys of an issuer of tokens (RFC 7517), fetched when they are missing or old."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

import jwt

from subgraph.errors import StorageUnavailable, Unauthenticated
from subgraph.single_flight import SingleFlight

LIFESPAN_SECONDS = 300.0
"""Age from which on keys are fetched again: how long a key that the issuer withdrew is still taken."""

COOLDOWN_SECONDS = 30.0
"""Least time between two fetches that an unknown key asks for. Anybody can make up key ids."""

RETRY_SECONDS = 2.0
"""Least time from a fetch that failed to the next one."""

_FETCH_SECONDS = 5.0


class KeySetUnavailable(StorageUnavailable):
    """The key set that tokens are checked with cannot be fetched; try again."""


class KeySet:
    """The keys at an address. Raises `ValueError` for one that is neither http nor https.

    A key that is known is found without waiting, whatever the issuer does meanwhile.
    """

    def __init__(self, url: str) -> None:
        try:
            self._client = jwt.PyJWKClient(url, cache_jwk_set=False, timeout=_FETCH_SECONDS)
        except jwt.PyJWKClientError as error:
            raise ValueError("CYBEROS_JWKS_URL must be an address of http or https") from error
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fresh_until = float("-inf")
        self._next_fetch = float("-inf")
        self._fetches: SingleFlight[str, None] = SingleFlight()
        # A thread of its own: an issuer that hangs must not hold up what else runs in threads.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="key-set")

    async def find(self, key_id: str) -> jwt.PyJWK:
        """Return a key. Raises `Unauthenticated` for one that is not there, and `KeySetUnavailable`."""
        key = self._keys.get(key_id)
        fresh = time.monotonic() < self._fresh_until
        if key is not None and fresh:
            return key
        if time.monotonic() >= self._next_fetch:
            await self._fetches.run("", self._fetch)
        elif not fresh:
            raise KeySetUnavailable
        if key_id not in self._keys:
            raise Unauthenticated("the bearer token is not accepted: its issuer has no such key")
        return self._keys[key_id]

    async def _fetch(self) -> None:
        self._next_fetch = time.monotonic() + RETRY_SECONDS
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(2 * _FETCH_SECONDS):
                fetched = await loop.run_in_executor(self._thread, self._client.get_jwk_set)
        except (jwt.PyJWTError, OSError, ValueError, TimeoutError) as error:
            raise KeySetUnavailable from error
        self._keys = {key.key_id: key for key in fetched.keys if key.key_id is not None}
        self._fresh_until = time.monotonic() + LIFESPAN_SECONDS
        self._next_fetch = time.monotonic() + COOLDOWN_SECONDS
