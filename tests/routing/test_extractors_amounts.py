from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subgraph.routing.extractors.amounts import MOST_AMOUNT, amounts
from subgraph.routing.extractors.number_words import value_of
from subgraph.routing.extractors.text import text_of
from tests.support.parity import SKILLS, Reference

IN_WORDS = Reference(SKILLS / "cyberskill-vn" / "vn-vat-invoice").modules["amount_words"].amount_in_words


def read(query: str) -> list[int | None]:
    return [one.value for one in amounts(text_of(query))]


@pytest.mark.parametrize(
    ("query", "values"),
    [
        ("10 triệu", [10_000_000]),
        ("10 TRIỆU", [10_000_000]),
        ("10 trieu", [10_000_000]),
        ("10\u00a0triệu", [10_000_000]),
        ("\uff11\uff10 triệu", [10_000_000]),
        (unicodedata.normalize("NFD", "10 triệu đồng"), [10_000_000]),
        ("10tr", [10_000_000]),
        ("10tr5", [10_500_000]),
        ("10tr5 cho An", [10_500_000]),
        ("10tr500", [10_500_000]),
        ("1k5", [1_500]),
        ("2tỷ5", [2_500_000_000]),
        ("1 triệu 5", [1_500_000]),
        ("1 triệu 5 cho An", [1_500_000]),
        ("1 triệu 250, nhé", [1_250_000]),
        ("1,5 tỷ", [1_500_000_000]),
        ("1.5 tỉ", [1_500_000_000]),
        ("1.234,5 triệu", [1_234_500_000]),
        ("1,234.5 million", [1_234_500_000]),
        ("1.000.000 nghìn", [1_000_000_000]),
        ("2 tỷ rưỡi", [2_500_000_000]),
        ("7 trieu ruoi", [7_500_000]),
        ("500k", [500_000]),
        ("25 nghìn", [25_000]),
        ("25 ngàn đồng", [25_000]),
        ("3 trăm nghìn", [300_000]),
        ("1 tỷ 200 triệu 500 nghìn", [1_200_500_000]),
        ("1tr500k", [1_500_000]),
        ("1.000.000", [1_000_000]),
        ("1,000,000 VND", [1_000_000]),
        ("1.000.000đ", [1_000_000]),
        ("VND 1,000,000", [1_000_000]),
        ("₫500.000", [500_000]),
        ("vnd 700", [700]),
        ("500000đ", [500_000]),
        ("500000d", [500_000]),
        ("500 đồng", [500]),
        ("5000 dong", [5_000]),
        ("số tiền 500000", [500_000]),
        ("số tiền 1.500", [1_500]),
        ("gửi 350.000 cho An", [350_000]),
        ("hoàn tiền khách 1.500", [1_500]),
        ("ba\u00a0trăm\u00a0nghìn", [300_000]),
        ("10 triệu và 5 triệu", [10_000_000, 5_000_000]),
        ("10 triệu 8%", [10_000_000]),
        ("10 triệu 0011001234567", [10_000_000]),
        ("ba trăm nghìn", [300_000]),
        ("mười lăm triệu đồng", [15_000_000]),
        ("hai tỷ rưỡi", [2_500_000_000]),
        ("9999999999999 đồng", [MOST_AMOUNT]),
    ],
)
def test_amounts(query: str, values: list[int | None]) -> None:
    assert read(query) == values


@pytest.mark.parametrize(
    "query",
    [
        "1,500 triệu",  # 1.5 million or 1,500
        "10tr50",  # 10.5 million or 10,050,000
        "1 triệu 5 lần",
        "1 triệu hai",
        "1 triệu hai lần",
        "1,5 tỷ 200 triệu",
        "1,5tr5",
        "1 triệu 200 triệu",
        "1,2,3 triệu",
        "số tiền 5 củ",
        "amount 1m5",
        "số tiền 12,34",
        "3 x 500.000đ",
        "từ 2 đến 3 triệu",
        "50% của 3 triệu",
        "2/3 số tiền 3 triệu",
        "1 triệu rười",
        "nửa triệu",
        "10 trảm nghìn",
        "trăm nghìn",
        "triệu rưỡi",
        "500k/giờ",
        "2 triệu x3",
        "ba tram nghin",
        "muoi lam trieu",
        "5-10 triệu",
        "1 500 000 đ",
        "tháng 6 500 nghìn",
        "99999 tỷ",
        "10000000000000 đồng",
        "0 triệu",
        "1,2345678 triệu",
        "1.5 đồng",
        "hai triệu năm",
        "hai triệu năm trăm",
    ],
)
def test_an_amount_that_can_be_read_in_two_ways_has_no_value(query: str) -> None:
    assert read(query) == [None]


