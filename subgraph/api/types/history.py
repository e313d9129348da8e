"""What the audit log tells beside runs: decisions, and key figures."""

from __future__ import annotations

from datetime import datetime
from typing import Self, cast

import strawberry
from strawberry.scalars import JSON

from subgraph import audit
from subgraph.api.types.scalars import BigInt


@strawberry.type(
    description="An entry of the audit log that tells of a decision, and the record that it reads as."
)
class AuditRecord:
    seq: strawberry.ID = strawberry.field(description="Where the entry stands in the log.")
    kind: str = strawberry.field(description="What was decided, such as grant.created.")
    level: str = strawberry.field(description="info, or warn for what takes away or opens.")
    at: datetime = strawberry.field(description="When it was decided.")
    actor: str = strawberry.field(description="Who decided; of a request, whose call asked.")
    skill_path: str | None = strawberry.field(description="Path of the skill that it is about.")
    capability: str | None = strawberry.field(description="Capability that it is about.")
    address: str = strawberry.field(description="Where the record is found: brain://meta/decisions/….md")
    markdown: str = strawberry.field(description="The record as text, escaped: no text in it forges another.")
    body: JSON = strawberry.field(description="All that the entry says.")

    @classmethod
    def of(cls, record: audit.AuditRecord) -> Self:
        """Present a record."""
        return cls(
            seq=strawberry.ID(str(record.seq)),
            kind=record.kind,
            level=record.level,
            at=record.at,
            actor=record.actor,
            skill_path=record.skill_path,
            capability=record.capability,
            address=record.address,
            markdown=record.markdown,
            body=cast("JSON", record.body),
        )


@strawberry.type(description="A key figure, and its target where there is one.")
class Kpi:
    name: str = strawberry.field(description="Stable name, such as invocation_success_rate.")
    description: str = strawberry.field(description="What is counted or measured.")
    value: float | None = strawberry.field(description="Null where nothing was counted that it could be of.")
    unit: str = strawberry.field(description="ratio, count, confidence or ms. Times are known within 4.4 %.")
    numerator: BigInt | None = strawberry.field(
        description="What was counted; null for a time and a confidence."
    )
    denominator: BigInt | None = strawberry.field(
        description="Of how many; for a time, of how many runs it is, for a confidence, of how many "
        "decisions. Null for a count."
    )
    target: float | None = strawberry.field(description="What the value should be, in its unit.")
    target_is: str | None = strawberry.field(description="at least, or at most.")
    met: bool | None = strawberry.field(description="Whether it is; null without a target or a value.")
    bins: list[int] | None = strawberry.field(
        description="How what a mean is of is distributed: ten bins from 0 to 1, the last with 1 itself."
    )

    @classmethod
    def of(cls, kpi: audit.Kpi) -> Self:
        """Present a figure."""
        return cls(
            name=kpi.name,
            description=kpi.description,
            value=kpi.value,
            unit=kpi.unit,
            numerator=None if kpi.numerator is None else BigInt(kpi.numerator),
            denominator=None if kpi.denominator is None else BigInt(kpi.denominator),
            target=kpi.target,
            target_is=kpi.target_is,
            met=kpi.met,
            bins=None if kpi.bins is None else list(kpi.bins),
        )
