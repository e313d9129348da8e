"""The invoices of a directory: which count, which are left out and why.

The twin of `src/collect.ts`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from elements import FileFault
from filing_period import Period
from gdt_profile import invoice_in, read_gdt
from invoice import Invoice
from refusals import RefusedError
from simple_profile import read_simple
from skill_host import FileError, list_dir, read_file
from skill_xml_reader import XmlRefusedError, local_name, read_xml
from tax_code import recognise

MAX_FILES = 10_000
"""Each takes a call of the host, of which a run has 20,000; a directory that it lists has as many names."""

MAX_BYTES = 1024 * 1024
"""Bytes of one file: an invoice of some 4,000 lines."""


class Entry:
    """A file and what was found in it: an invoice, or why there is none."""

    __slots__ = ("fault", "file", "invoice", "replaced")

    def __init__(self, file: str, invoice: Invoice | None, fault: FileFault | None) -> None:
        self.file = file
        self.invoice = invoice
        self.fault = fault
        self.replaced = False


class Listing(NamedTuple):
    """The files of a directory; `ignored` are names that are no `.xml`."""

    entries: list[Entry]
    ignored: list[str]


def read_directory(directory: str) -> Listing:
    """Read every invoice of a directory in the order of the names."""
    try:
        listed = list_dir(directory or ".")
    except FileError:
        raise RefusedError("directory_unreadable") from None
    files = [name for name in listed if _is_invoice(name)]
    if len(files) > MAX_FILES:
        raise RefusedError("too_many_files")
    prefix = f"{directory}/" if directory else ""
    return Listing(
        [_read_entry(file, prefix + file) for file in files],
        [name for name in listed if not _is_invoice(name)],
    )


def _is_invoice(name: str) -> bool:
    return name[-4:].lower() == ".xml" and not name.startswith(".")


def _read_entry(file: str, path: str) -> Entry:
    try:
        return Entry(file, _read_invoice(path), None)
    except FileFault as fault:
        return Entry(file, None, fault.with_traceback(None))
    except XmlRefusedError as error:
        return Entry(file, None, FileFault(f"xml_{error.code}"))


def _read_invoice(path: str) -> Invoice:
    try:
        text = read_file(path)
    except FileError:
        raise FileFault("unreadable") from None
    root = read_xml(text, MAX_BYTES)
    return read_simple(root) if local_name(root) == "Invoice" else read_gdt(invoice_in(root))


def common_parties(entries: Iterable[Entry]) -> list[str]:
    """Return the tax codes that are party to every invoice."""
    common: dict[str, None] | None = None
    for entry in entries:
        if entry.invoice is None:
            continue
        parties = dict.fromkeys(
            mst for mst in (entry.invoice.seller.mst, entry.invoice.buyer.mst) if mst is not None
        )
        kept = parties if common is None else [mst for mst in parties if mst in common]
        common = dict.fromkeys(kept)
    # A buyer abroad may have a code of another form, which is not the taxpayer's.
    return [mst for mst in common or {} if not isinstance(recognise(mst), str)]


def names_two(invoice: Invoice) -> bool:
    """Tell whether both parties are named: the seller alone does not tell whose invoice it is."""
    buyer = invoice.buyer.mst
    return buyer is not None and buyer != invoice.seller.mst and not isinstance(recognise(buyer), str)


def sift(entries: list[Entry], taxpayer: str, period: Period) -> None:
    """Mark what does not count for this taxpayer and period."""
    known: set[str] = set()
    for entry in entries:
        invoice = entry.invoice
        if invoice is None:
            continue
        parties = (invoice.seller.mst == taxpayer) + (invoice.buyer.mst == taxpayer)
        if parties == 0:
            entry.fault = FileFault("taxpayer_not_a_party")
        elif parties == 2:
            entry.fault = FileFault("seller_is_buyer")
        elif invoice.date < period.first:
            entry.fault = FileFault("date_before_period")
        elif invoice.date > period.last:
            entry.fault = FileFault("date_after_period")
        elif invoice.identity is not None and invoice.identity in known:
            entry.fault = FileFault("duplicate")
        elif invoice.identity is not None:
            known.add(invoice.identity)
    _mark_replaced(entries)


def _mark_replaced(entries: list[Entry]) -> None:
    """Take replaced invoices out.

    Those that replace each other in a circle are refused: one of them is wrong.
    """
    by_identity: dict[str, Entry] = {}
    replaced_ones: set[str] = set()
    for entry, invoice in counted(entries):
        if invoice.identity is not None:
            by_identity[invoice.identity] = entry
        if invoice.replaces is None:
            continue
        if invoice.replaces in replaced_ones:
            entry.fault = FileFault("replaced_already")
        else:
            replaced_ones.add(invoice.replaces)
    in_circles = {entry.file: entry for entry, _ in counted(entries)}
    for last in list(in_circles.values()):
        if last.invoice is None or last.invoice.identity in replaced_ones:
            continue
        # From one that nothing replaces back to the first of its line.
        earlier: Entry | None = last
        while earlier is not None and earlier.invoice is not None:
            in_circles.pop(earlier.file, None)
            earlier = by_identity.get(earlier.invoice.replaces or "")
            if earlier is None or earlier.fault is not None:
                break
            earlier.replaced = True
    for entry in in_circles.values():
        entry.fault = FileFault("replaced_in_a_circle")


def counted(entries: Iterable[Entry]) -> list[tuple[Entry, Invoice]]:
    """Return the files that count, with their invoices."""
    return [
        (entry, entry.invoice)
        for entry in entries
        if entry.invoice is not None and entry.fault is None and not entry.replaced
    ]
