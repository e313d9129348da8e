"""What the log says of inputs and outputs: commitments, and ciphertexts where these are wanted.

A commitment binds the log to some bytes without telling them, also to whoever guesses them: it is an
HMAC-SHA256 under a salt of its own. Each salt, and the key of each ciphertext, comes from the key of one
subject, who is the actor of the call. Whoever has bytes and salt can check a commitment; whoever destroys
the subject's key leaves nothing by which anybody could.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from subgraph.audit import base64_text
from subgraph.audit.decisions import ErasedSubject
from subgraph.audit.wrapping_key import KEY_BYTES, load_wrapping_key
from subgraph.errors import StorageUnavailable
from subgraph.settings import PayloadMode
from subgraph.storage import Database

NONCE_BYTES = 12
"""Of AES-GCM (NIST SP 800-38D, section 5.2.1.1); drawn at random, under a key that is used for two texts."""

MAX_SEALED_BYTES = 16 * 1024
"""Bytes of an input or output that an entry holds as ciphertext; of a longer one it has the commitment alone.
Two of them in base64 take 44 KB of an entry's 128."""

KEYS_KEPT = 10_000
"""Subjects whose keys are in memory: two megabytes."""

KEPT_SECONDS = 60.0
"""How long a key is used from memory: another replica may have destroyed it. What is written meanwhile under
a destroyed key cannot be read, which is what was asked for."""


class Part(StrEnum):
    """Of an invocation; from `QUERY` on of a decision about a query, whose request then names the place."""

    INPUT = "input"
    OUTPUT = "output"
    QUERY = "query"
    DECISION = "decision"
    PROMPT = "prompt"
    ANSWER = "answer"
    CONSULTATION = "consultation"


class KeyUnusable(StorageUnavailable):
    """The key of a subject cannot be unwrapped: all replicas need the same `CYBEROS_AUDIT_KEYS_DIR`."""


@dataclass(frozen=True, slots=True)
class SubjectKey:
    """The key of one subject: 32 bytes, never shown by `repr`."""

    _key: bytes

    def __repr__(self) -> str:
        return "SubjectKey()"

    @property
    def key_id(self) -> str:
        """Name the key, as entries do: a subject that was erased and calls again has another one."""
        return hmac.digest(self._key, b"cyberos.payload/1 id", sha256)[:8].hex()

    def salt(self, invocation_id: str, part: Part) -> bytes:
        """Return the salt of one commitment: whoever is given it can check that one, and no other."""
        return self._derived("salt", invocation_id, part)

    def commitment(self, invocation_id: str, part: Part, data: bytes) -> str:
        """Commit to some bytes: 64 hexadecimal digits."""
        return commitment(self.salt(invocation_id, part), data)

    def seal(self, invocation_id: str, part: Part, data: bytes) -> dict[str, object]:
        """Encrypt some bytes for the entry of an invocation, and for no other place."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        cipher = AESGCM(self._derived("seal", invocation_id, part))
        sealed = cipher.encrypt(nonce, data, f"{invocation_id} {part.value}".encode())
        return {"nonce": base64_text.encode(nonce), "ciphertext": base64_text.encode(sealed)}

    def open(self, invocation_id: str, part: Part, sealed: Mapping[str, Any]) -> bytes:
        """Decrypt what `seal` has made. Raises `ValueError` when it is something else."""
        cipher = AESGCM(self._derived("seal", invocation_id, part))
        place = f"{invocation_id} {part.value}".encode()
        nonce, content = (base64_text.decode(sealed[name]) for name in ("nonce", "ciphertext"))
        try:
            return cipher.decrypt(nonce, content, place)
        except InvalidTag:
            raise ValueError("the ciphertext is not of this place and key") from None

    def _derived(self, purpose: str, invocation_id: str, part: Part) -> bytes:
        label = f"cyberos.payload/1 {purpose} {invocation_id} {part.value}"
        return hmac.digest(self._key, label.encode(), sha256)


def commitment(salt: bytes, data: bytes) -> str:
    """Commit to some bytes under a salt: 64 hexadecimal digits of HMAC-SHA256 (RFC 2104)."""
    return hmac.digest(salt, data, sha256).hex()


class SubjectKeys:
    """The keys of all subjects, wrapped under one key that is kept outside of the database.

    A copy of the database alone therefore opens nothing. Methods raise `StorageUnavailable`, and
    `KeyUnusable` when a key was wrapped under another one.
    """

    def __init__(self, database: Database, key_file: Path, mode: PayloadMode) -> None:
        self._database = database
        self._key_file = key_file
        self._mode = mode
        self._cipher: AESGCM | None = None
        self._kept: OrderedDict[str, tuple[SubjectKey, float]] = OrderedDict()

    async def __aenter__(self) -> Self:
        """Read the wrapping key, or make it. Raises `KeyFileRefused`."""
        self._cipher = AESGCM(await asyncio.to_thread(load_wrapping_key, self._key_file))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._kept.clear()
        self._cipher = None

    @property
    def encrypts(self) -> bool:
        """Whether entries hold ciphertexts beside commitments."""
        return self._mode is PayloadMode.ENCRYPTED

    async def of(self, subject: str) -> SubjectKey:
        """Return the key of a subject for what is written now; it is made when there is none."""
        kept = self._kept.get(subject)
        if kept is not None and time.monotonic() < kept[1]:
            return kept[0]
        fresh = self._wrapped(subject, secrets.token_bytes(KEY_BYTES))
        wrapped = await self._database.fetchval("subject_key_put", subject, fresh)
        if wrapped is None:  # another replica has made one in the same moment
            wrapped = await self._database.fetchval("subject_key_get", subject)
        if wrapped is None:
            raise KeyUnusable("The key of the caller was destroyed at this moment; try again.")
        key = self._unwrapped(subject, wrapped)
        self._keep(subject, key)
        return key

    async def find(self, subject: str) -> SubjectKey | None:
        """Return the key of a subject for reading, as the database has it now; None when there is none."""
        wrapped = await self._database.fetchval("subject_key_get", subject)
        return None if wrapped is None else self._unwrapped(subject, wrapped)

    async def erase(self, subject: str, actor: str) -> bool:
        """Destroy the key of a subject, and record who did; False when there was none.

        Another replica that has it in memory writes with it for up to `KEPT_SECONDS`, and never reads.
        """
        async with self._database.transaction() as transaction:
            destroyed = await transaction.fetchval("subject_key_delete", subject) is not None
            entry = ErasedSubject(actor=actor, subject=subject, destroyed=destroyed)
            await transaction.fetchval("audit_append", uuid4(), [entry.encode()])
        self._kept.pop(subject, None)
        return destroyed

    def _keep(self, subject: str, key: SubjectKey) -> None:
        self._kept[subject] = (key, time.monotonic() + KEPT_SECONDS)
        self._kept.move_to_end(subject)
        if len(self._kept) > KEYS_KEPT:
            self._kept.popitem(last=False)

    def _wrapped(self, subject: str, key: bytes) -> bytes:
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + self._wrapping().encrypt(nonce, key, subject.encode())

    def _unwrapped(self, subject: str, wrapped: bytes) -> SubjectKey:
        try:
            key = self._wrapping().decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], subject.encode())
        except (InvalidTag, ValueError):
            raise KeyUnusable from None
        return SubjectKey(key)

    def _wrapping(self) -> AESGCM:
        if self._cipher is None:
            raise RuntimeError("SubjectKeys is not entered")
        return self._cipher
