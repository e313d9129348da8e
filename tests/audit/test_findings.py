"""What is found is listed within bounds."""

from __future__ import annotations

from subgraph.audit.findings import MAX_FINDINGS, Findings
from subgraph.audit.findings import FindingCode as Code


def test_findings_are_bounded_and_those_that_adjoin_are_one() -> None:
    findings = Findings()
    for seq in range(3 * MAX_FINDINGS):
        findings.add(Code.ENTRY_CHANGED, "changed.", 2 * seq, 2 * seq)
    listed = findings.listed()
    assert len(listed) == MAX_FINDINGS + 1
    assert listed[-1].code is Code.MORE
    assert listed[-1].message.startswith("2000 ")
    findings = Findings()
    for first, last in ((5, 9), (0, 4), (10, 10)):
        findings.add(Code.ENTRY_CHANGED, "changed.", first, last)
    (only,) = findings.listed()
    assert (only.first_seq, only.last_seq, only.message) == (0, 10, "Entries 0 to 10: changed.")
