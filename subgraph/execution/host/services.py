"""What the service does for a skill: one call in, one answer out, with no state of a run kept here."""

from __future__ import annotations

import asyncio
import logging
import re
import ssl
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar

from subgraph.capabilities.patterns import VirtualPath
from subgraph.capabilities.urls import normalise_url
from subgraph.catalog.showing import UNSEEN
from subgraph.execution.host.arguments import path_of, recorded_target, target_of
from subgraph.execution.host.commands import run_command
from subgraph.execution.host.environment import read_variable
from subgraph.execution.host.errors import HostCallDenied, HostCallError
from subgraph.execution.host.fetch import Fetcher, Resolver
from subgraph.execution.host.files import (
    RUN_WRITE_LIMIT,
    list_names,
    opened_root,
    read_text,
    text_at_hand,
    write_text,
)
from subgraph.execution.host.memory import Memory
from subgraph.execution.host.secrets import Redactor, SecretStore

LOG_LIMIT: Final = 1000
"""Characters of one message of a skill in the service's log; the rest is cut off."""

MESSAGE_LIMIT: Final = 16 * 1024
"""Characters of one message at all. Secrets are taken out of the whole before it is cut, which takes as long
as it is long."""

LOG_LINES_LIMIT: Final = 100
"""Messages of one run: a skill must not fill the disk of the log."""

COMMANDS_AT_ONCE: Final = 8
"""Commands that run at the same time, each in a thread of its own; further ones wait for their deadline.
They have threads to themselves, so that slow programs do not hold up the reading of files."""

Answer = str | list[str] | None
_T = TypeVar("_T")

# Controls would let a message look like several lines, or like one of the service's own.
_UNSHOWABLE = re.compile(f"[\t\n\r{UNSEEN}]")

logger = logging.getLogger(__name__)


def _never(target: str) -> bool:
    return False


@dataclass(slots=True)
class CallContext:
    """What is true for the calls of one run.

    `skill_dir` is the verified snapshot of the skill. `permits` says whether the run may use a capability
    for a concrete target now (`Broker.permits`), `permits_private` whether it may reach an address on a
    private network (`Broker.permits_private`). `deadline` is the loop's time; `byte_limit` bounds the
    answer of one call, and the content that is written. `redactor` learns each secret that is handed
    out. `skill` names it in the log. `logged` and `written` count its messages, and bytes of the disk: a run
    makes one call at a time.
    """

    skill_dir: Path
    permits: Callable[[str, str], bool]
    deadline: float
    byte_limit: int
    permits_private: Callable[[str], bool] = _never
    skill: str = ""
    redactor: Redactor = field(default_factory=Redactor)
    logged: int = 0
    written: int = 0


