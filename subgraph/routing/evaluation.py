"""How well queries are routed: a labelled set of them, read strictly, and the figures of a run.

Nothing here routes. Who does gives a `Prediction` for each `Case`, and `measure` compares.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from subgraph.errors import InputInvalid
from subgraph.routing.decision import Decision, Tier
from subgraph.routing.folding import QUERY_LIMIT

Seat = Literal["CEO", "COO", "CFO", "CMO", "CTO", "CHRO", "CSO", "CLO", "CDO", "CPO"]
"""The ten seats. The emerging ones resolve to these before a decision is made."""

FILE_BYTES_LIMIT = 4 * 1024 * 1024
"""Some ten thousand cases; each is kept in memory."""

NESTING_LIMIT = 8
"""The file, its list, a case, its arguments, and lines of an invoice within them."""

BINS = 10
"""Of the calibration error: as fine as the confidence, which comes in tenths."""

NOWHERE = "(nowhere)"
"""Stands in the confusion table for no skill."""


class EvaluationInvalid(InputInvalid):
    """The evaluation set is not as documented."""


class Case(BaseModel):
    """One labelled query.

    `skill` is the path of the skill to answer it, null for none. `arguments` and `persona` are judged where
    they are given. `deferred` is the seat of the person who decides; no skill is invoked then.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    id: str = Field(pattern=r"^[a-z]+(-[a-z]+)*-[0-9]{3}$")
    query: str = Field(min_length=1, max_length=QUERY_LIMIT)
    form: Literal["NFC", "NFD"] = "NFC"
    skill: str | None = Field(pattern=r"^[a-z0-9-]+(/[a-z0-9-]+)*$")
    arguments: dict[str, JsonValue] | None = None
    persona: Seat | None = None
    deferred: Seat | None = None
    split: Literal["tuning", "held_out"] = "tuning"
    tags: list[str] = Field(min_length=1)

    @model_validator(mode="after")
    def _agree(self) -> Case:
        if self.deferred is not None and self.skill is not None:
            raise ValueError("what is deferred to a person invokes no skill: set skill to null")
        if self.arguments is not None and self.skill is None:
            raise ValueError("arguments are those of a skill, and there is none")
        if len(set(self.tags)) < len(self.tags):
            raise ValueError("a tag stands twice")
        return self

    @property
    def text(self) -> str:
        """The query in the normal form that it is to be asked in."""
        return unicodedata.normalize(self.form, self.query)


class Prediction(NamedTuple):
    """What a router did with a query.

    `skill` is the one that it picked, None for none. `activated`: that one may be invoked as it is, since
    nothing is to be asked of a person first.
    """

    skill: str | None
    confidence: float
    arguments: Mapping[str, object]
    persona: str | None
    deferred: str | None
    activated: bool

    @classmethod
    def of(cls, decision: Decision) -> Self:
        """Take what is judged of a decision."""
        # The cascade asks which skill is meant where it is not sure: the one that it names first is its pick.
        first = decision.best if decision.tier is Tier.ASK else None
        return cls(
            skill=decision.skill_name if first is None else first.skill_name,
            confidence=decision.confidence,
            arguments=decision.arguments,
            persona=decision.persona,
            deferred=None if decision.deferral is None else decision.deferral.seat,
            activated=decision.may_invoke,
        )


class Figures(NamedTuple):
    """Counts over some cases, and the rates that follow; a rate over nothing is None."""

    cases: int
    routable: int
    routed_right: int
    false_activations: int
    arguments_judged: int
    arguments_exact: int
    personas_judged: int
    personas_right: int
    deferrals: int
    deferred_right: int
    calibration_error: float | None
    activated_right: int
    wrong_activations: int
    false_picks: int

    @property
    def accuracy(self) -> float | None:
        """Of the queries that a skill answers, for how many it was picked: the first one, or top 1."""
        return _rate(self.routed_right, self.routable)

    @property
    def false_activation_rate(self) -> float | None:
        """Of the queries that no skill is to answer, for how many one may be invoked."""
        return _rate(self.false_activations, self.cases - self.routable)

    @property
    def activation_rate(self) -> float | None:
        """Of the queries that a skill answers, how many it may be invoked for with nothing to ask."""
        return _rate(self.activated_right, self.routable)

    @property
    def wrong_activation_rate(self) -> float | None:
        """Of the queries that a skill answers, for how many another one may be invoked."""
        return _rate(self.wrong_activations, self.routable)

    @property
    def false_pick_rate(self) -> float | None:
        """Of the queries that no skill is to answer, for how many one was picked, with a question or none."""
        return _rate(self.false_picks, self.cases - self.routable)

    @property
    def exact_arguments(self) -> float | None:
        """Of the queries with arguments that were routed right, how many had exactly those."""
        return _rate(self.arguments_exact, self.arguments_judged)

    @property
    def persona_accuracy(self) -> float | None:
        """Of the queries with a persona, how many got it."""
        return _rate(self.personas_right, self.personas_judged)

    @property
    def deferral_rate(self) -> float | None:
        """Of the queries that a person has to decide, how many went to the right seat."""
        return _rate(self.deferred_right, self.deferrals)


