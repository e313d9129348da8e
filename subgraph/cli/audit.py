"""The audit trail at the command line: what was granted, and proofs of what was recorded."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from subgraph.audit.evidence import EvidenceInvalid, verify_evidence
from subgraph.audit.notes import Verifier
from subgraph.audit_trail import Payload
from subgraph.cli.catalogue import AsJson
from subgraph.cli.decisions import parse_since
from subgraph.cli.grant_report import ReportedGrant, reported_grants, write_report
from subgraph.cli.output import say, say_json
from subgraph.cli.session import MISUSED, REFUSED, confirm, fail, with_service
from subgraph.principal import Principal
from subgraph.service import Service

app = typer.Typer(
    invoke_without_command=True,
    rich_markup_mode=None,
    help="Report what was granted; with a command, prove what was recorded.",
)

Seq = Annotated[int, typer.Argument(min=0, help="Sequence number of the entry, from 0.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]
NoteFile = Annotated[
    Path | None,
    typer.Option("--since", metavar="FILE", help="A signed checkpoint that was kept: prove growth since it."),
]


@app.callback()
def report(
    context: typer.Context,
    since: Annotated[
        str | None, typer.Option(help="Only grants since then: 30m, 24h, 7d, or a date as 2026-11-01.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Report which capabilities were granted, by whom, and whether they hold.

    A grant holds for the files that it was made for, while the skill is not revoked. The report has also
    what was taken back, and what skills declare and nobody has granted.
    """
    if context.invoked_subcommand is not None:
        return
    first = None if since is None else parse_since(since, datetime.now(UTC))

    async def work(service: Service, principal: Principal) -> list[ReportedGrant]:
        return await reported_grants(service, principal, first)

    write_report(with_service(work), as_json=as_json)


@app.command()
def prove(
    seq: Seq,
    since: NoteFile = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="File for the evidence.")] = None,
) -> None:
    """Prove that the log holds an entry: a bundle that `audit check` and other programs verify offline."""
    older = None if since is None else read_file(since).decode("utf-8", "replace")

    async def work(service: Service, principal: Principal) -> bytes:
        return (await service.audit_trail.prove(principal, seq, older)).encode()

    evidence = with_service(work)
    if output is None:
        _say_exactly(evidence.decode())
    else:
        try:
            output.write_bytes(evidence + b"\n")
        except OSError as error:
            fail(f"{output} cannot be written: {error.strerror}", REFUSED)


@app.command()
def check(
    evidence: Annotated[Path, typer.Argument(help="A bundle of `audit prove`.")],
    key: Annotated[
        list[str], typer.Option(help="The log's public key, or a file that holds it; also a retired one.")
    ],
) -> None:
    """Verify a bundle by the log's public keys alone: no service, no database, no network."""
    try:
        verdict = verify_evidence(read_file(evidence), [Verifier.parse(_key(each)) for each in key])
    except ValueError as error:
        fail(f"the key cannot be used: {error}", MISUSED)
    except EvidenceInvalid as error:
        fail(f"NOT PROVED: {error.message}", REFUSED)
    say(f"proved: entry {verdict.seq} of {verdict.checkpoint.origin}, of {verdict.checkpoint.size}")
    if verdict.older is not None:
        say(f"proved: the log has grown out of what it was at {verdict.older.size} entries")
    # Within one line, as every entry of ours is: another one could pass for a verdict.
    say("\\n".join(verdict.entry.decode("utf-8", "replace").splitlines()))


@app.command()
def checkpoint(
    public_key: Annotated[bool, typer.Option("--key", help="Print the public key instead.")] = False,
) -> None:
    """Print the newest signed checkpoint, which is worth keeping elsewhere."""

    async def work(service: Service, _: Principal) -> str:
        if public_key:
            return f"{service.audit_trail.vkey}\n"
        return (await service.audit_trail.checkpoint())[1]

    _say_exactly(with_service(work).removesuffix("\n"))


