"""Private copies: the bytes of the content hash, whatever happens to the originals or to the copies."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from pathlib import Path

import pytest

from subgraph.catalog import ActivatedSkill, Catalog, InstallSource, SkillRoot, Snapshots, snapshot
from subgraph.catalog.tree import read_tree
from subgraph.errors import ExecutionFailed, SourceInvalid
from tests.support.postgres import run
from tests.support.skills import write_skill


async def activated(root: Path, name: str = "one") -> ActivatedSkill:
    catalog = Catalog([SkillRoot(root, InstallSource.LOCAL, trusted=True)])
    await catalog.scan()
    return await catalog.activate(name)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    directory = write_skill(
        tmp_path / "skills", "one", files={"scripts/run.py": b"print()", "deep/er/x": b"x", "run": b"#!"}
    )
    (directory / "run").chmod(0o755)
    return tmp_path / "skills"


class Copies:
    """Counts how often a skill is copied."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self._copy = snapshot._copy
        monkeypatch.setattr(snapshot, "_copy", self)

    def __call__(self, skill: ActivatedSkill, path: Path) -> None:
        self.count += 1
        time.sleep(0.02)  # long enough for others to ask meanwhile
        self._copy(skill, path)


def test_a_copy_has_the_content_hash_and_is_read_only(root: Path, tmp_path: Path) -> None:
    async def scenario() -> None:
        skill = await activated(root)
        copy = await Snapshots(tmp_path / "copies").of(skill)
        assert copy.name == skill.content_hash.removeprefix("sha256:")
        assert read_tree(copy).content_hash == skill.content_hash
        files = {
            path.relative_to(copy).as_posix(): path.stat().st_mode & 0o777
            for path in copy.rglob("*")
            if path.is_file()
        }
        assert files == {"SKILL.md": 0o400, "scripts/run.py": 0o400, "deep/er/x": 0o400, "run": 0o500}
        assert copy.stat().st_mode & 0o077 == copy.parent.stat().st_mode & 0o077 == 0

    run(scenario())


