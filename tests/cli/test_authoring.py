"""Writing a skill at the command line: from nothing to an answer, by its documentation alone."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.shell import Shell
from tests.support.postgres import empty_database


@pytest.fixture
def shell(server: str, tmp_path: Path) -> Iterator[Shell]:
    with empty_database(server) as dsn:
        yield Shell(tmp_path, dsn)


@pytest.mark.parametrize("language", ["ts", "zig"])
def test_a_skill_is_made_built_tried_and_run(shell: Shell, language: str) -> None:
    made = shell("new", "greet", "--lang", language, "--dir", str(shell.skills))
    assert made.exit_code == 0, made
    assert f"[new]        next: cyberos-skill-cli build {shell.skills / 'greet'}" in made.stdout
    built = shell("build", str(shell.skills / "greet"))
    assert built.exit_code == 0, built
    assert re.search(
        r"^\[wasm\] +wasm32.* component target \.\.\.  OK \(.* [KM]B\)$", built.stdout, re.MULTILINE
    )
    assert re.search(
        r"^\[aot\] +wasmtime compile · cache key sha256:[0-9a-f]{12} ", built.stdout, re.MULTILINE
    )
    assert re.search(r"^\[build\] +dist/skill.wasm  ✓", built.stdout, re.MULTILINE)
    tried = shell("fixtures", "greet")
    assert (tried.exit_code, tried.stderr) == (0, "")
    assert tried.stdout == "[fixtures]   greet  executor=wasm  5/5 as expected\n"
    answered = shell("run", "greet", "--input", '{"name":"Lan"}')
    assert json.loads(answered.stdout) == {"greeting": "Xin chào Lan"}
    assert shell("build", str(shell.skills / "greet")).stdout.endswith("greet: unchanged\n")
    assert shell("validate", str(shell.skills / "greet")).exit_code == 0


def test_a_case_that_fails_is_shown_and_ends_with_1(shell: Shell) -> None:
    shell("new", "greet", "--lang", "zig", "--dir", str(shell.skills))
    cases = shell.skills / "greet" / "fixtures" / "cases.json"
    cases.write_text(cases.read_text(encoding="utf-8").replace("Hello Lan", "Hi Lan"), encoding="utf-8")
    assert shell("build", "--quiet", "--no-aot", str(shell.skills / "greet")).exit_code == 0
    tried = shell("fixtures", "greet")
    assert tried.exit_code == 1
    assert "[wasm]       english: the answer" in tried.stderr
    assert "4/5 as expected" in tried.stdout


def test_a_component_that_is_not_of_its_sources_fails_its_cases_and_is_warned_of(shell: Shell) -> None:
    shell("new", "greet", "--lang", "zig", "--dir", str(shell.skills))
    greet = shell.skills / "greet"
    assert shell("build", "--quiet", "--no-aot", str(greet)).exit_code == 0
    source = greet / "src" / "main.zig"
    text = source.read_text(encoding="utf-8")
    source.touch()  # a time alone says nothing
    assert shell("fixtures", "greet").exit_code == 0
    source.write_text(text + "// Changed.\n", encoding="utf-8")
    said = "dist/skill.wasm was built from another src/main.zig than the skill has: build it again"
    tried = shell("fixtures", "greet")
    assert (tried.exit_code, tried.stderr) == (1, f"[fixtures]   {said}\n")
    assert tried.stdout == "[fixtures]   greet  executor=wasm  5/5 as expected\n"
    checked = shell("validate", str(greet))
    assert checked.exit_code == 0
    assert "component: sources  WARNING " in checked.stdout
    assert said in checked.stdout
    assert shell("build", "--quiet", "--no-aot", str(greet)).exit_code == 0
    assert shell("fixtures", "greet").exit_code == 0
    assert "WARNING" not in shell("validate", str(greet)).stdout


def test_what_cannot_be_built_is_said_and_the_others_are_built(shell: Shell) -> None:
    for name in ("bad", "good"):
        shell("new", name, "--lang", "zig", "--dir", str(shell.skills))
    (shell.skills / "bad" / "src" / "main.zig").write_text("pub fn run( {}")
    built = shell("build", "-q", "--no-aot", str(shell.skills / "bad"), str(shell.skills / "good"))
    assert built.exit_code == 1
    assert "error: expected" in built.stderr
    assert re.search(r"good: \d+ bytes, sha256:[0-9a-f]{64}$", built.stdout, re.MULTILINE)
    assert (shell.skills / "good" / "dist" / "skill.wasm").is_file()


def test_a_name_that_is_taken_or_no_name_is_refused(shell: Shell) -> None:
    assert shell("new", "greet", "--dir", str(shell.skills)).exit_code == 0
    again = shell("new", "greet", "--dir", str(shell.skills))
    assert (again.exit_code, "is there already" in again.stderr) == (1, True)
    assert "is no name of a skill" in shell("new", "Greet", "--dir", str(shell.skills)).stderr


def test_cases_of_a_prompt_say_that_there_is_nothing_to_run(shell: Shell) -> None:
    ended = shell("fixtures", "hello-world")
    assert ended.exit_code == 1
    assert "has nothing to run: it is text for an agent to follow" in ended.stderr
