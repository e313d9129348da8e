"""Building a skill: its sources to `dist/skill.wasm`, with the bill of what went in beside it.

A skill whose sources, contract and tools are those of its last build is left as it is. The stamp that tells
lies among the caches, since `dist/` is part of what is published.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from subgraph.authoring.component import component_imports
from subgraph.authoring.errors import AuthoringError
from subgraph.authoring.languages import Language, language_of
from subgraph.authoring.native import compile_native
from subgraph.authoring.python_guest import compile_python
from subgraph.authoring.steps import Compiled, Steps, Tell, sha256_of, size_of
from subgraph.authoring.tools import build_dir, toolchain_digest, wit_text
from subgraph.authoring.typescript import compile_typescript
from subgraph.catalog.discovery import COMPONENT_PATH
from subgraph.catalog.freshness import BILL_PATH
from subgraph.catalog.front_matter import HEAD_BYTES, split
from subgraph.catalog.manifest import SkillManifest, parse_front_matter
from subgraph.catalog.problem import MANIFEST_NAME
from subgraph.catalog.tree import read_head
from subgraph.errors import SubgraphError
from subgraph.execution.compilation import Compiler
from subgraph.execution.confinement import landlock_available
from subgraph.execution.engine import EngineProfile, machine_code_key

_UNFINISHED = ".unfinished-"


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """How to build: in which language where a skill has sources in several, and whether always.

    `compiles` has the component compiled to machine code as the service will, which shows that it can be.
    """

    language: Language | None = None
    always: bool = False
    compiles: bool = True


@dataclass(frozen=True, slots=True)
class Built:
    """A component on disk: SHA-256 and size in bytes; `unchanged` when it was there already."""

    skill: Path
    sha256: str
    size: int
    unchanged: bool


def build_skill(directory: Path, options: BuildOptions, tell: Tell) -> Built:
    """Build the skill in a directory, or in the one above it when that is its `src/`.

    Raises `AuthoringError`; what was built before is then left as it was.
    """
    skill = directory.resolve()
    if skill.name == "src" and not (skill / MANIFEST_NAME).is_file():
        skill = skill.parent
    try:
        with _alone(_stamp_path(skill)):
            return _build(skill, options, tell)
    except OSError as error:
        place = "" if error.filename is None else f": {error.filename}"
        raise AuthoringError(f"{error.strerror or error}{place}") from error


def _build(skill: Path, options: BuildOptions, tell: Tell) -> Built:
    manifest = _manifest(skill)
    language = language_of(skill, options.language)
    stamp = _stamp_path(skill)
    recipe = sha256_of(json.dumps([language, manifest.allowed_tools, _recipe()]).encode())
    current = None if options.always else _current(skill, stamp, recipe)
    if current is not None:
        return Built(skill, sha256_of(current), len(current), unchanged=True)
    _make_room(skill / "dist")
    steps = Steps(tell)
    before = _files_of(skill)
    compiled = _compile(skill, language, manifest, steps)
    with steps.step("component", "checking what it imports") as results:
        found = component_imports(compiled.component)
        if found != compiled.contract.imports:
            raise AuthoringError(f"the component imports {found} where {compiled.contract.imports} is due")
        results.append(compiled.contract.reach)
    if _files_of(skill) != before:
        raise AuthoringError("the skill's files changed while they were built: build it again")
    if options.compiles:
        _compile_ahead(compiled.component, steps)
    # It takes 0.2 s to load, which no other command of the command line need wait for.
    from subgraph.authoring.bill import bill_of_materials

    outputs = {
        COMPONENT_PATH: compiled.component,
        BILL_PATH: bill_of_materials(skill, manifest, compiled).encode(),
    }
    for path, content in outputs.items():
        _write(skill / path, content)
    with steps.step("sbom", BILL_PATH) as results:
        results.append(f"{len(compiled.sources)} files, {len(compiled.tools)} tools")
    _write(stamp, _stamp(recipe, before, compiled, outputs).encode())
    digest = sha256_of(compiled.component)
    tell("build", f"{COMPONENT_PATH}  ✓  {size_of(compiled.component)}  sha256:{digest}")
    return Built(skill, digest, len(compiled.component), unchanged=False)


def _compile(skill: Path, language: Language, manifest: SkillManifest, steps: Steps) -> Compiled:
    tools = manifest.allowed_tools
    if language is Language.TYPESCRIPT:
        return compile_typescript(skill, tools, steps)
    if language is Language.PYTHON:
        return compile_python(skill, tools, steps)
    return compile_native(skill, language, tools, steps)


def _compile_ahead(component: bytes, steps: Steps) -> None:
    """Compile as the service does, by its confined compiler; the machine code is not kept."""
    key = machine_code_key(sha256_of(component), EngineProfile.OPEN)
    with steps.step("aot", f"wasmtime compile · cache key sha256:{key[:12]}") as results:
        try:
            compiler = Compiler(landlock=landlock_available())
            machine_code = asyncio.run(compiler.compile(component, EngineProfile.OPEN))
        except SubgraphError as error:
            raise AuthoringError(f"the component does not compile: {error.message}") from error
        results.append(size_of(machine_code))


def _manifest(skill: Path) -> SkillManifest:
    if not (skill / MANIFEST_NAME).exists():
        raise AuthoringError(f"there is no {MANIFEST_NAME} in {skill}")
    try:
        return parse_front_matter(split(read_head(skill / MANIFEST_NAME, HEAD_BYTES))[0], skill.name)
    except SubgraphError as error:
        raise AuthoringError(error.message) from error


def _recipe() -> list[str]:
    """What makes a build besides the skill's own sources: the contract, the tools, and this package."""
    own = [sha256_of(path.read_bytes()) for path in sorted(Path(__file__).parent.glob("*.py"))]
    return [wit_text(), toolchain_digest(), *own, *map(_version, ("ziglang", "componentize-py"))]


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _stamp_path(skill: Path) -> Path:
    return build_dir() / f"{skill.name}-{sha256_of(os.fsencode(skill))[:12]}.json"


