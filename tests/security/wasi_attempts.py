"""Attempts by WASI's file system: by path, by link, and by writing what may only be read."""

from __future__ import annotations

from tests.security.attempt_worlds import READS, SHELF, WRITES, Attempt, Build, World
from tests.support.wasi_guest import (
    CREATE,
    DIRECTORY,
    EXCLUSIVE,
    MUTATE,
    READ,
    SCRATCH,
    TRUNCATE,
    WRITE,
    Program,
    Value,
    machine,
)
from tests.support.wasi_interfaces import FILES

FILES_GUEST = machine(*FILES)

_D = "<the first directory>"
_D2 = "<the second directory>"


def _resolved(world: World, program: Program, values: tuple[Value, ...]) -> list[Value]:
    handles = {_D: 0, _D2: 1}
    return [
        program.directory(handles[value])
        if isinstance(value, str) and value in handles
        else world.fill_in(value)
        if isinstance(value, str)
        else value
        for value in values
    ]


def _opens(path: str | bytes, flags: int = READ, *, how: int = 0, follow: bool = True) -> Build:
    def build(world: World) -> Program:
        program = Program()
        text = world.fill_in(path) if isinstance(path, str) else path
        program.read(program.open(program.directory(), text, flags, how=how, follow=follow))
        return program

    return build


def _asks(function: str, *values: Value) -> Build:
    def build(world: World) -> Program:
        program = Program()
        program.call(function, *_resolved(world, program, values))
        return program

    return build


def _on_file(function: str, *values: Value, flags: int = READ) -> Build:
    """Call a function of a file that may be opened."""

    def build(world: World) -> Program:
        program = Program()
        file = program.open(program.directory(), "file.txt", flags)
        program.call(function, file, *values)
        return program

    return build


def _reading(build: Build, *denied: str, exit_codes: frozenset[int] = frozenset({0})) -> Attempt:
    return Attempt(FILES_GUEST, build, (READS,), denied, exit_codes)


def _writing(build: Build, *denied: str, grants: tuple[str, ...] = (READS, WRITES)) -> Attempt:
    return Attempt(FILES_GUEST, build, grants, denied, writes=True)


def _deep_handle(world: World) -> Program:
    program = Program()
    deep = program.open(program.directory(), "deep", how=DIRECTORY, quiet=True)
    program.read(program.open(deep, "../../private/canary"))
    return program


def _long_path(world: World) -> Program:
    program = Program()
    program.fill(SCRATCH, ord("/"), 1 << 20)
    directory = program.directory()
    program.call("open-at", directory, 1, SCRATCH, 1 << 20, 0, READ)
    return program


READING: dict[str, Attempt] = {
    name: _reading(_opens(path), "open-at")
    for name, path in {
        "parent": "../private/canary",
        "parent-of-a-subdirectory": "deep/../../private/canary",
        "parent-many-times": "../" * 64 + "etc/passwd",
        "parent-itself": "..",
        "parent-with-a-dot": "./.././private/./canary",
        "parent-behind-what-is-not-there": "nothing/../../private/canary",
        "parent-behind-a-file": "file.txt/../../private/canary",
        "absolute": "{private}/canary",
        "absolute-outside-of-the-workspace": "{outside}/canary",
        "absolute-to-what-is-granted": "{open}/file.txt",
        "root": "/",
        "double-slash": "//{private}/canary",
        "slashes-and-parent": ".//..//private//canary",
        "backslashes": "..\\private\\canary",
        "look-alikes-of-dots": "\u2024\u2024/private/canary",
        "look-alikes-of-slashes": "..\u2215private\u2215canary",
        "percent-encoded": "%2e%2e/private/canary",
        "null-byte": "file.txt\0/../../private/canary",
        "null-byte-first": "\0../private/canary",
        "empty-path": "",
        "name-too-long": "x" * 256,
        "path-too-long": "./" * 4096 + "../private/canary",
        "trailing-slash-behind-a-file": "file.txt/",
        "trailing-slash-behind-a-link": "out-file/",
        "link-to-a-directory": "out/canary",
        "link-to-a-directory-itself": "out",
        "link-to-a-directory-and-dots": "out/../private/canary",
        "link-to-a-file": "out-file",
        "link-to-an-absolute-path": "absolute",
        "link-to-an-absolute-directory": "absolute-directory/canary",
        "link-out-of-the-workspace": "outside-of-the-workspace",
        "link-chain": "chain-1",
        "link-loop": "loop",
        "link-to-the-password-file": "passwd",
        "link-to-the-root-by-procfs": "proc-root/etc/passwd",
        "link-to-the-directory-of-the-process": "proc-cwd",
        "link-to-a-descriptor": "proc-descriptor",
        "link-to-what-another-run-may-read": "to-shelf/file.txt",
    }.items()
} | {
    "parent-of-a-handle": _reading(_deep_handle, "open-at"),
    "path-of-a-mebibyte": _reading(_long_path, "open-at"),
    "link-that-is-not-followed": _reading(_opens("out-file", follow=False), "open-at"),
    "path-of-no-utf8": _reading(_opens(b"../private/\xff\xfe"), exit_codes=frozenset({1})),
    "path-outside-of-its-memory": _reading(
        _asks("open-at", _D, 1, 2**32 - 8, 64, 0, READ), exit_codes=frozenset({1})
    ),
    "undefined-flags": _reading(_opens("../private/canary", READ | 0xC0, how=0xF0), "open-at"),
    "status-of-the-parent": _reading(_asks("stat-at", _D, 1, "../private/canary"), "stat-at"),
    "status-through-a-link": _reading(_asks("stat-at", _D, 1, "out-file"), "stat-at"),
    "status-of-an-absolute-path": _reading(_asks("stat-at", _D, 1, "{private}/canary"), "stat-at"),
    "hash-of-the-parent": _reading(_asks("metadata-hash-at", _D, 1, "../private/canary"), "metadata-hash-at"),
    "hash-through-a-link": _reading(_asks("metadata-hash-at", _D, 1, "out/canary"), "metadata-hash-at"),
    "target-of-a-link-outside": _reading(_asks("readlink-at", _D, "../open/out"), "readlink-at"),
    "target-of-a-link-by-procfs": _reading(_asks("readlink-at", _D, "/proc/self/exe"), "readlink-at"),
    "listing-of-the-parent": _reading(_opens("..", how=DIRECTORY), "open-at"),
    "listing-through-a-link": _reading(_opens("out", how=DIRECTORY), "open-at"),
}  # fmt: skip


