"""A VAT return over five thousand invoices, through the whole service, by each executor."""

from __future__ import annotations

import time

import uvloop

from benchmarks.environment import Environment
from benchmarks.load import WrongAnswer
from benchmarks.report import Row, Section, Target
from benchmarks.samples import median_figures
from benchmarks.sections.skills import grant_everything
from subgraph.execution.invocation import Executor, Invocation
from subgraph.principal import LOCAL_OPERATOR
from subgraph.service import Service
from subgraph.settings import MIB, Settings
from tests.support.invoices import Expected, expected, request, write_invoices

SKILL = "vn-tax-filing"
INVOICES = 5_000
CORRUPT = 0.01
SEED = 20261120
ROUNDS = 3
"""A round takes seconds, and varies little."""

TARGETS = (Target("seconds", at_most=5.0), Target("memory_mib", at_most=256.0))

SETS = {"whole": 0.0, "1% corrupt": CORRUPT}


def measure(environment: Environment) -> Section:
    """Sum up a directory of whole invoices, and one of which a part is damaged; check every figure."""
    with environment.settings() as settings:
        # The limit is not what is measured: a run that it ends would have no figure.
        generous = settings.model_copy(update={"time_limit_ms": 60_000})
        sizes = {
            name: write_invoices(settings.workspace_dir / _place(name), INVOICES, SEED, corrupt)
            for name, corrupt in SETS.items()
        }
        return uvloop.run(_measure(generous, sizes["whole"]))


async def _measure(settings: Settings, size: int) -> Section:
    figures: dict[tuple[str, Executor], list[dict[str, float]]] = {}
    async with Service(settings) as service:
        await grant_everything(service, [SKILL])
        for _ in range(ROUNDS):
            for name, corrupt in SETS.items():
                wanted = expected(INVOICES, SEED, corrupt)
                for executor in (Executor.WASM, Executor.SCRIPT):
                    figures.setdefault((name, executor), []).append(
                        await _round(service, name, executor, wanted)
                    )
    rows = [
        Row(f"{name}, {executor.value.lower()}", median_figures(rounds), TARGETS)
        for (name, executor), rounds in figures.items()
    ]
    return Section(
        "returns",
        f"{SKILL} over {INVOICES:,} invoices",
        rows,
        [
            f"{size / INVOICES:.0f} bytes an invoice; wall time of `invoke`, a host call for each file",
            "memory is what the run added to its worker",
            "every sum is equal to an independent one, and each damaged file is named with its fault",
        ],
    )


async def _round(service: Service, name: str, executor: Executor, wanted: Expected) -> dict[str, float]:
    asked = request(_place(name), return_path=f"returns/{_place(name)}.xml")
    started = time.perf_counter()
    invocation = await service.runner.invoke(LOCAL_OPERATOR, SKILL, asked, executor=executor)
    seconds = time.perf_counter() - started
    _check(invocation, wanted)
    return {"seconds": seconds, "memory_mib": (invocation.memory_bytes or 0) / MIB}


def _check(invocation: Invocation, wanted: Expected) -> None:
    answer = invocation.result
    if invocation.exit_code != 0 or not isinstance(answer, dict):
        raise WrongAnswer(f"{invocation.exit_code}: {invocation.error}")
    indicators = {name: answer["indicators"][name] for name in wanted.indicators}
    if indicators != wanted.indicators:
        raise WrongAnswer(f"{indicators} where {wanted.indicators} is due")
    skipped = {entry["file"]: entry["reason"] for entry in answer["skipped"]}
    if skipped != wanted.damaged:
        raise WrongAnswer(f"skipped {skipped} where {wanted.damaged} is due")


def _place(name: str) -> str:
    return "invoices-" + "".join(letter for letter in name if letter.isalnum())
