"""Key figures of how the service does, from the hourly tallies of the log: no entry is read for them."""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from subgraph.audit.reader import in_utc
from subgraph.audit.tallies import BUCKETS_PER_OCTAVE, NO_TIME, Sort, Tally, read_tallies
from subgraph.errors import InputInvalid
from subgraph.storage import Database

DEFAULT_SPAN = timedelta(days=7)
"""The documents look at these figures by the week."""

LONGEST_SPAN = timedelta(days=92)
"""A quarter: 2,200 hours of some hundred sorts, which take PostgreSQL a tenth of a second."""


BINS = 10
"""Parts of a distribution of confidence."""

_ROUTED = "routing.decision"
_CONFIDENCE = re.compile(r"0\.[0-9]{2}|1\.00")


@dataclass(frozen=True, slots=True)
class Kpi:
    """One figure. `value` is None where nothing was counted that it could be of, and then `met` is, too.

    A ratio has its `numerator` and `denominator`; a percentile has how many runs it is of as `denominator`;
    a count has itself as `numerator`. At most one of `at_least` and `at_most` is the target. `bins` is the
    distribution of what a mean is of: by tenths from 0 to 1, the last with 1 itself.
    """

    name: str
    description: str
    unit: str
    value: float | None
    numerator: int | None
    denominator: int | None
    at_least: float | None = None
    at_most: float | None = None
    bins: tuple[int, ...] | None = None

    @property
    def target(self) -> float | None:
        """The bound that it should keep; None where nothing sets one."""
        return self.at_most if self.at_least is None else self.at_least

    @property
    def target_is(self) -> str | None:
        """`at least` or `at most`; None without a target."""
        if self.target is None:
            return None
        return "at most" if self.at_least is None else "at least"

    @property
    def met(self) -> bool | None:
        """Whether the target is reached; None without a target or a value."""
        if self.value is None or self.target is None:
            return None
        return self.value <= self.target if self.at_least is None else self.value >= self.target


@dataclass(frozen=True, slots=True)
class _Figure(ABC):
    """How a figure comes from tallies."""

    name: str
    description: str

    @abstractmethod
    def measure(self, tallies: Sequence[Tally]) -> Kpi:
        """Compute it."""


@dataclass(frozen=True, slots=True)
class _Ratio(_Figure):
    """`beside` are entries that are of the whole, too."""

    part: Sort
    whole: Sort
    beside: Sort | None = None
    at_least: float | None = None
    at_most: float | None = None

    def measure(self, tallies: Sequence[Tally]) -> Kpi:
        part, whole = self.part.count(tallies), self.whole.count(tallies)
        if self.beside is not None:
            whole += self.beside.count(tallies)
        value = part / whole if whole else None
        return Kpi(
            self.name,
            self.description,
            "ratio",
            value,
            part,
            whole,
            at_least=self.at_least,
            at_most=self.at_most,
        )


@dataclass(frozen=True, slots=True)
class _Count(_Figure):
    of: Sort

    def measure(self, tallies: Sequence[Tally]) -> Kpi:
        count = self.of.count(tallies)
        return Kpi(self.name, self.description, "count", count, count, None)


@dataclass(frozen=True, slots=True)
class _Percentile(_Figure):
    of: Sort
    percent: int
    at_most: float | None = None

    def measure(self, tallies: Sequence[Tally]) -> Kpi:
        timed = [tally for tally in self.of.of(tallies) if tally.bucket != NO_TIME]
        runs = sum(tally.entries for tally in timed)
        microseconds = percentile_us(timed, self.percent)
        value = None if microseconds is None else microseconds / 1000
        return Kpi(self.name, self.description, "ms", value, None, runs, at_most=self.at_most)


@dataclass(frozen=True, slots=True)
class _ConfidenceMean(_Figure):
    """The mean of the confidence of decisions, with its distribution."""

    at_least: float

    def measure(self, tallies: Sequence[Tally]) -> Kpi:
        counted = confidences(tallies)
        decisions = counted.total()
        total = sum(percent * entries for percent, entries in counted.items())
        value = total / decisions / 100 if decisions else None
        return _of_confidence(self, value, decisions, self.at_least, binned(counted))


@dataclass(frozen=True, slots=True)
class _ConfidencePercentile(_Figure):
    percent: int
    at_least: float

    def measure(self, tallies: Sequence[Tally]) -> Kpi:
        counted = confidences(tallies)
        found = _at_rank(counted, self.percent)
        value = None if found is None else found / 100
        return _of_confidence(self, value, counted.total(), self.at_least)


def _of_confidence(
    figure: _Figure,
    value: float | None,
    decisions: int,
    at_least: float,
    bins: tuple[int, ...] | None = None,
) -> Kpi:
    return Kpi(
        figure.name,
        figure.description,
        "confidence",
        value,
        None,
        decisions,
        at_least=at_least,
        bins=bins,
    )


def confidences(tallies: Sequence[Tally]) -> Counter[int]:
    """Count recorded decisions by their confidence in hundredths. Ones that tell none are left out."""
    counted: Counter[int] = Counter()
    for tally in Sort(_ROUTED).of(tallies):
        if _CONFIDENCE.fullmatch(tally.executor):
            counted[int(tally.executor.replace(".", ""))] += tally.entries
    return counted


