from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from subgraph.audit.key_files import MAX_KEY_FILE_BYTES, KeyFileRefused
from subgraph.audit.merkle import leaf_hash
from subgraph.audit.notes import Checkpoint, Signer, Verifier, open_note
from subgraph.audit.signing_key import known_keys, load_signing_key, rotate_signing_key
from subgraph.errors import StorageUnavailable

NAME = "log.example/audit"


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """Where a key file shall be, in a directory that is not there yet."""
    return tmp_path / "home" / "audit" / "log.key"


@pytest.fixture
def made(key: Path) -> Path:
    """A key file."""
    load_signing_key(key, NAME)
    return key


@pytest.fixture
def open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o7777


def public(key: Path) -> Path:
    return key.with_name(f"{key.name}.pub")


def refused(key: Path, name: str = NAME) -> str:
    with pytest.raises(KeyFileRefused) as error:
        load_signing_key(key, name)
    return error.value.message


@pytest.mark.usefixtures("open_umask")
def test_a_key_is_made_that_only_its_user_can_read(key: Path) -> None:
    load_signing_key(key, NAME)
    assert (mode(key.parent), mode(key), mode(public(key))) == (0o700, 0o600, 0o644)
    assert sorted(path.name for path in key.parent.iterdir()) == ["log.key", "log.key.pub"]
    assert key.stat().st_nlink == 1


def test_a_tight_umask_leaves_the_modes_as_they_are(key: Path) -> None:
    before = os.umask(0o277)
    try:
        key.parent.mkdir(parents=True)
        key.parent.parent.chmod(0o700)
        key.parent.chmod(0o700)
        load_signing_key(key, NAME)
    finally:
        os.umask(before)
    assert (mode(key), mode(public(key))) == (0o600, 0o644)


def test_the_same_key_is_read_again_and_nothing_is_written(made: Path) -> None:
    files = {path: path.read_bytes() for path in made.parent.iterdir()}
    written = made.parent.stat().st_mtime_ns
    first, second = load_signing_key(made, NAME), load_signing_key(made, NAME)
    assert first.skey == second.skey
    assert {path: path.read_bytes() for path in made.parent.iterdir()} == files
    assert made.parent.stat().st_mtime_ns == written


def test_the_public_key_beside_it_verifies_what_it_signs(made: Path) -> None:
    verifier = Verifier.parse(public(made).read_text().removesuffix("\n"))
    checkpoint = Checkpoint(NAME, 1, leaf_hash(b""))
    assert open_note(load_signing_key(made, NAME).sign(checkpoint), [verifier]) == checkpoint


def test_the_file_is_the_text_of_the_key_in_one_line(made: Path) -> None:
    assert made.read_text() == f"{load_signing_key(made, NAME).skey}\n"


def test_a_lost_public_key_is_written_again(made: Path) -> None:
    before = public(made).read_text()
    public(made).unlink()
    load_signing_key(made, NAME)
    assert public(made).read_text() == before


def test_threads_that_start_at_once_end_up_with_one_key(tmp_path: Path) -> None:
    callers = 8
    start = Barrier(callers)

    def load(key: Path) -> str:
        start.wait()
        return load_signing_key(key, NAME).skey

    with ThreadPoolExecutor(callers) as pool:
        for attempt in range(30):
            key = tmp_path / str(attempt) / "log.key"
            assert len(set(pool.map(load, [key] * callers))) == 1
            assert sorted(path.name for path in key.parent.iterdir()) == ["log.key", "log.key.pub"]


def test_processes_that_start_at_once_end_up_with_one_key(key: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from subgraph.audit.signing_key import load_signing_key\n"
        "print(flush=True); sys.stdin.readline()\n"
        "print(load_signing_key(Path(sys.argv[1]), sys.argv[2]).verifier.vkey)"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, key, NAME],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        for _ in range(4)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    assert {process.communicate(timeout=60)[0] for process in processes} == {public(key).read_text()}


