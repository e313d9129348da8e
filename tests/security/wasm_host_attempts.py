"""Attempts to reach the network and the surroundings, and by host calls."""

from __future__ import annotations

from dataclasses import replace

from tests.security.attempt_worlds import (
    ANSWERED,
    ANY_END,
    FAILED,
    READS,
    WRITES,
    Attempt,
    Build,
    World,
)
from tests.support import guests
from tests.support.wasi_guest import HEAP, SCRATCH, Program, Word, machine
from tests.support.wasi_interfaces import AROUND, HOST, NETWORK


def _asks_around(world: World) -> Program:
    """Ask for what other programs inherit. Nothing is a list without items, or an option without a value."""
    program = Program()
    for function, offset in (("get-environment", 4), ("get-arguments", 4), ("initial-cwd", 0)):
        slot = program.call(function, quiet=True)
        program.go_if(slot + offset, 0, program.here() + 2)
        program.show(function, slot, 12)
    program.call("stream-read", Word(program.call("get-stdin")), 64)
    return program


_LOOPBACK = (0, 8, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0)  # a variant: IPv4, port, address, room for IPv6


def _network(create: str, use: str) -> Attempt:
    def build(world: World) -> Program:
        program = Program()
        network = Word(program.call("instance-network"))
        made = program.call(create, 0)
        program.go_if(made, 1, program.here() + 3)  # the call, and what tells of it
        program.call(use, Word(made + 4), network, *_LOOPBACK)
        return program

    return Attempt(_NETWORK, build, denied=(create, use))


def _resolves(name: str) -> Attempt:
    def build(world: World) -> Program:
        program = Program()
        program.call("resolve-addresses", Word(program.call("instance-network")), name)
        return program

    return Attempt(_NETWORK, build, denied=("resolve-addresses",))


_AROUND, _NETWORK, _HOST = machine(*AROUND), machine(*NETWORK), machine(*HOST)

SURROUNDINGS = {
    "environment-and-arguments": Attempt(
        _AROUND, _asks_around, denied=("get-environment", "get-arguments", "initial-cwd", "stream-read")
    ),
    "tcp-connect": _network("create-tcp-socket", "tcp-connect"),
    "tcp-listen": _network("create-tcp-socket", "tcp-bind"),
    "udp-bind": _network("create-udp-socket", "udp-bind"),
    "resolve-a-name": _resolves("localhost"),
    "resolve-an-address": _resolves("127.0.0.1"),
}


def calls_host(function: str, *values: int | str | bytes) -> Build:
    def build(world: World) -> Program:
        program = Program()
        slot = program.call(
            function, *(world.fill_in(value) if isinstance(value, str) else value for value in values)
        )
        if function == "host-read-file":
            program.show("text", Word(slot + 4), Word(slot + 8))
        return program

    return build


def _floods_log(world: World) -> Program:
    program = Program()
    program.store(SCRATCH, 1_000_000)
    start = program.here()
    program.call("host-log", "again", quiet=True)
    program.forget()
    program.times(SCRATCH, start)
    return program


def _amplifies(world: World) -> Program:
    """Hand over a list of 4,096 texts that are all the same mebibyte."""
    program = Program()
    program.store(SCRATCH, HEAP - guests.MIB)
    program.store(SCRATCH + 4, guests.MIB)
    program.fill(HEAP - guests.MIB, ord("x"), guests.MIB)
    program.copy(SCRATCH + 8, SCRATCH, 0, 8)
    size = 8
    while size < 4096 * 8:
        program.copy(SCRATCH + size, SCRATCH, 0, size)
        size *= 2
    program.call("host-exec-command", "true", SCRATCH, 4096)
    return program


def asks_host(
    build: Build, *denied: str, exit_codes: frozenset[int] = ANSWERED, grants: tuple[str, ...] = ()
) -> Attempt:
    kind = "host.call" if exit_codes == _VIOLATION else "invocation.finished"
    return Attempt(_HOST, build, grants, denied, exit_codes, kind=kind)


_VIOLATION = frozenset({126})

HOST_CALLS = {
    "flood-of-host-calls": Attempt(
        _HOST, _floods_log, exit_codes=frozenset({137}), limits_hit=("host_calls",), trusted=False
    ),
    "host-read-without-grant": asks_host(
        calls_host("host-read-file", "{name}/private/canary"), exit_codes=_VIOLATION
    ),
    "host-read-of-the-parent": asks_host(
        calls_host("host-read-file", "{name}/open/../private/canary"), exit_codes=_VIOLATION,
        grants=(READS,),
    ),
    "host-read-through-a-link": asks_host(
        calls_host("host-read-file", "{name}/open/out-file"), "host-read-file", grants=(READS,)
    ),
    "host-read-of-an-absolute-path": asks_host(
        calls_host("host-read-file", "{outside}/canary"), exit_codes=_VIOLATION, grants=("read_file",)
    ),
    "host-write-without-grant": asks_host(
        calls_host("host-write-file", "{name}/open/file.txt", "changed"),
        exit_codes=_VIOLATION,
        grants=(READS,),
    ),
    "host-write-through-a-link": replace(
        asks_host(
            calls_host("host-write-file", "{name}/open/out/canary", "changed"),
            "host-write-file",
            grants=(WRITES,),
        ),
        writes=True,
    ),
    "host-command-without-grant": asks_host(
        calls_host("host-exec-command", "true", 0, 0), exit_codes=_VIOLATION
    ),
    "host-fetch-without-grant": asks_host(
        calls_host("host-fetch-url", "http://127.0.0.1:8/"), exit_codes=_VIOLATION
    ),
    "host-text-of-no-utf8": asks_host(calls_host("host-log", b"\xff\xfe\xfd"), exit_codes=FAILED),
    "host-text-outside-of-its-memory": asks_host(calls_host("host-log", -4, 64), exit_codes=FAILED),
    "host-text-of-2-gibibytes": asks_host(calls_host("host-log", 0, 2**31), exit_codes=FAILED),
    "host-answer-to-nowhere": asks_host(
        lambda world: _answers_to(-2), exit_codes=FAILED
    ),
    "host-text-of-100-mebibytes": Attempt(
        _HOST, lambda world: _huge_text(), exit_codes=ANY_END - {0}, limits={"memory_bytes": 512 * guests.MIB}
    ),
    "host-list-that-overlaps-itself": asks_host(_amplifies, exit_codes=ANY_END - {0}),
}  # fmt: skip


def _answers_to(address: int) -> Program:
    program = Program()
    program.call_to(address, "host-log", "x")
    return program


def _huge_text() -> Program:
    program = Program()
    program.grow(100 * guests.MIB)
    program.fill(SCRATCH, ord("x"), 100 * guests.MIB)
    program.call("host-log", SCRATCH, 100 * guests.MIB)
    return program
