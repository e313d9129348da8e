"""Landlock with an empty rule set: all that the kernel can mediate is denied (linux/landlock.h)."""

from __future__ import annotations

import ctypes
import os
import struct

from subgraph.execution.confinement.syscalls import call

_VERSION_REQUEST = 1 << 0

# How many access rights each ABI version knows; a ruleset that names an unknown one is refused.
_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
_NETWORK_RIGHTS_SINCE = 4  # bind and connect of TCP
_SCOPES_SINCE = 6  # abstract UNIX sockets and signals of processes outside


def abi_version() -> int:
    """Return the Landlock ABI of the kernel, 0 without Landlock or with it switched off."""
    try:
        return call("landlock_create_ruleset", None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION_REQUEST))
    except OSError:
        return 0


def deny_everything() -> None:
    """Deny this thread, and those it starts, every right that the kernel's Landlock mediates.

    Descriptors that are open stay usable. Raises `OSError` when the kernel has no Landlock.
    """
    abi = abi_version()
    if abi < 1:
        raise OSError(0, "this kernel has no Landlock")
    ruleset = _ruleset(abi)
    descriptor = call("landlock_create_ruleset", ruleset, ctypes.c_size_t(len(ruleset)), ctypes.c_uint32(0))
    try:
        call("landlock_restrict_self", ctypes.c_int(descriptor), ctypes.c_uint32(0))
    finally:
        os.close(descriptor)


def _ruleset(abi: int) -> bytes:
    """Encode `struct landlock_ruleset_attr` for an ABI, as long as that ABI knows it."""
    fields = [(1 << _FILE_RIGHTS[min(abi, max(_FILE_RIGHTS))]) - 1]
    if abi >= _NETWORK_RIGHTS_SINCE:
        fields.append(0b11)
    if abi >= _SCOPES_SINCE:
        fields.append(0b11)
    return struct.pack(f"={len(fields)}Q", *fields)
