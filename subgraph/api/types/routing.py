"""Which skill a query is for, and why."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import Enum
from itertools import zip_longest
from typing import Self, cast

import strawberry
from strawberry.scalars import JSON

from subgraph import routing
from subgraph.api.types.invocation import InvocationError
from subgraph.audit import ChainStepNote, FinishedInvocation
from subgraph.chain_run import StepRun
from subgraph.decision_log import RecordedDecision
from subgraph.dispatch import Dispatched
from subgraph.execution.invocation import Invocation as ExecutedInvocation
from subgraph.lifecycle import Moment
from subgraph.routing.personas import Cause
from subgraph.routing_desk import skill_input

strawberry.enum(
    routing.Tier,
    name="RoutingTier",
    description="What a confidence leads to: the skill may be invoked, a person or a model is asked, or it "
    "is left to a person.",
)
strawberry.enum(
    routing.Nudge,
    name="RoutingNudge",
    description="How a person hears of a decision: told, asked something, or given it to judge.",
)
strawberry.enum(
    routing.State,
    name="RoutingState",
    description="How far a decision came: PICKED, DEFERRED and ESCALATED are of those that were not invoked, "
    "INVOKING is of one whose run has not ended yet, or whose end could not be recorded.",
)
strawberry.enum(Cause, name="DeferralCause", description="Why a query goes to a person whatever its score.")


@strawberry.enum(description="A seat that a query can belong to; the last four are emerging ones.")
class Persona(Enum):
    CEO = "CEO"
    COO = "COO"
    CFO = "CFO"
    CMO = "CMO"
    CTO = "CTO"
    CHRO = "CHRO"
    CSO = "CSO"
    CLO = "CLO"
    CDO = "CDO"
    CPO = "CPO"
    CAIO = "CAIO"
    CXO = "CXO"
    CRO = "CRO"
    CSO_SUSTAINABILITY = "CSO_SUSTAINABILITY"


@strawberry.enum(graphql_name_from="value", description="Which part of the router picked.")
class RouterPhase(Enum):
    PHASE1_RULE = "phase1_rule"
    PHASE2_LLM = "phase2_llm"
    PHASE3_CHAIN = "phase3_chain"
    PHASE4_PERSONA = "phase4_persona"


@strawberry.type(description="What a score is made of.")
class ScoreBreakdown:
    points: float = strawberry.field(description="All points; ten and more are a confidence of 1.")
    named: bool = strawberry.field(description="Whether its whole name stands in the query: 5 points.")
    keywords: list[str] = strawberry.field(
        description="Keywords of its bank that stand in the query: 3 points each."
    )
    regional: bool = strawberry.field(
        description="Whether a query with Vietnamese marks meets a skill for VN: 2 points."
    )

    @classmethod
    def of(cls, score: routing.Score) -> Self:
        """Present a score."""
        return cls(
            points=score.tenths / 10,
            named=score.named,
            keywords=list(score.keywords),
            regional=score.regional,
        )


@strawberry.type(description="A skill that could be meant.")
class Candidate:
    skill_name: str = strawberry.field(description="Path of the skill.")
    score: float = strawberry.field(description="Confidence in it, from 0 to 1.")
    rank: int = strawberry.field(description="Its place, from 1.")
    breakdown: ScoreBreakdown = strawberry.field(description="What the score is made of.")

    @classmethod
    def of(cls, candidate: routing.Candidate) -> Self:
        """Present a candidate."""
        return cls(
            skill_name=candidate.skill_name,
            score=candidate.confidence,
            rank=candidate.rank,
            breakdown=ScoreBreakdown.of(candidate.score),
        )


@strawberry.type(description="An action that only a person does.")
class Deferral:
    action: str = strawberry.field(
        description="The action, as a list has it; or a capability whose effects cannot be undone, and the "
        "skill that declares it."
    )
    seat: Persona = strawberry.field(description="Whose decision it is.")
    held: str = strawberry.field(description="How that seat is filled.")
    cause: Cause = strawberry.field(description="Why it goes to a person.")

    @classmethod
    def of(cls, deferral: routing.Deferral) -> Self:
        """Present a deferral."""
        return cls(
            action=deferral.action, seat=Persona(deferral.seat), held=deferral.held, cause=deferral.cause
        )


@strawberry.type(description="What became of a skill that a decision invoked.")
class InvocationResult:
    exit_code: int = strawberry.field(description="0, or how it failed.")
    stdout: str = strawberry.field(
        description="What the skill printed and answered; empty for a decision that is read from the log."
    )
    stderr: str = strawberry.field(
        description="What the skill printed as diagnostics; empty for a decision that is read from the log."
    )
    started_at: datetime = strawberry.field(description="When it started.")
    ended_at: datetime = strawberry.field(description="When it ended.")
    error: InvocationError | None = strawberry.field(description="Why it failed; null for exit code 0.")

    @classmethod
    def executed(cls, invocation: ExecutedInvocation) -> Self:
        """Present a run that has just ended."""
        return cls(
            exit_code=invocation.exit_code,
            stdout=invocation.stdout or "",
            stderr=invocation.stderr or "",
            started_at=invocation.started_at,
            ended_at=invocation.ended_at,
            error=InvocationError.of(invocation.error),
        )

    @classmethod
    def recorded(cls, entry: FinishedInvocation) -> Self:
        """Present what the ledger keeps of a run."""
        return cls(
            exit_code=entry.exit_code,
            stdout="",
            stderr="",
            started_at=entry.started_at,
            ended_at=entry.ended_at,
            error=InvocationError.of(entry.error),
        )


strawberry.enum(
    routing.ConsultationOutcome,
    name="ModelOutcome",
    description="How asking a model ended. With all but ANSWERED, rules decided alone.",
)


@strawberry.type(description="How a model was asked about a query that rules left open.")
class ModelConsultation:
    model: str = strawberry.field(description="Name of the model at the gateway.")
    outcome: routing.ConsultationOutcome = strawberry.field(description="How asking it ended.")
    pick: str | None = strawberry.field(
        description="Path of the skill that it picked; null for none, and where there is no answer."
    )
    confidence: float | None = strawberry.field(description="How sure it is, from 0 to 1.")
    temperature: str = strawberry.field(description="The temperature it was asked with, a decimal number.")
    seed: int = strawberry.field(description="The seed it was asked with.")
    prompt_version: str = strawberry.field(description="Version of the prompt's text.")
    attempts: int = strawberry.field(description="How often it was asked; 0 where nobody tried.")
    elapsed_ms: float = strawberry.field(description="How long that took, retries included.")
    tokens_in: int | None = strawberry.field(description="Tokens of the prompt, as the gateway counts.")
    tokens_out: int | None = strawberry.field(description="Tokens of the answer, as the gateway counts.")
    cost: str | None = strawberry.field(
        description="What it cost in US dollars, a decimal number; null where nobody says."
    )

    @classmethod
    def of(cls, asked: routing.Consultation) -> Self:
        """Present a consultation."""
        percent = asked.confidence_percent
        return cls(
            model=asked.model,
            outcome=asked.outcome,
            pick=asked.pick,
            confidence=None if percent is None else percent / 100,
            temperature=asked.temperature,
            seed=asked.seed,
            prompt_version=asked.prompt_version,
            attempts=asked.attempts,
            elapsed_ms=asked.elapsed_us / 1000,
            tokens_in=_graphql_int(asked.tokens_in),
            tokens_out=_graphql_int(asked.tokens_out),
            cost=asked.cost,
        )


def _graphql_int(value: int | None) -> int | None:
    """Cut what a gateway counts to what GraphQL's integers hold."""
    return None if value is None else min(value, 2**31 - 1)