@app.command()
def payload(
    invocation: Annotated[str, typer.Argument(help="Id of the invocation.")],
    input_file: Annotated[
        Path | None, typer.Option("--input", help="Compare this file with the input.")
    ] = None,
    output_file: Annotated[
        Path | None, typer.Option("--output", help="Compare this file with the output.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show what the log holds of an invocation's input and output, or compare files with it."""
    try:
        identifier = UUID(invocation)
    except ValueError:
        fail(f"{invocation!r} is no id of an invocation", MISUSED)
    given = {"input": input_file, "output": output_file}
    compared = {part: read_file(path) for part, path in given.items() if path is not None}

    async def work(service: Service, principal: Principal) -> list[Payload]:
        return await service.audit_trail.payloads(principal, identifier)

    payloads = {each.part.value: each for each in with_service(work)}
    if compared:
        verdicts = {
            part: payloads[part].compare(data) if part in payloads else None
            for part, data in compared.items()
        }
        for part, verdict in verdicts.items():
            say(f"{part}: {verdict or 'there was none'}")
        agree = all(verdict is not None and verdict.agrees for verdict in verdicts.values())
        raise typer.Exit(0 if agree else REFUSED)
    if as_json:
        say_json({part: _fields(each) for part, each in payloads.items()})
        return
    for part, each in payloads.items():
        say(f"{part}  commitment {each.commitment}")
        say("  " + _shown(each))


@app.command()
def erase(
    subject: Annotated[str, typer.Option(help="Whose inputs and outputs: the actor of the entries.")],
    yes: Yes = False,
) -> None:
    """Destroy a subject's key: its inputs and outputs can never be read or compared again; proofs hold.

    Ends with 1 when the subject has no key: it was erased before, never called, or is written otherwise.
    """
    confirm(
        f"Inputs, outputs and queries of {subject!r} can never be read again, nor be compared with anything.",
        yes=yes,
    )

    async def work(service: Service, principal: Principal) -> bool:
        return await service.audit_trail.erase(principal, subject)

    if not with_service(work):
        fail(
            f"nothing was erased: {subject!r} has no key. It was erased before, has never called, or is "
            "written otherwise in the entries: `actor` there is the subject.",
            REFUSED,
        )
    say(f"erased {subject}")


@app.command("rotate-key")
def rotate_key(yes: Yes = False) -> None:
    """Sign checkpoints by a new key. The old private key is destroyed; its public one still verifies."""
    confirm("The private key that signs checkpoints now is destroyed, and another one signs.", yes=yes)

    async def work(service: Service, principal: Principal) -> tuple[Verifier, Verifier]:
        return await service.audit_trail.rotate_key(principal)

    retired, current = with_service(work)
    say(f"retired  {retired.vkey}")
    say(f"current  {current.vkey}")


@app.command()
def drop(
    before: Annotated[int, typer.Option(min=0, help="Sequence number of an entry that is to be left.")],
    yes: Yes = False,
) -> None:
    """Drop the bytes of old entries, in whole partitions of 1,048,576; their hashes, and proofs, stay."""
    confirm(f"Entries before {before} can never be read again, as far as whole partitions reach.", yes=yes)

    async def work(service: Service, principal: Principal) -> tuple[int, int]:
        return await service.audit_trail.drop(principal, before)

    had, left = with_service(work)
    if had == left:
        say(f"nothing was dropped: no whole partition lies before entry {before}; the first is {left}")
    else:
        say(f"dropped entries {had} to {left - 1}; the first that is left is {left}")


def _say_exactly(text: str) -> None:
    """Write what programs read to the byte; in a terminal without what that would obey."""
    if sys.stdout.isatty():
        say(text)
    else:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()


def _fields(payload: Payload) -> dict[str, object]:
    return {
        "commitment": payload.commitment,
        "salt": None if payload.salt is None else payload.salt.hex(),
        "text": None if payload.data is None else payload.data.decode("utf-8", "replace"),
        "too_long": payload.too_long,
    }


def _shown(payload: Payload) -> str:
    if payload.data is not None:
        return payload.data.decode("utf-8", "replace")
    if payload.salt is None:
        return "(erased)"
    return "(too long to be kept)" if payload.too_long else "(not kept: compare with --input or --output)"


def _key(text: str) -> str:
    """A key as text, or the first line of a file."""
    path = Path(text)
    try:
        is_file = path.is_file()
    except OSError:  # the name is longer than one of a file can be
        is_file = False
    return read_file(path).decode("utf-8", "replace").rstrip("\n") if is_file else text


def read_file(path: Path) -> bytes:
    """Read a file, or stdin for `-`; end the process when it cannot be read."""
    try:
        return sys.stdin.buffer.read() if path == Path("-") else path.read_bytes()
    except OSError as error:
        fail(f"{path} cannot be read: {error.strerror}", REFUSED)
