"""The guests of the benchmarks, compiled from C when their sources or the compiler have changed."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from subgraph.authoring.component import component_around
from tests.support.toolchain import ROOT

BUILD = ROOT / "build" / "benchmarks"
"""Where compiled guests and their stamps lie."""

_SOURCES = Path(__file__).parent
_LIBRARY = ROOT / "toolchain" / "guest" / "c"
_FLAGS = (
    "--target=wasm32-freestanding", "-O2", "-nostdlib", "-Wall", "-Wextra", "-Werror",
    "-Wl,--no-entry", "-Wl,--strip-all", "-Wl,-z,stack-size=4096",
)  # fmt: skip
_COMPILE_SECONDS = 120
"""A guest takes 0.2 s; the compiler's first start on a machine unpacks its caches."""


def skill_component(name: str) -> bytes:
    """Compile `guests/<name>.c` to a component of world `pure-skill`."""
    return component_around(core_module(name), ())


def core_module(name: str) -> bytes:
    """Compile `guests/<name>.c` to a core module; what is compiled already is taken from `BUILD`."""
    module, stamp = BUILD / f"{name}.wasm", BUILD / f"{name}.stamp"
    expected = _fingerprint(name)
    if not module.is_file() or not stamp.is_file() or stamp.read_text() != expected:
        BUILD.mkdir(parents=True, exist_ok=True)
        _compile(_SOURCES / f"{name}.c", module)
        stamp.write_text(expected)
    return module.read_bytes()


def _fingerprint(name: str) -> str:
    digest = hashlib.sha256(repr((version("ziglang"), _FLAGS)).encode())
    for source in (_SOURCES / f"{name}.c", _LIBRARY / "cyberos.h"):
        digest.update(source.read_bytes())
    return digest.hexdigest()


def _compile(source: Path, module: Path) -> None:
    command: Sequence[str | Path] = [
        sys.executable,
        "-m",
        "ziglang",
        "cc",
        *_FLAGS,
        "-I",
        _LIBRARY,
        "-o",
        module,
        source,
    ]
    caches = {"ZIG_GLOBAL_CACHE_DIR": BUILD / "zig", "ZIG_LOCAL_CACHE_DIR": BUILD / "zig"}
    outcome = subprocess.run(
        command,
        env={**os.environ, **{name: os.fspath(path) for name, path in caches.items()}},
        capture_output=True,
        text=True,
        timeout=_COMPILE_SECONDS,
        check=False,
    )
    if outcome.returncode != 0:
        raise RuntimeError(f"{source.name} does not compile:\n{outcome.stderr[-4000:]}")
