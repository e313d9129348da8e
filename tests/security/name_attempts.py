"""Calls that reach for secrets, variables and programs by their names, and for the service's log."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from tests.security.ground import CANARY, Attempt, End, Ground

SECRET, VARIABLE, COMMAND = ("get_secret",), ("read_env",), ("exec_command",)
_GONE_SECONDS = 3.0  # how long a killed process may take to go on a loaded machine


def program(name: str, script: str) -> Callable[[Ground], None]:
    """Offer one more command, as an operator does."""
    return lambda ground: ground.program(ground.commands / name, ground.fill(script))


def secret(name: str, make: Callable[[Path], object]) -> Callable[[Ground], None]:
    def arrange(ground: Ground) -> None:
        make(ground.secrets / name)

    return arrange


def leaves_a_child(script: str) -> Callable[[Ground], None]:
    """A program that writes the number of its child to `child` in the workspace."""

    def arrange(ground: Ground) -> None:
        ground.program(ground.commands / "parent", script)
        ground.checks.append(lambda: _lives(ground.workspace / "child"))

    return arrange


def _lives(place: Path) -> str | None:
    try:
        number = int(place.read_text())
    except (FileNotFoundError, ValueError):
        return "the program has not run: nothing was shown"
    until = time.monotonic() + _GONE_SECONDS
    while time.monotonic() < until:
        with suppress(FileNotFoundError, ProcessLookupError):
            if Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX":
                time.sleep(0.02)
                continue
        return None
    os.kill(number, 9)
    return "a process was left behind"


def open_canary(ground: Ground) -> None:
    """A descriptor of the service that children would inherit."""
    descriptor = os.open(ground.outside / "canary.txt", os.O_RDONLY)
    os.set_inheritable(descriptor, True)
    ground.later(lambda: os.close(descriptor))
    ground.program(ground.commands / "descriptors", f"cat /proc/self/fd/* <&{descriptor}; cat /dev/fd/*")


def _secrets() -> Iterator[Attempt]:
    names = {
        "over dots": "../outside/canary.txt",
        "by an absolute path": "{outside}/canary.txt",
        "below another": "API/../OTHER",
        "after one dot": "./OTHER",
        "that is the directory": ".",
        "that is the directory above": "..",
        "of no name": "",
        "in lower case": "other",
        "with a zero byte": "OTHER\0",
        "with a line break": "OTHER\n",
        "with a space": " OTHER",
        "by a wildcard": "*",
        "by a wildcard in its name": "OTHE?",
        "with escapes": "%4fTHER",
        "of full width": "ＯＴＨＥＲ",  # noqa: RUF001
        "of a long name": "A" * 100_000,
        "by the variable it is in": "SKILL_SECRET_OTHER/",
    }
    for name, text in names.items():
        yield Attempt(f"get a secret {name}", SECRET, "get_secret", (text,), end=End.DENIED)
    for name in ("OTHER", "API_", "AP", "APIOTHER", "SKILL_SECRET_OTHER", "CYBEROS_CANARY"):
        yield Attempt(f"get the secret {name}, not the one granted", ("get_secret(API)",), "get_secret",
                      (name,), end=End.DENIED)  # fmt: skip
    yield Attempt("get a secret without a grant", (), "get_secret", ("OTHER",), end=End.DENIED)
    yield Attempt("get a variable as a secret", SECRET, "get_secret", ("CYBEROS_CANARY",))
    kinds: dict[str, Callable[[Path], object]] = {
        "a pipe": os.mkfifo,
        "a directory": Path.mkdir,
        "huge": lambda place: place.write_text("x" * 200_000),
        "endless": lambda place: place.symlink_to("/dev/zero"),
        "no text": lambda place: place.write_bytes(b"\xff\xfe"),
    }
    for name, make in kinds.items():
        yield Attempt(f"get a secret that is {name}", SECRET, "get_secret", ("ODD",), secret("ODD", make))


def _variables() -> Iterator[Attempt]:
    for name in (
        "CYBEROS_CANARY", "SKILL_SECRET_OTHER", "GITHUB_TOKEN", "DATABASE_URL", "PGPASSWORD",
        "AWS_SECRET_ACCESS_KEY", "cyberos_canary", "CYBEROS_CANARY\0", "CYBEROS_CANARY=", " CYBEROS_CANARY",
        "COMPANY_NAME\0CYBEROS_CANARY", "*", "CYBEROS_*", "${CYBEROS_CANARY}", "", "GITHUB_TOKEN\n",
        "ＣYBEROS_CANARY",  # noqa: RUF001
    ):  # fmt: skip
        yield Attempt(f"read the variable {name!r}", VARIABLE, "read_env", (name,), end=End.DENIED)
    for name in ("GITHUB_TOKEN", "CYBEROS_CANARY", "DATABASE_URL"):
        yield Attempt(f"read the variable {name}, not the one granted", ("read_env(COMPANY_NAME)",),
                      "read_env", (name,), end=End.DENIED)  # fmt: skip
    yield Attempt("read a variable without a grant", (), "read_env", ("COMPANY_NAME",), end=End.DENIED)
    yield Attempt("read a variable with a grant for secrets", SECRET, "read_env", ("GITHUB_TOKEN",),
                  end=End.DENIED)  # fmt: skip


def _commands() -> Iterator[Attempt]:
    names = {
        "over dots": "../outside/evil",
        "by an absolute path": "{outside}/evil",
        "below another": "say/../../outside/evil",
        "after one dot": "./say",
        "that is the directory": ".",
        "that is the directory above": "..",
        "of no name": "",
        "that is an option": "-c",
        "with more of the shell": "say;cat {outside}/canary.txt",
        "with an argument": "say {outside}/canary.txt",
        "with a zero byte": "say\0",
        "with a line break": "say\n",
        "that is hidden": ".say",
        "by a wildcard": "*",
    }
    for name, text in names.items():
        yield Attempt(f"run a command {name}", COMMAND, "exec_command", (text, ()), end=End.DENIED)
    yield Attempt("run a program of the system", COMMAND, "exec_command", ("cat", ("{outside}/canary.txt",)))
    yield Attempt("run a command that was not granted", ("exec_command(say)",), "exec_command", ("other", ()),
                  program("other", "cat {outside}/canary.txt"), End.DENIED)  # fmt: skip
    yield Attempt("run a command without a grant", (), "exec_command", ("say", ()), end=End.DENIED)
    yield Attempt("run what cannot be executed", COMMAND, "exec_command", ("text", ()), lambda ground: (
        (ground.commands / "text").write_text(f"echo {CANARY}")))  # fmt: skip
    yield Attempt("run a directory", COMMAND, "exec_command", ("folder", ()), lambda ground: (
        (ground.commands / "folder").mkdir()))  # fmt: skip
    told = {
        "a second command": "; cat {outside}/canary.txt",
        "a substitution": "$(cat {outside}/canary.txt)",
        "back quotes": "`cat {outside}/canary.txt`",
        "a pipe": "| cat {outside}/canary.txt",
        "a line break": "x\ncat {outside}/canary.txt",
        "a redirection": "> {outside}/changed",
        "quotes": '" ; cat {outside}/canary.txt ; "',
        "a variable": "$CYBEROS_CANARY${GITHUB_TOKEN}",
        "a wildcard": "{outside}/*",
    }
    for name, text in told.items():
        yield Attempt(f"run a command with {name} as argument", COMMAND, "exec_command",
                      ("say", (text,)), end=End.HARMLESS)  # fmt: skip
    yield Attempt("run a command with a zero byte in its words", COMMAND, "exec_command", ("say", ("a\0b",)))
    yield Attempt("run a command with too much", COMMAND, "exec_command", ("say", ("x" * 70_000,)))
    yield Attempt("run a command with too many", COMMAND, "exec_command", ("say", ("x",) * 65))
    yield Attempt("ask a command for the environment", COMMAND, "exec_command", ("shows", ()),
                  program("shows", "env; cat /proc/self/environ"), End.HARMLESS)  # fmt: skip
    yield Attempt("ask a command for open descriptors", COMMAND, "exec_command", ("descriptors", ()),
                  open_canary)  # fmt: skip
    yield Attempt("ask a command for its input", COMMAND, "exec_command", ("reads", ()),
                  program("reads", "cat"), End.HARMLESS)  # fmt: skip
    yield from _floods()


def _floods() -> Iterator[Attempt]:
    yield Attempt("flood the output of a command", COMMAND, "exec_command", ("flood", ()),
                  program("flood", "exec yes"))  # fmt: skip
    yield Attempt("flood the errors of a command", COMMAND, "exec_command", ("flood", ()),
                  program("flood", "yes | head -c 50000000 >&2; exit 1"))  # fmt: skip
    yield Attempt("have a command sleep", COMMAND, "exec_command", ("sleeps", ()),
                  program("sleeps", "exec sleep 600"), slow=True)  # fmt: skip
    yield Attempt("have a command close its pipes and sleep", COMMAND, "exec_command", ("sleeps", ()),
                  program("sleeps", "exec sleep 600 >&- 2>&-"), slow=True)  # fmt: skip
    yield Attempt("have a command ignore its end", COMMAND, "exec_command", ("sleeps", ()),
                  program("sleeps", "trap '' TERM INT; while :; do sleep 1; done"), slow=True)  # fmt: skip
    yield Attempt("have a command leave a child", COMMAND, "exec_command", ("parent", ()),
                  leaves_a_child("sleep 600 & echo $! > child"), End.HARMLESS)  # fmt: skip
    yield Attempt("have a command that fails leave a child", COMMAND, "exec_command", ("parent", ()),
                  leaves_a_child("sleep 600 & echo $! > child; exit 3"))  # fmt: skip
    yield Attempt("have a command that is stopped leave a child", COMMAND, "exec_command", ("parent", ()),
                  leaves_a_child("sleep 600 & echo $! > child; wait"), slow=True)  # fmt: skip


def _log() -> Iterator[Attempt]:
    for name, text in {
        "a line of its own": "done\nERROR the ledger is corrupt",
        "a carriage return": "done\rERROR the ledger is corrupt",
        "commands of the terminal": "\x1b[2J\x1b]0;gone\x07",
        "text that runs backwards": "\u202etpurroc si regdel",
        "a separator of lines": "done\u2028ERROR\x85the ledger is corrupt",
        "a placeholder": "%s %n %(name)s {0}",
        "a huge message": "x" * 100_000,
    }.items():
        yield Attempt(f"log {name}", (), "log", (text,), end=End.HARMLESS)
    yield Attempt("log over and over", (), "log", ("again",), end=End.HARMLESS, times=300)


NAME_ATTEMPTS = [*_secrets(), *_variables(), *_commands(), *_log()]
