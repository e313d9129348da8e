"""`python -m benchmarks.outages`: append while PostgreSQL goes away, and account for every entry.

After each outage:
1. No entry whose caller was told its number is lost, and no entry is stored twice.
2. Sequence numbers are dense, and the log's head and tiles are the Merkle tree of what is stored.
3. No caller waited longer than the ledger's time limit, and each was told a number or an error.
4. The ledger takes entries again within seconds of the server's return.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import asyncpg
import uvloop

from benchmarks.environment import disk_directory
from benchmarks.report import Row, Section, Target
from subgraph.audit import Ledger
from subgraph.audit.ledger import EXPIRY_SECONDS, WAIT_SECONDS
from subgraph.storage import Database, EmbeddedPostgres
from tests.support.ledger import Load, LogCheck, Told
from tests.support.outages import Disk, disk_that_fills, paused
from tests.support.postgres import EmbeddedSettings, kill_postmaster, settings_for

CALLERS = 32
REST_SECONDS = 0.005
"""Between two entries of a caller, so that a campaign of minutes leaves a log that is soon read."""

LOAD_SECONDS = 0.5
"""Of undisturbed load before each outage, and again after it."""

LONGEST_WAIT_MS = (WAIT_SECONDS + EXPIRY_SECONDS + 1.0) * 1000
"""What the ledger promises, what its clock is late by, and a second for a machine that is busy."""

WRITABLE_MS = 5000.0
BACK_SECONDS = 30.0
"""For a server to return by itself, the replay of its log included."""

NOTICE_SECONDS = 30.0
"""For callers to notice a full disk: until its last room is used, and they have waited."""

DISK_BYTES = 256 * 1024 * 1024
FULL_SECONDS = 10.0
"""For which a full disk stays so."""

ROOM_BYTES = (4 << 20, 20 << 20)
"""Room on a full disk, in turns: tables cannot grow; they can, but the next file of the log cannot be."""

_FAILURES = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)


@dataclass
class Scene:
    """A server, a ledger on it, and what its callers were told so far."""

    home: Path
    dsn: str
    database: Database
    ledger: Ledger
    disk: Disk | None = None
    server: EmbeddedPostgres | None = None
    told: Told = field(default_factory=Told)
    check: LogCheck = field(default_factory=LogCheck)
    away: list[float] = field(default_factory=list)
    writable: list[float] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)

    @property
    def data_dir(self) -> Path:
        """The server's own directory."""
        return self.home / "postgres"


Strike = Callable[[Scene, int], Awaitable[None]]
"""Takes the server away, and returns when whatever did that has ended; gets the outage's number."""


async def restart(scene: Scene, _: int) -> None:
    """Stop the server as an upgrade does, and start it."""
    assert scene.server is not None
    await scene.server.stop()
    await scene.server.start()


async def kill(scene: Scene, _: int) -> None:
    """Kill the server as the kernel does when memory runs out; the service must revive it."""
    await asyncio.to_thread(kill_postmaster, scene.data_dir)


async def pause(scene: Scene, _: int, *, seconds: float) -> None:
    """Stop all of the server's processes for a while."""
    with paused(scene.data_dir):
        await asyncio.sleep(seconds)


async def fill_disk(scene: Scene, number: int) -> None:
    """Leave no room, wait until callers notice, keep it so, and give the room back."""
    assert scene.disk is not None
    errors = scene.told.errors
    await asyncio.to_thread(scene.disk.fill, ROOM_BYTES[number % len(ROOM_BYTES)])
    try:
        if not await _in_time(lambda: scene.told.errors > errors, NOTICE_SECONDS):
            scene.violations.append(f"outage {number + 1}: nobody noticed that the disk is full")
        await asyncio.sleep(FULL_SECONDS)
    finally:
        await asyncio.to_thread(scene.disk.free)


