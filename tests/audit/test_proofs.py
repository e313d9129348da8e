"""An entry is proved by a checkpoint, and the log's growth by two."""

from __future__ import annotations

from pathlib import Path

import pytest

from subgraph.audit.evidence import verify_evidence
from subgraph.audit.log_tree import LogDamaged, LogTree
from subgraph.audit.notes import Verifier
from subgraph.errors import InputInvalid
from tests.audit.signed_log import SignedLog, damage_of, narrow_partitions, with_signed_log
from tests.support.postgres import execute


def test_an_entry_is_proved_and_what_was_changed_is_not(
    dsn: str, tmp_path: Path, signs_when_told: None
) -> None:
    async def scenario(log: SignedLog) -> None:
        await log.grow(3)
        async with log.checkpoints() as signing:
            older = await signing.publish()
            await log.grow(300)
            entry, evidence = await signing.prove(302, older)
            verdict = verify_evidence(evidence.encode(), [Verifier.parse(signing.vkey)])
            assert (verdict.entry, verdict.seq, verdict.checkpoint.size) == (entry, 302, 303)
            assert verdict.older is not None
            assert verdict.older.size == 3
            for seq in (-1, 303, 2**53, 2**63):
                with pytest.raises(InputInvalid, match="there is no entry"):
                    await signing.prove(seq)
            await log.tamper("UPDATE audit.entry SET entry = '{}' WHERE seq = 302")
            with pytest.raises(LogDamaged, match="Entry 302 of the audit log is not the one"):
                await signing.prove(302)
            assert len(log.damage) == 1
            await damage_of(signing)

    with_signed_log(dsn, tmp_path, scenario)


def test_growth_is_proved_out_of_what_another_replica_has_just_signed(
    dsn: str, tmp_path: Path, signs_when_told: None
) -> None:
    async def scenario(log: SignedLog) -> None:
        async with log.checkpoints() as one, log.checkpoints() as two:
            await log.grow(2)
            await one.publish()
            await log.grow(5)
            newer = await two.publish()
            _, evidence = await one.prove(1, newer)
            assert verify_evidence(evidence.encode(), one.verifiers).checkpoint.size == 7
            assert log.damage == []

    with_signed_log(dsn, tmp_path, scenario)


def test_proofs_hold_when_old_entries_are_dropped(dsn: str, tmp_path: Path, signs_when_told: None) -> None:
    async def scenario(log: SignedLog) -> None:
        await execute(dsn, *narrow_partitions(512))
        async with log.checkpoints() as signing:
            await log.grow(300)
            older = await signing.publish()
            await log.grow(1500)
            early = (await signing.prove(100, older))[1].encode()
            assert await log.database.fetchval("audit_size") == 1800
            async with log.database.owner() as owner:
                assert await owner.fetchval(log.database.sql("audit_drop"), 1100) == 1024
            assert verify_evidence(early, signing.verifiers).seq == 100
            for seq in (1024, 1100, 1799):
                _, evidence = await signing.prove(seq, older)
                verdict = verify_evidence(evidence.encode(), signing.verifiers)
                assert verdict.older is not None
                assert (verdict.seq, verdict.older.size) == (seq, 300)
            with pytest.raises(InputInvalid, match="was dropped"):
                await signing.prove(1023)
            await log.grow(700)
            await signing.publish()
            for size in range(1, 2500, 37):
                await LogTree(log.database).root(size)
        assert log.damage == []

    with_signed_log(dsn, tmp_path, scenario)
