"""The fields of Query."""

from __future__ import annotations

from datetime import datetime

import strawberry
from strawberry import UNSET

from subgraph.api.context import Info
from subgraph.api.identifiers import parse_identifier, parse_seq
from subgraph.api.types import (
    AuditCheckpoint,
    AuditEntry,
    AuditRecord,
    CapabilityGrant,
    CapabilityRequest,
    Invocation,
    KeywordBank,
    Kpi,
    Persona,
    RoutingDecision,
    RoutingPreview,
    Seat,
    Skill,
    SkillProblem,
)
from subgraph.capabilities import RequestState
from subgraph.errors import SkillNotFound


@strawberry.type(description="Reads.")
class Query:
    @strawberry.field(description="A skill by short name or path; null when there is none.")
    async def skill(self, info: Info, name: str) -> Skill | None:
        try:
            return Skill(header=await info.context.service.skills.find(info.context.principal, name))
        except SkillNotFound:
            return None

    @strawberry.field(description="All skills, ordered by path.")
    async def skills(
        self, info: Info, region: str | None = UNSET, has_wasm: bool | None = UNSET
    ) -> list[Skill]:
        service, principal = info.context.service, info.context.principal
        headers = await service.skills.all(
            principal, region=region or None, has_wasm=None if has_wasm is UNSET else has_wasm
        )
        return [Skill(header=header) for header in headers]

    @strawberry.field(description="What the ledger keeps of a run; null when there is none.")
    async def invocation(self, info: Info, invocation_id: strawberry.ID) -> Invocation | None:
        identifier = parse_identifier(invocation_id)
        if identifier is None:
            return None
        found = await info.context.service.history.invocations(info.context.principal, [identifier])
        entry = found.get(identifier)
        return None if entry is None else Invocation.recorded(entry)

    @strawberry.field(
        description="What the ledger keeps of runs, newest first, with those that were cut off; `before` is "
        "the seq of the last one that is known already. A skill that is gone is found by its path. At most "
        "200 at once. Entries that cannot be read are left out: `extensions.unreadableEntries` of the answer "
        "names them."
    )
    async def invocations(
        self,
        info: Info,
        skill_name: str | None = UNSET,
        actor: str | None = UNSET,
        since: datetime | None = UNSET,
        limit: int = 50,
        before: strawberry.ID | None = UNSET,
    ) -> list[Invocation]:
        page = await info.context.service.history.past_invocations(
            info.context.principal,
            skill=skill_name or None,
            actor=actor or None,
            since=since or None,
            before=parse_seq(before) if before else None,
            limit=limit,
        )
        info.context.note_unreadable(page.unreadable)
        return [Invocation.recorded(each) for each in page.invocations]

    @strawberry.field(
        description="What people decided, calls asked them for and the router picked, newest first; "
        "`before`, the bound of `limit` and what is left out are those of `invocations`."
    )
    async def audit_decisions(
        self,
        info: Info,
        actor: str | None = UNSET,
        since: datetime | None = UNSET,
        limit: int = 50,
        before: strawberry.ID | None = UNSET,
    ) -> list[AuditRecord]:
        page = await info.context.service.history.decisions(
            info.context.principal,
            actor=actor or None,
            since=since or None,
            before=parse_seq(before) if before else None,
            limit=limit,
        )
        info.context.note_unreadable(page.unreadable)
        return [AuditRecord.of(each) for each in page.decisions]

    @strawberry.field(
        description="Key figures since the beginning of an hour, of the last seven days by default; at most "
        "of 92 days."
    )
    async def kpis(self, info: Info, since: datetime | None = UNSET) -> list[Kpi]:
        figures = await info.context.service.history.kpis(info.context.principal, since or None)
        return [Kpi.of(each) for each in figures]

    @strawberry.field(description="The newest grant of each capability, of one skill or of all.")
    async def capability_grants(self, info: Info, skill_name: str | None = UNSET) -> list[CapabilityGrant]:
        grants = await info.context.service.oversight.grants(info.context.principal, skill_name or None)
        return [CapabilityGrant(grant=grant) for grant in grants]

    @strawberry.field(
        description="The newest requests for capabilities that calls have left, those that wait first."
    )
    async def capability_requests(
        self, info: Info, state: RequestState | None = UNSET
    ) -> list[CapabilityRequest]:
        oversight, principal = info.context.service.oversight, info.context.principal
        return [
            CapabilityRequest(request=each) for each in await oversight.requests(principal, state or None)
        ]

    @strawberry.field(
        description="Which skill a query is for; it invokes nothing. `persona` routes within that seat alone."
    )
    async def route(self, info: Info, query: str, persona: Persona | None = UNSET) -> RoutingPreview:
        decision = await info.context.service.routing_desk.preview(
            info.context.principal, query, persona.value if persona else None
        )
        return RoutingPreview.of(decision)

    @strawberry.field(description="The seats that a query can belong to, in their order.")
    async def personas(self, info: Info) -> list[Seat]:
        personas = info.context.service.routing_desk.personas(info.context.principal)
        return [Seat.of(each) for each in personas]

    @strawberry.field(description="The keywords that an operator has laid over the built-in ones.")
    async def keyword_bank(self, info: Info) -> KeywordBank:
        return KeywordBank.of(await info.context.service.keyword_banks.show(info.context.principal))

    @strawberry.field(description="What the log keeps of a decision about a query; null when there is none.")
    async def decision(self, info: Info, request_id: strawberry.ID) -> RoutingDecision | None:
        identifier = parse_identifier(request_id)
        if identifier is None:
            return None
        found = await info.context.service.decision_log.find(info.context.principal, [identifier])
        return RoutingDecision.recorded(found[identifier]) if identifier in found else None

    @strawberry.field(
        description="What the log keeps of decisions about queries, newest first; `before`, the bound of "
        "`limit` and what is left out are those of `invocations`."
    )
    async def decisions(
        self,
        info: Info,
        actor: str | None = UNSET,
        since: datetime | None = UNSET,
        limit: int | None = 50,
        before: strawberry.ID | None = UNSET,
    ) -> list[RoutingDecision]:
        page = await info.context.service.decision_log.page(
            info.context.principal,
            actor=actor or None,
            since=since or None,
            before=parse_seq(before) if before else None,
            limit=50 if limit is None else limit,
        )
        info.context.note_unreadable(page.unreadable)
        return [RoutingDecision.recorded(each) for each in page.decisions]

    @strawberry.field(description="An entry of the audit log; null when there is none.")
    async def audit_entry(self, info: Info, seq: strawberry.ID) -> AuditEntry | None:
        number = parse_seq(seq)
        entry = await info.context.service.audit_trail.entry(info.context.principal, number)
        return None if entry is None else AuditEntry.of(number, entry)

    @strawberry.field(
        description="The newest signed checkpoint of the audit log. Whoever keeps it can tell later whether "
        "the log was changed."
    )
    async def audit_checkpoint(self, info: Info) -> AuditCheckpoint:
        trail = info.context.service.audit_trail
        checkpoint, note = await trail.checkpoint()
        return AuditCheckpoint.of(checkpoint, note, trail.vkey)

    @strawberry.field(description="What is wrong with skills that were found, and why others are left out.")
    async def skill_problems(self, info: Info) -> list[SkillProblem]:
        problems = await info.context.service.skills.problems(info.context.principal)
        return [SkillProblem.of(each) for each in problems]

    @strawberry.field(
        description="All skills as an agent's prompt lists them: `<available_skills>`, escaped so that no "
        "description can end it."
    )
    async def available_skills(self, info: Info) -> str:
        return await info.context.service.skills.available(info.context.principal)
