"""Numbers of the system calls that attempts make by themselves (asm/unistd.h)."""

_SHARED = {
    "pidfd_send_signal": 424, "io_uring_setup": 425, "open_tree": 428, "fsopen": 430, "pidfd_open": 434,
    "clone3": 435, "openat2": 437, "pidfd_getfd": 438, "process_madvise": 440, "memfd_secret": 447,
    "map_shadow_stack": 453,
}  # fmt: skip

NUMBERS = {
    "x86_64": _SHARED | {
        "shmget": 29, "clone": 56, "vfork": 58, "semget": 64, "msgget": 68, "getpid": 39, "ptrace": 101,
        "syslog": 103, "capset": 126, "rt_sigqueueinfo": 129, "personality": 135, "setpriority": 141,
        "sched_setscheduler": 144, "mlockall": 151, "pivot_root": 155, "prctl": 157, "acct": 163,
        "mount": 165, "umount2": 166, "swapon": 167, "reboot": 169, "sethostname": 170,
        "init_module": 175, "quotactl": 179, "setxattr": 188, "sched_setaffinity": 203,
        "timer_create": 222, "clock_settime": 227, "tgkill": 234, "mbind": 237, "mq_open": 240,
        "kexec_load": 246, "add_key": 248, "request_key": 249, "keyctl": 250, "ioprio_set": 251,
        "inotify_init1": 294, "inotify_add_watch": 254, "unshare": 272, "splice": 275, "vmsplice": 278,
        "move_pages": 279, "timerfd_create": 283, "signalfd4": 289, "pipe2": 293,
        "perf_event_open": 298, "fanotify_init": 300, "prlimit64": 302, "name_to_handle_at": 303,
        "open_by_handle_at": 304, "setns": 308, "process_vm_readv": 310, "process_vm_writev": 311,
        "kcmp": 312, "finit_module": 313, "renameat2": 316, "seccomp": 317, "memfd_create": 319,
        "bpf": 321, "execveat": 322, "userfaultfd": 323, "pkey_mprotect": 329, "kill": 62,
        "setuid": 105, "setresuid": 117, "setgroups": 116, "chroot": 161, "mprotect": 10, "mremap": 25,
    },
    "aarch64": _SHARED | {
        "setxattr": 5, "timerfd_create": 85, "inotify_init1": 26, "inotify_add_watch": 27,
        "ioprio_set": 30, "umount2": 39, "mount": 40, "pivot_root": 41, "chroot": 51, "pipe2": 59,
        "quotactl": 60, "signalfd4": 74, "vmsplice": 75, "splice": 76, "acct": 89, "capset": 91,
        "personality": 92, "unshare": 97, "kexec_load": 104, "init_module": 105, "timer_create": 107,
        "clock_settime": 112, "syslog": 116, "ptrace": 117, "sched_setscheduler": 119,
        "sched_setaffinity": 122, "kill": 129, "tgkill": 131, "rt_sigqueueinfo": 138, "setpriority": 140,
        "reboot": 142, "setuid": 146, "setresuid": 147, "setgroups": 159, "sethostname": 161, "prctl": 167,
        "getpid": 172, "mq_open": 180, "msgget": 186, "semget": 190, "shmget": 194, "mremap": 216,
        "add_key": 217, "request_key": 218, "keyctl": 219, "clone": 220, "swapon": 224, "mprotect": 226,
        "mlockall": 230, "mbind": 235, "move_pages": 239, "perf_event_open": 241, "prlimit64": 261,
        "fanotify_init": 262, "name_to_handle_at": 264, "open_by_handle_at": 265, "setns": 268,
        "process_vm_readv": 270, "process_vm_writev": 271, "kcmp": 272, "finit_module": 273,
        "renameat2": 276, "seccomp": 277, "memfd_create": 279, "bpf": 280, "execveat": 281,
        "userfaultfd": 282, "pkey_mprotect": 288,
    },
}  # fmt: skip
