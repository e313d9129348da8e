"""The worker itself: its socket, its memory, its module `cyberos_host`, and what it leaves behind."""

SOURCES = {
    "environment": 'return [name for name in os.environ if name.startswith("CYBEROS_")]',
    "environment of the C library": """
        libc.getenv.restype = ctypes.c_char_p
        return libc.getenv(T["variable"].encode())
    """,
    "environment in memory": """
        environ = ctypes.POINTER(ctypes.c_char_p).in_dll(libc, "environ")
        found, number = [], 0
        while environ and environ[number] is not None:
            found.append(environ[number]); number += 1
        return [each for each in found if each.startswith(b"CYBEROS_")]
    """,
    "secrets among the objects": """
        import gc, hashlib
        seen, waiting = set(), [*gc.get_objects(), os.environ]
        while waiting:
            each = waiting.pop()
            if id(each) in seen: continue
            seen.add(id(each))
            if isinstance(each, (str, bytes)):
                data = each.encode("utf-8", "replace") if isinstance(each, str) else each
                if hashlib.sha256(data).hexdigest() == T["digest"]: return True
            elif isinstance(each, (dict, list, tuple, set)) or hasattr(each, "__dict__"):
                waiting.extend(gc.get_referents(each))
    """,
    "frames of the caller": """
        # worker
        import hashlib
        frame = sys._getframe()
        while frame:
            for value in (*frame.f_locals.values(), *frame.f_globals.values()):
                if isinstance(value, str) and hashlib.sha256(value.encode()).hexdigest() == T["digest"]:
                    return True
            frame = frame.f_back
    """,
    "modules of the service": """
        # worker
        import gc
        from types import ModuleType
        of_the_service = ("subgraph.service", "subgraph.audit", "subgraph.storage", "asyncpg")
        modules = [each.__name__ for each in gc.get_objects() if isinstance(each, ModuleType)]
        return [name for name in modules if name.startswith(of_the_service)]
    """,
    "import the service": """
        # worker
        import subgraph.service
        return subgraph.service
    """,
    "descriptors of the zygote": """
        # worker
        found = []
        for number in range(3, 64):
            try: os.fstat(number); found.append(number)
            except OSError: pass
        return len(found) > 1
    """,
    "standard streams of the service": """
        # worker
        import stat
        return [n for n in range(3) if not stat.S_ISCHR(os.fstat(n).st_mode)]
    """,
    "forged: a reply": """
        # worker
        own = worker_socket()
        own.sendall(frame([0, '{"forged": 1}', None, None, None, 1, 0, "", ""]))
        time.sleep(0.2)
        return False
    """,
    "forged: two replies": """
        # worker
        own = worker_socket()
        own.sendall(frame([0, '{"forged": 1}', None, None, None, 1, 0, "", ""]) * 2)
        time.sleep(0.2)
        return False
    """,
    "forged: an end that cannot be": """
        # worker
        own = worker_socket()
        own.sendall(frame([42, '{"forged": 1}', "NO_CODE", "no", "sky", -1, -1, "", ""]))
        time.sleep(0.2)
    """,
    "forged: a greeting": """
        # worker
        own = worker_socket()
        own.sendall(frame(["ready", 1]))
        time.sleep(0.2)
    """,
    "forged: an answer of the host": """
        # worker
        own = worker_socket()
        own.sendall(frame(["ok", "forged"]))
        time.sleep(0.2)
    """,
    "forged: a message to the zygote": """
        # worker
        own = worker_socket()
        own.sendall(frame(["fork", ["/"], ["/"], 1 << 30]))
        return own.recv(4096)
    """,
    "forged: a secret is asked for": """
        # worker
        return ask("get_secret", "DATABASE")
    """,
    "forged: a file is asked for": """
        # worker
        return ask("read_file", T["secret"])
    """,
    "forged: a file is written": """
        # worker
        return ask("write_file", T["victim_file"], "x")
    """,
    "forged: a variable is asked for": """
        # worker
        return ask("read_env", T["variable"])
    """,
    "forged: a command is run": """
        # worker
        return ask("exec_command", "sh", ["-c", "true"])
    """,
    "forged: a function that is not there": """
        # worker
        return ask("__class__", "x")
    """,
    "forged: another number of arguments": """
        # worker
        return ask("read_file")
    """,
    "forged: arguments of other types": """
        # worker
        return ask("read_file", None, True, [1])
    """,
    "forged: too many arguments in a list": """
        # worker
        own = worker_socket()
        words = b"\\xdd" + struct.pack(">I", 5000) + b"\\xa1x" * 5000
        body = b"\\x93\\xa4host\\xacexec_command\\x92\\xa2sh" + words
        own.sendall(struct.pack("<I", len(body)) + body)
        return own.recv(4096)
    """,
    "forged: deep nesting": """
        # worker
        own = worker_socket()
        body = b"\\x93\\xa4host\\xa3log" + b"\\x91" * 60000 + b"\\xc0"
        own.sendall(struct.pack("<I", len(body)) + body)
        return own.recv(4096)
    """,
    "forged: a frame over its limit": """
        # worker
        own = worker_socket()
        own.sendall(struct.pack("<I", 0xffffffff) + b"x" * 100_000)
        return own.recv(4096)
    """,
    "forged: a frame cut short": """
        # worker
        own = worker_socket()
        own.sendall(frame([0, "x" * 1000, None, None, None, 1, 0, "", ""])[:500])
        own.close()
        time.sleep(0.2)
    """,
    "forged: a frame that never ends": """
        # worker
        own = worker_socket()
        own.sendall(struct.pack("<I", 1000) + b"x")
        time.sleep(60)
    """,
    "forged: garbage": """
        # worker
        own = worker_socket()
        own.sendall(os.urandom(100_000))
        time.sleep(0.2)
    """,
    "forged: an extension type": """
        # worker
        own = worker_socket()
        body = b"\\xc7\\x04\\xff" + b"\\0" * 4
        own.sendall(struct.pack("<I", len(body)) + body)
        time.sleep(0.2)
    """,
    "descriptors sent to the service": """
        # worker
        own = worker_socket()
        for _ in range(50):
            socket.send_fds(own, [b"x"], [0, 1, 2] * 20)
        time.sleep(0.2)
    """,
    "socket that nobody reads": """
        # worker
        own = worker_socket()
        while True: own.sendall(frame(["host", "log", ["x" * 60000]]))
    """,
    "host: by its closure": """
        # worker
        import cyberos_host
        ask = next(c.cell_contents for c in cyberos_host.read_file.__closure__ if callable(c.cell_contents))
        return ask("get_secret", "DATABASE")
    """,
    "host: with its checks replaced": """
        # worker
        import cyberos_host, builtins
        builtins.isinstance = lambda *a: True
        cyberos_host.HostError = Exception
        cyberos_host.read_file.__globals__["_text"] = lambda value, name: value
        return cyberos_host.read_file(T["secret"])
    """,
    "host: with its reading replaced": """
        # worker
        import cyberos_host
        cells = cyberos_host.get_secret.__closure__[0].cell_contents.__globals__
        cells["decode"] = lambda body: ["ok", body]
        return b"ok" in cyberos_host.get_secret("DATABASE")[:4]
    """,
    "host: a file by its parents": """
        # worker
        import cyberos_host
        return cyberos_host.read_file("../" * 40 + T["secret"].lstrip("/"))
    """,
    "host: a file by its path": """
        # worker
        import cyberos_host
        return cyberos_host.read_file(T['secret'])
    """,
    "host: a file by the link that was there": """
        # worker, read
        import cyberos_host
        return cyberos_host.read_file("planted-link")
    """,
    "host: write a file": """
        # worker
        import cyberos_host
        return cyberos_host.write_file(T['victim_file'], 'x') is None
    """,
    "host: list the root": """
        # worker
        import cyberos_host
        return cyberos_host.list_dir('/')
    """,
    "host: fetch from this machine": """
        # worker
        import cyberos_host
        return cyberos_host.fetch_url(f"http://127.0.0.1:{T['port']}/")
    """,
    "host: fetch a file": """
        # worker
        import cyberos_host
        return cyberos_host.fetch_url('file://' + T['secret'])
    """,
    "host: a secret": """
        # worker
        import cyberos_host
        return cyberos_host.get_secret('DATABASE')
    """,
    "host: a variable": """
        # worker
        import cyberos_host
        return cyberos_host.read_env(T['variable'])
    """,
    "host: a command": """
        # worker
        import cyberos_host
        return cyberos_host.exec_command('sh', ['-c', 'id'])
    """,
    "host: memories": """
        # worker
        import cyberos_host
        return cyberos_host.recall_memory('', 1 << 30)
    """,
    "next run: a module": """
        # worker
        left = hasattr(json, "left")
        json.left = True
        return left
    """,
    "next run: a built-in name": """
        # worker
        import builtins
        left = hasattr(builtins, "left")
        builtins.left = True
        return left
    """,
    "next run: the environment": """
        # worker
        left = "LEFT" in os.environ
        os.environ["LEFT"] = "1"; os.putenv("LEFT", "1")
        return left
    """,
    "next run: a file in the directory of temporary files": """
        path = f"/tmp/{T['name']}"
        left = os.path.exists(path)
        write(path)
        return left
    """,
    "next run: a file beside the script": """
        path = __file__ + ".left"
        left = os.path.exists(path)
        write(path)
        return left
    """,
    "next run: where Python starts": """
        # unsafe
        import site
        return write(site.getusersitepackages() + "/usercustomize.py")
    """,
    "next run: an exit handler of the worker": """
        # worker
        import atexit
        atexit.register(lambda: print('{"escaped": true}') if hasattr(json, "left") else None)
        left = hasattr(json, "left")
        return left
    """,
}
