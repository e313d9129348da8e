"""The past at the command line: records of decisions, and key figures."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import asyncpg
import orjson
import pytest

from subgraph.audit.kpis import FIGURES
from subgraph.audit.records import AuditRecord
from tests.cli.shell import Shell
from tests.support import guests
from tests.support.postgres import empty_database, run
from tests.support.skills import component, write_skill


@pytest.fixture(scope="module")
def shell(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    with empty_database(server) as dsn:
        shell = Shell(tmp_path_factory.mktemp("home"), dsn)
        write_skill(shell.skills, "echo", tools="read_file", guest=component())
        write_skill(shell.skills, "fails", guest=component(guests.FAILS))
        assert shell("run", "echo", stdin="{}").exit_code == 0
        assert shell("run", "fails", stdin="{}").exit_code == 1
        assert shell("revoke", "echo", "--note", "it *leaks*\x1b[2J").exit_code == 0
        yield shell


def newest_decision(shell: Shell) -> AuditRecord:
    async def read() -> AuditRecord:
        connection = await asyncpg.connect(shell.environment["CYBEROS_DATABASE_URL"], timeout=5)
        row = await connection.fetchrow(
            "SELECT seq, entry FROM audit.entry WHERE kind = 'skill.revoked' ORDER BY seq DESC"
        )
        await connection.close()
        assert row is not None
        return AuditRecord(row["seq"], row["entry"])

    return run(read())


@pytest.mark.parametrize("scheme", ["", "brain://"])
def test_a_record_is_shown_by_its_address(shell: Shell, scheme: str) -> None:
    record = newest_decision(shell)
    ended = shell("view", scheme + record.address.removeprefix("brain://"))
    assert ended.exit_code == 0, ended
    assert ended.stdout == record.markdown
    assert "**Note:** it \\*leaks\\*\\\\u{1b}\\[2J\n" in ended.stdout


def test_an_address_of_nothing_is_refused(shell: Shell) -> None:
    ended = shell("view", "brain://meta/decisions/1_0000.md")
    assert (ended.exit_code, ended.stderr) == (1, "INPUT_INVALID: no decision has this address\n")
    ended = shell("view", "meta/decisions")
    assert ended.exit_code == 1
    assert ended.stderr.startswith("INPUT_INVALID: an address reads brain://meta/decisions/")


def test_key_figures_are_a_table(shell: Shell) -> None:
    ended = shell("kpis")
    assert ended.exit_code == 0, ended
    rows = {
        cells[0]: cells[1:]
        for line in ended.stdout.splitlines()
        if line.startswith("│") and (cells := [cell.strip() for cell in line.strip("│").split("│")])
    }
    assert set(rows) == {"figure", *(figure.name for figure in FIGURES)}
    assert rows["invocation_success_rate"] == ["50.00%", "1 of 2", "at least 98.00%", "missed"]
    assert rows["capability_grant_rate"] == ["—", "0 of 0", "at least 90.00%", ""]
    assert rows["host_calls_denied"] == ["0", "", "", ""]
    value, of, target, met = rows["component_latency_p95"]
    assert re.fullmatch(r"[0-9.]+ ms", value)
    assert (of, target) == ("2", "at most 5 ms")
    assert met in ("✓", "missed")


def test_key_figures_are_json(shell: Shell) -> None:
    ended = shell("kpis", "--since", "24h", "--format", "json")
    assert ended.exit_code == 0, ended
    figures = {each["name"]: each for each in json.loads(ended.stdout)}
    assert figures["invocation_success_rate"]["value"] == 0.5
    assert figures["capability_grant_rate"] == {
        "name": "capability_grant_rate",
        "value": None,
        "unit": "ratio",
        "numerator": 0,
        "denominator": 0,
        "target": 0.9,
        "target_is": "at least",
        "met": None,
    }
    assert orjson.loads(ended.stdout)


@pytest.mark.parametrize(("since", "exit_code"), [("7", 2), ("100d", 1), ("0001-01-01", 1)])
def test_a_time_that_figures_are_not_of_is_refused(shell: Shell, since: str, exit_code: int) -> None:
    assert shell("kpis", "--since", since).exit_code == exit_code
