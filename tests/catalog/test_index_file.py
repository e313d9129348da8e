"""The warm index saves reading, and is never trusted over the bytes."""

from __future__ import annotations

import os
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subgraph.catalog import InstallSource, Problem, SkillHeader, SkillRoot, discovery, index_file, registry
from subgraph.catalog.index_file import _CHECKSUM_SIZE, _MAGIC, Entry
from subgraph.catalog.registry import Registry
from tests.support.skill_samples import write_samples
from tests.support.skills import write_skill

SETTLE_SECONDS = 0.06


class Home:
    """A root with skills, and the index file beside it."""

    def __init__(self, directory: Path) -> None:
        self.root = SkillRoot(directory / "skills", InstallSource.LOCAL, trusted=False)
        self.file = directory / "cache" / "index"

    def scanned(self) -> Registry:
        """A registry as after a start, of files that are old enough to be trusted by their times."""
        time.sleep(SETTLE_SECONDS)
        found = Registry([self.root], self.file)
        found.scan()
        return found


@pytest.fixture
def home(tmp_path: Path) -> Home:
    found = Home(tmp_path)
    write_samples(found.root.directory, 30)
    write_skill(found.root.directory, "one", tools="read_file", fields="author: me", guest=b"wasm")
    return found


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The directories whose SKILL.md was read, as they are read."""
    found: list[str] = []
    real = discovery.front_matters

    def counted(directories: list[str]) -> object:
        found.extend(directories)
        return real(directories)

    monkeypatch.setattr(registry, "front_matters", counted)
    return found


def contents(found: Registry) -> tuple[list[SkillHeader], list[Problem]]:
    return list(found), found.problems()


def test_a_warm_start_finds_the_same_and_reads_nothing(home: Home, reads: list[str]) -> None:
    cold = home.scanned()
    assert len(reads) == 31
    warm = home.scanned()
    assert len(reads) == 31
    assert contents(warm) == contents(cold)
    assert [problem.message for problem in warm.problems()] == [
        "not a field of the standard; it is passed over"
    ]
    assert warm.get("one").extensions == cold.get("one").extensions
    assert warm.get("one").has_component
    assert home.file.stat().st_mode & 0o777 == 0o600


def test_nothing_is_written_when_nothing_has_changed(home: Home) -> None:
    home.scanned()
    before = home.file.stat()
    home.scanned()
    assert home.file.stat().st_ino == before.st_ino


def rewritten_with_the_same_size_and_time(manifest: Path) -> None:
    before = manifest.stat()
    manifest.write_bytes(manifest.read_bytes().replace(b"What one does.", b"Something new."))
    os.utime(manifest, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (manifest.stat().st_size, manifest.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)


def swapped_for_another_file(manifest: Path) -> None:
    before = manifest.stat()
    other = manifest.with_name("other")
    other.write_bytes(manifest.read_bytes().replace(b"What one does.", b"Something new."))
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(manifest)


@pytest.mark.parametrize("change", [rewritten_with_the_same_size_and_time, swapped_for_another_file])
def test_changed_bytes_are_read_again_whatever_their_times(
    home: Home, reads: list[str], change: Callable[[Path], None]
) -> None:
    home.scanned()
    reads.clear()
    change(home.root.directory / "one" / "SKILL.md")
    assert home.scanned().get("one").description == "Something new."
    assert reads == [os.fspath(home.root.directory / "one")]


def test_a_component_that_came_or_went_is_noticed(home: Home) -> None:
    assert home.scanned().get("one").has_component
    (home.root.directory / "one" / "dist" / "skill.wasm").unlink()
    assert not home.scanned().get("one").has_component
    write_skill(home.root.directory, "one", guest=b"wasm")
    assert home.scanned().get("one").has_component


def test_skills_that_are_gone_are_not_brought_back(home: Home) -> None:
    home.scanned()
    (home.root.directory / "one").rename(home.file.parent / "one")
    assert "one" not in [header.path for header in home.scanned()]
    size = home.file.stat().st_size
    home.scanned()
    assert home.file.stat().st_size == size


def test_what_has_just_changed_is_not_kept(home: Home, reads: list[str]) -> None:
    home.scanned()
    write_skill(home.root.directory, "one", body="new")
    found = Registry([home.root], home.file)
    found.scan()
    assert found.unsettled
    reads.clear()
    home.scanned()
    assert reads == [os.fspath(home.root.directory / "one")]


def test_trust_is_that_of_the_root_now_and_not_of_the_file(home: Home) -> None:
    assert not home.scanned().get("one").trusted
    home.root = SkillRoot(home.root.directory, InstallSource.BUILTIN, trusted=True)
    found = home.scanned().get("one")
    assert (found.trusted, found.source) == (True, InstallSource.BUILTIN)


def sealed(document: object) -> bytes:
    """A file with a right beginning and checksum, as whoever knows the form can write it."""
    payload = document if isinstance(document, bytes) else msgpack.packb(document)
    assert isinstance(payload, bytes)
    return _MAGIC + zlib.crc32(payload).to_bytes(_CHECKSUM_SIZE) + payload


def altered(change: Callable[[dict[str, list[object]]], object]) -> Callable[[bytes], bytes]:
    def alter(data: bytes) -> bytes:
        document = msgpack.unpackb(data[len(_MAGIC) + _CHECKSUM_SIZE :])
        for section in document.values():
            change(section)
        return sealed(document)

    return alter


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "cut off": lambda data: data[:-1],
    "half": lambda data: data[: len(data) // 2],
    "longer": lambda data: data + b"\0",
    "one bit": lambda data: data[:-40] + bytes([data[-40] ^ 1]) + data[-39:],
    "of another version": lambda data: data.replace(b"cyberos-catalog-index 3", b"cyberos-catalog-index 1"),
    "foreign": lambda data: b"\x7fELF" + data,
    "no map": lambda data: sealed([1]),
    "no msgpack": lambda data: sealed(b"\xc1"),
    "nested": lambda data: sealed(b"\x91" * 5000),
    "roots are text": lambda data: sealed({"a": {}}),
    "section is none": altered(lambda section: section.clear()),
    "paths": altered(lambda section: section.update(paths=[1] * len(section["paths"]))),
    "long path": altered(lambda section: section["paths"].__setitem__(0, "a" * 5000)),
    "versions": altered(lambda section: section["versions"].__setitem__(0, 1)),
    "long version": altered(lambda section: section["versions"].__setitem__(0, "v" * 2000)),
    "columns": altered(lambda section: section["stamps"].pop()),
    "stamps": altered(lambda section: section["stamps"].__setitem__(0, b"short")),
    "description is text": altered(lambda section: section["descriptions"].__setitem__(0, "text")),
    "description is not UTF-8": altered(lambda section: section["descriptions"].__setitem__(0, b"\xff")),
    "description has controls": altered(lambda section: section["descriptions"].__setitem__(0, b"\x1b[1m")),
    "description is long": altered(lambda section: section["descriptions"].__setitem__(0, b"d" * 5000)),
    "description is empty": altered(lambda section: section["descriptions"].__setitem__(0, b"")),
    "extensions": altered(
        lambda section: section["extensions"].__setitem__(0, msgpack.packb({"other": "x"}))
    ),
    "extensions are no text": altered(
        lambda section: section["extensions"].__setitem__(0, msgpack.packb({"cyberos-a": 1}))
    ),
    "traits": altered(lambda section: section["traits"].__setitem__(0, 10**6)),
    "negative traits": altered(lambda section: section["traits"].__setitem__(0, -1)),
    "table": altered(lambda section: section["table"].__setitem__(0, [1, 2, 3, 4])),
    "component": altered(lambda section: section["table"].reverse()),
    "problems": altered(lambda section: section.update(problems=[[10**6, "name", 1, "x"]])),
    "problem lines": altered(lambda section: section.update(problems=[[0, "name", -1, "x"]])),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_file_that_is_not_sound_is_ignored_and_written_anew(
    home: Home, reads: list[str], caplog: pytest.LogCaptureFixture, name: str
) -> None:
    before = contents(home.scanned())
    home.file.write_bytes(DAMAGES[name](home.file.read_bytes()))
    reads.clear()
    assert contents(home.scanned()) == before
    assert len(reads) == 31
    assert "the index of skills is not used" in caplog.text
    reads.clear()
    assert contents(home.scanned()) == before
    assert reads == []


def make_a_link(file: Path) -> None:
    file.rename(file.with_name("moved"))
    file.symlink_to("moved")


def make_a_pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def make_a_directory(file: Path) -> None:
    file.unlink()
    file.mkdir()


@pytest.mark.parametrize(
    "change",
    [
        make_a_link,
        make_a_pipe,
        make_a_directory,
        lambda file: file.chmod(0o666),
        lambda file: file.chmod(0o620),
    ],
)
def test_a_file_that_others_may_have_made_is_ignored(
    home: Home, reads: list[str], change: Callable[[Path], None]
) -> None:
    before = contents(home.scanned())
    change(home.file)
    reads.clear()
    assert contents(home.scanned()) == before
    assert len(reads) == 31


def test_a_disk_that_cannot_be_written_is_no_failure(home: Home, caplog: pytest.LogCaptureFixture) -> None:
    home.file.parent.write_text("a file where a directory should be")
    assert len(home.scanned()) == 31
    assert "the index of skills is not written" in caplog.text


def test_an_interrupted_write_leaves_the_file_as_it_was(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    home.scanned()
    before = home.file.read_bytes()
    write_skill(home.root.directory, "two")

    def fail(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    home.scanned()
    assert home.file.read_bytes() == before
    assert [path.name for path in home.file.parent.iterdir()] == [home.file.name]


@settings(max_examples=100)
@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_are_entries_or_nothing(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, is_sealed: bool
) -> None:
    root = SkillRoot(Path("/skills"), InstallSource.LOCAL, trusted=False)
    file = tmp_path_factory.getbasetemp() / "any-index"
    file.write_bytes(sealed(data) if is_sealed else data)
    file.chmod(0o600)
    for entries in index_file.load(file, [root]).values():
        assert all(isinstance(entry, Entry) for entry in entries.values())
