"""What is measured, a module each; `SECTIONS` has them by name in the order of the report."""

from collections.abc import Callable, Mapping

from benchmarks.environment import Environment
from benchmarks.report import Section
from benchmarks.sections import header_lookup, http, invocation, peers, pool, stopping, worker_call

SECTIONS: Mapping[str, Callable[[Environment], Section]] = {
    "lookup": header_lookup.measure,
    "worker": worker_call.measure,
    "pool": pool.measure,
    "invoke": invocation.measure,
    "http": http.measure,
    "stopping": stopping.measure,
    "peers": peers.measure,
}

__all__ = ["SECTIONS"]
