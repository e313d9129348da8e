"""Signs what the log has become, every second that it grows, and keeps that outside of the database.

A checkpoint convicts whoever changes or cuts the log afterwards. It must never be signed for a log that was
changed already: each one is proved to have grown out of the one before, and where it has not, nothing is
signed any more and no skill runs.

What was signed before is what the stores have. At a start all of them are asked, so that whoever deletes the
directory of a service that is stopped is convicted by the bucket. Without a bucket nothing here can tell:
that the log then begins anew is said once in the service's log, and a witness who kept a checkpoint finds it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from subgraph.audit.checkpoint_mirror import Mirror
from subgraph.audit.checkpoint_stores import CheckpointStore
from subgraph.audit.evidence import Evidence, Growth
from subgraph.audit.log_tree import Head, LogDamaged, LogTree
from subgraph.audit.merkle import ProofInvalid, leaf_hash, verify_consistency, verify_inclusion
from subgraph.audit.notes import Checkpoint, NoteInvalid, Signer, Verifier, open_note
from subgraph.audit.signing_key import (
    keys_state,
    known_keys,
    load_signing_key,
    reload_signing_key,
    rotate_signing_key,
)
from subgraph.errors import InputInvalid, StorageUnavailable, SubgraphError

INTERVAL_SECONDS = 0.9
"""Between two checkpoints while the log grows. With what one takes to be signed and kept it stays below a
second: so much of the log could be cut unnoticed."""

KEY_NAME = "checkpoint.key"

logger = logging.getLogger(__name__)


class Checkpoints:
    """The signed checkpoints of the log. Use it as an async context manager, which signs by itself.

    `stores` are where checkpoints go. The first one must have each, and is where replicas meet; the others
    get the newest when they can be reached. `on_damage` is told once when the log turns out not to have grown
    out of what was signed.
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
        self._mirrors = [Mirror(store, self._compare) for store in stores[1:]]
        self._keys_dir = keys_dir
        self._origin = origin
        self._on_damage = on_damage
        self._signer: Signer | None = None
        self._verifiers: tuple[Verifier, ...] = ()
        self._last: tuple[Checkpoint, str] | None = None
        self._published_at = time.monotonic()
        self._damage: LogDamaged | None = None
        self._keys_state: object = None
        self._mirrored = ""
        self._said = ""
        self._lock = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Load or make the key, and check the log against the newest checkpoint.

        Raises `CheckpointsRefused`, `KeyFileRefused`, and `StorageUnavailable` when there is nothing to check
        against or with. A log that was changed does not keep the service from starting: it refuses calls, and
        says why.
        """
        for store in self._stores:
            await store.check()  # before a key is made that would say of the next start that it was here
        head = await self._tree.head()
        name = self._origin or f"cyberos-audit/{head.log_id}"
        key_file = self._keys_dir / KEY_NAME
        known_before = key_file.exists()
        self._signer = await asyncio.to_thread(load_signing_key, key_file, name)
        await asyncio.to_thread(self._learn_keys)
        try:
            await self._publish(self._stores, suspicious=known_before)  # by what any of them has
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
        await asyncio.gather(*(mirror.close() for mirror in self._mirrors))

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

        1. The key is the one that is there now; it may have been rotated.
        2. The log has grown out of the last checkpoint that was seen here, by a proof.
        3. The newest note that is kept is by a key of this log, and the log has grown out of that one as
           well: another replica may have written it.
        4. The new one is signed, and kept. The first store must have it; if it has lost what was signed
           before, it gets that again.

        Raises `LogDamaged`, and `StorageUnavailable`.
        """
        return await self._publish(self._stores[:1])

    async def _publish(self, stores: Sequence[CheckpointStore], *, suspicious: bool = False) -> str:
        async with self._lock:
            self._ensure_sound()
            try:
                await asyncio.to_thread(self._learn_keys)  # 1
                there = [await self._newest_of(number) for number in range(len(stores))]
                head = await self._tree.head()
                await self._check_growth(head)  # 2
                for store, note in zip(stores, there, strict=True):  # 3
                    await self._take_over(store.name, note, head)
                if self._last is None and suspicious and head.size:
                    _tell_beginning(head.size)
                if self._last is None or head.size > self._last[0].size:  # 4
                    await self._sign(head)
                elif there[0] != self._last[1]:
                    await self._stores[0].keep(self._last[0].size, self._last[1])
                if self._last is not None and self._last[1] != self._mirrored:
                    self._mirrored = self._last[1]
                    for mirror in self._mirrors:
                        mirror.offer(self._last[0].size, self._last[1])
            except LogDamaged as error:
                self._convict(error)
                raise
            self._published_at = time.monotonic()
            assert self._last is not None  # noqa: S101 -- `_sign` has set it
            return self._last[1]

    async def newest(self) -> tuple[Checkpoint, str]:
        """Return the newest checkpoint and its note. Raises as `publish`."""
        if self._last is None:
            await self.publish()
        assert self._last is not None  # noqa: S101 -- as above
        return self._last

    async def prove(self, seq: int, older: str | None = None) -> tuple[bytes, Evidence]:
        """Return an entry, and what proves it: with `older`, a note, also that the log has grown out of that.

        Raises `InputInvalid` for an entry that there is not, and for a note that is none of this log.
        """
        checkpoint, note = await self._covering(seq)
        entry = await self._tree.entry(seq)
        if entry is None:
            raise InputInvalid(f"entry {seq} was dropped; its hash is kept, and its bytes are not")
        growth = None
        if older is not None:
            checkpoint, note, growth = await self._growth(older, checkpoint, note)
        try:
            inclusion = await self._tree.inclusion(seq, checkpoint.size)
            verify_inclusion(leaf_hash(entry), seq, checkpoint.size, inclusion, checkpoint.root)
        except ProofInvalid as error:
            damage = LogDamaged(f"Entry {seq} of the audit log is not the one that was signed.")
            self._convict(damage)
            raise damage from error
        return entry, Evidence(entry, seq, note, inclusion, growth)

    async def rotate_key(self) -> tuple[Verifier, Verifier]:
        """Sign by a new key from now on, after a last checkpoint by the old one, which is destroyed.

        Returns both public keys. Other processes notice at their next checkpoint. Raises `KeyFileRefused`,
        and as `publish`.
        """
        await self.publish()
        async with self._lock:
            rotated = await asyncio.to_thread(rotate_signing_key, self._keys_dir / KEY_NAME)
            await asyncio.to_thread(self._learn_keys)
        return rotated

    async def kept(self, most: int) -> list[tuple[str, str]]:
        """Return the notes that are kept, each with the name of its place.

        Of a store that has more than so many, an even choice of at least half as many, and the last one.
        """
        found = []
        for store in self._stores:
            found += [(store.name, note) for note in await _spread(store.notes(), most)]
        return found

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

    async def _growth(
        self, older_note: str, checkpoint: Checkpoint, note: str
    ) -> tuple[Checkpoint, str, Growth]:
        """Prove growth out of a note that somebody kept, which convicts the log where there is none."""
        older = self.opened(older_note)
        if older.size > checkpoint.size:  # another replica may have signed it a moment ago
            note = await self.publish()
            checkpoint = self.opened(note)
        try:
            proof = await self._proved_growth(older, checkpoint)
        except LogDamaged as error:
            self._convict(error)
            raise
        return checkpoint, note, Growth(older_note, proof)

    def _ensure_sound(self) -> None:
        if self._damage is not None:
            # Another one each time: one that is raised again and again holds on to where it has been.
            raise LogDamaged(self._damage.message)

    def _convict(self, damage: LogDamaged) -> None:
        """Remember that the log was changed, and tell it once."""
        if self._damage is None:
            self._damage = damage
            self._on_damage(LogDamaged(damage.message))

    async def _newest_of(self, number: int) -> str | None:
        """Read the newest note of a store; only the first one must be there."""
        if number == 0:
            return await self._stores[0].newest()
        return await self._mirrors[number - 1].newest()

    async def _take_over(self, place: str, note: str | None, head: Head) -> None:
        """Take over what a store has, if it is newer, once the log is proved to have grown out of it."""
        if note is None or (self._last is not None and note == self._last[1]):
            return
        try:
            checkpoint = self.opened(note)
        except NoteInvalid as error:
            raise LogDamaged(f"The newest checkpoint in {place} is refused. {error.message}") from error
        await self._proved_growth(checkpoint, head.checkpoint(self._signing().name))
        if self._last is None or checkpoint.size >= self._last[0].size:
            self._last = checkpoint, note

    async def _compare(self, place: str, note: str) -> None:
        """Compare the log with what a mirror has. Raises `LogDamaged`."""
        async with self._lock:
            self._ensure_sound()
            try:
                head = await self._tree.head()
                await self._check_growth(head)
                await self._take_over(place, note, head)
            except LogDamaged as error:
                self._convict(error)
                logger.critical("%s No more checkpoints are signed, and no skill runs.", error.message)
                raise

    async def _sign(self, head: Head) -> None:
        # After the head was read: where the log tells of a rotation, the retired key no longer signs.
        await asyncio.to_thread(self._learn_keys)
        signer = self._signing()
        checkpoint = head.checkpoint(signer.name)
        note = signer.sign(checkpoint)
        await self._stores[0].keep(checkpoint.size, note)
        self._last = checkpoint, note

    async def _check_growth(self, head: Head) -> None:
        """The log has grown out of the last checkpoint that was seen here; or it has been cut."""
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
                self._say_once(f"no checkpoint: {error.message}")
            except Exception:  # whatever it is, the next attempt may do better
                logger.exception("no checkpoint")
            else:
                if self._said:
                    self._said = ""
                    logger.info("checkpoints are signed again")

    def _say_once(self, message: str) -> None:
        """Say what is wrong when it begins, and not every second of an outage."""
        if message != self._said:
            self._said = message
            logger.warning("%s", message)

    def _learn_keys(self) -> None:
        """Read the keys if their directory has changed. A signing key that is gone is used from memory."""
        state = keys_state(self._keys_dir)
        if state == self._keys_state:
            return
        verifiers = known_keys(self._keys_dir)
        signer = self._signing()
        if (self._keys_dir / KEY_NAME).exists():
            signer = reload_signing_key(self._keys_dir / KEY_NAME, signer.name)
        if signer.verifier not in verifiers:
            verifiers += (signer.verifier,)
        self._signer, self._verifiers, self._keys_state = signer, verifiers, state

    def _signing(self) -> Signer:
        if self._signer is None:
            raise RuntimeError("Checkpoints is not entered")
        return self._signer


def _tell_beginning(size: int) -> None:
    logger.error(
        "No checkpoint is kept of an audit log of %d entries, and its key was there before: unless this was "
        "meant, somebody has removed them. Compare with what a bucket or a witness has.",
        size,
    )


async def _spread(notes: AsyncIterator[str], most: int) -> list[str]:
    """Choose at most so many evenly, without ever having more in memory, and the last one."""
    chosen: list[str] = []
    step, number, last = 1, 0, None
    async for last in notes:
        if number % step == 0:
            chosen.append(last)
        if len(chosen) > most:
            chosen, step = chosen[::2], 2 * step
        number += 1
    return chosen if last is None or last in chosen[-1:] else [*chosen, last]
