"""Where hostile host calls are made: directories with traps, servers on loopback, what must stay as it is."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from urllib.parse import unquote

from tests.support.loopback import Reply, serving, text_answer

CANARY = "canary-7f3a91c2e5"
"""Stands wherever no answer may come from."""

ENVIRONMENT = {
    "CYBEROS_CANARY": CANARY,
    "SKILL_SECRET_OTHER": CANARY,
    "GITHUB_TOKEN": CANARY,
    "DATABASE_URL": f"postgresql://me:{CANARY}@db/main",
    "PGPASSWORD": CANARY,
    "AWS_SECRET_ACCESS_KEY": CANARY,
    "COMPANY_NAME": "An Bình",
}
"""What the service's environment holds meanwhile."""

PUBLIC = "::93.184.216.34"
"""Counts as a public address, and leads nowhere: this form was given up in 2006, and no router carries it."""


@dataclass
class Ground:
    """The directories of a service, and `outside` beside them, which no skill may read or change.

    `names` is what the resolver answers: one list of addresses for each time that it is asked, the last one
    for good. `requests` are the heads that hostile servers were sent.
    """

    workspace: Path
    skill: Path
    secrets: Path
    memory: Path
    commands: Path
    outside: Path
    names: dict[str, list[list[str]]] = field(default_factory=dict)
    requests: list[bytes] = field(default_factory=list)
    checks: list[Callable[[], str | None]] = field(default_factory=list)
    values: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._stack = ExitStack()
        self._reached: list[str] = []
        self._asked: dict[str, int] = {}
        self.values["outside"] = str(self.outside)
        self._furnish()
        self.values["canary"] = str(self.serve(self._canary_answer, recorded=False))
        self._before = self._kept()

    def _furnish(self) -> None:
        for folder in (
            self.workspace, self.skill, self.secrets, self.memory, self.commands, self.outside,
        ):  # fmt: skip
            folder.mkdir(parents=True, exist_ok=True)
        (self.outside / "canary.txt").write_text(CANARY)
        (self.outside / CANARY).touch()
        (self.outside / "canary.md").write_text(f"a note about the word findme: {CANARY}")
        self.program(self.outside / "evil", f"echo {CANARY}")
        (self.secrets / "API").write_text("the api's own key")
        (self.secrets / "OTHER").write_text(CANARY)
        (self.memory / "note.md").write_text("nothing of note")
        self.program(self.commands / "say", "printf '%s\\n' \"$@\"")

    @staticmethod
    def program(path: Path, script: str) -> None:
        """Write a shell script that can be executed."""
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def fill(self, text: str) -> str:
        """Put in what is known only when the ground is laid: `{outside}`, `{canary}`, a trap's own values."""
        for name, value in self.values.items():
            text = text.replace(f"{{{name}}}", value)
        return text

    def close(self) -> None:
        """Stop the servers, and undo what traps did to this process."""
        self._stack.close()

    def later(self, undo: Callable[[], object]) -> None:
        """Do this at the end."""
        self._stack.callback(undo)

    def serve(self, reply: Reply, *, recorded: bool = True) -> int:
        """Start a server on loopback that answers every connection once; return its port."""

        def answer(head: bytes) -> bytes | Iterable[bytes]:
            if recorded:
                self.requests.append(head)
            return reply(head)

        return self._stack.enter_context(serving(answer))

    def _canary_answer(self, head: bytes) -> bytes:
        target = unquote(unquote(head.partition(b" ")[2].partition(b" ")[0].decode("latin-1")))
        if target.startswith("/public/") and ".." not in target:
            return text_answer("nothing of note")
        self._reached.append(target)
        return text_answer(CANARY)

    def variable(self, name: str, value: str) -> None:
        """Set a variable of this process until the end."""
        before = os.environ.get(name)
        os.environ[name] = value
        self.later(
            lambda: os.environ.pop(name, None) if before is None else os.environ.__setitem__(name, before)
        )

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        """Answer as a hostile server of names: it may say something else each time."""
        if host == "localhost":
            return ["127.0.0.1", "::1"]
        answers = self.names.get(host)
        if not answers:
            raise OSError("no such name")
        asked = self._asked.get(host, 0)
        self._asked[host] = asked + 1
        return answers[min(asked, len(answers) - 1)]

    def laid(self) -> None:
        """Remember how things are once the trap is laid."""
        self._before = self._kept()

    def harm(self, told: str) -> str | None:
        """Say what went wrong after a call whose answer, or error, was `told`; None when nothing did."""
        if self._reached:
            return f"the canary's server was reached: {self._reached[0]}"
        if CANARY in told:
            return "the canary was told"
        now = self._kept()
        if now != self._before:
            changed = sorted(map(str, {*now.items()} ^ {*self._before.items()}))
            return f"what no skill may change was changed: {changed[:3]}"
        if any(b"x-injected" in head.lower().partition(b"\r\n")[2] for head in self.requests):
            return "a header was injected"
        return next((found for check in self.checks if (found := check()) is not None), None)

    def _kept(self) -> Mapping[str, object]:
        """What lies in the directories that no skill may change."""
        kept: dict[str, object] = {}
        for folder in (self.outside, self.skill, self.secrets, self.memory, self.commands):
            for path in (folder, *folder.rglob("*")):
                status = path.lstat()
                regular = path.is_file() and not path.is_symlink() and status.st_size < 1 << 20
                kept[str(path)] = (status.st_mode, path.read_bytes() if regular else status.st_size)
        return kept


class End(Enum):
    """How a call ends at best."""

    DENIED = "the run ends with exit code 126, or the call is an error where it names nothing"
    REFUSED = "the call is an error, or the run ends"
    HARMLESS = "the call may be answered: what matters is that nothing happened"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One host call of a hostile skill.

    `grants` are the capabilities that it was granted. `grants` and `arguments` may hold `{values}` of the
    ground, which `arrange` lays the trap on and may add to. `times`: how often the call is made, in one
    run. `slow`: it is to end by its deadline; all others end by themselves.
    """

    name: str
    grants: tuple[str, ...]
    function: str
    arguments: tuple[object, ...]
    arrange: Callable[[Ground], object] | None = None
    end: End = End.REFUSED
    times: int = 1
    slow: bool = False

    def lay(self, ground: Ground) -> tuple[tuple[str, ...], tuple[object, ...]]:
        """Lay the trap; return the grants and the arguments, filled in."""
        if self.arrange is not None:
            self.arrange(ground)
        ground.laid()
        arguments = tuple(
            ground.fill(one) if isinstance(one, str)
            else [ground.fill(each) for each in one] if isinstance(one, tuple)
            else one
            for one in self.arguments
        )  # fmt: skip
        return tuple(map(ground.fill, self.grants)), arguments


@contextmanager
def ground_below(root: Path) -> Iterator[Ground]:
    """Lay the directories below one."""
    ground = Ground(
        workspace=root / "workspace",
        skill=root / "skill",
        secrets=root / "secrets",
        memory=root / "memory",
        commands=root / "commands",
        outside=root / "outside",
    )
    try:
        yield ground
    finally:
        ground.close()
