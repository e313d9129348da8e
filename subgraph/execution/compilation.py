"""Compiling components to machine code in a process of its own: confined, limited, gone afterwards.

A compiler is a large program that reads bytes from strangers. It gets the component on stdin and has
nothing else: no file, no network, no secret, bounded memory and time. `Compiler` is the service's side;
`python -m subgraph.execution.compilation` is the process.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import sys

from subgraph.errors import ExecutionFailed, SourceInvalid
from subgraph.execution.child import child_command
from subgraph.execution.confinement import ConfinementError, confine_files, confine_system_calls
from subgraph.execution.confinement.syscalls import drop_capabilities
from subgraph.execution.engine import ComponentError, EngineProfile, compile_component
from subgraph.execution.lifetime import die_with, go_first_when_memory_runs_out

COMPONENT_LIMIT = 64 * 1024 * 1024
"""Bound of a component, in bytes; the interpreters that components carry take up to 20 MiB."""

TIME_LIMIT_SECONDS = 120
"""Bound of one compilation; the largest interpreter known takes 11 s on one core."""

MACHINE_CODE_LIMIT = 200 * 1024 * 1024
"""Bound of machine code, in bytes: three to five times the size of its component, under that of a frame."""

_MACHINE_CODE_ALLOWED = 16 * 1024 * 1024
_MACHINE_CODE_RATIO = 10
"""What a component may become: a kilobyte can ask for a gigabyte, by initial memory that is far apart. Honest
ones become three to five times their size, or ten when they are tiny."""

_MESSAGE_LIMIT = 64 * 1024
_MEMORY_LIMIT = 4 << 30
_CONCURRENT_LIMIT = 1  # one compilation can occupy every core

_NICENESS = 10  # calls of other skills go first

_COMPILED, _REJECTED, _UNCONFINED = 0, 3, 4


class Compiler:
    """Compiles components, a few at a time."""

    def __init__(self, *, landlock: bool) -> None:
        self._landlock = landlock
        self._slots = asyncio.Semaphore(_CONCURRENT_LIMIT)

    async def compile(self, component: bytes, profile: EngineProfile) -> bytes:
        """Return the machine code of a component for the engine of a profile.

        Raises `SourceInvalid` when the bytes are no component of `schema/skill.wit`, and
        `ExecutionFailed` when the compiler died, took too long or could not be confined.
        """
        if len(component) > COMPONENT_LIMIT:
            raise SourceInvalid(f"the component is over {COMPONENT_LIMIT} bytes")
        async with self._slots:
            process = await asyncio.create_subprocess_exec(
                *child_command(
                    "subgraph.execution.compilation",
                    "landlock" if self._landlock else "no-landlock",
                    profile.value,
                ),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env={},
                start_new_session=True,
            )
            try:
                async with asyncio.timeout(TIME_LIMIT_SECONDS):
                    output, errors = await _exchange(process, component)
            except TimeoutError:
                raise ExecutionFailed(f"compiling took longer than {TIME_LIMIT_SECONDS} s") from None
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
        if process.returncode == _COMPILED:
            if len(output) > max(_MACHINE_CODE_ALLOWED, _MACHINE_CODE_RATIO * len(component)):
                raise SourceInvalid(
                    f"the component becomes {len(output)} bytes of machine code, over "
                    f"{_MACHINE_CODE_RATIO} times its size"
                )
            return output
        if process.returncode == _REJECTED:
            raise SourceInvalid(errors.decode(errors="replace"))
        if process.returncode == _UNCONFINED:
            raise ExecutionFailed(f"the compiler could not be confined: {errors.decode(errors='replace')}")
        raise ExecutionFailed("the compiler was stopped: the component needs more than it may use")


async def _exchange(process: asyncio.subprocess.Process, component: bytes) -> tuple[bytes, bytes]:
    """Give the compiler a component; return what it wrote to stdout and stderr once it has ended.

    Raises `ExecutionFailed` when it writes more than machine code has; it may have been taken over.
    """
    if process.stdin is None or process.stdout is None or process.stderr is None:
        raise RuntimeError("the compiler was started without pipes")
    output, errors, _ = await asyncio.gather(
        _read(process.stdout, MACHINE_CODE_LIMIT),
        _read(process.stderr, _MESSAGE_LIMIT),
        _write(process.stdin, component),
    )
    await process.wait()
    return output, errors


async def _read(stream: asyncio.StreamReader, limit: int) -> bytes:
    data = bytearray()
    while chunk := await stream.read(1 << 20):
        data += chunk
        if len(data) > limit:
            raise ExecutionFailed("the compiler wrote more than it may")
    return bytes(data)


async def _write(stream: asyncio.StreamWriter, data: bytes) -> None:
    # A compiler that ends before it has read everything says why by its exit code.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        stream.write(data)
        await stream.drain()
    stream.close()


def main() -> None:
    """Read a component from stdin, write its machine code to stdout; the exit code tells the outcome."""
    die_with(os.getppid())
    go_first_when_memory_runs_out()
    drop_capabilities()
    os.nice(_NICENESS)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_DATA, (_MEMORY_LIMIT, _MEMORY_LIMIT))
    resource.setrlimit(resource.RLIMIT_CPU, (2 * TIME_LIMIT_SECONDS, 2 * TIME_LIMIT_SECONDS))
    try:
        if sys.argv[1] == "landlock":
            confine_files()
        confine_system_calls(executable_memory=True)
        machine_code = compile_component(sys.stdin.buffer.read(), EngineProfile(sys.argv[2]))
    except ConfinementError as error:
        sys.stderr.write(str(error))
        sys.exit(_UNCONFINED)
    except ComponentError as error:
        sys.stderr.write(str(error))
        sys.exit(_REJECTED)
    sys.stdout.buffer.write(machine_code)


if __name__ == "__main__":
    main()
