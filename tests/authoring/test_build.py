from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from subgraph.authoring import AuthoringError, BuildOptions, Built, Language, build_skill, scaffold
from subgraph.authoring.component import component_imports
from subgraph.authoring.tools import build_dir, fixed_environment
from tests.authoring.conftest import PythonSkill
from tests.support.digests import digest_of, recorded
from tests.support.parity import SKILLS, executable_skills
from tests.support.toolchain import Guest

REPRODUCIBLE = [Language.TYPESCRIPT, Language.ZIG]
ANSWER = '{"greeting":"Xin chào Lan"}'


class Told:
    """What a build told, line by line."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, tool: str, what: str) -> None:
        self.lines.append(f"[{tool}] {what}")


def build(skill: Path, told: Told | None = None, **options: object) -> Built:
    settings = BuildOptions(**{"compiles": False, **options})  # type: ignore[arg-type]
    return build_skill(skill, settings, told or Told())


def new(parent: Path, language: Language, name: str = "greet") -> Path:
    scaffold(parent, name, language)
    return parent / name


@pytest.mark.parametrize("language", [Language.TYPESCRIPT, Language.ZIG])
def test_what_is_scaffolded_can_be_built_and_answers(tmp_path: Path, language: Language) -> None:
    skill = new(tmp_path, language)
    told = Told()
    built = build(skill, told, compiles=True)
    component = skill / "dist" / "skill.wasm"
    assert built.sha256 == digest_of(component).removeprefix("sha256:")
    assert built.size == component.stat().st_size
    assert Guest(component).call('{"name":"Lan"}').text == ANSWER
    assert Guest(component).imports() == {}
    tools = [line.split("]")[0] + "]" for line in told.lines]
    assert tools[-5:] == ["[wasm]", "[component]", "[aot]", "[sbom]", "[build]"]
    assert any("wasmtime compile · cache key sha256:" in line for line in told.lines)


def test_what_is_scaffolded_in_python_can_be_built(python_skill: PythonSkill) -> None:
    """That it compiles and answers is shown in `test_fixtures`, by a worker of the service."""
    component = python_skill.directory / "dist" / "skill.wasm"
    assert python_skill.built.sha256 == digest_of(component).removeprefix("sha256:")
    assert python_skill.built.size == component.stat().st_size
    assert component_imports(component.read_bytes()) == []
    assert python_skill.told[-4:] == ["wasm", "component", "sbom", "build"]


@pytest.mark.parametrize("language", REPRODUCIBLE)
def test_two_builds_in_two_places_give_the_same_bytes(tmp_path: Path, language: Language) -> None:
    first, second = (new(tmp_path / place, language) for place in ("one", "another/place"))
    assert build(first, always=True).sha256 == build(second, always=True).sha256
    for path in ("dist/skill.wasm", "dist/skill.cdx.json"):
        assert (first / path).read_bytes() == (second / path).read_bytes()


def test_c_gives_the_same_bytes_again(tmp_path: Path) -> None:
    skills = []
    for place in ("one", "another"):
        skill = new(tmp_path / place, Language.ZIG)
        (skill / "src" / "main.zig").unlink()
        (skill / "src" / "main.c").write_text(
            '#include "cyberos.h"\n'
            "struct answer skill_run(struct text input) { return answer_with(input); }\n"
        )
        skills.append(skill)
    assert len({build(skill).sha256 for skill in skills}) == 1
    assert Guest(skills[0] / "dist" / "skill.wasm").call("đ").text == "đ"


def test_without_the_still_clock_two_builds_differ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Otherwise the test above would pass for some other reason.
    assert fixed_environment() is not None
    monkeypatch.setattr("subgraph.authoring.typescript.fixed_environment", lambda: None)
    skill = new(tmp_path, Language.TYPESCRIPT)
    told = Told()
    assert build(skill, always=True).sha256 != build(skill, told, always=True).sha256
    assert any("not reproducible here" in line for line in told.lines)


@pytest.mark.parametrize("skill", executable_skills(), ids=lambda path: path.name)
def test_shipped_skills_are_the_bytes_on_record(tmp_path: Path, skill: Path) -> None:
    # A copy of all of them, because one may take sources from another.
    copy = tmp_path / "skills"
    shutil.copytree(SKILLS, copy, ignore=shutil.ignore_patterns("dist"))
    place = skill.relative_to(SKILLS)
    build(copy / place)
    assert digest_of(copy / place / "dist" / "skill.wasm") == recorded()[place.as_posix()], "make digests"


def test_every_shipped_skill_is_on_record() -> None:
    assert list(recorded()) == [skill.relative_to(SKILLS).as_posix() for skill in executable_skills()]


class TestStamps:
    @pytest.fixture
    def skill(self, tmp_path: Path) -> Path:
        return new(tmp_path, Language.ZIG)

    def test_nothing_is_built_while_nothing_changes(self, skill: Path) -> None:
        assert not build(skill).unchanged
        before = (skill / "dist" / "skill.wasm").stat().st_mtime_ns
        assert build(skill).unchanged
        assert (skill / "dist" / "skill.wasm").stat().st_mtime_ns == before
        assert not build(skill, always=True).unchanged

    @pytest.mark.parametrize("path", ["dist/skill.wasm", "dist/skill.cdx.json", "src/main.zig"])
    def test_it_is_built_again_when_a_file_changes(self, skill: Path, path: str) -> None:
        build(skill)
        with (skill / path).open("a", encoding="utf-8") as file:
            file.write("\n")
        assert not build(skill).unchanged
        assert build(skill).unchanged

    def test_it_is_built_again_when_it_declares_something_else(self, skill: Path) -> None:
        build(skill)
        manifest = skill / "SKILL.md"
        text = manifest.read_text(encoding="utf-8")
        manifest.write_text(text.replace("license: MIT", "license: MIT\nallowed-tools: read_file"))
        assert not build(skill).unchanged

    def test_it_is_built_again_when_a_file_is_added_or_embedded(self, skill: Path) -> None:
        source = skill / "src" / "main.zig"
        source.write_text(
            'const std = @import("std");\n'
            "pub fn run(_: std.mem.Allocator, _: []const u8) ![]const u8 "
            '{ return @embedFile("data.txt"); }\n'
        )
        (skill / "src" / "data.txt").write_text("one")
        build(skill)
        assert '"src/data.txt"' in (skill / "dist" / "skill.cdx.json").read_text()
        (skill / "src" / "data.txt").write_text("two")
        assert not build(skill).unchanged
        assert Guest(skill / "dist" / "skill.wasm").call("").text == "two"
        (skill / "src" / "another.txt").write_text("")
        assert not build(skill).unchanged

    def test_a_change_during_the_build_is_noticed(self, skill: Path) -> None:
        source = skill / "src" / "main.zig"

        def tell(tool: str, _what: str) -> None:
            if tool == "zig":
                source.write_text(source.read_text(encoding="utf-8") + "\n", encoding="utf-8")

        with pytest.raises(AuthoringError, match="changed while they were built"):
            build_skill(skill, BuildOptions(compiles=False), tell)
        assert not (skill / "dist" / "skill.wasm").exists()
        assert not build(skill).unchanged

    def test_what_a_killed_build_left_is_removed(self, skill: Path) -> None:
        (skill / "dist").mkdir()
        (skill / "dist" / ".unfinished-abc").write_text("half")
        build(skill)
        assert sorted(path.name for path in (skill / "dist").iterdir()) == ["skill.cdx.json", "skill.wasm"]

    def test_a_damaged_stamp_only_means_that_it_is_built_again(self, skill: Path) -> None:
        build(skill)
        for content in (b"", b"[]", b"{}", b'{"inputs":3}', b"\xff"):
            [stamp] = [path for path in build_dir().glob("greet-*.json") if skill.name in path.name
                       and str(skill) in path.read_text("utf-8", "replace")]  # fmt: skip
            stamp.write_bytes(content)
            assert not build(skill).unchanged

    def test_what_fails_leaves_what_was_built(self, skill: Path) -> None:
        build(skill)
        before = (skill / "dist" / "skill.wasm").read_bytes()
        (skill / "src" / "main.zig").write_text("pub fn walk() void {}", encoding="utf-8")
        with pytest.raises(AuthoringError, match="run"):
            build(skill)
        assert (skill / "dist" / "skill.wasm").read_bytes() == before
        assert sorted(path.name for path in (skill / "dist").iterdir()) == ["skill.cdx.json", "skill.wasm"]


def test_the_bill_lists_what_went_in(tmp_path: Path) -> None:
    skill = new(tmp_path, Language.TYPESCRIPT)
    built = build(skill)
    text = (skill / "dist" / "skill.cdx.json").read_text(encoding="utf-8")
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    bill = json.loads(text)
    assert bill["metadata"]["component"]["name"] == "greet"
    assert bill["metadata"]["component"]["version"] == "0.1.0"
    assert bill["metadata"]["component"]["hashes"] == [{"alg": "SHA-256", "content": built.sha256}]
    names = [component["name"] for component in bill["components"]]
    assert {"src/index.ts", "cyberos-guest/input.ts", "cyberos-guest/guard.ts", "componentize-qjs"} <= {
        *names
    }
    assert [tool["name"] for tool in bill["metadata"]["tools"]["components"]] == ["esbuild"]
    assert str(tmp_path) not in text


def test_the_validator_would_notice(tmp_path: Path) -> None:
    skill = new(tmp_path, Language.ZIG)
    build(skill)
    bill = json.loads((skill / "dist" / "skill.cdx.json").read_text(encoding="utf-8"))
    bill["components"][0]["type"] = "thing"
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(bill)) is not None


class TestRefusals:
    def test_of_a_directory_that_is_no_skill(self, tmp_path: Path) -> None:
        with pytest.raises(AuthoringError, match=r"there is no SKILL\.md in"):
            build(tmp_path)

    def test_of_a_skill_without_sources(self, tmp_path: Path) -> None:
        skill = new(tmp_path, Language.ZIG)
        (skill / "src" / "main.zig").unlink()
        with pytest.raises(AuthoringError, match=r"nothing to build .* src/index.ts, src/skill.py"):
            build(skill)
        with pytest.raises(AuthoringError, match=r"there is no src/index\.ts in"):
            build(skill, language=Language.TYPESCRIPT)

    def test_of_a_choice_that_nobody_made(self, tmp_path: Path) -> None:
        skill = new(tmp_path, Language.ZIG)
        (skill / "src" / "main.c").write_text("")
        with pytest.raises(AuthoringError, match="say by --lang which one to build"):
            build(skill)
        assert not build(skill, language=Language.ZIG).unchanged

    def test_of_a_link_or_a_file_in_the_place_of_dist(self, tmp_path: Path) -> None:
        skill = new(tmp_path, Language.ZIG)
        (tmp_path / "victim").mkdir()
        (skill / "dist").symlink_to(tmp_path / "victim")
        with pytest.raises(AuthoringError, match="dist is no directory"):
            build(skill)
        (skill / "dist").unlink()
        (skill / "dist").write_text("")
        with pytest.raises(AuthoringError, match="dist is no directory"):
            build(skill)
        assert list((tmp_path / "victim").iterdir()) == []

    def test_of_a_manifest_that_is_no_file(self, tmp_path: Path) -> None:
        skill = new(tmp_path, Language.ZIG)
        text = (skill / "SKILL.md").read_text(encoding="utf-8")
        (skill / "SKILL.md").unlink()
        os.mkfifo(skill / "SKILL.md")
        with pytest.raises(AuthoringError, match="it is no file"):
            build(skill)
        (skill / "SKILL.md").unlink()
        (tmp_path / "elsewhere.md").write_text(text, encoding="utf-8")
        (skill / "SKILL.md").symlink_to(tmp_path / "elsewhere.md")
        with pytest.raises(AuthoringError, match="it is no file"):
            build(skill)

    def test_of_a_front_matter_that_cannot_be_read(self, tmp_path: Path) -> None:
        skill = new(tmp_path, Language.ZIG)
        (skill / "SKILL.md").write_text("---\nname: [\n---\n")
        with pytest.raises(AuthoringError, match="line"):
            build(skill)


class TestForeignSources:
    def test_of_the_machine_are_refused(self, tmp_path: Path) -> None:
        (tmp_path / "secret.json").write_text('{"key": "value"}')
        skill = new(tmp_path / "skills", Language.TYPESCRIPT)
        source = skill / "src" / "index.ts"
        for place in ("../../../secret.json", str(tmp_path / "secret.json"), "./linked.json"):
            source.write_text(f'import s from "{place}";\nexport const run = () => JSON.stringify(s);')
            if place == "./linked.json":
                (skill / "src" / "linked.json").symlink_to(tmp_path / "secret.json")
            with pytest.raises(AuthoringError, match=r"secret\.json lies outside of the skill"):
                build(skill)
        assert not (skill / "dist").exists()

    def test_of_the_machine_are_refused_to_c(self, tmp_path: Path) -> None:
        (tmp_path / "secret.h").write_text("enum { SECRET = 1 };")
        skill = new(tmp_path / "skills", Language.ZIG)
        (skill / "src" / "main.zig").unlink()
        for line in (
            '#include "../../../secret.h"',
            f'const char kept[] = {{\n#embed "{tmp_path}/secret.h"\n}};',
        ):
            (skill / "src" / "main.c").write_text(
                f'#include "cyberos.h"\n{line}\n'
                "struct answer skill_run(struct text input) { return answer_with(input); }\n"
            )
            with pytest.raises(AuthoringError, match=r"secret\.h lies outside"):
                build(skill)

    def test_of_a_skill_beside_it_are_taken(self, tmp_path: Path) -> None:
        new(tmp_path, Language.TYPESCRIPT, "other")
        (tmp_path / "other" / "src" / "value.ts").write_text("export const VALUE = 7;")
        skill = new(tmp_path, Language.TYPESCRIPT)
        (skill / "src" / "index.ts").write_text(
            'import { VALUE } from "../../other/src/value.ts";\nexport const run = () => String(VALUE);'
        )
        build(skill)
        assert Guest(skill / "dist" / "skill.wasm").call("").text == "7"
        assert '"other/src/value.ts"' in (skill / "dist" / "skill.cdx.json").read_text()


def test_the_directory_of_the_sources_is_as_good(tmp_path: Path) -> None:
    skill = new(tmp_path, Language.ZIG)
    assert build(skill / "src").skill == skill


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("def run(:\n    pass\n", "SyntaxError: invalid syntax"),
        (
            "import requests\n",
            "ModuleNotFoundError: No module named 'requests'\na component has the standard",
        ),
    ],
)
def test_python_that_does_not_load_is_shown_by_its_own_traceback(
    tmp_path: Path, source: str, message: str
) -> None:
    skill = new(tmp_path, Language.PYTHON)
    (skill / "src" / "skill.py").write_text(source)
    with pytest.raises(AuthoringError) as refused:
        build(skill)
    assert message in str(refused.value)
    assert 'skill.py", line 1' in str(refused.value)
    assert "anyhow" not in str(refused.value)
    assert str(refused.value).count("\n") < 10


def test_a_python_component_asks_by_the_module_that_scripts_have(tmp_path: Path) -> None:
    skill = new(tmp_path, Language.PYTHON)
    manifest = skill / "SKILL.md"
    text = manifest.read_text(encoding="utf-8")
    manifest.write_text(text.replace("license: MIT", "license: MIT\nallowed-tools: read_file"), "utf-8")
    (skill / "src" / "skill.py").write_text(
        "import cyberos_host\n"
        "def run(text):\n"
        "    try:\n"
        "        return cyberos_host.read_file(text)\n"
        "    except cyberos_host.HostError:\n"
        "        return 'not there' if not hasattr(cyberos_host, 'fetch_url') else 'too much'\n"
    )
    build(skill)
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    (workspace / "tệp.txt").write_text("nội dung", encoding="utf-8")
    guest = Guest(skill / "dist" / "skill.wasm", workspace)
    assert guest.call("tệp.txt").text == "nội dung"
    assert guest.call("missing").text == "not there"
