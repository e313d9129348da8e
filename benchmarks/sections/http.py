"""`invokeSkill` over HTTP: the service in a process of its own, a client in this one."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import orjson
import uvloop

from benchmarks.environment import Environment, as_environment_variables, finished_invocations
from benchmarks.http_connection import HttpConnection
from benchmarks.load import WrongAnswer, run_callers
from benchmarks.report import Row, Section, Target
from benchmarks.samples import median_figures
from benchmarks.subjects import Subject
from subgraph.settings import Settings
from tests.support.service import running_service

CONNECTIONS = 16
CALLS_PER_SECOND = 600.0

DOCUMENT = """
mutation Invoke($name: String!, $input: JSON!) {
  invokeSkill(name: $name, input: $input) { invocationId exitCode result error { code message } }
}
"""

_CPU_FIELDS = slice(11, 13)  # utime and stime in proc(5) stat, after the name


def measure(environment: Environment) -> Section:
    """Invoke each skill over kept-alive connections, then count the ledger's entries."""
    with environment.settings() as settings, running_service(as_environment_variables(settings)) as service:
        return uvloop.run(_measure(environment, settings, f"{service.url}/graphql", service.process.pid))


async def _measure(environment: Environment, settings: Settings, url: str, service: int) -> Section:
    connections = [await HttpConnection.open(url) for _ in range(CONNECTIONS)]
    rounds: dict[str, list[dict[str, float]]] = {}
    calls = 0
    for _ in range(environment.plan.rounds):
        for subject in environment.subjects:
            figures, made = await _round(connections, subject, service, environment.plan.seconds)
            rounds.setdefault(subject.label, []).append(figures)
            calls += made
    for connection in connections:
        connection.close()
    entries = len(await finished_invocations(settings))
    if entries != calls:
        raise WrongAnswer(f"{calls} requests were answered, {entries} invocations are in the ledger")
    target = Target("calls_per_second", at_least=CALLS_PER_SECOND)
    rows = [Row(label, median_figures(figures), [target]) for label, figures in rounds.items()]
    return Section(
        "http",
        f"invokeSkill over HTTP, {CONNECTIONS} connections",
        rows,
        [
            "client, service, workers and PostgreSQL share the machine; CPU/call is the client's",
            f"{calls:,} requests answered rightly, {entries:,} finished entries in the ledger",
        ],
    )


async def _round(
    connections: list[HttpConnection], subject: Subject, service: int, seconds: float
) -> tuple[dict[str, float], int]:
    """Return the figures of a round, and how many requests it made with its warm-up."""
    free: asyncio.LifoQueue[HttpConnection] = asyncio.LifoQueue()
    for connection in connections:
        free.put_nowait(connection)
    calls = 0

    async def post(number: int) -> bytes:
        connection = free.get_nowait()  # there are as many as callers
        try:
            return await connection.post(_request(subject, number))
        finally:
            free.put_nowait(connection)

    def check(number: int, body: bytes) -> bool:
        nonlocal calls
        calls += 1
        return _is_right(subject, number, body)

    started_cpu = _cpu_seconds(service)
    samples = await run_callers(post, check, callers=len(connections), seconds=seconds)
    service_cpu_us = (_cpu_seconds(service) - started_cpu) / calls * 1e6
    return {**samples.figures(), "service_cpu_us": service_cpu_us}, calls


def _request(subject: Subject, number: int) -> bytes:
    variables = {"name": subject.skill, "input": subject.case(number).value}
    return orjson.dumps({"query": DOCUMENT, "variables": variables})


def _is_right(subject: Subject, number: int, body: bytes) -> bool:
    answer: Any = orjson.loads(body)
    invocation = (answer.get("data") or {}).get("invokeSkill") or {}
    return invocation.get("exitCode") == 0 and invocation.get("result") == subject.case(number).answer


def _cpu_seconds(pid: int) -> float:
    """CPU time that a process has used, without its children."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[_CPU_FIELDS])) / os.sysconf("SC_CLK_TCK")
