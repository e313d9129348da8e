"""The skills that a query could be for, and what their scores are made of."""

from __future__ import annotations

from typing import Self

import strawberry

from subgraph import routing


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
