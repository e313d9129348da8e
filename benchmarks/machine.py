"""Facts about the machine and the versions, without which a figure means nothing."""

from __future__ import annotations

import os
import platform
import re
import statistics
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import extism
import uvloop

from benchmarks.environment import server_version
from benchmarks.peers import wasmtime_version
from subgraph.execution.confinement import landlock_available

_FLUSHES = 50
_PAGE = bytes(8192)  # what PostgreSQL writes at a time


def facts(directory: Path, postgres: str) -> dict[str, str]:
    """Describe the machine; `directory` lies on the disk that the database uses."""
    return {
        "CPU": f"{_cpu_model()}, {len(os.sched_getaffinity(0))} cores",
        "kernel": f"{platform.system()} {platform.release()}",
        "confinement": "Landlock and seccomp" if landlock_available() else "seccomp (no Landlock)",
        "disk": f"{_file_system(directory)}, {_flush_us(directory):,.0f} µs for a flushed write of 8 KiB",
        "Python": f"{platform.python_version()} ({sys.implementation.name}), uvloop {version('uvloop')}",
        "wasmtime": f"{version('wasmtime')} in the service, {wasmtime_version()} as a command",
        "Extism": f"{version('extism')} (library {extism.extism_version()})",
        "PostgreSQL": uvloop.run(server_version(postgres)),
        "load average": load_average(),
    }


def load_average() -> str:
    """Give the load of the last 1 and 5 minutes; above the noise of one process, others are at work."""
    one, five, _ = os.getloadavg()
    return f"{one:.2f} {five:.2f}"


def _cpu_model() -> str:
    found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found[1] if found else platform.machine()


def _file_system(directory: Path) -> str:
    """Name the type of the file system with the longest mount point above `directory`."""
    mounts = [line.split()[1:3] for line in Path("/proc/self/mounts").read_text().splitlines()]
    above = [(point, kind) for point, kind in mounts if directory.is_relative_to(point)]
    return max(above, key=lambda mount: len(mount[0]))[1]


def _flush_us(directory: Path) -> float:
    with tempfile.TemporaryFile(dir=directory) as file:
        taken = []
        for _ in range(_FLUSHES):
            started = time.perf_counter_ns()
            os.pwrite(file.fileno(), _PAGE, 0)
            os.fdatasync(file.fileno())
            taken.append(time.perf_counter_ns() - started)
    return statistics.median(taken) / 1000
