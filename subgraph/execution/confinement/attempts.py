"""Acts that a confined process must fail at. Each function returns whether the act succeeded.

An act counts as succeeded when the kernel let it through, even if it then came to nothing (a refused
connection, say): only a denial is a denial.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
import secrets
import socket
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

from subgraph.execution.confinement.access import NOTHING, FileAccess
from subgraph.execution.confinement.syscalls import call

_DENIED = frozenset({errno.EPERM, errno.EACCES, errno.EROFS})
# Longer than MAX_ARG_STRLEN (linux/binfmts.h): exec fails with E2BIG, but only after the file was opened.
_ARGUMENT_TOO_LONG = "x" * (256 * 1024)
_LOOPBACK = "127.0.0.1"
_PTRACE_SEIZE, _PTRACE_INTERRUPT, _PTRACE_DETACH = 0x4206, 0x4207, 17
_EXECUTABLE = sys.executable  # looked up before the confinement


def _let_through(act: Callable[[], object]) -> bool:
    try:
        act()
    except OSError as error:
        return error.errno not in _DENIED
    return True


def open_file() -> bool:
    """Open a directory outside."""
    return _let_through(lambda: os.close(os.open("/", os.O_RDONLY | os.O_DIRECTORY)))


def write_file(directory: str = "/tmp") -> bool:  # noqa: S108
    """Make a file, without a name, in the directory for temporary files."""
    return _let_through(lambda: os.close(os.open(directory, os.O_TMPFILE | os.O_WRONLY, 0o600)))


def execute() -> bool:
    """Start another program; made to fail after the permission checks, so that this one lives on."""
    return _let_through(lambda: os.execve(_EXECUTABLE, [_EXECUTABLE, _ARGUMENT_TOO_LONG], {}))  # noqa: S606


def tcp_connect() -> bool:
    """Connect to a TCP port."""

    def act() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tcp:
            tcp.setblocking(False)
            tcp.connect((_LOOPBACK, 1))

    return _let_through(act)


def tcp_listen() -> bool:
    """Bind a TCP port."""

    def act() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tcp:
            tcp.bind((_LOOPBACK, 0))

    return _let_through(act)


def udp_send() -> bool:
    """Send a UDP datagram."""

    def act() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.sendto(b"", (_LOOPBACK, 9))

    return _let_through(act)


def unix_socket() -> bool:
    """Make a UNIX socket."""
    return _let_through(lambda: socket.socket(socket.AF_UNIX, socket.SOCK_STREAM).close())


def fork() -> bool:
    """Start another process."""

    def act() -> None:
        child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)

    return _let_through(act)


def trace_parent() -> bool:
    """Take control of the parent process."""
    parent = ctypes.c_long(os.getppid())
    zero = ctypes.c_long(0)

    def act() -> None:
        call("ptrace", ctypes.c_long(_PTRACE_SEIZE), parent, zero, zero)
        call("ptrace", ctypes.c_long(_PTRACE_INTERRUPT), parent, zero, zero)
        os.waitpid(parent.value, 0x40000000)  # __WALL
        call("ptrace", ctypes.c_long(_PTRACE_DETACH), parent, zero, zero)

    return _let_through(act)


def signal_parent() -> bool:
    """Send a signal to the parent process (0: the permission check alone)."""
    return _let_through(lambda: os.kill(os.getppid(), 0))


def signal_by_descriptor() -> bool:
    """Choose which process the kernel signals for a descriptor (this one: the right to choose is enough)."""

    def act() -> None:
        descriptor = os.memfd_create("")
        try:
            fcntl.fcntl(descriptor, fcntl.F_SETOWN, os.getpid())
        finally:
            os.close(descriptor)

    return _let_through(act)


def use_io_uring() -> bool:
    """Make an io_uring, by which files and sockets open past a seccomp filter."""

    def act() -> None:
        parameters = ctypes.create_string_buffer(120)  # struct io_uring_params
        os.close(call("io_uring_setup", ctypes.c_uint(1), parameters))

    return _let_through(act)


def load_bpf() -> bool:
    """Make a BPF map."""

    def act() -> None:
        # union bpf_attr: BPF_MAP_TYPE_ARRAY, key 4 bytes, value 4 bytes, 1 entry
        attributes = (ctypes.c_uint32 * 32)(2, 4, 4, 1)
        os.close(call("bpf", ctypes.c_int(0), attributes, ctypes.c_uint(ctypes.sizeof(attributes))))

    return _let_through(act)


def executable_memory() -> bool:
    """Make memory executable."""
    return _let_through(lambda: mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_EXEC).close())


ATTEMPTS: dict[str, Callable[[], bool]] = {
    "open a file": open_file,
    "write a file": write_file,
    "execute a program": execute,
    "connect by TCP": tcp_connect,
    "listen on TCP": tcp_listen,
    "send by UDP": udp_send,
    "make a UNIX socket": unix_socket,
    "fork": fork,
    "trace a process": trace_parent,
    "signal a process": signal_parent,
    "signal by a descriptor": signal_by_descriptor,
    "use io_uring": use_io_uring,
    "load BPF": load_bpf,
    "make memory executable": executable_memory,
}


def root_by_procfs() -> bool:
    """Open the root directory by the magic link of a process."""
    return _let_through(lambda: os.close(os.open("/proc/self/root", os.O_RDONLY | os.O_DIRECTORY)))


def start_thread() -> bool:
    """Start a thread."""
    try:
        threading.Thread(target=int).start()
    except RuntimeError:  # Python says no more
        return False
    return True


def memory_file() -> bool:
    """Make memory with a descriptor, which no limit on a process counts."""
    return _let_through(lambda: os.close(os.memfd_create("")))


def create_in(directory: Path) -> bool:
    """Make a file in a directory; it is removed if that succeeds."""

    def act() -> None:
        path = directory / f".attempt-{secrets.token_hex(8)}"
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        path.unlink()

    return _let_through(act)


def symbolic_link_in(directory: Path) -> bool:
    """Make a symbolic link in a directory."""

    def act() -> None:
        path = directory / f".attempt-{secrets.token_hex(8)}"
        path.symlink_to("/")
        path.unlink()

    return _let_through(act)


def change_times_of(directory: Path) -> bool:
    """Change the times of a directory, which Landlock does not mediate, to what they are."""
    status = directory.stat()
    return _let_through(lambda: os.utime(directory, ns=(status.st_atime_ns, status.st_mtime_ns)))


_OF_A_SCRIPT: dict[str, Callable[[], bool]] = {
    "start a thread": start_thread,
    "make a memory file": memory_file,
}


def attempts_beside(access: FileAccess) -> dict[str, Callable[[], bool]]:
    """List what a process with granted directories must fail at, beside `ATTEMPTS`."""
    tried: dict[str, Callable[[], bool]] = {"open the root by procfs": root_by_procfs}
    for directory in access.read:
        if not access.may_write(directory):
            tried[f"write in read-only directory {len(tried)}"] = partial(create_in, directory)
    for directory in (*access.read, *access.write):
        tried[f"link in directory {len(tried)}"] = partial(symbolic_link_in, directory)
        tried[f"change times of directory {len(tried)}"] = partial(change_times_of, directory)
    return tried


def _outside(access: FileAccess) -> str:
    """Choose a directory where everybody may write but this process."""
    shared = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108
    return next((path for path in shared if not access.may_write(Path(path))), "/")


def succeeding(*, executable_memory: bool, access: FileAccess = NOTHING, script: bool = False) -> list[str]:
    """Try everything; return the names of what succeeded. `executable_memory`: it is allowed here."""
    allowed = {"make memory executable"} if executable_memory else set()
    tried = dict(ATTEMPTS)
    if access:
        tried |= attempts_beside(access)
        if "write a file" in tried:
            tried["write a file"] = partial(write_file, _outside(access))
    if script:
        tried |= _OF_A_SCRIPT
    return [name for name, attempt in tried.items() if name not in allowed and attempt()]
