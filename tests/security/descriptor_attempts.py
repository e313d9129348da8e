"""Attempts by WASI's file system: by handles, by what is no regular file, in a race, and without a grant."""

from __future__ import annotations

import ctypes
import os
import socket
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path

from tests.security.attempt_worlds import (
    ANSWERED,
    ANY_END,
    CANARY,
    FAILED,
    READS,
    WRITES,
    Attempt,
    Build,
    World,
)
from tests.security.wasi_attempts import FILES_GUEST
from tests.support.wasi_guest import CREATE, READ, SCRATCH, WRITE, Program, Word


def granted(
    build: Build,
    *denied: str,
    exit_codes: frozenset[int] = ANSWERED,
    grants: tuple[str, ...] = (READS,),
    prepare: Callable[[World], None] = lambda _: None,
) -> Attempt:
    return Attempt(
        FILES_GUEST, build, grants, denied, exit_codes, prepare=prepare, writes=WRITES in grants
    )  # fmt: skip


def _repeated(count: int, body: Callable[[Program, Word], None]) -> Build:
    """Do something with the first directory so many times."""

    def build(world: World) -> Program:
        program = Program()
        directory = program.directory()
        program.store(SCRATCH, count)
        start = program.here()
        body(program, directory)
        program.forget()
        program.times(SCRATCH, start)
        return program

    return build


def _opens_and_keeps(program: Program, directory: Word) -> None:
    program.call("open-at", directory, 1, "file.txt", 0, READ, quiet=True)


def _lists_and_keeps(program: Program, directory: Word) -> None:
    program.call("read-directory", directory, quiet=True)


def _exhausts_descriptors(world: World) -> Program:
    program = _repeated(1000, _opens_and_keeps)(world)
    program.call("open-at", program.directory(), 1, "file.txt", 0, READ)
    return program


def _uses_after_close(world: World) -> Program:
    program = Program()
    file = program.open(program.directory(), "file.txt")
    program.drop("descriptor", file)
    program.read(file)
    return program


def _closes_twice(world: World) -> Program:
    program = Program()
    file = program.open(program.directory(), "file.txt")
    program.drop("descriptor", file)
    program.drop("descriptor", file)
    return program


def _guesses(handle: int) -> Build:
    def build(world: World) -> Program:
        program = Program()
        program.directory()
        program.read(program.open(handle, "../private/canary"))
        return program

    return build


def _confuses_kinds(world: World) -> Program:
    program = Program()
    stream = program.call("read-directory", program.directory())
    program.read(program.open(Word(stream + 4), "../private/canary"))
    return program


def _reads(length: int, offset: int) -> Build:
    def build(world: World) -> Program:
        program = Program()
        program.read(program.open(program.directory(), "file.txt"), length, offset)
        return program

    return build


def opens_and_reads(path: str, flags: int = READ) -> Build:
    def build(world: World) -> Program:
        program = Program()
        program.read(program.open(program.directory(), path, flags))
        return program

    return build


def _lists_everything(world: World) -> Program:
    program = Program()
    stream = program.call("read-directory", program.directory())
    start = program.here()
    entry = program.call("next-entry", Word(stream + 4), quiet=True)
    program.forget()
    program.go_if(entry + 4, 1, start)
    program.show("last", entry, 8)
    return program


def _many_entries(world: World) -> None:
    for number in range(20_000):
        os.close(os.open(world.open / f"{number:0200d}", os.O_CREAT | os.O_WRONLY))


def _pipe(world: World) -> None:
    os.mkfifo(world.open / "special")


def _unix_socket(world: World) -> None:
    here = os.open(world.open, os.O_PATH)
    try:
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(f"/proc/self/fd/{here}/special")  # the address of a socket has 108 bytes at most
    finally:
        os.close(here)


def _device(world: World) -> None:
    """Make the device of random numbers; where that is not allowed, a link to it."""
    try:
        os.mknod(world.open / "special", stat.S_IFCHR | 0o666, os.makedev(1, 9))
    except PermissionError:
        (world.open / "special").symlink_to("/dev/urandom")


def _streams_special(world: World) -> Program:
    program = Program()
    file = program.open(program.directory(), "special")
    program.call("stream-read", Word(program.call("read-via-stream", file, 0) + 4), 64)
    return program


def _hidden(world: World) -> None:
    (world.open / "deep" / ".env").write_text(CANARY)


def _becomes_a_link(world: World) -> None:
    world.open.rename(world.place / "was-open")
    world.open.symlink_to(world.private)
    (world.private / "file.txt").write_text(CANARY)


_AT_FDCWD, _EXCHANGE = -100, 2
_PAUSE_SECONDS = 20e-6
_libc = ctypes.CDLL(None, use_errno=True)


def _race_ground(world: World) -> None:
    """A directory, and a link to the outside, which are to change places."""
    (world.open / "swap").mkdir()
    (world.open / "swap" / "canary").write_text("inside")
    (world.open / "other").symlink_to(world.private)


def exchange(one: Path, other: Path) -> None:
    """Let two names change places at once."""
    first, second = os.fsencode(one), os.fsencode(other)
    if _libc.renameat2(_AT_FDCWD, first, _AT_FDCWD, second, _EXCHANGE):
        raise OSError(ctypes.get_errno(), "renameat2")


