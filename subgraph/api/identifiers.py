"""IDs that callers send."""

from __future__ import annotations

from uuid import UUID


def parse_identifier(text: object) -> UUID | None:
    """Read an ID; None when it cannot be one."""
    try:
        return UUID(str(text))
    except ValueError:
        return None
