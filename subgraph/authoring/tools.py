"""The tools that components are built with: Node.js and its packages, Zig, componentize-py. All are pinned.

In a checkout they lie in `toolchain/`. Out of an installed package, which is nobody's to write to, that
directory is copied to the home of whoever builds.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from subgraph.authoring.errors import AuthoringError
from subgraph.settings import bundled

TOOL_SECONDS = 600
"""Bound of one tool's work: a first `npm ci` behind a slow line takes minutes, a build seconds."""

_OUTPUT_SHOWN = 4000
"""Characters of a failed tool's last words; compilers repeat themselves."""

_NODE_LEAST = 20


def toolchain_dir() -> Path:
    """Return the directory of the toolchain, which may be written to."""
    own = bundled("toolchain")
    if (own.parent / "pyproject.toml").is_file():
        return own
    copy = _home() / "toolchain" / toolchain_digest()[:16]
    if not copy.is_dir():
        temporary = copy.with_name(f"{copy.name}.{os.getpid()}")
        shutil.copytree(own, temporary)
        try:
            temporary.rename(copy)
        except OSError:  # another build was faster
            shutil.rmtree(temporary)
    return copy


@cache
def toolchain_digest() -> str:
    """Digest what comes with this package to build skills: tools' versions, scripts and the guest library."""
    own = bundled("toolchain")
    paths = [own / name for name in ("package-lock.json", "reproducible.c", "typescript.mjs")]
    paths += sorted(path for path in (own / "guest").rglob("*") if path.is_file())
    digest = hashlib.sha256()
    for path in paths:
        digest.update(f"{path.relative_to(own).as_posix()} {len(path.read_bytes())}\n".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def guest_library(language: str) -> Path:
    """Return the directory of what every component in a language has in it."""
    return bundled("toolchain") / "guest" / language


def build_dir() -> Path:
    """Return the directory of caches and stamps, which can be removed at any time."""
    toolchain = toolchain_dir()
    checkout = toolchain.parent
    directory = checkout / "build" if (checkout / "pyproject.toml").is_file() else toolchain / "build"
    directory = directory / "toolchain"
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def _home() -> Path:
    try:
        return Path(os.environ.get("CYBEROS_HOME", "~/.cyberos")).expanduser().absolute()
    except RuntimeError:
        raise AuthoringError("this account has no home directory: set CYBEROS_HOME") from None


@cache
def wit_text() -> str:
    """Return the contract between the service and a component."""
    return (bundled("schema") / "skill.wit").read_text(encoding="utf-8")


def run_tool(
    command: Sequence[str | Path],
    *,
    cwd: Path,
    environment: Mapping[str, str] | None = None,
    given: str | None = None,
) -> str:
    """Run a tool and return what it wrote to stdout. Raises `AuthoringError` with its last words."""
    try:
        outcome = subprocess.run(
            command,
            cwd=cwd,
            env={**os.environ, **(environment or {})},
            input=given,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=TOOL_SECONDS,
            check=False,
        )
    except FileNotFoundError:
        raise AuthoringError(f"`{command[0]}` is not in PATH") from None
    except subprocess.TimeoutExpired:
        raise AuthoringError(f"`{command[0]}` took longer than {TOOL_SECONDS} s") from None
    if outcome.returncode != 0:
        said = (outcome.stderr.strip() or outcome.stdout.strip())[-_OUTPUT_SHOWN:]
        raise AuthoringError(said or f"`{command[0]}` ended with {outcome.returncode}")
    return outcome.stdout


def ensure_node_packages() -> bool:
    """Install the toolchain's npm packages by its lock file; return whether there was something to do.

    Raises `AuthoringError` when Node.js is missing or too old, or when they cannot be had.
    """
    toolchain = toolchain_dir()
    _check_node()
    installed = toolchain / "node_modules" / ".package-lock.json"
    lock_file = toolchain / "package-lock.json"
    if installed.exists() and installed.stat().st_mtime >= lock_file.stat().st_mtime:
        return False
    run_tool(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=toolchain)
    installed.touch()
    return True


def _check_node() -> None:
    if shutil.which("node") is None or shutil.which("npm") is None:
        raise AuthoringError(f"Node.js {_NODE_LEAST} or newer with npm is needed to build TypeScript")
    major = int(run_tool(["node", "--version"], cwd=toolchain_dir()).lstrip("v").split(".")[0])
    if major < _NODE_LEAST:
        raise AuthoringError(f"Node.js {_NODE_LEAST} or newer is needed to build TypeScript; this is {major}")


def node_package_versions(*names: str) -> dict[str, str]:
    """Return the versions of installed npm packages."""
    modules = toolchain_dir() / "node_modules"
    return {
        name: str(json.loads((modules / name / "package.json").read_text(encoding="utf-8"))["version"])
        for name in names
    }


def python_tool(package: str, module: str, what: str) -> str:
    """Return the version of a tool that comes as a Python package. Raises `AuthoringError` without it."""
    try:
        if importlib.util.find_spec(module) is not None:
            return version(package)
    except PackageNotFoundError:
        pass
    raise AuthoringError(
        f"{package} is needed to build {what}: `make toolchain` in a checkout, or "
        "pip install 'cyberos-subgraph[toolchain]'"
    )


def zig(*arguments: str | Path, cwd: Path) -> str:
    """Run the Zig compiler, with its caches in the build directory."""
    caches = os.fspath(build_dir() / "zig")
    return run_tool(
        [sys.executable, "-m", "ziglang", *arguments],
        cwd=cwd,
        environment={"ZIG_GLOBAL_CACHE_DIR": caches, "ZIG_LOCAL_CACHE_DIR": caches},
    )


def fixed_environment() -> dict[str, str] | None:
    """Return the environment in which a tool sees neither time nor chance; None if it cannot be made.

    The engine that a TypeScript component carries is started once while it is built, and what it drew from
    the clock and the generator of random numbers stays in it. A library that is loaded first answers both
    with constants (`reproducible.c`). Any C compiler will do: none of its bytes gets into the component.
    """
    source = bundled("toolchain") / "reproducible.c"
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    library = build_dir() / f"reproducible-{digest[:16]}.so"
    if not library.is_file():
        temporary = library.with_suffix(f".{os.getpid()}.so")
        arguments: list[str | Path] = ["-shared", "-fPIC", "-O2", "-o", temporary, source]
        try:
            if importlib.util.find_spec("ziglang") is not None:
                zig("cc", *arguments, cwd=library.parent)
            else:
                run_tool(["cc", *arguments, "-ldl"], cwd=library.parent)
        except AuthoringError:
            return None
        temporary.replace(library)
    return {"LD_PRELOAD": os.fspath(library)}