@contextmanager
def swapping(one: Path, other: Path) -> Iterator[None]:
    """Let a directory and a link change places, 2,000 times at least, until what runs meanwhile is over."""
    over = threading.Event()

    def exchange_for_ever() -> None:
        exchanged = 0
        while exchanged < 2000 or not over.is_set():
            exchange(one, other)
            exchanged += 1
            # The kernel's lock of the directory is for the other side too. Without a pause that side, of the
            # lowest priority, got hold of it once in four milliseconds at times, and took half a minute.
            time.sleep(_PAUSE_SECONDS)

    thread = threading.Thread(target=exchange_for_ever)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _swapping(world: World) -> AbstractContextManager[None]:
    return swapping(world.open / "swap", world.open / "other")


def _reads_in_a_race(program: Program, directory: Word) -> None:
    start = program.here()
    opened = program.call("open-at", directory, 1, "swap/canary", 0, READ, quiet=True)
    program.go_if(opened, 1, start + 6)
    file = Word(opened + 4)
    read = program.call("read", file, 64, 0, quiet=True)
    program.go_if(read, 1, start + 5)
    program.show("read", Word(read + 4), Word(read + 8))
    program.drop("descriptor", file)


def _writes_in_a_race(program: Program, directory: Word) -> None:
    start = program.here()
    opened = program.call("open-at", directory, 1, "swap/canary", CREATE, READ | WRITE, quiet=True)
    program.go_if(opened, 1, start + 5)
    program.call("write", Word(opened + 4), b"written in a race", 0)
    program.drop("descriptor", Word(opened + 4))
    program.call("unlink-file-at", directory, "swap/canary", quiet=True)
    program.call("create-directory-at", directory, "swap/made", quiet=True)
    program.call("rename-at", directory, "file.txt", directory, "swap/moved", quiet=True)
    program.call("rename-at", directory, "swap/moved", directory, "file.txt", quiet=True)


_TO_ITS_END = {"time_ms": 30_000}
"""A race must come to its end, which takes half a second on an idle machine."""

DESCRIPTORS = {
    "use-after-close": granted(_uses_after_close, exit_codes=FAILED),
    "close-twice": granted(_closes_twice, exit_codes=FAILED),
    "guess-handle-0": granted(_guesses(0), exit_codes=FAILED),
    "guess-a-handle": granted(_guesses(77), exit_codes=FAILED),
    "guess-the-last-handle": granted(_guesses(2**32 - 1), exit_codes=FAILED),
    "handle-of-another-kind": granted(_confuses_kinds, exit_codes=FAILED),
    "descriptors-exhausted": granted(_exhausts_descriptors, "open-at"),
    "descriptors-exhausted-for-long": granted(_repeated(100_000, _opens_and_keeps), exit_codes=ANY_END),
    "directory-streams-exhausted": granted(_repeated(100_000, _lists_and_keeps), exit_codes=ANY_END),
    "read-of-2-to-the-63": granted(_reads(2**63, 0), exit_codes=ANY_END),
    "read-at-the-last-offset": granted(_reads(64, 2**64 - 1), "read"),
    "directory-of-20000-entries": granted(_lists_everything, exit_codes=ANY_END, prepare=_many_entries),
    "pipe": granted(opens_and_reads("special"), exit_codes=ANY_END, prepare=_pipe),
    "pipe-for-writing": granted(
        opens_and_reads("special", READ | WRITE), exit_codes=ANY_END, prepare=_pipe, grants=(READS, WRITES)
    ),
    "pipe-as-a-stream": granted(_streams_special, exit_codes=frozenset({124}), prepare=_pipe),
    "unix-socket": granted(opens_and_reads("special"), "open-at", prepare=_unix_socket),
    "device": granted(opens_and_reads("special"), exit_codes=ANY_END, prepare=_device),
    "race-of-a-directory-and-a-link": replace(
        granted(_repeated(2000, _reads_in_a_race), prepare=_race_ground),
        meanwhile=_swapping,
        writes=True,
        limits=_TO_ITS_END,
        reached=("read",),
    ),
    "race-with-writing": replace(
        granted(_repeated(1000, _writes_in_a_race), prepare=_race_ground, grants=(READS, WRITES)),
        meanwhile=_swapping,
        limits=_TO_ITS_END,
        reached=("write",),
    ),
}

WITHOUT_GRANT = {
    name: granted(opens_and_reads("file.txt"), grants=grants, exit_codes=FAILED)
    for name, grants in {
        "no-grant": (),
        "grant-of-one-file": ("read_file({name}/open/file.txt)",),
        "grant-of-some-files": ("read_file({name}/open/*.txt)",),
        "grant-of-a-link": ("read_file({name}/open/out/**)",),
        "grant-of-what-is-not-there": ("read_file({name}/nothing/**)",),
        "grant-of-names-alone": ("list_dir({name}/open/**)",),
    }.items()
} | {
    "granted-directory-became-a-link": granted(
        opens_and_reads("file.txt"), exit_codes=FAILED, prepare=_becomes_a_link
    ),
    "read-with-a-grant-for-writing": granted(opens_and_reads("file.txt"), "open-at", grants=(WRITES,)),
    "hidden-file-below-what-is-granted": granted(
        opens_and_reads("deep/.env"), exit_codes=FAILED, prepare=_hidden
    ),
}  # fmt: skip
