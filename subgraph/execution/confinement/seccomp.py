"""A seccomp filter that lists what is allowed; the rest fails with EPERM (linux/seccomp.h)."""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from typing import NamedTuple

from subgraph.execution.confinement.access import NOTHING, FileAccess
from subgraph.execution.confinement.syscalls import call, machine

# Enough for Python to serve a socket and for Wasmtime to run, grow memory, trap, sleep and keep the
# threads of its WASI clocks. Nothing here opens, connects, starts or addresses anything outside; a
# memfd is memory with a descriptor, from which Wasmtime maps a component's initial memory.
_ALLOWED = (
    "recvfrom", "sendto", "futex", "pread64", "madvise", "munmap", "clock_nanosleep", "clock_gettime",
    "read", "write", "readv", "writev", "recvmsg", "sendmsg", "nanosleep", "clock_getres",
    "gettimeofday", "poll", "ppoll", "epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait",
    "eventfd2", "fstat", "lseek", "close", "brk", "mremap", "rt_sigaction",
    "rt_sigprocmask", "rt_sigreturn", "sigaltstack", "sched_yield", "sched_getaffinity", "getpid",
    "gettid", "getrandom", "getrusage", "membarrier", "rseq", "set_robust_list", "restart_syscall",
    "ftruncate", "exit", "exit_group",
)  # fmt: skip
# Memory with a descriptor, which no limit on a process counts: not for a script.
_MEMORY_FILES = ("memfd_create",)

# What opening beneath granted directories takes; Landlock decides where. Changing modes, owners, times
# and attributes is not here, since Landlock does not mediate it, nor is making any kind of link.
_READING_FILES = (
    "openat", "openat2", "open", "newfstatat", "stat", "lstat", "statx", "getdents64", "readlinkat",
    "readlink", "faccessat", "faccessat2", "access", "getcwd", "fadvise64", "preadv", "preadv2",
)  # fmt: skip
_WRITING_FILES = (
    "pwrite64", "pwritev", "mkdir", "mkdirat", "rmdir", "unlink", "unlinkat", "rename", "renameat",
    "renameat2", "fsync", "fdatasync",
)  # fmt: skip
_MAPPING_MEMORY = ("mprotect", "mmap")

# Duplicate a descriptor, seal a memfd. Among the others are F_SETOWN and F_SETSIG, by which the kernel
# sends any signal, SIGKILL too, to any process of the same user.
_DESCRIPTOR_COMMANDS = (1030, 1033)  # F_DUPFD_CLOEXEC, F_ADD_SEALS
_FILE_COMMANDS = (1, 2, 3)  # F_GETFD, F_SETFD, F_GETFL

_SET_MODE_FILTER = 1
_FLAG_ALL_THREADS = 1
_ALLOW = 0x7FFF0000
_KILL_PROCESS = 0x80000000
_ERRNO = 0x00050000

_LOAD_WORD = 0x20  # BPF_LD | BPF_W | BPF_ABS
_JUMP_EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_JUMP_ABOVE = 0x35  # BPF_JMP | BPF_JGE | BPF_K
_JUMP_ANY_BIT = 0x45  # BPF_JMP | BPF_JSET | BPF_K
_RETURN = 0x06  # BPF_RET | BPF_K

# Offsets in struct seccomp_data; six arguments of eight bytes follow at 16.
_NUMBER, _ARCHITECTURE = 0, 4

_CLONE_THREAD = 0x00010000
_CLONE_NEW_ANYTHING = 0x7E020000  # CLONE_NEW{CGROUP,UTS,IPC,USER,PID,NET} and CLONE_NEWNS
_PROT_EXEC = 4
_PR_SET_NAME = 15
_X32_BIT = 0x40000000  # the second table of x86-64


class _Condition(NamedTuple):
    """A test of the low word of a system call's argument, and the outcome that allows the call."""

    argument: int
    test: int
    value: int
    wanted: bool


_A_THREAD = _Condition(0, _JUMP_ANY_BIT, _CLONE_THREAD, wanted=True)
_NO_NEW_NAMESPACE = _Condition(0, _JUMP_ANY_BIT, _CLONE_NEW_ANYTHING, wanted=False)
_NOT_EXECUTABLE = _Condition(2, _JUMP_ANY_BIT, _PROT_EXEC, wanted=False)


def _instruction(code: int, value: int, *, true: int = 0, false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, true, false, value)


