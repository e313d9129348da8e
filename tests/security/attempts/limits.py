"""More than a run may use: memory, descriptors, processes, output, disk. The bombs are small ones."""

MEMORY_BYTES = 64 * 1024 * 1024
"""The memory limit under which these are run; what they take for a success is several times that."""

SOURCES = {
    "memory: at once": "return len(bytearray(400 << 20))",
    "memory: bit by bit": """
        kept = [bytearray(1 << 20) for _ in range(400)]
        return len(kept)
    """,
    "memory: mapped": """
        import mmap
        return mmap.mmap(-1, 400 << 20)
    """,
    "memory: mapped and not reserved": """
        import mmap
        return mmap.mmap(-1, 1 << 30, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000)
    """,
    "memory: mapped and shared": """
        import mmap
        return mmap.mmap(-1, 400 << 20, flags=mmap.MAP_SHARED)
    """,
    "memory: mapped in many pieces": """
        import mmap
        kept = [mmap.mmap(-1, 1 << 20, flags=mmap.MAP_SHARED) for _ in range(400)]
        return len(kept)
    """,
    "memory: by the C library": """
        libc.malloc.restype = ctypes.c_void_p
        return libc.malloc(ctypes.c_size_t(400 << 20))
    """,
    "memory: by moving a mapping": """
        import mmap
        memory = mmap.mmap(-1, 4096)
        address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        return syscall("mremap", address, 4096, 400 << 20, 1) > 0
    """,
    "memory: after it ran out": """
        kept = []
        try:
            while len(kept) < 400: kept.append(bytearray(1 << 20))
        except MemoryError:
            pass
        return len(kept) >= 400
    """,
    "memory: a bomb of compressed bytes": """
        import zlib
        block = zlib.compress(bytes(16 << 20), 9)
        return len(b"".join(zlib.decompress(block) for _ in range(25)))
    """,
    "memory: a number": "return (1 << (8 * 400 << 20)).bit_length()",
    "recursion without a bound": """
        # unsafe
        sys.setrecursionlimit(1 << 30)
        def deeper(n): return deeper(n + 1)
        deeper(0)
    """,
    "nesting without a bound": """
        # unsafe
        value = []
        for _ in range(10_000_000): value = [value]
        return repr(value) is None
    """,
    "descriptors": """
        kept = [os.open(__file__, os.O_RDONLY) for _ in range(200)]
        return len(kept)
    """,
    "descriptors: duplicated": """
        kept = [os.dup(0) for _ in range(200)]
        return len(kept)
    """,
    "descriptors: events": """
        kept = [os.eventfd(0) for _ in range(200)]
        return len(kept)
    """,
    "processes": """
        started = 0
        for _ in range(20):
            child = os.fork()
            if child == 0: os._exit(0)
            started += 1
        return started
    """,
    "threads": """
        import threading
        threads = [threading.Thread(target=time.sleep, args=(0.2,)) for _ in range(20)]
        for thread in threads: thread.start()
        return len(threads)
    """,
    "threads by the C library": """
        # unsafe
        identity = ctypes.c_ulong()
        return libc.pthread_create(ctypes.byref(identity), None, libc.getpid, None) == 0
    """,
    "flood of stdout": """
        # unsafe
        while True: print("x" * 4096)
    """,
    "flood of stderr": """
        # unsafe
        while True: print("x" * 4096, file=sys.stderr)
    """,
    "flood that catches what it is told": """
        # unsafe
        while True:
            try: sys.stdout.buffer.write(bytes(1 << 16))
            except BaseException: pass
    """,
    "flood of the log of the service": """
        # unsafe
        return os.readlink(f"/proc/self/fd/2") != "/dev/null" and os.write(2, b"x" * 4096)
    """,
    "large file": """
        # write
        with open("large", "wb", buffering=0) as file:
            file.seek((100 << 20) - 1)
            file.write(b"x")
        return os.stat("large").st_size
    """,
    "large file by truncating": """
        # write
        with open("larger", "wb") as file:
            file.truncate(1 << 40)
        return os.stat("larger").st_size
    """,
    "time: a loop that hears no signal": """
        # unsafe
        import signal
        for number in range(1, 32):
            try: signal.signal(number, signal.SIG_IGN)
            except OSError: pass
        while True: pass
    """,
    "time: blocked signals": """
        # unsafe
        import signal
        signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 64))
        time.sleep(600)
    """,
    "time: an expression without an end": """
        # unsafe
        import re
        re.match("(a+)+$", "a" * 60 + "b")
        return True
    """,
    "crash": """
        # unsafe
        ctypes.string_at(8)
    """,
    "end without a word": """
        # unsafe
        os._exit(0)
    """,
}
