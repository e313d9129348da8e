"""What `cyberos-cuo` says of the catalogue, the keywords and the seats, and an operator's own words."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from subgraph.cli import cuo
from subgraph.cli.app import app as skill_app
from subgraph.routing import builtin_personas
from subgraph.routing.data_file import FILE_LIMIT
from tests.cli.shell import Shell
from tests.support.postgres import empty_database

VN = "cyberskill-vn"


@pytest.fixture(scope="module")
def shell(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    with empty_database(server) as dsn:
        yield Shell(tmp_path_factory.mktemp("home"), dsn, cuo.app)


def test_the_catalogue_as_the_document_prints_it(shell: Shell) -> None:
    found = shell.told("catalog")
    assert set(found) == {"fingerprint", "scanned_at", "skill_count", "skills"}
    assert found["skill_count"] == 20
    skills = found["skills"]
    assert isinstance(skills, list)
    assert [each["name"] for each in skills] == sorted(each["name"] for each in skills)
    (mst,) = [each for each in skills if each["name"] == f"{VN}/vn-mst-validate"]
    assert (mst["version"], mst["region"], mst["persona"]) == ("0.2.0", "VN", "CFO")
    assert mst["keywords"][:3] == ["mst", "tax code", "ma so thue"]
    ended = shell("catalog")
    assert ended.exit_code == 0
    assert ended.stdout.endswith(f"\n20 skills, catalogue {found['fingerprint']}\n")


def test_a_skill_as_the_document_prints_it(shell: Shell) -> None:
    ended = shell("skills", "vn-vat-invoice")
    assert ended.exit_code == 0
    lines = dict(line.split(maxsplit=1) for line in ended.stdout.splitlines())
    assert lines["skill:"] == f"{VN}/vn-vat-invoice"
    assert lines["region:"] == "VN"
    assert lines["keywords:"].startswith("[invoice, hoa don, vat, gtgt, e-invoice, xuat hoa don, ")
    assert lines["extractor:"] == "vn-vat-invoice"
    assert lines["required:"] == "[seller_mst, item, amount_vnd, tax_rate]"
    assert lines["depends_on:"] == "[vn-mst-validate]"
    assert lines["allowed_tools:"] == "[read_file, write_file]"
    assert shell.told("skills", "hello-world")["extractor"] is None
    assert shell("skills", "nowhere").exit_code == 1


def test_the_keywords_of_all_skills_are_listed(shell: Shell) -> None:
    ended = shell("skills")
    assert ended.exit_code == 0
    assert "cyberskill-vn/vn-mst-validate" in ended.stdout
    listed = json.loads(shell("skills", "--format", "json").stdout)
    assert [each["skill"] for each in listed] == [each["name"] for each in shell.told("catalog")["skills"]]  # type: ignore[attr-defined]
    assert listed[-1] == shell.told("skills", listed[-1]["skill"])


def test_the_seats_are_those_of_the_document(shell: Shell) -> None:
    ended = shell("personas")
    assert ended.exit_code == 0
    assert "CFO: Finance & Runway (to be filled · P2+)\n" in ended.stdout
    assert "  defers:     send invoice to client; execute wire; approve refund; " in ended.stdout
    found = json.loads(shell("personas", "--format", "json").stdout)
    assert [each["code"] for each in found] == list(builtin_personas().personas)
    assert [each["code"] for each in found if each["is_emerging"]] == [each["code"] for each in found[10:]]
    assert found[12]["seats"] == ["CEO", "CFO"]


BANK = """\
version: vi-du-1
idioms: [vật vờ]
banks:
  CHRO:
    team/leave: [nghỉ phép]
  ANY:
    cuo/hello-world: [hello, xin chào bạn thân]
"""


def test_an_operator_s_keywords_are_set_shown_and_cleared(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "vi-du.yaml"
    file.write_text(BANK, encoding="utf-8")
    before = shell.told("bank", "show")
    assert (before["text"], before["skills"], before["set_by"], before["set_at"]) == (None, [], None, None)
    ended = shell("bank", "set", str(file))
    assert (ended.exit_code, ended.stderr) == (0, "")
    fingerprint = shell.told("catalog")["fingerprint"]
    assert ended.stdout == (
        "cuo/hello-world (any)\n"
        "  adds: xin chào bạn thân\n"
        "team/leave (CHRO): not installed\n"
        "  adds: nghỉ phép\n"
        "idioms: vật vờ\n"
        "version:      1+vi-du-1\n"
        f"catalogue:    {fingerprint}\n"
    )
    assert fingerprint != before["fingerprint"]
    assert shell.told("route", "xin chào bạn thân")["skillName"] == "cuo/hello-world"
    shown = shell("bank", "show").stdout
    assert shown.startswith(f"{BANK}\nset by:")
    told = shell.told("bank", "show")
    assert told["sha256"] == hashlib.sha256(BANK.encode()).hexdigest()
    assert str(told["sha256"]) in shown
    assert told == shell.told("bank", "set", str(file)) | {"set_at": told["set_at"]}
    cleared = shell("bank", "clear")
    assert cleared.stdout.startswith("none is set; the built-in keywords hold alone\nversion:      1\n")
    assert shell("bank", "show").stdout == cleared.stdout
    assert shell.told("bank", "clear") == before


def test_a_bank_that_is_none_is_refused(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "vi-du.yaml"
    for content, exit_code, message in (
        (BANK.replace("CHRO", "BOSS").encode(), 1, "INPUT_INVALID: vi-du.yaml, line 4: 'BOSS' is no seat"),
        (b"\xff", 2, "vi-du.yaml: not UTF-8"),
        (b"#" * (4 * FILE_LIMIT + 1), 2, f"vi-du.yaml: over {FILE_LIMIT} characters"),
        (b"#" * (FILE_LIMIT + 1), 1, f"INPUT_INVALID: vi-du.yaml: over {FILE_LIMIT} characters"),
    ):
        file.write_bytes(content)
        ended = shell("bank", "set", str(file))
        assert (ended.exit_code, ended.stdout) == (exit_code, "")
        assert ended.stderr.startswith(message)
    assert shell("bank", "set", str(tmp_path / "nowhere")).exit_code == 2


def test_a_revoked_skill_is_shown_as_such(shell: Shell) -> None:
    assert shell("revoke", "hello-world", app=skill_app).exit_code == 0
    assert "REVOKED       it is not routed to\n" in shell("skills", "hello-world").stdout
    assert shell.told("route", "hello")["skillName"] is None
    assert shell("reinstate", "hello-world", app=skill_app).exit_code == 0
    assert shell.told("skills", "hello-world")["routable"] is True