@pytest.mark.parametrize(
    "query",
    [
        "",
        "0011001234567",
        "STK 1012345678 VND",
        "MST 0123456789",
        "0123456789 đ",
        "5 ngân hàng",
        "5 ngan hang",
        "2 ti vi",
        "1 tí",
        "3 nghiền",
        "500 USD",
        "$500",
        "10 million USD",
        "5 tỷ đô",
        "500000 d",
        "2 dong",
        "3 dòng",
        "5 MB",
        "8%",
        "-500k",
        "x -500k",
        "10.5.1",
        "1.500",
        "15/07/2026",
        "10 giờ",
        "10trx",
        "5000 dong2",
        "tám giờ",
        "trăm",
        "năm nay",
        "gửi 10.000 cái",
        "gửi 1.500x",
        "viet nam ty gia",
        "trong nam ty le",
        "5-10",
    ],
)
def test_no_amount(query: str) -> None:
    assert read(query) == []


def dotted(number: int) -> str:
    return f"{number:,}".replace(",", ".")


def forms(number: int) -> list[str]:
    """Ways to write an amount of whole thousands."""
    ways = [
        f"{number} đồng",
        f"{number}đ",
        f"{number:,} VND",
        f"{dotted(number)} đồng",
        f"{dotted(number)}đ",
        f"VND {number:,}",
        f"số tiền {number}",
        f"{number // 1000}k",
        f"{number // 1000} nghìn",
        f"{number // 1000} ngan",
    ]
    if number % 100_000 == 0 and number >= 1_000_000:
        whole, tenth = divmod(number // 100_000, 10)
        ways += [
            f"{whole},{tenth} triệu",
            f"{whole}.{tenth}tr",
            f"{whole}tr{tenth}",
            f"{whole} triệu {tenth}",
        ]
        ways += [f"{whole} triệu {tenth}00 nghìn", f"{whole}tr{tenth}00"]
        if tenth == 5:
            ways.append(f"{whole} triệu rưỡi")
    if number % 1_000_000 == 0:
        ways += [f"{number // 1_000_000} triệu", f"{number // 1_000_000} million VND"]
    return ways


@given(st.integers(1, 99_999_999) | st.integers(10, 9_999).map(lambda tenths: tenths * 100), st.data())
def test_an_amount_comes_back_in_whichever_form_it_is_written(thousands: int, data: st.DataObject) -> None:
    number = thousands * 1000
    form = data.draw(st.sampled_from(forms(number)))
    query = data.draw(
        st.sampled_from(["{}", "chuyển {} cho An", "hết {}.", "({})", "a\n{}\nb", "tổng cộng: {}, nhé"])
    )
    assert read(query.format(form)) == [number]
    assert read(unicodedata.normalize("NFD", query.format(form.upper()))) == [number]


@given(st.integers(1000, MOST_AMOUNT))
def test_an_amount_in_words_comes_back_or_is_reported(number: int) -> None:
    words = IN_WORDS(number, "VND")
    two_ways = number >= 1_000_000 and number % 1000 > 0 and number % 1_000_000 < 1000
    assert read(words) == [None if two_ways else number]


@pytest.mark.parametrize(
    ("words", "value"),
    [
        ("một triệu tư", None),
        ("hai mươi tư nghìn", 24_000),
        ("hai mươi nghìn", 20_000),
        ("chín mươi chín triệu", 99_000_000),
        ("mười nghìn", 10_000),
        ("một trăm linh tư nghìn", 104_000),
        ("một nghìn hai trăm tỷ", 1_200_000_000_000),
        ("năm nghìn năm trăm", 5_500),
        ("năm nghìn năm", None),
        ("một nghìn một nghìn", None),
        ("không trăm nghìn", None),
        ("mốt trăm nghìn", None),
        ("một trăm mười mười nghìn", None),
        ("năm mười triệu", None),
        ("mười mươi nghìn", None),
        ("mười trăm nghìn", None),
        ("mười không nghìn", 10_000),
        ("hai mươi mười nghìn", None),
        ("mốt mươi nghìn", None),
        ("hai rưỡi", None),
        ("không nghìn", None),
        ("triệu tỷ", None),
        ("tỷ", None),
        ("một trăm lẻ", None),
        ("một tỷ mốt triệu", None),
        ("hai mươi ba bốn nghìn", None),
        ("một " * 41 + "nghìn", None),
    ],
)
def test_names_of_numbers(words: str, value: int | None) -> None:
    assert value_of(words.split()) == value


def test_words_are_not_read_beside_marks_that_nothing_takes_up() -> None:
    assert read("x\u0489 ba trăm nghìn") == [None]


@given(st.text(alphabet=st.characters(exclude_categories=["Nd"]), max_size=80))
def test_no_amount_without_digits_or_number_words(query: str) -> None:
    if not any(scale in text_of(query).folded for scale in ("nghin", "ngan", "trieu", "ty", "ti")):
        assert read(query) == []


@given(st.text(alphabet="0123456789 .,-/trkđtyỷiệurưỡinghì", max_size=60))
def test_amounts_stand_where_they_are_said_to_and_never_overlap(query: str) -> None:
    text = text_of(query)
    end = 0
    for one in amounts(text):
        assert end <= one.span.start < one.span.end <= len(text.folded)
        end = one.span.end
        assert one.value is None or 0 < one.value <= MOST_AMOUNT
