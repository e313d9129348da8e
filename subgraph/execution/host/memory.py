"""The operator's notes: Markdown and text files in a directory, searched by words. Nothing is written."""

from __future__ import annotations

import logging
import math
import os
import re
import stat
import threading
import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from subgraph.execution.host.beneath import open_beneath
from subgraph.execution.host.errors import HostCallError
from subgraph.execution.host.files import opened_root, read_bounded

FILES_LIMIT: Final = 2000
"""Files of notes. Each costs one `stat` at every search: some 5 ms for all."""

FILE_LIMIT: Final = 256 * 1024
"""Bytes of one file of notes; larger ones are no notes and are left out."""

TOTAL_LIMIT: Final = 16 * 1024 * 1024
"""Bytes of all notes, of which the index takes about ten times as many in memory."""

DEPTH_LIMIT: Final = 6
"""Directories below each other in which notes are looked for."""

PARAGRAPH_LIMIT: Final = 2000
"""Characters of one paragraph; longer ones are cut into several, so that no answer is a whole book."""

RESULTS_LIMIT: Final = 50
"""Paragraphs of one answer."""

QUERY_LIMIT: Final = 1000
"""Characters of a query: a long question."""

WORDS_LIMIT: Final = 64
"""Different words of a query that are looked up."""

_SUFFIXES = (".md", ".markdown", ".txt")
_WORD = re.compile(r"\w+")
_BLANK = re.compile(r"\n\s*\n")

# The usual constants of BM25: how fast repetition stops to count, and how much length does.
_SATURATION = 1.2
_LENGTH_WEIGHT = 0.75

logger = logging.getLogger(__name__)

Stamps = tuple[tuple[str, int, int, int], ...]


@dataclass(frozen=True, slots=True)
class _Index:
    stamps: Stamps = ()
    paragraphs: list[str] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    postings: dict[str, list[tuple[int, int]]] = field(default_factory=dict)


class Memory:
    """Notes below a directory. The index is made at the first search, and again when a file has changed."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._index: _Index | None = None
        self._building = threading.Lock()

    def recall(self, query: str, limit: int) -> list[str]:
        """Return up to `limit` paragraphs that share words with the query, best first; blocks.

        Words are compared without case and diacritics, `đ` as `d`. Paragraphs that are equally good come
        in the order of their files' names. Raises `HostCallError` when the directory cannot be read.
        """
        index = self._current()
        count = len(index.paragraphs)
        if not count:
            return []
        mean = sum(index.lengths) / count
        scores: dict[int, float] = {}
        for word in list(dict.fromkeys(folded_words(query)))[:WORDS_LIMIT]:
            postings = index.postings.get(word, ())
            rarity = math.log(1 + (count - len(postings) + 0.5) / (len(postings) + 0.5))
            for paragraph, times in postings:
                length = 1 - _LENGTH_WEIGHT + _LENGTH_WEIGHT * index.lengths[paragraph] / mean
                weight = times * (_SATURATION + 1) / (times + _SATURATION * length)
                scores[paragraph] = scores.get(paragraph, 0.0) + rarity * weight
        best = sorted(scores.items(), key=lambda item: (-item[1], item[0]))[:limit]
        return [index.paragraphs[paragraph] for paragraph, _ in best]

    def _current(self) -> _Index:
        with self._building, opened_root(self._directory, "the directory of notes") as root:
            stamps = tuple(sorted(_stamps(root)))
            if self._index is None or self._index.stamps != stamps:
                self._index = _build(root, stamps)
            return self._index


def folded_words(text: str) -> list[str]:
    """Return the words of a text without case and diacritics."""
    # Twice: letters that stand for others, such as full-width ones, have a case of their own.
    folded = unicodedata.normalize("NFKD", text).casefold()
    decomposed = unicodedata.normalize("NFKD", folded).replace("đ", "d")
    return _WORD.findall("".join(c for c in decomposed if not unicodedata.combining(c)))


def _stamps(root: int) -> Iterator[tuple[str, int, int, int]]:
    """Name every file of notes, with what a change of it changes. Links and hidden files are left out."""
    files = 0
    folders: list[tuple[str, ...]] = [()]
    while folders:
        folder = folders.pop()
        try:
            descriptor = open_beneath(root, folder, os.O_RDONLY | os.O_DIRECTORY)
        except OSError:
            continue  # it went away, or nobody may read it
        try:
            for entry in sorted(os.scandir(descriptor), key=lambda one: one.name):
                if entry.name.startswith("."):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    if len(folder) + 1 < DEPTH_LIMIT:
                        folders.append((*folder, entry.name))
                    continue
                if not entry.name.endswith(_SUFFIXES) or not entry.is_file(follow_symlinks=False):
                    continue
                files += 1
                if files > FILES_LIMIT:
                    raise HostCallError(f"there are more than {FILES_LIMIT} files of notes")
                status = os.stat(entry.name, dir_fd=descriptor, follow_symlinks=False)
                path = "/".join((*folder, entry.name))
                yield path, status.st_mtime_ns, status.st_size, status.st_ino
        except FileNotFoundError:
            continue
        finally:
            os.close(descriptor)


def _build(root: int, stamps: Stamps) -> _Index:
    index = _Index(stamps)
    total = 0
    for path, _, _, _ in stamps:
        text = _note(root, path)
        total += len(text)
        if total > TOTAL_LIMIT:
            logger.warning("the notes have more than %d characters; %s and later ones are left out",
                           TOTAL_LIMIT, ascii(path))  # fmt: skip
            break
        for paragraph in _paragraphs(text):
            words = folded_words(paragraph)
            if not words:
                continue
            for word, times in Counter(words).items():
                index.postings.setdefault(word, []).append((len(index.paragraphs), times))
            index.paragraphs.append(paragraph)
            index.lengths.append(len(words))
    return index


def _note(root: int, path: str) -> str:
    """Return the text of one file; empty when it is none, too large or not UTF-8."""
    try:
        descriptor = open_beneath(root, path.split("/"), os.O_RDONLY | os.O_NONBLOCK)
        try:
            regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
            data = read_bounded(descriptor, FILE_LIMIT) if regular else b""
        finally:
            os.close(descriptor)
        text = data.decode() if len(data) <= FILE_LIMIT else ""
    except (OSError, ValueError):
        text = ""
    if not text:
        logger.info("the note %s is left out: it is empty, too large or no UTF-8 text", ascii(path))
    return text


def _paragraphs(text: str) -> Iterator[str]:
    for paragraph in _BLANK.split(text.replace("\r\n", "\n")):
        stripped = paragraph.strip()
        for start in range(0, len(stripped), PARAGRAPH_LIMIT):
            yield stripped[start : start + PARAGRAPH_LIMIT]
