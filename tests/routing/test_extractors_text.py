from __future__ import annotations

import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subgraph.routing.extractors import extract
from subgraph.routing.extractors.labels import REACH, Label, label_before, labelled
from subgraph.routing.extractors.language import is_vietnamese
from subgraph.routing.extractors.skills import EXTRACTORS
from subgraph.routing.extractors.text import BLOT, Span, bounded, clusters, spelt, text_of
from subgraph.routing.folding import QUERY_LIMIT

ANY_TEXT = st.text(max_size=200)


@pytest.mark.parametrize(
    ("query", "folded"),
    [
        ("Hoá đơn", "hoa don"),
        ("HÓA ĐƠN", "hoa don"),
        (unicodedata.normalize("NFD", "Hoá đơn"), "hoa don"),
        ("\uff11\uff12\uff13\uff21\uff22", "123ab"),
        ("a\u00a0b\tc\u200bd\ne", "a b c d\ne"),
        ("\x00\x07", "  "),
        ("x\u0323\u0301\u0489", "x"),
        ("İstanbul", "istanbul"),
        ("\u0432n-bank", "\u0432n-bank"),
        ("Å ₫ ½ 한", "a ₫ ½ 한"),
        ("", ""),
    ],
)
def test_folding(query: str, folded: str) -> None:
    assert text_of(query).folded == folded


@given(ANY_TEXT)
def test_every_folded_character_has_its_place_in_the_original(query: str) -> None:
    text = text_of(query)
    assert len(text.origin) == len(text.folded)
    assert list(text.origin) == sorted(set(text.origin))
    assert text.original == unicodedata.normalize("NFC", query)
    for index, character in enumerate(text.folded):
        written = text.written(Span(index, index + 1))
        assert text_of(written).folded == character


@given(ANY_TEXT)
def test_both_normal_forms_fold_alike(query: str) -> None:
    composed = text_of(unicodedata.normalize("NFC", query))
    assert text_of(unicodedata.normalize("NFD", query)) == composed


def test_a_place_includes_the_marks_that_belong_to_its_last_letter() -> None:
    text = text_of("ax\u0323\u0301b")
    assert text.folded == "axb"
    assert text.place(Span(1, 2)) == Span(1, 4)
    assert text.written(Span(1, 2)) == "x\u0323\u0301"
    assert text.place(Span(2, 2)) == Span(0, 0)
    assert text.written(Span(2, 2)) == ""


def test_what_was_read_is_blotted_out() -> None:
    text = text_of("abcdef")
    assert text.without([]) is text
    assert text.without([Span(1, 3), Span(2, 4), Span(2, 3)]).folded == f"a{BLOT * 3}ef"
    assert text.without([Span(0, 6)]).written(Span(0, 6)) == "abcdef"


def test_a_query_is_bounded_at_a_blank() -> None:
    assert bounded("x" * QUERY_LIMIT) == "x" * QUERY_LIMIT
    assert bounded("x" * (QUERY_LIMIT + 1)) == ""
    assert bounded("word " + "0123456789" * 1000) == "word "
    # Ten digits of thirteen would be another tax code.
    cut = " " * (QUERY_LIMIT - 10) + "0123456789-001"
    assert extract("vn-mst-validate", cut).arguments == {}


def test_spelling_is_looked_at_only_where_there_are_marks() -> None:
    text = text_of("tỉ tí ti")
    allowed = frozenset({"tỉ"})
    assert spelt(text, Span(0, 2), allowed)
    assert not spelt(text, Span(3, 5), allowed)
    assert spelt(text, Span(6, 8), allowed)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("a 12 b", ["12"]),
        ("12-34,5.6/7", ["12-34,5.6/7"]),
        ("x12 12x _1 1_", []),
        ("+84912345678", []),
        ("(12)", ["12"]),
        ("12.", ["12"]),
        ("0123456789-001x", []),
        ("x1-0123456789", []),
        ("0123\u200b4567", ["0123", "4567"]),
        ("\u0661\u0662 12", ["12"]),
    ],
)
def test_clusters_of_digits(query: str, found: list[str]) -> None:
    text = text_of(query)
    assert [text.folded[span.start : span.end] for span in clusters(text)] == found


@pytest.mark.parametrize(
    ("query", "labels"),
    [
        ("MST 0123456789", [Label.MST]),
        ("mã số thuế của ACME là 0123456789", [Label.MST]),
        ("MST 0123456789 và 0100109106", [Label.MST, Label.MST]),
        ("MST 0123456789 thì 0100109106", [Label.MST, None]),
        ("số điện thoại 0912345678, MST 0123456789", [Label.PHONE, Label.MST]),
        (f"MST{' x' * REACH} 0123456789", [None]),
        ("order 12345", [Label.OTHER]),
        ("số tiền \0 stk", []),
        ("in order to pay 12345", [None]),
        ("MST0123456789", [Label.MST]),
        ("xmst1 12", [None]),
        ("12 mst", [None]),
        ("số  tài   khoản 12", [Label.ACCOUNT]),
    ],
)
def test_the_nearest_label_before_a_number_names_it(query: str, labels: list[Label | None]) -> None:
    assert [one.label for one in labelled(text_of(query))] == labels


def test_a_label_does_not_reach_over_digits() -> None:
    text = text_of("thuế 12 và 10")
    assert label_before(text, Span(5, 7)) is Label.RATE
    assert label_before(text, Span(11, 13)) is None
    assert label_before(text, Span(0, 4)) is None


@pytest.mark.parametrize(
    ("query", "vietnamese"),
    [
        ("kiểm tra", True),
        ("kiem tra MST 1", True),
        ("check MST 1", False),
        ("café", False),
        ("Đ", True),
        ("", False),
    ],
)
def test_language(query: str, vietnamese: bool) -> None:
    assert is_vietnamese(text_of(query)) is vietnamese


HOSTILE = {
    "digits": "0" * 100_000,
    "groups": "1.000" * 20_000,
    "dotted": "1." * 50_000,
    "dotted, then a letter": "1." * 1_500 + "1x" + "1." * 50_000,
    "grouped, then a letter": "100." * 900 + "100x" + "1." * 50_000,
    "numbers": "12 " * 33_000,
    "amounts": "10 triệu " * 11_000,
    "compound": "1 tỷ " + "1 triệu " * 12_000,
    "words": "một trăm nghìn " * 7_000,
    "labels": "mst " * 25_000,
    "blanks": "mst" + " " * 100_000 + "1",
    "marks": "a" + "\u0301\u0323" * 50_000,
    "paths": "a/" * 50_000,
    "dashes": "thư mục " + "a-" * 50_000,
    "days": "ngày 1 tháng 1 " * 7_000,
    "quarters": "quý " * 25_000,
    "memo": "nội dung " * 11_000,
    "quotes": 'memo: "' * 15_000,
    "qr": "000201" * 17_000,
    "banks": "ngan hang tmcp " * 7_000,
    "letters": "stk a" + "a1" * 50_000,
}


@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE.keys())
def test_time_does_not_grow_with_hostile_text(hostile: str) -> None:
    """What is read is bounded; within the bound, twice the text takes no more than about twice the time."""

    def cost(query: str) -> float:
        best = float("inf")
        for _ in range(3):
            started = time.process_time()
            for skill in EXTRACTORS:
                extract(skill, query)
            best = min(best, time.process_time() - started)
        return best

    assert cost(hostile) <= 3 * cost(hostile[: QUERY_LIMIT + 1]) + 0.02
    assert cost(hostile[:QUERY_LIMIT]) <= 8 * cost(hostile[: QUERY_LIMIT // 4]) + 0.02
