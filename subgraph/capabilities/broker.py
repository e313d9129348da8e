"""The check before every run, requested ⊆ declared ⊆ granted for the bytes at hand, and at each host call."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from subgraph.capabilities.authority import Authority
from subgraph.capabilities.decisions import Grant, RequestState
from subgraph.capabilities.trust import TrustTier, tier_by_place
from subgraph.capabilities.vocabulary import (
    CAPABILITY_NAMES,
    Capability,
    declared_capabilities,
    recorded_capability,
)
from subgraph.catalog import ActivatedSkill
from subgraph.errors import CapabilityDenied, GrantDenied, GrantRequired, GrantStale, SkillRevoked


@dataclass(frozen=True, slots=True)
class CapabilityChanges:
    """How what a skill declares now differs from what a person approved when it had other bytes."""

    added: tuple[Capability, ...]
    removed: tuple[Capability, ...]
    kept: tuple[Capability, ...]


class Broker:
    """Decides whether a skill may run, with which capabilities, and whether it may make a host call."""

    def __init__(self, authority: Authority) -> None:
        self._authority = authority

    def check(self, skill: ActivatedSkill, requested: Iterable[Capability] | None) -> tuple[Capability, ...]:
        """Return the capabilities that a run may use; asks nobody and waits for nothing.

        1. What people decided must be known to be current: else `StorageUnavailable`.
        2. The skill is not revoked: else `SkillRevoked`.
        3. Each requested capability is declared in `allowed-tools`: else `CapabilityDenied`.
        4. No declared capability was granted for other bytes only: else `GrantStale`. This holds for
           calls that request nothing too: a person approved a skill that is no longer this one.
        5. Each requested capability is granted: else `GrantRequired`. A run has those that it requests;
           one that does not say has all that are declared and granted.
        """
        # 1.
        self._authority.ensure_current()
        # 2.
        self.check_not_revoked(skill.header.path)
        # 3.
        wanted = None if requested is None else tuple(requested)
        for capability in wanted or ():
            self.check_declared(skill, capability)
        # 4.
        self._check_not_stale(skill)
        # 5.
        granted = self.granted(skill)
        if wanted is None:
            return tuple(
                capability
                for capability in granted
                if any(declared.covers(capability) for declared in self.declared(skill))
            )
        for capability in self.missing(skill, wanted):
            raise self._not_granted(skill, capability)
        return wanted

    def lacking(self, skill: ActivatedSkill, names: Collection[str] | None) -> list[Capability]:
        """Return what a skill declares of capabilities with these names and has nothing granted of.

        None is all that it declares. Raises `CapabilityDenied` for a name of which it declares nothing.
        """
        if names is not None and not names:
            return []  # as for every call that no router starts
        declared = [each for each in self.grantable(skill) if each.is_well_formed]
        if names is None:
            names = {each.name for each in declared}
        for name in sorted(set(names) - {each.name for each in declared}):
            raise CapabilityDenied(f"{skill.header.path} needs {name}, and does not declare it")
        granted = {each.name for each in self.granted(skill)}
        return [each for each in declared if each.name in names and each.name not in granted]

    def check_held(self, skill: ActivatedSkill, names: Collection[str] | None) -> None:
        """Raise `GrantRequired` where `lacking` finds something."""
        for capability in self.lacking(skill, names):
            raise self._not_granted(skill, capability)

    def permits(
        self, skill: ActivatedSkill, capabilities: Sequence[Capability], name: str, target: str
    ) -> bool:
        """Whether a run with these capabilities may do this now: it may have lost the grant meanwhile.

        `name` is that of a capability, `target` what it is about. Raises as steps 1 and 2 of `check`.
        """
        self._authority.ensure_current()
        self.check_not_revoked(skill.header.path)
        return any(each.name == name and each.admits(target) for each in capabilities) and any(
            each.name == name and each.admits(target) for each in self.granted(skill)
        )

    def permits_private(self, skill: ActivatedSkill, capabilities: Sequence[Capability], target: str) -> bool:
        """Whether a run may reach this address although it be private: its host was named, and is still."""
        return any(each.permits_private(target) for each in capabilities) and any(
            each.permits_private(target) for each in self.granted(skill)
        )

    def check_not_revoked(self, path: str) -> None:
        """Raise `SkillRevoked` when a skill was revoked."""
        revocation = self._authority.revocation_of(path)
        if revocation is not None:
            note = f": {revocation.note.rstrip('.')}" if revocation.note else ""
            raise SkillRevoked(
                f"{path} was revoked{note}. Whoever has the scope skill:grant can take that back: "
                f"mutation {{ reinstateSkill(name: {_quoted(path)}) {{ path }} }}"
            )

    def check_declared(self, skill: ActivatedSkill, capability: Capability) -> None:
        """Raise `CapabilityDenied` when a skill does not declare a capability."""
        declared = self.declared(skill)
        if not any(other.covers(capability) for other in declared):
            names = " ".join(map(str, declared)) or "nothing"
            raise CapabilityDenied(
                f"{skill.header.path} does not declare {capability} in allowed-tools; it declares {names}"
            )

    def declared(self, skill: ActivatedSkill) -> tuple[Capability, ...]:
        """Return what a skill declares: what it could be granted at most, and tools of other hosts."""
        return declared_capabilities(skill.header.allowed_tools)

    def grantable(self, skill: ActivatedSkill) -> list[Capability]:
        """Return what a skill declares and this host knows to grant."""
        return [each for each in self.declared(skill) if each.name in CAPABILITY_NAMES]

    def granted(self, skill: ActivatedSkill) -> list[Capability]:
        """Return what was granted to a skill for the bytes that it has."""
        return [approved for grant, approved in self._approvals(skill) if self.is_valid(skill, grant)]

    def missing(self, skill: ActivatedSkill, wanted: Iterable[Capability]) -> list[Capability]:
        """Return those capabilities that were not granted to a skill for the bytes that it has."""
        granted = self.granted(skill)
        return [each for each in wanted if not any(grant.covers(each) for grant in granted)]

    def stale(self, skill: ActivatedSkill) -> list[Capability]:
        """Return what a skill declares and was granted for other bytes alone."""
        declared = self.declared(skill)
        stale = [
            approved
            for grant, approved in self._approvals(skill)
            if not self.is_valid(skill, grant) and any(each.covers(approved) for each in declared)
        ]
        return self.missing(skill, stale)

    def grant_that_covers(self, skill: ActivatedSkill, capability: Capability) -> Grant | None:
        """Return a grant, for the bytes that the skill has, that includes a capability."""
        for grant, approved in self._approvals(skill):
            if self.is_valid(skill, grant) and approved.covers(capability):
                return grant
        return None

    def is_valid(self, skill: ActivatedSkill, grant: Grant) -> bool:
        """Whether a grant is for the bytes that the skill has now."""
        return grant.content_hash == skill.content_hash

    def changes(self, skill: ActivatedSkill) -> CapabilityChanges:
        """Compare what a skill declares with what a person approved for it, for whatever bytes."""
        declared = self.grantable(skill)
        approved = [capability for _, capability in self._approvals(skill)]
        return CapabilityChanges(
            added=tuple(each for each in declared if not any(before.covers(each) for before in approved)),
            removed=tuple(each for each in approved if not any(now.covers(each) for now in declared)),
            kept=tuple(each for each in declared if any(before.covers(each) for before in approved)),
        )

    def tier(self, skill: ActivatedSkill) -> TrustTier:
        """Return how far a skill is trusted.

        A decision that raises it holds for the bytes that it was made for; one that lowers it for any. LOCAL
        gives a skill that ships with the service its place back: no decision is BUILTIN.
        """
        by_place = tier_by_place(skill.header)
        decision = self._authority.trust_of(skill.header.path)
        if decision is None or (by_place is TrustTier.BUILTIN and decision.tier.trusted):
            return by_place
        if decision.tier.is_above(by_place) and decision.content_hash != skill.content_hash:
            return by_place
        return decision.tier

    def _approvals(self, skill: ActivatedSkill) -> Iterator[tuple[Grant, Capability]]:
        """Go through what was granted to a skill, for whatever bytes, and can still be granted.

        An older version may have granted what this one does not know: that allows nothing, and must not
        keep the rest from running.
        """
        for grant in self._authority.grants_of(skill.header.path).values():
            capability = recorded_capability(grant.capability)
            if capability is not None:
                yield grant, capability

    def _check_not_stale(self, skill: ActivatedSkill) -> None:
        stale = self.stale(skill)
        if not stale:
            return
        changes = self.changes(skill)
        new = f" It now also declares {' '.join(map(str, changes.added))}." if changes.added else ""
        gone = f" It no longer declares {' '.join(map(str, changes.removed))}." if changes.removed else ""
        raise GrantStale(
            f"{skill.header.path} changed since {stale[0]} was granted.{new}{gone} Review it, then grant it "
            f"again: {_grant_mutation(skill.header.path, stale[0])}, or take it back: revokeCapability"
        )

    def _not_granted(self, skill: ActivatedSkill, capability: Capability) -> GrantRequired:
        path = skill.header.path
        request = self._authority.request_for(path, str(capability), skill.content_hash)
        if request is not None and request.state is RequestState.DENIED:
            note = f": {request.note.rstrip('.')}" if request.note else ""
            return GrantDenied(
                f"{request.answered_by} denied {capability} to {path}{note}. What was denied cannot be "
                f"approved any more, but granted: {_grant_mutation(path, capability)}"
            )
        return GrantRequired(
            f"nobody has granted {capability} to {path}; review the skill, then grant it: "
            + _grant_mutation(path, capability)
        )


def _grant_mutation(path: str, capability: Capability) -> str:
    arguments = f"skillName: {_quoted(path)}, capability: {_quoted(str(capability))}"
    return f"mutation {{ grantCapability({arguments}) {{ grantedAt }} }}"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
