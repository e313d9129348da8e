"""Routing a query by rules, with few and with many skills, and taking a new snapshot of the catalogue."""

from __future__ import annotations

import gc
import itertools
import time
from collections.abc import Mapping
from pathlib import Path

from benchmarks.environment import Environment
from benchmarks.load import WrongAnswer
from benchmarks.report import Row, Section, Target
from benchmarks.samples import median_figures, percentile
from subgraph.catalog import InstallSource, SkillHeader, SkillRoot
from subgraph.catalog.manifest import SkillManifest
from subgraph.catalog.registry import Registry
from subgraph.routing import CatalogueSnapshot, route
from subgraph.routing.extractors import EXTRACTORS_VERSION, extract
from tests.support.skill_samples import write_samples

OWN_SKILLS = Path(__file__).parents[2] / "skills"
MANY_SKILLS = 5000
REFRESHED_SKILLS = 100
REFRESHES = 60

_REFRESH_TARGET = Target("p95_us", at_most=50_000)

QUERIES: Mapping[str, str | None] = {
    "kiểm tra MST 0123456789-001": "cyberskill-vn/vn-mst-validate",
    "tạo hoá đơn cho ACME, MST 0123456789, số tiền 10 triệu": "cyberskill-vn/vn-vat-invoice",
    "tờ khai thuế GTGT quý 2/2026": "cyberskill-vn/vn-tax-filing",
    "tạo QR chuyển khoản 500k cho Vietcombank 0123456789": "cyberskill-vn/vn-bank-transfer",
    "validate MST 0123456789": "cyberskill-vn/vn-mst-validate",
    "issue VAT invoice for ACME": "cyberskill-vn/vn-vat-invoice",
    "what's the test coverage on the auth module?": "cuo/cto/cto",
    "turn these interview notes into a PRD for the new checkout": "cuo/cpo/prd-author",
    "send the signed March invoice to our oldest client": None,
    "draft Q4 OKRs for the eng team": None,
    "thời tiết hôm nay thế nào": None,
}


def measure(environment: Environment) -> Section:
    """Route one query after another, among the skills of this project and among thousands beside them."""
    own = _headers(OWN_SKILLS)
    rows = []
    for count, most in ((len(own), 400), (MANY_SKILLS, 1000)):
        others = (_header(number) for number in range(count - len(own)))
        snapshot = CatalogueSnapshot.of([*own, *others], extractors=EXTRACTORS_VERSION)
        figures = _rounds(snapshot, environment)
        rows.append(Row(f"a query, {count:,} skills", figures, [Target("p95_us", at_most=most)]))
    refreshed = Row(f"refresh, {REFRESHED_SKILLS} skills", _refresh(environment), [_REFRESH_TARGET])
    rows.append(refreshed)
    notes = [
        f"{len(QUERIES)} queries in turn, each with its arguments, its chain and the decision's bytes",
        "refresh: scan of the files, snapshot, fingerprint and tables, in wall time",
    ]
    return Section("routing", "Routing by rules", rows, notes)


def _rounds(snapshot: CatalogueSnapshot, environment: Environment) -> dict[str, float]:
    for query, skill in QUERIES.items():
        found = route(query, snapshot, extract).skill_name
        if found != skill:
            raise WrongAnswer(f"{query!r} was routed to {found}")
    seconds = environment.plan.seconds
    return median_figures([_round(snapshot, seconds) for _ in range(environment.plan.rounds)])


def _round(snapshot: CatalogueSnapshot, seconds: float) -> dict[str, float]:
    queries = itertools.cycle(QUERIES)
    samples: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        query = next(queries)
        started = time.perf_counter_ns()
        route(query, snapshot, extract).encode()
        samples.append((time.perf_counter_ns() - started) / 1000)
    samples.sort()
    return {f"p{percent}_us": percentile(samples, percent) for percent in (50, 95, 99)}


def _refresh(environment: Environment) -> dict[str, float]:
    directory = environment.directory / "routing-refresh"
    write_samples(directory, REFRESHED_SKILLS)
    took = []
    for _ in range(REFRESHES):
        gc.collect()
        started = time.perf_counter()
        snapshot = CatalogueSnapshot.of(_headers(directory), extractors=EXTRACTORS_VERSION)
        _ = snapshot.fingerprint, snapshot.index
        took.append((time.perf_counter() - started) * 1e6)
    took.sort()
    return {f"p{percent}_us": percentile(took, percent) for percent in (50, 95, 99)}


def _headers(directory: Path) -> list[SkillHeader]:
    registry = Registry([SkillRoot(directory, InstallSource.BUILTIN, trusted=True)])
    registry.scan()
    return list(registry)


def _header(number: int) -> SkillHeader:
    root = SkillRoot(Path("benchmarks"), InstallSource.LOCAL, trusted=True)
    region = {"region": "VN"} if number % 2 else {}
    text = "Does something that somebody needs. Use when somebody asks for it. " * 5
    manifest = SkillManifest(None, text, None, None, "read_file", region)
    return SkillHeader.of(manifest, f"benchmarks/made-up-skill-{number}", root, has_component=True)
