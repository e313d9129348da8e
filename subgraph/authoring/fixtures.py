"""A skill's own cases, `fixtures/cases.json`, run through the service by every executor that it has.

A list of objects:

- `id`, `name`: unique; what the case shows.
- `input`, or `input_text` where it is not to be written as JSON.
- `output`, or `output_text` where the answer is no JSON, or `error`, the skill's message for a bad input.
- `files`: texts in the workspace before the call, by path. `written`: those that the call leaves beside them.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from subgraph.authoring.errors import AuthoringError
from subgraph.capabilities.patterns import PatternError, normalise_path
from subgraph.catalog.freshness import stale_because
from subgraph.errors import InputInvalid
from subgraph.execution.invocation import Executor, Invocation
from subgraph.execution.limits import ExitCode
from subgraph.principal import Principal
from subgraph.service import Service

CASES_PATH = "fixtures/cases.json"

_FIELDS = {"id", "name", "input", "input_text", "output", "output_text", "error", "files", "written"}
_SHOWN = 300
"""What is shown of an answer that was not expected, in characters."""


@dataclass(frozen=True, slots=True)
class Fixture:
    """One case: the input as text, and the answer, or with `fails` the error message."""

    id: str
    name: str
    text: str
    answer: str
    fails: bool = False
    files: Mapping[str, str] = field(default_factory=dict)
    written: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a case by one executor: None, or what was not as expected.

    `ungranted` is whether that was a capability that nobody has granted.
    """

    fixture: Fixture
    executor: Executor
    problem: str | None
    ungranted: bool = False


def compact(value: object) -> str:
    """Write JSON as `JSON.stringify` does, which is how skills answer."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def parse_fixtures(document: bytes) -> list[Fixture]:
    """Read the cases of a skill. Raises `AuthoringError`."""
    try:
        cases = json.loads(document)
    except (ValueError, RecursionError) as error:
        raise AuthoringError(f"{CASES_PATH} cannot be read: {error}") from error
    if not isinstance(cases, list):
        raise AuthoringError(f"{CASES_PATH} must be a list")
    try:
        document.decode()
        json.dumps(cases, ensure_ascii=False).encode()
    except UnicodeError:
        raise AuthoringError(f"{CASES_PATH} holds half of a surrogate pair: write it as input_text") from None
    found = [_fixture(case, place) for place, case in enumerate(cases)]
    if len({fixture.id for fixture in found}) < len(found):
        raise AuthoringError(f"{CASES_PATH} has two cases with the same id")
    return found


def _fixture(case: Any, place: int) -> Fixture:
    where = f"{CASES_PATH}, case {place}"
    if not isinstance(case, dict) or not isinstance(case.get("id"), str):
        raise AuthoringError(f"{where}: must be an object with an id")
    if unknown := sorted(case.keys() - _FIELDS):
        raise AuthoringError(f"{where}: unknown field {unknown[0]}")
    given = [name for name in ("input", "input_text") if name in case]
    expected = [name for name in ("output", "output_text", "error") if name in case]
    if len(given) != 1 or len(expected) != 1:
        due = "one of input, input_text and one of output, output_text, error"
        raise AuthoringError(f"{where}: needs {due}")
    asked, answered = given[0], expected[0]
    for name in ("files", "written"):
        _check_files(case.get(name, {}), f"{where}: {name}")
    texts = {"input_text", "output_text", "error", "name"} & case.keys()
    if not all(isinstance(case[each], str) for each in texts):
        raise AuthoringError(f"{where}: {', '.join(sorted(texts))} must be text")
    return Fixture(
        id=case["id"],
        name=str(case.get("name", case["id"])),
        text=compact(case["input"]) if asked == "input" else case[asked],
        answer=compact(case["output"]) if answered == "output" else case[answered],
        fails=answered == "error",
        files=case.get("files", {}),
        written=case.get("written", {}),
    )


def _check_files(files: object, where: str) -> None:
    """Refuse paths that leave the workspace: the files are laid out before any skill runs."""
    if not isinstance(files, dict) or not all(isinstance(text, str) for text in files.values()):
        raise AuthoringError(f"{where} must be a mapping of paths to texts")
    for path in files:
        try:
            place = normalise_path(path)
        except PatternError as error:
            raise AuthoringError(f"{where}: {error}") from error
        if place.root != "workspace" or not place.parts or str(place) != path:
            raise AuthoringError(f"{where}: a path is relative to the workspace, without ./ before it")
        if any("/".join(place.parts[:depth]) in files for depth in range(1, len(place.parts))):
            raise AuthoringError(f"{where}: a path is that of a file and of a directory")


@contextmanager
def laid_out(workspace: Path, files: Mapping[str, str]) -> Iterator[None]:
    """Have these files, and no others, in a directory; nothing is left of it afterwards."""
    _empty(workspace)
    try:
        for path, text in files.items():
            (workspace / path).parent.mkdir(parents=True, exist_ok=True)
            (workspace / path).write_bytes(text.encode("utf-8"))
        yield
    finally:
        _empty(workspace)


def written_beside(workspace: Path, files: Mapping[str, str]) -> dict[str, str]:
    """Return the texts that lie in a directory beside those that were laid out, or in their place."""
    found = {
        path.relative_to(workspace).as_posix(): path.read_bytes().decode("utf-8", "replace")
        for path in workspace.rglob("*")
        if path.is_file()
    }
    return {path: text for path, text in found.items() if files.get(path) != text}


def _empty(directory: Path) -> None:
    for path in sorted(directory.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()


async def run_fixtures(service: Service, principal: Principal, name: str, workspace: Path) -> list[Outcome]:
    """Run each case of a skill by each executor that may run it, in order.

    `workspace` is that of the service, and is emptied: it must be a directory of its own. The runs are as any
    others: what they need has to be granted, and each has its entry. Raises `AuthoringError` for a skill
    without cases, and what `Service.invoke` raises but for an input that the service itself refuses.
    """
    skill = await service.skills.read(principal, name)
    executors = [
        each for each in await service.skills.executors_of(principal, name) if each is not Executor.INLINE
    ]
    if not executors:
        raise AuthoringError(f"{skill.header.path} has nothing to run: it is text for an agent to follow")
    if CASES_PATH not in skill.tree.files:
        raise AuthoringError(f"{skill.header.path} has no {CASES_PATH}")
    fixtures = parse_fixtures(skill.tree.read(CASES_PATH))
    return [
        await _outcome(service, principal, name, fixture, executor, workspace)
        for executor in executors
        for fixture in fixtures
    ]


async def stale_component(service: Service, principal: Principal, name: str) -> str | None:
    """Say why a skill's component is not of the sources beside it; None also where none is run."""
    skill = await service.skills.read(principal, name)
    if Executor.WASM not in await service.skills.executors_of(principal, name):
        return None
    return await asyncio.to_thread(stale_because, skill.header.directory, skill.tree.files.keys())


