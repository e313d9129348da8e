from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from subgraph.authoring import (
    AuthoringError,
    BuildOptions,
    Language,
    Outcome,
    build_skill,
    run_fixtures,
    scaffold,
)
from subgraph.authoring.fixtures import CASES_PATH, parse_fixtures
from subgraph.execution.invocation import Executor
from tests.authoring.conftest import PythonSkill
from tests.support.host_calls import calls, host_caller
from tests.support.kernel import needs_script_confinement
from tests.support.skills import OPERATOR, RunningService, component, service_in_process, skill_settings

SCRIPT = b"""
import json, sys, cyberos_host
given = json.load(sys.stdin)
if "write" in given:
    cyberos_host.write_file(given["write"], "written")
if "fail" in given:
    sys.exit(given["fail"])
sys.stdout.write(json.dumps(given))
"""

Run = Callable[..., list[Outcome]]


@pytest.fixture
def service(dsn: str, root: Path) -> Iterator[RunningService]:
    with service_in_process(skill_settings(root, dsn, workspace=root / "work")) as running:
        yield running


@pytest.fixture
def run(service: RunningService) -> Run:
    """Write a skill with cases, grant what it declares, and run them."""

    def with_cases(*cases: dict[str, Any], tools: str = "", **skill: Any) -> list[Outcome]:
        files = {CASES_PATH: json.dumps(cases).encode(), **skill.pop("files", {})}
        service.write("mine", tools=tools, files=files, **skill)
        if tools:
            service.run(service.service.oversight.grant_all(OPERATOR, "mine"))
        return service.run(run_fixtures(service.service, OPERATOR, "mine", service.settings.workspace_dir))

    return with_cases


def case(**fields: Any) -> dict[str, Any]:
    given = {} if "input_text" in fields else {"input": {"a": 1}}
    return {"id": "one", **given, **fields}


@pytest.mark.parametrize("language", [Language.TYPESCRIPT, Language.ZIG, Language.PYTHON])
def test_what_is_scaffolded_answers_its_cases_in_a_worker(
    service: RunningService, language: Language, request: pytest.FixtureRequest
) -> None:
    if language is Language.PYTHON:
        built: PythonSkill = request.getfixturevalue("python_skill")
        shutil.copytree(built.directory, service.skills / "greet")
    else:
        scaffold(service.skills, "greet", language)
        build_skill(service.skills / "greet", BuildOptions(compiles=False), lambda _tool, _what: None)
    service.run(service.ready_again())  # it stood still for the build
    service.run(service.service._catalog.scan())
    found = service.run(run_fixtures(service.service, OPERATOR, "greet", service.settings.workspace_dir))
    assert [(outcome.executor, outcome.problem) for outcome in found] == [(Executor.WASM, None)] * 5


@needs_script_confinement
def test_each_case_runs_by_each_executor(run: Run) -> None:
    found = run(
        case(output_text='{"a":1}'),
        case(id="two", input_text='{"a": 2}', output_text='{"a": 2}'),
        guest=component(),
        files={"scripts/main.py": b"import sys; sys.stdout.write(sys.stdin.read())"},
    )
    assert [(outcome.fixture.id, outcome.executor, outcome.problem) for outcome in found] == [
        ("one", Executor.WASM, None),
        ("two", Executor.WASM, None),
        ("one", Executor.SCRIPT, None),
        ("two", Executor.SCRIPT, None),
    ]


@pytest.mark.parametrize(
    ("expected", "problem"),
    [
        ({"output": {"a": 2}}, 'the answer {"a":1} where the answer {"a":2} is due'),
        ({"output_text": '{"a":1}\n'}, 'the answer {"a":1} where the answer {"a":1}\n is due'),
        ({"error": "no"}, 'the answer {"a":1} where the error no is due'),
        ({"output": {"a": 1}, "written": {"b.txt": ""}}, "b.txt was not written"),
    ],
)
def test_what_is_not_as_expected_is_said(run: Run, expected: dict[str, Any], problem: str) -> None:
    [outcome] = run(case(**expected), guest=component())
    assert outcome.problem == problem


