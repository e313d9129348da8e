"""`audit verify` and `audit fsck` as an operator uses them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.shell import Shell
from tests.support.postgres import empty_database, execute, run
from tests.support.skills import component, write_skill

RUNS = 3


@pytest.fixture
def logged(server: str, tmp_path: Path) -> Iterator[tuple[Shell, str]]:
    """A log of `RUNS` entries with a checkpoint of each, and the address of its database."""
    with empty_database(server) as dsn:
        shell = Shell(tmp_path, dsn)
        write_skill(shell.skills, "echo", guest=component())
        for _ in range(RUNS):
            assert shell("run", "echo", "--input", "{}", "--quiet").exit_code == 0
        yield shell, dsn


def tamper(dsn: str, change: str) -> None:
    """Change the log as the database's owner, who has the triggers out of his way meanwhile."""
    off, on = (
        [f"ALTER TABLE audit.{table} {switch} TRIGGER append_only" for table in ("entry", "entry_00000000")]
        for switch in ("DISABLE", "ENABLE ALWAYS")
    )
    run(execute(dsn, *off, change, *on))


def test_an_untouched_log_is_what_was_signed(logged: tuple[Shell, str]) -> None:
    shell, _ = logged
    verified = shell("audit", "verify")
    assert verified.exit_code == 0, verified
    first, second = verified.stdout.splitlines()
    assert first.startswith(f"{RUNS} entries, held to {RUNS} signed checkpoints in ")
    assert second == "ok: the log is what was signed"
    told = json.loads(shell("audit", "verify", "--json").stdout)
    assert (told["ok"], told["entries"], told["findings"]) == (True, RUNS, [])
    checked = shell("audit", "fsck")
    assert (checked.exit_code, checked.stdout) == (0, "ok: the log's tables agree, and are protected\n")
    assert json.loads(shell("audit", "fsck", "--json").stdout) == {"ok": True, "findings": []}


def test_an_entry_that_was_changed_is_found(logged: tuple[Shell, str]) -> None:
    shell, dsn = logged
    other = "convert_to(replace(convert_from(entry, 'UTF8'), '\"exitCode\":0', '\"exitCode\":1'), 'UTF8')"
    tamper(dsn, f"UPDATE audit.entry SET entry = {other} WHERE seq = 1")  # noqa: S608 -- our own text
    verified = shell("audit", "verify")
    assert verified.exit_code == 1, verified
    assert "ROOT_DIFFERS: " in verified.stdout
    told = json.loads(shell("audit", "verify", "--json").stdout)
    assert not told["ok"]
    assert all(each["message"] for each in told["findings"])
    # Signed after the first run and after the second: the fault lies between.
    places = {
        (each["first_seq"], each["last_seq"]) for each in told["findings"] if each["code"] == "ROOT_DIFFERS"
    }
    assert places == {(1, 1)}
    checked = shell("audit", "fsck")
    assert checked.exit_code == 1
    assert "COLUMN_DIFFERS: Entry 1: the column exit_code" in checked.stdout


def test_a_cut_tail_is_found_by_a_checkpoint_from_elsewhere(
    logged: tuple[Shell, str], tmp_path: Path
) -> None:
    shell, dsn = logged
    kept = tmp_path / "kept.note"
    kept.write_text(shell("audit", "checkpoint").stdout)
    for path in (shell.home / "checkpoints").iterdir():
        path.unlink()  # the directory is in the attacker's hands, too
    tamper(dsn, "DELETE FROM audit.entry WHERE seq = 2")
    assert shell("audit", "verify", "--since", os.fspath(kept)).exit_code == 1
    codes = {
        each["code"]
        for each in json.loads(shell("audit", "verify", "--since", os.fspath(kept), "--json").stdout)[
            "findings"
        ]
    }
    assert codes & {"TAIL_CUT", "ENTRY_MISSING"}


def test_a_checkpoint_that_no_key_has_signed_is_a_finding(logged: tuple[Shell, str], tmp_path: Path) -> None:
    shell, _ = logged
    note = tmp_path / "forged.note"
    note.write_text(shell("audit", "checkpoint").stdout.replace(f"\n{RUNS}\n", "\n2\n"))
    verified = shell("audit", "verify", "--since", os.fspath(note))
    assert verified.exit_code == 1
    assert f"CHECKPOINT_INVALID: A checkpoint in {note} is refused." in verified.stdout
    assert verified.stdout.splitlines()[-1] == "1 finding"
