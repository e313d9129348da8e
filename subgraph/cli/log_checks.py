"""Examining the whole audit log at the command line."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from subgraph.audit.findings import Finding
from subgraph.audit.verification import Verification
from subgraph.cli.audit import read_file
from subgraph.cli.catalogue import AsJson
from subgraph.cli.output import say, say_json
from subgraph.cli.session import REFUSED, with_service
from subgraph.principal import Principal
from subgraph.service import Service

_PROGRESS_ENTRIES = 100_000


def verify(
    since: Annotated[
        list[Path] | None,
        typer.Option("--since", metavar="FILE", help="A signed checkpoint that was kept; repeatable."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Read the whole log, and hold it to every checkpoint that was kept, and to those given."""
    notes = [(str(path), read_file(path).decode("utf-8", "replace")) for path in since or ()]

    async def work(service: Service, principal: Principal) -> Verification:
        return await service.audit_trail.verify(principal, notes, _tell)

    result = with_service(work)
    if as_json:
        say_json({
            "ok": result.ok,
            "size": result.size,
            "entries": result.entries,
            "dropped": result.dropped,
            "checkpoints": result.checkpoints,
            "seconds": round(result.seconds, 3),
            "findings": list(map(_fields, result.findings)),
        })  # fmt: skip
    else:
        dropped = f", {result.dropped:,} of them dropped but for their hashes" if result.dropped else ""
        say(
            f"{_counted(result.size, 'entry', 'entries')}{dropped}, held to "
            f"{_counted(result.checkpoints, 'signed checkpoint', 'signed checkpoints')} "
            f"in {result.seconds:.1f} s"
        )
        _show(result.findings, "the log is what was signed")
    _end(result.findings)


def fsck(as_json: AsJson = False) -> None:
    """Check that columns, counts, triggers and rights of the log are what they must be."""

    async def work(service: Service, principal: Principal) -> tuple[Finding, ...]:
        return await service.audit_trail.check_structure(principal)

    findings = with_service(work)
    if as_json:
        say_json({"ok": not findings, "findings": list(map(_fields, findings))})
    else:
        _show(findings, "the log's tables agree, and are protected")
    _end(findings)


def _show(findings: Sequence[Finding], well: str) -> None:
    for each in findings:
        # One line each: a name in a column that was changed could pass for a verdict of ours.
        say(f"{each.code.value}: {' '.join(each.message.splitlines())}")
    say(_counted(len(findings), "finding", "findings") if findings else f"ok: {well}")


def _counted(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"


def _end(findings: Sequence[Finding]) -> None:
    raise typer.Exit(REFUSED if findings else 0)


def _fields(finding: Finding) -> dict[str, object]:
    return {
        "code": finding.code.value,
        "message": finding.message,
        "first_seq": finding.first_seq,
        "last_seq": finding.last_seq,
    }


def _tell(done: int, size: int) -> None:
    if sys.stderr.isatty() and size >= _PROGRESS_ENTRIES:
        end = "\n" if done >= size else ""
        sys.stderr.write(f"\r{done:,} of {size:,}{end}")
