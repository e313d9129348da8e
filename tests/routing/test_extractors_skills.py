"""What `extract` gives for each skill, and that the skill takes it."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subgraph.catalog.manifest import parse_manifest
from subgraph.routing.extractors import (
    EXTRACTORS_VERSION,
    extract,
    has_extractor,
    to_input,
)
from subgraph.routing.extractors.questions import question_for
from subgraph.routing.extractors.skills import EXTRACTORS
from subgraph.routing.folding import QUERY_LIMIT
from tests.support.parity import SKILLS, Reference

VN = SKILLS / "cyberskill-vn"
PAYLOAD = "00020101021238540010A00000072701240006970422011009888888880208QRIBFTTA53037045802VN6304494A"


@pytest.fixture(scope="module")
def references(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Reference]:
    workspace = tmp_path_factory.mktemp("workspace")
    return {name: Reference(VN / name, workspace) for name in EXTRACTORS}


FILLED: dict[str, dict[str, object]] = {
    "vn-mst-validate": {"mst": "0100109106"},
    "vn-bank-transfer": {"bank": "VCB", "account": "0011001234567"},
    "vneid-integration": {"cccd": "079203012345"},
    "vn-tax-filing": {"period": "2026-Q2", "invoices_dir": "invoices"},
    "vn-vat-invoice": {"seller_mst": "0100109106", "item": "x", "amount_vnd": 1000, "tax_rate": "8%"},
}
"""What a user could answer for every field that a skill needs."""


def completed(skill: str, query: str) -> dict[str, object]:
    """The input of a skill after the user has answered what is missing or unclear."""
    found = extract(skill, query)
    arguments = dict(found.arguments)
    needed = (*found.missing, *(name for name in found.ambiguous if name in FILLED[skill]))
    if skill == "vn-bank-transfer" and "card" in found.ambiguous:
        needed = (*needed, "account")
    for name in needed:
        if name != "decode":
            arguments[name] = FILLED[skill][name]
    return to_input(skill, arguments or FILLED[skill])


CASES = [
    (
        "vn-mst-validate",
        "kiểm tra MST 0123456789-001",
        {"mst": "0123456789-001"},
        (),
        (),
    ),
    ("vn-mst-validate", "kiểm tra 079203012345", {"mst": "079203012345"}, (), ()),
    ("vn-mst-validate", "MST 0100109106 hay 0100233488", {}, (), ("mst",)),
    ("vn-mst-validate", "MST 0100109106 001", {}, (), ("mst",)),
    ("vn-mst-validate", "kiểm tra 079203012345 với 001199000001", {}, (), ("mst",)),
    ("vn-mst-validate", "kiểm tra mã số thuế", {}, ("mst",), ()),
    (
        "vn-vat-invoice",
        "tạo hoá đơn cho ACME, MST 0123456789, số tiền 10 triệu",
        {"mst": "0123456789", "amount_vnd": 10_000_000},
        ("seller_mst", "item", "tax_rate"),
        (),
    ),
    (
        "vn-vat-invoice",
        "hóa đơn 8%, bên mua 0100109106, bên bán 0100233488, mặt hàng: Tư vấn, giá trị 1,5 tỷ, 15/07/2026",
        {
            "mst": "0100109106",
            "seller_mst": "0100233488",
            "amount_vnd": 1_500_000_000,
            "tax_rate": "8%",
            "item": "Tư vấn",
            "issue_date": "2026-07-15",
        },
        (),
        (),
    ),
    (
        "vn-vat-invoice",
        "hóa đơn 5 triệu và 7 triệu, VAT 8% hay VAT 10%",
        {},
        ("seller_mst", "item"),
        ("amount_vnd", "tax_rate"),
    ),
    ("vn-vat-invoice", "5 triệu đã bao gồm VAT", {}, ("seller_mst", "item", "tax_rate"), ("amount_vnd",)),
    ("vn-vat-invoice", "tiền thuế 5 triệu", {}, ("seller_mst", "item", "tax_rate"), ("amount_vnd",)),
    (
        "vn-vat-invoice",
        "thay thế hóa đơn số 0000123 ngày 01/02/2026, lập 20/11/2026",
        {"issue_date": "2026-11-20"},
        ("seller_mst", "item", "amount_vnd", "tax_rate"),
        (),
    ),
    ("vn-vat-invoice", "VAT 7%", {}, ("seller_mst", "item", "amount_vnd"), ("tax_rate",)),
    (
        "vn-vat-invoice",
        "MST 0100109106, MST 0100233488",
        {},
        ("seller_mst", "item", "amount_vnd", "tax_rate"),
        ("mst",),
    ),
    (
        "vn-bank-transfer",
        "chuyển 10tr5 cho An, stk 1012345678 VCB nội dung tiền nhà tháng 6",
        {"bank": "VCB", "account": "1012345678", "amount_vnd": 10_500_000, "memo": "tiền nhà tháng 6"},
        (),
        (),
    ),
    (
        "vn-bank-transfer",
        "500k vào thẻ 9704 3612 3456 7890 Vietcombank",
        {"bank": "VCB", "card": "9704361234567890", "amount_vnd": 500_000},
        (),
        (),
    ),
    ("vn-bank-transfer", "9704361234567890 VCB", {"bank": "VCB"}, (), ("account",)),
    (
        "vn-bank-transfer",
        "VCB stk 123456 hoặc thẻ 9704 3612 3456 7890",
        {"bank": "VCB"},
        (),
        ("account",),
    ),
    (
        "vn-bank-transfer",
        "VCB, 9704 3612 3456 7890 và 9704 3612 3456 7891",
        {"bank": "VCB"},
        (),
        ("card",),
    ),
    ("vn-bank-transfer", "BVB stk 123456", {"account": "123456"}, (), ("bank",)),
    ("vn-bank-transfer", "VCB hoặc BVB stk 123456", {"account": "123456"}, (), ("bank",)),
    ("vn-bank-transfer", "VCB hay ACB stk 123456", {"account": "123456"}, (), ("bank",)),
    (
        "vn-bank-transfer",
        "chuyển 500000 vào VCB stk 0011001234567",
        {"bank": "VCB", "account": "0011001234567"},
        (),
        ("amount_vnd",),
    ),
    (
        "vn-bank-transfer",
        "VCB stk 0011001234567, 5-10 triệu",
        {"bank": "VCB", "account": "0011001234567"},
        (),
        ("amount_vnd",),
    ),
    (
        "vn-bank-transfer",
        "VCB stk 0011001234567 ngày 15/07/2026",
        {"bank": "VCB", "account": "0011001234567"},
        (),
        (),
    ),
    (
        "vn-bank-transfer",
        "VCB stk 0011001234567 năm 2026, 1.500 cái",
        {"bank": "VCB", "account": "0011001234567"},
        (),
        ("amount_vnd",),
    ),
    (
        "vn-bank-transfer",
        "VCB stk 0011001234567 năm 2026",
        {"bank": "VCB", "account": "0011001234567"},
        (),
        (),
    ),
    (
        "vn-bank-transfer",
        "số tiền 500k VCB 0011001234567",
        {"bank": "VCB", "account": "0011001234567", "amount_vnd": 500_000},
        (),
        (),
    ),
    (
        "vn-bank-transfer",
        "ck 300 vcb 0011001234567",
        {"bank": "VCB", "account": "0011001234567"},
        (),
        ("amount_vnd",),
    ),
    (
        "vn-bank-transfer",
        "chuyển khoản Napas 24/7, VCB 0011001234567",
        {"bank": "VCB", "account": "0011001234567"},
        (),
        (),
    ),
    ("vn-bank-transfer", "làm mã QR", {}, ("bank", "account"), ()),
    ("vn-bank-transfer", "giải mã VietQR này", {}, ("decode",), ()),
    ("vn-bank-transfer", f"decode {PAYLOAD}", {"decode": PAYLOAD}, (), ()),
    (
        "vneid-integration",
        "CCCD 079203012345 sinh ngày 15/07/2003",
        {"cccd": "079203012345", "date_of_birth": "2003-07-15"},
        (),
        (),
    ),
    (
        "vneid-integration",
        "CCCD 079203012345, cấp 01/01/2021, sinh 15/07/2003",
        {"cccd": "079203012345", "date_of_birth": "2003-07-15"},
        (),
        (),
    ),
    (
        "vneid-integration",
        "CCCD 079203012345, cấp 01/01/2021, hết hạn 15/07/2030",
        {"cccd": "079203012345"},
        (),
        (),
    ),
    ("vneid-integration", "CCCD 079203012345, lúc 31/02/2026", {"cccd": "079203012345"}, (), ()),
    (
        "vneid-integration",
        "CCCD 079203012345, sinh 31/02/2003",
        {"cccd": "079203012345"},
        (),
        ("date_of_birth",),
    ),
    ("vneid-integration", "CCCD 079203012345 cấp ngày 10/05/2021", {"cccd": "079203012345"}, (), ()),
    ("vneid-integration", "079203012345 hay 001199000001", {}, (), ("cccd",)),
    (
        "vn-tax-filing",
        "kê khai thuế quý 2/2026 cho MST 0100109106, thư mục invoices/2026-Q2/",
        {"period": "2026-Q2", "taxpayer_mst": "0100109106", "invoices_dir": "invoices/2026-Q2/"},
        (),
        (),
    ),
    ("vn-tax-filing", "kê khai thuế tháng 6", {}, ("period", "invoices_dir"), ()),
    ("vn-tax-filing", "từ tháng 4 đến tháng 6/2026", {}, ("invoices_dir",), ("period",)),
    ("vn-tax-filing", "quý 2/2026, thư mục ./returns/", {"period": "2026-Q2"}, ("invoices_dir",), ()),
    ("vn-tax-filing", "quý 5/2026", {}, ("period", "invoices_dir"), ()),
]


@pytest.mark.parametrize(("skill", "query", "arguments", "missing", "ambiguous"), CASES)
def test_arguments_of_a_skill(
    skill: str, query: str, arguments: dict[str, object], missing: tuple[str, ...], ambiguous: tuple[str, ...]
) -> None:
    for form in (query, unicodedata.normalize("NFD", query), query.replace(" ", "\u00a0")):
        found = extract(skill, form)
        assert (dict(found.arguments), found.missing, found.ambiguous) == (arguments, missing, ambiguous)
        assert (found.question is None) is (not missing and not ambiguous)


FRAGMENTS = st.sampled_from(
    [
        *("MST 0123456789", "0100109106-001", "bên bán 0100233488", "CCCD 079203012345", "001199000001"),
        *("stk 0011001234567", "stk VQR12ab", "0988888888", "9704 3612 3456 7890", "thẻ 9704361234567890123"),
        *("VCB", "ngân hàng Quân đội", "BVB", "970436", "từ ACB", "IBK-HCM", "Co-opBank"),
        *(
            "10 triệu",
            "1,5 tỷ",
            "500k",
            "10tr50",
            "99999 tỷ",
            "9999999999999 đồng",
            "1 đồng",
            "ba trăm nghìn",
        ),
        *("8%", "VAT 10", "KCT", "KKKNT", "VAT 7%", "quý 2/2026", "tháng 6", "2026-06", "T1/1900"),
        *(
            "15/07/2003",
            "sinh 01/01/1900",
            "31/02/2026",
            "thư mục hoá_đơn/Q2",
            "./a/./b",
            "./a",
            "a/b/",
            "folder x",
        ),
        *("nội dung: ăn trưa 🍜", "mặt hàng: Bút \u200b bi", "nội dung " + "x" * 600, PAYLOAD, "0002010102"),
        *("kiểm tra", "giải mã", "và", ",", "\n", "\x00", "\ud7ff", "\ufffe"),
    ]
)


@settings(max_examples=400)
@given(st.sampled_from(sorted(EXTRACTORS)), st.lists(FRAGMENTS | st.text(max_size=12), max_size=8))
def test_a_skill_takes_what_was_extracted(
    references: dict[str, Reference], skill: str, fragments: list[str]
) -> None:
    answer = references[skill].call(json.dumps(completed(skill, " ".join(fragments))))
    assert not answer.text.startswith(("input_invalid", "bank_")), answer.text


@settings(max_examples=200)
@given(st.sampled_from(sorted(EXTRACTORS)), st.text(max_size=120))
def test_a_field_is_found_or_missing_or_ambiguous_and_asked_for(skill: str, query: str) -> None:
    found = extract(skill, query)
    assert found == extract(skill, query)
    names = [*found.arguments, *found.missing, *found.ambiguous]
    assert len(names) == len(set(names))
    assert (found.question is None) is (not found.missing and not found.ambiguous)


def documented_as_required(skill: str) -> set[str]:
    """Fields that a skill's input tables call required."""
    text = (VN / skill / "SKILL.md").read_text(encoding="utf-8")
    table = text.split("\n## Input", 1)[1].split("\n## Output", 1)[0]
    rows = [line.split("|") for line in table.splitlines() if line.startswith("| `")]
    names = [row[1] for row in rows if "required" in row[2] and "required" not in row[3]]
    return {name.strip(" `") for cell in names for name in cell.split(",")}


