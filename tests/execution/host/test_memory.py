"""Notes: which files are, how they are found by words, and that changes of them are seen."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subgraph.execution.host import HostCallError
from subgraph.execution.host import memory as module
from subgraph.execution.host.memory import (
    DEPTH_LIMIT,
    FILE_LIMIT,
    PARAGRAPH_LIMIT,
    RESULTS_LIMIT,
    Memory,
    folded_words,
)


def write(root: Path, name: str, text: str) -> Path:
    place = root / name
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text)
    return place


def test_paragraphs_that_share_words_come_best_first(tmp_path: Path) -> None:
    write(
        tmp_path, "a.md", "The invoice of March.\n\nThe invoice of invoice taxes: invoice!\n\nNothing else."
    )
    write(tmp_path, "b.txt", "An invoice.")
    assert Memory(tmp_path).recall("invoice", 10) == [
        "The invoice of invoice taxes: invoice!",
        "An invoice.",
        "The invoice of March.",
    ]
    assert Memory(tmp_path).recall("invoice", 1) == ["The invoice of invoice taxes: invoice!"]
    assert Memory(tmp_path).recall("rhinoceros", 10) == []
    assert Memory(tmp_path).recall("", 10) == []


def test_rare_words_count_more(tmp_path: Path) -> None:
    for number in range(5):
        write(tmp_path, f"{number}.md", f"common words of note {number}")
    write(tmp_path, "z.md", "rare words of note")
    assert Memory(tmp_path).recall("common rare", 10)[0] == "rare words of note"


@pytest.mark.parametrize("query", ["HOA DON", "hóa đơn", "Hoá  Đơn?", "ｈｏａ"])  # noqa: RUF001
def test_case_and_diacritics_do_not_matter(tmp_path: Path, query: str) -> None:
    write(tmp_path, "a.md", "Hóa đơn tháng ba")
    assert Memory(tmp_path).recall(query, 5) == ["Hóa đơn tháng ba"]


@settings(max_examples=200)
@given(st.text(max_size=60))
def test_words_are_folded_the_same_way_twice(text: str) -> None:
    words = folded_words(text)
    assert folded_words(" ".join(words)) == words


def test_equal_paragraphs_come_in_the_order_of_their_files(tmp_path: Path) -> None:
    for name in ("c.md", "a.md", "b/a.md"):
        write(tmp_path, name, "same words")
        write(tmp_path, name, f"same words {name[0]}")
    assert Memory(tmp_path).recall("same", 5) == ["same words a", "same words b", "same words c"]


def test_changes_are_seen_at_the_next_search(tmp_path: Path) -> None:
    memory = Memory(tmp_path)
    assert memory.recall("first second", 5) == []
    place = write(tmp_path, "a.md", "first")
    assert memory.recall("first second", 5) == ["first"]
    write(tmp_path, "a.md", "second one")
    assert memory.recall("first second", 5) == ["second one"]
    index = memory._index
    memory.recall("first second", 5)
    assert memory._index is index  # nothing changed: nothing is read again
    place.unlink()
    assert memory.recall("first second", 5) == []


def test_only_plain_files_of_notes_are_read(tmp_path: Path) -> None:
    outside = write(tmp_path, "outside/secret.md", "word of outside")
    root = tmp_path / "notes"
    write(root, "in.MD", "word of upper case")
    write(root, "in.markdown", "word within")
    write(root, ".hidden.md", "word of hidden")
    write(root, ".git/a.md", "word of git")
    write(root, "key.pem", "word of a key")
    write(root, "huge.md", "word " * FILE_LIMIT)
    (root / "binary.md").write_bytes(b"word \xff")
    (root / "link.md").symlink_to(outside)
    (root / "links").symlink_to(outside.parent)
    os.mkfifo(root / "pipe.md")
    write(root, "/".join("d" * (DEPTH_LIMIT - 1)) + "/deep.md", "word of the depth")
    write(root, "/".join("d" * DEPTH_LIMIT) + "/deeper.md", "word of below")
    assert sorted(Memory(root).recall("word", 50)) == ["word of the depth", "word within"]


def test_files_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FILES_LIMIT", 2)
    for number in range(2):
        write(tmp_path, f"{number}.md", "word")
    assert len(Memory(tmp_path).recall("word", 5)) == 2
    write(tmp_path, "2.md", "word")
    with pytest.raises(HostCallError, match="more than 2 files"):
        Memory(tmp_path).recall("word", 5)


def test_what_is_beyond_the_limit_of_all_notes_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "TOTAL_LIMIT", 20)
    write(tmp_path, "a.md", "word one")
    write(tmp_path, "b.md", "word two " * 3)
    assert Memory(tmp_path).recall("word", 5) == ["word one"]
    assert "b.md" in caplog.text


def test_long_paragraphs_are_cut(tmp_path: Path) -> None:
    write(tmp_path, "a.md", "word " * PARAGRAPH_LIMIT)
    found = Memory(tmp_path).recall("word", RESULTS_LIMIT)
    assert len(found) == 5
    assert max(map(len, found)) <= PARAGRAPH_LIMIT


def test_a_directory_that_is_gone_is_told(tmp_path: Path) -> None:
    with pytest.raises(HostCallError, match="the directory of notes does not exist"):
        Memory(tmp_path / "none").recall("word", 5)