def _changes_subdirectory(world: World) -> Program:
    program = Program()
    deep = program.open(program.directory(), "deep", READ | MUTATE, how=DIRECTORY, quiet=True)
    program.call("create-directory-at", deep, "new")
    program.call("unlink-file-at", deep, "file.txt")
    return program


READ_ONLY: dict[str, Attempt] = {
    "create": _reading(_opens("new", READ | WRITE, how=CREATE), "open-at"),
    "create-exclusively": _reading(_opens("new", WRITE, how=CREATE | EXCLUSIVE), "open-at"),
    "create-without-write": _reading(_opens("new", READ, how=CREATE), "open-at"),
    "open-for-writing": _reading(_opens("file.txt", READ | WRITE), "open-at"),
    "truncate": _reading(_opens("file.txt", WRITE, how=TRUNCATE), "open-at"),
    "truncate-without-write": _reading(_opens("file.txt", READ, how=TRUNCATE), "open-at"),
    "subdirectory-to-change": _reading(_changes_subdirectory, "create-directory-at", "unlink-file-at"),
    "write": _reading(_on_file("write", b"changed", 0), "write"),
    "write-by-stream": _reading(_on_file("write-via-stream", 0), "write-via-stream"),
    "append-by-stream": _reading(_on_file("append-via-stream"), "append-via-stream"),
    "set-size": _reading(_on_file("set-size", 0), "set-size"),
    "set-times-of-a-file": _reading(_on_file("set-times", 1, 0, 0, 2, 0, 0), "set-times"),
    "set-times": _reading(_asks("set-times-at", _D, 0, "file.txt", 2, 0, 0, 2, 0, 0), "set-times-at"),
    "rename": _reading(_asks("rename-at", _D, "file.txt", _D, "renamed"), "rename-at"),
    "unlink": _reading(_asks("unlink-file-at", _D, "file.txt"), "unlink-file-at"),
    "unlink-a-link": _reading(_asks("unlink-file-at", _D, "out"), "unlink-file-at"),
    "remove-a-directory": _reading(_asks("remove-directory-at", _D, "deep"), "remove-directory-at"),
    "make-a-directory": _reading(_asks("create-directory-at", _D, "new"), "create-directory-at"),
    "symbolic-link": _reading(_asks("symlink-at", _D, "file.txt", "new"), "symlink-at"),
    "hard-link": _reading(_asks("link-at", _D, 0, "file.txt", _D, "new"), "link-at"),
}


def _link_then_open(target: str) -> Build:
    def build(world: World) -> Program:
        program = Program()
        directory = program.directory()
        program.call("symlink-at", directory, world.fill_in(target), "made")
        program.read(program.open(directory, "made"))
        return program

    return build


def _moves_while_open(world: World) -> Program:
    """Move an open directory, put another in its place, and go up from the old one."""
    program = Program()
    directory = program.directory()
    program.call("create-directory-at", directory, "deep/deeper", quiet=True)
    deeper = program.open(directory, "deep/deeper", READ | MUTATE, how=DIRECTORY, quiet=True)
    program.call("rename-at", directory, "deep/deeper", directory, "deeper", quiet=True)
    program.call("rename-at", directory, "deeper", directory, "deep/deeper", quiet=True)
    program.call("open-at", deeper, 1, "../../../private/canary", 0, READ)
    program.call("rename-at", deeper, "../../file.txt", directory, "../private/moved")
    return program


