"""Calls that reach for files and notes beyond what was granted, by every known trick of paths."""

from __future__ import annotations

import ctypes
import os
import socket
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.security.ground import CANARY, Attempt, End, Ground

SWAPS = 2000
"""How often the call is made while a directory turns into a link and back."""

READ, WRITE, LIST = ("read_file",), ("write_file",), ("list_dir",)
MEBIBYTE = 1 << 20

_libc = ctypes.CDLL(None, use_errno=True)
_HERE, _EXCHANGE = -100, 2  # AT_FDCWD, RENAME_EXCHANGE of linux/fs.h


def link(name: str, target: str) -> Callable[[Ground], None]:
    """Lay a symbolic link into the workspace."""

    def arrange(ground: Ground) -> None:
        place = ground.workspace / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(ground.fill(target))

    return arrange


def file(name: str, text: str = CANARY) -> Callable[[Ground], None]:
    """Lay a file into the workspace."""

    def arrange(ground: Ground) -> None:
        place = ground.workspace / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)

    return arrange


def folder(name: str) -> Callable[[Ground], None]:
    """Lay a directory into the workspace."""
    return lambda ground: (ground.workspace / name).mkdir(parents=True)


def pipe(ground: Ground) -> None:
    os.mkfifo(ground.workspace / "pipe")


def unix_socket(ground: Ground) -> None:
    listener = socket.socket(socket.AF_UNIX)
    ground.later(listener.close)
    folder_descriptor = os.open(ground.workspace, os.O_RDONLY | os.O_DIRECTORY)
    listener.bind(f"/proc/self/fd/{folder_descriptor}/socket")  # a socket's path is short
    os.close(folder_descriptor)


def device(ground: Ground) -> None:
    """A device that never ends; a link to it where only root may make one."""
    try:
        os.mknod(ground.workspace / "zero", 0o666 | stat.S_IFCHR, os.makedev(1, 5))
    except PermissionError:
        (ground.workspace / "zero").symlink_to("/dev/zero")


def open_descriptor(ground: Ground) -> None:
    """A descriptor of this process that leads to the canary, and links that lead to the descriptor."""
    descriptor = os.open(ground.outside / "canary.txt", os.O_RDWR)
    ground.later(lambda: os.close(descriptor))
    ground.values["fd"] = str(descriptor)
    (ground.workspace / "fds").symlink_to("/proc/self/fd")
    (ground.workspace / "fd").symlink_to(f"/proc/self/fd/{descriptor}")


def hard_link(ground: Ground) -> None:
    os.link(ground.outside / "canary.txt", ground.workspace / "hard.txt")


def sparse(name: str, size: int) -> Callable[[Ground], None]:
    def arrange(ground: Ground) -> None:
        with (ground.workspace / name).open("wb") as made:
            made.truncate(size)

    return arrange


def many_names(ground: Ground) -> None:
    (ground.workspace / "many").mkdir()
    for number in range(12_000):
        (ground.workspace / "many" / f"{number:0200}").touch()