def test_a_copy_is_made_once_for_all_who_ask(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        skill = await activated(root)
        snapshots, copies = Snapshots(tmp_path / "copies"), Copies(monkeypatch)
        paths = await asyncio.gather(*(snapshots.of(skill) for _ in range(50)))
        assert len(set(paths)) == copies.count == 1
        await snapshots.of(skill)
        assert copies.count == 1

    run(scenario())


def test_a_caller_that_gives_up_does_not_take_the_others_with_it(root: Path, tmp_path: Path) -> None:
    async def scenario() -> None:
        skill = await activated(root)
        snapshots = Snapshots(tmp_path / "copies")
        first, second = (asyncio.create_task(snapshots.of(skill)) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        assert read_tree(await second).content_hash == skill.content_hash

    run(scenario())


def test_what_an_earlier_process_left_is_used_when_it_proves_itself(root: Path, tmp_path: Path) -> None:
    async def scenario() -> None:
        skill = await activated(root)
        first = await Snapshots(tmp_path / "copies").of(skill)
        inode = first.stat().st_ino
        shutil.rmtree(root)  # there is nothing to copy from any more
        assert await Snapshots(tmp_path / "copies").of(skill) == first
        assert first.stat().st_ino == inode

    run(scenario())


def poison_a_file(copy: Path) -> None:
    (copy / "scripts" / "run.py").chmod(0o600)
    (copy / "scripts" / "run.py").write_bytes(b"evil()")


def add_a_file(copy: Path) -> None:
    (copy / "scripts" / "more.py").write_bytes(b"evil()")


def put_a_link(copy: Path) -> None:
    (copy / "SKILL.md").unlink()
    (copy / "SKILL.md").symlink_to("/etc/hostname")


def put_a_file(copy: Path) -> None:
    shutil.rmtree(copy)
    copy.write_text("no directory")


def put_a_link_to_elsewhere(copy: Path) -> None:
    shutil.rmtree(copy)
    elsewhere = copy.parent.parent / "elsewhere"
    elsewhere.mkdir()
    copy.symlink_to(elsewhere)


@pytest.mark.parametrize(
    "poison", [poison_a_file, add_a_file, put_a_link, put_a_file, put_a_link_to_elsewhere]
)
def test_a_directory_that_lies_about_its_name_is_replaced(root: Path, tmp_path: Path, poison: object) -> None:
    async def scenario() -> None:
        skill = await activated(root)
        copy = await Snapshots(tmp_path / "copies").of(skill)
        assert callable(poison)
        poison(copy)
        assert await Snapshots(tmp_path / "copies").of(skill) == copy
        assert read_tree(copy).content_hash == skill.content_hash

    run(scenario())


def test_bytes_that_changed_since_they_were_hashed_are_not_copied(root: Path, tmp_path: Path) -> None:
    async def scenario() -> None:
        skill = await activated(root)
        (root / "one" / "scripts" / "run.py").write_bytes(b"evil()")
        snapshots = Snapshots(tmp_path / "copies")
        for _ in range(2):
            with pytest.raises(SourceInvalid, match=r"scripts/run\.py changed while it was read"):
                await snapshots.of(skill)
        assert list((tmp_path / "copies").iterdir()) == []
        again = await activated(root)
        assert (await snapshots.of(again) / "scripts" / "run.py").read_bytes() == b"evil()"
        assert again.content_hash != skill.content_hash

    run(scenario())


def test_a_disk_that_cannot_be_written_is_said(root: Path, tmp_path: Path) -> None:
    async def scenario() -> None:
        (tmp_path / "copies").write_text("a file where a directory should be")
        with pytest.raises(ExecutionFailed, match="one could not be copied for its run"):
            await Snapshots(tmp_path / "copies").of(await activated(root))

    run(scenario())


async def copied(root: Path, snapshots: Snapshots, number: int) -> Path:
    write_skill(root, "one", body=f"body {number}")
    return await snapshots.of(await activated(root))


def age(path: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then))


def test_old_copies_go_beyond_the_limit_the_oldest_first(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "SNAPSHOTS_LIMIT", 3)

    async def scenario() -> None:
        copies = [await copied(root, Snapshots(tmp_path / "copies"), number) for number in range(5)]
        assert all(copy.exists() for copy in copies)  # none may be removed as soon as it was asked for
        for number, copy in enumerate(copies):
            age(copy, snapshot.IN_USE_SECONDS + 100 - number)
        newest = await copied(root, Snapshots(tmp_path / "copies"), 5)
        assert [copy.exists() for copy in (*copies, newest)] == [False, False, False, True, True, True]

    run(scenario())


def test_what_is_in_use_stays_however_old_its_files_are(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "SNAPSHOTS_LIMIT", 1)

    async def scenario() -> None:
        snapshots = Snapshots(tmp_path / "copies")
        copies = [await copied(root, snapshots, number) for number in range(3)]
        for copy in copies:
            age(copy, 10 * snapshot.IN_USE_SECONDS)
        await copied(root, snapshots, 3)
        assert all(copy.exists() for copy in copies)

    run(scenario())


def test_a_copy_that_was_removed_is_made_again(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "SNAPSHOTS_LIMIT", 1)
    monkeypatch.setattr(snapshot, "IN_USE_SECONDS", 0.0)

    async def scenario() -> None:
        snapshots = Snapshots(tmp_path / "copies")
        first = await activated(root)
        copy = await snapshots.of(first)
        await copied(root, snapshots, 1)
        assert not copy.exists()
        write_skill(root, "one")
        assert read_tree(await snapshots.of(await activated(root))).content_hash == first.content_hash

    run(scenario())


def test_what_an_interrupted_copy_left_goes_when_it_is_old(root: Path, tmp_path: Path) -> None:
    async def scenario() -> None:
        left = [tmp_path / "copies" / f".unfinished-{name}" for name in ("old", "new")]
        for path in left:
            (path / "scripts").mkdir(parents=True)
        age(left[0], snapshot.IN_USE_SECONDS + 1)
        await Snapshots(tmp_path / "copies").of(await activated(root))
        assert [path.exists() for path in left] == [False, True]

    run(scenario())


def test_copies_of_many_skills_at_once_do_not_hinder_each_other(root: Path, tmp_path: Path) -> None:
    async def scenario() -> None:
        for number in range(40):
            write_skill(root, f"many-{number}", files={"data": b"x" * 1000 * number})
        catalog = Catalog([SkillRoot(root, InstallSource.LOCAL, trusted=True)])
        await catalog.scan()
        skills = [await catalog.activate(f"many-{number}") for number in range(40)]
        snapshots = Snapshots(tmp_path / "copies")
        places = await asyncio.gather(*map(snapshots.of, skills))
        assert len(set(places)) == 40

    run(scenario())
