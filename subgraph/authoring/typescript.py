"""TypeScript to a component: esbuild bundles it, componentize-qjs puts it into an interpreter (QuickJS)."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from subgraph.authoring.contract import HOST, check_declared, contract_for
from subgraph.authoring.errors import AuthoringError
from subgraph.authoring.steps import Compiled, Source, Steps, Tool, size_of, sources_of
from subgraph.authoring.tools import (
    build_dir,
    ensure_node_packages,
    fixed_environment,
    node_package_versions,
    run_tool,
    toolchain_dir,
)
from subgraph.catalog.problem import MANIFEST_NAME

# esbuild writes an import that it leaves alone as one statement, at the start of the text or after another.
_NAMED_IMPORT = re.compile(r'(?:^|[;}\n])import\s*\{([^{}]*)\}\s*from\s*"([^"]+)"')
_PACKAGE = re.compile(r"(?:^|/)node_modules/((?:@[^/]+/)?[^/]+)/")

_BUNDLER, _COMPONENTIZER = "esbuild", "componentize-qjs"


def compile_typescript(skill: Path, allowed_tools: str, steps: Steps) -> Compiled:
    """Build `src/index.ts` of a skill. Raises `AuthoringError`."""
    with steps.step("npm", "installing deps") as results:
        if not ensure_node_packages():
            results.append("there already")
    versions = node_package_versions(_BUNDLER, _COMPONENTIZER)
    with steps.step(_BUNDLER, "bundling src/index.ts"):
        bundle = json.loads(_node("bundle", skill))
    paths = [(skill / name).resolve() for name in bundle["inputs"]]
    _check_places(paths, skill)
    functions = host_functions_of(bundle["code"], bundle["imports"])
    check_declared(functions, allowed_tools)
    contract = contract_for(functions)
    environment = fixed_environment()
    with (
        steps.step("wasm", "wasm32-wasi component target") as results,
        tempfile.TemporaryDirectory(dir=build_dir()) as folder,
    ):
        wit, code, output = (Path(folder) / name for name in ("skill.wit", "skill.js", "skill.wasm"))
        wit.write_text(contract.wit, encoding="utf-8")
        code.write_text(bundle["code"], encoding="utf-8")
        _node("componentize", wit, contract.world, code, output, environment=environment)
        component = output.read_bytes()
        results.append(size_of(component))
    if environment is None:
        steps.tell("wasm", "not reproducible here: it takes ziglang, or a C compiler")
    return Compiled(component, contract, _own(paths, skill), _tools(versions, paths))


def _check_places(paths: Sequence[Path], skill: Path) -> None:
    """Refuse sources from anywhere on the machine: they would be published with the component."""
    toolchain = toolchain_dir().resolve()
    for path in paths:
        if path.is_relative_to(skill) or path.is_relative_to(toolchain):
            continue
        if path.is_relative_to(skill.parent):
            neighbour = skill.parent / path.relative_to(skill.parent).parts[0]
            if (neighbour / MANIFEST_NAME).is_file():
                continue
        raise AuthoringError(
            f"{path.name} lies outside of the skill, of the skills beside it and of the guest library"
        )


def host_functions_of(code: str, imports: Sequence[Mapping[str, str]]) -> list[str]:
    """Name the host's functions that a bundle imports by name, in WIT spelling. Raises `AuthoringError`."""
    for item in imports:
        if item["path"] != HOST:
            raise AuthoringError(
                f"{item['path']} is not a module that a skill can import; the host is {HOST}"
            )
        if item["kind"] != "import-statement":
            raise AuthoringError(f"import {HOST} by a statement, not by {item['kind']}")
    statements = [names for names, path in _NAMED_IMPORT.findall(code) if path == HOST]
    if len(statements) < len(imports):
        raise AuthoringError(f"import the functions of {HOST} by their names")
    names = {item.split(" as ")[0].strip() for names in statements for item in names.split(",")}
    return sorted(re.sub("[A-Z]", lambda letter: f"-{letter[0].lower()}", name) for name in names)


def _node(step: str, *arguments: str | Path, environment: Mapping[str, str] | None = None) -> str:
    toolchain = toolchain_dir()
    return run_tool(
        ["node", toolchain / "typescript.mjs", step, *arguments], cwd=toolchain, environment=environment
    )


def _own(paths: Sequence[Path], skill: Path) -> tuple[Source, ...]:
    own = [path for path in paths if _PACKAGE.search(path.as_posix()) is None]
    return sources_of(own, skill, toolchain_dir() / "guest")


def _tools(versions: Mapping[str, str], paths: Sequence[Path]) -> tuple[Tool, ...]:
    tools = [
        Tool(_BUNDLER, versions[_BUNDLER], _purl(_BUNDLER, versions[_BUNDLER])),
        # It brings the interpreter.
        Tool(_COMPONENTIZER, versions[_COMPONENTIZER], _purl(_COMPONENTIZER, versions[_COMPONENTIZER]), True),
    ]
    bundled: dict[str, Path] = {}
    for path in paths:
        for found in _PACKAGE.finditer(path.as_posix()):
            bundled[found[1]] = Path(path.as_posix()[: found.end()])
    for name, directory in sorted(bundled.items()):
        manifest: dict[str, Any] = json.loads((directory / "package.json").read_text(encoding="utf-8"))
        tools.append(Tool(name, manifest["version"], _purl(name, manifest["version"]), True))
    return tuple(tools)


def _purl(name: str, version: str) -> str:
    return f"pkg:npm/{name.replace('@', '%40')}@{version}"
