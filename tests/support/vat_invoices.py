"""What vn-vat-invoice should come to, computed in other ways than the skill does.

Amounts by `decimal` from the request as it was sent, a reader of Vietnamese numbers, the elements of the tax
authority's format as a table; and requests to compare with.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Any, NamedTuple
from xml.etree import ElementTree

from hypothesis import strategies as st

from tests.support.parity import SKILLS, compact
from tests.support.toolchain import Answer

SKILL = SKILLS / "cyberskill-vn" / "vn-vat-invoice"
NAMESPACE = "{urn:vn:gdt:v3}"

EXACT = Context(prec=80)
RATES = {"0%": Decimal(0), "5%": Decimal("0.05"), "8%": Decimal("0.08"), "10%": Decimal("0.1")}
DIGITS = ("không", "một", "hai", "ba", "bốn", "năm", "sáu", "bảy", "tám", "chín")
NUMBERS = dict(zip(DIGITS, range(10), strict=True)) | {"mốt": 1, "tư": 4, "lăm": 5}
WRONG_WORDS = re.compile(
    r"mươi (một|bốn|năm)\b|(mười|lẻ|trăm) (mốt|tư)\b|(lẻ|trăm) lăm|mười năm|lẻ (không|mười)|không mươi"
    r"|trăm (một|hai|ba|bốn|năm|sáu|bảy|tám|chín)\b(?! mươi)"
)


SELLER, BUYER = "0100109106", "0100233488"
SIMPLE: dict[str, Any] = {"seller_mst": SELLER, "issue_date": "2026-11-20", "output": "json"}
GDT: dict[str, Any] = {
    **SIMPLE,
    "profile": "gdt",
    "serial": "C26TAA",
    "number": "1",
    "seller": {"name": "Công ty TNHH Ví Dụ", "address": "1 Phố Ví Dụ"},
}
HOSTILE_NAMES = [
    "<>&\"'", "]]>", "a\r\nb\rc\nd\te", " blanks ", "👩‍💻🇻🇳", "Ho\u0301a đơn", "Hóa đơn", "&amp;&#13;",
    "<!--", "<?xml?>", "\u00a0\u2028\u2029\ufeff\ufffd", "\U0010ffff\ue000", "\x7f\x85\x9f",
]  # fmt: skip


Both = Callable[[str], Answer]


def output(both: Both, request: dict[str, Any]) -> dict[str, Any]:
    answer = both(compact(request))
    assert answer.ok, answer.text
    parsed: dict[str, Any] = json.loads(answer.text, parse_float=Decimal)
    return parsed


def xml_of(answer: dict[str, Any]) -> ElementTree.Element:
    return ElementTree.fromstring(answer["xml"].encode())  # noqa: S314 - our own


def texts(root: ElementTree.Element, path: str) -> list[str]:
    namespace = NAMESPACE if root.tag.startswith("{") else ""
    return [
        found.text or "" for found in root.findall("/".join(namespace + name for name in path.split("/")))
    ]


def codes(answer: dict[str, Any]) -> list[tuple[str, str | None]]:
    return [(warning["code"], warning["field"]) for warning in answer["warnings"]]


class Sums(NamedTuple):
    """Amount and tax of each rate, and all discounts."""

    rates: dict[str, tuple[Decimal, Decimal]]
    discount: Decimal

    @property
    def amount(self) -> Decimal:
        return sum((amount for amount, _ in self.rates.values()), Decimal(0))

    @property
    def tax(self) -> Decimal:
        return sum((tax for _, tax in self.rates.values()), Decimal(0))


def label_of(rate: object) -> str:
    """The label of a rate as a request gives it."""
    named = (isinstance(rate, str) and rate[0] not in "0123456789") or str(rate).endswith("%")
    return str(rate) if named else next(label for label, value in RATES.items() if value == _number(rate))


def expected_sums(request: dict[str, Any], rounding: str) -> Sums:
    """Compute the sums of a request that has them."""
    unit = Decimal(1) if request.get("currency", "VND") == "VND" else Decimal("0.01")
    amounts: dict[str, list[Decimal]] = defaultdict(list)
    discounts = Decimal(0)
    for line in request["lines"]:
        kind = line.get("kind", "goods")
        if kind in ("note", "promotion"):
            continue
        gross = _near(EXACT.multiply(_number(line["qty"]), _number(line["unit_price"])), unit)
        discount = _near(_number(line.get("discount", 0)), unit)
        if "discount_rate" in line:
            discount = _near(EXACT.multiply(gross, _number(line["discount_rate"])), unit)
        amounts[label_of(line["tax_rate"])].append(-gross if kind == "discount" else gross - discount)
        discounts += gross if kind == "discount" else discount
    sums = {}
    for label, parts in amounts.items():
        rate = Decimal(label[5:10]) / 100 if label.startswith("KHAC:") else RATES.get(label, Decimal(0))
        taxed = parts if rounding == "line" else [sum(parts, Decimal(0))]
        tax = sum((_near(EXACT.multiply(part, rate), unit) for part in taxed), Decimal(0))
        sums[label] = (sum(parts, Decimal(0)), tax)
    return Sums(sums, discounts)


def _number(value: object) -> Decimal:
    return Decimal(str(value))


def _near(value: Decimal, unit: Decimal) -> Decimal:
    return value.quantize(unit, rounding=ROUND_HALF_UP, context=EXACT)


def read_words(text: str) -> Decimal:
    """Read an amount in words back; raises where a word does not belong."""
    assert text[0].isupper()
    assert not WRONG_WORDS.search(text.lower()), text
    words, _, unit = text.lower().rpartition(" ")
    assert unit == "đồng" or (len(unit) == 3 and text.endswith(unit.upper()))
    whole, comma, hundredths = words.partition(" phẩy ")
    number = Decimal(_read(whole.split()))
    if not comma:
        return number
    assert unit != "đồng"
    tens = hundredths.split()
    # One digit is read as two, so it starts with "không".
    assert len(tens) > 1 or tens == ["mười"]
    return number + Decimal(_read(tens)) / 100


def _read(words: list[str]) -> int:
    billions = thousands = group = digit = 0
    for word in words:
        if word in NUMBERS:
            digit = NUMBERS[word]
        elif word == "lẻ":
            assert not digit
        elif word == "mười":
            group += 10
        elif word in ("trăm", "mươi"):
            group, digit = group + digit * (100 if word == "trăm" else 10), 0
        elif word in ("nghìn", "triệu"):
            thousands += (group + digit) * (1000 if word == "nghìn" else 1_000_000)
            group = digit = 0
        else:
            assert word == "tỷ"
            assert not billions
            billions, thousands, group, digit = (thousands + group + digit) * 10**9, 0, 0, 0
    return billions + thousands + group + digit


def line(
    item: str = "Tư vấn", qty: Any = 1, price: Any = 1000000, rate: Any = 0.1, **more: Any
) -> dict[str, Any]:
    """A line of a request."""
    return {"item": item, "qty": qty, "unit_price": price, "tax_rate": rate, **more}


XML_CHARACTERS = st.characters(
    codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="\ufffe\uffff"
)
NAMES = st.sampled_from(HOSTILE_NAMES) | st.text(XML_CHARACTERS, min_size=1, max_size=20)
RATE_INPUTS = st.sampled_from(
    [0, 0.05, 0.08, 0.1, "0%", "8%", "10%", "KCT", "KKKNT", "KHAC:07.00%", "KHAC:03.53%", "0.05"]
)
QUANTITIES = st.decimals(0, 10_000, places=3) | st.integers(0, 50).map(Decimal)
PRICES = st.decimals(0, 10_000_000, places=6) | st.integers(0, 200).map(Decimal)
FRACTIONS = st.decimals(0, "0.999999", places=6)


@st.composite
def invoice_lines(draw: st.DrawFn) -> dict[str, Any]:
    """Lines of every kind; discounts are small, so that most invoices can be written."""
    kind = draw(st.sampled_from(["goods"] * 4 + ["special", "promotion", "discount", "note"]))
    named = {"item": draw(NAMES), "kind": kind}
    if draw(st.booleans()):
        named["code"] = draw(NAMES)
    if kind == "note":
        return named
    given_line = {
        **named,
        "qty": str(draw(QUANTITIES)),
        "unit_price": str(draw(PRICES)),
        "tax_rate": draw(RATE_INPUTS),
    }
    if kind == "discount":
        given_line |= {"qty": "1", "unit_price": draw(st.sampled_from(["1", "14", "0.5"]))}
    elif kind != "promotion" and draw(st.booleans()):
        given_line |= draw(
            st.fixed_dictionaries({"discount_rate": FRACTIONS.map(str)})
            | st.fixed_dictionaries({"discount": st.sampled_from(["0", "0.5", "1", "0.005"])})
        )
    return given_line


@st.composite
def invoices(draw: st.DrawFn, profile: str) -> dict[str, Any]:
    """Requests whose answer is JSON."""
    request: dict[str, Any] = {**(GDT if profile == "gdt" else SIMPLE)}
    request["lines"] = draw(st.lists(invoice_lines(), min_size=1, max_size=6))
    request["rounding"] = draw(st.sampled_from(["line", "rate_group"]))
    if draw(st.booleans()):
        request |= {"currency": "USD", "exchange_rate": str(draw(st.decimals("0.01", "99999.99", places=2)))}
    if draw(st.booleans()):
        request |= {"buyer_mst": BUYER, "buyer": {"name": draw(NAMES), "address": draw(NAMES)}}
    return request


# As the facts about the format have it: `?` may be absent, `*` may be there any number of times. What stands
# in brackets there, or is for a buyer who has it, is `?` here.
GDT_TREE = {
    "HDon": "DLHDon DLQRCode? MCCQT? DSCKS",
    "HDon/DLHDon": "TTChung NDHDon TTKhac?",
    "HDon/DLHDon/TTChung": (
        "PBan THDon KHMSHDon KHHDon SHDon MHSo? NLap HDCTTChinh SBKe? NBKe? DVTTe TGia? HTTToan MSTTCGP "
        "TTHDLQuan? TTKhac?"
    ),
    "HDon/DLHDon/NDHDon": "NBan NMua DSHHDVu TToan",
    "HDon/DLHDon/NDHDon/NBan": (
        "Ten MST DChi MCHang? TCHang? SDThoai? DCTDTu? STKNHang? TNHang? Fax? Website?"
    ),
    "HDon/DLHDon/NDHDon/NMua": (
        "Ten? MST? MDVQHNSach? DChi? MKHang? SDThoai? CCCDan? SHChieu? DCTDTu? HVTNMHang? STKNHang? TNHang?"
    ),
    "HDon/DLHDon/NDHDon/DSHHDVu": "HHDVu*",
    "HDon/DLHDon/NDHDon/DSHHDVu/HHDVu": (
        "TChat STT MHHDVu? THHDVu DVTinh? SLuong? DGia? TLCKhau? STCKhau? ThTien? TSuat?"
    ),
    "HDon/DLHDon/NDHDon/TToan": (
        "THTTLTSuat TgTCThue TGTKCThue? TgTThue DSLPhi? TTCKTMai? TGTKhac? TgTTTBSo TgTTTBChu"
    ),
    "HDon/DLHDon/NDHDon/TToan/THTTLTSuat": "LTSuat*",
    "HDon/DLHDon/NDHDon/TToan/THTTLTSuat/LTSuat": "TSuat ThTien TThue",
    "HDon/DSCKS": "NBan NMua? CQT? CCKSKhac?",
}
GDT_LENGTHS = {
    "PBan": 6, "THDon": 100, "KHMSHDon": 1, "KHHDon": 6, "SHDon": 8, "DVTTe": 3, "HTTToan": 50, "MSTTCGP": 14,
    "Ten": 400, "MST": 14, "DChi": 400, "CCCDan": 12, "MHHDVu": 50, "THHDVu": 500, "DVTinh": 50, "TSuat": 11,
    "TgTTTBChu": 255,
}  # fmt: skip
GDT_NUMBERS = {
    "TGia": (7, 2), "SLuong": (21, 6), "DGia": (21, 6), "TLCKhau": (6, 4), "STCKhau": (21, 6),
    "ThTien": (21, 6), "TThue": (21, 6), "TgTCThue": (21, 6), "TgTThue": (21, 6), "TTCKTMai": (21, 6),
    "TgTTTBSo": (21, 6),
}  # fmt: skip


def check_gdt(root: ElementTree.Element) -> None:
    """Hold a document to the tree: every element in its place, of its length, and nothing else."""
    assert root.tag == "HDon"
    _check_element(root, "HDon")


def _check_element(element: ElementTree.Element, path: str) -> None:
    assert element.attrib.keys() == ({"Id"} if element.tag == "DLHDon" else set())
    if path not in GDT_TREE:
        assert len(element) == 0, path
        _check_text(element.tag, element.text or "")
        return
    pattern = re.sub(r"(\w+)", r"(?:\1 )", GDT_TREE[path]).replace(" (", "(")
    names = "".join(f"{child.tag} " for child in element)
    assert re.fullmatch(pattern, names), f"{path}: {names}"
    assert not (element.text or "").strip()
    for child in element:
        _check_element(child, f"{path}/{child.tag}")


def _check_text(name: str, text: str) -> None:
    if name in GDT_NUMBERS:
        digits, places = GDT_NUMBERS[name]
        found = re.fullmatch(r"(0|[1-9]\d*)(?:\.(\d*[1-9]))?", text, re.ASCII)
        assert found, f"{name}: {text}"
        assert len(found[2] or "") <= places
        assert len(found[1]) <= digits - places
    else:
        assert len(text) <= GDT_LENGTHS.get(name, 400), f"{name}: {text}"
