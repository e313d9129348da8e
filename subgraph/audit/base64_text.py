"""Base64 (RFC 4648, section 4) in its one spelling."""

from __future__ import annotations

import base64
import binascii


def encode(content: bytes) -> str:
    """Write bytes as text."""
    return base64.b64encode(content).decode()


def decode(text: str) -> bytes:
    """Read text back. Raises `ValueError`, also where the bits that encode nothing are not zero.

    Most readers overlook those bits (RFC 4648, section 3.5), so that one text could be changed for another.
    """
    try:
        content = binascii.a2b_base64(text, strict_mode=True)
    except ValueError as error:
        raise ValueError("it is not base64") from error
    if encode(content) != text:
        raise ValueError("it is not base64 as it is written")
    return content
