"""The audit log at the command line: proved, checked without anything, compared, erased, rotated, dropped."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from subgraph.audit.evidence import Evidence, verify_evidence
from subgraph.audit.merkle import leaf_hash
from subgraph.audit.notes import Checkpoint, Signer, Verifier, open_note
from subgraph.cli.session import operator
from tests.audit.factory import finished
from tests.audit.signed_log import narrow_partitions
from tests.cli.shell import Ended, Shell
from tests.support import guests
from tests.support.postgres import empty_database, execute, run
from tests.support.skills import component, write_skill
from tests.support.toolchain import ROOT

INPUT = '{"mark":"một"}'


@pytest.fixture(scope="module")
def shell(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    with empty_database(server) as dsn:
        shell = Shell(tmp_path_factory.mktemp("home"), dsn)
        write_skill(shell.skills, "echo", guest=component())
        yield shell


@pytest.fixture(scope="module")
def invocation(shell: Shell) -> str:
    """The id of a run, whose entry is number 0."""
    ended = shell("run", "echo", "--input", INPUT)
    assert ended.exit_code == 0, ended
    return ended.stderr.rpartition("invocation=")[2].strip()


def alone(*words: str, cwd: Path, stdin: str = "") -> Ended:
    """A command in a process without any setting, home or database."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CYBEROS_")}
    ended = subprocess.run(
        [sys.executable, "-m", "subgraph.cli", *words],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=cwd,
        env={**environment, "HOME": "/nonexistent", "PYTHONPATH": os.fspath(ROOT)},
        check=False,
    )
    return Ended(ended.returncode, ended.stdout, ended.stderr)


def test_an_entry_is_proved_and_checked_with_nothing_but_the_key(
    shell: Shell, invocation: str, tmp_path: Path
) -> None:
    bundle, note = tmp_path / "evidence.json", tmp_path / "checkpoint"
    key = shell("audit", "checkpoint", "--key").stdout.strip()
    note.write_text(shell("audit", "checkpoint").stdout)
    assert open_note(note.read_text(), [Verifier.parse(key)]).size == 1
    assert shell("run", "echo", "--input", "{}", "--quiet").exit_code == 0
    ended = shell("audit", "prove", "0", "--since", os.fspath(note), "--output", os.fspath(bundle))
    assert (ended.exit_code, ended.stdout) == (0, "")
    assert verify_evidence(bundle.read_bytes(), [Verifier.parse(key)]).seq == 0

    checked = alone("audit", "check", os.fspath(bundle), "--key", key, cwd=tmp_path)
    assert checked.exit_code == 0, checked
    first, second, entry = checked.stdout.splitlines()
    assert first.startswith("proved: entry 0 of cyberos-audit/")
    assert second == "proved: the log has grown out of what it was at 1 entries"
    assert json.loads(entry)["invocationId"] == invocation
    assert set(tmp_path.iterdir()) == {bundle, note}, "nothing else was written"

    pub = shell.home / "audit-keys" / "checkpoint.key.pub"
    piped = alone("audit", "check", "-", "--key", os.fspath(pub), cwd=tmp_path, stdin=bundle.read_text())
    assert piped.stdout == checked.stdout
    assert shell("audit", "prove", "0").stdout.startswith('{"schema":"cyberos.evidence/1"')


def test_an_entry_that_is_proved_passes_for_no_further_verdict(shell: Shell, tmp_path: Path) -> None:
    signer, bundle = Signer.generate("log.example/audit"), tmp_path / "evidence.json"
    entry = b"{}\nproved: entry 7\r\x1b[2K\xe2\x80\xaeproved"
    note = signer.sign(Checkpoint(signer.name, 1, leaf_hash(entry)))
    bundle.write_bytes(Evidence(entry, 0, note, ()).encode())
    ended = shell("audit", "check", os.fspath(bundle), "--key", signer.verifier.vkey)
    assert ended.exit_code == 0, ended
    first, second = ended.stdout.splitlines()
    assert first == "proved: entry 0 of log.example/audit, of 1"
    assert second.startswith("{}\\nproved: entry 7")
    assert "\x1b" not in second


