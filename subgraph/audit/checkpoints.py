"""Signs what the log has become, every second that it grows, and keeps that outside of the database.

A checkpoint convicts whoever changes or cuts the log afterwards. It must never be signed for a log that was
changed already: each one is proved to have grown out of the one before, and where it has not, nothing is
signed any more and no skill runs.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from subgraph.audit.checkpoint_stores import CheckpointStore
from subgraph.audit.evidence import Evidence, Growth
from subgraph.audit.key_files import KeyFileRefused
from subgraph.audit.log_tree import Head, LogDamaged, LogTree
from subgraph.audit.merkle import ProofInvalid, leaf_hash, verify_consistency, verify_inclusion
from subgraph.audit.notes import Checkpoint, NoteInvalid, Signer, Verifier, open_note
from subgraph.audit.signing_key import PUBLIC_SUFFIX, load_signing_key
from subgraph.errors import InputInvalid, StorageUnavailable, SubgraphError

INTERVAL_SECONDS = 1.0
"""How often a checkpoint is signed while the log grows: so much of it could be cut unnoticed."""

KEY_NAME = "checkpoint.key"

logger = logging.getLogger(__name__)


class Checkpoints:
    """The signed checkpoints of the log. Use it as an async context manager, which signs by itself.

    `stores` are where checkpoints go, the first of them where they are read from. `on_damage` is told once
    when the log turns out not to have grown out of what was signed.
    """

    def __init__(
        self,
        tree: LogTree,
        stores: Sequence[CheckpointStore],
        keys_dir: Path,
        origin: str | None = None,
        *,
        on_damage: Callable[[LogDamaged], None] = lambda _: None,
    ) -> None:
        self._tree = tree
        self._stores = stores
        self._keys_dir = keys_dir
        self._origin = origin
        self._on_damage = on_damage
        self._signer: Signer | None = None
        self._verifiers: tuple[Verifier, ...] = ()
        self._last: tuple[Checkpoint, str] | None = None
        self._published_at = time.monotonic()
        self._damage: LogDamaged | None = None
        self._unreachable: set[str] = set()
        self._lock = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Load or make the key, and check the log against the newest checkpoint.

        Raises `KeyFileRefused`, and `StorageUnavailable` when there is nothing to check against or with. A
        log that was changed does not keep the service from starting: it refuses calls, and says why.
        """
        head = await self._tree.head()
        name = self._origin or f"cyberos-audit/{head.log_id}"
        self._signer = await asyncio.to_thread(load_signing_key, self._keys_dir / KEY_NAME, name)
        self._verifiers = await asyncio.to_thread(self._known_keys)
        try:
            await self.publish()
        except LogDamaged as error:
            logger.critical("%s", error.message)
        self._task = asyncio.create_task(self._publish_by_itself())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Sign what has come since."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None
        try:
            await self.publish()
        except SubgraphError as refusal:
            logger.warning("the last entries have no checkpoint yet: %s", refusal.message)

    @property
    def verifiers(self) -> tuple[Verifier, ...]:
        """The public keys of this log, retired ones too."""
        return self._verifiers

    @property
    def vkey(self) -> str:
        """The public key that signs now, as text."""
        return self._signing().verifier.vkey

    @property
    def age_seconds(self) -> float:
        """How long ago all entries there were had a checkpoint; metrics show it."""
        return time.monotonic() - self._published_at

    async def publish(self) -> str:
        """Sign what the log is now, keep it, and return the note; that of before if nothing has come.

        1. The newest note that is kept is by a key of this log; another replica may have written it.
        2. The log has grown out of it, by a proof.
        3. The new one is signed, and kept in every store. The first must have it.

        Raises `LogDamaged`, and `StorageUnavailable`.
        """
        async with self._lock:
            if self._damage is not None:
                raise self._damage
            try:
                await self._learn_newest()
                head = await self._tree.head()
                if self._last is None or head.size > self._last[0].size:
                    await self._sign(head)
                else:
                    await self._check_growth(head)
            except LogDamaged as error:
                self._damage = error
                self._on_damage(error)
                raise
            self._published_at = time.monotonic()
            assert self._last is not None  # noqa: S101 -- `_sign` has set it
            return self._last[1]

    async def newest(self) -> tuple[Checkpoint, str]:
        """Return the newest checkpoint and its note. Raises as `publish`."""
        if self._last is None:
            await self.publish()
        assert self._last is not None  # noqa: S101
        return self._last

    async def prove(self, seq: int, older: str | None = None) -> tuple[bytes, Evidence]:
        """Return an entry, and what proves it: with `older`, a note, also that the log has grown out of that.

        Raises `InputInvalid` for an entry that there is not, and for a note that is none of this log.
        """
        checkpoint, note = await self._covering(seq)
        entry = await self._tree.entry(seq)
        if entry is None:
            raise InputInvalid(f"entry {seq} was dropped; its hash is kept, and its bytes are not")
        inclusion = await self._tree.inclusion(seq, checkpoint.size)
        growth = None if older is None else await self._growth(older, checkpoint)
        try:
            verify_inclusion(leaf_hash(entry), seq, checkpoint.size, inclusion, checkpoint.root)
        except ProofInvalid as error:
            raise LogDamaged(f"Entry {seq} of the audit log is not the one that was signed.") from error
        return entry, Evidence(entry, seq, note, inclusion, growth)

    async def kept(self) -> AsyncIterator[tuple[str, Checkpoint]]:
        """Go through all checkpoints that are kept, with the name of the place.

        Raises `NoteInvalid` for one that no key of this log has signed.
        """
        for store in self._stores:
            async for note in store.notes():
                yield store.name, self.opened(note)

    def opened(self, note: str) -> Checkpoint:
        """Read a note that a key of this log has signed. Raises `NoteInvalid`."""
        checkpoint = open_note(note, self._verifiers)
        if checkpoint.origin != self._signing().name:
            raise NoteInvalid(f"The checkpoint is of another log, {checkpoint.origin!r}.")
        return checkpoint

    async def _covering(self, seq: int) -> tuple[Checkpoint, str]:
        last = await self.newest()
        if seq >= last[0].size:
            await self.publish()
            last = await self.newest()
        if not 0 <= seq < last[0].size:
            raise InputInvalid(f"there is no entry {seq}: the log has {last[0].size}")
        return last

    async def _growth(self, note: str, checkpoint: Checkpoint) -> Growth:
        older = self.opened(note)
        if older.size > checkpoint.size:
            raise LogDamaged(f"The audit log has {checkpoint.size} entries, and had {older.size}.")
        return Growth(note, await self._proved_growth(older, checkpoint))

    async def _learn_newest(self) -> None:
        """Take over what another replica has signed; at the start, what any store has."""
        known = self._stores if self._last is None else self._stores[:1]
        for store in known:
            try:
                note = await store.newest()
            except StorageUnavailable as error:
                if store is self._stores[0]:
                    raise
                self._note_unreachable(store, error)
                continue
            if note is None or (self._last is not None and note == self._last[1]):
                continue
            try:
                checkpoint = self.opened(note)
            except NoteInvalid as error:
                raise LogDamaged(
                    f"The newest checkpoint in {store.name} is refused. {error.message}"
                ) from error
            if self._last is None or checkpoint.size > self._last[0].size:
                self._last = checkpoint, note

    async def _sign(self, head: Head) -> None:
        signer = self._signing()
        checkpoint = head.checkpoint(signer.name)
        if self._last is not None:
            await self._proved_growth(self._last[0], checkpoint)
        note = signer.sign(checkpoint)
        for number, store in enumerate(self._stores):
            try:
                await store.keep(checkpoint.size, note)
            except StorageUnavailable as error:
                if number == 0:
                    raise
                self._note_unreachable(store, error)
            else:
                self._unreachable.discard(store.name)
        self._last = checkpoint, note

    async def _check_growth(self, head: Head) -> None:
        """The log has not grown: then it is what was signed, or has been cut."""
        if self._last is not None:
            await self._proved_growth(self._last[0], head.checkpoint(self._signing().name))

    async def _proved_growth(self, older: Checkpoint, newer: Checkpoint) -> tuple[bytes, ...]:
        if newer.size < older.size:
            raise LogDamaged(
                f"The audit log has {newer.size} entries, and a checkpoint was signed when it had "
                f"{older.size}: its end was cut off, or an older copy of the database was restored."
            )
        proof = await self._tree.consistency(older.size, newer.size)
        try:
            verify_consistency(older.size, older.root, newer.size, newer.root, proof)
        except ProofInvalid as error:
            raise LogDamaged(
                f"The audit log has not grown out of what was signed when it had {older.size} entries."
            ) from error
        return proof

    async def _publish_by_itself(self) -> None:
        while True:
            await asyncio.sleep(INTERVAL_SECONDS)
            try:
                await self.publish()
            except LogDamaged as error:
                logger.critical("%s No more checkpoints are signed, and no skill runs.", error.message)
                return
            except StorageUnavailable as error:
                logger.warning("no checkpoint: %s", error.message)
            except Exception:  # whatever it is, the next attempt may do better
                logger.exception("no checkpoint")

    def _note_unreachable(self, store: CheckpointStore, error: StorageUnavailable) -> None:
        if store.name not in self._unreachable:
            self._unreachable.add(store.name)
            logger.error("%s", error.message)

    def _known_keys(self) -> tuple[Verifier, ...]:
        keys = []
        for path in sorted(self._keys_dir.glob(f"*{PUBLIC_SUFFIX}")):
            try:
                keys.append(Verifier.parse(path.read_text(encoding="utf-8").rstrip("\n")))
            except (OSError, ValueError) as error:
                raise KeyFileRefused(f"The public key {path} cannot be used: {error}.") from error
        return tuple(keys)

    def _signing(self) -> Signer:
        if self._signer is None:
            raise RuntimeError("Checkpoints is not entered")
        return self._signer
