"""Attempts of WebAssembly skills to reach what they were not granted, or to take more than their share."""

from __future__ import annotations

from dataclasses import replace

from subgraph.catalog.tree import FILE_BYTES_LIMIT
from tests.security.attempt_worlds import (
    ANY_END,
    FAILED,
    WRITES,
    Attempt,
    Build,
    World,
)
from tests.security.descriptor_attempts import DESCRIPTORS, WITHOUT_GRANT, granted, opens_and_reads
from tests.security.hostile_components import REFUSED, STOPPED
from tests.security.wasi_attempts import READ_ONLY, READING, WRITABLE
from tests.security.wasm_host_attempts import HOST_CALLS, SURROUNDINGS, asks_host, calls_host
from tests.support import guests
from tests.support.wasi_guest import WRITE, Program

_COMPONENTS = {name: Attempt(guest, exit_codes=frozenset()) for name, guest in REFUSED.items()} | {
    name: Attempt(guest, exit_codes=ANY_END - {0}) for name, guest in STOPPED.items()
} | {
    # Growing beyond the bound is refused, and the guest goes on without.
    "table-grows-at-once": Attempt(guests.GROWS_A_TABLE_AT_ONCE),
    "oversize": Attempt(guests.ECHO, exit_codes=frozenset(), padding=FILE_BYTES_LIMIT, kind=None),
}  # fmt: skip

_FUEL = {
    "fuel-of-an-untrusted-skill": Attempt(
        guests.LOOPS,
        exit_codes=frozenset({124}),
        limits_hit=("fuel",),
        trusted=False,
        limits={"fuel": 1_000_000},
    ),
    "simd-of-an-untrusted-skill": Attempt(
        guests.pure(declarations="(func (drop (v128.const i32x4 0 0 0 0)))"),
        exit_codes=frozenset(),
        trusted=False,
    ),
}


ATTEMPTS: dict[str, Attempt] = {
    f"{group}-{name}": attempt
    for group, attempts in {
        "path": READING,
        "read-only": READ_ONLY,
        "write": WRITABLE,
        "descriptor": DESCRIPTORS,
        "ungranted": WITHOUT_GRANT,
        "around": SURROUNDINGS,
        "host": HOST_CALLS,
        "component": _COMPONENTS,
        "tier": _FUEL,
    }.items()
    for name, attempt in attempts.items()
}
"""Every attempt, by its name."""


def _overwrites(path: str) -> Build:
    def build(world: World) -> Program:
        program = Program()
        file = program.open(program.directory(), path, WRITE)
        program.call("write", file, b"changed", 0)
        return program

    return build


CONTROLS: dict[str, tuple[Attempt, str]] = {
    "control-read": (
        granted(opens_and_reads("canary"), grants=("read_file({name}/private/**)",)),
        "read the canary",
    ),
    "control-read-through-the-workspace": (
        granted(opens_and_reads("control-read-through-the-workspace/private/canary"), grants=("read_file",)),
        "read the canary",
    ),
    "control-write": (
        granted(_overwrites("canary"), grants=("write_file({name}/private/**)",)),
        "changed what lies outside",
    ),
    "control-write-inside": (
        replace(granted(_overwrites("file.txt"), grants=(WRITES,)), writes=False),
        "changed what lies outside",
    ),
    "control-not-denied": (granted(opens_and_reads("file.txt"), "open-at"), "open-at was not denied"),
    "control-not-tried": (
        granted(opens_and_reads("file.txt"), "unlink-file-at"),
        "unlink-file-at was not tried",
    ),
    "control-answers": (Attempt(guests.ECHO, exit_codes=FAILED), "ended with 0"),
    "control-runs": (Attempt(guests.ECHO, exit_codes=frozenset()), "was not refused"),
    "control-host-read": (
        asks_host(
            calls_host("host-read-file", "{name}/private/canary"), grants=("read_file({name}/private/**)",)
        ),
        "read the canary",
    ),
}
"""What does succeed, since it was granted or is not forbidden, and what must be said of it."""