@strawberry.enum(graphql_name_from="value", description="What became of one run of a chain.")
class ChainStepStatus(Enum):
    PLANNED = "planned"
    OK = "ok"
    FAILED = "failed"
    SKIPPED = "skipped"


@strawberry.type(description="One run of a chain: of a skill that another one has run before it, or of that.")
class ChainStep:
    step_index: int = strawberry.field(description="Its place, from 0; the skill itself is last.")
    step: str = strawberry.field(description="Its name in the chain, such as buyer.")
    skill_name: str = strawberry.field(description="Path of the skill.")
    after: list[int] = strawberry.field(description="The runs that must end before it.")
    status: ChainStepStatus = strawberry.field(description="What became of it.")
    arguments: JSON | None = strawberry.field(
        description="What went into it; null where it was not reached, and for a decision that is read back."
    )
    result: InvocationResult | None = strawberry.field(
        description="How it ended; null where it was not run, and for a decision that is read back."
    )
    invocation_id: strawberry.ID | None = strawberry.field(
        description="Its run; `invocation` has what the log keeps of that."
    )
    code: str | None = strawberry.field(description="Why it failed, such as GRANT_REQUIRED.")

    @classmethod
    def planned(cls, step: routing.PlannedStep, note: ChainStepNote | None = None) -> Self:
        """Present a run that is planned, or what the log keeps of it."""
        return cls(
            step_index=step.index,
            step=step.name,
            skill_name=step.skill_path,
            after=list(step.after),
            status=ChainStepStatus.PLANNED if note is None else ChainStepStatus(note.status),
            arguments=None,
            result=None,
            invocation_id=None
            if note is None or note.invocation_id is None
            else strawberry.ID(note.invocation_id),
            code=None if note is None else note.code,
        )

    @classmethod
    def executed(cls, run: StepRun) -> Self:
        """Present a run that has just ended, or was skipped."""
        presented = cls.planned(run.planned, run.note)
        presented.arguments = None if run.arguments is None else cast("JSON", dict(run.arguments))
        presented.result = None if run.invocation is None else InvocationResult.executed(run.invocation)
        return presented


