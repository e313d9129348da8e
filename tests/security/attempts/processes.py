"""Other processes and programs: starting them, watching them, ending them."""

_VECTOR = """
        # root
        class Vector(ctypes.Structure):
            _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))
        mine = ctypes.create_string_buffer(8)
        vector = Vector(ctypes.addressof(mine), 1)
"""

SOURCES = {
    "fork": """
        child = os.fork()
        if child == 0: os._exit(0)
        return os.waitpid(child, 0)
    """,
    "fork in the C library": """
        child = libc.fork()
        if child == 0: os._exit(0)
        return child > 0
    """,
    "fork with a terminal": """
        import pty
        child, _ = pty.fork()
        if child == 0: os._exit(0)
        return child
    """,
    "clone": """
        child = syscall("clone", 17, 0, 0, 0, 0)
        if child == 0: os._exit(0)
        return child
    """,
    "clone with an untraced parent": """
        child = syscall("clone", 0x00800000 | 17, 0, 0, 0, 0)
        if child == 0: os._exit(0)
        return child
    """,
    "clone into new namespaces": """
        # root
        child = syscall("clone", 0x10000000 | 0x40000000 | 17, 0, 0, 0, 0)
        if child == 0: os._exit(0)
        return child
    """,
    "clone3": """
        arguments = (ctypes.c_uint64 * 8)(0, 0, 0, 0, 17)
        child = syscall("clone3", arguments, 64)
        if child == 0: os._exit(0)
        return child
    """,
    "thread": """
        import threading
        thread = threading.Thread(target=int)
        thread.start()
        return True
    """,
    "pool of processes": """
        import multiprocessing
        process = multiprocessing.get_context("fork").Process(target=int)
        return process.start() is None
    """,
    "execute a program": """
        os.execve("/bin/echo", ["echo", json.dumps({"escaped": True})], {})
    """,
    "execute a shell": 'return os.system("exit 7") == 7 << 8',
    "execute by subprocess": """
        import subprocess
        return subprocess.run(["/bin/echo", "out"], capture_output=True).stdout
    """,
    "spawn": 'return os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0)',
    "spawn in the C library": """
        libc.popen.restype = ctypes.c_void_p
        return libc.popen(b"true", b"r")
    """,
    "execute Python again": """
        import subprocess
        return subprocess.run([sys.executable, "-c", "print(1)"], capture_output=True).stdout
    """,
    "execute from memory": """
        descriptor = os.memfd_create("program")
        os.write(descriptor, b"#!/bin/echo x")
        child = os.fork()
        if child == 0:
            os.execve(descriptor, ["x"], {})
        return os.waitpid(child, 0)
    """,
    "execute by a descriptor": """
        # write
        empty = (ctypes.c_char_p * 1)(None)
        os.close(os.open("no-program", os.O_CREAT | os.O_WRONLY, 0o755))
        program = os.open("no-program", os.O_RDONLY)
        return through(syscall, "execveat", program, b"", empty, empty, 0x1000)
    """,
    "execute by the loader": """
        import subprocess
        return subprocess.run(["/lib64/ld-linux-x86-64.so.2", "/bin/true"]).returncode == 0
    """,
    "trace a process": """
        # root
        return through(syscall, "ptrace", 0x4206, T["victim"], 0, 0)
    """,
    "be traced": 'return syscall("ptrace", 0, 0, 0, 0) == 0',
    "read the memory of a process": _VECTOR
    + """
        there = ctypes.byref(vector)
        return through(syscall, "process_vm_readv", T["victim"], there, 1, there, 1, 0)
    """,
    "write the memory of a process": _VECTOR
    + """
        there = ctypes.byref(vector)
        return through(syscall, "process_vm_writev", T["victim"], there, 1, there, 1, 0)
    """,
    "take a descriptor of a process": """
        # root
        return os.read(syscall("pidfd_getfd", syscall("pidfd_open", T["victim"], 0), 0, 0), 0) is not None
    """,
    "watch a process": 'return os.pidfd_open(T["victim"])',
    "compare with a process": """
        # root
        return through(syscall, "kcmp", os.getpid(), T["victim"], 1, 0, 0)
    """,
    "signal a process": 'return os.kill(T["victim"], 0) is None',
    "continue a process": 'return os.kill(T["victim"], 18) is None',
    "kill the service": """
        # unsafe
        return os.kill(T["service"], 9) is None
    """,
    "kill everybody": """
        # unsafe
        return os.kill(-1, 9) is None
    """,
    "kill the group": """
        # unsafe
        return os.killpg(0, 9) is None
    """,
    "kill every process number": """
        # unsafe
        killed = []
        for pid in range(2, 70000):
            if pid != os.getpid():
                try: killed.append(os.kill(pid, 9))
                except OSError: pass
        return killed
    """,
    "signal a thread of a process": 'return syscall("tgkill", T["victim"], T["victim"], 0) == 0',
    "queue a signal": """
        information = (ctypes.c_int32 * 32)(0, 0, -1)
        return syscall("rt_sigqueueinfo", T["victim"], 0, information) == 0
    """,
    "signal by a process descriptor": """
        import signal
        return signal.pidfd_send_signal(os.pidfd_open(T["victim"]), 0) is None
    """,
    "signal by the owner of a descriptor": """
        import fcntl
        return fcntl.fcntl(os.open(__file__, os.O_RDONLY), fcntl.F_SETOWN, T["victim"]) == 0
    """,
    "signal by a lease on a file": """
        # write
        import fcntl
        write("leased")
        return fcntl.fcntl(os.open("leased", os.O_RDONLY), fcntl.F_SETLEASE, fcntl.F_WRLCK) == 0
    """,
    "signal by watching a directory": """
        import fcntl
        return fcntl.fcntl(os.open(os.path.dirname(__file__), os.O_RDONLY), fcntl.F_NOTIFY, 4) == 0
    """,
    "limit a process": """
        return syscall("prlimit64", T["victim"], 7, None, (ctypes.c_uint64 * 2)()) == 0
    """,
    "priority of a process": 'return os.setpriority(os.PRIO_PROCESS, T["victim"], 5) is None',
    "scheduling of a process": 'return os.sched_setaffinity(T["victim"], os.sched_getaffinity(0)) is None',
    "new session": """
        # unsafe
        return os.setsid()
    """,
    "learn the parent": "return os.getppid() > 0",
    "child that outlives its parent": """
        child = os.fork()
        if child == 0:
            time.sleep(0.2); os._exit(0)
        return child
    """,
    "machine code: mapped": """
        import mmap
        return mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    """,
    "machine code: protected": """
        import mmap
        memory = mmap.mmap(-1, 4096)
        address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        return syscall("mprotect", address, 4096, 5) == 0
    """,
    "machine code: protected with a key": """
        import mmap
        memory = mmap.mmap(-1, 4096)
        address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        return syscall("pkey_mprotect", address, 4096, 5, -1) == 0
    """,
    "machine code: from a granted file": """
        # write
        import mmap
        write("code", bytes(4096))
        with open("code", "r+b") as file:
            return mmap.mmap(file.fileno(), 4096, prot=mmap.PROT_READ | mmap.PROT_EXEC)
    """,
}
