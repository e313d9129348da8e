"""How far a skill is trusted, and what one run of it may use."""

from __future__ import annotations

from typing import Self

import strawberry

from subgraph.api.types.scalars import BigInt
from subgraph.capabilities import TrustTier
from subgraph.execution.invocation import Executor
from subgraph.execution.limits import Limits
from subgraph.oversight import SkillTrust as Trust

strawberry.enum(
    TrustTier,
    description="Trust in a skill's author: BUILTIN and LOCAL skills are the operator's own choice of code, "
    "VERIFIED ones are from an author that an operator trusts, UNTRUSTED ones are from anybody.",
)


@strawberry.type(description="What one run of a skill may use.")
class SkillLimits:
    time_ms: int = strawberry.field(description="Wall time, in milliseconds.")
    memory_bytes: BigInt = strawberry.field(description="Memory that the run may add, in bytes.")
    output_bytes: BigInt = strawberry.field(description="Size of its answer and of what it prints, in bytes.")
    fuel: BigInt | None = strawberry.field(
        description="Computing of a component in units of Wasmtime, one an instruction; null: uncounted."
    )
    host_calls: int = strawberry.field(description="Calls of the host's functions.")

    @classmethod
    def of(cls, limits: Limits) -> Self:
        """Present limits."""
        return cls(
            time_ms=limits.time_ms,
            memory_bytes=BigInt(limits.memory_bytes),
            output_bytes=BigInt(limits.output_bytes),
            fuel=None if limits.fuel is None else BigInt(limits.fuel),
            host_calls=limits.host_calls,
        )


@strawberry.input(description="What one run of a skill may use; what is left out is as its tier has it.")
class SkillLimitsInput:
    time_ms: int | None = strawberry.field(default=None, description="Wall time, in milliseconds.")
    memory_bytes: BigInt | None = strawberry.field(
        default=None, description="Memory that the run may add, in bytes."
    )
    output_bytes: BigInt | None = strawberry.field(
        default=None, description="Size of its answer and of what it prints, in bytes."
    )
    fuel: BigInt | None = strawberry.field(
        default=None, description="Computing of a component in units of Wasmtime; for skills not trusted."
    )
    host_calls: int | None = strawberry.field(default=None, description="Calls of the host's functions.")

    def given(self) -> dict[str, int]:
        """Return the limits that were named."""
        limits = {
            "time_ms": self.time_ms,
            "memory_bytes": self.memory_bytes,
            "output_bytes": self.output_bytes,
            "fuel": self.fuel,
            "host_calls": self.host_calls,
        }
        return {name: value for name, value in limits.items() if value is not None}


@strawberry.type(description="How far a skill is trusted, and what one run of it may use because of that.")
class SkillTrust:
    tier: TrustTier = strawberry.field(description="By where the skill lies, or as an operator decided.")
    limits: SkillLimits = strawberry.field(description="What one run may use.")
    executors: list[Executor] = strawberry.field(description="By what the skill may be run.")
    warning: str | None = strawberry.field(
        description="What an operator's decision has opened; null where nothing was opened."
    )

    @classmethod
    def of(cls, trust: Trust) -> Self:
        """Present the trust in a skill."""
        return cls(
            tier=trust.tier,
            limits=SkillLimits.of(trust.policy.limits),
            executors=[each for each in Executor if each in trust.policy.executors],
            warning=trust.warning,
        )