def binned(counted: Mapping[int, int]) -> tuple[int, ...]:
    """Count by tenths; a confidence of 1 is in the last."""
    bins = [0] * BINS
    for percent, entries in counted.items():
        bins[min(percent // 10, BINS - 1)] += entries
    return tuple(bins)


def percentile_us(tallies: Sequence[Tally], percent: int) -> float | None:
    """Tell the latency that `percent` of the entries do not exceed, in microseconds; None without entries.

    The entry of that rank (nearest rank) lies in a known bucket, and the answer is the bucket's geometric
    middle: it is off by a factor of at most 2**(1/16), which is 4.4 %. What took less than a microsecond
    counts as one.
    """
    counted: Counter[int] = Counter()
    for tally in tallies:
        counted[tally.bucket] += tally.entries
    bucket = _at_rank(counted, percent)
    return None if bucket is None else float(2 ** ((bucket + 0.5) / BUCKETS_PER_OCTAVE))


def _at_rank(counted: Mapping[int, int], percent: int) -> int | None:
    """Return the least value that `percent` of what was counted do not exceed (nearest rank)."""
    wanted = math.ceil(sum(counted.values()) * percent / 100)
    passed = 0
    for value in sorted(counted):
        passed += counted[value]
        if passed >= wanted:
            return value
    return None


_FINISHED = "invocation.finished"
_INTERRUPTED = "invocation.interrupted"
_COMPONENTS = Sort(_FINISHED, executor="WASM")
_SCRIPTS = Sort(_FINISHED, executor="SCRIPT")

FIGURES: tuple[_Figure, ...] = (
    _Ratio(
        "capability_grant_rate",
        "Requests for capabilities that people answered with a grant, of all that they answered.",
        part=Sort("capability.answered", outcome="approved"),
        whole=Sort("capability.answered"),
        at_least=0.90,
    ),
    _Ratio(
        "invocation_success_rate",
        "Runs that ended with exit code 0, of all that ended or were cut off.",
        part=Sort(_FINISHED, outcome="0"),
        whole=Sort(_FINISHED),
        beside=Sort(_INTERRUPTED),
        at_least=0.98,
    ),
    _Count(
        "invocations_interrupted",
        "Runs that were cut off; one whose end came later all the same is among them.",
        Sort(_INTERRUPTED),
    ),
    _Count("invocations_refused", "Calls that were refused before a skill ran.", Sort("invocation.refused")),
    _Percentile("component_latency_p50", "Median time of a component in its worker.", _COMPONENTS, 50),
    _Percentile(
        "component_latency_p95",
        "Time in its worker that 95 % of a component's runs keep.",
        _COMPONENTS,
        95,
        at_most=5.0,
    ),
    _Percentile(
        "component_latency_p99", "Time in its worker that 99 % of a component's runs keep.", _COMPONENTS, 99
    ),
    _Percentile("script_latency_p50", "Median time of a script in its process.", _SCRIPTS, 50),
    _Percentile("script_latency_p95", "Time in its process that 95 % of a script's runs keep.", _SCRIPTS, 95),
    _Percentile("script_latency_p99", "Time in its process that 99 % of a script's runs keep.", _SCRIPTS, 99),
    _Count(
        "host_calls_denied",
        "Host calls that skills tried although nobody had allowed them.",
        Sort("host.call", outcome="denied"),
    ),
    _ConfidenceMean(
        "routing_confidence_mean",
        "Mean confidence of the decisions that were recorded, and their distribution in ten bins.",
        at_least=0.6,
    ),
    _ConfidencePercentile(
        "routing_confidence_p10",
        "Confidence that 90 % of the decisions that were recorded reach.",
        percent=10,
        at_least=0.3,
    ),
    _Ratio(
        "routing_defer_rate",
        "Queries that were left to a person, of all whose decision was recorded.",
        part=Sort(_ROUTED, outcome="deferred"),
        whole=Sort(_ROUTED),
        at_most=0.05,
    ),
    _Ratio(
        "routing_escalation_rate",
        "Queries that rules alone left open and a model was to decide, of all whose decision was recorded.",
        part=Sort("routing.consultation"),
        whole=Sort(_ROUTED),
        at_most=0.10,
    ),
    _Percentile(
        "routing_model_latency_p95",
        "Time in which 95 % of the questions to a model ended, retries included.",
        Sort("routing.consultation"),
        95,
        at_most=800.0,
    ),
    _Ratio(
        "routing_success_rate",
        "Decisions whose skill was invoked and ended with exit code 0, of all that were invoked and ended.",
        part=Sort("routing.outcome", outcome="succeeded"),
        whole=Sort("routing.outcome"),
        at_least=0.95,
    ),
    _Ratio(
        "routing_replay_equivalence",
        "Replays that gave the same bytes of decision, of all replays.",
        part=Sort("routing.replay", outcome="identical"),
        whole=Sort("routing.replay"),
        at_least=1.0,
    ),
)
"""Another figure is another line. Targets are those of the documents of the Skill module
and of the router, section KPIs."""


async def read_kpis(database: Database, since: datetime | None = None) -> list[Kpi]:
    """Compute every figure since the beginning of an hour, of a week ago by default, by one statement.

    Raises `InputInvalid` for more than `LONGEST_SPAN`, and `StorageUnavailable`.
    """
    now = datetime.now(UTC)
    start = now - DEFAULT_SPAN if since is None else in_utc(since)
    if start < now - LONGEST_SPAN:
        raise InputInvalid(f"figures are of {LONGEST_SPAN.days} days at most")
    tallies = await read_tallies(database, start)
    return [figure.measure(tallies) for figure in FIGURES]
