"""/metrics: what an operator's monitoring reads, in the text format of Prometheus.

What the log counts is the same in every process of one database, and comes from one statement over a table
whose size does not grow with the log. The rest is of this process.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response

from subgraph.api.authentication import Authenticator
from subgraph.audit import Tally, Totals
from subgraph.audit.invocations import EXECUTORS, HOST_CALL_OUTCOMES
from subgraph.audit.kinds import DECISION_KINDS
from subgraph.audit.kpis import confidences
from subgraph.audit.tallies import BUCKETS_PER_OCTAVE
from subgraph.errors import ERROR_CODES, Forbidden, SubgraphError, Unauthenticated
from subgraph.routing_desk import LATENCY_BOUNDS, Latencies
from subgraph.service import Measures, Service

_OCTAVES = range(6, 27)
"""Bounds of the histogram, powers of two of microseconds: from 64 µs, which the smallest component takes, to
67 s, which no run takes by the default limits. The tallies are finer: a bound of theirs is each of these."""

_OUTCOMES = {"0": "ok", "1": "failed", "124": "time", "126": "violation", "137": "resources"}
"""Exit codes, as docs/errors.md explains them, in words."""

_FINISHED, _REFUSED, _HOST_CALL = "invocation.finished", "invocation.refused", "host.call"
_INTERRUPTED = "invocation.interrupted"

_OTHER = "other"
"""Label value of what this program does not know. The log may hold any text, and each value of a label is a
series that a monitoring system keeps."""


async def answer_metrics(service: Service, authenticator: Authenticator, request: Request) -> Response:
    """Answer a request for /metrics, of a caller who has `skill:audit`."""
    try:
        principal = await authenticator.authenticate(request.headers.get("authorization"))
        measures = await service.measures(principal)
    except SubgraphError as error:
        status = {Unauthenticated: 401, Forbidden: 403}.get(type(error), 503)
        headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
        return Response(
            f"{error.code}: {error.message}\n", status, headers, media_type="text/plain; charset=utf-8"
        )
    return Response(
        generate_latest(_Measured(measures)),
        headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4, "Cache-Control": "no-store"},
    )


@dataclass(frozen=True, slots=True)
class _Measured(Collector):
    """One reading, as the library's writer asks for it: no registry, and so no state between two."""

    measures: Measures

    def collect(self) -> Iterator[Metric]:
        """Yield every metric."""
        yield from _gauges(self.measures)
        yield _decision_seconds(self.measures.routing)
        if self.measures.totals is not None:
            yield from _of_log(self.measures.totals)


def _gauges(measures: Measures) -> Iterator[Metric]:
    """Yield what goes up and down; another gauge is another line."""
    for name, documentation, value in (
        ("storage_up", "1 when PostgreSQL answered this reading.", float(measures.totals is not None)),
        ("ledger_queue_entries", "Audit entries that wait to be written.", measures.queued_entries),
        (
            "ledger_queue_limit",
            "Audit entries that may wait; further calls are refused.",
            measures.queue_limit,
        ),
        ("workers", "Worker processes for components.", measures.workers),
        ("workers_idle", "Worker processes for components that serve no call.", measures.idle_workers),
        (
            "checkpoint_age_seconds",
            "Seconds since all audit entries there were had a signed checkpoint.",
            measures.checkpoint_age_seconds,
        ),
    ):
        yield GaugeMetricFamily(f"cyberos_{name}", documentation, value)