def test_evidence_that_was_changed_is_not_proved(shell: Shell, invocation: str, tmp_path: Path) -> None:
    bundle = json.loads(shell("audit", "prove", "0").stdout)
    key = shell("audit", "checkpoint", "--key").stdout.strip()
    file = tmp_path / "evidence.json"
    changes: list[dict[str, object]] = [
        bundle | {"seq": 1},
        bundle | {"entry": "e30="},
        bundle | {"checkpoint": bundle["checkpoint"].replace("cyberos", "others")},
        {},
    ]
    for changed in changes:
        file.write_text(json.dumps(changed))
        ended = shell("audit", "check", os.fspath(file), "--key", key)
        assert ended.exit_code == 1, ended
        assert ended.stderr.startswith("NOT PROVED: ")
        assert ended.stdout == ""
    other = f"{key[:-2]}{'A' if key[-2] != 'A' else 'B'}="
    for wrong in ("nonsense", other, "n" * 5000, "a/" * 300, ""):
        ended = shell("audit", "check", os.fspath(file), "--key", wrong)
        assert (ended.exit_code, ended.stderr[:22]) == (2, "the key cannot be used"), wrong
    assert shell("audit", "check", os.fspath(file)).exit_code == 2
    missing = shell("audit", "check", os.fspath(tmp_path / "none"), "--key", key)
    assert (missing.exit_code, "cannot be read" in missing.stderr) == (1, True)


@pytest.mark.parametrize(
    ("words", "exit_code", "said"),
    [
        (("prove", "-1"), 2, "No such option: -1"),
        (("prove", "--", "-1"), 2, "greater than or equal to 0"),
        (("prove", "one"), 2, "should be a valid integer"),
        (("prove", "999999"), 1, "INPUT_INVALID: there is no entry 999999"),
        (("prove", str(2**53)), 1, "INPUT_INVALID"),
        (("prove", str(2**80)), 1, "INPUT_INVALID"),
        (("prove", "0", "--since", "/none"), 1, "cannot be read"),
        (("prove", "0", "--since", __file__), 1, "INPUT_INVALID"),
        (("prove", "0", "--output", "/none/file"), 1, "cannot be written"),
        (("payload", "none"), 2, "no id of an invocation"),
        (("payload", "0191b2f0-0000-4000-8000-000000000001"), 1, "no such invocation"),
        (("erase",), 2, "--subject"),
        (("erase", "--subject", "", "--yes"), 1, "INPUT_INVALID"),
        (("erase", "--subject", "a" * 257, "-y"), 1, "INPUT_INVALID"),
        (("erase", "--subject", "\udcff", "--yes"), 1, "INPUT_INVALID"),
        (("drop", "--before", "-1"), 2, "greater than or equal to 0"),
        (("drop", "--before", "999999", "--yes"), 1, "INPUT_INVALID: there is no entry 999999"),
        (("drop",), 2, "--before"),
        (("nonsense",), 2, "No such command"),
    ],
)
def test_what_makes_no_sense_is_refused(
    shell: Shell, invocation: str, words: tuple[str, ...], exit_code: int, said: str
) -> None:
    ended = shell("audit", *words)
    assert (ended.exit_code, said in ended.stderr) == (exit_code, True), ended


def at_a_terminal(shell: Shell, answer: str, *words: str) -> tuple[int, str]:
    """A command whose stdin is a terminal at which somebody answers: its exit code, and what it wrote."""
    person, terminal = pty.openpty()
    try:
        os.write(person, answer.encode())
        ended = subprocess.run(
            [sys.executable, "-m", "subgraph.cli", *words],
            stdin=terminal,
            capture_output=True,
            text=True,
            timeout=60,
            cwd=ROOT,
            env={**os.environ, **shell.environment},
            check=False,
        )
        return ended.returncode, ended.stdout + ended.stderr
    finally:
        os.close(person)
        os.close(terminal)