@strawberry.type(description="A state of a decision, and when it was reached.")
class RoutingMoment:
    state: routing.State = strawberry.field(description="The state.")
    at: datetime = strawberry.field(description="When it was reached.")


@strawberry.federation.type(keys=["requestId"], description="What the router decided about one query.")
class RoutingDecision:
    decision: strawberry.Private[routing.Decision]
    is_open: strawberry.Private[bool]
    run: strawberry.Private[InvocationResult | None]
    steps: strawberry.Private[list[ChainStep]]
    moments: strawberry.Private[Sequence[Moment]]
    error: InvocationError | None = strawberry.field(
        description="Why it failed; for a chain with the step that stopped it."
    )
    state: routing.State = strawberry.field(description="How far it came.")
    seq: strawberry.ID | None = strawberry.field(
        description="Where it stands in the audit log, for `before` of the next page; null if it does not."
    )
    invocation_id: strawberry.ID | None = strawberry.field(
        description="The run that it led to; `invocation` has what the log keeps of that."
    )

    @classmethod
    def preview(cls, decision: routing.Decision) -> Self:
        """Present a decision that nothing was done about."""
        return cls(
            decision=decision,
            is_open=True,
            run=None,
            steps=[ChainStep.planned(each) for each in decision.chain],
            moments=(),
            error=None,
            state=decision.state,
            seq=None,
            invocation_id=None,
        )

    @classmethod
    def dispatched(cls, done: Dispatched) -> Self:
        """Present a decision that was just acted on."""
        run = done.invocation
        return cls(
            decision=done.decision,
            is_open=True,
            run=None if run is None else InvocationResult.executed(run),
            steps=[ChainStep.executed(each) for each in done.steps]
            or [ChainStep.planned(each) for each in done.decision.chain],
            moments=done.moments,
            error=InvocationError.of(done.error),
            state=done.state,
            seq=None if done.recorded is None else strawberry.ID(str(done.recorded.record.seq)),
            invocation_id=None if run is None else strawberry.ID(str(run.invocation_id)),
        )

    @classmethod
    def recorded(cls, found: RecordedDecision) -> Self:
        """Present what the log keeps of a decision."""
        entry = None if found.run is None else found.run.entry
        return cls(
            decision=found.decision,
            is_open=found.is_open,
            run=None if entry is None else InvocationResult.recorded(entry),
            steps=[
                ChainStep.planned(step, note)
                for step, note in zip_longest(found.decision.chain, found.steps)
                if step is not None
            ],
            moments=found.lifecycle,
            error=InvocationError.of(found.error),
            state=found.state,
            seq=strawberry.ID(str(found.record.seq)),
            invocation_id=None if entry is None else strawberry.ID(entry.invocation_id),
        )

    @strawberry.field(description="Identifies the decision.")
    def request_id(self) -> strawberry.ID:
        return strawberry.ID(self.decision.request_id or "")

    @strawberry.field(
        description="The query, in NFC; empty where the log keeps a commitment to it alone, or its caller's "
        "key was destroyed."
    )
    def query(self) -> str:
        return self.decision.query

    @strawberry.field(description="Who asked.")
    def actor(self) -> str:
        return self.decision.actor or ""

    @strawberry.field(description="Path of the skill that was picked; null when none was.")
    def skill_name(self) -> str | None:
        return self.decision.skill_name

    @strawberry.field(
        description="What the query gives the skill; null when none was picked, and where `query` is empty."
    )
    def arguments(self) -> JSON | None:
        known = self.decision.routed and self.is_open
        return cast("JSON", dict(self.decision.arguments)) if known else None

    @strawberry.field(
        description="The arguments as the input that the skill takes, with holes where `missing` and "
        "`ambiguous` say so; null when none was picked, and where `query` is empty."
    )
    def input(self) -> JSON | None:
        return cast("JSON | None", skill_input(self.decision) if self.is_open else None)

    @strawberry.field(description="Required fields that the query does not give.")
    def missing(self) -> list[str]:
        return list(self.decision.missing)

    @strawberry.field(description="Fields that the query gives in more than one way.")
    def ambiguous(self) -> list[str]:
        return list(self.decision.ambiguous)

    @strawberry.field(description="What to ask the person, in the language of the query; null for nothing.")
    def question(self) -> str | None:
        return self.decision.question

    @strawberry.field(
        description="The runs that it takes, the skill itself last; empty where the skill runs alone."
    )
    def chain(self) -> list[ChainStep]:
        return self.steps

    @strawberry.field(
        description="The states that it went through, in their order; empty where nothing was done about it."
    )
    def lifecycle(self) -> list[RoutingMoment]:
        return [RoutingMoment(state=each.state, at=each.at) for each in self.moments]

    @strawberry.field(description="From 0 to 1.")
    def confidence(self) -> float:
        return self.decision.confidence

    @strawberry.field(description="What the score of the first candidate is made of; null without one.")
    def breakdown(self) -> ScoreBreakdown | None:
        best = self.decision.best
        return None if best is None else ScoreBreakdown.of(best.score)

    @strawberry.field(description="Why it was decided so.")
    def rationale(self) -> str:
        return self.decision.rationale

    @strawberry.field(description="The next candidates; the first three of all when none was picked.")
    def alternatives(self) -> list[Candidate]:
        return [Candidate.of(each) for each in self.decision.alternatives]

    @strawberry.field(description="Whether a skill was picked.")
    def routed(self) -> bool:
        return self.decision.routed

    @strawberry.field(description="Which part of the router picked.")
    def router_phase(self) -> RouterPhase:
        return RouterPhase(self.decision.router_phase.value)

    @strawberry.field(description="What follows: INVOKE where nothing is to be asked of a person first.")
    def tier(self) -> routing.Tier:
        return self.decision.tier

    @strawberry.field(description="How a person hears of it.")
    def nudge(self) -> routing.Nudge:
        return self.decision.nudge

    @strawberry.field(description="The seat that the query belongs to; null where nothing speaks for any.")
    def persona(self) -> Persona | None:
        code = self.decision.persona
        return None if code is None else Persona(code)

    @strawberry.field(
        description="What only a person does: the query speaks of it, or is for a skill that could do it."
    )
    def deferral(self) -> Deferral | None:
        return None if self.decision.deferral is None else Deferral.of(self.decision.deferral)

    @strawberry.field(description="How a model was asked; null where rules or a person decide.")
    def model(self) -> ModelConsultation | None:
        asked = self.decision.consultation
        return None if asked is None else ModelConsultation.of(asked)

    @strawberry.field(description="When the skill was started; null where none was.")
    def invoked_at(self) -> datetime | None:
        return None if self.run is None else self.run.started_at

    @strawberry.field(description="What became of that; null where no skill was started.")
    def result(self) -> InvocationResult | None:
        return self.run

    @strawberry.field(description="SHA-256 of all that it rests on beside the query.")
    def catalog_fingerprint(self) -> str:
        return self.decision.catalog_fingerprint


@strawberry.type(description="A decision that nothing was done about, and that is not recorded.")
class RoutingPreview:
    decision: RoutingDecision = strawberry.field(description="The decision.")
    catalog_fingerprint: str = strawberry.field(
        description="SHA-256 of all that it rests on beside the query: with both it is made again."
    )

    @classmethod
    def of(cls, decision: routing.Decision) -> Self:
        """Present a decision."""
        return cls(
            decision=RoutingDecision.preview(decision), catalog_fingerprint=decision.catalog_fingerprint
        )
