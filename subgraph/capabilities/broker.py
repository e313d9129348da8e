"""The check before every run: requested ⊆ declared ⊆ granted for the bytes at hand."""

from __future__ import annotations

import json
from collections.abc import Iterable

from subgraph.capabilities.grants import Authority, Grant
from subgraph.capabilities.vocabulary import Capability, declared_capabilities, parse_capability
from subgraph.catalog import ActivatedSkill
from subgraph.errors import CapabilityDenied, GrantRequired, GrantStale, SkillRevoked


class Broker:
    """Decides whether a skill may run with the capabilities that a caller requests."""

    def __init__(self, authority: Authority) -> None:
        self._authority = authority

    def check(self, skill: ActivatedSkill, requested: Iterable[Capability]) -> None:
        """Return when the skill may run; asks nobody and waits for nothing.

        1. What people decided must be known to be current: else `StorageUnavailable`.
        2. The skill is not revoked: else `SkillRevoked`.
        3. Each requested capability is declared in `allowed-tools`: else `CapabilityDenied`.
        4. No declared capability was granted for other bytes only: else `GrantStale`. This holds for
           calls that request nothing too: a person approved a skill that is no longer this one.
        5. Each requested capability is granted: else `GrantRequired`.
        """
        # 1.
        self._authority.ensure_current()
        # 2.
        path = skill.header.path
        revocation = self._authority.revocation_of(path)
        if revocation is not None:
            note = f": {revocation.note}" if revocation.note else ""
            raise SkillRevoked(f"{path} was revoked{note}")
        # 3.
        wanted = tuple(requested)
        for capability in wanted:
            self.check_declared(skill, capability)
        # 4.
        grants = self._authority.grants_of(path).values()
        declared = declared_capabilities(skill.header.allowed_tools)
        for grant in grants:
            approved = parse_capability(grant.capability)
            if not self.is_valid(skill, grant) and any(other.covers(approved) for other in declared):
                raise GrantStale(
                    f"{path} changed since {grant.capability} was granted; review it, then grant it again: "
                    + _grant_mutation(path, approved)
                )
        # 5.
        granted = [parse_capability(grant.capability) for grant in grants if self.is_valid(skill, grant)]
        for capability in wanted:
            if not any(approved.covers(capability) for approved in granted):
                raise GrantRequired(
                    f"nobody has granted {capability} to {path}; review the skill, then grant it: "
                    + _grant_mutation(path, capability)
                )

    def check_declared(self, skill: ActivatedSkill, capability: Capability) -> None:
        """Raise `CapabilityDenied` when a skill does not declare a capability."""
        declared = declared_capabilities(skill.header.allowed_tools)
        if not any(other.covers(capability) for other in declared):
            names = " ".join(map(str, declared)) or "nothing"
            raise CapabilityDenied(
                f"{skill.header.path} does not declare {capability} in allowed-tools; it declares {names}"
            )

    def is_valid(self, skill: ActivatedSkill, grant: Grant) -> bool:
        """Whether a grant is for the bytes that the skill has now."""
        return grant.content_hash == skill.content_hash


def _grant_mutation(path: str, capability: Capability) -> str:
    arguments = f"skillName: {_quoted(path)}, capability: {_quoted(str(capability))}"
    return f"mutation {{ grantCapability({arguments}) {{ grantedAt }} }}"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
