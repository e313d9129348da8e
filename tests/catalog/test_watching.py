"""Changes on disk are noticed while the catalogue is open: real files, the kernel's notifications."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from subgraph.catalog import Catalog, InstallSource, SkillRoot, watching
from subgraph.errors import SkillNotFound
from tests.support.postgres import run
from tests.support.skills import write_skill

PATIENCE_SECONDS = 20


def catalogue(*directories: Path) -> Catalog:
    return Catalog(SkillRoot(directory, InstallSource.LOCAL, trusted=False) for directory in directories)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            if holds():
                return
            await asyncio.sleep(0.01)


def has(found: Catalog, name: str) -> bool:
    try:
        found.get(name)
    except SkillNotFound:
        return False
    return True


def test_a_new_a_changed_and_a_removed_skill_are_noticed(tmp_path: Path) -> None:
    async def scenario() -> None:
        write_skill(tmp_path, "group/one")
        async with catalogue(tmp_path) as found:
            assert has(found, "one")
            directory = write_skill(tmp_path, "group/deep/two")
            await until(lambda: has(found, "two"))
            manifest = directory / "SKILL.md"
            manifest.write_text(manifest.read_text().replace("What two does.", "Something new."))
            await until(lambda: found.get("two").description == "Something new.")
            manifest.unlink()
            await until(lambda: not has(found, "two"))
            assert has(found, "one")

    run(scenario())


def test_a_skill_that_is_moved_into_a_root_is_noticed(tmp_path: Path) -> None:
    async def scenario() -> None:
        write_skill(tmp_path / "elsewhere", "one")
        (tmp_path / "root").mkdir()
        async with catalogue(tmp_path / "root") as found:
            (tmp_path / "elsewhere").rename(tmp_path / "root" / "group")
            await until(lambda: has(found, "group/one"))

    run(scenario())


def test_a_component_that_is_built_is_noticed(tmp_path: Path) -> None:
    async def scenario() -> None:
        write_skill(tmp_path, "one")
        async with catalogue(tmp_path) as found:
            write_skill(tmp_path, "one", guest=b"wasm")
            await until(lambda: found.get("one").has_component)

    run(scenario())


def test_a_root_that_comes_later_or_is_replaced_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "TICK_SECONDS", 0.1)

    async def scenario() -> None:
        root = tmp_path / "root"
        async with catalogue(root) as found:
            write_skill(root, "one")
            await until(lambda: has(found, "one"))
            write_skill(tmp_path / "other", "two")
            root.rename(tmp_path / "old")
            (tmp_path / "other").rename(root)
            await until(lambda: has(found, "two") and not has(found, "one"))
            write_skill(root, "three")
            await until(lambda: has(found, "three"))

    run(scenario())


def test_listeners_are_told_of_changes_of_headers_alone(tmp_path: Path) -> None:
    async def scenario() -> None:
        directory = write_skill(tmp_path, "one")
        async with catalogue(tmp_path) as found:
            told: list[int] = []
            stop = found.on_change(lambda: told.append(found.generation))
            (directory / "references").mkdir()
            (directory / "references" / "a.md").write_text("no header")
            await found.scan()
            assert told == []
            write_skill(tmp_path, "two")
            await until(lambda: has(found, "two") and told[-1:] == [found.generation])
            assert told == sorted(set(told))
            stop()
            count = len(told)
            write_skill(tmp_path, "three")
            await until(lambda: has(found, "three"))
            await found.scan()
            assert len(told) == count

    run(scenario())


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("one/SKILL.md", True),
        ("one/dist/skill.wasm", True),
        ("one/dist", True),
        ("one", True),
        ("one/references/a.md", False),
        ("one/examples/inner/SKILL.md", False),
        ("group/new/SKILL.md", True),
        ("group/.git/objects/x", False),
        ("node_modules/x/y", False),
    ],
)
def test_a_change_that_no_header_can_show_is_passed_over(tmp_path: Path, path: str, expected: bool) -> None:
    async def scenario() -> None:
        write_skill(tmp_path, "one")
        found = catalogue(tmp_path)
        await found.scan()
        assert found._concerns(f"{tmp_path}/{path}") is expected
        assert found._concerns(f"{tmp_path}")

    run(scenario())


def test_without_notifications_changes_are_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_paths: Path, **_options: Any) -> None:
        raise OSError(28, "inotify watch limit reached")  # as the kernel does when all watches are taken

    monkeypatch.setattr(watching, "awatch", refuse)
    monkeypatch.setattr(watching, "POLL_SECONDS", 0.05)

    async def scenario() -> None:
        async with catalogue(tmp_path) as found:
            write_skill(tmp_path, "one")
            await until(lambda: has(found, "one"))

    with caplog.at_level(logging.WARNING):
        run(scenario())
    assert caplog.text.count("changes of skills are not notified") == 1


def test_a_catalogue_that_is_left_watches_no_more(tmp_path: Path) -> None:
    async def scenario() -> None:
        before = asyncio.all_tasks()
        async with catalogue(tmp_path) as found:
            assert asyncio.all_tasks() > before
        assert asyncio.all_tasks() == before
        write_skill(tmp_path, "one")
        await asyncio.sleep(0.3)
        assert not has(found, "one")

    run(scenario())