async def _outcome(
    service: Service, principal: Principal, name: str, fixture: Fixture, executor: Executor, workspace: Path
) -> Outcome:
    with laid_out(workspace, fixture.files):
        try:
            invocation = await service.runner.invoke(principal, name, fixture.text, executor=executor)
        except InputInvalid as error:
            # The service takes objects alone, and no more than it has room for.
            refusal = None if fixture.fails else f"it was refused: {error.message}"
            return Outcome(fixture, executor, refusal)
        written = written_beside(workspace, fixture.files)
    problem = _answer_problem(fixture, invocation) or _written_problem(fixture.written, written)
    return Outcome(fixture, executor, problem, invocation.exit_code == ExitCode.VIOLATION)


def _answer_problem(fixture: Fixture, invocation: Invocation) -> str | None:
    if invocation.exit_code not in {0, 1}:
        error = invocation.error
        return f"exit code {invocation.exit_code}" + ("" if error is None else f": {error.message}")
    failed = invocation.exit_code == 1
    answer = invocation.error.message if failed and invocation.error else invocation.stdout or ""
    if (failed, answer) == (fixture.fails, fixture.answer):
        return None
    kinds = {True: "the error", False: "the answer"}
    return f"{kinds[failed]} {_shown(answer)} where {kinds[fixture.fails]} {_shown(fixture.answer)} is due"


def _written_problem(expected: Mapping[str, str], found: Mapping[str, str]) -> str | None:
    for path in sorted(expected.keys() | found.keys()):
        if path not in found:
            return f"{path} was not written"
        if path not in expected:
            return f"{path} was written"
        if expected[path] != found[path]:
            return f"{path} holds {_shown(found[path])} where {_shown(expected[path])} is due"
    return None


def _shown(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}… ({len(text)} characters)"
