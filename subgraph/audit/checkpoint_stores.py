"""Where signed checkpoints are kept: outside of the database, whose owner they are to convict."""

from __future__ import annotations

import asyncio
import errno
import os
import secrets
import stat
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import orjson

from subgraph.errors import StorageUnavailable
from subgraph.storage.filelock import FileLock

if TYPE_CHECKING:
    from obstore.store import S3Store

NEWEST = "checkpoint"
"""Name of the newest checkpoint, as C2SP tlog-tiles has it."""

MAX_NOTE_FILE_BYTES = 128 * 1024

LOCK_SECONDS = 2.0
"""How long one process waits for another that writes a checkpoint, which takes two flushes of a disk."""

BUCKET_SECONDS = 5.0
"""For one request to a bucket, with all that it takes: a name, a connection, credentials of the machine."""

CONNECT_SECONDS = 2.0
"""Of these for a connection, which a host that is gone does not answer."""

_MAX_SIZE_DIGITS = 19

_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH


class CheckpointsRefused(StorageUnavailable):
    """Others may change what is to convict whoever changes the audit log."""


class CheckpointStore(Protocol):
    """One place. Methods raise `StorageUnavailable` when it cannot be reached."""

    @property
    def name(self) -> str:
        """What messages call it."""

    async def check(self) -> None:
        """Raise `CheckpointsRefused` where others may change what is kept, as far as that shows here."""

    async def newest(self) -> str | None:
        """Return the newest note; None when there is none."""

    async def keep(self, size: int, note: str) -> None:
        """Keep a note, and have it be the newest unless a larger one is."""

    def notes(self) -> AsyncIterator[str]:
        """Go through all notes that are kept."""


