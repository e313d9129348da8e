"""Python to a component: componentize-py puts the code into CPython. A preview: 18 MB, 1.3 ms a call."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from subgraph.authoring.contract import contract_for, functions_allowed
from subgraph.authoring.errors import AuthoringError
from subgraph.authoring.steps import Compiled, Steps, Tool, size_of, sources_of
from subgraph.authoring.tools import build_dir, guest_library, python_tool, run_tool

_TOOL = "componentize-py"
_START = "from componentize_py import script; script()"  # it is no module to run


def compile_python(skill: Path, allowed_tools: str, steps: Steps) -> Compiled:
    """Build `src/skill.py` of a skill. Raises `AuthoringError`.

    The bindings are made for what `allowed-tools` declares: Python looks names up when it runs, so that its
    code does not tell what it calls.
    """
    version = python_tool(_TOOL, "componentize_py", "Python components")
    steps.tell("py", "Python components are a preview: heavy, and other bytes with each build")
    # Nothing is declared: neither is a log worth an import.
    allowed = functions_allowed(allowed_tools)
    contract = contract_for(allowed if len(allowed) > 1 else ())
    library = guest_library("component")
    sources = skill / "src"
    with (
        steps.step("wasm", "wasm32-wasi component target") as results,
        tempfile.TemporaryDirectory(dir=build_dir()) as folder,
    ):
        wit, output = Path(folder) / "skill.wit", Path(folder) / "skill.wasm"
        # What Python keeps beside its sources is no part of the skill.
        copy = shutil.copytree(sources, Path(folder) / "src")
        wit.write_text(contract.wit, encoding="utf-8")
        _componentize(
            [
                sys.executable, "-c", _START, "-q", "-d", wit, "-w", contract.world, "componentize",
                "--stub-wasi", "-p", copy, "-p", library, "-o", output, "cyberos_entry",
            ],
            skill,
        )  # fmt: skip
        component = output.read_bytes()
        results.append(size_of(component))
    paths = [path for path in (*sources.rglob("*"), *library.glob("*.py")) if path.is_file()]
    tools = (Tool(_TOOL, version, f"pkg:pypi/{_TOOL}@{version}", inside=True),)
    return Compiled(component, contract, sources_of(paths, skill, library.parent), tools)


def _componentize(command: list[str | Path], skill: Path) -> None:
    environment = {
        "PYTHONDONTWRITEBYTECODE": "1",
        "VIRTUAL_ENV": "",
        "RUST_BACKTRACE": "0",
        "RUST_LIB_BACKTRACE": "0",
    }
    try:
        run_tool(command, cwd=skill, environment=environment)
    except AuthoringError as error:
        # The skill's own traceback stands between the tool's and its summary.
        said = str(error).partition("AssertionError: ")[2].partition("\n\nCaused by:")[0].rstrip()
        if "ModuleNotFoundError" in said:
            said += "\na component has the standard library and what lies in src/"
        raise AuthoringError(said or str(error)) from None
