"""Raw system calls that Python has no name for, and their numbers on each supported machine."""

from __future__ import annotations

import ctypes
import os
import platform

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long

PR_SET_NO_NEW_PRIVS = 38
_LINUX_CAPABILITY_VERSION_3 = 0x20080522

# Numbers from asm/unistd.h. From 424 on, all machines share one table.
_SHARED = {
    "io_uring_setup": 425,
    "clone3": 435,
    "openat2": 437,
    "faccessat2": 439,
    "landlock_create_ruleset": 444,
    "landlock_add_rule": 445,
    "landlock_restrict_self": 446,
}
_X86_64 = {
    "read": 0, "write": 1, "close": 3, "fstat": 5, "poll": 7, "lseek": 8, "mmap": 9, "mprotect": 10,
    "munmap": 11, "brk": 12, "rt_sigaction": 13, "rt_sigprocmask": 14, "rt_sigreturn": 15,
    "pread64": 17, "readv": 19, "writev": 20, "sched_yield": 24, "mremap": 25, "madvise": 28,
    "nanosleep": 35, "getpid": 39, "sendto": 44, "recvfrom": 45, "sendmsg": 46, "recvmsg": 47,
    "clone": 56, "exit": 60, "fcntl": 72, "ftruncate": 77, "gettimeofday": 96, "getrusage": 98, "ptrace": 101,
    "capset": 126, "sigaltstack": 131, "prctl": 157, "gettid": 186, "futex": 202, "sched_getaffinity": 204,
    "restart_syscall": 219, "clock_gettime": 228, "clock_getres": 229, "clock_nanosleep": 230,
    "exit_group": 231, "epoll_wait": 232, "epoll_ctl": 233, "tgkill": 234, "ppoll": 271,
    "set_robust_list": 273, "epoll_pwait": 281, "eventfd2": 290, "epoll_create1": 291,
    "sched_setattr": 314, "seccomp": 317, "getrandom": 318, "memfd_create": 319, "bpf": 321,
    "membarrier": 324, "rseq": 334,
    "open": 2, "stat": 4, "lstat": 6, "pwrite64": 18, "access": 21, "fsync": 74, "fdatasync": 75,
    "getcwd": 79, "rename": 82, "mkdir": 83, "rmdir": 84, "unlink": 87, "readlink": 89, "getdents64": 217,
    "fadvise64": 221, "openat": 257, "mkdirat": 258, "newfstatat": 262, "unlinkat": 263, "renameat": 264,
    "readlinkat": 267, "faccessat": 269, "preadv": 295, "pwritev": 296, "renameat2": 316, "preadv2": 327,
    "statx": 332,
}  # fmt: skip
_AARCH64 = {
    "eventfd2": 19, "epoll_create1": 20, "epoll_ctl": 21, "epoll_pwait": 22, "fcntl": 25, "ftruncate": 46,
    "close": 57, "lseek": 62, "read": 63, "write": 64, "readv": 65, "writev": 66, "pread64": 67, "ppoll": 73,
    "fstat": 80, "exit": 93, "exit_group": 94, "futex": 98, "set_robust_list": 99, "nanosleep": 101,
    "clock_gettime": 113, "clock_getres": 114, "clock_nanosleep": 115, "ptrace": 117,
    "sched_getaffinity": 123, "sched_yield": 124, "restart_syscall": 128, "tgkill": 131, "capset": 91,
    "sigaltstack": 132, "rt_sigaction": 134, "rt_sigprocmask": 135, "rt_sigreturn": 139,
    "getrusage": 165, "prctl": 167, "gettimeofday": 169, "getpid": 172, "gettid": 178, "sendto": 206,
    "recvfrom": 207, "sendmsg": 211, "recvmsg": 212, "brk": 214, "munmap": 215, "mremap": 216,
    "clone": 220, "mmap": 222, "mprotect": 226, "madvise": 233,
    "sched_setattr": 274, "seccomp": 277, "getrandom": 278, "memfd_create": 279, "bpf": 280,
    "membarrier": 283, "rseq": 293,
    "getcwd": 17, "mkdirat": 34, "unlinkat": 35, "renameat": 38, "faccessat": 48, "openat": 56,
    "getdents64": 61, "pwrite64": 68, "preadv": 69, "pwritev": 70, "readlinkat": 78, "newfstatat": 79,
    "fsync": 82, "fdatasync": 83, "fadvise64": 223, "renameat2": 276, "preadv2": 286, "statx": 291,
}  # fmt: skip

# Machine → (AUDIT_ARCH of linux/audit.h, numbers). A machine that is not here is refused.
_MACHINES = {
    "x86_64": (0xC000003E, _X86_64 | _SHARED),
    "aarch64": (0xC00000B7, _AARCH64 | _SHARED),
}


def machine() -> tuple[int, dict[str, int]]:
    """Return the audit architecture and the system call numbers of this machine.

    Raises `OSError` on a machine whose numbers are not known here.
    """
    try:
        return _MACHINES[platform.machine()]
    except KeyError:
        raise OSError(0, f"no system call table for {platform.machine()}") from None


def number(name: str) -> int:
    """Return the number of a system call on this machine."""
    return machine()[1][name]


def call(name: str, *arguments: object) -> int:
    """Make a system call. Raises `OSError` with its errno when it fails."""
    result: int = _libc.syscall(ctypes.c_long(number(name)), *arguments)
    if result < 0:
        errno = ctypes.get_errno()
        raise OSError(errno, os.strerror(errno))
    return result


def prctl(option: int, value: int) -> None:
    """Make the `prctl` system call with one argument. Raises `OSError`."""
    zero = ctypes.c_ulong(0)
    call("prctl", ctypes.c_int(option), ctypes.c_ulong(value), zero, zero, zero)


def drop_capabilities() -> None:
    """Give up every Linux capability of this thread; a process of root then has its files and no more."""
    header = (ctypes.c_uint32 * 2)(_LINUX_CAPABILITY_VERSION_3, 0)
    none = (ctypes.c_uint32 * 6)()  # two of struct __user_cap_data_struct, all zero
    call("capset", header, none)


def no_new_privileges() -> None:
    """Give up gaining privileges by exec; both confinement layers require it."""
    prctl(PR_SET_NO_NEW_PRIVS, 1)