def test_files_are_there_before_and_looked_at_after(run: Run) -> None:
    made = calls(["read_file", "in/a.txt"], ["write_file", "out/b.txt", "văn bản"])
    one = {
        "id": "a",
        "input": made,
        "output": [{"ok": "đọc"}, {"ok": None}],
        "files": {"in/a.txt": "đọc"},
        "written": {"out/b.txt": "văn bản"},
    }
    other = {**one, "id": "b", "written": {"out/b.txt": "other"}}
    unnamed = {**one, "id": "c", "written": {}}
    found = run(one, other, unnamed, tools="read_file write_file", guest=host_caller())
    assert [outcome.problem for outcome in found] == [
        None,
        "out/b.txt holds văn bản where other is due",
        "out/b.txt was written",
    ]


def test_nothing_is_left_from_one_case_to_the_next(run: Run, service: RunningService) -> None:
    made = calls(["list_dir", "."])
    found = run(
        {"id": "a", "input": made, "output_text": "?", "files": {"left.txt": ""}},
        {"id": "b", "input": made, "output_text": "?"},
        tools="list_dir write_file",
        guest=host_caller(),
    )
    problems = [outcome.problem or "" for outcome in found]
    assert "left.txt" in problems[0]
    assert "left.txt" not in problems[1]
    assert list(service.settings.workspace_dir.iterdir()) == []


def test_a_case_that_the_service_refuses_is_a_refusal(run: Run) -> None:
    found = run(
        case(id="list", input_text="[]", error="input_invalid: the input must be a JSON object"),
        case(id="answered", input_text="[]", output={}),
        guest=component(),
    )
    assert found[0].problem is None
    assert found[1].problem is not None
    assert found[1].problem.startswith("it was refused: the input must be a JSON object")


def test_a_run_that_ends_otherwise_says_how(run: Run) -> None:
    made = calls(["read_file", "a.txt"])
    [outcome] = run({"id": "a", "input": made, "output": {}}, guest=host_caller())
    assert outcome.problem is not None
    assert outcome.problem.startswith("exit code 126")
    assert outcome.ungranted


def test_a_skill_without_cases_or_without_code_says_so(service: RunningService) -> None:
    service.write("text")
    service.write("code", guest=component())
    for name, message in {"text": "has nothing to run", "code": "has no fixtures/cases.json"}.items():
        with pytest.raises(AuthoringError, match=message):
            service.run(run_fixtures(service.service, OPERATOR, name, service.settings.workspace_dir))


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("{", "cannot be read"),
        ("{}", "must be a list"),
        ("[1]", "case 0: must be an object with an id"),
        ('[{"id":"a","input":{},"output":{},"outptu":{}}]', "case 0: unknown field outptu"),
        ('[{"id":"a","input":{}}]', "needs one of input, input_text and one of output"),
        ('[{"id":"a","output":{}}]', "needs one of input"),
        ('[{"id":"a","input":{},"output":{},"error":""}]', "needs one of input"),
        ('[{"id":"a","input":{},"output":{}},{"id":"a","input":{},"output":{}}]', "with the same id"),
        ('[{"id":"a","input":{},"output":{},"files":[]}]', "files must be a mapping of paths to texts"),
        ('[{"id":"a","input":{},"output":{},"files":{"a":1}}]', "files must be a mapping"),
        ('[{"id":"a","input":{},"output":{},"files":{"../a":""}}]', "files: the path holds"),
        ('[{"id":"a","input":{},"output":{},"files":{"/etc/a":""}}]', "files: the path is absolute"),
        ('[{"id":"a","input":{},"output":{},"files":{"/skill/a":""}}]', "relative to the workspace"),
        ('[{"id":"a","input":{},"output":{},"files":{"./a":""}}]', "relative to the workspace"),
        ('[{"id":"a","input":{},"output":{},"written":{"a/../b":""}}]', "written: the path holds"),
        ('[{"id":"a","input":{},"error":1}]', "error must be text"),
        ('[{"id":"a","input":{},"output":{},"files":{"a":"","a/b":""}}]', "of a file and of a directory"),
        ('[{"id":"a","input":"\\ud800","output":{}}]', "half of a surrogate pair"),
        ("[" * 100_000, "cannot be read"),
    ],
)
def test_cases_that_cannot_be_read_are_refused(document: str, message: str) -> None:
    with pytest.raises(AuthoringError, match=message):
        parse_fixtures(document.encode())
