"""Generated invoices of a quarter, with the figures of the return that they make.

The figures are added up here by Python's `decimal`, from what the generator decided and not from what it
wrote, so that they are independent of the skill.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import escape

from stdnum.vn import mst

PERIOD = "2026-Q2"
NAME = "Công ty TNHH Ví Dụ"
SALES = {"0%": "ct29", "5%": "ct30", "8%": "ct32", "10%": "ct32", "KCT": "ct26", "KKKNT": "ct32a"}
TAXES = {"5%": "ct31", "8%": "ct33", "10%": "ct33"}
PERCENT = {"5%": 5, "8%": 8, "10%": 10}
RATES = ("10%", "10%", "10%", "8%", "8%", "5%", "0%", "KCT", "KKKNT")
ITEMS = ("Dịch vụ tư vấn", "Phần mềm kế toán", "Máy in & mực in", "Bảo trì <thiết bị>", "Văn phòng phẩm")
REASONS = {
    "truncated": "xml_unclosed",
    "not_utf_8": "unreadable",
    "doctype": "xml_doctype",
    "entity": "xml_entity",
    "total": "totals_contradict",
    "no_date": "field_missing",
    "early": "date_before_period",
    "stranger": "taxpayer_not_a_party",
    "empty": "xml_unclosed",
    "twice": "field_repeated",
}
"""What the skill says of each kind of damage."""

KINDS = tuple(REASONS)


def tax_code(serial: int) -> str:
    """A tax code that fits its check digit; serials are those of no one in particular."""
    while True:
        digits = f"09{serial:07}"
        due = str(mst.calc_check_digit(digits))
        if len(due) == 1:
            return digits + due
        serial += 1


TAXPAYER = tax_code(12_345)
PARTNERS = [tax_code(200 + 7 * number) for number in range(20)]
STRANGERS = tax_code(8_000_000), tax_code(8_100_000)


class Line(NamedTuple):
    """A line of an invoice."""

    item: str
    quantity: int
    price: int
    rate: str

    @property
    def amount(self) -> int:
        return self.quantity * self.price


class Made(NamedTuple):
    """A file, what is wrong with it if anything, and what it adds to the return."""

    name: str
    content: bytes
    damage: str | None
    profile: str
    draft: bool
    indicators: dict[str, int]


class Expected(NamedTuple):
    """What the return of generated invoices has."""

    indicators: dict[str, int]
    damaged: dict[str, str]
    """The reason that the skill gives, by file name, in the order of the names."""

    drafts: int
    counted: int


def generate(
    count: int, seed: int, corrupt: float = 0.0, *, profile: str | None = None, signed: bool | None = None
) -> Iterator[tuple[str, bytes]]:
    """Make invoices of about two kilobytes; that share of them is damaged, at least one if it is not 0."""
    for made in make(count, seed, corrupt, profile=profile, signed=signed):
        yield made.name, made.content


def expected(
    count: int, seed: int, corrupt: float = 0.0, *, profile: str | None = None, signed: bool | None = None
) -> Expected:
    """Tell what the return of the same invoices has."""
    sums: Counter[str] = Counter()
    damaged: dict[str, str] = {}
    drafts = counted = 0
    for made in make(count, seed, corrupt, profile=profile, signed=signed):
        if made.damage is not None:
            damaged[made.name] = REASONS[made.damage]
            continue
        counted += 1
        drafts += made.draft
        sums.update(made.indicators)
    names = [*SALES.values(), *TAXES.values(), "ct23", "ct24"]
    return Expected({name: sums[name] for name in names}, damaged, drafts, counted)


def write_invoices(
    directory: Path,
    count: int,
    seed: int,
    corrupt: float = 0.0,
    *,
    profile: str | None = None,
    signed: bool | None = None,
) -> int:
    """Write the invoices of a campaign into a directory; return their bytes."""
    directory.mkdir(parents=True, exist_ok=True)
    total = 0
    for name, content in generate(count, seed, corrupt, profile=profile, signed=signed):
        total += (directory / name).write_bytes(content)
    return total


def request(invoices_dir: str, **fields: object) -> dict[str, object]:
    """Ask for the return of generated invoices; their names do not tell the taxpayer."""
    return {
        "period": PERIOD,
        "invoices_dir": invoices_dir,
        "taxpayer_mst": TAXPAYER,
        "taxpayer_name": NAME,
        "carried_in": 0,
        **fields,
    }


def make(
    count: int, seed: int, corrupt: float, *, profile: str | None = None, signed: bool | None = None
) -> Iterator[Made]:
    """Make invoices with what is known of each."""
    choice = random.Random(seed)  # noqa: S311
    damaged = set(choice.sample(range(count), max(1, round(count * corrupt)) if corrupt else 0))
    for number in range(count):
        damage = choice.choice(KINDS) if number in damaged else None
        kind = profile or choice.choices(("gdt", "simple"), (4, 1))[0]
        is_signed = kind == "gdt" and (signed if signed is not None else choice.random() < 0.9)
        yield _invoice(choice, number, kind, is_signed, damage)


def _invoice(choice: random.Random, number: int, profile: str, signed: bool, damage: str | None) -> Made:
    sale = choice.random() < 0.5
    partner = choice.choice(PARTNERS)
    seller, buyer = (TAXPAYER, partner) if sale else (partner, TAXPAYER)
    if damage == "stranger":
        seller, buyer = STRANGERS
    lines = [
        Line(
            f"{choice.choice(ITEMS)} số {number}.{position}",
            choice.randint(1, 20),
            choice.randint(1, 999_999),
            choice.choice(RATES),
        )
        for position in range(choice.randint(1, 6))
    ]
    month, day = choice.randint(4, 6), choice.randint(1, 30)
    date = "2026-03-31" if damage == "early" else f"2026-{month:02}-{day:02}"
    writer = _gdt if profile == "gdt" else _simple
    text = writer(choice, number, seller, buyer, date, lines, signed)
    content = DAMAGE.get(damage or "", str.encode)(text)
    name = f"{number:06}-{profile}.xml"
    return Made(name, content, damage, profile, not signed, _indicators(lines, sale, profile))


def _indicators(lines: list[Line], sale: bool, profile: str) -> dict[str, int]:
    sums: Counter[str] = Counter()
    for rate, (amount, tax) in _totals(lines, profile).items():
        if sale:
            sums[SALES[rate]] += amount
            if rate in TAXES:
                sums[TAXES[rate]] += tax
        else:
            sums["ct23"] += amount
            sums["ct24"] += tax
    return dict(sums)


def _rounded(value: Decimal) -> int:
    return int(value.quantize(Decimal(1), ROUND_HALF_UP))


def _tax(amount: int, rate: str) -> int:
    return _rounded(Decimal(amount) * Decimal(PERCENT.get(rate, 0)) / 100)


def _totals(lines: list[Line], profile: str) -> dict[str, tuple[int, int]]:
    """By rate: the tax of the lines in the one profile, of their sum in the other."""
    found: dict[str, tuple[int, int]] = {}
    for line in lines:
        amount, tax = found.get(line.rate, (0, 0))
        found[line.rate] = amount + line.amount, tax + _tax(line.amount, line.rate)
    if profile == "simple":
        return found
    return {rate: (amount, _tax(amount, rate)) for rate, (amount, _) in found.items()}


def _sums(lines: list[Line], profile: str) -> tuple[int, int]:
    totals = _totals(lines, profile).values()
    return sum(amount for amount, _ in totals), sum(tax for _, tax in totals)


def _gdt(
    choice: random.Random,
    number: int,
    seller: str,
    buyer: str,
    date: str,
    lines: list[Line],
    signed: bool,
) -> str:
    amount, tax = _sums(lines, "gdt")
    goods = "".join(
        f"<HHDVu><TChat>1</TChat><STT>{position}</STT><THHDVu>{escape(line.item)}</THHDVu><DVTinh>cái</DVTinh>"
        f"<SLuong>{line.quantity}</SLuong><DGia>{line.price}</DGia><ThTien>{line.amount}</ThTien>"
        f"<TSuat>{line.rate}</TSuat></HHDVu>"
        for position, line in enumerate(lines, start=1)
    )
    rates = "".join(
        f"<LTSuat><TSuat>{rate}</TSuat><ThTien>{of_rate}</ThTien><TThue>{due}</TThue></LTSuat>"
        for rate, (of_rate, due) in _totals(lines, "gdt").items()
    )
    value = "QUJD" * 40
    signature = f"<Signature><SignatureValue>{value}</SignatureValue></Signature>" if signed else ""
    seller_name, buyer_name = (NAME if code == TAXPAYER else "Công ty TNHH Mẫu" for code in (seller, buyer))
    invoice = (
        f'<HDon><DLHDon Id="data-{number}"><TTChung><PBan>2.1.0</PBan><THDon>Hóa đơn giá trị gia tăng</THDon>'
        f"<KHMSHDon>1</KHMSHDon><KHHDon>C26TVD</KHHDon><SHDon>{number + 1}</SHDon><NLap>{date}</NLap>"
        f"<HDCTTChinh>0</HDCTTChinh><DVTTe>VND</DVTTe><TGia>1</TGia><HTTToan>TM/CK</HTTToan></TTChung><NDHDon>"
        f"<NBan><Ten>{seller_name}</Ten><MST>{seller}</MST>"
        f"<DChi>Số 1 phố Ví Dụ, Hà Nội</DChi></NBan><NMua><Ten>{buyer_name}</Ten>"
        f"<MST>{buyer}</MST><DChi>Số 2 phố Ví Dụ, Hà Nội</DChi></NMua><DSHHDVu>{goods}</DSHHDVu>"
        f"<TToan><THTTLTSuat>{rates}</THTTLTSuat><TgTCThue>{amount}</TgTCThue><TgTThue>{tax}</TgTThue>"
        f"<TgTTTBSo>{amount + tax}</TgTTTBSo><TgTTTBChu>Bằng chữ</TgTTTBChu></TToan></NDHDon></DLHDon>"
        f"<MCCQT>00{number:032}</MCCQT><DSCKS><NBan>{signature}</NBan></DSCKS></HDon>"
    )
    if choice.random() < 0.2:
        invoice = f"<TDiep><TTChung><PBan>2.1.0</PBan></TTChung><DLieu>{invoice}</DLieu></TDiep>"
    start = choice.choice(("", '<?xml version="1.0" encoding="UTF-8"?>\n', "\ufeff<?xml version='1.0'?>\r\n"))
    return start + invoice


def _simple(
    choice: random.Random,
    number: int,
    seller: str,
    buyer: str,
    date: str,
    lines: list[Line],
    signed: bool,
) -> str:
    assert not signed
    amount, tax = _sums(lines, "simple")
    goods = "".join(
        f"  <LineItem>\n    <LineNumber>{position}</LineNumber>\n    <Item>{escape(line.item)}</Item>\n"
        f"    <Quantity>{line.quantity}</Quantity>\n    <UnitPrice>{line.price}</UnitPrice>\n"
        f"    <Amount>{line.amount}</Amount>\n    <TaxRate>{line.rate}</TaxRate>\n"
        f"    <TaxAmount>{_tax(line.amount, line.rate)}</TaxAmount>\n  </LineItem>\n"
        for position, line in enumerate(lines, start=1)
    )
    rates = "".join(
        f"  <TaxTotal>\n    <TaxRate>{rate}</TaxRate>\n    <Amount>{of_rate}</Amount>\n"
        f"    <TaxAmount>{due}</TaxAmount>\n  </TaxTotal>\n"
        for rate, (of_rate, due) in _totals(lines, "simple").items()
    )
    comment = "<!-- bản nháp -->\n" if choice.random() < 0.2 else ""
    return (
        f'{comment}<Invoice xmlns="urn:vn:gdt:v3">\n  <BuyerTaxCode>{buyer}</BuyerTaxCode>\n'
        f"  <SellerTaxCode>{seller}</SellerTaxCode>\n  <InvoiceNumber>{number}</InvoiceNumber>\n"
        f"  <IssueDate>{date}</IssueDate>\n  <Currency>VND</Currency>\n{goods}{rates}"
        f"  <TotalAmount>{amount}</TotalAmount>\n  <TotalTaxAmount>{tax}</TotalTaxAmount>\n"
        f"  <GrandTotal>{amount + tax}</GrandTotal>\n  <AmountInWords>Bằng chữ</AmountInWords>\n"
        "  <Warnings/>\n</Invoice>\n"
    )


def _without(text: str, start: str, end: str) -> str:
    before, _, rest = text.partition(start)
    return before + rest.partition(end)[2]


def _wrong_total(text: str) -> str:
    name = "TgTThue" if "<TgTThue>" in text else "TotalTaxAmount"
    return text.replace(f"<{name}>", f"<{name}>9", 1)


def _dateless(text: str) -> str:
    name = "NLap" if "<NLap>" in text else "IssueDate"
    return _without(text, f"<{name}>", f"</{name}>")


def _twice(text: str) -> str:
    name = "NLap" if "<NLap>" in text else "IssueDate"
    return text.replace(f"<{name}>", f"<{name}>2026-04-01</{name}><{name}>", 1)


def _with_doctype(text: str) -> str:
    start = text.rindex("?>") + 2 if "?>" in text else 0
    document_type = '<!DOCTYPE x [<!ENTITY a "b"><!ENTITY c "&a;&a;">]>'
    return text[:start] + document_type + text[start:].removeprefix("\ufeff")


DAMAGE: dict[str, Callable[[str], bytes]] = {
    "truncated": lambda text: text[: text.index("</", len(text) // 2)].encode(),
    "not_utf_8": lambda text: text.encode().replace("đ".encode(), b"\xff", 1) + b"\xff",
    "doctype": lambda text: _with_doctype(text).encode(),
    "entity": lambda text: text.replace("Bằng chữ", "Bằng chữ &nbsp;").encode(),
    "total": lambda text: _wrong_total(text).encode(),
    "no_date": lambda text: _dateless(text).encode(),
    "twice": lambda text: _twice(text).encode(),
    "empty": lambda _: b"",
}
