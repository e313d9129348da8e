from __future__ import annotations

import json
from pathlib import Path

import pytest

from subgraph.authoring import AuthoringError
from subgraph.authoring.contract import HOST
from tests.support.toolchain import ROOT, TOOLCHAIN, Answer, Guest, build_skill, run_toolchain

# One branch for each way in which a skill can misbehave, and each value that a component without WASI lacks.
MISBEHAVING = """
const acts: Record<string, () => unknown> = {
  error: () => { throw new Error("a message"); },
  payload: () => { throw Object.assign(new Error("outer"), { payload: "what the host said" }); },
  text: () => { throw "just text"; },
  object: () => { throw { code: 1 }; },
  undefined: () => { throw undefined; },
  null: () => { throw null; },
  hostile: () => { throw Object.defineProperty(new Error(), "message", { get() { throw 1; } }); },
  surrogate_message: () => { throw new Error("a\\ud800b"); },
  bug: () => (undefined as unknown as string).length,
  promise: () => Promise.resolve("late"),
  nothing: () => undefined,
  number: () => 5,
  list: () => ["text"],
  surrogate: () => "a\\ud800b",
  now: () => String(Date.now()),
  date: () => String(new Date()),
  date_call: () => Date(),
  date_constructor: () => String(new (new Date(0).constructor as DateConstructor)()),
  performance: () => String((globalThis as any).performance.now()),
  random: () => String(Math.random()),
  given_date: () => new Date(Date.UTC(2026, 10, 20)).toISOString() + (new Date(0) instanceof Date),
  restored: () => { Math.random = () => 4; return String(Math.random()); },
};
export function run(input: string): string { return acts[input]!() as string; }
"""


READER = f"""
import {{ readFile, listDir as list, log }} from "{HOST}";
export const run = (input: string) => readFile(list(input)[0]!);
"""


def write_skill(name: str, source: str, tools: str = "read_file list_dir") -> Path:
    # In one place of the build directory, so that stamps are reused and do not pile up.
    skill = ROOT / "build" / "tests" / "toolchain" / name
    (skill / "src").mkdir(parents=True, exist_ok=True)
    (skill / "src" / "index.ts").write_text(source, encoding="utf-8")
    (skill / "SKILL.md").write_text(f"---\nname: {name}\ndescription: x\nallowed-tools: {tools}\n---\n")
    return skill


@pytest.fixture(scope="module")
def misbehaving() -> Guest:
    return Guest(build_skill(write_skill("misbehaving", MISBEHAVING)))


class TestGuard:
    @pytest.mark.parametrize(
        ("act", "message"),
        [
            ("error", "a message"),
            ("payload", "what the host said"),
            ("text", "just text"),
            ("object", "skill_failed: run threw an object where an Error is due"),
            ("undefined", "skill_failed: run threw undefined where an Error is due"),
            ("null", "skill_failed: run threw null where an Error is due"),
            ("hostile", "skill_failed: run threw an Error whose message cannot be read"),
            ("surrogate_message", "a\ufffdb"),
            ("bug", "cannot read property 'length' of undefined"),
            ("promise", "skill_failed: run returned a Promise where text is due"),
            ("nothing", "skill_failed: run returned undefined where text is due"),
            ("number", "skill_failed: run returned a number where text is due"),
            ("list", "skill_failed: run returned an object where text is due"),
            ("surrogate", "skill_failed: run returned text with a lone surrogate"),
        ],
    )
    def test_turns_misbehaviour_into_an_error_message(
        self, misbehaving: Guest, act: str, message: str
    ) -> None:
        assert misbehaving.call(act) == Answer(ok=False, text=message)


class TestEnvironment:
    @pytest.mark.parametrize(
        ("act", "name", "instead"),
        [
            ("now", "Date.now()", "the time"),
            ("date", "new Date()", "the time"),
            ("date_call", "Date()", "the time"),
            ("date_constructor", "new Date()", "the time"),
            ("performance", "performance.now()", "the time"),
            ("random", "Math.random()", "a seed"),
        ],
    )
    def test_has_neither_clock_nor_chance(
        self, misbehaving: Guest, act: str, name: str, instead: str
    ) -> None:
        message = f"{name} is not available to a skill: take {instead} as input"
        assert misbehaving.call(act) == Answer(ok=False, text=message)

    def test_computes_with_dates_that_are_given(self, misbehaving: Guest) -> None:
        assert misbehaving.call("given_date") == Answer(ok=True, text="2026-11-20T00:00:00.000Ztrue")

    def test_cannot_be_replaced(self, misbehaving: Guest) -> None:
        answer = misbehaving.call("restored")
        assert not answer.ok
        assert "read-only" in answer.text

    def test_holds_while_modules_load(self) -> None:
        skill = write_skill("clock-at-load", "const t = Date.now(); export const run = () => `${t}`;")
        with pytest.raises(AuthoringError, match=r"Date\.now\(\) is not available to a skill"):
            build_skill(skill)


class TestImports:
    def test_are_the_functions_that_the_code_calls(self) -> None:
        skill = write_skill("reader", READER)
        assert Guest(build_skill(skill)).imports() == {HOST: ["list-dir", "read-file"]}

    def test_are_none_for_a_skill_that_calls_none(self) -> None:
        skill = write_skill("unused", f'import {{ log }} from "{HOST}";\nexport const run = () => "x";')
        assert Guest(build_skill(skill)).imports() == {}

    @pytest.mark.parametrize(
        ("source", "message"),
        [
            (
                'import * as host from "{host}";\nexport const run = (name: "log") => host[name]("");',
                "import the functions of cyberos:skill/host@0.1.0 by their names",
            ),
            (
                'import {{ format }} from "{host}";\nexport const run = () => format();',
                "the host has no function format",
            ),
            (
                'import {{ run as other }} from "cyberos:other";\nexport const run = () => other();',
                "cyberos:other is not a module that a skill can import",
            ),
            (
                'export const run = () => import("{host}");',
                "by a statement, not by dynamic-import",
            ),
            ("export const go = () => 1;", 'No matching export in "src/index.ts" for import "run"'),
        ],
    )
    def test_must_be_plain(self, source: str, message: str) -> None:
        with pytest.raises(AuthoringError) as refused:
            build_skill(write_skill("refused", source.format(host=HOST)))
        assert message in str(refused.value)

    def test_must_be_declared(self) -> None:
        with pytest.raises(AuthoringError, match="calls list-dir, and allowed-tools"):
            build_skill(write_skill("undeclared", READER, tools="read_file"))


def test_types_are_right() -> None:
    outcome = run_toolchain("npm", "run", "--silent", "--prefix", TOOLCHAIN, "check")
    assert outcome.returncode == 0, outcome.stdout


def test_lock_file_has_hashes_and_no_addresses() -> None:
    text = (TOOLCHAIN / "package-lock.json").read_text(encoding="utf-8")
    packages = json.loads(text)["packages"]
    assert "://" not in text
    assert all(package["integrity"].startswith("sha512-") for name, package in packages.items() if name)