class DirectoryStore:
    """A directory: the newest note in `checkpoint`, and all of a day in `<date>.jsonl`.

    Each line there is a JSON object of `size`, `at` and `note`. Several processes may share the directory.
    Whoever can delete all of it can have the log signed anew: that convicts nobody but by what was kept in a
    bucket or by a witness.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    @property
    def name(self) -> str:
        """Its name for messages, which callers may see: without the path."""
        return "the checkpoint directory"

    async def check(self) -> None:
        """Raise `CheckpointsRefused` unless only this user may write to the directory and its files."""
        await asyncio.to_thread(self._check)

    async def newest(self) -> str | None:
        """Return the newest note; None when there is none."""
        return await asyncio.to_thread(self._newest)

    async def keep(self, size: int, note: str) -> None:
        """Keep a note; it is on disk when this returns."""
        await asyncio.to_thread(self._keep, size, note)

    async def notes(self) -> AsyncIterator[str]:
        """Go through all notes, oldest day first."""
        for path in await asyncio.to_thread(lambda: sorted(self._directory.glob("*.jsonl"))):
            for note in await asyncio.to_thread(_notes_of, path):
                yield note

    def _check(self) -> None:
        """1. The directory is one of this user, no link, and only this user may write to it.

        2. So is each file in it that is read: a name in a directory of ours may be that of anybody's file.
        """
        try:
            _refuse_others(self._directory)  # 1
            for path in (self._directory / NEWEST, *self._directory.glob("*.jsonl")):  # 2
                _refuse_others(path)
        except OSError as error:
            raise self._unavailable(error) from error

    def _newest(self) -> str | None:
        try:
            return _read(self._directory / NEWEST, MAX_NOTE_FILE_BYTES).decode("utf-8", "replace")
        except FileNotFoundError:
            return self._last_of_days()
        except OSError as error:
            raise self._unavailable(error) from error

    def _last_of_days(self) -> str | None:
        """The last note of the last day, for a directory whose `checkpoint` is missing."""
        for path in sorted(self._directory.glob("*.jsonl"), reverse=True):
            notes = _notes_of(path)
            if notes:
                return max(notes, key=_size_of)
        return None

    def _keep(self, size: int, note: str) -> None:
        try:
            self._directory.mkdir(mode=0o755, parents=True, exist_ok=True)
            with FileLock(self._directory / ".lock") as lock:
                if not lock.exclusive(LOCK_SECONDS):
                    raise StorageUnavailable(f"Another process holds the checkpoints of {self.name}.")
                newest, now = self._newest(), datetime.now(UTC)
                line = orjson.dumps({"size": size, "at": now, "note": note}) + b"\n"
                _append(self._directory / f"{now.date().isoformat()}.jsonl", line)
                if newest is None or _size_of(newest) < size:
                    _replace(self._directory / NEWEST, note.encode())
                elif not (self._directory / NEWEST).exists():
                    _replace(self._directory / NEWEST, newest.encode())
        except OSError as error:
            raise self._unavailable(error) from error

    def _unavailable(self, error: OSError) -> StorageUnavailable:
        return StorageUnavailable(f"Checkpoints cannot be kept in {self.name}: {error.strerror}.")


class BucketStore:
    """A bucket that speaks S3: the newest note in `checkpoint`, each one below `checkpoints/`.

    Those there are named by the log's size and by what they hold, so that no other note takes the place of
    one. Credentials and region come from the environment, as every client of S3 takes them
    (`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_REGION`, or the role of the machine).
    """

    def __init__(self, address: str, endpoint: str | None = None) -> None:
        self._store = _s3_store(address, endpoint)

    @property
    def name(self) -> str:
        """Its name for messages, which callers may see: without the address."""
        return "the checkpoint bucket"

    async def check(self) -> None:
        """Do nothing: who may write to a bucket, its own account alone can tell."""

    async def newest(self) -> str | None:
        """Return the newest note; None when there is none."""
        return await self._read(NEWEST)

    async def keep(self, size: int, note: str) -> None:
        """Keep a note. Of several services that share the bucket, the last one has the newest."""
        digest = sha256(note.encode()).hexdigest()[:16]
        await self._write(f"checkpoints/{size:020}-{digest}", note)
        if _size_of(await self.newest()) < size:
            await self._write(NEWEST, note)

    async def notes(self) -> AsyncIterator[str]:
        """Go through all notes, the smallest log first."""
        pages = aiter(self._store.list("checkpoints/"))
        while True:
            with self._guard():
                async with asyncio.timeout(BUCKET_SECONDS):
                    page = await anext(pages, None)
            if page is None:
                return
            for each in page:
                note = await self._read(each["path"])
                if note is not None:
                    yield note

    async def _read(self, path: str) -> str | None:
        with self._guard():
            async with asyncio.timeout(BUCKET_SECONDS):
                try:
                    found = await self._store.get_async(path)
                except FileNotFoundError:
                    return None
                if found.meta["size"] > MAX_NOTE_FILE_BYTES:
                    return ""  # which is no note either
                return bytes(await found.bytes_async()).decode("utf-8", "replace")

    async def _write(self, path: str, note: str) -> None:
        with self._guard():
            async with asyncio.timeout(BUCKET_SECONDS):
                await self._store.put_async(path, note.encode())

    @contextmanager
    def _guard(self) -> Iterator[None]:
        from obstore.exceptions import BaseError

        try:
            yield
        except (BaseError, OSError) as error:
            # Without the message of the client: it may quote a request with its signature.
            raise StorageUnavailable(
                f"Checkpoints cannot be kept in {self.name} ({type(error).__name__})."
            ) from None


def _s3_store(address: str, endpoint: str | None) -> S3Store:
    try:
        from obstore.store import S3Store
    except ImportError as error:
        raise ValueError(
            "CYBEROS_CHECKPOINT_BUCKET needs the extra `s3`: pip install 'cyberos-subgraph[s3]'"
        ) from error
    bucket, _, prefix = address.removeprefix("s3://").partition("/")  # as the settings have checked
    return S3Store(
        bucket,
        prefix=prefix.rstrip("/") or None,
        config=None if endpoint is None else {"endpoint": endpoint},
        client_options={
            "allow_http": endpoint is not None and endpoint.startswith("http://"),
            "connect_timeout": timedelta(seconds=CONNECT_SECONDS),
            "timeout": timedelta(seconds=BUCKET_SECONDS),
        },
        retry_config={"max_retries": 1, "retry_timeout": timedelta(seconds=BUCKET_SECONDS)},
    )


def _size_of(note: str | None) -> int:
    """The size that a note of ours says; -1 for none. Its signature is for others to check."""
    lines = (note or "").split("\n", 2)
    if len(lines) < 3 or len(lines[1]) > _MAX_SIZE_DIGITS or not lines[1].isdecimal():
        return -1
    return int(lines[1])


def _refuse_others(path: Path) -> None:
    """Refuse a link, and what others own or may write to. What is not there yet, this user makes."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return
    if stat.S_ISLNK(status.st_mode):
        raise CheckpointsRefused(f"{path}, for checkpoints of the audit log, is a symbolic link.")
    if status.st_uid != os.geteuid():
        raise CheckpointsRefused(f"{path}, for checkpoints of the audit log, belongs to another user.")
    if status.st_mode & _OTHERS_MAY_WRITE:
        raise CheckpointsRefused(
            f"Others may write to {path}, for checkpoints of the audit log: `chmod go-w` it, "
            "then `audit verify` to see whether somebody has."
        )


def _notes_of(path: Path) -> list[str]:
    try:
        # A last line without its end is being written, or was cut off by a crash.
        lines = _read(path).split(b"\n")[:-1]
    except OSError as error:
        raise StorageUnavailable(f"Checkpoints of {path.name} cannot be read: {error.strerror}.") from error
    try:
        return [orjson.loads(line)["note"] for line in lines]
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise StorageUnavailable(f"{path.name} holds a line that is no checkpoint.") from error


def _read(path: Path, most: int = -1) -> bytes:
    """Read a regular file. A pipe in its place would hold up the log, a link would lead elsewhere."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, f"{path.name} is no regular file")
        return file.read(most)


def _append(path: Path, line: bytes) -> None:
    """Append a line; one that a crash has cut off is cut away first, so that the file stays readable."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    try:
        end = os.lseek(descriptor, 0, os.SEEK_END)
        if end and os.pread(descriptor, 1, end - 1) != b"\n":
            start = max(0, end - MAX_NOTE_FILE_BYTES)
            end = start + os.pread(descriptor, end - start, start).rfind(b"\n") + 1
            os.ftruncate(descriptor, end)
        if os.pwrite(descriptor, line, end) != len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _replace(path: Path, content: bytes) -> None:
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with unfinished.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        unfinished.chmod(0o644)
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
