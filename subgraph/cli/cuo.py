"""`cyberos-cuo`: which skill a query is for, and what became of decisions."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Annotated

import typer

from subgraph.cli.catalogue import NONE
from subgraph.cli.dispatching import dispatch
from subgraph.cli.evaluation import evaluate
from subgraph.cli.formats import AsFormat, Format
from subgraph.cli.output import say, say_json, table
from subgraph.cli.routed import (
    UNKNOWN,
    dispatched_as_json,
    pick_of,
    record_as_json,
    recorded_as_json,
    say_decision,
    say_line,
    say_record,
    say_run,
    tell_error,
    way_on,
)
from subgraph.cli.routing_data import bank_app, personas, skills
from subgraph.cli.session import MISUSED, REFUSED, fail, with_service
from subgraph.cli.version import options
from subgraph.decision_log import ID_DIGITS, Replay
from subgraph.dispatch import Dispatched
from subgraph.principal import Principal
from subgraph.recorded_decision import RecordedDecision
from subgraph.routing_desk import Entries
from subgraph.service import Service

app = typer.Typer(
    name="cyberos-cuo",
    help="Say which skill a query is for, and why. It works on the same catalogue as the service, by the "
    "same CYBEROS_* settings; the service need not run. It invokes what `--invoke` asks for, "
    "and records what `--record` does.",
    epilog="docs/routing.md explains how a decision comes about.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

app.callback()(options)


@app.command()
def catalog(format_: AsFormat = Format.TEXT) -> None:
    """List the skills that are routed to, and how many keywords each has; `skills` lists the words."""

    async def work(service: Service, principal: Principal) -> Entries:
        return await service.routing_desk.entries(principal)

    found = with_service(work)
    if format_ is Format.JSON:
        say_json(
            {
                "fingerprint": found.fingerprint,
                "scanned_at": found.scanned_at.isoformat(timespec="seconds"),
                "skill_count": len(found.entries),
                "skills": [
                    {
                        "name": each.skill.path,
                        "version": each.skill.version,
                        "region": each.skill.region,
                        "persona": each.skill.persona,
                        "keywords": list(each.keywords),
                    }
                    for each in found.entries
                ],
            }
        )
        return
    table(
        ("name", "version", "region", "persona", "keywords"),
        (
            (
                each.skill.path,
                each.skill.version or NONE,
                each.skill.region or NONE,
                each.skill.persona or NONE,
                str(len(each.keywords)),
            )
            for each in found.entries
        ),
    )
    count = len(found.entries)
    say(f"\n{count} {'skill' if count == 1 else 'skills'}, catalogue {found.fingerprint}")


@app.command()
def route(
    query: Annotated[str, typer.Argument(help="What somebody wants, in Vietnamese or English.")],
    persona: Annotated[str | None, typer.Option(help="Route within this persona alone, such as CFO.")] = None,
    invoke: Annotated[
        bool, typer.Option("--invoke", help="Run the skill, where nothing is to be asked first.")
    ] = False,
    record: Annotated[
        bool, typer.Option("--record", help="Keep the decision, and what became of it, in the audit log.")
    ] = False,
    format_: AsFormat = Format.TEXT,
) -> None:
    """Say which skill a query is for, with which arguments, and what else it could be for.

    With `--invoke` it ends with the exit code of the skill, and with 1 where nothing was invoked.
    """

    seat = None if persona is None else persona.upper()

    async def work(service: Service, principal: Principal) -> Dispatched:
        return await service.dispatcher.route(principal, query, seat, invoke=invoke, record=record)

    done = with_service(work, runs_skills=invoke)
    decision = done.decision
    if format_ is Format.JSON:
        say_json(dispatched_as_json(done))
    elif done.run is None:
        say_decision(decision)
        say(f"\n(not invoked{way_on(decision)})")
    else:
        say_line("decision:", pick_of(decision))
        say_run(done.run)
    tell_error(done.error)
    if done.recorded is not None and format_ is Format.TEXT:
        if done.invocation is None:
            say()
        say_record(done.recorded)
    if invoke:
        raise typer.Exit(REFUSED if done.invocation is None else done.invocation.exit_code)


app.command()(dispatch)


RequestId = Annotated[
    str, typer.Argument(help="The request, as `route --record` names it, or its first 8 digits or more.")
]

_ID = re.compile(rf"(?=(?:-?[0-9a-fA-F]){{{ID_DIGITS}}})[0-9a-fA-F-]{{{ID_DIGITS},36}}")


def _check_id(text: str) -> None:
    if _ID.fullmatch(text) is None:
        fail(
            f"{text!r} is no ID of a request, nor its first {ID_DIGITS} digits; `route --record` names it",
            MISUSED,
        )


@app.command()
def explain(request_id: RequestId, format_: AsFormat = Format.TEXT) -> None:
    """Show a decision that was recorded: why, what else it could have been, and what became of it."""
    _check_id(request_id)

    async def work(service: Service, principal: Principal) -> RecordedDecision | None:
        identifier = await service.decision_log.identify(principal, request_id)
        return (await service.decision_log.find(principal, [identifier])).get(identifier)

    found = with_service(work)
    if found is None:
        fail("INPUT_INVALID: no decision with this ID is recorded", REFUSED)
    decision, run = found.decision, None if found.run is None else found.run.entry
    if format_ is Format.JSON:
        say_json(recorded_as_json(found))
        return
    say_line("query:", decision.query if found.is_open else UNKNOWN)
    say_line("actor:", decision.actor or "")
    say_line("at:", found.record.at.isoformat(timespec="seconds"))
    say_line("catalogue:", decision.catalog_fingerprint)
    say_decision(decision, is_open=found.is_open)
    say()
    say_line("state:", found.state.value)
    say_line("lifecycle:", "\n".join(f"{each.at:%H:%M:%S.%f} {each.state.value}" for each in found.lifecycle))
    for step in found.steps:
        code = "" if step.code is None else f"  {step.code}"
        say(f"  - {step.step}: {step.skill}  {step.status}{code}")
    if run is not None:
        say_line("invocation:", f"exit={run.exit_code}  {run.invocation_id}")
    if found.error is not None:
        say_line("error:", f"{found.error.code}: {found.error.message}")
    say_record(found)


@app.command()
def replay(
    request_id: RequestId,
    query: Annotated[
        str | None, typer.Option(help="What was asked, where the log holds a commitment to it alone.")
    ] = None,
    format_: AsFormat = Format.TEXT,
) -> None:
    """Make a recorded decision again, on the catalogue that it was made on, and compare the bytes.

    Ends with 1 where they differ.
    """
    _check_id(request_id)

    async def work(service: Service, principal: Principal) -> Replay:
        identifier = await service.decision_log.identify(principal, request_id)
        return await service.decision_log.replay(principal, identifier, query)

    done = with_service(work)
    again = done.again
    if format_ is Format.JSON:
        say_json({"same": done.same, "again": again.as_data(), "recorded": record_as_json(done.recorded)})
    else:
        say_line("decision:", pick_of(done.recorded.decision))
        say_line("catalogue:", again.catalog_fingerprint)
        say_line("replay:", "identical" if done.same else f"different: {pick_of(again)}")
    if not done.same:
        raise typer.Exit(REFUSED)


app.command()(skills)
app.command()(personas)
app.add_typer(bank_app, name="bank")


@app.command("eval")
def eval_(
    file: Annotated[
        Path,
        typer.Argument(exists=True, dir_okay=False, help="Labelled queries: evaluation/queries.yaml."),
    ],
    split: Annotated[str | None, typer.Option(help="Only the cases of one split.")] = None,
    model: Annotated[
        bool, typer.Option("--model", help="Ask the gateway about those that rules leave open; it may cost.")
    ] = False,
    format_: AsFormat = Format.TEXT,
) -> None:
    """Route labelled queries, and report how well.

    Top-1 accuracy counts the queries that a skill answers, by whether that skill was picked. A skill is
    activated when it may be invoked as it is: it was picked, and nothing is to be asked of a person first. A
    false activation is one for a query that no skill is to answer; a wrong one, of another skill than the one
    that answers it. The calibration error is over the picks, in ten bins.
    """
    evaluate(file, split, by_model=model, as_json=format_ is Format.JSON)


def main() -> None:
    """Run the command line; ends the process: 0, 1 when it was refused, 2 for a mistake in the command."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    app()


if __name__ == "__main__":
    main()
