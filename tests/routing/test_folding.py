"""Queries and keywords are compared without marks, case and punctuation."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subgraph.errors import InputInvalid
from subgraph.routing.folding import (
    QUERY_LIMIT,
    checked,
    fold,
    has_vietnamese_diacritics,
    plain_tokens,
    tokens,
)

TEXT = st.text(max_size=60)
VOWELS = "aăâeêioôơuưy"
TONES = "\u0301\u0300\u0309\u0303\u0323"


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("Kiểm tra MST 0123456789-001", "kiem tra mst 0123456789 001"),
        ("tạo hoá đơn", "tao hoa don"),
        ("tạo hóa đơn", "tao hoa don"),
        ("ĐƯỜNG Đi", "duong di"),
        ("e-invoice", "e invoice"),
        ("  a\t_b\n…c  ", "a b c"),
        ("10.000.000đ", "10 000 000d"),
        ("", ""),
        ("!?", ""),
        ("𝑥²", "𝑥²"),
        ("한국", unicodedata.normalize("NFD", "한국")),
        ("हिन्दी", "हनद"),
    ],
)
def test_a_text_is_folded(text: str, folded: str) -> None:
    assert fold(text) == folded


@given(TEXT)
def test_folding_twice_changes_nothing(text: str) -> None:
    assert fold(fold(text)) == fold(text)


@given(TEXT)
def test_composed_and_decomposed_texts_fold_to_the_same(text: str) -> None:
    forms = {fold(unicodedata.normalize(form, text)) for form in ("NFC", "NFD")}
    assert forms == {fold(text)}


@given(TEXT)
def test_a_folded_text_is_words_and_single_spaces(text: str) -> None:
    assert fold(text).split(" ") == (tokens(text) or [""])
    assert all(word.isalnum() for word in tokens(text))


def test_every_vietnamese_letter_folds_to_its_base() -> None:
    for vowel in VOWELS:
        base = unicodedata.normalize("NFD", vowel)[0]
        for tone in ("", *TONES):
            letter = unicodedata.normalize("NFC", vowel + tone)
            assert fold(letter) == fold(letter.upper()) == base


def test_every_vietnamese_letter_with_a_mark_counts_as_vietnamese() -> None:
    marked = {unicodedata.normalize("NFC", vowel + tone) for vowel in VOWELS for tone in ("", *TONES)}
    marked -= set("aeiouy")
    assert len(marked) == 66
    for letter in marked | {"đ"}:
        assert has_vietnamese_diacritics(letter)
        assert has_vietnamese_diacritics(letter.upper())


@pytest.mark.parametrize("text", ["kiem tra mst", "naïve", "Ærø", "straße", "č", "日本", "ñ", "ü", ""])
def test_other_letters_do_not_count_as_vietnamese(text: str) -> None:
    assert not has_vietnamese_diacritics(text)


def test_a_query_is_kept_in_nfc() -> None:
    decomposed = unicodedata.normalize("NFD", "hoá đơn điện tử")
    assert checked(decomposed) == "hoá đơn điện tử"
    assert checked("plain") == "plain"


def test_a_query_of_the_longest_length_is_read_and_a_longer_one_refused() -> None:
    assert checked("a" * QUERY_LIMIT)
    with pytest.raises(InputInvalid, match="over 4096 characters: it has 4097"):
        checked("a" * (QUERY_LIMIT + 1))


@pytest.mark.parametrize("text", ["\ud800", "mst \udfff", "á\udc80"])
def test_half_of_a_surrogate_pair_is_refused(text: str) -> None:
    with pytest.raises(InputInvalid, match="a lone surrogate at"):
        checked(text)


@pytest.mark.parametrize(
    "text",
    [
        "de\u200bploy",
        "".join(chr(ord(letter) + 0xFEE0) for letter in "deploy"),
        "\U0001d41deplo\U0001d432",
        "\u202edeploy",
        "de\u00adploy",
        "de\x00plo\x7fy",
        "\x1b\u202ade\x1fploy",
        "de\u3164plo\u115fy\uffa0",
        "deploy",
    ],
)
def test_an_action_is_read_as_an_eye_reads_it(text: str) -> None:
    assert plain_tokens(text) == ["deploy"]
