"""The key that signs is rotated, by an operator beside a service that runs."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest

from subgraph.audit.checkpoint_stores import DirectoryStore
from subgraph.audit.checkpoints import KEY_NAME, Checkpoints
from subgraph.audit.evidence import verify_evidence
from subgraph.audit.key_files import KeyFileRefused
from subgraph.audit.log_tree import Head, LogTree
from subgraph.audit.notes import Verifier, open_note
from subgraph.audit.signing_key import known_keys, load_signing_key, rotate_signing_key
from subgraph.errors import SubgraphError
from tests.audit.signed_log import SignedLog, with_signed_log


def test_a_rotated_key_signs_at_the_next_checkpoint_of_a_process_that_runs(
    dsn: str, tmp_path: Path, signs_when_told: None
) -> None:
    async def scenario(log: SignedLog) -> None:
        await log.grow(3)
        async with log.checkpoints() as running, log.checkpoints() as operator:
            old_private = (log.keys / KEY_NAME).read_text()
            older, before = await running.publish(), Verifier.parse(running.vkey)
            retired, current = await operator.rotate_key()
            assert (retired, Verifier.parse(operator.vkey)) == (before, current)
            assert (log.keys / f"checkpoint-{retired.key_id.hex()}.pub").read_text() == f"{retired.vkey}\n"
            assert (log.keys / f"{KEY_NAME}.pub").read_text() == f"{current.vkey}\n"
            seed = old_private.strip().split("+", 4)[4]  # which may have more of them
            assert not [path for path in log.keys.iterdir() if seed in path.read_text()]
            assert await running.publish() == older, "what was signed stays signed"
            await log.grow(1)
            newer = await running.publish()
            assert open_note(newer, [current]).size == 4
            _, evidence = await running.prove(2, older)
            assert verify_evidence(evidence.encode(), [retired, current]).older is not None
        async with log.checkpoints() as signing:
            assert set(signing.verifiers) == {retired, current}
            await signing.rotate_key()
            assert len(signing.verifiers) == 3
        assert log.damage == []

    with_signed_log(dsn, tmp_path, scenario)


def test_a_retired_key_signs_nothing_that_holds_its_rotation(
    dsn: str, tmp_path: Path, signs_when_told: None
) -> None:
    class Rotated(LogTree):
        """The log of a process beside which the key is rotated before it reads how large the log is."""

        rotate = False

        async def head(self) -> Head:
            if self.rotate:
                self.rotate = False
                rotate_signing_key(log_of[0].keys / KEY_NAME)
                await log_of[0].grow(1)  # as `key.rotated` is appended
            return await super().head()

    log_of: list[SignedLog] = []

    async def scenario(log: SignedLog) -> None:
        log_of.append(log)
        tree = Rotated(log.database)
        async with Checkpoints(tree, [DirectoryStore(log.directory)], log.keys) as signing:
            before = Verifier.parse(signing.vkey)
            tree.rotate = True
            note = await signing.publish()
            assert Verifier.parse(signing.vkey) != before
            assert open_note(note, [Verifier.parse(signing.vkey)]).size == 1

    with_signed_log(dsn, tmp_path, scenario)


def test_a_rotation_that_is_cut_short_anywhere_leaves_a_key_that_signs(
    dsn: str, tmp_path: Path, signs_when_told: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(log: SignedLog) -> None:
        await log.grow(1)
        async with log.checkpoints():
            pass
        failures = 0
        for number in range(30):
            left = [number]

            def failing(real: object, left: list[int] = left) -> object:
                def call(*args: object, **named: object) -> object:
                    left[0] -= 1
                    if left[0] < 0:
                        raise OSError(errno.EIO, "the disk")
                    return real(*args, **named)  # type: ignore[operator]

                return call

            async with log.checkpoints() as signing:
                await signing.publish()
                with monkeypatch.context() as patch:
                    for name in ("open", "fsync", "replace", "unlink", "pwrite"):
                        patch.setattr(os, name, failing(getattr(os, name)))
                    try:
                        signing_key = rotate_signing_key(log.keys / KEY_NAME)
                    except KeyFileRefused:
                        failures += 1
                    else:
                        assert signing_key
            await log.grow(1)
            async with log.checkpoints() as signing:
                assert signing.opened(await signing.publish()).size == await log.size()
        assert 5 < failures < 30
        assert log.damage == []

    with_signed_log(dsn, tmp_path, scenario)


def test_processes_that_start_while_the_key_is_rotated_get_one_that_is_there(tmp_path: Path) -> None:
    path, name = tmp_path / "keys" / KEY_NAME, "log.example/audit"
    load_signing_key(path, name)
    ended = threading.Event()
    failures: list[Exception] = []

    def start() -> None:
        while not ended.is_set():
            try:
                load_signing_key(path, name)
            except SubgraphError as error:
                failures.append(error)

    starting = [threading.Thread(target=start) for _ in range(3)]
    for each in starting:
        each.start()
    try:
        rotated = [rotate_signing_key(path) for _ in range(25)]
    finally:
        ended.set()
        for each in starting:
            each.join()
    assert failures == []
    assert load_signing_key(path, name).verifier == rotated[-1][1]
    assert len(known_keys(path.parent)) == 26


def test_a_running_service_makes_no_key_where_its_keys_have_vanished(
    dsn: str, tmp_path: Path, signs_when_told: None
) -> None:
    async def scenario(log: SignedLog) -> None:
        async with log.checkpoints() as signing:
            vkey = signing.vkey
            (log.keys / KEY_NAME).unlink()
            await log.grow(1)
            assert open_note(await signing.publish(), [Verifier.parse(vkey)]).size == 1
            assert not (log.keys / KEY_NAME).exists()
            log.keys.rename(log.keys.with_name("moved"))
            with pytest.raises(KeyFileRefused):
                await signing.publish()
            log.keys.with_name("moved").rename(log.keys)
            await signing.publish()
        with pytest.raises(KeyFileRefused, match="is gone"):
            async with log.checkpoints():
                pass

    with_signed_log(dsn, tmp_path, scenario)