class HostServices:
    """Does the host calls of all skills. Use it as an async context manager.

    It decides nothing about grants beyond asking `CallContext.permits`, counts no calls and records none:
    that is for whoever holds the run. Raises `ValueError` when what only the operator may write lies in
    the workspace, or the workspace within it.
    """

    def __init__(
        self,
        workspace: Path,
        secrets_dir: Path | None,
        memory_dir: Path | None,
        commands_dir: Path | None,
        environment: Mapping[str, str],
        resolver: Resolver | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        check_apart(workspace, {
            "CYBEROS_SECRETS_DIR": secrets_dir,
            "CYBEROS_MEMORY_DIR": memory_dir,
            "CYBEROS_COMMANDS_DIR": commands_dir,
        })  # fmt: skip
        self._workspace = workspace
        self._commands_dir = commands_dir
        self._environment = dict(environment)
        self._secrets = SecretStore(secrets_dir, self._environment)
        self._memory = None if memory_dir is None else Memory(memory_dir)
        self._fetcher = Fetcher(resolver, ssl_context)
        self._threads = ThreadPoolExecutor(COMMANDS_AT_ONCE, thread_name_prefix="command")
        self._closing = threading.Event()
        self._exits = AsyncExitStack()
        self._open = False

    async def __aenter__(self) -> Self:
        await self._exits.enter_async_context(self._fetcher)
        self._open = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open = False
        self._closing.set()
        await asyncio.to_thread(self._threads.shutdown, cancel_futures=True)
        await self._exits.aclose()

    def at_hand(self, name: str, arguments: Sequence[object], context: CallContext) -> str | None:
        """Do a call that needs no waiting; None for one that `perform` has to do. Raises as that does."""
        if name != "read_file":
            return None
        path = path_of(self._admitted(name, arguments, context))
        with self._opened_root(path, context) as root:
            return text_at_hand(root, path.parts, context.byte_limit)

    async def perform(self, name: str, arguments: Sequence[object], context: CallContext) -> Answer:
        """Do one call and return its answer: text, a list of texts, or None for `write_file` and `log`.

        Raises `HostCallInvalid` for malformed arguments, `HostCallDenied` for what was not granted, and
        `HostCallError` for all else that stands in the way; `RuntimeError` before it is entered or after.
        """
        target = self._admitted(name, arguments, context)
        if name == "log":
            self._log(str(arguments[0]), context)
            return None
        if name == "fetch_url":
            return await self._fetch(target, context)
        if name == "exec_command":
            return await self._execute(target, arguments[1], context)
        return await _in_time(context, asyncio.to_thread(self._blocking, name, target, arguments, context))

    def _admitted(self, name: str, arguments: Sequence[object], context: CallContext) -> str:
        """Return the target of a call that may be done now."""
        if not self._open:
            raise RuntimeError("HostServices is not open")
        target = target_of(name, arguments)
        if name == "log":
            return target
        if not context.permits(name, target):
            raise HostCallDenied(f"{name}({recorded_target(name, target)}) is not granted")
        if context.deadline <= asyncio.get_running_loop().time():
            raise HostCallError("the run is out of time")
        return target

    def _opened_root(self, path: VirtualPath, context: CallContext) -> AbstractContextManager[int]:
        """Open the directory that a path is below."""
        if path.root == "skill":
            return opened_root(context.skill_dir, "the skill's directory")
        return opened_root(self._workspace, "the workspace")

    def _blocking(self, name: str, target: str, arguments: Sequence[object], context: CallContext) -> Answer:
        """Do one of the calls that block on the disk alone."""
        match name:
            case "read_file" | "list_dir" | "write_file":
                return self._file(name, path_of(target), arguments, context)
            case "get_secret":
                value = self._secrets.read(target)
                context.redactor.add(target, value)
                return _bounded(value, context)
            case "read_env":
                return _bounded(read_variable(self._environment, target), context)
            case "recall_memory":
                return self._recall(arguments, context)
        raise AssertionError(f"{name} is done elsewhere")

    def _file(
        self, name: str, path: VirtualPath, arguments: Sequence[object], context: CallContext
    ) -> Answer:
        if name == "write_file" and path.root == "skill":
            raise HostCallDenied("a skill's own directory is read only")
        with self._opened_root(path, context) as root:
            if name == "read_file":
                return read_text(root, path.parts, context.byte_limit)
            if name == "list_dir":
                return list_names(root, path.parts, context.byte_limit)
            left = RUN_WRITE_LIMIT - context.written
            context.written += write_text(root, path.parts, str(arguments[1]), context.byte_limit, left)
            return None

    def _recall(self, arguments: Sequence[object], context: CallContext) -> list[str]:
        if self._memory is None:
            raise HostCallError("there are no notes; set CYBEROS_MEMORY_DIR to their directory")
        query, limit = arguments
        assert isinstance(limit, int)  # noqa: S101  (target_of has checked it)
        answer: list[str] = []
        left = context.byte_limit
        for paragraph in self._memory.recall(str(query), limit):
            left -= len(paragraph.encode())
            if left < 0:
                break
            answer.append(paragraph)
        return answer

    async def _fetch(self, target: str, context: CallContext) -> str:
        return await self._fetcher.fetch(
            normalise_url(target),
            permits=lambda address: context.permits("fetch_url", address),
            permits_private=context.permits_private,
            deadline=context.deadline,
            byte_limit=context.byte_limit,
        )

    async def _execute(self, name: str, arguments: object, context: CallContext) -> str:
        if self._commands_dir is None:
            raise HostCallError("there are no commands; set CYBEROS_COMMANDS_DIR to a directory of them")
        texts = [str(one) for one in arguments] if isinstance(arguments, list | tuple) else []
        program = self._commands_dir.absolute() / name
        loop = asyncio.get_running_loop()
        abandoned = threading.Event()

        def start() -> str:
            seconds = context.deadline - loop.time()  # what is left after waiting for a thread
            stop = (abandoned, self._closing)
            return run_command(
                program,
                texts,
                self._workspace,
                seconds,
                context.byte_limit,
                lambda: any(event.is_set() for event in stop),
            )

        try:
            return await _in_time(context, loop.run_in_executor(self._threads, start))
        finally:
            abandoned.set()

    def _log(self, message: str, context: CallContext) -> None:
        context.logged += 1
        if context.logged > LOG_LINES_LIMIT:
            raise HostCallError(f"a run logs at most {LOG_LINES_LIMIT} messages")
        if len(message) > MESSAGE_LIMIT:
            raise HostCallError(f"a message has at most {MESSAGE_LIMIT} characters")
        kept = context.redactor.redact(message)  # before it is cut, or the half of a secret would stay
        cut = kept[:LOG_LIMIT] + ("…" if len(kept) > LOG_LIMIT else "")
        text = _UNSHOWABLE.sub(_escape, cut)
        logger.info("skill %s says: %s", context.skill or "?", text)


def _escape(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()


def _bounded(text: str, context: CallContext) -> str:
    if len(text.encode()) > context.byte_limit:
        raise HostCallError(f"the answer has more than {context.byte_limit} bytes")
    return text


async def _in_time(context: CallContext, answer: Awaitable[_T]) -> _T:
    """Wait until the deadline. A thread that the disk holds goes on and its answer is thrown away."""
    try:
        async with asyncio.timeout_at(context.deadline):
            return await answer
    except TimeoutError:
        raise HostCallError("the run is out of time") from None


def check_apart(workspace: Path, others: Mapping[str, Path | None]) -> None:
    """Raise `ValueError` when a skill that writes to the workspace could write to one of the others.

    `others` are directories by what they are called in the message.
    """
    here = workspace.resolve()
    for setting, other in others.items():
        if other is None:
            continue
        there = other.resolve()
        if here == there or here in there.parents or there in here.parents:
            raise ValueError(f"{setting} and the workspace must not lie within each other")
