"""Write a Vietnamese VAT invoice (hóa đơn giá trị gia tăng) as XML: the reference of this skill.

Reads the input as JSON from standard input and writes the answer to standard output. An input that cannot be
read ends with exit code 1 and a message on standard error. For every input the compiled skill gives the same
bytes, so a change here is a change in src/index.ts.
"""

from __future__ import annotations

import sys

sys.dont_write_bytecode = True  # a cache beside the script would be a change of the skill

from gdt_profile import gdt_xml
from invoice import Invoice, invoice_of
from invoice_rates import AS_OF
from invoice_refusals import Refused, refused
from invoice_request import MAX_CHARACTERS, Request, read_request
from invoice_totals import money_text
from simple_profile import simple_xml
from skill_host import FileError, write_file
from skill_input import dump, run_as_filter

VERIFY = "A draft by the rules as of 2026-11-20; confirm rates, tax codes and format with the tax authority."


def run(text: str) -> str:
    """Answer one request, JSON text to XML or JSON text; raises InputInvalidError."""
    request = read_request(text)
    try:
        return _answer(request)
    except Refused as error:
        refusal = {"ok": False, "reason": error.reason, "message": error.message, "field": error.field}
        return dump({**refusal, "as_of": AS_OF, "verify": VERIFY})


def _answer(request: Request) -> str:
    invoice = invoice_of(request)
    document = gdt_xml(invoice) if request.profile == "gdt" else simple_xml(invoice, VERIFY)
    # A script's line end after its answer is no part of it to a host, so the answer has none.
    xml = document.rstrip("\n")
    if request.output_path is not None:
        _write(request.output_path, xml)
    if request.output == "xml":
        return xml
    return dump(
        {
            "ok": True,
            "profile": request.profile,
            "rounding": request.rounding,
            "draft": True,
            "totals": _totals_of(invoice),
            "warnings": [warning._asdict() for warning in invoice.warnings],
            "as_of": AS_OF,
            "verify": VERIFY,
            "xml": xml,
            "written": request.output_path,
        }
    )


def _totals_of(invoice: Invoice) -> dict[str, object]:
    figures, currency = invoice.figures, invoice.request.currency

    def number(amount: int) -> int | float:
        # JavaScript writes whole numbers without a point.
        text = money_text(amount, currency)
        return float(text) if "." in text else int(text)

    return {
        "currency": currency,
        "amount": number(figures.amount),
        "tax": number(figures.tax),
        "discount": number(figures.discount),
        "grand_total": number(figures.grand),
        "in_words": invoice.in_words,
        "by_rate": [
            {"tax_rate": label, "amount": number(amount), "tax": number(tax)}
            for label, amount, tax in figures.rates
        ],
    }


def _write(path: str, xml: str) -> None:
    try:
        write_file(path, xml)
    except FileError:
        # The host's text is for the skill, not for its caller.
        raise refused("not_written", "output_path") from None


if __name__ == "__main__":
    sys.exit(run_as_filter(run, MAX_CHARACTERS))
