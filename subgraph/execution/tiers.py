"""What a run may use: by the skill's trust tier, and where an operator decided otherwise."""

from __future__ import annotations

from dataclasses import dataclass, replace

from subgraph.capabilities import LimitDecision, TrustTier
from subgraph.execution.engine import EngineProfile
from subgraph.execution.invocation import Executor
from subgraph.execution.limits import Limits
from subgraph.settings import MIB

_ALL = frozenset(Executor)
_NO_SCRIPTS = frozenset({Executor.WASM, Executor.INLINE})

VERIFIED_FUEL = 20_000_000_000
"""Some ten seconds of computing: a verified skill meets its time limit first."""

UNTRUSTED_FUEL = 4_000_000_000
"""Two to three seconds of computing on the machines of 2026; a check of a form takes a thousandth of it."""

UNTRUSTED_TIME_MS = 2000
UNTRUSTED_MEMORY_BYTES = 32 * MIB
UNTRUSTED_OUTPUT_BYTES = 256 * 1024
UNTRUSTED_HOST_CALLS = 100
VERIFIED_HOST_CALLS = 2000
TRUSTED_HOST_CALLS = 20_000
"""What each tier may use at most, whatever the settings allow; a tax return reads 5,000 invoices."""


@dataclass(frozen=True, slots=True)
class RunPolicy:
    """What one run may use: bounds, the executors it may go by, and how the engine treats its component."""

    limits: Limits
    executors: frozenset[Executor]
    profile: EngineProfile


class TierPolicies:
    """The policies of the tiers under the service's settings, which bound the trusted ones."""

    def __init__(self, limits: Limits) -> None:
        trusted = RunPolicy(replace(limits, host_calls=TRUSTED_HOST_CALLS), _ALL, EngineProfile.OPEN)
        verified = replace(limits, fuel=VERIFIED_FUEL, host_calls=VERIFIED_HOST_CALLS)
        untrusted = Limits(
            time_ms=min(limits.time_ms, UNTRUSTED_TIME_MS),
            memory_bytes=min(limits.memory_bytes, UNTRUSTED_MEMORY_BYTES),
            output_bytes=min(limits.output_bytes, UNTRUSTED_OUTPUT_BYTES),
            fuel=UNTRUSTED_FUEL,
            host_calls=UNTRUSTED_HOST_CALLS,
        )
        self._by_tier = {
            TrustTier.BUILTIN: trusted,
            TrustTier.LOCAL: trusted,
            TrustTier.VERIFIED: RunPolicy(verified, _NO_SCRIPTS, EngineProfile.METERED),
            TrustTier.UNTRUSTED: RunPolicy(untrusted, _NO_SCRIPTS, EngineProfile.STRICT),
        }

    def of(self, tier: TrustTier, decision: LimitDecision | None = None, content_hash: str = "") -> RunPolicy:
        """Return the policy of a skill with these bytes: its tier's, with what was decided for it alone.

        Limits that are wider than the tier's hold for the bytes that they were decided for, narrower ones for
        any. Executors can only be taken away, since a script of a skill that is not trusted must not run
        whatever is decided about its limits.
        """
        policy = self._by_tier[tier]
        if decision is None:
            return policy
        limits = {
            name: value
            for name, value in decision.limits.items()
            if _allowed(value, getattr(policy.limits, name), same_bytes=decision.content_hash == content_hash)
        }
        executors = policy.executors
        if decision.executors is not None:
            executors &= {Executor(name) for name in decision.executors}
        return replace(policy, limits=replace(policy.limits, **limits), executors=executors)


def _allowed(value: int, usual: int | None, *, same_bytes: bool) -> bool:
    """Whether a limit that was decided holds. None is fuel of a trusted skill, which nothing counts."""
    return usual is not None and (same_bytes or value <= usual)
