"""Runs a chain: the skills that another one has run before it, each through the broker, and then that one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol

import orjson

from subgraph.audit import ChainStepNote, ErrorNote
from subgraph.catalog import exact_name
from subgraph.catalog.chain import Source, Step
from subgraph.catalog.pointer import MISSING, Pointer
from subgraph.errors import ExecutionFailed, SubgraphError
from subgraph.execution.invocation import Invocation
from subgraph.principal import Principal
from subgraph.routing import ChainNode, PlannedStep, SkillEntry

NOTHING: tuple[str, ...] = ()
"""The capabilities of a run that has none."""


class SkillRunner(Protocol):
    """Runs skills, and refuses what the broker refuses: the service."""

    async def invoke(
        self, principal: Principal, name: str, value: object, capabilities: Sequence[str] | None
    ) -> Invocation:
        """Run a skill with these capabilities, None for all that were granted."""

    async def is_trusted(self, name: str) -> bool:
        """Tell whether the operator chose a skill, and has not revoked it."""

    async def check_needs(
        self, principal: Principal, planned: SkillEntry, value: object, needed: Collection[str] | None
    ) -> None:
        """Refuse a skill that could not be run now, has nothing granted of what it needs, or has changed."""


class StepStatus(Enum):
    """What became of one run of a chain. Those that wait for no other one are `ok` or `failed`."""

    PLANNED = "planned"
    OK = "ok"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class StepRun:
    """One run of a chain: what went into it, and what came of it.

    `refusal` is what kept it from being run, `error` why it failed, also where it was run.
    """

    planned: PlannedStep
    status: StepStatus
    arguments: Mapping[str, object] | None = None
    invocation: Invocation | None = None
    error: ErrorNote | None = None
    refusal: SubgraphError | None = None

    @property
    def note(self) -> ChainStepNote:
        """Say what the log keeps of it."""
        return ChainStepNote(
            self.planned.name,
            self.planned.skill_path,
            self.status.value,
            None if self.invocation is None else str(self.invocation.invocation_id),
            None if self.error is None else self.error.code,
        )


@dataclass(frozen=True, slots=True)
class ChainRun:
    """A chain that has ended: its runs in the order of their indexes, the skill itself last."""

    steps: tuple[StepRun, ...]
    elapsed_us: int

    @property
    def invocation(self) -> Invocation | None:
        """The run of the skill itself; None where a step before it stopped the chain."""
        return self.steps[-1].invocation

    @property
    def chained(self) -> tuple[StepRun, ...]:
        """The runs of a chain; empty for a skill that runs alone."""
        return self.steps if len(self.steps) > 1 else ()

    @property
    def failed(self) -> StepRun | None:
        """The first run that failed."""
        return next((each for each in self.steps if each.status is StepStatus.FAILED), None)

    @property
    def error(self) -> ErrorNote | None:
        """Why it failed, and where."""
        failed = self.failed
        if failed is None or failed.error is None:
            return None
        return ErrorNote(code=failed.error.code, message=self._placed(failed, failed.error.message))

    def raise_refusal(self) -> None:
        """Raise what kept a run from beginning, if one was."""
        failed = self.failed
        if failed is not None and failed.refusal is not None:
            raise type(failed.refusal)(self._placed(failed, failed.refusal.message)) from failed.refusal

    def _placed(self, step: StepRun, message: str) -> str:
        if len(self.steps) == 1:
            return message
        number, count = step.planned.index + 1, len(self.steps)
        return f"step {number} of {count}, {step.planned.name} ({step.planned.skill_path}): {message}"


async def run_chain(
    runner: SkillRunner, principal: Principal, chain: ChainNode, given: Mapping[str, object]
) -> ChainRun:
    """Run a chain with an input of its last skill; how each run went is in the answer.

    1. Before any of them begins, each skill must have something granted of all that it needs.
    2. The steps run by generations, those of one side by side.
    3. A run that is refused, fails, or gives another answer than is expected stops the chain: those beside it
       come to their end, and none is begun after it.

    What a skill has that the operator did not choose is run without capabilities: what a person granted to a
    skill was not granted to whoever has it run.
    """
    began = time.monotonic()
    runs = _Runs(runner, principal, chain)
    if await runs.may_begin(chain, given):
        await runs.run(chain, given)
    return ChainRun(runs.ended(), int((time.monotonic() - began) * 1_000_000))


@dataclass(slots=True)
class _Runs:
    runner: SkillRunner
    principal: Principal
    chain: ChainNode
    done: dict[int, StepRun] = field(default_factory=dict)
    bare: set[int] = field(default_factory=set)
    """The runs without capabilities."""
    above: dict[int, list[str]] = field(default_factory=dict)
    """The names of the skills that have each run done, by its index."""
    stopped: bool = False

    def ended(self) -> tuple[StepRun, ...]:
        """Return all runs; those that never began were skipped."""
        nodes = (node.planned for node in self.chain.nodes())
        return tuple(self.done.get(each.index, StepRun(each, StepStatus.SKIPPED)) for each in nodes)

    async def may_begin(self, chain: ChainNode, given: Mapping[str, object]) -> bool:
        """Check what each skill needs; what the first one lacks stops the chain.

        What the places ask for is known of the last skill alone: the others get their inputs on the way, so
        all that they can need must be granted.
        """
        at = chain
        try:
            # What a run must have depends on who has it run, and those come after it.
            for at in chain.nodes():
                if at.generations:
                    above = exact_name(at.planned.skill_path)
                    below = [node.planned.index for node in at.nodes() if node is not at]
                    for index in below:
                        self.above.setdefault(index, []).append(above)
                    self.bare.update(() if await self.runner.is_trusted(above) else below)
            for at in chain.nodes():
                value = given if at is chain else {}
                await self.runner.check_needs(self.principal, at.skill, value, self._needed(at, given))
        except SubgraphError as refusal:
            self._refuse(at, None, refusal)
        return not self.stopped

    async def _is_bare(self, index: int) -> bool:
        """Tell whether a run has no capabilities; trust may have been taken back since the chain began."""
        if index not in self.bare:
            trusted = [await self.runner.is_trusted(name) for name in self.above.get(index, ())]
            self.bare.update(() if all(trusted) else (index,))
        return index in self.bare

    def _needed(self, node: ChainNode, given: Mapping[str, object]) -> Collection[str] | None:
        if node.planned.index in self.bare:
            return NOTHING
        if node.needs is None:
            return None
        return [
            name
            for name, place in node.needs.items()
            if place is None or node is not self.chain or _has(place, given)
        ]

    async def run(self, node: ChainNode, given: Mapping[str, object]) -> Any:
        """Run a skill after its steps; return its answer, None once the chain is stopped."""
        own = given
        answers: dict[str, object] = {}
        for generation in node.generations:
            steps = [(each, each.step) for each in generation if each.step is not None]
            wanted = [(each, step) for each, step in steps if step.when is None or _has(step.when, given)]
            async with asyncio.TaskGroup() as group:
                for each, step in wanted:
                    group.create_task(self._step(each, step, given, answers))
            if self.stopped:
                return None
            for _, step in wanted:
                own = _with_output(own, step, answers[step.name])
        return await self._invoke(node, own)

    async def _step(
        self, node: ChainNode, step: Step, given: Mapping[str, object], answers: dict[str, object]
    ) -> None:
        answer = await self.run(node, _input(step, given, answers))
        if not self.stopped:
            self._hold_to(node, step, answer)
            answers[step.name] = answer

    async def _invoke(self, node: ChainNode, given: Mapping[str, object]) -> Any:
        if self.stopped:
            return None
        name = exact_name(node.planned.skill_path)
        try:
            capabilities = NOTHING if await self._is_bare(node.planned.index) else None
            invocation = await self.runner.invoke(self.principal, name, dict(given), capabilities)
        except SubgraphError as refusal:
            self._refuse(node, given, refusal)
            return None
        status = StepStatus.OK if invocation.error is None else StepStatus.FAILED
        self._end(StepRun(node.planned, status, given, invocation, invocation.error))
        return invocation.stdout if invocation.result is None else invocation.result

    def _hold_to(self, node: ChainNode, step: Step, answer: object) -> None:
        """Stop the chain where an answer is not what its step expects."""
        for place, value in step.expect.items():
            found = place.read(answer)
            if type(found) is not type(value) or found != value:
                expected = orjson.dumps(value).decode()
                message = f"its answer at {place} is not {expected}, as the chain expects"
                run = self.done[node.planned.index]
                error = ErrorNote(code=ExecutionFailed.code, message=message)
                self._end(StepRun(run.planned, StepStatus.FAILED, run.arguments, run.invocation, error))
                return

    def _refuse(self, node: ChainNode, given: Mapping[str, object] | None, refusal: SubgraphError) -> None:
        error = ErrorNote(code=refusal.code, message=refusal.message)
        self._end(StepRun(node.planned, StepStatus.FAILED, given, None, error, refusal))

    def _end(self, run: StepRun) -> None:
        self.done[run.planned.index] = run
        self.stopped |= run.status is StepStatus.FAILED


def _input(step: Step, given: Mapping[str, object], answers: Mapping[str, object]) -> dict[str, Any]:
    """Make the input of a step; what its sources do not have is left out."""
    made: dict[str, Any] = {}
    for place, source in step.input.items():
        value = _value(source, given, answers)
        if value is not MISSING:
            made = place.written(made, value)
    return made


def _value(source: Source, given: Mapping[str, object], answers: Mapping[str, object]) -> object:
    if source.pointer is None:
        return source.value
    return source.pointer.read(given if source.step is None else answers.get(source.step, MISSING))


def _with_output(own: Mapping[str, object], step: Step, answer: object) -> Mapping[str, object]:
    for place, source in step.output.items():
        value = source.read(answer)
        if value is not MISSING:
            own = place.written(own, value)
    return own


def _has(place: Pointer, given: Mapping[str, object]) -> bool:
    value = place.read(given)
    return value is not MISSING and value is not None
