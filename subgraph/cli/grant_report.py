"""The report on grants: each capability of each skill, by whom it was granted, and whether that holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from subgraph.audit import AuditRecord
from subgraph.capabilities import Grant
from subgraph.catalog import exact_name
from subgraph.cli.catalogue import NONE
from subgraph.cli.output import say, say_json, table
from subgraph.errors import SubgraphError
from subgraph.principal import Principal
from subgraph.service import Service

_NOTHING = "(none — declares nothing)"


class Holds(StrEnum):
    """Whether a row of the report holds."""

    VALID = "✓"
    STALE = "stale"
    REVOKED = "revoked"
    NOT_GRANTED = "not granted"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class ReportedGrant:
    """A row. `grant` is what is on file, `taken_back` the record of what no longer is, both None otherwise.

    `capability` is None for a skill that declares none, and for one whose files are broken.
    """

    skill: str
    capability: str | None
    holds: Holds
    grant: Grant | None = None
    taken_back: AuditRecord | None = None


async def reported_grants(
    service: Service, principal: Principal, since: datetime | None
) -> list[ReportedGrant]:
    """Report what was granted or taken back since a time, and what now is declared and not granted."""
    oversight = service.oversight
    held = await oversight.grants(principal)
    seen = {(each.skill_path, each.capability) for each in held}
    rows = [
        ReportedGrant(each.skill_path, each.capability, Holds.VALID, grant=each)
        for each in held
        if since is None or each.granted_at >= since
    ]
    for record in await service.history.taken_back(principal, since):
        key = (record.skill_path or "", record.capability or "")
        if key not in seen:  # granted again, or taken back twice
            seen.add(key)
            rows.append(ReportedGrant(*key, Holds.REVOKED, taken_back=record))
    for header in await service.skills.all(principal):
        rows += await _declared(service, principal, header.path, seen)
    return [await _held_against(service, principal, each) for each in rows]


async def _declared(
    service: Service, principal: Principal, path: str, seen: set[tuple[str, str]]
) -> list[ReportedGrant]:
    """Report what a skill declares and is in no row."""
    try:
        declared = await service.oversight.declared(principal, exact_name(path))
    except SubgraphError:
        return [ReportedGrant(path, None, Holds.BROKEN)]
    known = [each for each in declared if each.problem is None]
    if not known:
        return [ReportedGrant(path, None, Holds.VALID)]
    return [
        ReportedGrant(path, str(each.capability), Holds.NOT_GRANTED)
        for each in known
        if not each.is_granted and (path, str(each.capability)) not in seen
    ]


async def _held_against(service: Service, principal: Principal, row: ReportedGrant) -> ReportedGrant:
    """Hold a row against the revocation of its skill, and the files that this has now."""
    holds = row.holds
    if service.oversight.revocation_of(principal, row.skill) is not None:
        holds = Holds.REVOKED
    elif row.grant is not None and not await service.oversight.is_valid(row.grant):
        holds = Holds.STALE
    return ReportedGrant(row.skill, row.capability, holds, row.grant, row.taken_back)


def write_report(rows: Sequence[ReportedGrant], *, as_json: bool) -> None:
    """Write the report as a table with a last line of counts, which count its rows, or as JSON."""
    on_file = [each for each in rows if each.grant is not None]
    counted = Counter(each.holds for each in rows)
    if as_json:
        say_json(
            {
                "grants": [_of_grant(each, each.grant) for each in rows if each.grant is not None],
                "taken_back": [
                    {
                        "skill": each.skill,
                        "capability": each.capability,
                        "revoked_by": each.taken_back.actor,
                        "revoked_at": each.taken_back.at,
                    }
                    for each in rows
                    if each.taken_back is not None
                ],
                "not_granted": [
                    {"skill": each.skill, "capability": each.capability}
                    for each in rows
                    if each.holds is Holds.NOT_GRANTED
                ],
                "stale": counted[Holds.STALE],
                "revoked": counted[Holds.REVOKED],
            }
        )
        return
    table(
        ("skill", "capability", "granted_by", "valid?"),
        sorted(
            (
                each.skill,
                each.capability or (_NOTHING if each.holds is not Holds.BROKEN else NONE),
                NONE if each.grant is None else each.grant.granted_by,
                each.holds.value,
            )
            for each in rows
        ),
    )
    count = f"{len(on_file)} {'grant' if len(on_file) == 1 else 'grants'}"
    say(f"\n{count} on file · {counted[Holds.STALE]} stale · {counted[Holds.REVOKED]} revoked")


def _of_grant(row: ReportedGrant, grant: Grant) -> dict[str, object]:
    return {
        "skill": grant.skill_path,
        "capability": grant.capability,
        "granted_by": grant.granted_by,
        "granted_at": grant.granted_at,
        "content_hash": grant.content_hash,
        "valid": row.holds is Holds.VALID,
        "revoked": row.holds is Holds.REVOKED,
    }
