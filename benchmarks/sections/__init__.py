"""What is measured, a module each; `SECTIONS` has them by name in the order of the report."""

from collections.abc import Callable, Mapping

from benchmarks.environment import Environment
from benchmarks.report import Section
from benchmarks.sections import (
    catalogue,
    first_call,
    header_lookup,
    http,
    invocation,
    neighbour,
    peers,
    pool,
    returns,
    routing,
    scripts,
    skills,
    stopping,
    worker_call,
)

SECTIONS: Mapping[str, Callable[[Environment], Section]] = {
    "catalogue": catalogue.measure,
    "lookup": header_lookup.measure,
    "routing": routing.measure,
    "worker": worker_call.measure,
    "first": first_call.measure,
    "pool": pool.measure,
    "scripts": scripts.measure,
    "skills": skills.measure,
    "returns": returns.measure,
    "invoke": invocation.measure,
    "http": http.measure,
    "stopping": stopping.measure,
    "neighbour": neighbour.measure,
    "peers": peers.measure,
}

__all__ = ["SECTIONS"]
