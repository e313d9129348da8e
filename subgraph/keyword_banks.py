"""The words that an operator adds to those by which skills are found: one file, set with its audit entry."""

from __future__ import annotations

import asyncio
import functools
from dataclasses import dataclass
from datetime import datetime

from subgraph.audit import ChangedBank
from subgraph.capabilities import Authority
from subgraph.capabilities.decisions import sha256_of
from subgraph.catalog import Catalog
from subgraph.errors import InputInvalid
from subgraph.principal import Principal, Scope
from subgraph.routing import KeywordBank, RoutingDataInvalid, builtin_bank, merged
from subgraph.routing.keyword_bank import added
from subgraph.routing_desk import RoutingDesk, read_bank


@dataclass(frozen=True, slots=True)
class BankedSkill:
    """A skill that an operator's bank names. `added` are the keywords that this service has not itself.

    `is_installed` is False for one that is not in the catalogue: its keywords wait for it.
    """

    path: str
    persona: str | None
    keywords: tuple[str, ...]
    added: tuple[str, ...]
    is_installed: bool


@dataclass(frozen=True, slots=True)
class OperatorKeywords:
    """An operator's bank as it holds; without one all is None or empty but `version` and `fingerprint`.

    `version` is that of the whole bank, the built-in one included; `fingerprint` that of the catalogue that
    is routed in now. `decided_by` is None for a caller who may not know who it was (`skill:audit`).
    """

    version: str
    fingerprint: str
    text: str | None = None
    sha256: str | None = None
    decided_by: str | None = None
    decided_at: datetime | None = None
    skills: tuple[BankedSkill, ...] = ()
    idioms: tuple[str, ...] = ()


class KeywordBanks:
    """Shows and sets the operator's keyword bank. Each method names the scope that it needs.

    No skill adds to it: what one says of itself is shown, and never counted.
    """

    def __init__(self, catalog: Catalog, authority: Authority, desk: RoutingDesk) -> None:
        self._catalog = catalog
        self._authority = authority
        self._desk = desk

    async def show(self, principal: Principal) -> OperatorKeywords:
        """Show what an operator has set (`skill:read`). Raises as `RoutingDesk.snapshot`."""
        principal.require(Scope.READ)
        self._authority.ensure_current()
        return await self._shown(principal)

    async def set(self, principal: Principal, text: str, name: str = "the bank") -> OperatorKeywords:
        """Lay a file over the built-in bank, in place of the one before (`skill:grant`).

        Raises `InputInvalid`, with the line, for one that is not as `bank_of` and `merged` want it: a persona
        that is no seat is refused. A skill that is not installed is not: its keywords wait for it.
        """
        principal.require(Scope.GRANT)
        bank = await asyncio.to_thread(_checked, text, name)
        change = ChangedBank(
            actor=principal.actor,
            version=bank.version,
            sha256=sha256_of(text),
            skills=len(bank.skills),
            keywords=sum(len(entry.keywords) for entry in bank.skills.values()),
            text=text,
        )
        await self._authority.set_bank(change, text)
        return await self._shown(principal)

    async def clear(self, principal: Principal) -> OperatorKeywords:
        """Take the operator's bank away (`skill:grant`); where there is none, nothing is recorded."""
        principal.require(Scope.GRANT)
        change = ChangedBank(
            actor=principal.actor, version=None, sha256=None, skills=0, keywords=0, text=None
        )
        await self._authority.set_bank(change, None)
        return await self._shown(principal)

    async def _shown(self, principal: Principal) -> OperatorKeywords:
        snapshot = await self._desk.snapshot()
        own = self._authority.bank
        if own is None:
            return OperatorKeywords(snapshot.bank.version, snapshot.fingerprint)
        bank = await asyncio.to_thread(_checked, own.text, "the bank")
        installed = {header.path for header in await self._catalog.current_headers()}
        new = added(builtin_bank(), bank)
        return OperatorKeywords(
            version=snapshot.bank.version,
            fingerprint=snapshot.fingerprint,
            text=own.text,
            sha256=own.sha256,
            decided_by=own.decided_by if Scope.AUDIT in principal.scopes else None,
            decided_at=own.decided_at,
            skills=tuple(
                BankedSkill(path, entry.persona, entry.keywords, new.get(path, ()), path in installed)
                for path, entry in sorted(bank.skills.items())
            ),
            idioms=bank.idioms,
        )


# Whoever shows the bank would have it read again each time, and at its largest that takes 0.4 s.
@functools.lru_cache(maxsize=2)
def _checked(text: str, name: str) -> KeywordBank:
    """Read a file that an operator gives, also as it will lie over the built-in bank."""
    try:
        bank = read_bank(text, name)
        merged(builtin_bank(), bank)
    except RoutingDataInvalid as error:
        raise InputInvalid(error.message) from None
    return bank
