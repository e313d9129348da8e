"""Escape attempts of a skill's script, as data: what its source tries, and what it was granted.

A script here reads its targets from its input (`attempt_ground.Ground.input`), tries, and answers with
`{"escaped": true}` if it got what it must not have. Every attempt is run twice, since some wait for what the
first run left behind. `control`: run as an ordinary process of this user, it does escape, in one of the two
runs at least; so a denial is the confinement's doing. Where it has none, the reason stands beside it.
"""

from __future__ import annotations

import json
import platform
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

from tests.security.attempts import files, kernel, limits, network, processes, worker
from tests.security.attempts.source import READ, ROOT, UNSAFE, WORKER, WRITE
from tests.security.attempts.system_calls import NUMBERS


class Grant(Enum):
    """What a script is granted of one directory, in which it then starts."""

    NOTHING = ""
    READ = READ
    WRITE = WRITE


class Control(Enum):
    """Who can show that an attempt succeeds without confinement; or why nobody can."""

    ANYBODY = ""
    ROOT = ROOT
    UNSAFE_TO_SHOW = UNSAFE
    NEEDS_A_WORKER = WORKER


@dataclass(frozen=True, slots=True)
class ScriptAttempt:
    """One attempt: its name, the whole source of the script, its grant, and its control."""

    name: str
    source: str
    grant: Grant
    control: Control

    @property
    def time_ms(self) -> int:
        """A time limit: what is known never to end by itself need not be waited for."""
        return 500 if self.name in ENDLESS else 1500


ENDLESS = frozenset({
    "limits: recursion without a bound", "limits: time: a loop that hears no signal",
    "limits: time: blocked signals", "limits: time: an expression without an end",
    "worker: forged: a frame that never ends",
})  # fmt: skip

_PRELUDE = f"""
import ctypes, errno, os, sys, json, time, socket, struct
NUMBERS = {json.dumps(NUMBERS[platform.machine()])}
T = json.loads(sys.stdin.read())
KEPT = []
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long

def syscall(name, *arguments):
    words = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    result = libc.syscall(ctypes.c_long(NUMBERS[name]), *words)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result

def through(act, *arguments):
    "Whether the kernel lets an act through, even if it then comes to nothing."
    try:
        act(*arguments)
    except OSError as error:
        return error.errno not in (errno.EPERM, errno.EACCES, errno.EROFS, errno.ENOSYS)
    return True

def read(path):
    with open(path, "rb") as file:
        return file.read(4096)

def write(path, data=b"x"):
    with open(path, "wb") as file:
        file.write(data)
    return True

def worker_socket():
    "The socket that the worker serves; where there is no worker there is none."
    import stat
    for number in range(3, 64):
        try:
            if stat.S_ISSOCK(os.fstat(number).st_mode):
                KEPT.append(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, fileno=number))
                return KEPT[0]
        except OSError:
            pass

def pack(value):
    "As much of msgpack as a forged frame needs."
    if value is None or isinstance(value, bool):
        return {{None: b"\\xc0", False: b"\\xc2", True: b"\\xc3"}}[value]
    if isinstance(value, int):
        return b"\\xd2" + struct.pack(">i", value)
    if isinstance(value, str):
        data = value.encode()
        short = bytes([0xa0 | len(data)]) if len(data) < 32 else b"\\xdb" + struct.pack(">I", len(data))
        return short + data
    return bytes([0x90 | len(value)]) + b"".join(map(pack, value))

def frame(value):
    return struct.pack("<I", len(pack(value))) + pack(value)

def ask(name, *arguments):
    "Make a host call without the module; whether it was answered."
    own = worker_socket()
    own.sendall(frame(["host", name, list(arguments)]))
    return own.recv(65536)[4:].startswith(b"\\x92\\xa2ok")
"""

_EPILOGUE = """
try:
    got, why = attempt(), ""
except BaseException as error:
    got, why = False, f"{type(error).__name__}: {error}"
print(json.dumps({"escaped": bool(got), "got": ascii(got)[:200], "why": why[:200]}))
"""

_GROUPS: Mapping[str, Mapping[str, str]] = {
    "files": files.SOURCES,
    "network": network.SOURCES,
    "processes": processes.SOURCES,
    "kernel": kernel.SOURCES,
    "limits": limits.SOURCES,
    "worker": worker.SOURCES,
}


def _attempts() -> Iterator[ScriptAttempt]:
    for group, sources in _GROUPS.items():
        for name, text in sources.items():
            words, body = _split(textwrap.dedent(text).strip())
            grant = next((each for each in Grant if each.value in words), Grant.NOTHING)
            control = next((each for each in Control if each.value in words), Control.ANYBODY)
            source = f"{_PRELUDE}\ndef attempt():\n{textwrap.indent(body, '    ')}\n{_EPILOGUE}"
            yield ScriptAttempt(f"{group}: {name}", source, grant, control)


def _split(text: str) -> tuple[set[str], str]:
    """Take the words of the first line, if it is a comment, from the body."""
    first, _, rest = text.partition("\n")
    if not first.startswith("#"):
        return set(), text
    return set(first.removeprefix("#").replace(",", " ").split()), rest


ATTEMPTS: Mapping[str, ScriptAttempt] = {attempt.name: attempt for attempt in _attempts()}
