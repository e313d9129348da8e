"""What the log says of inputs and outputs: commitments that bind, ciphertexts that open in one place.

The end of a subject's key is the end of both.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subgraph.audit import ErrorNote, HostCallNote, payloads
from subgraph.audit.entry import (
    MAX_ACTOR_CHARACTERS,
    MAX_ENTRY_BYTES,
    MAX_ITEM_CHARACTERS,
    MAX_LIST_ITEMS,
    MAX_TEXT_CHARACTERS,
)
from subgraph.audit.invocations import HOST_CALLS_IN_ENTRY, MAX_TARGET_CHARACTERS
from subgraph.audit.key_files import KeyFileRefused
from subgraph.audit.payloads import MAX_SEALED_BYTES, KeyUnusable, Part, SubjectKey, SubjectKeys, commitment
from subgraph.settings import PayloadMode
from subgraph.storage import Database
from tests.audit.factory import finished
from tests.support.postgres import execute, run, settings_for

T = TypeVar("T")

KEY = SubjectKey(bytes(range(32)))
OTHER = SubjectKey(bytes(32))
RUN = "0191b2f0-0000-4000-8000-000000000001"
OTHER_RUN = "0191b2f0-0000-4000-8000-000000000002"


def test_a_commitment_is_an_hmac_under_a_salt_of_its_own() -> None:
    salt = hmac.new(bytes(range(32)), f"cyberos.payload/1 salt {RUN} input".encode(), hashlib.sha256).digest()
    expected = hmac.new(salt, b'{"mst":"0123456789"}', hashlib.sha256).hexdigest()
    assert KEY.salt(RUN, Part.INPUT) == salt
    assert KEY.commitment(RUN, Part.INPUT, b'{"mst":"0123456789"}') == expected
    assert commitment(salt, b'{"mst":"0123456789"}') == expected


def test_salts_commitments_and_ids_differ_by_key_run_and_part() -> None:
    places = [(key, run_id, part) for key in (KEY, OTHER) for run_id in (RUN, OTHER_RUN) for part in Part]
    assert len({key.salt(run_id, part) for key, run_id, part in places}) == len(places)
    assert len({key.commitment(run_id, part, b"{}") for key, run_id, part in places}) == len(places)
    assert KEY.key_id != OTHER.key_id
    assert len(KEY.key_id) == 16


@given(st.binary(max_size=200), st.binary(max_size=200))
@settings(max_examples=50)
def test_what_is_sealed_opens_in_its_place_alone(data: bytes, other: bytes) -> None:
    sealed = KEY.seal(RUN, Part.INPUT, data)
    assert KEY.open(RUN, Part.INPUT, sealed) == data
    elsewhere = [(OTHER, RUN, Part.INPUT), (KEY, OTHER_RUN, Part.INPUT), (KEY, RUN, Part.OUTPUT)]
    for key, run_id, part in elsewhere:
        with pytest.raises(ValueError, match="not of this place and key"):
            key.open(run_id, part, sealed)
    mixed = sealed | {"nonce": KEY.seal(RUN, Part.INPUT, other)["nonce"]}
    with pytest.raises(ValueError, match="not of this place and key"):
        KEY.open(RUN, Part.INPUT, mixed)
    assert KEY.seal(RUN, Part.INPUT, data) != sealed, "a nonce is used once"


def test_a_key_is_never_shown() -> None:
    for text in (repr(KEY), str(KEY), f"{KEY}", repr([KEY])):
        assert "\\x" not in text
        assert "SubjectKey()" in text


def texts(limit: int) -> st.SearchStrategy[str]:
    """Texts as long as they may be, of characters that JSON writes in one byte to six."""
    return st.sampled_from('a\x01\x1f"\\é漢😀').map(lambda character: character * limit)


@given(
    st.fixed_dictionaries(
        {
            "actor": texts(MAX_ACTOR_CHARACTERS),
            "capabilities": texts(MAX_ITEM_CHARACTERS).map(lambda text: (text,) * MAX_LIST_ITEMS),
            "error": texts(MAX_TEXT_CHARACTERS).map(lambda text: ErrorNote(code="A" * 40, message=text)),
            "host_calls": texts(MAX_TARGET_CHARACTERS).map(
                lambda text: (
                    (
                        HostCallNote(
                            function="search_memory", target=text, outcome="unknown", elapsed_us=2**53 - 1
                        ),
                    )
                    * HOST_CALLS_IN_ENTRY
                )
            ),
        }
    )
)
@settings(max_examples=60)
def test_an_entry_with_everything_at_its_bound_is_one(fields: dict[str, Any]) -> None:
    sealed = {part.value: KEY.seal(RUN, part, b"a" * MAX_SEALED_BYTES) for part in (Part.INPUT, Part.OUTPUT)}
    entry = finished(sealed=sealed, limits_hit=("memory",), skill="a" * 1024, **fields)
    assert len(entry.encode()) <= MAX_ENTRY_BYTES


def test_the_longest_entry_of_all_is_one() -> None:
    worst = "\x01"  # six bytes in JSON
    call = HostCallNote(
        function="search_memory",
        target=worst * MAX_TARGET_CHARACTERS,
        outcome="unknown",
        elapsed_us=2**53 - 1,
    )
    entry = finished(
        sealed={
            part.value: KEY.seal(RUN, part, b"a" * MAX_SEALED_BYTES) for part in (Part.INPUT, Part.OUTPUT)
        },
        actor=worst * MAX_ACTOR_CHARACTERS,
        skill="a" * 1024,
        capabilities=(worst * MAX_ITEM_CHARACTERS,) * MAX_LIST_ITEMS,
        error=ErrorNote(code="A" * 40, message=worst * MAX_TEXT_CHARACTERS),
        host_calls=(call,) * HOST_CALLS_IN_ENTRY,
    )
    assert 0.9 * MAX_ENTRY_BYTES < len(entry.encode()) <= MAX_ENTRY_BYTES


@pytest.fixture
def keys_file(tmp_path: Path) -> Path:
    return tmp_path / "keys" / "wrapping.key"


def with_keys(
    dsn: str, file: Path, scenario: Callable[[Database, SubjectKeys, SubjectKeys], Awaitable[T]]
) -> T:
    """A scenario with the keys of two replicas."""

    async def opened() -> T:
        async with (
            Database(settings_for(dsn)) as database,
            SubjectKeys(database, file, PayloadMode.COMMITTED) as one,
            SubjectKeys(database, file, PayloadMode.COMMITTED) as two,
        ):
            return await scenario(database, one, two)

    return run(opened())


def test_replicas_have_one_key_for_a_subject(dsn: str, keys_file: Path) -> None:
    async def scenario(_: Database, one: SubjectKeys, two: SubjectKeys) -> None:
        assert await one.find("an") is None
        first, second = await one.of("an"), await two.of("an")
        assert first == second == await two.find("an")
        assert (await one.of("binh")).key_id != first.key_id

    with_keys(dsn, keys_file, scenario)


def test_a_wrapped_key_is_of_its_subject_and_its_wrapping_key(dsn: str, keys_file: Path) -> None:
    async def scenario(database: Database, one: SubjectKeys, two: SubjectKeys) -> None:
        await one.of("an")
        await one.of("binh")
        await execute(
            dsn,
            "UPDATE subject_key SET wrapped = (SELECT wrapped FROM subject_key WHERE subject = 'an')"
            " WHERE subject = 'binh'",
        )
        with pytest.raises(KeyUnusable, match="CYBEROS_AUDIT_KEYS_DIR"):
            await two.of("binh")
        assert (await two.of("an")).key_id == (await one.of("an")).key_id
        async with SubjectKeys(database, keys_file.with_name("other.key"), PayloadMode.COMMITTED) as foreign:
            for attempt in (foreign.of, foreign.find):
                with pytest.raises(KeyUnusable) as refused:
                    await attempt("an")
                assert refused.value.__cause__ is None
        await execute(dsn, "UPDATE subject_key SET wrapped = ''")
        with pytest.raises(KeyUnusable):
            await two.find("an")

    with_keys(dsn, keys_file, scenario)


@pytest.mark.parametrize("line", ["", "cyberos-wrapping-key/1 AAAA\n", "x" * 67 + "\n", "\xff\n"])
def test_a_wrapping_key_that_is_none_is_refused_without_being_shown(
    dsn: str, keys_file: Path, line: str
) -> None:
    keys_file.parent.mkdir(mode=0o700)
    keys_file.write_text(line, encoding="latin-1")
    keys_file.chmod(0o600)
    with pytest.raises(KeyFileRefused) as refused:
        with_keys(dsn, keys_file, lambda *_: pytest.fail("it was used"))
    assert "AAAA" not in str(refused.value)


def test_an_erased_key_is_used_from_memory_for_a_while_and_reads_nothing(
    dsn: str, keys_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(_: Database, one: SubjectKeys, two: SubjectKeys) -> None:
        now = [1000.0]
        monkeypatch.setattr(payloads.time, "monotonic", lambda: now[0])  # type: ignore[attr-defined]
        old = await one.of("an")
        await two.of("an")
        assert await one.erase("an", "operator") is True
        assert await one.erase("an", "operator") is False
        assert await one.find("an") is None
        assert await two.find("an") is None, "reading always asks the database"
        assert await two.of("an") == old, "writing does not, for so long"
        new = await one.of("an")
        assert new.key_id != old.key_id
        now[0] += payloads.KEPT_SECONDS - 0.001
        assert await two.of("an") == old
        now[0] += 0.002
        assert await two.of("an") == new

    with_keys(dsn, keys_file, scenario)


def test_so_many_keys_are_in_memory(dsn: str, keys_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payloads, "KEYS_KEPT", 3)

    async def scenario(_: Database, one: SubjectKeys, __: SubjectKeys) -> None:
        for name in "abcde":
            await one.of(name)
        assert list(one._kept) == ["c", "d", "e"]

    with_keys(dsn, keys_file, scenario)