@pytest.mark.parametrize("skill", sorted(EXTRACTORS))
def test_what_is_missing_from_an_empty_query_is_what_the_skill_requires(skill: str) -> None:
    missing = set(extract(skill, "").missing)
    if skill == "vn-vat-invoice":
        # Its document names the amount so; `to_input` makes a line of it, with a quantity of one.
        assert missing == {"seller_mst", "item", "amount_vnd", "tax_rate"}
        missing = missing - {"amount_vnd"} | {"unit_price", "qty", "lines"}
    if skill == "vn-bank-transfer":
        # One of account and card, says the table, without the word.
        missing -= {"account"}
    assert missing == documented_as_required(skill)


def test_questions_are_in_the_language_of_the_query() -> None:
    vietnamese = extract("vn-mst-validate", "kiem tra ma so thue").question
    assert vietnamese == "Xin cho biết: mã số thuế (10 chữ số, hoặc 13 với mã chi nhánh)."
    english = extract("vn-mst-validate", "check a tax code").question
    assert english == "Please give: the tax code (10 digits, or 13 with a branch)."
    both = extract("vn-bank-transfer", "QR for BVB").question
    assert both is not None
    assert both.startswith("Please give: ")
    assert " Please make clear: the receiving bank" in both
    assert question_for((), (), vietnamese=True) is None


