"""What to ask a person for, in Vietnamese or English."""

from __future__ import annotations

_ASKED = {
    "mst": ("mã số thuế (10 chữ số, hoặc 13 với mã chi nhánh)",
    "the tax code (10 digits, or 13 with a branch)"),
    "cccd": ("số căn cước công dân (12 chữ số, viết liền)", "the citizen ID (12 digits, without blanks)"),
    "bank": ("ngân hàng nhận (tên, mã hoặc BIN)", "the receiving bank (name, code or BIN)"),
    "account": ("số tài khoản hoặc số thẻ nhận (viết liền)",
    "the receiving account or card (without blanks)"),
    "card": ("đó là số thẻ hay số tài khoản", "whether the number is a card or an account"),
    "amount_vnd": (
        "số tiền bằng đồng (của hóa đơn: trước thuế)", "the amount in đồng (of an invoice: before tax)",
    ),
    "memo": ("nội dung chuyển khoản", "the memo"),
    "decode": ("chuỗi VietQR cần đọc", "the VietQR string to read"),
    "date_of_birth": ("ngày sinh (ngày/tháng/năm)", "the date of birth (day/month/year)"),
    "seller_mst": ("mã số thuế bên bán", "the seller's tax code"),
    "item": ("tên hàng hóa hoặc dịch vụ", "what was sold"),
    "tax_rate": ("thuế suất (0%, 5%, 8%, 10%, KCT hoặc KKKNT)",
    "the VAT rate (0%, 5%, 8%, 10%, KCT or KKKNT)"),
    "issue_date": ("ngày lập hóa đơn (ngày/tháng/năm)", "the day of the invoice (day/month/year)"),
    "period": ("kỳ khai thuế có năm (ví dụ quý 2/2026 hoặc tháng 6/2026)",
    "the period with its year (such as Q2/2026 or June 2026)"),
    "invoices_dir": ("thư mục chứa hóa đơn (đường dẫn tương đối)",
    "the directory of the invoices (a relative path)"),
    "taxpayer_mst": ("mã số thuế người nộp thuế", "the taxpayer's tax code"),
}  # fmt: skip


def question_for(missing: tuple[str, ...], ambiguous: tuple[str, ...], *, vietnamese: bool) -> str | None:
    """Return one question for all that is missing or can be read in two ways; None if nothing is."""
    column = 0 if vietnamese else 1
    sentences = []
    if missing:
        names = "; ".join(_ASKED[name][column] for name in missing)
        sentences.append(f"Xin cho biết: {names}." if vietnamese else f"Please give: {names}.")
    if ambiguous:
        names = "; ".join(_ASKED[name][column] for name in ambiguous)
        sentences.append(f"Xin nói rõ: {names}." if vietnamese else f"Please make clear: {names}.")
    return " ".join(sentences) or None
