"""A part of `python -m tests.fuzz` with a fixed seed: the same inputs every time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given, settings

from tests.fuzz.inputs import manifest_bytes, tools_text
from tests.fuzz.strategies import documents, tools
from tests.fuzz.subjects import Fault, ManifestReaders, ToolReaders, manifest_readers, timed

SEED = 20_260_101
INPUTS = 1200


@pytest.fixture(scope="module")
def manifests() -> Iterator[ManifestReaders]:
    with manifest_readers() as readers:
        yield readers


def test_no_skill_md_does_what_it_may_not(manifests: ManifestReaders) -> None:
    for number in range(INPUTS):
        manifests.read(manifest_bytes(SEED, number))


def test_no_allowed_tools_do_what_they_may_not() -> None:
    readers = ToolReaders()
    for number in range(INPUTS):
        readers.read(tools_text(SEED, number))


@settings(max_examples=150)
@given(data=documents())
def test_no_document_does_what_it_may_not(manifests: ManifestReaders, data: bytes) -> None:
    manifests.read(data)


@settings(max_examples=150)
@given(text=tools())
def test_no_text_does_what_it_may_not(text: str) -> None:
    ToolReaders().read(text)


def test_an_input_is_made_again_from_its_seed_and_number() -> None:
    assert manifest_bytes(1, 2) == manifest_bytes(1, 2) != manifest_bytes(2, 2)
    assert tools_text(1, 3) == tools_text(1, 3)
    assert len({manifest_bytes(1, number) for number in range(100)}) > 95


def test_a_reader_that_fails_or_is_slow_is_a_fault() -> None:
    def fail(data: bytes) -> None:
        raise KeyError(data)

    def spin(_data: bytes) -> None:
        sum(range(10_000_000))

    with pytest.raises(Fault, match="raised KeyError"):
        timed("fail", b"x", fail)
    with pytest.raises(Fault, match="spin took"):
        timed("spin", b"x", spin)
