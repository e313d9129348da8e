"""How a model was asked about a query."""

from __future__ import annotations

from typing import Self

import strawberry

from subgraph import routing

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
