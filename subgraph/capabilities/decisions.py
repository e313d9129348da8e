"""What people decided, about a skill for the most part, as the database keeps it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Self
from uuid import UUID

import asyncpg

from subgraph.capabilities.trust import TrustTier


@dataclass(frozen=True, slots=True)
class Grant:
    """A person's approval of one capability, for the bytes of a skill that had this content hash."""

    skill_path: str
    capability: str
    content_hash: str
    granted_by: str
    granted_at: datetime

    @classmethod
    def of(cls, row: asyncpg.Record) -> Self:
        """Read a row of `capability_grant`."""
        return cls(
            row["skill_path"], row["capability"], row["content_hash"], row["granted_by"], row["granted_at"]
        )


@dataclass(frozen=True, slots=True)
class Revocation:
    """A revocation of a skill."""

    skill_path: str
    note: str
    revoked_by: str
    revoked_at: datetime

    @classmethod
    def of(cls, row: asyncpg.Record) -> Self:
        """Read a row of `skill_revocation`."""
        return cls(row["skill_path"], row["note"], row["revoked_by"], row["revoked_at"])


class RequestState(Enum):
    """What became of a request for a capability."""

    PENDING = "pending"
    APPROVED = "approved"
    DENIED = "denied"


@dataclass(frozen=True, slots=True)
class CapabilityRequest:
    """A call needed a capability that nobody had granted; an operator answers."""

    request_id: UUID
    skill_path: str
    capability: str
    content_hash: str
    requested_by: str
    requested_at: datetime
    state: RequestState
    answered_by: str | None
    answered_at: datetime | None
    note: str | None

    @classmethod
    def of(cls, row: asyncpg.Record) -> Self:
        """Read a row of `capability_request`."""
        return cls(
            row["request_id"],
            row["skill_path"],
            row["capability"],
            row["content_hash"],
            row["requested_by"],
            row["requested_at"],
            RequestState(row["state"]),
            row["answered_by"],
            row["answered_at"],
            row["note"],
        )


@dataclass(frozen=True, slots=True)
class TrustDecision:
    """An operator's trust in a skill, for the bytes that had this content hash."""

    skill_path: str
    tier: TrustTier
    content_hash: str
    decided_by: str
    decided_at: datetime

    @classmethod
    def of(cls, row: asyncpg.Record) -> Self:
        """Read a row of `skill_trust`."""
        return cls(
            row["skill_path"],
            TrustTier(row["tier"]),
            row["content_hash"],
            row["decided_by"],
            row["decided_at"],
        )


LIMIT_NAMES = ("time_ms", "memory_bytes", "output_bytes", "fuel", "host_calls")
"""What an operator can set for a skill: milliseconds, bytes, bytes, units of Wasmtime, calls of one run."""


@dataclass(frozen=True, slots=True)
class LimitDecision:
    """What one run of a skill may use, where an operator decided otherwise than its tier.

    `limits` has those of `LIMIT_NAMES` that were set; `executors` names those it may use, None for all of its
    tier. What is wider than the tier holds for the bytes that had `content_hash`.
    """

    skill_path: str
    limits: Mapping[str, int]
    executors: frozenset[str] | None
    content_hash: str
    decided_by: str
    decided_at: datetime

    @classmethod
    def of(cls, row: asyncpg.Record) -> Self:
        """Read a row of `skill_limits`."""
        executors = row["executors"]
        return cls(
            row["skill_path"],
            {name: row[name] for name in LIMIT_NAMES if row[name] is not None},
            None if executors is None else frozenset(executors),
            row["content_hash"],
            row["decided_by"],
            row["decided_at"],
        )


@dataclass(frozen=True, slots=True)
class OperatorBank:
    """The file of keywords that an operator set, as it was given. What it says is read by the router."""

    text: str
    decided_by: str
    decided_at: datetime

    @classmethod
    def of(cls, row: asyncpg.Record) -> Self:
        """Read the row of `keyword_bank`."""
        return cls(row["bank"], row["decided_by"], row["decided_at"])

    @property
    def sha256(self) -> str:
        """SHA-256 of its UTF-8, in hex."""
        return sha256_of(self.text)


def sha256_of(text: str) -> str:
    """Hash a text as a file of it would be hashed, in hex."""
    return hashlib.sha256(text.encode()).hexdigest()
