"""The host calls of one run: each is counted, checked, done, recorded, and only then answered."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from functools import partial
from pathlib import Path
from typing import NoReturn

from subgraph.audit import FurtherHostCalls, HostCallNote, Ledger, NotableHostCall
from subgraph.audit.invocations import HOST_CALLS_IN_ENTRY, HOST_CALLS_PER_PAGE, MAX_TARGET_CHARACTERS
from subgraph.capabilities import Broker, Capability
from subgraph.capabilities.vocabulary import CAPABILITY_NAMES
from subgraph.errors import SkillRevoked
from subgraph.execution.admission import Admission
from subgraph.execution.host import (
    CallContext,
    HostCallDenied,
    HostCallError,
    HostCallInvalid,
    HostServices,
    recorded_target,
    target_of,
)
from subgraph.execution.limits import ExitCode, host_calls_exceeded
from subgraph.execution.protocol import HostCall
from subgraph.execution.worker_process import RunEnds

logger = logging.getLogger(__name__)

_UNCHECKED = frozenset({"log", "recall_memory"})
"""Functions whose arguments name nothing that could be out of bounds: malformed ones are an error alone."""


_RAW_LIMIT = 8 * 1024
"""Characters of a malformed argument that is shown: longer than any path or address that is not."""


class HostSession:
    """Serves the host calls of one run; a worker's connection calls it.

    1. The run may make so many calls: else it ends, LIMIT_EXCEEDED.
    2. What the call is about is brought into the one form that is checked and used.
    3. The run was admitted with a capability for it, which is granted still, and the skill is not revoked:
       else the denial is recorded and the run ends, exit code 126. Commands are for trusted skills alone.
    4. It is done, within what is left of the run's time.
    5. It is recorded: calls that reach outside by themselves and at once, others with the end of the run.
    """

    def __init__(
        self,
        admission: Admission,
        *,
        broker: Broker,
        services: HostServices,
        ledger: Ledger,
        skill_directory: Path,
    ) -> None:
        self._identity = admission.identity
        self._skill = admission.skill
        self._capabilities = admission.capabilities
        self._tier = admission.tier
        self._limits = admission.limits
        self._broker = broker
        self._services = services
        self._ledger = ledger
        self._directory = skill_directory
        self._context: CallContext | None = None
        self._sensitive = {each.name for each in admission.capabilities if each.is_sensitive}
        self._notes: list[HostCallNote] = []
        self._made: list[HostCallNote] = []
        self.count = 0
        self.lacking: Capability | None = None

    def __call__(self, call: HostCall) -> list[object] | Awaitable[list[object]]:
        """Serve a call: return its answer, or what will give it where something must be waited for.

        That, or this, raises `RunEnds`, and `StorageUnavailable` when it could not be recorded.
        """
        started = asyncio.get_running_loop().time()
        # 1.
        self.count += 1
        if self.count > self._limits.host_calls:
            message = host_calls_exceeded(self._limits.host_calls)
            raise RunEnds(ExitCode.RESOURCE, "LIMIT_EXCEEDED", message, "host_calls")
        # 2.
        try:
            target = target_of(call.name, call.arguments)
        except HostCallInvalid as error:
            if call.name in _UNCHECKED:
                return ["err", error.message]
            return self._deny(call.name, self._raw_target(call), error.message, started)
        shown = recorded_target(call.name, target)
        # 3.
        reason = self._why_not(call.name, target, shown)
        if reason is not None:
            return self._deny(call.name, shown, reason, started)
        # 4. and 5.: what one waits for takes a task of its own, which costs more than a small file.
        if call.name in self._sensitive:
            return self._perform(call, shown, started)
        try:
            answer = self._services.at_hand(call.name, call.arguments, self._call_context())
        except (HostCallDenied, HostCallError):
            answer = None
        if answer is None:
            return self._perform(call, shown, started)
        self._note(call.name, shown, "ok", started)
        return ["ok", answer]

    async def _perform(self, call: HostCall, shown: str, started: float) -> list[object]:
        # 4.
        try:
            answer = await self._services.perform(call.name, call.arguments, self._call_context())
        except HostCallDenied as error:
            await self._deny(call.name, shown, error.message, started)
        except HostCallError as error:
            await self._record(call.name, shown, "error", started, error.message)
            return ["err", error.message]
        except asyncio.CancelledError:
            await self._record(call.name, shown, "unknown", started, "the run ended meanwhile")
            raise
        # 5.
        await self._record(call.name, shown, "ok", started)
        return ["ok", answer]

    def redact(self, text: str) -> str:
        """Take secrets that this run was given out of a text that is kept."""
        return text if self._context is None else self._context.redactor.redact(text)

    @property
    def made(self) -> tuple[HostCallNote, ...]:
        """The first calls, whatever became of them."""
        return tuple(self._made)

    @property
    def notes(self) -> tuple[HostCallNote, ...]:
        """The calls that belong into the entry that finishes the run."""
        return tuple(self._notes[:HOST_CALLS_IN_ENTRY])

    def further_calls(self) -> list[FurtherHostCalls]:
        """Return the entries of the calls for which that entry has no room."""
        return [
            FurtherHostCalls(
                actor=self._identity.actor,
                skill=self._skill.header.path,
                content_hash=self._skill.content_hash,
                invocation_id=str(self._identity.invocation_id),
                first=first,
                calls=tuple(self._notes[first : first + HOST_CALLS_PER_PAGE]),
            )
            for first in range(HOST_CALLS_IN_ENTRY, len(self._notes), HOST_CALLS_PER_PAGE)
        ]

    def _why_not(self, name: str, target: str, shown: str) -> str | None:
        """Say why a call may not be made; None when it may. Raises `RunEnds` when the skill is revoked."""
        if name not in CAPABILITY_NAMES:
            return None
        try:
            permitted = self._broker.permits(self._skill, self._capabilities, name, target)
        except SkillRevoked as error:
            raise RunEnds(ExitCode.VIOLATION, error.code, error.message) from None
        if not permitted:
            return self._what_lacks(name, target, shown)
        if name == "exec_command" and not self._tier.trusted:
            return f"commands are for trusted skills, and this one is {self._tier.value}"
        return None

    def _what_lacks(self, name: str, target: str, shown: str) -> str:
        if any(each.name == name and each.admits(target) for each in self._capabilities):
            return f"{name} of {shown} is granted no longer"
        declared = [each for each in self._broker.grantable(self._skill) if each.name == name]
        if not declared:
            return f"the skill does not declare {name} in allowed-tools"
        covering = [each for each in declared if each.admits(target)]
        if not covering:
            return f"no {name} that the skill declares covers {shown}"
        self.lacking = next(iter(self._broker.missing(self._skill, covering[:1])), None)
        if self.lacking is None:
            return f"it is granted, and this call did not request it: let it request {covering[0]}"
        return f"nobody has granted it: grant {covering[0]} to the skill"

    async def _deny(self, name: str, shown: str, reason: str, started: float) -> NoReturn:
        """Record a denial and end the run; never returns."""
        await self._record(name, shown, "denied", started, reason)
        message = f"{name}({shown}) was denied: {reason}"
        raise RunEnds(ExitCode.VIOLATION, "CAPABILITY_DENIED", self.redact(message))

    def _note(self, name: str, shown: str, outcome: str, started: float) -> None:
        """Keep a call for the entry that finishes the run."""
        self._notes.append(self._made_note(name, shown, outcome, started))

    def _made_note(self, name: str, shown: str, outcome: str, started: float) -> HostCallNote:
        elapsed_us = int((asyncio.get_running_loop().time() - started) * 1e6)
        note = HostCallNote(function=name, target=self.redact(shown), outcome=outcome, elapsed_us=elapsed_us)
        if len(self._made) < HOST_CALLS_IN_ENTRY:
            self._made.append(note)
        return note

    async def _record(
        self, name: str, shown: str, outcome: str, started: float, reason: str | None = None
    ) -> None:
        if outcome != "denied" and name not in self._sensitive:
            self._note(name, shown, outcome, started)
            return
        await self._ledger.append(
            NotableHostCall(
                actor=self._identity.actor,
                skill=self._skill.header.path,
                content_hash=self._skill.content_hash,
                invocation_id=str(self._identity.invocation_id),
                call=self._made_note(name, shown, outcome, started),
                reason=None if reason is None else self.redact(reason),
            )
        )

    def _raw_target(self, call: HostCall) -> str:
        """Show what a malformed call was about: its first argument as ASCII.

        Secrets are taken out first: cut off or escaped, one would no longer be found.
        """
        first = call.arguments[0] if call.arguments else ""
        shown = first if isinstance(first, str) else ascii(first)
        if len(shown) > _RAW_LIMIT:
            return f"({len(shown)} characters)"
        return ascii(self.redact(shown))[:MAX_TARGET_CHARACTERS]

    def _call_context(self) -> CallContext:
        """What is true for all calls of the run; its time runs from the first of them at the latest."""
        if self._context is None:
            self._context = CallContext(
                skill_dir=self._directory,
                permits=partial(self._broker.permits, self._skill, self._capabilities),
                permits_private=partial(self._broker.permits_private, self._skill, self._capabilities),
                deadline=asyncio.get_running_loop().time() + self._limits.time_ms / 1000,
                byte_limit=self._limits.output_bytes,
                skill=self._skill.header.path,
            )
        return self._context
