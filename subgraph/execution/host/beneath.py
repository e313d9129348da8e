"""Open a file below a directory, whatever others do to the tree meanwhile.

The kernel's `openat2` resolves the whole path at once and refuses every symbolic link. Where it is missing,
or a container's filter refuses it, the same is done one part at a time over descriptors. Either way no link
is followed, so no race can lead outside: there is no moment between a check and the opening.

Crossing into another mount is allowed. Only the operator can mount, and mounts volumes into the workspace of
a container on purpose; a skill cannot make one, and links to others' mounts are links.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import struct
from collections.abc import Sequence
from typing import Final

_OPENAT2: Final = 437  # asm-generic/unistd.h; the same number on every machine
_RESOLVE_NO_MAGICLINKS: Final = 0x02  # linux/openat2.h
_RESOLVE_NO_SYMLINKS: Final = 0x04
_RESOLVE_BENEATH: Final = 0x08
_RESOLVE_CACHED: Final = 0x20
_RESOLVE: Final = _RESOLVE_BENEATH | _RESOLVE_NO_MAGICLINKS | _RESOLVE_NO_SYMLINKS

ATTEMPTS_LIMIT: Final = 16
"""How often an opening is tried again that a signal or a rename at the same moment interrupted."""

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def open_beneath(root: int, parts: Sequence[str], flags: int, mode: int = 0) -> int:
    """Open what `parts` name below the directory descriptor `root`; no parts is the directory itself.

    Returns a descriptor that is closed on exec. Raises `ValueError` for a part that is no plain name, and
    `OSError`, among others for any symbolic link on the way or at the end.
    """
    for part in parts:
        if part in {"", ".", ".."} or "/" in part or "\0" in part:
            raise ValueError("a part of a path must be a plain name")
    opened = open_by_kernel if has_openat2() else open_by_steps
    return opened(root, parts, flags | os.O_CLOEXEC, mode)


def open_if_cached(root: int, parts: Sequence[str], flags: int) -> int | None:
    """Open as `open_beneath`, by what the kernel has in memory alone; None when it would have to wait.

    Raises as `open_beneath`, which has the last word about whatever is not opened here.
    """
    if not has_openat2():
        return None
    path = "/".join(parts).encode() or b"."
    try:
        return _openat2(root, path, flags | os.O_CLOEXEC, 0, _RESOLVE | _RESOLVE_CACHED)
    except OSError as error:
        # EINVAL: the kernel is older than 5.12.
        if error.errno in {errno.EAGAIN, errno.EINTR, errno.EINVAL}:
            return None
        raise


@functools.cache
def has_openat2() -> bool:
    """Whether the kernel offers `openat2` here and nothing filters it."""
    try:
        os.close(_openat2(-100, b".", os.O_PATH | os.O_CLOEXEC, 0, _RESOLVE_BENEATH))  # AT_FDCWD
    except OSError as error:
        # EACCES and the like come from the directory, so the call itself works.
        return error.errno not in {errno.ENOSYS, errno.EPERM, errno.EINVAL, errno.E2BIG}
    return True


def open_by_kernel(root: int, parts: Sequence[str], flags: int, mode: int) -> int:
    """Open by one `openat2`. Raises `OSError`."""
    path = "/".join(parts).encode() or b"."
    for attempt in range(ATTEMPTS_LIMIT):
        try:
            return _openat2(root, path, flags, mode, _RESOLVE)
        except OSError as error:
            if error.errno not in {errno.EAGAIN, errno.EINTR} or attempt == ATTEMPTS_LIMIT - 1:
                raise
    raise AssertionError("the last attempt returns or raises")


def open_by_steps(root: int, parts: Sequence[str], flags: int, mode: int) -> int:
    """Open one part after the other, each without following a link. Raises `OSError`."""
    folder = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=root)
    try:
        for part in parts[:-1]:
            step = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            following = os.open(part, step, dir_fd=folder)
            os.close(folder)
            folder = following
        last = parts[-1] if parts else "."
        opened = os.open(last, flags | os.O_NOFOLLOW, mode, dir_fd=folder)
    finally:
        os.close(folder)
    return opened


def _openat2(root: int, path: bytes, flags: int, mode: int, resolve: int) -> int:
    # openat2 refuses a mode that open would ignore.
    used = mode if flags & os.O_CREAT else 0
    how = struct.pack("=QQQ", flags, used, resolve)  # struct open_how
    result: int = _libc.syscall(
        ctypes.c_long(_OPENAT2),
        ctypes.c_int(root),
        ctypes.c_char_p(path),
        ctypes.c_char_p(how),
        ctypes.c_size_t(len(how)),
    )
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result
