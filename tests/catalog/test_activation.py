"""Skills as they are now: read once, read again when they change, and never half of each."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from pathlib import Path

import pytest

from subgraph.catalog import ActivatedSkill, Catalog, InstallSource, SkillRoot, activated_skill, activation
from subgraph.catalog.tree import SkillTree, read_tree
from subgraph.errors import SkillNotFound, SourceInvalid
from tests.support.postgres import run
from tests.support.skills import component, write_skill


class Reads:
    """Counts how often a skill's files are read."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        monkeypatch.setattr(activated_skill, "read_tree", self)

    def __call__(self, directory: Path) -> SkillTree:
        self.count += 1
        time.sleep(0.02)  # long enough for others to ask meanwhile
        return read_tree(directory)


async def catalogue(root: Path) -> Catalog:
    found = Catalog([SkillRoot(root, InstallSource.LOCAL, trusted=True)])
    await found.scan()
    return found


async def settled(found: Catalog, name: str) -> ActivatedSkill:
    """Activate until the files are old enough to be trusted by their times."""
    async with asyncio.timeout(5):
        while True:
            skill = await found.activate(name)
            if skill.tree.unchanged():
                return skill
            await asyncio.sleep(0.01)


def test_header_body_and_hash_are_of_the_same_bytes(tmp_path: Path) -> None:
    async def scenario() -> None:
        directory = write_skill(tmp_path, "a/one", body="# Body\n", guest=b"wasm")
        skill = await (await catalogue(tmp_path)).activate("one")
        assert skill.content_hash == read_tree(directory).content_hash
        assert (skill.header.path, skill.body) == ("a/one", "# Body\n")
        assert skill.component() == b"wasm"
        assert skill.component_digest == read_tree(directory).files["dist/skill.wasm"].sha256

    run(scenario())


def test_activations_at_once_share_a_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        write_skill(tmp_path, "one")
        found = await catalogue(tmp_path)
        reads = Reads(monkeypatch)
        skills = await asyncio.gather(*(found.activate("one") for _ in range(50)))
        # Those that came while the first one read share the next: theirs may have begun too early.
        assert reads.count <= 2
        assert len({skill.content_hash for skill in skills}) == 1

    run(scenario())


def test_a_change_during_a_read_is_seen_by_those_who_ask_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        write_skill(tmp_path, "one", body="old")
        found = await catalogue(tmp_path)
        reading, changed = threading.Event(), threading.Event()

        def slow(directory: Path) -> SkillTree:
            tree = read_tree(directory)
            reading.set()
            assert changed.wait(5)
            return tree

        monkeypatch.setattr(activated_skill, "read_tree", slow)
        early = asyncio.create_task(found.activate("one"))
        assert await asyncio.to_thread(reading.wait, 5)
        write_skill(tmp_path, "one", body="new")
        late = asyncio.create_task(found.activate("one"))
        await asyncio.sleep(0)
        changed.set()
        # What the early one hashed is not there any more: it is told so, or has it all anew.
        with contextlib.suppress(SourceInvalid):
            await early
        assert (await late).body == "new"

    run(scenario())


def test_a_skill_that_did_not_change_is_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        write_skill(tmp_path, "one")
        found = await catalogue(tmp_path)
        skill = await settled(found, "one")
        reads = Reads(monkeypatch)
        assert await found.activate("one") is skill
        assert reads.count == 0

    run(scenario())


