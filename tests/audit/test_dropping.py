"""Whoever reads what is to be dropped holds up the one that drops, and hardly the log."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import asyncpg
import pytest

from subgraph.audit import SubjectKeys
from subgraph.audit.log_tree import LogTree
from subgraph.audit_trail import AuditTrail
from subgraph.errors import StorageUnavailable
from subgraph.principal import LOCAL_OPERATOR
from tests.audit.signed_log import SignedLog, narrow_partitions, with_signed_log
from tests.support.postgres import execute


def test_a_reader_ends_the_attempt_to_drop_and_the_log_goes_on(dsn: str, tmp_path: Path) -> None:
    async def scenario(log: SignedLog) -> None:
        await execute(log.dsn, *narrow_partitions(256))
        await log.grow(600)
        async with log.checkpoints() as signing:
            keys = cast("SubjectKeys", None)  # of payloads, which nobody asks for here
            trail = AuditTrail(log.database, LogTree(log.database), signing, keys)
            reader = await asyncpg.connect(log.dsn)
            reading = reader.transaction()
            await reading.start()
            await reader.fetchval("SELECT count(*) FROM audit.entry")
            with pytest.raises(StorageUnavailable, match=r"^Others are using"):
                await trail.drop(LOCAL_OPERATOR, 600)
            await log.grow(1)
            await reading.rollback()
            await reader.close()
            assert await trail.drop(LOCAL_OPERATOR, 600) == (0, 512)
            assert await log.size() == 602

    with_signed_log(dsn, tmp_path, scenario)
