"""The guests of the benchmarks, compiled from C when their sources or the compiler have changed."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import wasmtime

from tests.support.toolchain import ROOT

BUILD = ROOT / "build" / "benchmarks"
"""Where compiled guests and their stamps lie."""

_SOURCES = Path(__file__).parent
_FLAGS = (
    "--target=wasm32-freestanding", "-O2", "-nostdlib", "-Wall", "-Wextra", "-Werror",
    "-Wl,--no-entry", "-Wl,--strip-all", "-Wl,-z,stack-size=4096",
)  # fmt: skip
_COMPILE_SECONDS = 120
"""A guest takes 0.2 s; the compiler's first start on a machine unpacks its caches."""

_COMPONENT_HEADER_BYTES = 8
_CORE_MODULE_SECTION = 1


def skill_component(name: str) -> bytes:
    """Compile `guests/<name>.c` to a component of world `pure-skill`."""
    return _with_core_module(
        bytes(wasmtime.wat2wasm((_SOURCES / "skill.wat").read_text())), core_module(name)
    )


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
    for source in (_SOURCES / f"{name}.c", _SOURCES / "skill.h"):
        digest.update(source.read_bytes())
    return digest.hexdigest()


def _compile(source: Path, module: Path) -> None:
    command: Sequence[str | Path] = [sys.executable, "-m", "ziglang", "cc", *_FLAGS, "-o", module, source]
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


def _with_core_module(component: bytes, module: bytes) -> bytes:
    """Put a module in the place of a component's own, which its first section holds."""
    assert component[_COMPONENT_HEADER_BYTES] == _CORE_MODULE_SECTION
    length, start = _read_unsigned(component, _COMPONENT_HEADER_BYTES + 1)
    return b"".join(
        [
            component[: _COMPONENT_HEADER_BYTES + 1],
            _unsigned(len(module)),
            module,
            component[start + length :],
        ]
    )


def _unsigned(value: int) -> bytes:
    """Encode an unsigned integer in LEB128, as binary WebAssembly has it."""
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _read_unsigned(data: bytes, at: int) -> tuple[int, int]:
    """Decode an integer in LEB128; return it and the place after it."""
    value = shift = 0
    while True:
        value |= (data[at] & 0x7F) << shift
        shift += 7
        at += 1
        if data[at - 1] < 0x80:
            return value, at
