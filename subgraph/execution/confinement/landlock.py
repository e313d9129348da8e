"""Landlock: all that the kernel can mediate is denied but for granted directories (linux/landlock.h)."""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from pathlib import Path

from subgraph.execution.confinement.access import NOTHING, FileAccess
from subgraph.execution.confinement.syscalls import call

GRANTS_SINCE = 3
"""The ABI from which directories can be granted. Before it, truncating a file is not mediated, so a
directory could not be granted for reading alone."""

_VERSION_REQUEST = 1 << 0
_RULE_PATH_BENEATH = 1

# How many access rights each ABI version knows; a ruleset that names an unknown one is refused.
_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
_NETWORK_RIGHTS_SINCE = 4  # bind and connect of TCP
_SCOPES_SINCE = 6  # abstract UNIX sockets and signals of processes outside

_WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 1, 1 << 2, 1 << 3
_REMOVE_DIR, _REMOVE_FILE, _MAKE_DIR, _MAKE_REGULAR, _TRUNCATE = 1 << 4, 1 << 5, 1 << 7, 1 << 8, 1 << 14

_READ = _READ_FILE | _READ_DIR
# Not to execute, to make devices, sockets, pipes and symbolic links, or to move between directories.
# Nor to read what lies there, but for names: opening a directory takes that.
_WRITE = _READ_DIR | _WRITE_FILE | _TRUNCATE | _MAKE_REGULAR | _MAKE_DIR | _REMOVE_FILE | _REMOVE_DIR


def abi_version() -> int:
    """Return the Landlock ABI of the kernel, 0 without Landlock or with it switched off."""
    try:
        return call("landlock_create_ruleset", None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION_REQUEST))
    except OSError:
        return 0


def deny_everything(but: FileAccess = NOTHING) -> None:
    """Deny this thread, and those it starts, every right that the kernel's Landlock mediates.

    What `but` grants stays allowed. Descriptors that are open stay usable. Raises `OSError` when the
    kernel has no Landlock, or not enough of it for a grant, or when a directory is not there.
    """
    abi = abi_version()
    if abi < 1:
        raise OSError(0, "this kernel has no Landlock")
    if but and abi < GRANTS_SINCE:
        raise OSError(0, "this kernel's Landlock cannot keep a directory read-only; Linux 6.2 and later can")
    ruleset = _ruleset(abi)
    descriptor = call("landlock_create_ruleset", ruleset, ctypes.c_size_t(len(ruleset)), ctypes.c_uint32(0))
    try:
        for directory in but.read:
            _allow_beneath(descriptor, directory, _READ)
        for directory in but.write:
            _allow_beneath(descriptor, directory, _WRITE)
        call("landlock_restrict_self", ctypes.c_int(descriptor), ctypes.c_uint32(0))
    finally:
        os.close(descriptor)


def _allow_beneath(ruleset: int, directory: Path, rights: int) -> None:
    parent = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        # A directory above it may have become a link since the grant was looked at. What is open knows where
        # it lies; a path without links leads nowhere else.
        if Path(f"/proc/self/fd/{parent}").readlink() != directory:
            raise OSError(errno.ELOOP, "a granted directory is not where it was, or behind a link")
        rule = struct.pack("=Qi", rights, parent)  # struct landlock_path_beneath_attr
        call(
            "landlock_add_rule",
            ctypes.c_int(ruleset),
            ctypes.c_int(_RULE_PATH_BENEATH),
            rule,
            ctypes.c_uint32(0),
        )
    finally:
        os.close(parent)


def _ruleset(abi: int) -> bytes:
    """Encode `struct landlock_ruleset_attr` for an ABI, as long as that ABI knows it."""
    fields = [(1 << _FILE_RIGHTS[min(abi, max(_FILE_RIGHTS))]) - 1]
    if abi >= _NETWORK_RIGHTS_SINCE:
        fields.append(0b11)
    if abi >= _SCOPES_SINCE:
        fields.append(0b11)
    return struct.pack(f"={len(fields)}Q", *fields)
