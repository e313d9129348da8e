"""Looking at the past: records of decisions, and key figures."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated

import typer

from subgraph.audit import AuditRecord, Kpi, outcome_section
from subgraph.cli.catalogue import NONE
from subgraph.cli.decisions import parse_since
from subgraph.cli.output import say, say_json, table
from subgraph.cli.session import REFUSED, fail, with_service
from subgraph.principal import Principal
from subgraph.service import Service


def view(
    address: Annotated[
        str, typer.Argument(help="Address of a record, such as brain://meta/decisions/1747200611_8c4e.md.")
    ],
) -> None:
    """Show the record of a past decision; all of them, if several share the address.

    Below a decision about a query stands what became of it, which a later entry tells.
    """

    async def work(service: Service, principal: Principal) -> list[tuple[AuditRecord, AuditRecord | None]]:
        records = await service.history.records(principal, address)
        return [(each, await service.history.outcome(principal, each)) for each in records]

    found = with_service(work)
    if not found:
        fail("INPUT_INVALID: no decision has this address", REFUSED)
    for record, outcome in found:
        say(record.markdown.removesuffix("\n"))
        if outcome is not None:
            say(outcome_section(outcome).removesuffix("\n"))


class Format(StrEnum):
    """How figures are written."""

    TABLE = "table"
    JSON = "json"


def kpis(
    since: Annotated[
        str, typer.Option(help="Since the hour of then: 24h, 7d, or a date as 2026-11-01.")
    ] = "7d",
    form: Annotated[Format, typer.Option("--format", help="A table, or JSON.")] = Format.TABLE,
) -> None:
    """Report how runs and requests went, beside their targets."""
    start = parse_since(since, datetime.now(UTC))

    async def work(service: Service, principal: Principal) -> list[Kpi]:
        return await service.history.kpis(principal, start)

    figures = with_service(work)
    if form is Format.JSON:
        say_json(
            [
                {
                    "name": each.name,
                    "value": each.value,
                    "unit": each.unit,
                    "numerator": each.numerator,
                    "denominator": each.denominator,
                    "target": each.target,
                    "target_is": each.target_is,
                    "met": each.met,
                    **({} if each.bins is None else {"bins": list(each.bins)}),
                }
                for each in figures
            ]
        )
        return
    table(
        ("figure", "value", "of", "target", "met"),
        ((each.name, _value(each), _of(each), _target(each), _met(each)) for each in figures),
    )
    for each in figures:
        if each.bins is not None and each.value is not None:
            say(f"\n{each.name}, by tenths:")
            for number, count in enumerate(each.bins):
                say(f"  {number / 10:.1f}  {_share(count, sum(each.bins))}")


_BAR = 40  # columns of a bar that has all


def _share(count: int, of: int) -> str:
    bar = "█" * round(count / of * _BAR)
    return f"{bar} {count:,}".lstrip()


def _value(kpi: Kpi) -> str:
    return NONE if kpi.value is None else _written(kpi.value, kpi.unit)


def _written(value: float, unit: str) -> str:
    if unit == "ratio":
        return f"{value:.2%}"
    if unit == "confidence":
        return f"{value:.2f}"
    return f"{value:,.0f}" if unit == "count" else f"{value:,.3g} {unit}"


def _of(kpi: Kpi) -> str:
    if kpi.denominator is None:
        return ""
    return f"{kpi.denominator:,}" if kpi.numerator is None else f"{kpi.numerator:,} of {kpi.denominator:,}"


def _target(kpi: Kpi) -> str:
    return "" if kpi.target is None else f"{kpi.target_is} {_written(kpi.target, kpi.unit)}"


def _met(kpi: Kpi) -> str:
    return "" if kpi.met is None else "✓" if kpi.met else "missed"