_DENY = _instruction(_RETURN, _ERRNO | errno.EPERM)


def program(*, executable_memory: bool, access: FileAccess = NOTHING, script: bool = False) -> bytes:
    """Assemble the filter for this process, as an array of `struct sock_filter`.

    `access`: what Landlock grants; the calls that it takes are allowed. `script`: the process runs a
    script, and so starts no thread and makes no memory with a descriptor.
    """
    architecture, numbers = machine()
    code = [
        _instruction(_LOAD_WORD, _ARCHITECTURE),
        _instruction(_JUMP_EQUAL, architecture, true=1),
        _instruction(_RETURN, _KILL_PROCESS),
        _instruction(_LOAD_WORD, _NUMBER),
        _instruction(_JUMP_ABOVE, _X32_BIT, false=1),
        _DENY,
    ]
    for name in _MAPPING_MEMORY:
        code += _for_call(numbers[name], _only_if([] if executable_memory else [_NOT_EXECUTABLE]))
    for name in _allowed(access, script=script):
        code += _for_call(numbers.get(name), _only_if([]))
    # A thread may be started, a process may not. The flags of clone3 lie in memory, out of a filter's
    # sight: ENOSYS makes the C library fall back to clone.
    code += _for_call(numbers["clone"], [_DENY] if script else _only_if([_A_THREAD, _NO_NEW_NAMESPACE]))
    code += _for_call(numbers["clone3"], [_instruction(_RETURN, _ERRNO | errno.ENOSYS)])
    code += _for_call(numbers["prctl"], _only_if([_Condition(0, _JUMP_EQUAL, _PR_SET_NAME, wanted=True)]))
    commands = _DESCRIPTOR_COMMANDS + (_FILE_COMMANDS if access else ())
    code += _for_call(numbers["fcntl"], _only_if_one_of(1, commands))
    # abort() signals its own process; no other one is reachable.
    own_process = _Condition(0, _JUMP_EQUAL, os.getpid(), wanted=True)
    code += _for_call(numbers["tgkill"], _only_if([own_process]))
    code.append(_DENY)
    return b"".join(code)


def _allowed(access: FileAccess, *, script: bool) -> tuple[str, ...]:
    """List the calls that are allowed whatever their arguments."""
    return (
        _ALLOWED
        + (() if script else _MEMORY_FILES)
        + (_READING_FILES if access else ())
        + (_WRITING_FILES if access.write else ())
    )


def _for_call(number: int | None, body: list[bytes]) -> list[bytes]:
    """Guard a body by a call number; a call that this machine does not have needs no guard."""
    if number is None:
        return []
    return [_instruction(_JUMP_EQUAL, number, false=len(body)), *body]


def _only_if(conditions: list[_Condition]) -> list[bytes]:
    """Allow when every condition holds, else deny."""
    body: list[bytes] = []
    for condition in conditions:
        body += [
            _instruction(_LOAD_WORD, 16 + 8 * condition.argument),
            _instruction(
                condition.test, condition.value, true=int(condition.wanted), false=int(not condition.wanted)
            ),
            _DENY,
        ]
    return [*body, _instruction(_RETURN, _ALLOW)]


def _only_if_one_of(argument: int, values: tuple[int, ...]) -> list[bytes]:
    """Allow when the low word of an argument is one of the values, else deny."""
    to_the_end = range(len(values), 0, -1)
    return [
        _instruction(_LOAD_WORD, 16 + 8 * argument),
        *(
            _instruction(_JUMP_EQUAL, value, true=skip)
            for value, skip in zip(values, to_the_end, strict=True)
        ),
        _DENY,
        _instruction(_RETURN, _ALLOW),
    ]


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def install(*, executable_memory: bool, access: FileAccess = NOTHING, script: bool = False) -> None:
    """Filter the system calls of every thread of this process, for good; see `program`. Raises `OSError`."""
    code = program(executable_memory=executable_memory, access=access, script=script)
    filter_ = _Program(len(code) // 8, code)
    thread = call(
        "seccomp",
        ctypes.c_uint(_SET_MODE_FILTER),
        ctypes.c_uint(_FLAG_ALL_THREADS),
        ctypes.byref(filter_),
    )
    if thread != 0:  # not an error code to the C library, but nothing was installed
        raise OSError(errno.ESRCH, f"thread {thread} could not be filtered")