def _stamp(recipe: str, files: Mapping[str, str], compiled: Compiled, outputs: Mapping[str, bytes]) -> str:
    return json.dumps(
        {
            "recipe": recipe,
            # All of the skill: a new file can take the place of one that was used.
            "files": dict(files),
            "inputs": {os.fspath(source.path): source.sha256 for source in compiled.sources},
            "outputs": {path: sha256_of(content) for path, content in outputs.items()},
        }
    )


def _current(skill: Path, stamp: Path, recipe: str) -> bytes | None:
    """Return the component if nothing has changed since it was built."""
    try:
        made = json.loads(stamp.read_bytes())
        inputs = [(Path(path), digest) for path, digest in made["inputs"].items()]
        outputs = [(skill / path, digest) for path, digest in made["outputs"].items()]
        if made["recipe"] != recipe or made["files"] != _files_of(skill):
            return None
        if not all(sha256_of(path.read_bytes()) == digest for path, digest in [*inputs, *outputs]):
            return None
        return (skill / COMPONENT_PATH).read_bytes()
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None  # A missing or damaged stamp only means that it is built again.


def _write(path: Path, content: bytes) -> None:
    """Write a file so that readers see the old one or the new one, and never a part of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=_UNFINISHED)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _make_room(dist: Path) -> None:
    """Refuse a link in the place of `dist/`, and remove what a build left there that was killed."""
    if dist.is_symlink() or (dist.exists() and not dist.is_dir()):
        raise AuthoringError(f"{dist} is no directory")
    for left in dist.glob(f"{_UNFINISHED}*"):
        left.unlink()


def _files_of(skill: Path) -> dict[str, str]:
    """Digest every regular file of a skill but what is built, by its path."""
    return {
        path.relative_to(skill).as_posix(): sha256_of(path.read_bytes())
        for path in sorted(skill.rglob("*"))
        if path.is_file() and not path.is_relative_to(skill / "dist")
    }


@contextmanager
def _alone(stamp: Path) -> Iterator[None]:
    """Have no other build of the same skill beside this one."""
    with stamp.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
