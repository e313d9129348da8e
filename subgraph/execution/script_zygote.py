"""The process that script workers are forked from: an interpreter that has imported what scripts use.

It starts by exec with an empty environment, so it holds nothing of the service's memory; it has one
thread, so a fork of it is whole; it never reads or compiles a skill's script. On its control socket it
takes, with a socket beside it,

    ["fork", [snapshot, directories to read ...], [directories to write ...], bytes of memory]
                                                → ["forked"] with a pidfd, or ["failed", message]
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import signal
import socket
import sys
from functools import partial

from subgraph.execution import script_worker
from subgraph.execution.confinement import FileAccess
from subgraph.execution.forking import fork_worker, reap
from subgraph.execution.lifetime import die_with
from subgraph.execution.protocol import ProtocolError, decode, encode, receive_with_descriptors

# A worker cannot load machine code, so an extension module that is not imported here cannot be imported
# by a script; modules in Python that are not here can, and take their time each run.
PRELOADED = (
    "abc", "argparse", "array", "ast", "base64", "binascii", "bisect", "bz2", "calendar", "cmath", "codecs",
    "collections.abc", "configparser", "contextlib", "copy", "csv", "ctypes", "dataclasses", "datetime",
    "decimal", "difflib", "email.message", "email.parser", "encodings.cp1252", "encodings.idna",
    "encodings.latin_1", "encodings.utf_8_sig", "enum", "errno", "fcntl", "fnmatch", "fractions",
    "functools", "gettext", "getopt", "glob", "graphlib", "gzip", "hashlib", "heapq", "hmac", "html",
    "html.entities", "html.parser", "inspect", "io", "ipaddress", "itertools", "json", "keyword",
    "linecache", "locale", "logging", "lzma", "math", "mimetypes", "mmap", "numbers", "operator", "os",
    "pathlib", "pickle", "pprint", "quopri", "queue", "random", "re", "reprlib", "resource", "secrets",
    "select", "shlex", "shutil", "signal", "socket", "stat", "statistics", "string", "struct",
    "subprocess", "sys", "tempfile", "textwrap", "threading", "time", "timeit", "tomllib", "traceback",
    "types", "typing", "unicodedata", "urllib.parse", "uuid", "warnings", "weakref", "xml.dom.minidom",
    "xml.etree.ElementTree", "xml.sax", "xml.sax.expatreader", "zipfile", "zlib", "zoneinfo",
)  # fmt: skip


def main() -> None:
    """Serve the control socket given by descriptor in argv[1]."""
    control = socket.socket(fileno=int(sys.argv[1]))
    die_with(os.getppid())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name in PRELOADED:
        with contextlib.suppress(ImportError):  # a build of Python without, say, bz2: scripts have none too
            importlib.import_module(name)
    script_worker.prepare()
    gc.collect()
    gc.freeze()  # a collection in a worker would touch, and so copy, every page
    control.sendall(encode(["started"]))
    while True:
        body, descriptors = receive_with_descriptors(control)
        if body is None:
            return
        reap()
        match decode(body):
            case ["fork", list(read), list(write), int(memory)] if len(descriptors) == 1 and read:
                access = FileAccess.of(read, write)
                serve = partial(script_worker.serve, access=access, memory_bytes=memory)
                fork_worker(control, descriptors[0], serve)
            case _:
                raise ProtocolError("not a message to the zygote")


if __name__ == "__main__":
    main()
