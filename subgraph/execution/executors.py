"""By what a skill is run: its component, its script, or nothing but its text."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import orjson

from subgraph.capabilities import Capability
from subgraph.catalog import ActivatedSkill, InstallSource, Snapshots
from subgraph.errors import ExecutionFailed, SourceInvalid
from subgraph.execution.engine import EngineProfile, machine_code_key
from subgraph.execution.granted_directories import GrantedDirectory, file_access, granted_directories
from subgraph.execution.limits import ExitCode, Limits, output_exceeded
from subgraph.execution.machine_code import MachineCodeCache
from subgraph.execution.pool import WorkerPool
from subgraph.execution.protocol import Reply
from subgraph.execution.script_entry import script_entry
from subgraph.execution.script_pool import Script, ScriptPool
from subgraph.execution.worker_process import HostHandler
from subgraph.single_flight import SingleFlight


@dataclass(frozen=True, slots=True)
class Order:
    """One run that is asked of an executor: the input as JSON text, what it may use, and what to tell.

    `host` serves its host calls; `on_start` is told when a process takes it.
    """

    skill: ActivatedSkill
    input: str
    limits: Limits
    capabilities: tuple[Capability, ...]
    host: HostHandler
    on_start: Callable[[], None]


Run = Callable[[Order], Awaitable[Reply]]
"""Runs a skill that was prepared, once. Raises as `WorkerPool.call`."""


class SkillExecutor(Protocol):
    """One way to run skills."""

    def can_run(self, skill: ActivatedSkill) -> bool:
        """Whether a skill has what this executor runs."""

    async def prepare(self, skill: ActivatedSkill, profile: EngineProfile) -> Run:
        """Do once what every run of a skill needs; costs nothing after the first time.

        Raises `SourceInvalid` and `ExecutionFailed`.
        """


class _Prepared(NamedTuple):
    """The component of a skill that workers have: its digest, and the key of its machine code."""

    component: str
    profile: EngineProfile
    key: str


class WasmExecutor:
    """Runs `dist/skill.wasm` in a confined worker."""

    def __init__(
        self, machine_code: MachineCodeCache, pool: WorkerPool, snapshots: Snapshots, workspace: Path
    ) -> None:
        self._machine_code = machine_code
        self._pool = pool
        self._snapshots = snapshots
        self._workspace = workspace
        self._preparing: SingleFlight[str, str] = SingleFlight()
        self._prepared: dict[str, _Prepared] = {}

    def can_run(self, skill: ActivatedSkill) -> bool:
        """Whether the skill has a component."""
        return skill.component_digest is not None

    async def prepare(self, skill: ActivatedSkill, profile: EngineProfile) -> Run:
        """Have workers load the component."""
        digest = skill.component_digest
        path = skill.header.path
        if digest is None:
            raise ExecutionFailed(f"{path} has no component to run; build dist/skill.wasm")
        prepared = self._prepared.get(path)
        if (
            prepared is None
            or (prepared.component, prepared.profile) != (digest, profile)
            or not self._pool.is_loaded(prepared.key)
        ):
            before = prepared
            key = machine_code_key(digest, profile)
            await self._preparing.run(key, lambda: self._load(skill, key, profile))
            prepared = self._prepared[path] = _Prepared(digest, profile, key)
            if before is not None and all(other.key != before.key for other in self._prepared.values()):
                await self._pool.unload(before.key)
        key = prepared.key
        return lambda order: self._run(key, order)

    async def _load(self, skill: ActivatedSkill, key: str, profile: EngineProfile) -> str:
        if not self._pool.is_loaded(key):
            component = await asyncio.to_thread(skill.component)
            await self._pool.load(key, profile, await self._machine_code.get(key, component, profile))
        return key

    async def _run(self, key: str, order: Order) -> Reply:
        directories: list[GrantedDirectory] = []
        if order.capabilities and self._pool.imports(key).files:
            snapshot = await self._snapshots.of(order.skill)
            directories = await asyncio.to_thread(
                granted_directories, order.capabilities, self._workspace, snapshot
            )
        return await self._pool.call(
            key,
            order.input,
            order.limits,
            skill=order.skill.header.path,
            host=order.host,
            on_start=order.on_start,
            directories=directories,
        )


class ScriptExecutor:
    """Runs a Python script of the skill in a confined process, from a verified copy of the skill's files.

    `shared_interpreter`: scripts of builtin skills share a process with their own earlier calls, which is a
    hundred times faster and keeps nothing apart but by good manners.
    """

    def __init__(
        self, pool: ScriptPool, snapshots: Snapshots, workspace: Path, *, shared_interpreter: bool
    ) -> None:
        self._pool = pool
        self._snapshots = snapshots
        self._workspace = workspace
        self._shared_interpreter = shared_interpreter

    def can_run(self, skill: ActivatedSkill) -> bool:
        """Whether the skill has a script."""
        try:
            script_entry(skill.tree.files, skill.header.script)
        except SourceInvalid:
            return False
        return True

    async def prepare(self, skill: ActivatedSkill, profile: EngineProfile) -> Run:
        """Copy the skill's files to where only this service writes."""
        entry = script_entry(skill.tree.files, skill.header.script)
        snapshot = await self._snapshots.of(skill)
        shared = self._shared_interpreter and skill.header.source is InstallSource.BUILTIN
        script = Script(skill.content_hash, snapshot / entry, snapshot, shared=shared)
        return lambda order: self._run(script, order)

    async def _run(self, script: Script, order: Order) -> Reply:
        directories: list[GrantedDirectory] = []
        if order.capabilities:
            directories = await asyncio.to_thread(
                granted_directories, order.capabilities, self._workspace, script.snapshot
            )
        return await self._pool.run(
            script,
            order.input,
            order.limits,
            file_access(directories),
            skill=order.skill.header.path,
            host=order.host,
            on_start=order.on_start,
        )


class InlineExecutor:
    """Answers with the text of a skill, for an agent to follow: its body and its references."""

    def can_run(self, skill: ActivatedSkill) -> bool:
        """Whether the skill has text; every skill has."""
        return True

    async def prepare(self, skill: ActivatedSkill, profile: EngineProfile) -> Run:
        """Nothing needs to be done before."""
        return self._run

    async def _run(self, order: Order) -> Reply:
        started = time.perf_counter_ns()
        order.on_start()
        references = await asyncio.to_thread(order.skill.references)
        answer = orjson.dumps({"body": order.skill.body, "references": dict(references)})
        elapsed_us = (time.perf_counter_ns() - started) // 1000
        if len(answer) > order.limits.output_bytes:
            message = output_exceeded(order.limits.output_bytes)
            return Reply.stopped(ExitCode.RESOURCE, "LIMIT_EXCEEDED", message, elapsed_us, limit="output")
        return Reply(int(ExitCode.OK), answer.decode(), None, None, None, elapsed_us, 0, "", "")
