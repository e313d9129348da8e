"""What people decide about skills: capabilities, requests for them, trust, limits, revocations.

Each decision is checked, then made durable together with the audit entry that tells of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from subgraph.audit import ChangedLimits, ChangedTrust
from subgraph.audit.entry import MAX_TEXT_CHARACTERS
from subgraph.capabilities import (
    LIMIT_NAMES,
    Authority,
    Broker,
    Capability,
    CapabilityChanges,
    CapabilityRequest,
    Grant,
    LimitDecision,
    RequestState,
    Revocation,
    TrustTier,
    parse_capability,
    tier_by_place,
    what_opens,
)
from subgraph.capabilities.vocabulary import CAPABILITY_LIMIT, describe
from subgraph.catalog import ActivatedSkill, Catalog, SkillHeader, exact_name
from subgraph.errors import GrantStale, InputInvalid, SubgraphError
from subgraph.execution.invocation import Executor
from subgraph.execution.tiers import RunPolicy, TierPolicies
from subgraph.principal import Principal, Scope
from subgraph.settings import LONGEST_TIME_MS, MIB

_BOUNDS = {
    "time_ms": (10, LONGEST_TIME_MS),
    "memory_bytes": (MIB, 2048 * MIB),
    "output_bytes": (1024, 256 * MIB),
    "fuel": (1, 10**13),
    "host_calls": (0, 1_000_000),
}
"""Bounds of the limits that an operator can set for one skill; the first three are those of the settings."""


@dataclass(frozen=True, slots=True)
class DeclaredCapability:
    """What a skill declares in `allowed-tools`, what that would let it do at most, and what became of it.

    `problem` tells why this host cannot grant it: another host's tool, or a malformed pattern. `grant` and
    `request` name people, and are None for a caller who may not know them.
    """

    capability: Capability
    description: str
    problem: str | None
    is_granted: bool
    grant: Grant | None
    request: CapabilityRequest | None


@dataclass(frozen=True, slots=True)
class SkillTrust:
    """How far a skill is trusted, what one run of it may use, and what an operator decided for it alone."""

    tier: TrustTier
    policy: RunPolicy
    limits: LimitDecision | None
    warning: str | None = None


class Oversight:
    """Decisions of people, and what they rest on. Each method names the scope that it needs."""

    def __init__(
        self, catalog: Catalog, authority: Authority, broker: Broker, policies: TierPolicies
    ) -> None:
        self._catalog = catalog
        self._authority = authority
        self._broker = broker
        self._policies = policies

    # Reads

    def revocation_of(self, principal: Principal, path: str) -> Revocation | None:
        """Return the revocation of a skill, if there is one (`skill:read`)."""
        principal.require(Scope.READ)
        self._authority.ensure_current()
        return self._authority.revocation_of(path)

    async def grants(self, principal: Principal, name: str | None = None) -> list[Grant]:
        """List the newest grant of each capability, of one skill or of all (`skill:audit`)."""
        principal.require(Scope.AUDIT)
        self._authority.ensure_current()
        if name is None:
            return self._authority.all_grants()
        return list(self._authority.grants_of(self._catalog.get(name).path).values())

    async def is_valid(self, grant: Grant) -> bool:
        """Whether a grant is for the bytes that its skill has now; False when the skill is gone."""
        try:
            skill = await self._catalog.activate(exact_name(grant.skill_path))
        except SubgraphError:
            return False
        return self._broker.is_valid(skill, grant)

    async def requests(
        self, principal: Principal, state: RequestState | None = None
    ) -> list[CapabilityRequest]:
        """List the newest requests for capabilities, those that wait first (`skill:audit`)."""
        principal.require(Scope.AUDIT)
        self._authority.ensure_current()
        return [each for each in self._authority.requests() if state in (None, each.state)]

    async def declared(self, principal: Principal, name: str) -> list[DeclaredCapability]:
        """Say what a skill could do at most, and what of it was granted (`skill:read`).

        Who granted it and who asked for it is in the answer for a caller with `skill:audit` as well.
        """
        principal.require(Scope.READ)
        self._authority.ensure_current()
        skill = await self._catalog.activate(name)
        path, names_people = skill.header.path, Scope.AUDIT in principal.scopes
        declared = []
        for each in self._broker.declared(skill):
            grant = self._broker.grant_that_covers(skill, each)
            request = self._authority.request_for(path, str(each), skill.content_hash)
            declared.append(
                DeclaredCapability(
                    capability=each,
                    description=describe(each),
                    problem=each.problem,
                    is_granted=grant is not None,
                    grant=grant if names_people else None,
                    request=request if names_people else None,
                )
            )
        return declared

    async def changes(self, principal: Principal, name: str) -> CapabilityChanges:
        """Compare what a skill declares with what was approved for it (`skill:read`)."""
        principal.require(Scope.READ)
        self._authority.ensure_current()
        return self._broker.changes(await self._catalog.activate(name))

    async def trust_of(self, principal: Principal, name: str) -> SkillTrust:
        """Say how far a skill is trusted, and what one run of it may use (`skill:read`)."""
        principal.require(Scope.READ)
        self._authority.ensure_current()
        return self._trust(await self._catalog.activate(name))

    async def what_trust_opens(self, principal: Principal, name: str, tier: TrustTier) -> str:
        """Say what `trust` would open, before an operator does it (`skill:read`). Raises as that does."""
        principal.require(Scope.READ)
        self._authority.ensure_current()
        skill = await self._catalog.activate(name)
        return what_opens(skill.header.path, self._broker.tier(skill), self._moved_to(skill, tier))

    # Decisions

    async def grant(
        self, principal: Principal, name: str, capability: str, reviewed_hash: str | None = None
    ) -> Grant:
        """Grant a declared capability for the bytes that the skill has now (`skill:grant`).

        Raises `GrantStale` when those are not the ones of `reviewed_hash`, and `CapabilityDenied`.
        """
        principal.require(Scope.GRANT)
        parsed = parse_capability(capability)
        skill = await self._reviewed(name, reviewed_hash)
        self._broker.check_declared(skill, parsed)
        return (await self._grant(skill, [parsed], principal))[0]

    async def grant_all(
        self, principal: Principal, name: str, reviewed_hash: str | None = None
    ) -> list[Grant]:
        """Grant all that a skill declares and this host knows, at once (`skill:grant`). Raises as `grant`."""
        principal.require(Scope.GRANT)
        skill = await self._reviewed(name, reviewed_hash)
        wanted = [each for each in self._broker.grantable(skill) if each.is_well_formed]
        return await self._grant(skill, wanted, principal)

    async def revoke_capability(self, principal: Principal, name: str, capability: str) -> Grant:
        """Take one capability back from a skill (`skill:grant`); what runs loses it too.

        Also one that this version would not grant any more. Raises `InputInvalid` when it was not granted.
        """
        principal.require(Scope.GRANT)
        path = self._catalog.get(name).path
        await self._authority.refresh()
        held = self._authority.grants_of(path)
        text = capability.strip()
        taken = await self._authority.revoke_capability(path, text, principal.actor) if text in held else None
        if taken is None:
            raise InputInvalid(
                f"{text[:CAPABILITY_LIMIT]!r} was not granted to {path}; it was granted "
                + (" ".join(held) or "nothing")
            )
        return taken

    async def answer(
        self, principal: Principal, request_id: UUID, *, approve: bool, note: str | None = None
    ) -> CapabilityRequest:
        """Answer a request for a capability (`skill:grant`).

        Raises `InputInvalid` when there is none that waits, and `GrantStale` when the skill is no longer the
        one for which it was made.
        """
        principal.require(Scope.GRANT)
        check_note(note or "")
        request = next((each for each in self._authority.requests() if each.request_id == request_id), None)
        if request is None or request.state is not RequestState.PENDING:
            raise InputInvalid("no request with this ID waits for an answer; `capabilityRequests` lists them")
        if approve:
            skill = await self._reviewed(exact_name(request.skill_path), request.content_hash)
            self._broker.check_declared(skill, parse_capability(request.capability))
            answered = await self._authority.approve(request, note or "", principal.actor)
        else:
            answered = await self._authority.deny(request, note or "", principal.actor)
        if answered is None:
            raise InputInvalid("this request was answered by somebody else meanwhile")
        return answered

    async def revoke(self, principal: Principal, name: str, note: str | None) -> SkillHeader:
        """Revoke a skill (`skill:grant`): from now on every call is refused, and what runs is stopped.

        Revoking it again keeps the first note. Raises `InputInvalid` for a note that cannot be kept as it is.
        """
        principal.require(Scope.GRANT)
        check_note(note or "")
        header = self._catalog.get(name)
        content_hash = await self._content_hash(header)
        await self._authority.revoke(header.path, note or "", content_hash, principal.actor)
        return header

    async def reinstate(self, principal: Principal, name: str, note: str | None) -> SkillHeader:
        """Take the revocation of a skill back (`skill:grant`). Raises `InputInvalid` as `revoke`."""
        principal.require(Scope.GRANT)
        check_note(note or "")
        header = self._catalog.get(name)
        content_hash = await self._content_hash(header)
        await self._authority.reinstate(header.path, note or "", content_hash, principal.actor)
        return header

    async def trust(
        self, principal: Principal, name: str, tier: TrustTier, reviewed_hash: str | None = None
    ) -> SkillTrust:
        """Move a skill to another trust tier (`skill:grant`); the answer warns of what that opens.

        A tier above the one of its place holds for the bytes that the skill has now. Raises as `grant`, and
        `InputInvalid` for BUILTIN, which gives the skills that ship with the service their place back alone.
        """
        principal.require(Scope.GRANT)
        skill = await self._reviewed(name, reviewed_hash)
        before = self._broker.tier(skill)
        tier = self._moved_to(skill, tier)
        # The place is no decision, and LOCAL is what gives it back: `Broker.tier`.
        decided = TrustTier.LOCAL if tier is TrustTier.BUILTIN else tier
        warning = what_opens(skill.header.path, before, tier)
        await self._authority.trust(
            ChangedTrust(
                actor=principal.actor,
                skill=skill.header.path,
                content_hash=skill.content_hash,
                before=before.value,
                after=decided.value,
                warning=warning,
            )
        )
        return self._trust(skill, warning if tier.is_above(before) else None)

    async def limit(
        self,
        principal: Principal,
        name: str,
        limits: Mapping[str, int],
        executors: frozenset[Executor] | None = None,
    ) -> SkillTrust:
        """Set what one run of a skill may use, in place of all that was set before (`skill:grant`).

        What is left out is as the skill's tier has it; what is wider than that holds for the bytes that the
        skill has now. Raises `InputInvalid` for a limit that cannot be.
        """
        principal.require(Scope.GRANT)
        for limit, value in limits.items():
            if limit not in LIMIT_NAMES:
                raise InputInvalid(f"there is no limit {limit!r}; there are {', '.join(LIMIT_NAMES)}")
            least, most = _BOUNDS[limit]
            if not least <= value <= most:
                raise InputInvalid(f"{limit} must be within {least} and {most}")
        if executors is not None and not executors:
            raise InputInvalid("name an executor at least; a skill that must not run is revoked")
        skill = await self._catalog.activate(name, anew=True)
        if "fuel" in limits and self._policies.of(self._broker.tier(skill)).limits.fuel is None:
            raise InputInvalid("fuel is counted for skills that are VERIFIED or UNTRUSTED alone; set time_ms")
        names = None if executors is None else tuple(sorted(each.value for each in executors))
        await self._authority.limit(
            ChangedLimits(
                actor=principal.actor,
                skill=skill.header.path,
                content_hash=skill.content_hash,
                limits=dict(limits),
                executors=names,
            )
        )
        return self._trust(skill)

    def _moved_to(self, skill: ActivatedSkill, tier: TrustTier) -> TrustTier:
        """Return the tier that a skill has once an operator decided for one. Raises `InputInvalid`."""
        if tier_by_place(skill.header) is not TrustTier.BUILTIN:
            if tier is TrustTier.BUILTIN:
                raise InputInvalid("BUILTIN is for the skills that ship with the service; use LOCAL")
            return tier
        if not tier.trusted:
            return tier
        if self._broker.tier(skill) is TrustTier.BUILTIN:
            raise InputInvalid("it is BUILTIN, and trusted as LOCAL ones are; nothing would change")
        return TrustTier.BUILTIN

    def _trust(self, skill: ActivatedSkill, warning: str | None = None) -> SkillTrust:
        tier = self._broker.tier(skill)
        decision = self._authority.limits_of(skill.header.path)
        if warning is None and tier.is_above(tier_by_place(skill.header)):
            warning = what_opens(skill.header.path, tier_by_place(skill.header), tier)
        return SkillTrust(tier, self._policies.of(tier, decision, skill.content_hash), decision, warning)

    async def _grant(
        self, skill: ActivatedSkill, capabilities: list[Capability], principal: Principal
    ) -> list[Grant]:
        path = skill.header.path
        names = list(map(str, capabilities))
        await self._authority.grant(path, names, skill.content_hash, principal.actor)
        held = self._authority.grants_of(path)
        return [held[name] for name in names if name in held]

    async def _reviewed(self, name: str, reviewed_hash: str | None) -> ActivatedSkill:
        """Read a skill anew, and check that it is the one that a person has reviewed."""
        skill = await self._catalog.activate(name, anew=True)
        if reviewed_hash not in (None, skill.content_hash):
            raise GrantStale(f"{skill.header.path} is not what was reviewed: it has {skill.content_hash} now")
        return skill

    async def _content_hash(self, header: SkillHeader) -> str:
        """Hash a skill's files; empty when they are broken, which is no reason to let it run."""
        try:
            return (await self._catalog.activate(exact_name(header.path))).content_hash
        except SubgraphError:
            return ""


def check_note(note: str) -> None:
    """Raise `InputInvalid` for a note that the audit trail could not keep as it is."""
    try:
        note.encode()
    except UnicodeEncodeError:
        raise InputInvalid("the note holds half of a surrogate pair, which no UTF-8 text can") from None
    if "\0" in note or len(note) > MAX_TEXT_CHARACTERS:
        raise InputInvalid(
            f"the note must have at most {MAX_TEXT_CHARACTERS} characters, none of them U+0000"
        )
