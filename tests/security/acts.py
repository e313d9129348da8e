"""Acts beyond those that a worker tries at its start. Each raises `OSError` when the kernel denies it."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
import platform
import signal
import socket
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

from subgraph.execution.confinement import ConfinementError, filter_system_calls
from subgraph.execution.confinement.attempts import ATTEMPTS

DONE = "done"
"""The outcome of an act that the kernel let through."""

PARENT = os.getppid()
"""The victim. Looked up here, since a confined process cannot."""

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long

_NUMBERS = {
    "x86_64": {
        "add_key": 248, "capset": 126, "chroot": 161, "clone": 56, "clone3": 435, "execveat": 322,
        "fanotify_init": 300, "getdents64": 217, "getppid": 110, "init_module": 175, "inotify_init1": 294,
        "keyctl": 250, "kcmp": 312, "kill": 62, "linkat": 265, "mount": 165, "mprotect": 10, "mq_open": 240,
        "name_to_handle_at": 303, "newfstatat": 262, "openat": 257, "openat2": 437,
        "perf_event_open": 298, "personality": 135, "pidfd_getfd": 438, "pidfd_open": 434,
        "pkey_mprotect": 329, "prctl": 157, "prlimit64": 302, "process_vm_readv": 310,
        "process_vm_writev": 311, "rt_sigqueueinfo": 129, "sched_setaffinity": 203, "seccomp": 317,
        "setns": 308, "setuid": 105, "shmget": 29, "symlinkat": 266, "tgkill": 234, "tkill": 200,
        "timer_create": 222, "unshare": 272, "userfaultfd": 323,
    },
    "aarch64": {
        "add_key": 217, "capset": 91, "chroot": 51, "clone": 220, "clone3": 435, "execveat": 281,
        "fanotify_init": 262, "getdents64": 61, "getppid": 173, "init_module": 105, "inotify_init1": 26,
        "keyctl": 219, "kcmp": 272, "kill": 129, "linkat": 37, "mount": 40, "mprotect": 226, "mq_open": 180,
        "name_to_handle_at": 264, "newfstatat": 79, "openat": 56, "openat2": 437,
        "perf_event_open": 241, "personality": 92, "pidfd_getfd": 438, "pidfd_open": 434,
        "pkey_mprotect": 288, "prctl": 167, "prlimit64": 261, "process_vm_readv": 270,
        "process_vm_writev": 271, "rt_sigqueueinfo": 138, "sched_setaffinity": 122, "seccomp": 277,
        "setns": 268, "setuid": 146, "shmget": 194, "symlinkat": 36, "tgkill": 131, "tkill": 130,
        "timer_create": 107, "unshare": 97, "userfaultfd": 282,
    },
}[platform.machine()]  # fmt: skip

_TEMPORARY = tempfile.gettempdir()  # looked up before the confinement, too
_AT_FDCWD = -100

_kept: list[mmap.mmap] = []  # memory whose address the kernel was given
_CLONE_VM, _CLONE_VFORK, _CLONE_NEWUSER, _CLONE_NEWNET = 0x100, 0x4000, 0x10000000, 0x40000000


def _raw(number: int, *arguments: object) -> int:
    """Make a system call by number; integers travel as machine words."""
    words = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    result: int = _libc.syscall(ctypes.c_long(number), *words)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def _call(name: str, *arguments: object) -> int:
    return _raw(_NUMBERS[name], *arguments)


def _read(path: str) -> None:
    os.close(os.open(path, os.O_RDONLY))


def _openat2() -> None:
    how = (ctypes.c_uint64 * 3)(os.O_RDONLY, 0, 0)
    os.close(_call("openat2", _AT_FDCWD, b"/etc/passwd", how, ctypes.sizeof(how)))


def _hard_link() -> None:
    target = f"{_TEMPORARY}/link-{os.getpid()}"
    _call("linkat", _AT_FDCWD, b"/etc/hostname", _AT_FDCWD, target.encode(), 0)
    Path(target).unlink()


def _symbolic_link() -> None:
    target = f"{_TEMPORARY}/symlink-{os.getpid()}"
    _call("symlinkat", b"/etc/passwd", _AT_FDCWD, target.encode())
    Path(target).unlink()


def _exec_memfd() -> None:
    """Execute a program from memory; it is no program, so that the attempt ends here."""
    descriptor = os.memfd_create("program")
    os.write(descriptor, b"not a program")
    empty = (ctypes.c_char_p * 1)(None)
    _call("execveat", descriptor, b"", empty, empty, 0x1000)  # AT_EMPTY_PATH


def _clone(flags: int) -> None:
    """Start a process by the raw call, without a stack of its own, as fork does."""
    child = _call("clone", flags | signal.SIGCHLD, 0, 0, 0, 0)
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


def _clone3() -> None:
    arguments = (ctypes.c_uint64 * 8)(0, 0, 0, 0, signal.SIGCHLD, 0, 0, 0)
    child = _call("clone3", arguments, ctypes.sizeof(arguments))
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


def _mount() -> None:
    _call("mount", b"none", b"/nowhere", b"tmpfs", 0, None)


def _perf_event() -> None:
    attributes = ctypes.create_string_buffer(128)  # struct perf_event_attr
    ctypes.memmove(attributes, (ctypes.c_uint32 * 2)(1, 128), 8)  # a software event, the size
    os.close(_call("perf_event_open", attributes, 0, -1, -1, 0))


class _Vector(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


_MINE = ctypes.create_string_buffer(b"x" * 8)  # in the parent at the same address: this is its fork


def _parent_memory(name: str) -> None:
    vector = _Vector(ctypes.addressof(_MINE), 1)
    _call(name, PARENT, ctypes.byref(vector), 1, ctypes.byref(vector), 1, 0)


def _steal_descriptor() -> None:
    # A number that nobody has: permission is checked before the number of the other's descriptor.
    pidfd = _call("pidfd_open", PARENT, 0)
    os.close(_call("pidfd_getfd", pidfd, 0, 0))


def _socket(family: int, kind: int, protocol: int = 0) -> None:
    socket.socket(family, kind, protocol).close()


def _abstract_socket() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as unix:
        unix.bind(f"\0subgraph-test-{os.getpid()}")


def _pass_descriptor() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        socket.send_fds(ours, [b"x"], [ours.fileno()])


def _be_dumpable() -> None:
    _call("prctl", 4, 1, 0, 0, 0)  # PR_SET_DUMPABLE


def _drop_seccomp() -> None:
    _call("prctl", 22, 0, 0, 0, 0)  # PR_SET_SECCOMP with mode disabled: EINVAL where it is looked at


def _weaker_filter() -> None:
    allow = ctypes.create_string_buffer(b"\x06\0\0\0\0\0\xff\x7f")  # BPF_RET, SECCOMP_RET_ALLOW
    program = (ctypes.c_uint64 * 2)(1, ctypes.addressof(allow))
    _call("prctl", 38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
    _call("seccomp", 1, 0, program)  # SECCOMP_SET_MODE_FILTER


def _map_writable_and_executable() -> None:
    mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC).close()


def _protect(number: int, *more: int) -> None:
    memory = mmap.mmap(-1, mmap.PAGESIZE)
    _kept.append(memory)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    _raw(number, address, mmap.PAGESIZE, mmap.PROT_READ | mmap.PROT_EXEC, *more)


def _map_a_memfd_executable() -> None:
    descriptor = os.memfd_create("code")
    os.ftruncate(descriptor, mmap.PAGESIZE)
    mmap.mmap(descriptor, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_EXEC).close()


def _own_signals(command: int) -> None:
    descriptor = os.memfd_create("signals")
    try:
        fcntl.fcntl(descriptor, command, os.getpid() if command == fcntl.F_SETOWN else signal.SIGCONT)
    finally:
        os.close(descriptor)


def _queue_signal() -> None:
    information = (ctypes.c_int32 * 32)(0, 0, -1)  # si_code below zero, as a process may set it
    _call("rt_sigqueueinfo", PARENT, 0, information)


def _x32(number: int) -> None:
    """Make a call by its number in the second table of x86-64."""
    _raw(0x40000000 | number)


def _affinity() -> None:
    _call("sched_setaffinity", 0, 8, (ctypes.c_uint64 * 1)(1))


def _limits() -> None:
    _call("prlimit64", PARENT, 7, None, (ctypes.c_uint64 * 2)())  # RLIMIT_NOFILE of another process


ACTS: dict[str, Callable[[], object]] = {
    "read the environment": lambda: _read("/proc/self/environ"),
    "read the parent's environment": lambda: _read(f"/proc/{PARENT}/environ"),
    "read the users": lambda: _read("/etc/passwd"),
    "open by openat2": _openat2,
    "look at a file": Path("/etc/passwd").stat,
    "change directory": lambda: os.chdir("/"),
    "make a hard link": _hard_link,
    "make a symbolic link": _symbolic_link,
    "make a file handle": lambda: _call("name_to_handle_at", _AT_FDCWD, b"/", None, None, 0),
    "watch files": lambda: os.close(_call("inotify_init1", 0)),
    "execute from memory": _exec_memfd,
    "clone a process": lambda: _clone(0),
    "clone a user namespace": lambda: _clone(_CLONE_NEWUSER),
    "clone by clone3": _clone3,
    "leave the user namespace": lambda: _call("unshare", _CLONE_NEWUSER),
    "leave the network namespace": lambda: _call("unshare", _CLONE_NEWNET),
    "enter a namespace": lambda: _call("setns", -1, 0),
    "mount": _mount,
    "change root": lambda: _call("chroot", b"/"),
    "change user": lambda: _call("setuid", os.getuid()),
    "change capabilities": lambda: _call("capset", None, None),
    "load a module": lambda: _call("init_module", None, 0, None),
    "use the keyring": lambda: _call("keyctl", 0, -3, 0, 0, 0),  # the session keyring's number
    "add a key": lambda: _call("add_key", b"user", b"subgraph-test", b"x", 1, -2),
    "count events": _perf_event,
    "handle page faults": lambda: os.close(_call("userfaultfd", 1)),  # UFFD_USER_MODE_ONLY
    "read the parent's memory": lambda: _parent_memory("process_vm_readv"),
    "write the parent's memory": lambda: _parent_memory("process_vm_writev"),
    "steal a descriptor": _steal_descriptor,
    "compare with the parent": lambda: _call("kcmp", os.getpid(), PARENT, 1, 0, 0),
    "make an abstract socket": _abstract_socket,
    "make a netlink socket": lambda: _socket(socket.AF_NETLINK, socket.SOCK_RAW),
    "make a packet socket": lambda: _socket(socket.AF_PACKET, socket.SOCK_RAW),
    "make a virtual machine socket": lambda: _socket(socket.AF_VSOCK, socket.SOCK_STREAM),
    "make a kernel crypto socket": lambda: _socket(socket.AF_ALG, socket.SOCK_SEQPACKET),
    "make an IPv6 socket": lambda: _socket(socket.AF_INET6, socket.SOCK_DGRAM),
    "make a raw socket": lambda: _socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP),
    "pass a descriptor by a new socket": _pass_descriptor,
    "open a message queue": lambda: os.close(_call("mq_open", b"subgraph-test", os.O_RDONLY, 0, None)),
    "share memory": lambda: _call("shmget", 0, 0, 0),
    "be dumpable": _be_dumpable,
    "drop seccomp": _drop_seccomp,
    "install a weaker filter": _weaker_filter,
    "change personality": lambda: _call("personality", 0xFFFFFFFF),
    "map writable and executable memory": _map_writable_and_executable,
    "make mapped memory executable": lambda: _protect(_NUMBERS["mprotect"]),
    "make keyed memory executable": lambda: _protect(_NUMBERS["pkey_mprotect"], -1),
    "map a memfd as executable": _map_a_memfd_executable,
    "choose who is signalled": lambda: _own_signals(fcntl.F_SETOWN),
    "choose the signal": lambda: _own_signals(10),  # F_SETSIG
    "signal the parent by kill": lambda: _call("kill", PARENT, 0),
    "signal everybody": lambda: _call("kill", -1, 0),
    "signal a thread of the parent": lambda: _call("tgkill", PARENT, PARENT, 0),
    "signal a task": lambda: _call("tkill", PARENT, 0),
    "queue a signal": _queue_signal,
    "make a timer": lambda: _call("timer_create", 0, None, (ctypes.c_int32 * 1)()),
    "learn the parent": lambda: _call("getppid"),
    "limit the parent": _limits,
    "change affinity": _affinity,
    "control a device": lambda: fcntl.ioctl(0, 0x5413, bytes(8)),  # TIOCGWINSZ
    **({"call by the x32 table": lambda: _x32(39)} if platform.machine() == "x86_64" else {}),
}

EXECUTABLE_MEMORY = {
    "make memory executable",
    "map writable and executable memory",
    "make mapped memory executable",
    "map a memfd as executable",
}
"""What a compiler needs and is allowed."""


def _thread() -> None:
    """What a worker must still be able to do."""
    ran = threading.Event()
    thread = threading.Thread(target=ran.set)
    thread.start()
    thread.join()
    if not ran.is_set():
        raise OSError(errno.EPERM, "the thread did not run")


def _in_a_new_thread(name: str) -> Callable[[], None]:
    """Perform another act in a thread that is started now."""

    def act() -> None:
        outcomes: list[str] = []
        thread = threading.Thread(target=lambda: outcomes.append(outcome(name)))
        thread.start()
        thread.join()
        if outcomes != [DONE]:
            raise OSError(getattr(errno, outcomes[0]), name)

    return act


def _beside_a_filtered_thread() -> None:
    """Confine a process of which one thread has a filter of its own, so that it cannot get this one."""
    filtered, done = threading.Event(), threading.Event()

    def thread() -> None:
        _weaker_filter()
        filtered.set()
        done.wait()

    threading.Thread(target=thread, daemon=True).start()
    filtered.wait()
    try:
        filter_system_calls(executable_memory=False)
    except ConfinementError as error:
        raise OSError(errno.ECHILD, "noticed") from error
    finally:
        done.set()


def _gate() -> Callable[[], int]:
    """Machine code, made before the confinement, that makes an i386 system call (getpid)."""
    memory = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    memory.write(b"\xb8\x14\0\0\0\xcd\x80\xc3")  # mov eax, 20; int 0x80; ret
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    _kept.append(memory)
    return ctypes.CFUNCTYPE(ctypes.c_int)(address)


_GATE: Callable[[], int] = _gate() if platform.machine() == "x86_64" else os.getpid

SPECIAL: dict[str, Callable[[], object]] = {
    "start a thread": _thread,
    "open a file in a new thread": _in_a_new_thread("open a file"),
    "make a UNIX socket in a new thread": _in_a_new_thread("make a UNIX socket"),
    "call by the i386 table": lambda: _GATE(),
}


APART: dict[str, Callable[[], object]] = {"confine beside a filtered thread": _beside_a_filtered_thread}
"""Acts of a process that is not confined yet."""


def outcome(name: str) -> str:
    """Perform an act; return `DONE`, or the name of the error that it met."""
    if name in ATTEMPTS:
        return DONE if ATTEMPTS[name]() else "EPERM"
    try:
        (ACTS | SPECIAL | APART)[name]()
    except OSError as error:
        return errno.errorcode[error.errno or errno.EIO]
    return DONE
