"""Decisions that hold are those that the log tells; whatever is changed beside it is found."""

from __future__ import annotations

import pytest

from subgraph.audit import ChangedBank, ChangedLimits, ChangedTrust
from subgraph.audit.findings import FindingCode
from subgraph.capabilities import Authority
from subgraph.capabilities.decision_check import check_decisions
from subgraph.capabilities.decisions import sha256_of
from subgraph.storage import Database
from tests.support.postgres import execute, run, settings_for

OLD, NEW = "sha256:" + "0" * 64, "sha256:" + "1" * 64


async def decide(authority: Authority) -> None:
    """Decide of every sort, also what is taken back or decided again."""
    await authority.grant("a/one", ["read_file", "list_dir"], OLD, "ann")
    await authority.grant("a/one", ["read_file"], NEW, "bob")
    await authority.grant("a/two", ["read_file"], OLD, "ann")
    await authority.revoke_capability("a/two", "read_file", "ann")
    await authority.grant("a/one", ["list_dir"], OLD, "carl")
    await authority.revoke("a/three", "leaks", OLD, "ann")
    await authority.revoke("a/four", "", OLD, "ann")
    await authority.reinstate("a/four", "looked at", OLD, "bob")
    for tier in ("UNTRUSTED", "VERIFIED"):
        await authority.trust(
            ChangedTrust(
                actor="ann", skill="a/five", content_hash=OLD, before="LOCAL", after=tier, warning=""
            )
        )
    for limits in ({"time_ms": 10, "fuel": 5}, {"memory_bytes": 1 << 20}):
        await authority.limit(
            ChangedLimits(
                actor="ann", skill="a/five", content_hash=OLD, limits=limits, executors=("WASM", "SCRIPT")
            )
        )
    await set_bank(authority, "version: '1'")
    await set_bank(authority, None)
    await set_bank(authority, "version: '2'")


async def set_bank(authority: Authority, text: str | None) -> None:
    digest = None if text is None else sha256_of(text)
    change = ChangedBank(actor="ann", version=text, sha256=digest, skills=0, keywords=0, text=text)
    await authority.set_bank(change, text)


def found(dsn: str, *changes: str) -> list[str]:
    async def scenario() -> list[str]:
        async with Database(settings_for(dsn)) as database, Authority(database) as authority:
            await decide(authority)
            assert await check_decisions(database) == ()
            await execute(dsn, *changes)
            findings = await check_decisions(database)
            assert {each.code for each in findings} <= {FindingCode.DECISION_DIFFERS}
            return [each.message for each in findings]

    return run(scenario())


def test_what_was_decided_is_what_the_log_tells(dsn: str) -> None:
    assert found(dsn) == []


CHANGES = {
    "UPDATE capability_grant SET granted_by = 'mallory' WHERE capability = 'list_dir'": (
        f"grants, the decision about a/one list_dir {OLD} is not what the log tells."
    ),
    "INSERT INTO capability_grant SELECT 'a/two', 'get_secret', content_hash, 'ann', now() "
    "FROM skill_trust": f"grants, the decision about a/two get_secret {OLD} is in no entry of the log.",
    "UPDATE capability_grant SET content_hash = 'x' WHERE granted_by = 'bob'": (
        f"grants, the decision about a/one read_file {NEW} is missing, and the log tells of it."
    ),
    "DELETE FROM skill_revocation": (
        "revocations, the decision about a/three is missing, and the log tells of it."
    ),
    "INSERT INTO skill_trust SELECT 'a/one', tier, content_hash, 'ann', now() FROM skill_trust": (
        "trust, the decision about a/one is in no entry of the log."
    ),
    "UPDATE skill_trust SET tier = 'LOCAL'": "trust, the decision about a/five is not what the log tells.",
    "UPDATE skill_limits SET memory_bytes = NULL": (
        "limits, the decision about a/five is not what the log tells."
    ),
    "UPDATE keyword_bank SET bank = 'version: 3'": (
        "banks, the decision about keywords is not what the log tells."
    ),
    "UPDATE keyword_bank SET decided_by = 'mallory'": (
        "banks, the decision about keywords is not what the log tells."
    ),
    "DELETE FROM keyword_bank": "banks, the decision about keywords is missing, and the log tells of it.",
    "UPDATE skill_limits SET skill_path = 'a/one'": (
        "limits, the decision about a/one is in no entry of the log."
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_decision_that_was_changed_beside_the_log_is_found(dsn: str, change: str) -> None:
    assert f"In the table of {CHANGES[change]}" in found(dsn, change)


def test_a_bank_that_nobody_set_is_found(dsn: str) -> None:
    async def scenario() -> None:
        async with Database(settings_for(dsn)) as database, Authority(database) as authority:
            await set_bank(authority, "version: '1'")
            await set_bank(authority, None)
            await execute(dsn, "INSERT INTO keyword_bank VALUES (true, 'version: 1', 'ann', now())")
            (finding,) = await check_decisions(database)
            assert finding.message.endswith("the decision about keywords is in no entry of the log.")

    run(scenario())
