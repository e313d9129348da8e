"""Entries for tests."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from subgraph.audit import FinishedInvocation

NOON = datetime(2026, 11, 20, 12, 0, 0, 123_456, tzinfo=UTC)


def finished(**changes: Any) -> FinishedInvocation:
    """A finished invocation with an id of its own."""
    fields: dict[str, Any] = {
        "actor": "local",
        "skill": "cuo/cpo/prd-author",
        "content_hash": "a" * 64,
        "at": NOON,
        "invocation_id": str(uuid.uuid4()),
        "executor": "WASM",
        "exit_code": 0,
        "started_at": NOON - timedelta(microseconds=812),
        "ended_at": NOON,
        "elapsed_us": 812,
        "key_id": "0123456789abcdef",
        "input_commitment": "b" * 64,
        "output_commitment": "c" * 64,
        "capabilities": ("fs.read", "log"),
        "memory_bytes": 1_048_576,
    }
    return FinishedInvocation(**fields | changes)
