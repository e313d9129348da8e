"""All phrases are found in one pass, where words begin and end."""

from __future__ import annotations

import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from subgraph.routing.matcher import Matcher

WORDS = st.sampled_from(["a", "b", "ab", "c"])
PHRASES = st.lists(st.lists(WORDS, min_size=1, max_size=4).map(tuple), max_size=12, unique=True)


def naive(phrases: list[tuple[str, ...]], words: list[str]) -> set[tuple[int, int, int]]:
    return {
        (number, start, start + len(phrase))
        for number, phrase in enumerate(phrases)
        for start in range(len(words))
        if tuple(words[start : start + len(phrase)]) == phrase
    }


@given(PHRASES, st.lists(WORDS, max_size=30))
def test_it_finds_what_looking_everywhere_finds(phrases: list[tuple[str, ...]], words: list[str]) -> None:
    found = Matcher(phrases).find(words)
    assert set(map(tuple, found)) == naive(phrases, words)
    assert len(found) == len(set(found))
    assert [one.end for one in found] == sorted(one.end for one in found)


def test_a_phrase_is_found_at_words_alone() -> None:
    matcher = Matcher([("vat",), ("vat", "invoice")])
    assert matcher.find(["private"]) == []
    assert [one.phrase for one in matcher.find(["vat", "invoices"])] == [0]
    assert [one.phrase for one in matcher.find(["vat", "invoice"])] == [0, 1]


def test_no_phrases_are_found_in_anything() -> None:
    assert Matcher([]).find(["a", "b"]) == []


def test_finding_keeps_nothing() -> None:
    matcher = Matcher([("a", "b"), ("b",)])
    words = ["a", "b", "c"] * 20
    matcher.find(words)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(1000):
            matcher.find([*words, f"new{number}"])
        assert tracemalloc.get_traced_memory()[0] - before < 20_000
    finally:
        tracemalloc.stop()