def main() -> int:
    """Run the drills that were asked for; the exit code is 1 after a violation."""
    arguments = _arguments()
    logging.disable(logging.WARNING)  # that the server is away is what this is about
    strikes: dict[str, tuple[Strike, int]] = {
        "restart": (restart, arguments.restarts),
        "kill": (kill, arguments.kills),
        "pause": (partial(pause, seconds=arguments.pause_seconds), arguments.pauses),
        "disk": (fill_disk, arguments.disks),
    }
    rows, notes, found = [], [], []
    with disk_directory() as directory:
        for name in arguments.drills or strikes:
            strike, count = strikes[name]
            if count == 0:
                continue
            scene, note = _run(directory, name, strike, count)
            rows.append(_row(name, scene))
            notes += note
            found += [f"{name}: {violation}" for violation in scene.violations]
    found += [f"{row.label}: {target}" for row in rows for target in row.missed()]
    title = f"PostgreSQL goes away, {CALLERS} callers append"
    notes.append("away: median until the server answers again; writable: after that, the worst")
    print(Section("outages", title, rows, notes).table())
    for violation in found:
        print(f"  VIOLATION  {violation}")
    print("every entry is accounted for" if not found else f"{len(found)} violations")
    return 1 if found else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.outages", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    names = ("restart", "kill", "pause", "disk")
    parser.add_argument("drills", nargs="*", metavar="drill", help=f"which (all): {', '.join(names)}")
    parser.add_argument("--restarts", type=int, default=20, help="stops and starts (20)")
    parser.add_argument("--kills", type=int, default=5, help="SIGKILL of the server (5)")
    parser.add_argument("--pauses", type=int, default=1, help="SIGSTOP of all its processes (1)")
    parser.add_argument("--pause-seconds", type=float, default=30.0, help="length of a pause (30)")
    parser.add_argument("--disks", type=int, default=2, help="how often the disk is full (2)")
    arguments = parser.parse_args()
    if unknown := set(arguments.drills) - set(names):
        parser.error(f"no drill is named {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    return arguments


def _run(directory: Path, name: str, strike: Strike, count: int) -> tuple[Scene, list[str]]:
    """Run a drill on a server of its own; return what came of it, and how it was done."""
    home = directory / name
    home.mkdir(mode=0o755)
    filling: AbstractContextManager[Disk | None] = (
        disk_that_fills(home, DISK_BYTES) if name == "disk" else nullcontext()
    )
    with filling as disk:
        scene = uvloop.run(_drill(home if disk is None else disk.directory, disk, name, strike, count))
    return scene, [] if disk is None else [f"disk: {disk.how}"]


async def _drill(home: Path, disk: Disk | None, name: str, strike: Strike, count: int) -> Scene:
    async with _scene(home, disk, served_apart=name == "restart") as scene:
        for number in range(count):
            await _outage(scene, strike, number)
            print(f"{name} {number + 1} of {count}", file=sys.stderr, flush=True)
        if await LogCheck().violations(scene.database, scene.told) and not scene.violations:
            scene.violations.append("what was right before is wrong at the end")
    return scene


@asynccontextmanager
async def _scene(home: Path, disk: Disk | None, *, served_apart: bool) -> AsyncIterator[Scene]:
    """Open a ledger on the service's embedded server, or on one that is not the service's to start."""
    if not served_apart:
        settings = EmbeddedSettings(home=home)
        async with Database(settings) as database, Ledger(database) as ledger:
            embedded = database._embedded  # noqa: SLF001 -- its address, to look at the server from outside
            assert embedded is not None
            yield Scene(home, embedded.dsn, database, ledger, disk)
        return
    async with EmbeddedPostgres(home / "postgres") as server:
        dsn = server.dsn
        async with Database(settings_for(dsn)) as database, Ledger(database) as ledger:
            yield Scene(home, dsn, database, ledger, disk, server)


async def _outage(scene: Scene, strike: Strike, number: int) -> None:
    load = Load(scene.ledger, CALLERS, told=scene.told, rest_seconds=REST_SECONDS)
    await asyncio.sleep(LOAD_SECONDS)
    struck = time.monotonic()
    await strike(scene, number)
    if await _server_back(scene.dsn):
        scene.away.append(time.monotonic() - struck)
        scene.writable.append(await _writable(scene.told))
        await asyncio.sleep(LOAD_SECONDS)
    else:
        scene.violations.append(f"outage {number + 1}: no server after {BACK_SECONDS:.0f} s")
    try:
        async with asyncio.timeout(2 * LONGEST_WAIT_MS / 1000):
            await load.stop()
    except TimeoutError:
        scene.violations.append(f"outage {number + 1}: callers hang")
    wrong = await scene.check.violations(scene.database, scene.told)
    scene.violations += [f"outage {number + 1}: {violation}" for violation in wrong]


async def _server_back(dsn: str) -> bool:
    """Wait until the server answers; tell whether it does within a bound."""
    deadline = time.monotonic() + BACK_SECONDS
    while time.monotonic() < deadline:
        try:
            connection = await asyncpg.connect(dsn, timeout=1.0)
            await connection.fetchval("SELECT 1", timeout=1.0)
            await connection.close(timeout=1.0)
        except _FAILURES:
            await asyncio.sleep(0.02)
        else:
            return True
    return False


async def _writable(told: Told) -> float:
    """Wait until one more entry is acknowledged, for somewhat longer than that may take; the seconds."""
    begin = time.monotonic()
    before = len(told.acknowledged)
    await _in_time(lambda: len(told.acknowledged) > before, 2 * WRITABLE_MS / 1000)
    return time.monotonic() - begin


async def _in_time(condition: Callable[[], bool], seconds: float) -> bool:
    """Wait for a condition; tell whether it came true within `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.005)
    return True


def _row(name: str, scene: Scene) -> Row:
    figures: Mapping[str, float] = {
        "outages": len(scene.away),
        "acknowledged": len(scene.told.acknowledged),
        "refused": scene.told.errors,
        "away_ms": statistics.median(scene.away or [0.0]) * 1000,
        "wait_ms": scene.told.longest_seconds * 1000,
        "writable_ms": max(scene.writable, default=0.0) * 1000,
    }
    targets = [Target("wait_ms", at_most=LONGEST_WAIT_MS), Target("writable_ms", at_most=WRITABLE_MS)]
    return Row(name, figures, targets)


if __name__ == "__main__":
    sys.exit(main())