def test_a_process_that_loses_the_race_takes_the_winners_key(
    key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    winner = Signer.generate(NAME)
    link = os.link

    def late(source: Path, target: Path) -> None:
        key.write_text(f"{winner.skey}\n")
        key.chmod(0o600)
        link(source, target)

    monkeypatch.setattr(os, "link", late)
    assert load_signing_key(key, NAME).skey == winner.skey
    assert sorted(path.name for path in key.parent.iterdir()) == ["log.key", "log.key.pub"]


@pytest.mark.parametrize("bits", [0o640, 0o604, 0o620, 0o602, 0o610, 0o601, 0o644, 0o666, 0o777])
def test_a_key_that_others_may_use_is_refused(made: Path, bits: int) -> None:
    made.chmod(bits)
    assert "chmod 600" in refused(made)


@pytest.mark.parametrize("bits", [0o600, 0o400, 0o700])
def test_a_key_of_this_user_alone_is_read(made: Path, bits: int) -> None:
    made.chmod(bits)
    assert load_signing_key(made, NAME).name == NAME


@pytest.mark.parametrize("bits", [0o770, 0o702, 0o777, 0o1777])
def test_a_directory_that_others_may_write_to_is_refused(made: Path, bits: int) -> None:
    made.parent.chmod(bits)
    assert "write" in refused(made)


def test_a_key_of_another_user_is_refused(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: made.stat().st_uid + 1)
    assert "another user" in refused(made)


def test_a_symbolic_link_is_refused(made: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.key"
    link.symlink_to(made)
    assert "is a symbolic link" in refused(link)
    link.unlink()
    link.symlink_to(tmp_path / "nowhere")
    assert "is a symbolic link" in refused(link)
    assert not (tmp_path / "nowhere").exists()


def test_a_directory_in_its_place_is_refused(key: Path) -> None:
    key.mkdir(parents=True, mode=0o700)
    assert "regular file" in refused(key)


def test_a_pipe_in_its_place_is_refused_without_waiting(key: Path) -> None:
    key.parent.mkdir(parents=True)
    os.mkfifo(key, 0o600)
    assert "regular file" in refused(key)


def test_a_file_in_the_directorys_place_is_refused(key: Path) -> None:
    key.parent.parent.mkdir(parents=True)
    key.parent.touch()
    assert "cannot be used" in refused(key)


def test_a_key_that_is_not_parsable_is_refused_without_a_word_of_it(made: Path) -> None:
    text = made.read_text()
    secret = text.rstrip().rsplit("+", 1)[1]
    whole = text.removesuffix("\n")
    for content in (
        "",
        "\n",
        whole,
        f"{text}\n",
        f"\n{text}",
        f" {text}",
        f"{text}{text}",
        f"{whole}\r\n",
        text.replace("PRIVATE", "PUBLIC"),
        text.replace(secret, secret[:-4]),
        text.replace(secret, f"C{secret[1:]}"),
        text.replace(secret, f"{secret[:-1]}{'A' if secret[-1] == 'B' else 'B'}"),
        text.replace(NAME, "log.example/other"),
        public(made).read_text(),
        "x" * (MAX_KEY_FILE_BYTES - 1) + "\n",
        "x" * MAX_KEY_FILE_BYTES + "\n",
    ):
        made.write_text(content)
        message = refused(made)
        assert "malformed" in message
        assert secret[:8] not in message


def test_a_key_that_is_no_text_is_refused_without_a_word_of_it(made: Path) -> None:
    made.write_bytes(b"secret\xff\n")
    with pytest.raises(KeyFileRefused) as error:
        load_signing_key(made, NAME)
    assert error.value.__cause__ is None
    assert "secret" not in error.value.message


def test_a_key_of_another_name_is_refused(made: Path) -> None:
    before = made.read_bytes()
    assert "log.example/other" in refused(made, "log.example/other")
    assert made.read_bytes() == before


def test_a_name_that_no_key_may_have_makes_none(key: Path) -> None:
    with pytest.raises(ValueError, match="name of a key"):
        load_signing_key(key, "a b")
    assert not key.exists()


def test_a_lost_key_is_not_replaced_unnoticed(made: Path) -> None:
    before = public(made).read_bytes()
    made.unlink()
    assert "gone" in refused(made)
    assert public(made).read_bytes() == before
    assert not made.exists()
    public(made).unlink()
    load_signing_key(made, NAME)
    assert public(made).read_bytes() != before


def test_a_key_that_is_not_that_of_the_public_key_is_refused(made: Path) -> None:
    made.write_text(f"{Signer.generate(NAME).skey}\n")
    assert "public key" in refused(made)


@pytest.mark.parametrize("call", ["fsync", "link", "fchmod"])
def test_a_disk_that_fails_leaves_no_key_and_nothing_half(
    key: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, call, fail)
    assert "No space left" in refused(key)
    assert list(key.parent.iterdir()) == []
    monkeypatch.undo()
    assert load_signing_key(key, NAME).name == NAME


def test_the_error_is_one_of_the_projects() -> None:
    assert issubclass(KeyFileRefused, StorageUnavailable)
    assert KeyFileRefused().code == "STORAGE_UNAVAILABLE"


def test_rotations_at_once_follow_one_another_and_lose_no_public_key(made: Path) -> None:
    first, together = load_signing_key(made, NAME).verifier, Barrier(4)

    def rotate(_: int) -> tuple[Verifier, Verifier]:
        together.wait()
        return rotate_signing_key(made)

    with ThreadPoolExecutor(4) as threads:
        rotations = list(threads.map(rotate, range(4)))
    retired, current = ({pair[number] for pair in rotations} for number in (0, 1))
    last = load_signing_key(made, NAME).verifier
    assert (retired - current, current - retired) == ({first}, {last})
    assert set(known_keys(made.parent)) == retired | current
    assert len(current) == 4