def test_a_question_never_repeats_what_the_query_said() -> None:
    question = extract("vneid-integration", "CCCD 079203012345 hay 001199000001").question
    assert question is not None
    assert "079203012345" not in question


def test_an_invoice_is_one_line_and_a_buyer() -> None:
    arguments = {
        "mst": "0100109106",
        "seller_mst": "0100233488",
        "amount_vnd": 1000,
        "item": "Tư vấn",
        "tax_rate": "KCT",
        "issue_date": "2026-07-15",
    }
    assert to_input("cyberskill-vn/vn-vat-invoice", arguments) == {
        "buyer_mst": "0100109106",
        "seller_mst": "0100233488",
        "lines": [{"qty": 1, "item": "Tư vấn", "unit_price": 1000, "tax_rate": "KCT"}],
        "issue_date": "2026-07-15",
    }
    assert to_input("vn-vat-invoice", {}) == {}
    assert to_input("vn-mst-validate", {"mst": "x"}) == {"mst": "x"}


def test_a_text_skill_gets_the_query() -> None:
    found = extract("cuo/cpo/prd-author", unicodedata.normalize("NFD", " viết PRD \n"))
    assert found == ({"query": "viết PRD"}, (), (), None)
    assert len(str(extract("prd-author", "x " * QUERY_LIMIT).arguments["query"])) < QUERY_LIMIT
    assert not has_extractor("prd-author")
    assert has_extractor("cyberskill-vn/vn-mst-validate")


def test_every_skill_that_is_extracted_for_exists_and_is_executable() -> None:
    for name in EXTRACTORS:
        manifest, _ = parse_manifest((VN / name / "SKILL.md").read_bytes())
        assert "cyberos-script" in manifest.metadata
    executable = {path.parents[1].name for path in VN.glob("*/src/index.ts")}
    assert set(EXTRACTORS) == executable


def test_the_version_tells_the_table_of_banks() -> None:
    number, _, banks = EXTRACTORS_VERSION.partition("+banks.")
    assert number.isdigit()
    assert len(banks) == 12


def test_arguments_cannot_be_changed() -> None:
    found = extract("vn-mst-validate", "MST 0100109106")
    with pytest.raises(TypeError):
        found.arguments["mst"] = "x"  # type: ignore[index]


def test_nothing_is_read_from_files_when_a_query_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a file was opened")

    monkeypatch.setattr(Path, "open", refuse)
    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert extract("vn-bank-transfer", "VCB 0011001234567").arguments["bank"] == "VCB"
