"""`cyberos-cuo`: which skill a query is for, and what became of decisions."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer

from subgraph.chain_run import StepRun
from subgraph.cli.catalogue import NONE
from subgraph.cli.evaluation import evaluate
from subgraph.cli.formats import AsFormat, Format
from subgraph.cli.output import say, say_json, table, tell
from subgraph.cli.routing_data import bank_app, personas, skills
from subgraph.cli.session import MISUSED, REFUSED, fail, with_service
from subgraph.decision_log import RecordedDecision, Replay
from subgraph.dispatch import Dispatched
from subgraph.execution.invocation import Invocation
from subgraph.principal import Principal
from subgraph.routing import Consultation, Decision
from subgraph.routing_desk import Entries, skill_input
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


@app.command()
def catalog(format_: AsFormat = Format.TEXT) -> None:
    """List the skills that are routed to, and their keywords."""

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

    async def work(service: Service, principal: Principal) -> Dispatched:
        return await service.dispatcher.route(principal, query, persona, invoke=invoke, record=record)

    done = with_service(work, runs_skills=invoke)
    decision, run = done.decision, done.invocation
    if format_ is Format.JSON:
        say_json(
            {
                **decision.as_data(),
                "input": skill_input(decision),
                "state": done.state.value,
                "result": None if run is None else _result(run),
                "steps": [_step(each) for each in done.steps],
                "error": None
                if done.error is None
                else {"code": done.error.code, "message": done.error.message},
                "recorded": None if done.recorded is None else _record(done.recorded),
            }
        )
    elif done.run is None:
        _say_decision(decision)
        say(f"\n(not invoked{_way(decision)})")
    else:
        _say_line("decision:", f"{decision.skill_name} (conf={decision.confidence})")
        _say_steps(done)
        if run is not None:
            _say_line("invocation:", f"exit={run.exit_code}  elapsed_ms={run.elapsed_us / 1000:.1f}")
            if printed := (run.stdout or "").rstrip():
                _say_line("stdout:", printed)
    if done.error is not None:
        tell("error", f"{done.error.code}: {done.error.message}")
    if done.recorded is not None and format_ is Format.TEXT:
        if run is None:
            say()
        _say_record(done.recorded)
    if invoke:
        raise typer.Exit(REFUSED if run is None else run.exit_code)


def _say_steps(done: Dispatched) -> None:
    """Say how the runs of a chain went; nothing for a skill that runs alone."""
    if done.run is None or not done.steps:
        return
    elapsed_ms = done.run.elapsed_us / 1000
    _say_line("chain:", f"{done.state.value}  steps={len(done.steps)}  total_elapsed_ms={elapsed_ms:.1f}")
    for each in done.steps:
        run = "" if each.invocation is None else f"  exit={each.invocation.exit_code}"
        say(f"  - {each.planned.name}: {each.planned.skill_path}  {each.status.value}{run}")
        if each is done.run.failed and each.invocation is not None and each.invocation.stdout:
            say(f"    {each.invocation.stdout.rstrip()}")


def _say_decision(decision: Decision, *, is_open: bool = True) -> None:
    say("decision:")
    for label, value in _facts(decision):
        known = is_open or label != "arguments"
        say(f"  {f'{label}:':<11} {value if known else _UNKNOWN}")
    say("\nalternatives:")
    width = max((len(each.skill_name) for each in decision.alternatives), default=0)
    for each in decision.alternatives:
        say(f"  - {each.skill_name:<{width}} score={each.confidence}")
    if not decision.alternatives:
        say("  none")


_UNKNOWN = "(the log holds a commitment alone, or the key was destroyed)"


def _say_line(label: str, value: str) -> None:
    """Write what is known under a label, in the columns of the document of the router."""
    first, *others = value.splitlines() or [""]
    for start, line in ((label, first), *(("", line) for line in others)):
        say(f"{start:<13}{line}")


def _say_record(recorded: RecordedDecision) -> None:
    place = f"seq={recorded.record.seq}  chain={recorded.chain[:4]}...{recorded.chain[-4:]}"
    _say_line("recorded:", f"{recorded.record.address}\n{place}")
    _say_line("request:", recorded.decision.request_id or "")


def _record(recorded: RecordedDecision) -> dict[str, Any]:
    return {"address": recorded.record.address, "seq": recorded.record.seq, "chain": recorded.chain}


def _result(run: Invocation) -> dict[str, Any]:
    return {
        "invocationId": str(run.invocation_id),
        "exitCode": run.exit_code,
        "elapsedUs": run.elapsed_us,
        "stdout": run.stdout,
        "stderr": run.stderr,
        "error": None if run.error is None else {"code": run.error.code, "message": run.error.message},
    }


def _step(step: StepRun) -> dict[str, Any]:
    return {
        **step.planned.as_data(),
        "status": step.status.value,
        "arguments": None if step.arguments is None else dict(step.arguments),
        "result": None if step.invocation is None else _result(step.invocation),
        "code": None if step.error is None else step.error.code,
    }


def _facts(decision: Decision) -> list[tuple[str, str]]:
    """Say what was decided; what is to be asked or left to a person only where there is such a thing."""
    facts = [
        ("skill_name", decision.skill_name or "null"),
        ("arguments", _written(decision.arguments)),
        ("confidence", str(decision.confidence)),
        ("rationale", _quoted(decision.rationale)),
        ("routed", _quoted(decision.routed)),
    ]
    if decision.cascade:
        facts.append(("tier", decision.tier.value))
    if decision.consultation is not None:
        facts.append(("model", _asked(decision.consultation)))
    if decision.missing:
        facts.append(("missing", f"[{', '.join(decision.missing)}]"))
    if decision.ambiguous:
        facts.append(("ambiguous", f"[{', '.join(decision.ambiguous)}]"))
    if decision.question is not None:
        facts.append(("question", _quoted(decision.question)))
    if decision.chain:
        facts.append(("chain", " → ".join(step.name for step in decision.chain)))
    if decision.deferral is not None:
        facts.append(("deferred", f"{decision.deferral.seat} ({decision.deferral.held})"))
    return facts


def _asked(asked: Consultation) -> str:
    """Say how a model was asked, and what it picked."""
    percent = asked.confidence_percent
    said = f"{asked.pick or 'null'} (conf={percent / 100})" if percent is not None else "no answer"
    parts = [asked.model, asked.outcome.value, said, f"attempts={asked.attempts}"]
    parts.append(f"elapsed_ms={asked.elapsed_us / 1000:.1f}")
    if asked.tokens_in is not None or asked.tokens_out is not None:
        parts.append(f"tokens={asked.tokens_in or 0}+{asked.tokens_out or 0}")
    if asked.cost is not None:
        parts.append(f"cost_usd={asked.cost}")
    return "  ".join(parts)


def _way(decision: Decision) -> str:
    """Say how the skill is run."""
    if decision.skill_name is None:
        return ""
    if not decision.may_invoke:
        return " — it cannot be run" if decision.question is None else " — there is something to ask first"
    return " — pass --invoke to dispatch through the Skill host"


def _written(arguments: Mapping[str, object]) -> str:
    return "{" + ", ".join(f"{name}: {_quoted(value)}" for name, value in arguments.items()) + "}"


def _quoted(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


RequestId = Annotated[str, typer.Argument(help="The request, as `route --record` names it.")]


def _identifier(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        fail(f"{text!r} is no ID of a request; `route --record` names it", MISUSED)


@app.command()
def explain(request_id: RequestId, format_: AsFormat = Format.TEXT) -> None:
    """Show a decision that was recorded: why, what else it could have been, and what became of it."""
    identifier = _identifier(request_id)

    async def work(service: Service, principal: Principal) -> RecordedDecision | None:
        return (await service.decision_log.find(principal, [identifier])).get(identifier)

    found = with_service(work)
    if found is None:
        fail("no decision with this ID is recorded", REFUSED)
    decision, run = found.decision, None if found.run is None else found.run.entry
    if format_ is Format.JSON:
        hidden = {} if found.is_open else {"query": None, "arguments": None}
        say_json(
            {
                **decision.as_data(),
                **hidden,
                "state": found.state.value,
                "lifecycle": [
                    {"state": each.state.value, "at": each.at.isoformat()} for each in found.lifecycle
                ],
                "invocationId": None if run is None else run.invocation_id,
                "exitCode": None if run is None else run.exit_code,
                "steps": [dataclasses.asdict(each) for each in found.steps],
                "error": None
                if found.error is None
                else {"code": found.error.code, "message": found.error.message},
                "recorded": _record(found),
                "transcript": None
                if found.transcript is None
                else {
                    "prompt": json.loads(found.transcript.prompt),
                    "answer": found.transcript.answer.decode(),
                },
            }
        )
        return
    _say_line("query:", decision.query if found.is_open else _UNKNOWN)
    _say_line("actor:", decision.actor or "")
    _say_line("at:", found.record.at.isoformat(timespec="seconds"))
    _say_line("catalogue:", decision.catalog_fingerprint)
    _say_decision(decision, is_open=found.is_open)
    say()
    _say_line("state:", found.state.value)
    _say_line(
        "lifecycle:", "\n".join(f"{each.at:%H:%M:%S.%f} {each.state.value}" for each in found.lifecycle)
    )
    for step in found.steps:
        code = "" if step.code is None else f"  {step.code}"
        say(f"  - {step.step}: {step.skill}  {step.status}{code}")
    if run is not None:
        _say_line("invocation:", f"exit={run.exit_code}  {run.invocation_id}")
    if found.error is not None:
        _say_line("error:", f"{found.error.code}: {found.error.message}")
    _say_record(found)


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
    identifier = _identifier(request_id)

    async def work(service: Service, principal: Principal) -> Replay:
        return await service.decision_log.replay(principal, identifier, query)

    done = with_service(work)
    again = done.again
    if format_ is Format.JSON:
        say_json({"same": done.same, "again": again.as_data(), "recorded": _record(done.recorded)})
    else:
        _say_line("decision:", _short(done.recorded.decision))
        _say_line("catalogue:", again.catalog_fingerprint)
        _say_line("replay:", "identical" if done.same else f"different: {_short(again)}")
    if not done.same:
        raise typer.Exit(REFUSED)


def _short(decision: Decision) -> str:
    return f"{decision.skill_name or 'null'} (conf={decision.confidence})"


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