@pytest.mark.parametrize(
    "words", [("erase", "--subject", "nobody"), ("rotate-key",), ("drop", "--before", "0")]
)
def test_what_cannot_be_undone_is_confirmed(shell: Shell, invocation: str, words: tuple[str, ...]) -> None:
    key = shell("audit", "checkpoint", "--key").stdout
    size = shell("audit", "checkpoint").stdout.splitlines()[1]
    ended = shell("audit", *words, stdin="y\n")
    assert (ended.exit_code, ended.stdout) == (2, ""), "an answer from a pipe is nobody's"
    assert "Give --yes" in ended.stderr
    exit_code, said = at_a_terminal(shell, "n\n", "audit", *words)
    assert (exit_code, "nothing was done" in said) == (1, True), said
    assert shell("audit", "checkpoint", "--key").stdout == key
    assert shell("audit", "checkpoint").stdout.splitlines()[1] == size, "nothing is recorded"


def test_whoever_agrees_at_a_terminal_is_obeyed(shell: Shell, invocation: str) -> None:
    exit_code, said = at_a_terminal(shell, "y\n", "audit", "drop", "--before", "0")
    assert (exit_code, "nothing was dropped: no whole partition" in said) == (0, True), said


def test_payloads_are_compared_with_files(shell: Shell, invocation: str, tmp_path: Path) -> None:
    same, other = tmp_path / "same", tmp_path / "other"
    same.write_text(INPUT)
    other.write_text('{"mark":"hai"}')
    given = ("audit", "payload", invocation)
    ended = shell(*given, "--input", os.fspath(same), "--output", os.fspath(same))
    assert (ended.exit_code, ended.stdout) == (0, "input: the same\noutput: the same\n")
    ended = shell(*given, "--input", os.fspath(same), "--output", os.fspath(other))
    assert (ended.exit_code, ended.stdout) == (1, "input: the same\noutput: NOT the same\n")
    other.write_text(f"{INPUT}\n")
    ended = shell(*given, "--input", os.fspath(other), "--output", os.fspath(other))
    but = "the same, but for the newline at the end"
    assert (ended.exit_code, ended.stdout) == (0, f"input: {but}\noutput: {but}\n")
    shown = shell(*given)
    assert shown.stdout.count("(not kept: compare with --input or --output)") == 2
    fields = shell.json(*given)
    assert isinstance(fields, dict)
    assert set(fields) == {"input", "output"}
    assert fields["input"]["text"] is None
    assert len(bytes.fromhex(fields["input"]["salt"])) == 32


def test_what_run_has_printed_is_the_answer_that_the_log_holds(shell: Shell, tmp_path: Path) -> None:
    ended = shell("run", "echo", "--input", '{"mark":"một","n":[1,1.0,1e-7]}')
    printed = tmp_path / "answer.json"
    printed.write_text(ended.stdout)
    assert ended.stdout == '{"mark": "một", "n": [1, 1.0, 1e-07]}\n'
    given = ("audit", "payload", ended.stderr.rpartition("invocation=")[2].strip(), "--output")
    compared = shell(*given, os.fspath(printed))
    assert (compared.exit_code, compared.stdout) == (0, "output: the same JSON, written otherwise\n")
    printed.write_text(ended.stdout.replace("1.0", "1"))
    compared = shell(*given, os.fspath(printed))
    assert (compared.exit_code, compared.stdout) == (1, "output: NOT the same\n")


def test_what_failed_has_no_output_to_compare(shell: Shell, tmp_path: Path) -> None:
    write_skill(shell.skills, "fails", guest=component(guests.FAILS))
    ended = shell("run", "fails", "--input", "{}")
    identifier = ended.stderr.rpartition("invocation=")[2].split()[0]
    file = tmp_path / "empty"
    file.write_text("")
    compared = shell("audit", "payload", identifier, "--output", os.fspath(file))
    assert (compared.exit_code, compared.stdout) == (1, "output: there was none\n")


