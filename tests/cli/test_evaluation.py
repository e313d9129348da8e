"""`cyberos-cuo eval`, over cases of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from subgraph.cli import cuo
from tests.cli.shell import Shell
from tests.support.postgres import empty_database

VN = "cyberskill-vn"

CASES = """\
version: 1
cases:
  - {id: a-001, query: "kiểm tra MST 0123456789-001", skill: cyberskill-vn/vn-mst-validate, tags: [vi]}
  - {id: a-002, query: "kiểm tra mã số thuế", skill: cyberskill-vn/vn-mst-validate, tags: [vi]}
  - {id: a-003, query: "hello", skill: null, split: held_out, tags: [en]}
"""


@pytest.fixture(scope="module")
def shell(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    with empty_database(server) as dsn:
        yield Shell(tmp_path_factory.mktemp("home"), dsn, cuo.app)


def test_an_evaluation_counts_what_its_help_says(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "cases.yaml"
    file.write_text(CASES, encoding="utf-8")
    ended = shell("eval", str(file))
    assert ended.exit_code == 0, ended
    rows = {
        cells[0]: cells[1:]
        for line in ended.stdout.splitlines()
        if line.startswith("│") and (cells := [cell.strip() for cell in line.strip("│").split("│")])
    }
    assert rows["figure"] == ["all", "held_out", "tuning"]
    assert rows["top-1 accuracy"] == ["100.00% (2 of 2)", "—", "100.00% (2 of 2)"]
    assert rows["activated right"][0] == "50.00% (1 of 2)"
    assert rows["false activations"] == ["100.00% (1 of 1)", "100.00% (1 of 1)", "—"]
    assert rows["(nowhere)"] == ["cuo/hello-world", "1"]
    found = shell.told("eval", str(file), "--split", "tuning")
    assert found["splits"] == {"tuning": found["overall"]}
    assert found["confusion"] == {f"{VN}/vn-mst-validate": {f"{VN}/vn-mst-validate": 2}}
    assert found["wrong"] == []


def test_an_evaluation_that_makes_no_sense_is_a_mistake(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "cases.yaml"
    file.write_text(CASES, encoding="utf-8")
    ended = shell("eval", str(file), "--split", "none")
    assert (ended.exit_code, ended.stderr) == (2, f"{file} has no case of the split 'none'\n")
    file.write_text("version: 2", encoding="utf-8")
    ended = shell("eval", str(file))
    assert ended.exit_code == 2
    assert ended.stderr.startswith(f"INPUT_INVALID: {file}:1: ")
