"""Which skill a query is for, and why."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import zip_longest
from typing import Self, cast

import strawberry
from strawberry.scalars import JSON

from subgraph import routing
from subgraph.api.types.candidate import Candidate, ScoreBreakdown
from subgraph.api.types.chain_step import ChainStep, InvocationResult
from subgraph.api.types.consultation import ModelConsultation
from subgraph.api.types.invocation import InvocationError
from subgraph.api.types.persona import Deferral, Persona
from subgraph.decision_log import Replay
from subgraph.dispatch import Dispatched
from subgraph.lifecycle import Moment
from subgraph.recorded_decision import RecordedDecision
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
strawberry.enum(
    routing.RouterPhase, graphql_name_from="value", description="Which part of the router picked."
)


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
    def router_phase(self) -> routing.RouterPhase:
        return self.decision.router_phase

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


@strawberry.type(description="A recorded decision that was made again, on the catalogue that it was made on.")
class RoutingReplay:
    identical: bool = strawberry.field(description="Whether the bytes of both are the same.")
    again: RoutingDecision = strawberry.field(description="What comes out now.")
    recorded: RoutingDecision = strawberry.field(description="What the log keeps.")

    @classmethod
    def of(cls, replay: Replay) -> Self:
        """Present a replay."""
        return cls(
            identical=replay.same,
            again=RoutingDecision.preview(replay.again),
            recorded=RoutingDecision.recorded(replay.recorded),
        )
