"""Which directories are skills, over several roots, and what their heads are."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from subgraph.catalog import InstallSource, Level, SkillRoot, discovery
from subgraph.catalog.discovery import CHUNK, Search, front_matters, shows_component, stamps_of
from subgraph.catalog.problem import ManifestInvalid
from subgraph.catalog.registry import Registry
from tests.support.skills import write_skill

LATER_NS = 10**9


def found(root: Path, limit: int = 100) -> list[str]:
    return [candidate.path for candidate in Search().below(os.fspath(root), limit)]


def test_skills_come_in_the_order_of_their_paths(tmp_path: Path) -> None:
    for path in ("b", "a/z", "a/b", "c", "cuo/cpo/prd"):
        write_skill(tmp_path, path)
    assert found(tmp_path) == ["a/b", "a/z", "b", "c", "cuo/cpo/prd"]


@pytest.mark.parametrize("name", [".git", "node_modules"])
def test_directories_that_hold_no_skills_are_passed_over(tmp_path: Path, name: str) -> None:
    write_skill(tmp_path, f"{name}/group/one")
    write_skill(tmp_path, "two")
    assert found(tmp_path) == ["two"]


def test_a_search_says_which_bound_ended_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "abcd":
        write_skill(tmp_path, name)
    search = Search()
    assert len(search.below(os.fspath(tmp_path), 2)) == 2
    assert search.cut == "more than 2 skills"
    monkeypatch.setattr(discovery, "DIRECTORIES_LIMIT", 3)
    search = Search()
    assert len(search.below(os.fspath(tmp_path), 100)) == 3
    assert search.cut == "more than 3 directories"


def test_a_bound_that_was_met_is_a_problem_of_the_catalogue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discovery, "SKILLS_LIMIT", 3)
    first, second = tmp_path / "first", tmp_path / "second"
    for name in "ab":
        write_skill(first, name)
        write_skill(second, f"x{name}")
    registry = Registry([SkillRoot(root, InstallSource.LOCAL, trusted=False) for root in (first, second)])
    registry.scan()
    assert [header.path for header in registry] == ["a", "b", "xa"]
    assert [(problem.path, problem.message) for problem in registry.problems()] == [
        ("", "has more than 1 skills; the rest is left out")
    ]


def test_each_skill_has_the_trust_and_source_of_its_root(tmp_path: Path) -> None:
    roots = [
        SkillRoot(tmp_path / "builtin", InstallSource.BUILTIN, trusted=True),
        SkillRoot(tmp_path / "installed", InstallSource.OCI, trusted=False),
        SkillRoot(tmp_path / "nowhere", InstallSource.HTTPS, trusted=False),
        # The same ones again: naming a directory twice gives its skills no trust.
        SkillRoot(tmp_path / "builtin", InstallSource.LOCAL, trusted=True),
        SkillRoot(tmp_path / "installed", InstallSource.LOCAL, trusted=True),
    ]
    write_skill(tmp_path / "builtin", "one")
    write_skill(tmp_path / "installed", "two")
    hidden = write_skill(tmp_path / "installed", "one")
    registry = Registry(roots)
    registry.scan()
    assert [(header.path, header.source, header.trusted) for header in registry] == [
        ("one", InstallSource.BUILTIN, True), ("two", InstallSource.OCI, False)
    ]  # fmt: skip
    (problem,) = registry.problems()
    assert (problem.path, problem.level, problem.message) == (
        "one", Level.WARNING, "is hidden by one of the same path"
    )  # fmt: skip
    (hidden / "SKILL.md").unlink()
    registry.scan()
    assert registry.problems() == []


def test_a_directory_that_is_fetched_to_is_not_trusted_for_being_named(tmp_path: Path) -> None:
    write_skill(tmp_path, "one")
    roots = [SkillRoot(tmp_path, InstallSource.LOCAL, trusted=trusted) for trusted in (True, False, True)]
    registry = Registry(roots)
    registry.scan()
    assert not registry.get("one").trusted


def test_a_hidden_skill_takes_the_place_of_one_that_is_gone(tmp_path: Path) -> None:
    first, second = write_skill(tmp_path / "first", "one"), write_skill(tmp_path / "second", "one")
    registry = Registry(
        [SkillRoot(path.parent, InstallSource.LOCAL, trusted=True) for path in (first, second)]
    )
    registry.scan()
    assert registry.get("one").directory == first
    (first / "SKILL.md").unlink()
    registry.scan()
    assert registry.get("one").directory == second


def test_stamps_are_of_the_manifest_and_of_a_component(tmp_path: Path) -> None:
    directory = write_skill(tmp_path, "one")
    later = time.time_ns() + LATER_NS
    without = stamps_of(os.fspath(directory), later)
    write_skill(tmp_path, "one", guest=b"wasm")
    with_one = stamps_of(os.fspath(directory), later)
    assert without is not None
    assert with_one is not None
    assert (shows_component(without[0]), shows_component(with_one[0])) == (False, True)
    assert stamps_of(os.fspath(tmp_path / "nothing"), later) is None


def test_a_component_that_is_no_file_is_none(tmp_path: Path) -> None:
    directory = write_skill(tmp_path, "one")
    (directory / "dist" / "skill.wasm").mkdir(parents=True)
    state = stamps_of(os.fspath(directory), time.time_ns())
    assert state is not None
    assert not shows_component(state[0])


def test_a_file_that_has_just_changed_is_not_settled(tmp_path: Path) -> None:
    directory = os.fspath(write_skill(tmp_path, "one"))
    changed = (tmp_path / "one" / "SKILL.md").stat().st_ctime_ns
    settled = [stamps_of(directory, changed + after) for after in (0, LATER_NS)]
    assert [state[1] for state in settled if state is not None] == [False, True]


@pytest.mark.parametrize("times", [(-1e9, -1e9), (4e9, 4e9), (2**34, 2**34)])
def test_times_that_nobody_expects_are_stamped_as_well(tmp_path: Path, times: tuple[float, float]) -> None:
    directory = write_skill(tmp_path, "one")
    before = stamps_of(os.fspath(directory), time.time_ns())
    try:
        os.utime(directory / "SKILL.md", times)
    except OSError:
        pytest.skip("this file system has no such times")
    after = stamps_of(os.fspath(directory), time.time_ns())
    assert before is not None
    assert after is not None
    assert before[0] != after[0]


def heads(directories: Sequence[Path]) -> list[bytes | str]:
    return [
        str(head) if isinstance(head, ManifestInvalid) else head
        for head in front_matters([os.fspath(directory) for directory in directories])
    ]


@pytest.mark.parametrize("count", [0, 1, CHUNK - 1, CHUNK, 3 * CHUNK + 1])
@pytest.mark.parametrize("waits", [False, True])  # for a disk, which has threads read
def test_heads_come_in_the_order_of_their_directories(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int, waits: bool
) -> None:
    monkeypatch.setattr(discovery, "WAITING_FACTOR", 0.0 if waits else 1e9)
    directories = [write_skill(tmp_path, f"s{number}") for number in range(count)]
    names = [head.split(b"\n")[0] for head in heads(directories) if isinstance(head, bytes)]
    assert names == [f"name: s{number}".encode() for number in range(count)]


def test_why_there_is_no_head_is_said(tmp_path: Path) -> None:
    directories = [tmp_path / name for name in ("none", "directory", "pipe", "link", "open", "good")]
    for directory in directories:
        directory.mkdir()
    (tmp_path / "directory" / "SKILL.md").mkdir()
    os.mkfifo(tmp_path / "pipe" / "SKILL.md")
    (tmp_path / "link" / "SKILL.md").symlink_to(tmp_path / "good" / "SKILL.md")
    (tmp_path / "open" / "SKILL.md").write_text("---\na: b\n")
    (tmp_path / "good" / "SKILL.md").write_text("---\na: b\n---\n")
    assert heads(directories) == [
        "SKILL.md: it cannot be read: No such file or directory",
        "SKILL.md: it is no file",
        "SKILL.md: it is no file",
        "SKILL.md: it cannot be read: Too many levels of symbolic links",
        "SKILL.md: the front matter has no closing line ---",
        b"a: b\n",
    ]


@pytest.mark.parametrize("length", [0, 8180, 8188, 8192, 8200, 20_000, 65_000])
def test_a_head_is_read_whole_wherever_a_first_read_ends(tmp_path: Path, length: int) -> None:
    directory = write_skill(tmp_path, "one", fields=f"#{'x' * length}")
    (head,) = heads([directory])
    assert isinstance(head, bytes)
    assert len(head) > length


@pytest.mark.parametrize("name", ["tab\tin", "bell\x07", "wide\u200bless", "turn\u202eed", "bom\ufeff"])
def test_a_path_that_looks_like_another_one_is_left_out(tmp_path: Path, name: str) -> None:
    write_skill(tmp_path, f"{name}/one")
    registry = Registry([SkillRoot(tmp_path, InstallSource.LOCAL, trusted=True)])
    registry.scan()
    assert len(registry) == 0
    (problem,) = registry.problems()
    assert problem.message.startswith("the directory's path holds")
