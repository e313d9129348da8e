"""How well queries are routed, as `cyberos-cuo eval` reports it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from subgraph.cli.catalogue import NONE
from subgraph.cli.output import say, say_json, table
from subgraph.cli.session import MISUSED, fail, with_service
from subgraph.principal import Principal
from subgraph.routing.evaluation import Case, EvaluationInvalid, Figures, Report, load_cases
from subgraph.service import Service

RATES = (
    ("top-1 accuracy", "accuracy", "routed_right", "routable"),
    ("activated right", "activation_rate", "activated_right", "routable"),
    ("wrong activations", "wrong_activation_rate", "wrong_activations", "routable"),
    ("false activations", "false_activation_rate", "false_activations", "unroutable"),
    ("false picks", "false_pick_rate", "false_picks", "unroutable"),
    ("exact arguments", "exact_arguments", "arguments_exact", "arguments_judged"),
    ("right persona", "persona_accuracy", "personas_right", "personas_judged"),
    ("deferred right", "deferral_rate", "deferred_right", "deferrals"),
)
"""What is reported: its label, the rate, and the two counts that it is of."""


def evaluate(file: Path, split: str | None, *, by_model: bool, as_json: bool) -> None:
    """Route the cases of a file, or of one split of it, and report."""
    cases = _cases(file, split)

    async def work(service: Service, principal: Principal) -> Report:
        return await service.routing_desk.evaluate(principal, cases, by_model=by_model)

    report = with_service(work)
    if as_json:
        say_json(_as_json(report))
        return
    groups = {"all": report.overall, **(report.splits if len(report.splits) > 1 else {})}
    table(
        ("figure", *groups),
        [
            ("cases", *(str(figures.cases) for figures in groups.values())),
            *(
                (label, *(_share(figures, rate, part, whole) for figures in groups.values()))
                for label, rate, part, whole in RATES
            ),
            ("calibration error", *(_error(figures) for figures in groups.values())),
        ],
    )
    say("\nWho was taken for whom:")
    table(
        ("expected", "picked", "queries"),
        (
            (expected, picked, str(count))
            for expected, counts in report.confusion.items()
            for picked, count in counts.items()
            if picked != expected
        ),
    )


def _cases(file: Path, split: str | None) -> list[Case]:
    try:
        cases = load_cases(file)
    except EvaluationInvalid as error:
        fail(f"{error.code}: {error.message}", MISUSED)
    if split is None:
        return cases
    of_split = [case for case in cases if case.split == split]
    if not of_split:
        fail(f"{file} has no case of the split {split!r}", MISUSED)
    return of_split


def _count(figures: Figures, name: str) -> int:
    return figures.cases - figures.routable if name == "unroutable" else int(getattr(figures, name))


def _share(figures: Figures, rate: str, part: str, whole: str) -> str:
    value: float | None = getattr(figures, rate)
    if value is None:
        return NONE
    return f"{value:.2%} ({_count(figures, part)} of {_count(figures, whole)})"


def _error(figures: Figures) -> str:
    return NONE if figures.calibration_error is None else f"{figures.calibration_error:.3f}"


def _as_json(report: Report) -> dict[str, Any]:
    def named(groups: Mapping[str, Figures]) -> dict[str, Any]:
        return {name: _figures(figures) for name, figures in groups.items()}

    return {
        "overall": _figures(report.overall),
        "splits": named(report.splits),
        "tags": named(report.tags),
        "confusion": report.confusion,
        "wrong": list(report.wrong),
    }


def _figures(figures: Figures) -> dict[str, Any]:
    rates = {rate: getattr(figures, rate) for _, rate, _, _ in RATES}
    return {**rates, **figures._asdict()}
