"""Runs that were cut off: an entry says that they start, and none comes any more that says how they ended.

The database keeps how far it has looked, so that a round costs as much as was started since the last one, and
decides by itself what is closed, so that any number of replicas may do this at once (sql/0009).
"""

from __future__ import annotations

import logging
from datetime import timedelta

import asyncpg

from subgraph.audit.invocations import EXECUTORS, InterruptedInvocation
from subgraph.audit.ledger import Ledger
from subgraph.audit.stored_fields import StoredFields
from subgraph.repeating import Messages, Repeating
from subgraph.storage import Database

INTERVAL_SECONDS = 30.0
"""As of the log's upkeep, which notes how long the log is: looking more often would find no more."""

LOOKED_AT = 2000
"""Starts that one statement looks at: some 100 ms, and in `INTERVAL_SECONDS` more than are ever made."""

logger = logging.getLogger(__name__)


_MESSAGES = Messages(
    logger, "runs that were cut off have to wait", "runs that were cut off could not be looked for"
)


class Interruptions(Repeating):
    """Closes runs that were cut off, at the start and every `INTERVAL_SECONDS`, in the background.

    `longest` is what a run may take from its start to its end in the log. Use it as an async context manager.
    """

    def __init__(self, database: Database, ledger: Ledger, longest: timedelta) -> None:
        self._database = database
        self._ledger = ledger
        self._longest = longest
        super().__init__(self.close_interrupted, INTERVAL_SECONDS, _MESSAGES)

    async def close_interrupted(self) -> int:
        """Record each run that was cut off and is not recorded as such yet; return how many were here.

        1. Starts are looked at that are older than `longest` by the clock of the database.
        2. Of one without an end, its own entry tells what is said of it.
        3. The database appends that, unless there is an end by now or another replica was first.

        Raises `StorageUnavailable`, also for a log that is not to be trusted, and `Overloaded`.
        """
        closed = 0
        while True:
            self._ledger.ensure_writable()
            looked = await self._database.fetchrow("run_next_unended", self._longest, LOOKED_AT)  # 1
            if looked is None or (looked["unended"] is None and looked["ended"] < LOOKED_AT):
                return closed
            if looked["unended"] is not None:
                started = await self._database.fetchrow("run_started", looked["unended"])  # 2
                if started is None:
                    return closed  # its partition was dropped just now
                entry = _interrupted(started)
                seq = await self._database.fetchval("run_interrupt", entry.started_seq, entry.encode())  # 3
                if seq is not None:
                    logger.warning("invocation %s was cut off, and is recorded so", entry.invocation_id)
                    closed += 1


def _interrupted(started: asyncpg.Record) -> InterruptedInvocation:
    """Say of a run what the entry says that started it. One that this program did not write tells less."""
    content_hash, executor = "", None
    capabilities: tuple[str, ...] = ()
    try:
        fields = StoredFields.decode(started["entry"], "invocation.started")
        content_hash, capabilities = fields.text("contentHash"), fields.texts("capabilities")
        executor = fields.text("executor")
    except ValueError:
        logger.warning("entry %d, which started a run, is not one of this program", started["seq"])
    return InterruptedInvocation(
        actor=started["actor"],
        skill=started["skill_path"] or "",
        content_hash=content_hash,
        invocation_id=str(started["invocation_id"]),
        executor=executor if executor in EXECUTORS else None,
        started_at=started["started_at"],
        started_seq=started["seq"],
        capabilities=capabilities,
    )