class Report(NamedTuple):
    """A run: all cases, each split, each tag, who was taken for whom, and which cases went wrong."""

    overall: Figures
    splits: Mapping[str, Figures]
    tags: Mapping[str, Figures]
    confusion: Mapping[str, Mapping[str, int]]
    wrong: tuple[str, ...]


def load_cases(path: Path) -> list[Case]:
    """Read an evaluation set; raises EvaluationInvalid that names file and line."""
    try:
        with path.open("rb") as file:
            content = file.read(FILE_BYTES_LIMIT + 1)
    except OSError as error:
        raise EvaluationInvalid(f"{path}: {error.strerror}") from error
    if len(content) > FILE_BYTES_LIMIT:
        raise EvaluationInvalid(f"{path}: more than {FILE_BYTES_LIMIT} bytes")
    return parse_cases(content, str(path))


def parse_cases(content: bytes, name: str) -> list[Case]:
    """Read an evaluation set: a mapping with `version: 1` and `cases`; raises EvaluationInvalid."""
    try:
        _refuse_depth_and_aliases(content, name)
        root = yaml.compose(content, Loader=yaml.CSafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark is not None else 1
        raise EvaluationInvalid(f"{name}:{line}: {error.problem}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise EvaluationInvalid(f"{name}: {error}") from error
    if not isinstance(root, yaml.MappingNode):
        raise EvaluationInvalid(f"{name}:1: must be a mapping with version and cases")
    _refuse_twins(root, name)
    parts = {key.value: value for key, value in root.value}
    if set(parts) != {"version", "cases"} or parts["version"].value != "1":
        raise EvaluationInvalid(f"{name}:1: must have version: 1 and cases, and nothing else")
    if not isinstance(parts["cases"], yaml.SequenceNode) or not parts["cases"].value:
        raise EvaluationInvalid(f"{name}:{_line(parts['cases'])}: cases must be a list, and not empty")
    cases = [(_case(node, name), _line(node)) for node in parts["cases"].value]
    _refuse_repetition(cases, name)
    return [case for case, _ in cases]


def _refuse_depth_and_aliases(content: bytes, name: str) -> None:
    """Look at the events first: they come one after another, while composing recurses."""
    depth = 0
    for event in yaml.parse(content, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.AliasEvent):
            raise EvaluationInvalid(f"{name}:{_line(event)}: aliases are not read")
        if isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
            depth += 1
        elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            depth -= 1
        if depth > NESTING_LIMIT:
            raise EvaluationInvalid(f"{name}:{_line(event)}: nested too deeply")


def _line(place: yaml.Node | yaml.Event) -> int:
    return place.start_mark.line + 1 if place.start_mark is not None else 1


def _refuse_twins(node: yaml.MappingNode, name: str) -> None:
    seen: set[str] = set()
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise EvaluationInvalid(f"{name}:{_line(key)}: a key must be a word")
        if key.value in seen:
            raise EvaluationInvalid(f"{name}:{_line(key)}: {key.value} stands twice")
        seen.add(key.value)


def _case(node: yaml.Node, name: str) -> Case:
    if not isinstance(node, yaml.MappingNode):
        raise EvaluationInvalid(f"{name}:{_line(node)}: a case must be a mapping")
    _refuse_twins(node, name)
    try:
        fields: dict[str, Any] = yaml.constructor.SafeConstructor().construct_document(node)
        return Case.model_validate(fields)
    except yaml.MarkedYAMLError as error:
        raise EvaluationInvalid(f"{name}:{_line(node)}: {error.problem}") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        said = first["msg"].removeprefix("Value error, ")
        raise EvaluationInvalid(f"{name}:{_line(node)}: {place + ': ' if place else ''}{said}") from error


def _refuse_repetition(cases: Iterable[tuple[Case, int]], name: str) -> None:
    ids: dict[str, int] = {}
    queries: dict[str, int] = {}
    for case, line in cases:
        for value, seen, what in ((case.id, ids, "id"), (case.text, queries, "query")):
            if value in seen:
                raise EvaluationInvalid(f"{name}:{line}: the {what} of line {seen[value]} again")
            seen[value] = line


def measure(cases: Sequence[Case], predictions: Sequence[Prediction]) -> Report:
    """Compare what was done with what is expected; both in the same order."""
    pairs = list(zip(cases, predictions, strict=True))
    confusion: dict[str, Counter[str]] = {}
    for case, prediction in pairs:
        confusion.setdefault(case.skill or NOWHERE, Counter())[prediction.skill or NOWHERE] += 1
    return Report(
        overall=_figures(pairs),
        splits={
            split: _figures([pair for pair in pairs if pair[0].split == split])
            for split in sorted({case.split for case in cases})
        },
        tags={
            tag: _figures([pair for pair in pairs if tag in pair[0].tags])
            for tag in sorted({tag for case in cases for tag in case.tags})
        },
        confusion={expected: dict(sorted(counts.items())) for expected, counts in sorted(confusion.items())},
        wrong=tuple(case.id for case, prediction in pairs if not _is_right(case, prediction)),
    )


def _figures(pairs: Sequence[tuple[Case, Prediction]]) -> Figures:
    routable = [pair for pair in pairs if pair[0].skill is not None]
    right = [pair for pair in routable if pair[0].skill == pair[1].skill]
    judged = [pair for pair in right if pair[0].arguments is not None]
    seated = [pair for pair in pairs if pair[0].persona is not None]
    deferrals = [pair for pair in pairs if pair[0].deferred is not None]
    wrong = [pair for pair in routable if pair[0].skill != pair[1].skill]
    nowhere = [prediction for case, prediction in pairs if case.skill is None]
    return Figures(
        cases=len(pairs),
        routable=len(routable),
        routed_right=len(right),
        false_activations=sum(prediction.activated for prediction in nowhere),
        arguments_judged=len(judged),
        arguments_exact=sum(case.arguments == dict(prediction.arguments) for case, prediction in judged),
        personas_judged=len(seated),
        personas_right=sum(case.persona == prediction.persona for case, prediction in seated),
        deferrals=len(deferrals),
        deferred_right=sum(_is_deferred(case, prediction) for case, prediction in deferrals),
        calibration_error=calibration_error(
            [
                (prediction.confidence, case.skill == prediction.skill)
                for case, prediction in pairs
                if prediction.skill
            ]
        ),
        activated_right=sum(prediction.activated for _, prediction in right),
        wrong_activations=sum(prediction.activated for _, prediction in wrong),
        false_picks=sum(prediction.skill is not None for prediction in nowhere),
    )


def _is_deferred(case: Case, prediction: Prediction) -> bool:
    return prediction.deferred == case.deferred and prediction.skill is None


def _is_right(case: Case, prediction: Prediction) -> bool:
    """Tell whether everything that the case judges came out."""
    return (
        prediction.skill == case.skill
        and (case.arguments is None or case.arguments == dict(prediction.arguments))
        and (case.persona is None or case.persona == prediction.persona)
        and (case.deferred is None or case.deferred == prediction.deferred)
    )


def calibration_error(picks: Iterable[tuple[float, bool]]) -> float | None:
    """Return the expected calibration error of picks: confidences, and whether each was right; None for none.

    The mean over ten bins of |mean confidence - share that was right|, weighted by how many picks a bin has.
    """
    bins: dict[int, list[tuple[float, bool]]] = {}
    total = 0
    for confidence, right in picks:
        # Full confidence belongs to the last bin.
        bins.setdefault(min(int(confidence * BINS), BINS - 1), []).append((confidence, right))
        total += 1
    if not total:
        return None
    gaps = (abs(sum(c for c, _ in members) - sum(r for _, r in members)) for members in bins.values())
    return sum(gaps) / total


def _rate(part: int, whole: int) -> float | None:
    return part / whole if whole else None
