"""How far a skill is trusted: by where it was found, or by what an operator decided for its bytes."""

from __future__ import annotations

from enum import Enum

from subgraph.catalog import InstallSource, SkillHeader


class TrustTier(Enum):
    """Trust in a skill's author, the highest first. `execution/tiers.py` says what each tier may use."""

    BUILTIN = "BUILTIN"
    LOCAL = "LOCAL"
    VERIFIED = "VERIFIED"
    UNTRUSTED = "UNTRUSTED"

    @property
    def trusted(self) -> bool:
        """Whether the skill is the operator's own choice of code, as good as a program he installs."""
        return self in (TrustTier.BUILTIN, TrustTier.LOCAL)

    def is_above(self, other: TrustTier) -> bool:
        """Whether this tier may do more than another one."""
        order = list(TrustTier)
        return order.index(self) < order.index(other)


_OPENS_TO_TRUSTED = (
    "its scripts run as programs on this machine, confined by the kernel alone; its "
    "components run without fuel; it may use commands of the operator that were granted to it"
)

_OPENS = {
    TrustTier.BUILTIN: _OPENS_TO_TRUSTED,
    TrustTier.LOCAL: _OPENS_TO_TRUSTED,
    TrustTier.VERIFIED: "its components run with the limits of verified skills, which are wider than those "
    "of skills from strangers",
}
"""What each tier opens that a decision can raise a skill to, BUILTIN those alone that are."""


def what_opens(path: str, before: TrustTier, after: TrustTier) -> str:
    """Say what moving a skill to another tier opens, for the operator who does it and for the audit trail."""
    if not after.is_above(before):
        return f"{path} goes from {before.value} to {after.value}, which opens nothing"
    return f"{path} goes from {before.value} to {after.value}: {_OPENS[after]}"


def tier_by_place(header: SkillHeader) -> TrustTier:
    """Return the tier of a skill about which nobody decided."""
    if header.source is InstallSource.BUILTIN:
        return TrustTier.BUILTIN
    return TrustTier.LOCAL if header.trusted else TrustTier.UNTRUSTED
