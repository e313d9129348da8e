"""The network and other ways to reach a process that listens."""

SOURCES = {
    "connect by TCP": 'return socket.create_connection(("127.0.0.1", T["port"]), 2)',
    "connect by TCP over IPv6": """
        with socket.socket(socket.AF_INET6) as tcp:
            tcp.setblocking(False)
            return through(tcp.connect, ("::1", T["port"]))
    """,
    "listen on TCP": """
        with socket.socket() as tcp:
            tcp.bind(("127.0.0.1", 0)); tcp.listen()
            return True
    """,
    "send by UDP": """
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            return udp.sendto(b"x", ("127.0.0.1", 9))
    """,
    "send by UDP over IPv6": "return socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)",
    "send without connecting": """
        with socket.socket() as tcp:
            return through(tcp.sendto, b"x", 0x20000000, ("127.0.0.1", T["port"]))  # MSG_FASTOPEN
    """,
    "multipath TCP": "return through(socket.socket, socket.AF_INET, socket.SOCK_STREAM, 262)",
    "resolve a name": 'return socket.getaddrinfo("localhost", 80)',
    "resolve a name by the C library": """
        result = ctypes.c_void_p()
        return libc.getaddrinfo(b"localhost", None, None, ctypes.byref(result)) == 0
    """,
    "ask a resolver": """
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            return udp.sendto(b"\\0" * 12, ("127.0.0.53", 53))
    """,
    "fetch by HTTP": """
        import urllib.request
        try:
            return urllib.request.urlopen(f"http://127.0.0.1:{T['port']}/", timeout=2)
        except Exception as error:
            return "timed out" in str(error)  # it was connected
    """,
    "fetch a file by URL": """
        import urllib.request
        return urllib.request.urlopen("file://" + T["secret"]).read()
    """,
    "connect to a UNIX socket": """
        with socket.socket(socket.AF_UNIX) as unix:
            return unix.connect(T["unix"]) is None
    """,
    "connect to an abstract socket": """
        with socket.socket(socket.AF_UNIX) as unix:
            return unix.connect("\\0" + T["abstract"]) is None
    """,
    "connect to the log of the system": """
        return through(lambda: socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).connect("/dev/log"))
    """,
    "pair of sockets": "return socket.socketpair()",
    "netlink": "return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
    "packets": """
        # root
        return socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    """,
    "raw packets": """
        # root
        return socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    """,
    "echo requests": """
        # unsafe
        return socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP)
    """,
    "host of a virtual machine": """
        # unsafe
        return socket.socket(40, socket.SOCK_STREAM)
    """,
    "cryptography of the kernel": """
        # unsafe
        return socket.socket(38, socket.SOCK_SEQPACKET)
    """,
    "Bluetooth": """
        # unsafe
        return socket.socket(31, socket.SOCK_RAW, 1)
    """,
    "connect the socket of the worker": """
        # worker
        own = worker_socket()
        return own.connect(T["unix"]) is None
    """,
    "options of the socket of the worker": """
        # worker
        return worker_socket().getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    """,
    "who is behind the socket of the worker": """
        # worker
        return worker_socket().getpeername() is not None
    """,
}
