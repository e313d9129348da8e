"""The headers of all skills: which are found, under which names, and which are left out."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from subgraph.catalog import InstallSource, Level, SkillRoot, discovery, registry
from subgraph.catalog.registry import Registry
from subgraph.errors import SkillAmbiguous, SkillNotFound
from tests.support.skills import write_skill


def scanned(*directories: Path) -> Registry:
    roots = [SkillRoot(directory, InstallSource.LOCAL, trusted=True) for directory in directories]
    found = Registry(roots)
    found.scan()
    return found


def paths(found: Registry) -> list[str]:
    return [header.path for header in found]


def test_a_header_holds_what_a_list_needs(tmp_path: Path) -> None:
    fields = "license: MIT\nmetadata: {version: 1.10, region: VN}"
    directory = write_skill(tmp_path, "cuo/cpo/prd-author", tools="read_file", fields=fields, guest=b"x")
    (header,) = scanned(tmp_path)
    assert (header.name, header.path, header.directory) == ("prd-author", "cuo/cpo/prd-author", directory)
    assert (header.version, header.region, header.license) == ("1.10", "VN", "MIT")
    assert (header.allowed_tools, header.has_component) == ("read_file", True)
    assert (header.source, header.trusted) == (InstallSource.LOCAL, True)
    assert header.description == "What prd-author does."


def test_skills_come_in_the_order_of_their_paths(tmp_path: Path) -> None:
    for path in ("b", "a/z", "a/b", "c"):
        write_skill(tmp_path, path)
    assert paths(scanned(tmp_path)) == ["a/b", "a/z", "b", "c"]


def test_a_skill_is_found_by_path_and_by_short_name(tmp_path: Path) -> None:
    write_skill(tmp_path, "cuo/one")
    found = scanned(tmp_path)
    assert found.get("one") is found.get("cuo/one")
    assert len(list(found)) == 1


@pytest.mark.parametrize(
    "name", ["", "two", "cuo", "/cuo/one", "cuo/one/", "../cuo/one", "ONE", "\udcff", "o" * 10**6]
)
def test_what_is_not_there_is_not_found(tmp_path: Path, name: str) -> None:
    write_skill(tmp_path, "cuo/one")
    with pytest.raises(SkillNotFound) as caught:
        scanned(tmp_path).get(name)
    assert len(caught.value.message.encode()) < 1000


def test_an_ambiguous_short_name_is_refused_and_the_paths_are_named(tmp_path: Path) -> None:
    write_skill(tmp_path, "b/one")
    write_skill(tmp_path, "a/one")
    found = scanned(tmp_path)
    with pytest.raises(SkillAmbiguous, match="a/one, b/one"):
        found.get("one")
    assert found.get("b/one").path == "b/one"


def test_a_path_does_not_take_a_short_name_from_others(tmp_path: Path) -> None:
    write_skill(tmp_path, "one")
    write_skill(tmp_path, "a/one")
    found = scanned(tmp_path)
    with pytest.raises(SkillAmbiguous, match=r"ask by path: \./one, a/one"):
        found.get("one")
    assert found.get("./one").path == "one"
    assert found.get("a/one").path == found.get("./a/one").path == "a/one"


def test_the_first_root_hides_later_ones(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first = write_skill(tmp_path / "first", "a/one")
    write_skill(tmp_path / "second", "a/one")
    write_skill(tmp_path / "second", "a/two")
    with caplog.at_level(logging.WARNING):
        found = scanned(tmp_path / "first", tmp_path / "second")
    assert found.get("one").directory == first
    assert paths(found) == ["a/one", "a/two"]
    assert "'a/one' is hidden" in caplog.text


def test_a_broken_skill_is_left_out_and_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_skill(tmp_path, "good")
    (tmp_path / "no-front-matter").mkdir()
    (tmp_path / "no-front-matter" / "SKILL.md").write_text("# Hello\n")
    (tmp_path / "dir" / "SKILL.md").mkdir(parents=True)
    with caplog.at_level(logging.WARNING):
        assert paths(scanned(tmp_path)) == ["good"]
    assert "'no-front-matter' is left out: SKILL.md: line 1" in caplog.text
    assert "'dir' is left out: SKILL.md: it is no file" in caplog.text


def test_a_skill_goes_by_the_name_of_its_directory(tmp_path: Path) -> None:
    write_skill(tmp_path, "renamed").rename(tmp_path / "other-name")
    found = scanned(tmp_path)
    assert found.get("other-name").name == "other-name"
    (problem,) = found.problems()
    assert (problem.path, problem.level, problem.field, problem.line) == (
        "other-name", Level.WARNING, "name", 2
    )  # fmt: skip
    with pytest.raises(SkillNotFound):
        found.get("renamed")


def test_a_pipe_or_a_link_in_place_of_skill_md_is_left_out(tmp_path: Path) -> None:
    good = write_skill(tmp_path, "good")
    for name in ("pipe", "link"):
        (tmp_path / name).mkdir()
    os.mkfifo(tmp_path / "pipe" / "SKILL.md")
    (tmp_path / "link" / "SKILL.md").symlink_to(good / "SKILL.md")
    assert paths(scanned(tmp_path)) == ["good"]


def test_a_path_that_no_answer_could_hold_is_left_out(tmp_path: Path) -> None:
    write_skill(tmp_path, "good")
    write_skill(Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff")), "one")
    write_skill(tmp_path, "line\nbreak/one")
    assert paths(scanned(tmp_path)) == ["good"]


def test_a_long_body_of_many_byte_characters_is_no_fault(tmp_path: Path) -> None:
    for shift in range(3):
        write_skill(tmp_path, f"long-{shift}", body="x" * shift + "ế" * 40_000)
    assert len(list(scanned(tmp_path))) == 3


def test_a_skill_inside_a_skill_is_part_of_it(tmp_path: Path) -> None:
    write_skill(tmp_path, "outer")
    write_skill(tmp_path, "outer/examples/inner")
    assert paths(scanned(tmp_path)) == ["outer"]


def test_a_skill_md_at_the_root_itself_hides_nothing(tmp_path: Path) -> None:
    write_skill(tmp_path, "one")
    (tmp_path / "SKILL.md").write_text("not a skill")
    assert paths(scanned(tmp_path)) == ["one"]


def test_depth_has_a_limit(tmp_path: Path) -> None:
    write_skill(tmp_path, "1/2/3/4/5/deep-enough")
    write_skill(tmp_path, "1/2/3/4/5/6/too-deep")
    assert paths(scanned(tmp_path)) == ["1/2/3/4/5/deep-enough"]


def test_number_of_skills_has_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(discovery, "SKILLS_LIMIT", 2)
    for name in "abc":
        write_skill(tmp_path, name)
    assert paths(scanned(tmp_path)) == ["a", "b"]
    assert "more than 2 skills" in caplog.text


def test_linked_directories_are_not_followed(tmp_path: Path) -> None:
    write_skill(tmp_path / "elsewhere", "one")
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "link").symlink_to(tmp_path / "elsewhere")
    assert paths(scanned(tmp_path / "root")) == []


def test_a_root_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert paths(scanned(tmp_path / "nothing")) == []


def test_scanning_again_sees_what_is_new_and_what_is_gone(tmp_path: Path) -> None:
    write_skill(tmp_path, "one")
    found = scanned(tmp_path)
    (tmp_path / "one" / "SKILL.md").rename(tmp_path / "gone")
    write_skill(tmp_path, "two")
    found.scan()
    assert paths(found) == ["two"]
    with pytest.raises(SkillNotFound):
        found.get("one")


def test_directories_that_were_named_by_mistake_are_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_skill(tmp_path, "mine/one")
    (tmp_path / "empty").mkdir()
    for name in ("nowhere", "mine/one", "empty", "mine"):
        Registry([SkillRoot(tmp_path / name, InstallSource.LOCAL, trusted=True)]).scan()
    said = [record.getMessage().removeprefix(f"{tmp_path}/").split(":")[0] for record in caplog.records]
    assert said == ["nowhere is no directory", "mine/one is itself a skill", "empty holds no skill"]


def test_a_skill_with_faults_is_loaded_and_each_fault_is_a_problem(tmp_path: Path) -> None:
    write_skill(tmp_path, "good")
    write_skill(tmp_path, "lenient", fields="author: me\nmetadata: {tags: [a]}")
    write_skill(tmp_path, "broken", fields="name: again")
    found = scanned(tmp_path)
    assert paths(found) == ["good", "lenient"]
    assert [(p.path, p.level, p.field, p.line) for p in found.problems()] == [
        ("broken", Level.ERROR, "name", 4),
        ("lenient", Level.WARNING, "author", 4),
        ("lenient", Level.WARNING, "metadata.tags", 5),
    ]


def test_problems_go_when_they_are_mended(tmp_path: Path) -> None:
    directory = write_skill(tmp_path, "one", fields="author: me")
    found = scanned(tmp_path)
    generation = found.generation
    assert len(found.problems()) == 1
    (directory / "SKILL.md").write_text("---\nname: one\ndescription: What one does.\n---\n")
    found.scan()
    assert found.problems() == []
    assert found.generation > generation


def test_a_skill_that_became_invalid_stays_with_its_problem(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    directory = write_skill(tmp_path, "one")
    found = scanned(tmp_path)
    (directory / "SKILL.md").write_text("broken")
    for _ in range(3):
        found.scan()
        assert found.get("one").description == "What one does."
        (problem,) = found.problems()
        assert (problem.path, problem.level, problem.line) == ("one", Level.ERROR, 1)
    assert caplog.text.count("'one' is no longer valid") == 1


def test_problems_of_skills_that_are_left_out_have_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "PROBLEMS_LIMIT", 3)
    for number in range(5):
        (tmp_path / f"s{number}").mkdir()
        (tmp_path / f"s{number}" / "SKILL.md").write_text("broken")
    assert len(scanned(tmp_path).problems()) == 3


def test_a_log_line_holds_nothing_that_a_skill_made_up(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_skill(tmp_path, "one", fields='"\\e[2J\\nroot: fine": 1\n"\\e[2J\\nroot: fine": 2')
    write_skill(tmp_path, "two\nroot: fine/x")
    assert len(scanned(tmp_path)) == 0
    assert len(caplog.records) == 2
    assert all(record.getMessage().isprintable() for record in caplog.records)


def test_scanning_without_a_change_changes_nothing(tmp_path: Path) -> None:
    write_skill(tmp_path, "one")
    found = scanned(tmp_path)
    generation, header = found.generation, found.get("one")
    found.scan()
    found.scan()
    assert found.generation == generation
    assert found.get("one") == header


def test_a_root_that_may_not_be_looked_at_holds_no_skill(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    unheard_of = tmp_path / ("x" * 300)  # longer than a name can be: not absent to the kernel, an error
    registry = Registry([SkillRoot(unheard_of, InstallSource.LOCAL, trusted=True)])
    registry.scan()
    assert list(registry) == []
    assert "is no directory: no skill is found there" in caplog.text


def depending(on: str) -> str:
    return f"metadata: {{cyberos-depends-on: {on}}}"


def test_skills_whose_dependencies_form_a_cycle_are_refused_with_the_cycle_named(tmp_path: Path) -> None:
    for name, on in (("a", "b"), ("b", "c"), ("c", "a"), ("d", "a")):
        write_skill(tmp_path, f"team/{name}", fields=depending(on))
    found = scanned(tmp_path)
    assert paths(found) == ["team/d"]
    with pytest.raises(SkillNotFound):
        found.get("a")
    problems = [(each.path, each.level, each.field, each.message) for each in found.problems()]
    message = "its dependencies form a cycle: team/a → team/b → team/c → team/a"
    assert problems[:3] == [
        (f"team/{name}", Level.ERROR, "metadata.cyberos-depends-on", message) for name in "abc"
    ]
    message = "it depends on a, which is not in the catalogue"
    assert problems[3:] == [("team/d", Level.WARNING, "metadata.cyberos-depends-on", message)]
    write_skill(tmp_path, "team/c")
    found.scan()
    assert paths(found) == ["team/a", "team/b", "team/c", "team/d"]
    assert found.problems() == []


def test_a_skill_that_is_added_takes_no_builtin_one_away(tmp_path: Path) -> None:
    write_skill(tmp_path / "builtin", "vn/one", fields=depending("two"))
    write_skill(tmp_path / "mine", "vn/two", fields=depending("one"))
    builtin = SkillRoot(tmp_path / "builtin", InstallSource.BUILTIN, trusted=True)
    found = Registry([builtin, SkillRoot(tmp_path / "mine", InstallSource.LOCAL, trusted=True)])
    found.scan()
    assert paths(found) == ["vn/one"]
    assert [each.path for each in found.problems()] == ["vn/one", "vn/two"]


def test_a_skill_that_is_installed_takes_none_away_that_the_operator_chose(tmp_path: Path) -> None:
    for name, on in (("one", "helper"), ("three", "four"), ("four", "three")):
        write_skill(tmp_path / "mine", f"team/{name}", fields=depending(on))
    write_skill(tmp_path / "installed", "else/helper", fields=depending("team/one"))
    mine = SkillRoot(tmp_path / "mine", InstallSource.LOCAL, trusted=True)
    found = Registry([mine, SkillRoot(tmp_path / "installed", InstallSource.LOCAL, trusted=False)])
    found.scan()
    assert paths(found) == ["team/one"]
    assert [(each.path, each.level) for each in found.problems()] == [
        ("else/helper", Level.ERROR),
        ("team/four", Level.ERROR),
        ("team/one", Level.WARNING),
        ("team/three", Level.ERROR),
    ]


def test_a_cycle_is_found_again_after_a_restart(tmp_path: Path) -> None:
    write_skill(tmp_path / "mine", "one", fields=depending("two"))
    write_skill(tmp_path / "mine", "two", fields=depending("one"))
    root = SkillRoot(tmp_path / "mine", InstallSource.LOCAL, trusted=True)
    for _ in range(2):
        found = Registry([root], tmp_path / "index")
        found.scan()
        assert paths(found) == []
        assert len(found.problems()) == 2


def test_a_dependency_that_is_not_there_is_a_problem_until_it_is(tmp_path: Path) -> None:
    write_skill(tmp_path, "team/one", fields=depending("'two, elsewhere/three'"))
    found = scanned(tmp_path)
    assert paths(found) == ["team/one"]
    assert [each.message for each in found.problems()] == [
        "it depends on two, which is not in the catalogue",
        "it depends on elsewhere/three, which is not in the catalogue",
    ]
    assert found.problems_of("team/one") == found.problems()
    write_skill(tmp_path, "other/two")
    write_skill(tmp_path, "elsewhere/three")
    found.scan()
    assert found.problems() == []
    write_skill(tmp_path, "another/two")
    found.scan()
    [problem] = found.problems()
    assert problem.message == "it depends on two, and several skills are named so: give the path of one"


@pytest.mark.parametrize(
    ("chain", "message"),
    [
        ('{"stepz": {}}', "the chain: stepz is not known; there are needs, steps"),
        ('{"steps": {"a": {"skill": "two"}}}', "a runs two, which cyberos-depends-on does not name"),
    ],
)
def test_a_chain_that_cannot_be_run_is_a_problem_also_after_a_restart(
    tmp_path: Path, chain: str, message: str
) -> None:
    write_skill(tmp_path / "mine", "one", fields=f"metadata: {{cyberos-chain: '{chain}'}}")
    root = SkillRoot(tmp_path / "mine", InstallSource.LOCAL, trusted=True)
    for _ in range(2):
        found = Registry([root], tmp_path / "index")
        found.scan()
        assert paths(found) == ["one"]
        [problem] = found.problems()
        assert (problem.level, problem.field) == (Level.WARNING, "metadata.cyberos-chain")
        assert (
            problem.message == f"{message}; the skill can be run alone, and neither routed to nor dispatched"
        )