def test_a_caller_that_gives_up_does_not_take_the_others_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        write_skill(tmp_path, "one")
        found = await catalogue(tmp_path)
        reads = Reads(monkeypatch)
        first, second = (asyncio.create_task(found.activate("one")) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        assert (await second).header.name == "one"
        assert first.cancelled()
        assert reads.count <= 2

    run(scenario())


def test_an_edited_skill_md_is_a_new_header_in_the_list_too(tmp_path: Path) -> None:
    async def scenario() -> None:
        write_skill(tmp_path, "one", tools="read_file")
        found = await catalogue(tmp_path)
        before = await settled(found, "one")
        write_skill(tmp_path, "one", tools="read_file exec_command", body="# New\n")
        after = await found.activate("one")
        assert after.content_hash != before.content_hash
        assert (after.header.allowed_tools, after.body) == ("read_file exec_command", "# New\n")
        assert await found.current_headers() == [after.header]
        assert found.get("one") == after.header

    run(scenario())


def test_headers_and_hashes_never_mix_while_a_skill_is_rewritten(tmp_path: Path) -> None:
    async def scenario() -> None:
        directory = write_skill(tmp_path, "one", tools="v0")
        found = await catalogue(tmp_path)
        hashes = {}
        for number in range(30):
            other = write_skill(tmp_path / "staged", "one", tools=f"v{number}")
            hashes[read_tree(other).content_hash] = f"v{number}"
            activation_ = asyncio.create_task(found.activate("one"))
            await asyncio.sleep(0)
            (other / "SKILL.md").replace(directory / "SKILL.md")
            skill = await activation_
            assert hashes[skill.content_hash] == skill.header.allowed_tools
        assert (await found.activate("one")).header.allowed_tools == "v29"

    run(scenario())


def test_a_removed_skill_fails_and_works_again_when_it_is_back(tmp_path: Path) -> None:
    async def scenario() -> None:
        directory = write_skill(tmp_path, "one", guest=b"wasm")
        found = await catalogue(tmp_path)
        before = await settled(found, "one")
        directory.rename(tmp_path / "away")
        for _ in range(2):
            with pytest.raises(SourceInvalid, match="cannot be read"):
                await found.activate("one")
        with pytest.raises(SourceInvalid, match="changed while it was read"):
            before.component()
        (tmp_path / "away").rename(directory)
        assert (await found.activate("one")).content_hash == before.content_hash

    run(scenario())


def test_a_skill_that_became_invalid_says_why(tmp_path: Path) -> None:
    async def scenario() -> None:
        directory = write_skill(tmp_path, "one")
        found = await catalogue(tmp_path)
        manifest = directory / "SKILL.md"
        manifest.write_text("---\nname: one\n---\n")
        with pytest.raises(SourceInvalid, match=r"one: SKILL\.md: description: missing or empty"):
            await found.activate("one")
        manifest.unlink()
        with pytest.raises(SourceInvalid, match=r"has no SKILL\.md"):
            await found.activate("one")

    run(scenario())


def test_a_skill_without_a_component_has_no_digest(tmp_path: Path) -> None:
    async def scenario() -> None:
        write_skill(tmp_path, "one")
        skill = await (await catalogue(tmp_path)).activate("one")
        assert skill.component_digest is None
        with pytest.raises(SourceInvalid, match="has no file"):
            skill.component()

    run(scenario())


def test_what_is_unknown_is_not_found(tmp_path: Path) -> None:
    async def scenario() -> None:
        with pytest.raises(SkillNotFound):
            await (await catalogue(tmp_path)).activate("one")

    run(scenario())


def test_a_header_is_current_whenever_it_is_listed(tmp_path: Path) -> None:
    directory = write_skill(tmp_path, "group/one")
    catalog = Catalog([SkillRoot(tmp_path, InstallSource.LOCAL, trusted=True)])

    async def scenario() -> None:
        await catalog.scan()
        manifest = directory / "SKILL.md"
        manifest.write_text(manifest.read_text().replace("What one does.", "Something new."))
        assert (await catalog.current("one")).description == "Something new."
        write_skill(tmp_path, "group/one", guest=component())
        (listed,) = await catalog.current_headers()
        assert listed.has_component
        manifest.write_text("broken")
        assert (await catalog.current("one")).name == "one"  # what was valid last, until it is valid again

    run(scenario())


def test_a_skill_that_was_removed_is_no_longer_listed(tmp_path: Path) -> None:
    directory = write_skill(tmp_path, "one")
    write_skill(tmp_path, "two")
    catalog = Catalog([SkillRoot(tmp_path, InstallSource.LOCAL, trusted=True)])

    async def scenario() -> None:
        await catalog.scan()
        (directory / "SKILL.md").unlink()
        assert [header.name for header in await catalog.current_headers()] == ["two"]
        with pytest.raises(SkillNotFound):
            await catalog.activate("one")

    run(scenario())


def test_the_skill_that_was_not_asked_for_longest_is_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(activation, "ACTIVE_LIMIT", 2)

    async def scenario() -> None:
        for name in ("one", "two", "three"):
            write_skill(tmp_path, name)
        found = await catalogue(tmp_path)
        one, two = await settled(found, "one"), await settled(found, "two")
        assert await found.activate("one") is one  # now `two` was not asked for longest
        await settled(found, "three")
        assert len(found._active) == 2
        assert await found.activate("one") is one
        assert await found.activate("two") is not two

    run(scenario())


def test_what_a_person_approves_is_read_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        write_skill(tmp_path, "one")
        found = await catalogue(tmp_path)
        before = await settled(found, "one")
        reads = Reads(monkeypatch)
        after = await found.activate("one", anew=True)
        assert (after is not before, reads.count) == (True, 1)
        assert after.content_hash == before.content_hash

    run(scenario())


def test_a_skill_md_has_a_limit(tmp_path: Path) -> None:
    async def scenario() -> None:
        write_skill(tmp_path, "one", body="x" * activated_skill.MANIFEST_BYTES_LIMIT)
        with pytest.raises(SourceInvalid, match=r"one: SKILL\.md: over 1048576 bytes"):
            await (await catalogue(tmp_path)).activate("one")

    run(scenario())


def references(root: Path, files: dict[str, bytes]) -> activated_skill.References:
    async def scenario() -> activated_skill.References:
        write_skill(root, "one", files={f"references/{name}": data for name, data in files.items()})
        return (await (await catalogue(root)).activate("one")).references()

    return run(scenario())


def test_references_are_the_text_files_below_their_directory(tmp_path: Path) -> None:
    write_skill(tmp_path, "one", files={"references.md": b"no", "assets/a.md": b"no"})
    found = references(tmp_path, {"b.md": "Tiếng Việt".encode(), "a/deep.md": b"deep", "bad.bin": b"\xff"})
    assert found == {"references/a/deep.md": "deep", "references/b.md": "Tiếng Việt"}
    assert list(found) == sorted(found)
    assert found.notes == ["references/bad.bin: left out: not UTF-8"]


def test_references_have_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(activated_skill, "REFERENCES_LIMIT", 2)
    monkeypatch.setattr(activated_skill, "REFERENCES_BYTES_LIMIT", 10)
    found = references(tmp_path, {"a": b"12345", "b": b"123456", "c": b"12345", "d": b""})
    assert list(found) == ["references/a", "references/c"]
    assert found.notes == [
        "references/b: left out: references over 10 bytes",
        "references/d: left out: more than 2 references",
    ]


def test_a_reference_that_changed_is_not_read(tmp_path: Path) -> None:
    async def scenario() -> None:
        directory = write_skill(tmp_path, "one", files={"references/a.md": b"old"})
        skill = await (await catalogue(tmp_path)).activate("one")
        (directory / "references" / "a.md").write_bytes(b"new")
        with pytest.raises(SourceInvalid, match=r"references/a\.md changed"):
            skill.references()

    run(scenario())
