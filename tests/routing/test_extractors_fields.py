"""Each kind of thing that is read, by tables of examples."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subgraph.routing.extractors.accounts import accounts
from subgraph.routing.extractors.amounts import amounts
from subgraph.routing.extractors.banks import banks
from subgraph.routing.extractors.cccd import citizen_ids
from subgraph.routing.extractors.days import days
from subgraph.routing.extractors.memos import MOST_TEXT, directories, items, memos, vietqr
from subgraph.routing.extractors.mst import TaxCodes, tax_codes
from subgraph.routing.extractors.periods import periods
from subgraph.routing.extractors.rates import rates
from subgraph.routing.extractors.text import text_of
from tests.support.parity import SKILLS

TABLE = json.loads((SKILLS / "cyberskill-vn" / "vn-bank-transfer" / "assets" / "banks.json").read_text())[
    "banks"
]
PAYLOAD = (
    "00020101021238540010A00000072701240006970436011010123456780208QRIBFTTA53037045405500005802VN6304860C"
)


@pytest.mark.parametrize(
    ("query", "own"),
    [
        ("MST 0123456789", ("0123456789",)),
        ("0123456789", ("0123456789",)),
        ("0123456789-001", ("0123456789-001",)),
        ("mst: 0123456789001.", ("0123456789001",)),
        ("mã số thuế \uff10\uff11\uff12\uff13\uff14\uff15\uff16\uff17\uff18\uff19", ("0123456789",)),
        (unicodedata.normalize("NFD", "Mã số thuế 0123456789"), ("0123456789",)),
        ("ma so thue 079203012345", ("079203012345",)),
        ("MST 0123456789, MST 0123456789", ("0123456789",)),
        ("MST 0123456789 và 0100109106", ("0123456789", "0100109106")),
        ("0123456789 hoặc 0100109106", ("0123456789", "0100109106")),
        ("MST 0123456789, còn 0100109106 thì không", ("0123456789",)),
        ("079203012345", ()),
        ("01234567890", ()),
        ("012345678", ()),
        ("x0123456789", ()),
        ("0123456789-0015", ()),
        ("0123456789-001-1", ()),
        ("+0123456789", ()),
        ("0123.456.789", ()),
        ("SĐT 0912345678", ()),
        ("CCCD 0123456789", ()),
        ("STK 0123456789", ()),
        ("đơn hàng 0123456789", ()),
        ("", ()),
    ],
)
def test_tax_codes(query: str, own: tuple[str, ...]) -> None:
    codes = tax_codes(text_of(query))
    assert (codes.own, codes.seller, codes.buyer, codes.unclear) == (own, (), (), False)


def test_tax_codes_belong_to_parties() -> None:
    codes = tax_codes(text_of("bên bán MST 0100109106, bên mua 0100233488, MST 0300588569"))
    assert codes[:4] == TaxCodes(("0300588569",), ("0100109106",), ("0100233488",), False, ())[:4]


@pytest.mark.parametrize("query", ["MST 0100109106 001", "MST 012 0100109106", "MST 0100109106 0100233488"])
def test_digits_one_blank_beside_a_tax_code_make_it_unclear(query: str) -> None:
    assert tax_codes(text_of(query)).unclear


def test_a_short_number_beside_a_tax_code_does_not_matter() -> None:
    assert not tax_codes(text_of("MST 0100109106 3 giờ")).unclear


@pytest.mark.parametrize(
    ("query", "values"),
    [
        ("CCCD 079203012345", ("079203012345",)),
        ("079203012345", ("079203012345",)),
        ("căn cước sinh viên 079203012345", ("079203012345",)),
        ("can cuoc 079203012345, so khac 001199000001", ("079203012345",)),
        ("079203012345 001199000001", ("079203012345", "001199000001")),
        ("CMND 024123456", ()),
        ("MST 079203012345", ()),
        ("stk 079203012345", ()),
        ("0792030123456", ()),
        ("079 203 012 345", ()),
    ],
)
def test_citizen_ids(query: str, values: tuple[str, ...]) -> None:
    assert citizen_ids(text_of(query)).values == values


@pytest.mark.parametrize(
    ("query", "numbers", "cards"),
    [
        ("stk 0011001234567", ("0011001234567",), ()),
        ("0011001234567", ("0011001234567",), ()),
        ("tài khoản của An: 0011001234567", ("0011001234567",), ()),
        ("account 123456, số khác 654321", ("123456",), ()),
        ("STK VQR0001ABC", ("VQR0001ABC",), ()),
        ("tk 19033Abc", ("19033Abc",), ()),
        ("thẻ 9704 3612 3456 7890", (), ("9704361234567890",)),
        ("9704-3612-3456-7890-123", (), ("9704361234567890123",)),
        ("số thẻ 9704361234567890", (), ("9704361234567890",)),
        ("số thẻ 97043612345", ("97043612345",), ()),
        ("stk 12345", (), ()),
        ("12345678901234567890", (), ()),
        ("SĐT 0912345678", (), ()),
        ("MST 0123456789", (), ()),
        ("stk abcdef", (), ()),
        ("9704 3612 3456 7890 1", (), ()),
        ("1 9704 3612 3456 7890", (), ()),
        ("stk 0011001234567 và 123456", ("0011001234567", "123456"), ()),
    ],
)
def test_accounts(query: str, numbers: tuple[str, ...], cards: tuple[str, ...]) -> None:
    found = accounts(text_of(query))
    assert (found.accounts, found.cards) == (numbers, cards)


@pytest.mark.parametrize(
    ("query", "unclear"),
    [
        ("stk 0011001234567", False),
        ("9704361234567890", True),
        ("stk 9704361234567890", False),
        ("stk 001100 1234567", True),
        ("stk 0011001234567 12", False),
    ],
)
def test_an_account_may_be_something_else(query: str, unclear: bool) -> None:
    assert accounts(text_of(query)).unclear is unclear


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row["code"])
def test_every_bank_of_the_table_is_found_by_each_of_its_names(row: dict[str, str]) -> None:
    for name in (row["code"], row["name"], row["bin"], *row["aliases"]):
        assert banks(text_of(f"gửi vào {name} nhé")).codes == (row["code"],), name
        assert banks(text_of(f"ngân hàng {name.lower()}")).codes == (row["code"],), name


@pytest.mark.parametrize(
    ("query", "codes"),
    [
        ("ngân hàng Ngoại thương", ("VCB",)),
        ("ngan hang tmcp ky thuong", ("TCB",)),
        ("NH Á Châu", ("ACB",)),
        ("Ngân hàng Sài Gòn - Hà Nội", ("SHB",)),
        ("ngân hàng Nông nghiệp", ("VBA",)),
        ("Nam A Bank", ("NAB",)),
        ("standard chartered", ("SCVN",)),
        ("Viet A Bank", ("VAB",)),
        ("vietcom", ("VCB",)),
        ("từ Techcombank sang VCB", ("VCB",)),
        ("from my account VCB to ACB", ("ACB",)),
        ("từ VCB", ("VCB",)),
        ("VCB hay ACB", ("VCB", "ACB")),
        ("VCB, vietcombank", ("VCB",)),
        ("MB 0988888888", ("MB",)),
        ("0988888888 MB", ("MB",)),
        ("vào mb", ("MB",)),
        ("tệp 5 MB", ()),
        ("5MB", ()),
        ("tệp 5mb", ()),
        ("mb", ()),
        ("a cake", ()),
        ("Cake", ("CAKE",)),
        ("A CB", ()),
        ("Kỹ thương", ()),
        ("v i b", ()),
        ("viet, bank", ("VIETBANK",)),
        ("viet , - bank", ()),
        ("ngân hàng máu", ()),
        ("", ()),
    ],
)
def test_banks(query: str, codes: tuple[str, ...]) -> None:
    found = banks(text_of(query))
    assert (found.codes, found.unclear) == (codes, False)


def test_a_code_of_two_banks_is_unclear() -> None:
    assert banks(text_of("BVB 123456")).unclear


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("8%", ("8%",)),
        ("VAT 10%", ("10%",)),
        ("10,00%", ("10%",)),
        ("thuế suất 10", ("10%",)),
        ("thue suat la 8", ("8%",)),
        ("vat 5, nhé", ("5%",)),
        ("8 phần trăm", ("8%",)),
        ("08%", ("8%",)),
        ("KCT", ("KCT",)),
        ("hàng không chịu thuế", ("KCT",)),
        ("không kê khai", ("KKKNT",)),
        ("VAT 10% hoặc 8%", ("10%",)),
        ("8% hay 10%", ("8%", "10%")),
        ("thuế suất 8% và thuế suất 10%", ("8%", "10%")),
        ("VAT 7%", (None,)),
        ("7% VAT", (None,)),
        ("tổng 5 gồm 10% thuế", ("10%",)),
        ("thuế suất 7", (None,)),
        ("7%", ()),
        ("giảm 10%", ()),
        ("đặt cọc 5%", ()),
        ("chiết khấu 5%, VAT 8%", ("8%",)),
        ("vat 10 triệu", ()),
        ("vat 100", ()),
        ("110%", ()),
        ("1.5%", ()),
        ("", ()),
    ],
)
def test_rates(query: str, found: tuple[str | None, ...]) -> None:
    assert rates(text_of(query)) == found


@pytest.mark.parametrize(
    ("query", "values"),
    [
        ("15/07/2026", ["2026-07-15"]),
        ("5-7-2026", ["2026-07-05"]),
        ("05.07.2026", ["2026-07-05"]),
        ("2026-07-15", ["2026-07-15"]),
        ("ngày 15 tháng 7 năm 2026", ["2026-07-15"]),
        ("15 thang 7, 2026", ["2026-07-15"]),
        ("mùng 5 tháng 7 2026", ["2026-07-05"]),
        ("15th of July, 2026", ["2026-07-15"]),
        ("July 15, 2026", ["2026-07-15"]),
        ("Sept 1st 2026", ["2026-09-01"]),
        ("31/02/2026", [None]),
        ("07/15/2026", [None]),
        ("15/07/1899", [None]),
        ("15/07/0000", [None]),
        ("15/07/2026 và 16/07/2026", ["2026-07-15", "2026-07-16"]),
        ("15/07", []),
        ("15/07-2026", []),
        ("1/15/07/2026", []),
        ("15/07/2026/1", []),
        ("tháng 7 năm 2026", []),
        ("", []),
    ],
)
def test_days(query: str, values: list[str | None]) -> None:
    assert [day.value for day in days(text_of(query))] == values


def test_a_day_is_a_date_of_birth_where_it_is_called_so() -> None:
    assert [day.birth for day in days(text_of("sinh ngày 15/07/2003, lập ngày 20/11/2026"))] == [True, False]


@given(st.dates(min_value=__import__("datetime").date(1900, 1, 1)))
def test_a_day_comes_back_in_each_form(day: object) -> None:
    assert hasattr(day, "isoformat")
    year, month, number = (int(part) for part in day.isoformat().split("-"))
    for form in (
        f"{number:02d}/{month:02d}/{year}",
        f"{number}-{month}-{year}",
        f"{year}-{month:02d}-{number:02d}",
        f"ngày {number} tháng {month} năm {year}",
    ):
        assert [one.value for one in days(text_of(f"vào {form}, nhé"))] == [day.isoformat()]


@pytest.mark.parametrize(
    ("query", "values"),
    [
        ("quý 2/2026", ["2026-Q2"]),
        ("Quí II năm 2026", ["2026-Q2"]),
        ("quy 4 2026", ["2026-Q4"]),
        ("qúy 4 2026", ["2026-Q4"]),
        ("quý ba của năm 2026", ["2026-Q3"]),
        ("Q2 2026", ["2026-Q2"]),
        ("2026-Q2", ["2026-Q2"]),
        ("2026Q2", []),
        ("second quarter of 2026", ["2026-Q2"]),
        ("quarter 1, 2026", ["2026-Q1"]),
        ("tháng 6/2026", ["2026-06"]),
        ("thang 12 nam 2026", ["2026-12"]),
        ("T6/2026", ["2026-06"]),
        ("06/2026", ["2026-06"]),
        ("2026-06", ["2026-06"]),
        ("June 2026", ["2026-06"]),
        ("tháng 4/2026 đến tháng 6/2026", ["2026-04", "2026-06"]),
        ("quý 2", [None]),
        ("Q2", [None]),
        ("first quarter", [None]),
        ("tháng 6", [None]),
        ("quý 2/26", []),
        ("quý 5/2026", [None]),
        ("tháng 13/2026", []),
        ("quỹ 2 2026", []),
        ("thắng 2 2026", []),
        ("T6", []),
        ("t 6/2026", []),
        ("may", []),
        ("quarterly", []),
        ("quý khách", []),
        ("15/06/2026", []),
        ("tháng 62026", []),
        ("", []),
    ],
)
def test_periods(query: str, values: list[str | None]) -> None:
    assert [one.value for one in periods(text_of(query))] == values


@pytest.mark.parametrize(
    ("query", "texts"),
    [
        ("nội dung tiền nhà tháng 6", ["tiền nhà tháng 6"]),
        ("ND: tiền cơm, stk 123456", ["tiền cơm"]),
        ("nội dung góp quỹ lớp với số tiền 5 triệu", ["góp quỹ lớp"]),
        ("memo: Refund INV-2026-014", ["Refund INV-2026-014"]),
        ('memo "a, stk 1; b" stk 2', ["a, stk 1; b"]),
        ("nội dung \u201ctiền  điện\u201d.", ["tiền điện"]),
        ('memo: "no end', ['"no end']),
        ("noi dung là x", ["x"]),
        ("nội dung: ", []),
        ("message me", []),
        ("note: x\nstk 2", ["x"]),
        ("nội dung a; nội dung b", ["a", "b"]),
        ("memorial", []),
        ("memo a\u202eb\x08c\ufffe\ud800d", ["a b c d"]),
        ("memo \U0001f469\u200d\U0001f4bb", ["\U0001f469\u200d\U0001f4bb"]),
        (f"memo {'x' * 600}", ["x" * MOST_TEXT]),
    ],
)
def test_memos(query: str, texts: list[str]) -> None:
    assert [memo.value for memo in memos(text_of(query))] == texts


@pytest.mark.parametrize(
    ("query", "texts"),
    [
        ("mặt hàng: Tư vấn, MST 0123456789", ["Tư vấn"]),
        ("item: Consulting", ["Consulting"]),
        ("this item costs", []),
    ],
)
def test_items(query: str, texts: list[str]) -> None:
    assert [item.value for item in items(text_of(query))] == texts


@pytest.mark.parametrize(
    ("query", "paths"),
    [
        ("./invoices/2026-Q2/", ["./invoices/2026-Q2/"]),
        ("in invoices/2026-Q2.", ["invoices/2026-Q2"]),
        ("thư mục hoá_đơn/Q2", ["hoá_đơn/Q2"]),
        ('folder "inv"', ["inv"]),
        ("from a/b/", ["a/b/"]),
        ("dir a or directory b", ["a", "b"]),
        ("và/hoặc", []),
        ("15/07/2026", []),
        ("../invoices/x", []),
        ("./a/../b", []),
        ("/etc/passwd/", []),
        ("folder ../x", []),
        ("folder 12", []),
        ("folder " + "/".join(["x" * 99] * 6), []),
        ("./x/./y", ["./x/./y"]),
    ],
)
def test_directories(query: str, paths: list[str]) -> None:
    assert [path.value for path in directories(text_of(query))] == paths


@pytest.mark.parametrize(
    ("query", "code"),
    [
        (f"decode {PAYLOAD} please", PAYLOAD),
        (f"{PAYLOAD}.", PAYLOAD),
        ("000201010212 cut off", "000201010212"),
        ("000201010212", "000201010212"),
        ("0002011 Thanh toan 63044253 x", "0002011 Thanh toan 63044253"),
        ("000201" + "1" * 600, "000201" + "1" * 506),
        ("000201", None),
        ("1000201xx", None),
        ("", None),
    ],
)
def test_vietqr_strings(query: str, code: str | None) -> None:
    found = vietqr(text_of(query))
    assert (found.value if found is not None else None) == code


@given(st.text(alphabet=st.characters(exclude_categories=["Nd"]), max_size=80))
def test_no_numbers_are_found_in_text_without_digits(query: str) -> None:
    text = text_of(query)
    codes = tax_codes(text)
    assert not (*codes.own, *codes.seller, *codes.buyer)
    assert citizen_ids(text).values == ()
    assert accounts(text)[:2] == ((), ())
    assert days(text) == []


@given(st.text(alphabet="0123456789 -.,/đtrk", max_size=60))
def test_no_digit_is_both_an_amount_and_an_account(query: str) -> None:
    text = text_of(query)
    sums = amounts(text)
    for span in accounts(text.without(one.span for one in sums)).spans:
        assert all(span.end <= one.span.start or one.span.end <= span.start for one in sums)


@given(st.text(alphabet="0123456789", min_size=1, max_size=24))
def test_the_length_of_a_number_decides_what_it_can_be(digits: str) -> None:
    text = text_of(f"số {digits} nhé")
    codes = tax_codes(text)
    assert codes.own == ((digits,) if len(digits) in (10, 13) else ())
    assert citizen_ids(text).values == ((digits,) if len(digits) == 12 else ())
    assert accounts(text).accounts == ((digits,) if 6 <= len(digits) <= 19 else ())
