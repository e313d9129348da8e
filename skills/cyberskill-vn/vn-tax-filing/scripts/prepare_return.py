"""Prepare a VAT return (01/GTGT) from the invoices of a period: the reference implementation of this skill.

Reads the input as JSON from standard input and writes the answer as JSON to standard output. An input that
cannot be read ends with exit code 1 and a message on standard error. For every input the compiled skill
gives the same bytes, so a change here is a change in src/. It submits nothing.
"""

from __future__ import annotations

import sys

sys.dont_write_bytecode = True  # a cache beside the script would be a change of the skill

from collect import Listing, common_parties, counted, names_two, read_directory, sift
from filing_period import Deadline, deadline_of, form_for
from indicators import indicators_of
from refusals import REFUSALS, RefusedError
from request import MAX_CHARACTERS, Request, read_request
from return_xml import Taxpayer, return_xml
from review import Counted, Facts, Sums, not_ready_because, sums_of, warnings_of
from skill_host import FileError, write_file
from skill_input import dump, run_as_filter
from tax_code import AS_OF, normalized, recognise

VERIFY = (
    "A draft for a person to review: rates, deductibility, deadline and form are to be checked against the "
    "rules in force, and signatures with their issuers."
)
READY = "human review then upload to https://thuedientu.gdt.gov.vn"
NOT_READY = (
    "mend what not_ready_because names, prepare the return again, then human review; "
    "nothing is submitted here"
)
MOST = 2**53 - 1
"""The largest number of JSON that every reader takes exactly."""


def run(text: str) -> str:
    """Answer one request, JSON text to JSON text; raises InputInvalidError."""
    request = read_request(text)
    try:
        return dump(prepare(request))
    except RefusedError as refused:
        reason = refused.reason
        answer = {"ok": False, "reason": reason, "message": REFUSALS[reason], **refused.more}
        return dump({**answer, "as_of": AS_OF, "verify": VERIFY})


def prepare(request: Request) -> dict[str, object]:
    """Answer one request; raises RefusedError."""
    given = None if request.taxpayer_mst is None else given_taxpayer(request.taxpayer_mst)
    listing = read_directory(request.directory)
    mst = given or inferred_taxpayer(listing)
    sift(listing.entries, mst, request.period)
    skipped = skipped_of(listing)
    if request.refuse_bad_files and skipped:
        raise RefusedError("files_refused", {"skipped": skipped})

    invoices = counted(listing.entries)
    # Of an invoice with both parties and the one that replaces it without, the latter alone counts.
    if given is None and invoices and not any(names_two(invoice) for _, invoice in invoices):
        raise RefusedError("taxpayer_unknown", {"candidates": [mst]})
    sums = sums_of(invoices, mst)
    taxpayer = named(request, mst, invoices)
    indicators = checked(request, sums)
    xml = return_xml(request, taxpayer, indicators)
    deadline = deadline_of(request.period)
    facts = Facts(request, listing, invoices, sums, taxpayer, indicators, deadline, len(skipped))
    not_ready = not_ready_because(facts)
    if request.write:
        write(request.target, xml)
    return {
        "period": request.period.text,
        "output_vat_total": indicators["ct35"],
        "input_vat_total": indicators["ct25"],
        "net_vat_due": indicators["ct40"],
        "gdt_xml_path": request.return_path if request.write else None,
        "ready_for_submission": not not_ready,
        "next_action": NOT_READY if not_ready else READY,
        "not_ready_because": not_ready,
        "taxpayer": {**taxpayer._asdict(), "inferred": given is None},
        "form_version": form_for(request.period)[0],
        "indicators": indicators,
        "deadline": deadline_answer(deadline),
        "counts": counts_of(listing, invoices, sums, len(skipped)),
        "skipped": skipped,
        "replaced": [entry.file for entry in listing.entries if entry.replaced],
        "ignored": listing.ignored,
        "warnings": warnings_of(facts),
        **({} if request.write else {"gdt_xml": xml}),
        "as_of": AS_OF,
        "verify": VERIFY,
    }


def given_taxpayer(text: str) -> str:
    """Return the tax code that the input states."""
    code = recognise(text)
    if isinstance(code, str):
        raise RefusedError("taxpayer_mst_invalid")
    return normalized(code)


def inferred_taxpayer(listing: Listing) -> str:
    """Return the one tax code that is party to every invoice."""
    candidates = common_parties(listing.entries)
    told = any(entry.invoice is not None and names_two(entry.invoice) for entry in listing.entries)
    if len(candidates) != 1 or not told:
        raise RefusedError("taxpayer_unknown", {"candidates": candidates})
    return candidates[0]


def skipped_of(listing: Listing) -> list[dict[str, object]]:
    """Name the files that do not count, and why."""
    return [
        {
            "file": entry.file,
            "reason": entry.fault.reason,
            **({} if entry.fault.field is None else {"field": entry.fault.field}),
        }
        for entry in listing.entries
        if entry.fault is not None
    ]


def named(request: Request, mst: str, invoices: Counted) -> Taxpayer:
    """Return the taxpayer with what is given, or what the first invoice has that bears a name."""
    parties = (invoice.seller if invoice.seller.mst == mst else invoice.buyer for _, invoice in invoices)
    party = next((party for party in parties if party.name is not None), None)
    name = request.name if request.name is not None or party is None else party.name
    address = request.address if request.address is not None or party is None else party.address
    return Taxpayer(mst, name, address)


def checked(request: Request, sums: Sums) -> dict[str, int]:
    """Compute the indicators, and refuse what the form does not allow."""
    amount, tax = request.imports
    ct24 = sums.input_tax + tax
    indicators = indicators_of(
        {
            **sums.rows,
            "ct21": int(request.no_activity),
            "ct22": request.carried_in or 0,
            "ct23": sums.input_amount + amount,
            "ct24": ct24,
            "ct23a": amount,
            "ct24a": tax,
            "ct25": ct24 if request.deductible is None else request.deductible,
            "ct37": request.adjust_down,
            "ct38": request.adjust_up,
            "ct39a": request.other_deducted,
            "ct40b": request.investment_offset,
            "ct42": request.refund,
        }
    )
    if any(abs(value) > MOST for value in indicators.values()):
        raise RefusedError("total_too_large")
    if indicators["ct40b"] > indicators["ct40a"]:
        raise RefusedError("investment_offset_too_large")
    if indicators["ct42"] > indicators["ct41"]:
        raise RefusedError("refund_too_large")
    return indicators


def write(path: str, xml: str) -> None:
    """Write the return."""
    try:
        write_file(path, xml)
    except FileError:
        raise RefusedError("return_not_written") from None


def deadline_answer(deadline: Deadline) -> dict[str, object]:
    """Give the last day for filing."""
    moved = {} if deadline.moved_from is None else {"moved_from": deadline.moved_from}
    return {"date": deadline.date, "rule": deadline.rule, **moved}


def counts_of(listing: Listing, invoices: Counted, sums: Sums, skipped: int) -> dict[str, int]:
    """Count the files."""
    return {
        "files": len(listing.entries),
        "counted": len(invoices),
        "sales": sums.sales,
        "purchases": len(invoices) - sums.sales,
        "drafts": sum(invoice.draft for _, invoice in invoices),
        "adjustments": sum(invoice.adjusts for _, invoice in invoices),
        "replaced": len(listing.entries) - len(invoices) - skipped,
        "skipped": skipped,
        "ignored": len(listing.ignored),
    }


if __name__ == "__main__":
    sys.exit(run_as_filter(run, MAX_CHARACTERS))