def test_encrypted_payloads_are_shown_until_their_subject_is_erased(shell: Shell, tmp_path: Path) -> None:
    shell.environment["CYBEROS_AUDIT_PAYLOADS"] = "encrypted"
    file = tmp_path / "input"
    file.write_text(INPUT)
    ended = shell("run", "echo", "--input", INPUT)
    identifier = ended.stderr.rpartition("invocation=")[2].split()[0]
    given = ("audit", "payload", identifier)
    assert shell(*given).stdout.count(f"\n  {INPUT}\n") == 2
    name = operator().actor
    assert shell("audit", "erase", "--subject", name, "--yes").stdout == f"erased {name}\n"
    again = shell("audit", "erase", "--subject", name, "--yes")
    assert (again.exit_code, again.stdout) == (1, "")
    assert again.stderr.startswith(f"nothing was erased: {name!r} has no key. ")
    compared = shell(*given, "--input", os.fspath(file))
    assert (compared.exit_code, compared.stdout) == (1, "input: erased\n")
    assert shell(*given).stdout.count("(erased)") == 2
    fields = shell.json(*given)
    assert isinstance(fields, dict)
    assert (fields["input"]["salt"], fields["input"]["text"]) == (None, None)


def test_a_rotated_key_signs_and_the_retired_one_still_verifies(shell: Shell, invocation: str) -> None:
    before = shell("audit", "checkpoint").stdout
    ended = shell("audit", "rotate-key", "--yes")
    assert ended.exit_code == 0, ended
    (_, retired), (_, current) = (line.split("  ") for line in ended.stdout.splitlines())
    open_note(before, [Verifier.parse(retired)])
    after = shell("audit", "checkpoint")
    opened = open_note(after.stdout, [Verifier.parse(current)])
    assert shell("audit", "checkpoint", "--key").stdout.strip() == current
    note, bundle = shell.home / "note", shell.home / "bundle"
    note.write_text(before)
    proved = shell(
        "audit", "prove", str(opened.size - 1), "--since", os.fspath(note), "-o", os.fspath(bundle)
    )
    assert proved.exit_code == 0, proved
    entry = json.loads(verify_evidence(bundle.read_bytes(), [*map(Verifier.parse, (retired, current))]).entry)
    assert entry["kind"] == "key.rotated"
    assert (entry["retired"], entry["current"]) == (retired, current)
    check = ("audit", "check", os.fspath(bundle), "--key", current)
    assert shell(*check).exit_code == 1, "the older checkpoint is by the retired key"
    assert shell(*check, "--key", retired).exit_code == 0


def test_old_entries_are_dropped_in_whole_partitions(server: str, tmp_path: Path) -> None:
    with empty_database(server) as dsn:
        shell = Shell(tmp_path, dsn)
        assert shell("audit", "checkpoint").exit_code == 0
        made = finished().encode().decode()
        entries = f"SELECT array_agg(convert_to('{made}', 'UTF8')) FROM generate_series(1, 600)"  # noqa: S608
        append = f"SELECT audit.append(gen_random_uuid(), ({entries}))"
        run(execute(dsn, *narrow_partitions(256), append))
        note = tmp_path / "note"
        note.write_text(shell("audit", "checkpoint").stdout)
        nothing = shell("audit", "drop", "--before", "255", "--yes")
        assert (nothing.exit_code, nothing.stdout[:19]) == (0, "nothing was dropped")
        dropped = shell("audit", "drop", "--before", "600", "--yes")
        assert dropped.stdout == "dropped entries 0 to 511; the first that is left is 512\n", dropped
        gone = shell("audit", "prove", "511")
        assert (gone.exit_code, "was dropped" in gone.stderr) == (1, True)
        key = shell("audit", "checkpoint", "--key").stdout.strip()
        verdicts = []
        for seq in ("512", "599", "600"):
            bundle = shell("audit", "prove", seq, "--since", os.fspath(note)).stdout
            verdicts.append(verify_evidence(bundle.encode(), [Verifier.parse(key)]))
        assert all(each.older is not None for each in verdicts)
        entry = json.loads(verdicts[-1].entry)
        assert (entry["kind"], entry["first"], entry["actor"]) == (
            "entries.dropped", 512, operator().actor,
        )  # fmt: skip
        # A log that was changed is not dropped from.
        run(
            execute(
                dsn,
                "ALTER TABLE audit.log_head DISABLE TRIGGER USER",
                "UPDATE audit.log_head SET frontier[1] = sha256('another')",
            )
        )
        refused = shell("audit", "drop", "--before", "0", "--yes")
        assert (refused.exit_code, "has not grown out of what was signed" in refused.stderr) == (1, True)
