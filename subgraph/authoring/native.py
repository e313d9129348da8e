"""Zig and C to a component: a module without any system below it, and the shell that makes it a component."""

from __future__ import annotations

import importlib.util
import re
import tempfile
from pathlib import Path

from subgraph.authoring.component import component_around, core_imports
from subgraph.authoring.contract import check_declared, contract_for
from subgraph.authoring.errors import AuthoringError
from subgraph.authoring.languages import Language
from subgraph.authoring.steps import Compiled, Steps, Tool, size_of, sources_of
from subgraph.authoring.tools import build_dir, guest_library, python_tool, zig

_STACK_BYTES = 256 * 1024

_C_FLAGS = (
    "--target=wasm32-freestanding", "-std=c23", "-Os", "-nostdlib", "-fno-builtin",
    "-Wall", "-Wextra", "-Werror", "-Wl,--no-entry", "-Wl,--strip-all", f"-Wl,-z,stack-size={_STACK_BYTES}",
)  # fmt: skip
_ZIG_FLAGS = (
    "-target", "wasm32-freestanding", "-O", "ReleaseSmall", "-fno-entry", "-fstrip", "-rdynamic",
    "--stack", str(_STACK_BYTES),
)  # fmt: skip


def compile_native(skill: Path, language: Language, allowed_tools: str, steps: Steps) -> Compiled:
    """Build `src/main.zig` or `src/main.c` of a skill. Raises `AuthoringError`."""
    version = python_tool("ziglang", "ziglang", "Zig and C")
    library = guest_library(language.value)
    with (
        steps.step("zig", f"compiling {language.entry}"),
        tempfile.TemporaryDirectory(dir=build_dir()) as folder,
    ):
        output = Path(folder) / "skill.wasm"
        if language is Language.ZIG:
            _compile_zig(skill, library, output)
        else:
            used = Path(folder) / "skill.d"
            zig(
                "cc", *_C_FLAGS, "-MD", "-MF", used, "-I", library, "-o", output, language.entry, cwd=skill
            )  # fmt: skip
            _check_places(used.read_text(encoding="utf-8"), skill, library)
        module = output.read_bytes()
    functions = core_imports(module)
    check_declared(functions, allowed_tools)
    contract = contract_for(functions)
    with steps.step("wasm", "wasm32 component target") as results:
        component = component_around(module, contract.functions)
        results.append(size_of(component))
    # Whatever their names: code can embed any file.
    paths = [path for root in (skill / "src", library) for path in root.rglob("*") if path.is_file()]
    tools = (Tool("ziglang", version, f"pkg:pypi/ziglang@{version}", inside=True),)
    return Compiled(component, contract, sources_of(paths, skill, library.parent), tools)


def _check_places(used: str, skill: Path, library: Path) -> None:
    """Refuse files from anywhere on the machine, which a compiler takes: they would be published."""
    compiler = Path(importlib.util.find_spec("ziglang").origin).parent  # type: ignore[union-attr, arg-type]
    names = re.split(r"(?<!\\)\s+", used.replace("\\\n", " ").partition(": ")[2].strip())
    for name in names:
        path = (skill / name.replace("\\ ", " ")).resolve()
        if not any(path.is_relative_to(root.resolve()) for root in (skill, library, compiler)):
            raise AuthoringError(f"{path.name} lies outside of the skill and of the guest library")


def _compile_zig(skill: Path, library: Path, output: Path) -> None:
    zig(
        "build-exe", *_ZIG_FLAGS, f"-femit-bin={output}",
        "--dep", "skill", "--dep", "cyberos", f"-Mroot={library / 'entry.zig'}",
        "--dep", "cyberos", f"-Mskill={skill / Language.ZIG.entry}",
        f"-Mcyberos={library / 'cyberos.zig'}",
        cwd=skill,
    )  # fmt: skip
