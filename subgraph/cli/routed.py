"""Decisions about queries as `cyberos-cuo` shows them: in the columns of the router's document, or JSON."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Mapping
from typing import Any

from subgraph.audit import ErrorNote
from subgraph.chain_run import ChainRun, StepRun
from subgraph.cli.output import say, say_fact, tell
from subgraph.dispatch import Dispatched
from subgraph.execution.invocation import Invocation
from subgraph.recorded_decision import RecordedDecision
from subgraph.routing import Consultation, Decision, State
from subgraph.routing_desk import skill_input

UNKNOWN = "(the log holds a commitment alone, or the key was destroyed)"
"""Stands for what is read back and cannot be."""

say_line = functools.partial(say_fact, width=13)
"""Writes what is known under a label."""


def say_run(done: ChainRun) -> None:
    """Say how a skill's run went, and before it how the runs of its chain did."""
    if done.chained:
        elapsed_ms = done.elapsed_us / 1000
        say_line("chain:", f"{_ending(done)}  steps={len(done.steps)}  total_elapsed_ms={elapsed_ms:.1f}")
    for each in done.chained:
        code = "" if each.invocation is None else f"  exit={each.invocation.exit_code}"
        say(f"  - {each.planned.name}: {each.planned.skill_path}  {each.status.value}{code}")
        if each is done.failed and each.invocation is not None and each.invocation.stdout:
            say(f"    {each.invocation.stdout.rstrip()}")
    run = done.invocation
    if run is not None:
        say_line("invocation:", f"exit={run.exit_code}  elapsed_ms={run.elapsed_us / 1000:.1f}")
        if printed := (run.stdout or "").rstrip():
            say_line("stdout:", printed)


def tell_error(error: ErrorNote | None) -> None:
    """Say on stderr why a run failed, if it did."""
    if error is not None:
        tell("error", f"{error.code}: {error.message}")


def _ending(run: ChainRun) -> str:
    state = State.SUCCEEDED if run.error is None else State.FAILED
    return state.value


def say_decision(decision: Decision, *, is_open: bool = True) -> None:
    """Say what was decided and what else it could have been; `is_open` False hides the arguments."""
    say("decision:")
    for label, value in _facts(decision):
        known = is_open or label != "arguments"
        say(f"  {f'{label}:':<11} {value if known else UNKNOWN}")
    say("\nalternatives:")
    width = max((len(each.skill_name) for each in decision.alternatives), default=0)
    for each in decision.alternatives:
        say(f"  - {each.skill_name:<{width}} score={each.confidence}")
    if not decision.alternatives:
        say("  none")


def say_record(recorded: RecordedDecision) -> None:
    """Say where a decision is recorded, and by which ID it is found."""
    place = f"seq={recorded.record.seq}  chain={recorded.chain[:4]}...{recorded.chain[-4:]}"
    say_line("recorded:", f"{recorded.record.address}\n{place}")
    say_line("request:", recorded.decision.request_id or "")


def record_as_json(recorded: RecordedDecision) -> dict[str, Any]:
    """Give as JSON values where a decision is recorded."""
    return {"address": recorded.record.address, "seq": recorded.record.seq, "chain": recorded.chain}


def _result(run: Invocation) -> dict[str, Any]:
    return {
        "invocationId": str(run.invocation_id),
        "exitCode": run.exit_code,
        "elapsedUs": run.elapsed_us,
        "stdout": run.stdout,
        "stderr": run.stderr,
        "error": _error(run.error),
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


def way_on(decision: Decision) -> str:
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


def pick_of(decision: Decision) -> str:
    """Name what was picked, and how surely."""
    return f"{decision.skill_name or 'null'} (conf={decision.confidence})"


def dispatched_as_json(done: Dispatched) -> dict[str, Any]:
    """Give a decision that was just made as JSON values, with what was done about it."""
    return {
        **done.decision.as_data(),
        "input": skill_input(done.decision),
        **run_as_json(done.run),
        "state": done.state.value,
        "recorded": None if done.recorded is None else record_as_json(done.recorded),
    }


def run_as_json(run: ChainRun | None) -> dict[str, Any]:
    """Give a run as JSON values, with those of its chain; all null and empty where there was none."""
    if run is None:
        return {"state": None, "result": None, "steps": [], "error": None}
    return {
        "state": _ending(run),
        "result": None if run.invocation is None else _result(run.invocation),
        "steps": [_step(each) for each in run.chained],
        "error": _error(run.error),
    }


def recorded_as_json(found: RecordedDecision) -> dict[str, Any]:
    """Give what the log keeps of a decision as JSON values; null is what nobody can read."""
    run = None if found.run is None else found.run.entry
    hidden = {} if found.is_open else {"query": None, "arguments": None}
    return {
        **found.decision.as_data(),
        **hidden,
        "state": found.state.value,
        "lifecycle": [{"state": each.state.value, "at": each.at.isoformat()} for each in found.lifecycle],
        "invocationId": None if run is None else run.invocation_id,
        "exitCode": None if run is None else run.exit_code,
        "steps": [dataclasses.asdict(each) for each in found.steps],
        "error": _error(found.error),
        "recorded": record_as_json(found),
        "transcript": None
        if found.transcript is None
        else {
            "prompt": json.loads(found.transcript.prompt),
            "answer": found.transcript.answer.decode(),
        },
    }


def _error(error: ErrorNote | None) -> dict[str, str] | None:
    return None if error is None else {"code": error.code, "message": error.message}
