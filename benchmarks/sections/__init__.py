"""What is measured, a module each; `SECTIONS` has them by name in the order of the report."""

from collections.abc import Callable, Mapping

from benchmarks.environment import Environment
from benchmarks.report import Section
from benchmarks.sections import (
    catalogue,
    first_call,
    header_lookup,
    history,
    http,
    invocation,
    ledger,
    neighbour,
    peers,
    pool,
    returns,
    routing,
    scripts,
    skills,
    stopping,
    verification,
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
    "ledger": ledger.measure,
    "invoke": invocation.measure,
    "http": http.measure,
    "history": history.measure,
    "stopping": stopping.measure,
    "verification": verification.measure,
    "neighbour": neighbour.measure,
    "peers": peers.measure,
}

__all__ = ["SECTIONS"]
