"""System calls that a script has no business with: privileges, namespaces, and corners of the kernel."""

SOURCES = {
    "io_uring": """
        # root
        return through(syscall, "io_uring_setup", 1, ctypes.create_string_buffer(120))
    """,
    "BPF": """
        # root
        attributes = (ctypes.c_uint32 * 32)(2, 4, 4, 1)
        return syscall("bpf", 0, attributes, 128)
    """,
    "performance events": """
        # root
        attributes = ctypes.create_string_buffer(128)
        struct.pack_into("II", attributes, 0, 1, 128)
        return syscall("perf_event_open", attributes, 0, -1, -1, 0)
    """,
    "page faults of user space": """
        # root
        return syscall("userfaultfd", 1)
    """,
    "memory with a descriptor": 'return os.memfd_create("x")',
    "secret memory": """
        # unsafe
        return syscall("memfd_secret", 0)
    """,
    "keys: session": """
        # unsafe
        return through(syscall, "keyctl", 0, -3, 0, 0, 0)
    """,
    "keys: add": """
        # unsafe
        return through(syscall, "add_key", b"user", b"x", b"x", 1, -2)
    """,
    "keys: request": """
        # unsafe
        return through(syscall, "request_key", b"user", b"x", None, -2)
    """,
    "user: same": 'return syscall("setuid", os.getuid()) == 0',
    "user: root": """
        # root
        return through(syscall, "setresuid", 0, 0, 0)
    """,
    "user: groups": """
        # root
        return os.setgroups([0]) is None
    """,
    "capabilities": """
        header = (ctypes.c_uint32 * 2)(0x20080522, 0)
        return through(syscall, "capset", header, (ctypes.c_uint32 * 6)())
    """,
    "namespace: user": """
        # root
        return syscall("unshare", 0x10000000) == 0
    """,
    "namespace: network": """
        # root
        return syscall("unshare", 0x40000000) == 0
    """,
    "namespace: mounts": """
        # root
        return syscall("unshare", 0x00020000) == 0
    """,
    "namespace: processes": """
        # root
        return syscall("unshare", 0x20000000) == 0
    """,
    "namespace: enter": """
        # root
        return through(syscall, "setns", -1, 0)
    """,
    "mount": """
        # root
        return through(syscall, "mount", b"none", b"/nowhere", b"tmpfs", 0, None)
    """,
    "mount again": """
        # unsafe
        return syscall("mount", b"none", b"/", None, 0x1020, None) == 0
    """,
    "mount by descriptors": """
        # root
        return through(syscall, "fsopen", b"tmpfs", 0)
    """,
    "tree of mounts": """
        # root
        return through(syscall, "open_tree", -100, b"/", 1)
    """,
    "unmount": """
        # unsafe
        return through(syscall, "umount2", b"/nowhere", 0)
    """,
    "change root": """
        # root
        return os.chroot("/") is None
    """,
    "exchange root": """
        # unsafe
        return through(syscall, "pivot_root", b"/nowhere", b"/nowhere")
    """,
    "load a module": """
        # unsafe
        return through(syscall, "init_module", None, 0, None)
    """,
    "load a module by a descriptor": """
        # unsafe
        return through(syscall, "finit_module", 0, b"", 0)
    """,
    "load a kernel": """
        # unsafe
        return through(syscall, "kexec_load", 0, 0, None, 0)
    """,
    "restart": """
        # unsafe
        return through(syscall, "reboot", 0, 0, 0, None)
    """,
    "swap": """
        # unsafe
        return through(syscall, "swapon", b"/nowhere", 0)
    """,
    "accounting": """
        # unsafe
        return through(syscall, "acct", b"/nowhere")
    """,
    "quotas": """
        # unsafe
        return through(syscall, "quotactl", 0, None, 0, None)
    """,
    "name of the machine": """
        # unsafe
        return through(syscall, "sethostname", b"", -1)
    """,
    "time of the machine": """
        # unsafe
        return through(syscall, "clock_settime", 0, None)
    """,
    "log of the kernel by call": """
        # root
        return through(syscall, "syslog", 10, None, 0)
    """,
    "personality": 'return syscall("personality", 0xffffffff) >= 0',
    "randomisation of addresses": 'return syscall("personality", 0x0040000) >= 0',
    "dumps": 'return syscall("prctl", 4, 1, 0, 0, 0) == 0',
    "keep after the parent": 'return syscall("prctl", 1, 0, 0, 0, 0) == 0',
    "adopt processes": 'return syscall("prctl", 36, 1, 0, 0, 0) == 0',
    "bounds of memory": """
        # unsafe
        return through(syscall, "prctl", 35, 1, 0, 0, 0)
    """,
    "turn seccomp off": 'return through(syscall, "prctl", 22, 0, 0, 0, 0)',
    "another seccomp filter": """
        allow = ctypes.create_string_buffer(bytes.fromhex("060000000000ff7f"))
        program = (ctypes.c_uint64 * 2)(1, ctypes.addressof(allow))
        syscall("prctl", 38, 1, 0, 0, 0)
        return syscall("seccomp", 1, 0, program) == 0
    """,
    "listener of seccomp": """
        allow = ctypes.create_string_buffer(bytes.fromhex("060000000000ff7f"))
        program = (ctypes.c_uint64 * 2)(1, ctypes.addressof(allow))
        syscall("prctl", 38, 1, 0, 0, 0)
        return syscall("seccomp", 1, 8, program) >= 0
    """,
    "second table of x86-64": """
        # unsafe
        return libc.syscall(ctypes.c_long(0x40000000 | NUMBERS["getpid"])) > 0
    """,
    "call numbers above the table": """
        # unsafe
        return any(libc.syscall(ctypes.c_long(number)) >= 0 for number in range(500, 600))
    """,
    "call numbers with high words": """
        # unsafe
        return libc.syscall(ctypes.c_long((1 << 32) | NUMBERS["setuid"]), ctypes.c_long(os.getuid())) == 0
    """,
    "watch files": """
        watch = syscall("inotify_init1", 0)
        return syscall("inotify_add_watch", watch, T["outside"].encode(), 0xfff)
    """,
    "watch the machine": """
        # root
        return syscall("fanotify_init", 0, 0)
    """,
    "shared memory: System V": 'return syscall("shmget", 0, 4096, 0o1600) >= 0',
    "semaphores: System V": 'return syscall("semget", 0, 1, 0o1600) >= 0',
    "messages: System V": 'return syscall("msgget", 0, 0o1600) >= 0',
    "messages: POSIX": 'return syscall("mq_open", b"subgraph-attempt", 0o102, 0o600, None) >= 0',
    "timer": 'return syscall("timer_create", 1, None, (ctypes.c_int32 * 1)()) == 0',
    "timer with a descriptor": 'return syscall("timerfd_create", 1, 0) >= 0',
    "timer of the process": """
        import signal
        return signal.setitimer(signal.ITIMER_REAL, 60) is not None
    """,
    "signals with a descriptor": 'return syscall("signalfd4", -1, (ctypes.c_uint64 * 1)(), 8, 0) >= 0',
    "pipe": "return os.pipe()",
    "splice": 'return through(syscall, "splice", -1, None, -1, None, 1, 0)',
    "splice memory": 'return through(syscall, "vmsplice", -1, None, 0, 0)',
    "pages of a process": 'return through(syscall, "move_pages", T["victim"], 0, None, None, None, 0)',
    "advice to a process": 'return through(syscall, "process_madvise", -1, None, 0, 0, 0)',
    "lock memory": 'return through(syscall, "mlockall", 1)',
    "policy of memory": 'return through(syscall, "mbind", 0, 0, 0, None, 0, 0)',
    "real time": """
        # root
        return os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)) is None
    """,
    "batch scheduling": "return os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0)) is None",
    "processors": "return os.sched_setaffinity(0, os.sched_getaffinity(0)) is None",
    "priority": "return os.setpriority(os.PRIO_PROCESS, 0, 1) is None",
    "priority of disks": 'return syscall("ioprio_set", 1, 0, 0) == 0',
    "limits of the process": """
        import resource
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        return resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard)) is None
    """,
    "limit of address space": """
        import resource
        endless = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        return resource.setrlimit(resource.RLIMIT_AS, endless) is None
    """,
    "control a descriptor": """
        import fcntl
        return through(fcntl.ioctl, os.open(__file__, os.O_RDONLY), 0x541B, bytes(8))
    """,
    "type into the terminal": """
        # unsafe
        import fcntl
        return any(through(fcntl.ioctl, number, 0x5412, b"x") for number in range(3))
    """,
    "lock a file of others": """
        import fcntl
        return fcntl.flock(os.open(__file__, os.O_RDONLY), fcntl.LOCK_EX | fcntl.LOCK_NB) is None
    """,
    "mask of new files": "return os.umask(0) is not None",
    "name of the kernel": "return os.uname()",
    "load of the machine": "return os.getloadavg()",
    "identity of users": "import pwd; return pwd.getpwall()",
}