def _from_read_only(world: World) -> Program:
    """Move a file out of a directory that may only be read into one that may be written."""
    program = Program()
    for one, other in ((0, 1), (1, 0)):
        program.call("rename-at", program.directory(one), "file.txt", program.directory(other), "stolen")
        program.call("link-at", program.directory(one), 0, "file.txt", program.directory(other), "stolen")
    return program


def _rename_over_link(world: World) -> Program:
    program = Program()
    directory = program.directory()
    program.call("rename-at", directory, "file.txt", directory, "out/canary")
    program.call("rename-at", directory, "out/canary", directory, "stolen")
    return program


WRITABLE: dict[str, Attempt] = {
    "link-made-and-opened": _writing(_link_then_open("../private/canary"), "symlink-at", "open-at"),
    "absolute-link-made-and-opened": _writing(
        _link_then_open("{private}/canary"), "symlink-at", "open-at"
    ),
    "link-made-to-a-granted-file": _writing(_link_then_open("file.txt"), "symlink-at", "open-at"),
    "hard-link-to-the-outside": _writing(_asks("link-at", _D, 0, "../private/canary", _D, "in"), "link-at"),
    "hard-link-through-a-link": _writing(_asks("link-at", _D, 1, "out-file", _D, "in"), "link-at"),
    "hard-link-of-a-link": _writing(_asks("link-at", _D, 0, "out-file", _D, "in"), "link-at"),
    "hard-link-into-the-outside": _writing(
        _asks("link-at", _D, 0, "file.txt", _D, "../private/new"), "link-at"
    ),
    "rename-from-the-outside": _writing(_asks("rename-at", _D, "../private/canary", _D, "in"), "rename-at"),
    "rename-to-the-outside": _writing(
        _asks("rename-at", _D, "file.txt", _D, "../private/canary"), "rename-at"
    ),
    "rename-to-an-absolute-path": _writing(
        _asks("rename-at", _D, "file.txt", _D, "{private}/canary"), "rename-at"
    ),
    "rename-through-a-link": _writing(_rename_over_link, "rename-at"),
    "rename-of-the-directory-itself": _writing(_asks("rename-at", _D, ".", _D, "../moved"), "rename-at"),
    "rename-of-an-open-directory": _writing(_moves_while_open, "open-at", "rename-at"),
    "rename-out-of-a-read-only-directory": _writing(
        _from_read_only, "rename-at", "link-at", grants=(WRITES, SHELF)
    ),
    "unlink-outside": _writing(_asks("unlink-file-at", _D, "../private/canary"), "unlink-file-at"),
    "unlink-through-a-link": _writing(_asks("unlink-file-at", _D, "out/canary"), "unlink-file-at"),
    "remove-a-directory-outside": _writing(
        _asks("remove-directory-at", _D, "../empty"), "remove-directory-at"
    ),
    "remove-the-directory-itself": _writing(_asks("remove-directory-at", _D, "."), "remove-directory-at"),
    "make-a-directory-outside": _writing(
        _asks("create-directory-at", _D, "../private/new"), "create-directory-at"
    ),
    "make-a-directory-through-a-link": _writing(
        _asks("create-directory-at", _D, "out/new"), "create-directory-at"
    ),
    "create-outside": _writing(_opens("../private/new", READ | WRITE, how=CREATE), "open-at"),
    "create-through-a-link": _writing(_opens("out/new", READ | WRITE, how=CREATE), "open-at"),
    "create-at-the-target-of-a-link": _writing(_opens("new-out", READ | WRITE, how=CREATE), "open-at"),
    "truncate-through-a-link": _writing(_opens("out-file", WRITE, how=TRUNCATE), "open-at"),
    "write-through-a-link-to-a-read-only-directory": _writing(
        _opens("to-shelf/file.txt", READ | WRITE), "open-at", grants=(WRITES, SHELF)
    ),
    "set-times-through-a-link": _writing(
        _asks("set-times-at", _D, 1, "out-file", 2, 0, 0, 2, 0, 0), "set-times-at"
    ),
    "set-times-of-the-parent": _writing(
        _asks("set-times-at", _D, 1, "../private", 2, 0, 0, 2, 0, 0), "set-times-at"
    ),
    "set-times-of-a-granted-file": _writing(
        _asks("set-times-at", _D, 1, "file.txt", 2, 0, 0, 2, 0, 0), "set-times-at"
    ),
    "sparse-file": _writing(_on_file("set-size", 1 << 40, flags=READ | WRITE), "set-size"),
    "write-at-a-huge-offset": _writing(
        _on_file("write", b"x", (1 << 63) - 2, flags=READ | WRITE), "write"
    ),
    "write-beyond-the-bound-of-a-file": _writing(
        _on_file("write", b"x", 64 << 20, flags=READ | WRITE), "write"
    ),
    "write-at-a-negative-offset": _writing(
        _on_file("write", b"x", (1 << 64) - 1, flags=READ | WRITE), "write"
    ),
}  # fmt: skip