def _of_log(totals: Totals) -> Iterator[Metric]:
    yield CounterMetricFamily("cyberos_audit_entries", "Entries of the audit log.", totals.log_size)
    yield _counter(
        "invocations",
        "Runs that ended or were cut off, by executor and outcome.",
        ("executor", "outcome"),
        [
            ((_known(tally.executor, EXECUTORS), _OUTCOMES.get(tally.outcome, _OTHER)), tally.entries)
            for tally in _of_kind(totals, _FINISHED)
        ]
        + [
            ((_known(tally.executor, EXECUTORS), "interrupted"), tally.entries)
            for tally in _of_kind(totals, _INTERRUPTED)
        ],
    )
    yield _counter(
        "invocations_refused",
        "Calls that were refused before a skill ran, by error code.",
        ("code",),
        [((_known(tally.outcome, ERROR_CODES),), tally.entries) for tally in _of_kind(totals, _REFUSED)],
    )
    yield _counter(
        "host_calls_recorded",
        "Host calls that are entries of their own, for they were denied or reach outside.",
        ("outcome",),
        [
            ((_known(tally.outcome, HOST_CALL_OUTCOMES),), tally.entries)
            for tally in _of_kind(totals, _HOST_CALL)
        ],
    )
    yield _counter(
        "decisions",
        "Decisions of people, and requests for them, by kind.",
        ("kind",),
        [
            ((_known(tally.kind, DECISION_KINDS),), tally.entries)
            for tally in totals.tallies
            if not tally.kind.startswith(("invocation.", "host."))
        ],
    )
    yield _latencies(_of_kind(totals, _FINISHED))
    yield _confidences(totals)


def _decision_seconds(latencies: Latencies) -> Metric:
    counts = list(accumulate(latencies.counts))
    bounds = (*map(str, LATENCY_BOUNDS), "+Inf")
    family = HistogramMetricFamily(
        "cyberos_routing_decision_seconds", "Time of a decision by rules, of those that this process made."
    )
    family.add_metric([], list(zip(bounds, counts, strict=True)), latencies.seconds)
    return family


def _confidences(totals: Totals) -> Metric:
    """Make the histogram of confidence. A bound of Prometheus holds what is exactly it: 0.3 is within 0.3."""
    counted = confidences(totals.tallies)
    bounded = [
        (f"{bound / 100:.1f}", sum(count for percent, count in counted.items() if percent <= bound))
        for bound in range(10, 101, 10)
    ]
    family = HistogramMetricFamily("cyberos_routing_confidence", "Confidence of recorded decisions.")
    everything = sum(percent * count for percent, count in counted.items()) / 100
    family.add_metric([], [*bounded, ("+Inf", counted.total())], everything)
    return family


def _of_kind(totals: Totals, kind: str) -> list[Tally]:
    return [tally for tally in totals.tallies if tally.kind == kind]


def _known(value: str, values: Collection[str]) -> str:
    return value if value in values else _OTHER


def _counter(
    name: str,
    documentation: str,
    labels: Sequence[str],
    counts: Sequence[tuple[tuple[str, ...], int]],
) -> Metric:
    family = CounterMetricFamily(f"cyberos_{name}", documentation, labels=labels)
    sums: dict[tuple[str, ...], int] = {}
    for values, count in counts:
        sums[values] = sums.get(values, 0) + count
    for values, count in sorted(sums.items()):
        family.add_metric(values, count)
    return family


def _latencies(tallies: Sequence[Tally]) -> Metric:
    """Make the histogram of each executor. What took exactly a bound stands in the bucket above it."""
    family = HistogramMetricFamily(
        "cyberos_invocation_seconds", "Time of a run in its worker, by executor.", labels=["executor"]
    )
    for executor in sorted({_known(tally.executor, EXECUTORS) for tally in tallies}):
        of_executor = [tally for tally in tallies if _known(tally.executor, EXECUTORS) == executor]
        bounded = [
            (
                f"{2**octave / 1e6:.6f}",
                sum(each.entries for each in of_executor if each.bucket < octave * BUCKETS_PER_OCTAVE),
            )
            for octave in _OCTAVES
        ]
        all_of_them = sum(each.entries for each in of_executor)
        seconds = sum(each.elapsed_us for each in of_executor) / 1e6
        family.add_metric([executor], [*bounded, ("+Inf", all_of_them)], seconds)
    return family