def exchange(one: Path, other: Path) -> None:
    """Exchange two names at once, so that there is no moment without either."""
    if _libc.renameat2(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def swapping(ground: Ground) -> None:
    """A directory that another process turns into a link to the outside, and back, all the time."""
    inside = ground.workspace / "folder"
    inside.mkdir()
    (inside / "canary.txt").write_text("inside")
    (ground.workspace / "link").symlink_to(ground.outside)
    always(ground, lambda: exchange(inside, ground.workspace / "link"))


def always(ground: Ground, act: Callable[[], object]) -> None:
    """Do something again and again until the end."""
    stop = threading.Event()

    def go_on() -> None:
        while not stop.is_set():
            act()

    thread = threading.Thread(target=go_on)
    thread.start()
    ground.later(thread.join)
    ground.later(stop.set)  # what is to be done last is done first


def swapping_file(ground: Ground) -> None:
    """A file that is replaced by a link to the outside, and back, all the time."""
    place, other = ground.workspace / "file.txt", ground.workspace / "other"
    place.write_text("inside")

    def swap() -> None:
        other.symlink_to(ground.outside / "canary.txt")
        other.rename(place)
        other.write_text("inside")
        other.rename(place)

    always(ground, swap)


TEXTS = {
    "two dots": "../outside/canary.txt",
    "two dots further down": "a/../../outside/canary.txt",
    "two dots after the workspace": "/workspace/../outside/canary.txt",
    "two dots after the skill": "/skill/../outside/canary.txt",
    "two dots after one": "./../outside/canary.txt",
    "many dots": "../" * 100 + "{outside}/canary.txt",
    "an absolute path": "{outside}/canary.txt",
    "two slashes": "/{outside}/canary.txt",
    "an absolute path after the workspace": "/workspace/{outside}/canary.txt",
    "an absolute path after one dot": "./{outside}/canary.txt",
    "the process's root": "/proc/self/root{outside}/canary.txt",
    "the process's directory": "/proc/self/cwd/../outside/canary.txt",
    "standard input": "/dev/stdin",
    "a zero byte at the end": "{outside}/canary.txt\0.csv",
    "a zero byte before": "a.txt\0/../../outside/canary.txt",
    "backslashes": "..\\outside\\canary.txt",
    "a backslash and a slash": "..\\/outside/canary.txt",
    "escapes": "%2e%2e/outside/canary.txt",
    "escaped slashes": "..%2foutside%2fcanary.txt",
    "escapes of escapes": "%252e%252e/outside/canary.txt",
    "full-width dots": "．．/outside/canary.txt",  # noqa: RUF001
    "a leader of two dots": "‥/outside/canary.txt",
    "other slashes": "..∕outside∕canary.txt",  # noqa: RUF001
    "an invisible space in the dots": ".\u200b./outside/canary.txt",
    "a direction mark": "\u202e../outside/canary.txt",
    "a line break": "../outside/canary.txt\n",
    "spaces around": " ../outside/canary.txt ",
    "a path that is too long": "a/" * 3000 + "../" * 3000 + "outside/canary.txt",
    "a name that is too long": "a" * 5000 + "/../../outside/canary.txt",
    "a URL of a file": "file://{outside}/canary.txt",
    "a home directory": "~/../..{outside}/canary.txt",
    "a variable of the shell": "$PWD/../outside/canary.txt",
}
"""Texts that lead from the workspace to the canary for a reader who is not careful."""


def _paths() -> Iterator[Attempt]:
    for name, text in TEXTS.items():
        yield Attempt(f"read {name}", READ, "read_file", (text,), folder("a"))
    for name in ("two dots", "an absolute path", "two slashes", "a zero byte at the end", "backslashes"):
        yield Attempt(f"write {name}", WRITE, "write_file", (TEXTS[name], "changed"), end=End.DENIED)
        listed = TEXTS[name].replace("canary.txt", "")
        yield Attempt(f"list {name}", LIST, "list_dir", (listed,), end=End.DENIED)
    yield Attempt("read nothing", READ, "read_file", ("",))
    yield Attempt("read the workspace itself", READ, "read_file", (".",))
    yield Attempt("write nothing", WRITE, "write_file", ("", "changed"))
    yield Attempt("write the workspace itself", WRITE, "write_file", ("/workspace/", "changed"))


def _links() -> Iterator[Attempt]:
    outward = {
        "a link to a file": ("link", "{outside}/canary.txt", "link"),
        "a relative link": ("link", "../outside/canary.txt", "link"),
        "a link to a directory": ("link", "{outside}", "link/canary.txt"),
        "a link up": ("link", "..", "link/outside/canary.txt"),
        "a link to the root": ("link", "/", "link{outside}/canary.txt"),
        "a link further down": ("a/b/link", "../../../outside", "a/b/link/canary.txt"),
        "a link to itself": ("link", "link", "link"),
        "a link to the process's root": ("link", "/proc/self/root", "link{outside}/canary.txt"),
        "a link to the process's directory": ("link", "/proc/self/cwd", "link/pyproject.toml"),
        "a link to the process's environment": ("link", "/proc/self/environ", "link"),
        "a link to standard input": ("link", "/dev/stdin", "link"),
        "a link to an endless device": ("link", "/dev/zero", "link"),
    }
    for name, (place, target, path) in outward.items():
        yield Attempt(f"read over {name}", READ, "read_file", (path,), link(place, target))
    for name in ("a link to a file", "a relative link", "a link to a directory", "a link up"):
        place, target, path = outward[name]
        yield Attempt(f"write over {name}", WRITE, "write_file", (path, "changed"), link(place, target))
    yield Attempt("read over two links", READ, "read_file", ("second",), lambda ground: (
        link("first", "{outside}/canary.txt")(ground), link("second", "first")(ground)))  # fmt: skip
    yield Attempt("read over links in a circle", READ, "read_file", ("first/x",), lambda ground: (
        link("first", "second")(ground), link("second", "first")(ground)))  # fmt: skip
    yield Attempt("list over a link", LIST, "list_dir", ("link",), link("link", "{outside}"))
    made = link("link", "{outside}")
    yield Attempt("make a file behind a link", WRITE, "write_file", ("link/new.txt", "x"), made)
    yield Attempt("make directories behind a link", WRITE, "write_file", ("link/new/deep.txt", "x"), made)
    hanging = link("link", "{outside}/new.txt")
    yield Attempt("make the file that a link hangs over", WRITE, "write_file", ("link", "x"), hanging)
    yield Attempt("read a descriptor", READ, "read_file", ("fd",), open_descriptor)
    yield Attempt("read among the descriptors", READ, "read_file", ("fds/{fd}",), open_descriptor)
    yield Attempt("write to a descriptor", WRITE, "write_file", ("fd", "changed"), open_descriptor)
    yield Attempt(
        "write over a hard link", WRITE, "write_file", ("hard.txt", "changed"), hard_link, End.HARMLESS
    )


def _kinds() -> Iterator[Attempt]:
    yield Attempt("read a pipe", READ, "read_file", ("pipe",), pipe)
    yield Attempt("write to a pipe", WRITE, "write_file", ("pipe", "x"), pipe)
    yield Attempt("list a pipe", LIST, "list_dir", ("pipe",), pipe)
    yield Attempt("read a socket", READ, "read_file", ("socket",), unix_socket)
    yield Attempt("write to a socket", WRITE, "write_file", ("socket", "x"), unix_socket)
    yield Attempt("read a device", READ, "read_file", ("zero",), device)
    yield Attempt("write to a device", WRITE, "write_file", ("zero", "x"), device)
    yield Attempt("read a directory", READ, "read_file", ("a",), folder("a"))
    yield Attempt("write over a directory", WRITE, "write_file", ("a", "x"), folder("a"))
    yield Attempt("read below a file", READ, "read_file", ("a/b",), file("a", "text"))
    yield Attempt("write below a file", WRITE, "write_file", ("a/b", "x"), file("a", "text"))
    yield Attempt("list a file", LIST, "list_dir", ("a",), file("a", "text"))
    yield Attempt("read a huge file", READ, "read_file", ("a",), file("a", "x" * 4 * MEBIBYTE))
    yield Attempt("read a hole of a tebibyte", READ, "read_file", ("hole",), sparse("hole", 1 << 40))
    yield Attempt("write too much", WRITE, "write_file", ("a", "x" * 5 * MEBIBYTE))
    yield Attempt("list too many names", LIST, "list_dir", ("many",), many_names)
    yield Attempt("write to the skill's own directory", WRITE, "write_file", ("/skill/SKILL.md", "x"),
                  end=End.DENIED)  # fmt: skip
    for function, arguments in {
        "read_file": ("folder/canary.txt",),
        "write_file": ("folder/canary.txt", "changed"),
        "list_dir": ("folder",),
    }.items():
        yield Attempt(f"{function} while a directory turns into a link", (function,), function, arguments,
                      swapping, End.HARMLESS, times=SWAPS)  # fmt: skip
    for function, text in {"read_file": (), "write_file": ("changed",)}.items():
        yield Attempt(f"{function} while a file turns into a link", (function,), function,
                      ("file.txt", *text), swapping_file, End.HARMLESS, times=SWAPS // 4)  # fmt: skip


def _patterns() -> Iterator[Attempt]:
    beyond = {
        "a neighbour": ("public/**", "private/canary.txt", "private/canary.txt"),
        "a neighbour over dots": ("public/**", "private/canary.txt", "public/../private/canary.txt"),
        "a neighbour of the same beginning": ("public/**", "public2/canary.txt", "public2/canary.txt"),
        "a neighbour in other case": ("public/**", "Public/canary.txt", "Public/canary.txt"),
        "a file in other case": ("notes.txt", "NOTES.TXT", "NOTES.TXT"),
        "another form of a letter": ("caf\u00e9.txt", "cafe\u0301.txt", "cafe\u0301.txt"),
        "a hidden file": ("**", ".env", ".env"),
        "a hidden file by a star": ("*", ".env", ".env"),
        "a hidden directory": ("**", "a/.git/config", "a/.git/config"),
        "further down than a star": ("public/*", "public/deep/canary.txt", "public/deep/canary.txt"),
        "another suffix": ("*.csv", "canary.csv.key", "canary.csv.key"),
        "a suffix further down": ("*.csv", "a/canary.csv", "a/canary.csv"),
        "a slash for a question mark": ("a?c", "a/c", "a/c"),
        "a wildcard": ("public/**", "private/canary.txt", "priv*/canary.txt"),
        "all wildcards": ("public/**", "private/canary.txt", "**/canary.txt"),
        "the directory above": ("public/**", "canary.txt", "public/../canary.txt"),
        "the workspace by the skill's pattern": ("/skill/**", "canary.txt", "canary.txt"),
        "a trailing slash": ("public", "private", "private/"),
    }  # fmt: skip
    for name, (pattern, place, path) in beyond.items():
        yield Attempt(f"read beyond a pattern: {name}", (f"read_file({pattern})",), "read_file", (path,),
                      file(place), End.DENIED)  # fmt: skip
    yield Attempt("list beyond a pattern", ("list_dir(public/**)",), "list_dir", (".",), file(CANARY),
                  End.DENIED)  # fmt: skip
    yield Attempt("read the skill by the workspace's pattern", ("read_file(**)",), "read_file",
                  ("/skill/canary.txt",), lambda ground: (ground.skill / "canary.txt").write_text(CANARY),
                  End.DENIED)  # fmt: skip
    for path in ("in/x", "out", "out/.hidden", "out/../x", "/skill/out/x", "OUT/x"):
        yield Attempt(f"write beyond a pattern: {path}", ("write_file(out/**)",), "write_file",
                      (path, "x"), nothing_written, End.DENIED)  # fmt: skip
    yield Attempt("write with a grant to read", READ, "write_file", ("x", "x"), nothing_written, End.DENIED)
    yield Attempt("read with a grant to list", LIST, "read_file", ("a",), file("a"), End.DENIED)
    yield Attempt("list with a grant to read", READ, "list_dir", (".",), file(CANARY), End.DENIED)
    for function, arguments in {
        "read_file": ("a",), "write_file": ("x", "x"), "list_dir": (".",), "recall_memory": ("note", 5),
    }.items():  # fmt: skip
        yield Attempt(f"{function} without a grant", (), function, arguments, end=End.DENIED)


def nothing_written(ground: Ground) -> None:
    """Whatever is written to the workspace is too much."""
    ground.checks.append(lambda: "something was written" if any(ground.workspace.iterdir()) else None)


def _notes() -> Iterator[Attempt]:
    def note(name: str, make: Callable[[Path, Path], object]) -> Callable[[Ground], object]:
        def arrange(ground: Ground) -> None:
            place = ground.memory / name
            place.parent.mkdir(parents=True, exist_ok=True)
            make(place, ground.outside)

        return arrange

    told = f"findme {CANARY}"
    beyond: dict[str, Callable[[Ground], object]] = {
        "a link to a file": note("link.md", lambda place, out: place.symlink_to(out / "canary.md")),
        "a link to a directory": note("link", lambda place, out: place.symlink_to(out)),
        "a link up": note("link", lambda place, out: place.symlink_to("../outside")),
        "a hidden file": note(".hidden.md", lambda place, _: place.write_text(told)),
        "a hidden directory": note(".git/note.md", lambda place, _: place.write_text(told)),
        "what is no note": note("key.pem", lambda place, _: place.write_text(told)),
        "a pipe": note("pipe.md", lambda place, _: os.mkfifo(place)),
        "a huge file": note("huge.md", lambda place, _: place.write_text("findme " * 40_000 + CANARY)),
        "a process's files": note("link.md", lambda place, _: place.symlink_to("/proc/self/environ")),
    }
    for name, arrange in beyond.items():
        yield Attempt(f"recall {name}", ("recall_memory",), "recall_memory", ("findme note", 50), arrange,
                      End.HARMLESS)  # fmt: skip
    for limit in (0, 51, 4_294_967_295):
        yield Attempt(f"recall {limit} notes", ("recall_memory",), "recall_memory", ("note", limit))
    yield Attempt("recall with a long query", ("recall_memory",), "recall_memory", ("note " * 10_000, 5))
    yield Attempt("recall with a path", ("recall_memory",), "recall_memory", ("../outside/canary.md", 5),
                  end=End.HARMLESS)  # fmt: skip


FILE_ATTEMPTS = [*_paths(), *_links(), *_kinds(), *_patterns(), *_notes()]
