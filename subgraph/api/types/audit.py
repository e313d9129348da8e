"""Entries of the audit log, and what proves them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Self

import orjson
import strawberry
from strawberry.scalars import JSON

from subgraph.api.context import Info
from subgraph.api.types.scalars import BigInt
from subgraph.audit import base64_text
from subgraph.audit.evidence import Evidence
from subgraph.audit.log_tree import LogDamaged
from subgraph.audit.merkle import leaf_hash
from subgraph.audit.notes import Checkpoint


@strawberry.type(description="What the log was at one size, signed (C2SP tlog-checkpoint).")
class AuditCheckpoint:
    origin: str = strawberry.field(description="The log's name, which is that of its key.")
    size: BigInt = strawberry.field(description="How many entries it had.")
    root_hash: str = strawberry.field(description="Root of its Merkle tree (RFC 6962), in base64.")
    note: str = strawberry.field(description="The signed note. Keep it: the log cannot be rewritten unseen.")
    public_key: str = strawberry.field(description="The key that signs now, as signed-note writes it.")

    @classmethod
    def of(cls, checkpoint: Checkpoint, note: str, public_key: str) -> Self:
        """Present a checkpoint."""
        return cls(
            origin=checkpoint.origin,
            size=BigInt(checkpoint.size),
            root_hash=base64_text.encode(checkpoint.root),
            note=note,
            public_key=public_key,
        )


@strawberry.type(description="What proves an entry to whoever has the log's public key.")
class AuditProof:
    checkpoint: str = strawberry.field(description="The signed checkpoint that it leads to.")
    inclusion: list[str] = strawberry.field(
        description="Hashes of the inclusion proof (RFC 9162, section 2.1.3), in base64, from the leaf up."
    )
    consistency: list[str] | None = strawberry.field(
        description="Hashes of the proof of growth from `since` (section 2.1.4), in base64; null without it."
    )
    evidence: str = strawberry.field(
        description="All of it in one text, which `cyberos-skill-cli audit check` verifies offline."
    )

    @classmethod
    def of(cls, evidence: Evidence) -> Self:
        """Present evidence."""
        growth = evidence.consistency
        return cls(
            checkpoint=evidence.checkpoint,
            inclusion=list(map(base64_text.encode, evidence.inclusion)),
            consistency=None if growth is None else list(map(base64_text.encode, growth.proof)),
            evidence=evidence.encode().decode(),
        )


@strawberry.type(description="One entry of the audit log, as it was recorded.")
class AuditEntry:
    seq: strawberry.ID = strawberry.field(description="Its place in the log, from 0.")
    kind: str = strawberry.field(description="What happened: `invocation.finished`, `grant.created` …")
    level: str = strawberry.field(description="`info`, or `warn` for what somebody should look at.")
    at: datetime = strawberry.field(description="When.")
    actor: str = strawberry.field(description="Who.")
    skill_path: str | None = strawberry.field(description="The skill that it is about.")
    body: JSON = strawberry.field(description="All of it.")
    leaf_hash: str = strawberry.field(description="Its hash in the Merkle tree, in base64.")

    @classmethod
    def of(cls, seq: int, entry: bytes) -> Self:
        """Present an entry."""
        try:
            fields = orjson.loads(entry)
            return cls(
                seq=strawberry.ID(str(seq)),
                kind=fields["kind"],
                level=fields["level"],
                at=datetime.fromisoformat(fields["at"]),
                actor=fields["actor"],
                skill_path=fields.get("skill"),
                body=fields,
                leaf_hash=base64_text.encode(leaf_hash(entry)),
            )
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise LogDamaged(f"Entry {seq} of the audit log is not one that was ever written.") from error

    @strawberry.field(
        description="What proves it. With `since`, a signed checkpoint that somebody kept, also that the log "
        "has grown out of that one."
    )
    async def proof(
        self,
        info: Info,
        since: Annotated[
            str | None, strawberry.argument(description="A signed checkpoint, as text.")
        ] = strawberry.UNSET,
    ) -> AuditProof:
        trail, principal = info.context.service.audit_trail, info.context.principal
        older = None if since is strawberry.UNSET else since
        return AuditProof.of(await trail.prove(principal, int(self.seq), older))
